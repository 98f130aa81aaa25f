# SPDX-License-Identifier: Apache-2.0
"""Trainings with one known fault each, and the truth about it.

The pace of a fault tells by when it must be found:
  sudden    it is there, or not: within 3 steps of the first at which it can be seen
  slow      it grows: before the loss shows it (score.py tells how that is decided)
  standing  it is there from the first step and nothing ever changes: within 100 steps
"""
import dataclasses
import functools
import math

import torch
from torch import distributed, nn
from torch.nn import functional as F

from . import data, zoo
from .programs import (Gan, Judged, LanguageModel, Recommender, Scaled, Siamese, Supervised,
                       Variational, adam, adamw, half_entropy, sgd)

# Kinds of alert that are right for a group of causes.
NONFINITE = ("nonfinite",)
BLOWN_UP = ("loss_spike", "divergence", "grad_explosion", "update_size", "norm_drift", "overflow",
            "nonfinite")
DEAD = ("dead_units",)
STILL = ("frozen_weights", "update_size", "plateau")
FLIPS = ("flips", "loss_spike", "divergence")

KINDS = []


@dataclasses.dataclass
class Fault:
    """What is known of a kind of fault before it runs."""

    name: str
    make: object        # function: (program, truth)
    cause: str
    kinds: tuple        # of alerts that are right
    pace: str
    n_ranks: int = 1
    is_killed: bool = False
    patience_s: float = 0.0


def fault(cause, kinds, pace="sudden", into=None, **options):
    """Register a function that makes a program with a fault and gives the truth about it."""
    def take(make):
        (KINDS if into is None else into).append(
            Fault(make.__name__, make, cause, kinds, pace, **options))
        return make
    return take


def truth(step, modules=(), unit=None, sample=None, **more):
    """Ground truth. step: first at which it can be seen, or a function that tells it at the end;
    modules: names that are right, none: the fault has no place; unit, sample: None: has none."""
    def tell():
        seen = step() if callable(step) else step
        return {"step": seen, "modules": list(modules), "unit": unit,
                "sample": sample() if callable(sample) else sample, **more}
    return tell


def digits_mlp(**options):
    model = options.pop("model", None) or zoo.mlp()
    return Supervised(model, data.digits(), **options)


def change_from(program, step, change):
    """Data are changed from a step on."""
    program.changes.append(lambda now, x, y: change(x, y) if now >= step else (x, y))


def spoil_sample(program, step, spoil):
    """One sample of the batch of a step comes spoilt; returns a cell with its index."""
    cell = []

    def change(now, x, y):
        if now == step:
            x = x.clone()
            y = y.clone()
            spoil(x, y, 5)
            cell.append(program.seen[5])
        return x, y

    draw = program.draw

    def remember(now):
        program.seen = draw(now)
        return program.seen

    program.draw = remember
    program.changes.append(change)
    return cell


def grow(program, step, parameter, factor, rows=None):
    """A parameter is multiplied after each optimiser's step from a step on: a bug that scales."""
    def multiply(now):
        if now >= step:
            with torch.no_grad():
                (parameter if rows is None else parameter[rows]).mul_(factor)
    program.after_step.append(multiply)


# ---- learning rates and optimisers ----

@fault("the learning rate leaps to a hundred times what it was", ("lr_jump", *BLOWN_UP))
def lr_jump_x100():
    program = digits_mlp(optimizer=sgd(0.05))
    program.at(150, lambda: program.optimizer.param_groups[0].update(lr=5.0))
    return program, truth(150)


@fault("the learning rate is far too high from the start", BLOWN_UP, "standing")
def lr_too_high():
    return digits_mlp(optimizer=sgd(8.0)), truth(1)


@fault("the learning rate goes on rising instead of falling", ("lr_jump", *BLOWN_UP), "slow")
def lr_ramp():
    program = digits_mlp(optimizer=sgd(0.05))

    def rise(step):
        if step >= 120:
            program.optimizer.param_groups[0]["lr"] *= 1.04
    program.after_step.append(rise)
    return program, truth(120)


@fault("zero_grad() is missing", ("gradient_pile_up", "second_moment", *BLOWN_UP), "slow")
def missing_zero_grad():
    program = digits_mlp(optimizer=sgd(0.05))
    program.at(100, lambda: setattr(program, "does_zero", False))
    return program, truth(101)


@fault("the learning rate is 0 from a step on", ("lr_jump", *STILL))
def lr_zero():
    program = digits_mlp(optimizer=adam(2e-3))
    program.at(120, lambda: program.optimizer.param_groups[0].update(lr=0.0))
    return program, truth(120)


@fault("weight decay is far too strong",
       ("norm_drift", "update_size", "divergence", "loss_spike", "collapse"), "slow")
def weight_decay_huge():
    program = digits_mlp(optimizer=sgd(0.05))
    program.at(120, lambda: program.optimizer.param_groups[0].update(weight_decay=1.0))
    return program, truth(121)


@fault("Adam's second moment is of gradients that were a thousand times smaller",
       ("second_moment", "update_size", "grad_explosion"))
def adam_stale_moment():
    program = digits_mlp(optimizer=adam(1e-3, betas=(0.9, 0.9999)))
    program.at(150, lambda: setattr(program, "scale", 1000.0))
    program.before_log.append(lambda step, values: values.update(loss=values["loss"] /
                                                                 program.scale))
    return program, truth(150)


@fault("Adam's epsilon is larger than its gradients", ("second_moment", *STILL), "standing")
def adam_eps_large():
    return digits_mlp(optimizer=adam(2e-3, eps=10.0)), truth(1)


@fault("gradients are clipped to almost nothing", STILL, "standing")
def clip_too_tight():
    return digits_mlp(optimizer=sgd(0.05), clip=1e-5), truth(1)


@fault("the loss is climbed: its sign is wrong", ("gradient_pile_up", *BLOWN_UP), "slow")
def sign_flip():
    program = digits_mlp(optimizer=adam(5e-4))
    program.at(150, lambda: setattr(program, "scale", -1.0))
    program.before_log.append(lambda step, values: values.update(loss=values["loss"] *
                                                                 program.scale))
    return program, truth(151)


# ---- numbers that leave their range ----

@fault("a recurrent network's weights grow, its gradients explode, nothing clips them", BLOWN_UP,
       "slow")
def exploding_rnn():
    program = LanguageModel(
        lambda n: zoo.Letters(n, core=functools.partial(nn.RNN, nonlinearity="relu")),
        optimizer=adam(2e-3), n_batch=16)
    grow(program, 120, program.model.core.weight_hh_l0, 1.03)
    return program, truth(121, ["core"])


@fault("activations grow until float16 cannot hold them", BLOWN_UP, "slow")
def fp16_overflow():
    model = zoo.mlp()
    model.add_module("low", zoo.Half())
    program = digits_mlp(model=model, measure=half_entropy, optimizer=adam(1e-3))

    def rise(step):
        if step >= 100:
            model.low.gain *= 1.12
            program.scale = 1 / model.low.gain
    program.after_step.append(rise)
    program.before_log.append(lambda step, values: values.update(loss=values["loss"] /
                                                                 program.scale))
    return program, truth(101, ["low", "out"])


@fault("gradients overflow at every step: the loss scale collapses",
       ("loss_scale_collapse", *NONFINITE))
def loss_scale_collapse():
    model = zoo.mlp()
    model.add_module("low", zoo.Half())
    program = Scaled(model, data.digits(), half_entropy, adam(2e-3))

    def spoil(step):
        if step >= 150:
            model.fc1.weight.grad[3, 7] = math.inf
    program.after_backward.append(spoil)
    return program, truth(150)


@fault("the logarithm of a chance that is 0", NONFINITE)
def log_of_zero():
    model = zoo.mlp()
    model.add_module("chance", nn.Softmax(1))
    model.add_module("log", zoo.Log())
    program = digits_mlp(model=model, optimizer=sgd(0.02), measure=F.nll_loss)
    sample = spoil_sample(program, 160, lambda x, y, i: x[i].mul_(1e3))
    return program, truth(160, ["log"], sample=lambda: sample[0])


@fault("the gradient of a root at 0 is infinite", NONFINITE)
def root_at_zero():
    program = Siamese(optimizer=adam(1e-3))

    def twins(step, x, y):
        if step == 140:
            x = x.clone()
            x[4] = x[4 + len(x) // 2]
        return x, y
    program.changes.append(twins)
    return program, truth(140, ["distance"])


@fault("a row without any spread is divided by its deviation", NONFINITE)
def division_by_zero():
    model = nn.Sequential()
    model.add_module("flat", nn.Flatten())
    model.add_module("norm", zoo.Divide())
    model.add_module("body", zoo.mlp())
    program = digits_mlp(model=model, optimizer=sgd(0.05))
    sample = spoil_sample(program, 170, lambda x, y, i: x[i].fill_(0.5))
    return program, truth(170, ["norm"], sample=lambda: sample[0])


@fault("exp() of a VAE's logvar overflows", ("overflow", *NONFINITE))
def exp_overflow():
    program = Variational(act=F.relu, optimizer=adam(1e-3))
    units = []

    def damage(x, y, i):
        while not units:
            x[i] *= 10
            with torch.no_grad():
                spread = program.model(x[i:i + 1])[3][0]
            units.extend(torch.nonzero(~torch.isfinite(spread)).flatten().tolist())
    sample = spoil_sample(program, 150, damage)
    found = truth(150, ["exp_logvar"], sample=lambda: sample[0])
    return program, lambda: dict(found(), unit=units[0])


@fault("a picture holds NaN", NONFINITE)
def nan_in_data():
    program = Supervised(zoo.Cnn(), data.digits(), optimizer=adam(2e-3))
    sample = spoil_sample(program, 130, lambda x, y, i: x[i, 0, 3, 3:5].fill_(math.nan))
    return program, truth(130, ["input"], sample=lambda: sample[0])


@fault("a table holds an infinity", NONFINITE)
def inf_in_data():
    program = Supervised(zoo.mlp(30, 32, 2, 2), data.cancer(), optimizer=adam(1e-3))
    sample = spoil_sample(program, 145, lambda x, y, i: x[i, 4].fill_(math.inf))
    return program, truth(145, ["input"], unit=4, sample=lambda: sample[0])


@fault("attention's logits grow and grow", ("norm_drift", "saturated", "overflow"), "slow")
def attention_logits():
    program = LanguageModel(zoo.Gpt, optimizer=adamw(2e-3), clip=1.0, n_batch=12)
    block = program.model.blocks[0]
    grow(program, 120, block.qkv.weight, 1.03, slice(0, 64))
    return program, truth(122, ["blocks.0.scores", "blocks.0.qkv"])


@fault("one row of an embedding explodes", BLOWN_UP, "slow")
def embedding_row():
    program = Recommender(optimizer=adam(5e-3), n_batch=128)
    grow(program, 120, program.model.item.weight, 1.08, slice(17, 18))
    return program, truth(122, ["item"], unit=17)


@fault("a layer's output drifts upwards", ("norm_drift",), "slow")
def activation_drift():
    program = digits_mlp(model=zoo.mlp(act=nn.GELU), optimizer=adam(1e-3))
    grow(program, 100, program.model.fc2.weight, 1.015)
    return program, truth(103, ["fc2", "act2"])


@fault("branches of a residual network have a gain that blows up its depth",
       ("gradient_depth", *BLOWN_UP))
def residual_blowup():
    model = zoo.Residual()
    program = digits_mlp(model=model, optimizer=sgd(0.02))
    program.at(140, lambda: setattr(model, "gain", 6.0))
    return program, truth(140, [f"sums.{i}" for i in range(6)] + [f"branches.{i}"
                                                                  for i in range(6)])


# ---- data ----

@fault("pixels are 0..255 instead of 0..1", ("input_data",), "standing")
def unnormalised_input():
    x, y = data.digits()
    return Supervised(zoo.mlp(), (x * 255, y), optimizer=adam(1e-3)), truth(1, ["input"])


@fault("pixels are 0..255 instead of 0..1 from a step on", ("input_data", "loss_spike"))
def input_scale_jump():
    program = digits_mlp(optimizer=adam(1e-3))
    change_from(program, 140, lambda x, y: (x * 255, y))
    return program, truth(140, ["input"])


@fault("labels are off by one from a step on", ("loss_spike", "divergence", "flips"))
def wrong_labels():
    program = digits_mlp(optimizer=adam(1e-3))
    change_from(program, 200, lambda x, y: (x, (y + 1) % 10))
    return program, truth(200)


@fault("labels are shuffled from a step on", ("loss_spike", "divergence", "flips",
                                                 "noise_gradient"))
def label_shuffle():
    program = Supervised(zoo.Cnn(), data.digits(), optimizer=adam(2e-3))
    change_from(program, 200, lambda x, y: (x, y[torch.randperm(len(y))]))
    return program, truth(200)


@fault("labels of one class turn into another from a step on", FLIPS)
def class_relabelled():
    program = Judged(zoo.mlp(), data.digits(), optimizer=adam(2e-3), n_steps=360)
    change_from(program, 250, lambda x, y: (x, torch.where(y == 4, 9, y)))
    return program, truth(250)


@fault("pictures and labels are shuffled apart: there is nothing to learn",
       ("noise_gradient", "plateau"), "standing")
def nothing_to_learn():
    x, y = data.digits()
    return Supervised(zoo.mlp(), (x, y[torch.randperm(len(y))]), optimizer=sgd(0.01)), truth(1)


@fault("the same batch comes again and again", ("repeated_batch",))
def repeated_batch():
    program = digits_mlp(optimizer=adam(2e-3))
    draw, kept = program.draw, []

    def same(step):
        if step < 140:
            return draw(step)
        if not kept:
            kept.extend(draw(step))
        return list(kept)
    program.draw = same
    return program, truth(141)


@fault("data come sorted by class from a step on",
       ("loss_spike", "divergence", "input_data", "norm_drift", "repeated_batch"))
def sorted_by_class():
    program = digits_mlp(optimizer=sgd(0.05), n_steps=320)
    order = torch.argsort(program.table[1][:program.n_data], stable=True).tolist()
    draw = program.draw

    def row(step):
        first = (step - 180) * program.n_batch % program.n_data
        return draw(step) if step < 180 else (order + order)[first:first + program.n_batch]
    program.draw = row
    return program, truth(180)


@fault("one sample is a million times too large", ("input_data", *BLOWN_UP))
def poisoned_sample():
    program = Supervised(zoo.mlp(30, 32, 2, 2), data.cancer(), optimizer=adam(1e-3))
    sample = spoil_sample(program, 155, lambda x, y, i: x[i].mul_(1e6))
    return program, truth(155, ["input"], sample=lambda: sample[0])


# ---- layers that do not work ----

@fault("a layer's biases fall far below zero: its ReLUs are dead", DEAD)
def dead_relu():
    program = digits_mlp(optimizer=adam(1e-3))

    def kill():
        with torch.no_grad():
            program.model.fc2.bias -= 100
    program.at(130, kill)
    return program, truth(130, ["act2", "fc2"])


@fault("most units of a layer die", DEAD)
def dead_units():
    program = digits_mlp(optimizer=adam(1e-3))

    def kill():
        with torch.no_grad():
            program.model.fc1.bias[:36] -= 50
    program.at(130, kill)
    return program, truth(130, ["act1", "fc1"])


@fault("initial weights saturate tanh", ("saturated",), "standing")
def saturated_tanh():
    model = zoo.mlp(act=nn.Tanh)
    with torch.no_grad():
        model.fc1.weight *= 40
    return digits_mlp(model=model, optimizer=adam(1e-4)), truth(1, ["act1", "fc1"])


@fault("initial weights saturate a sigmoid", ("saturated",), "standing")
def saturated_sigmoid():
    model = zoo.mlp(act=nn.Sigmoid)
    with torch.no_grad():
        model.fc2.weight *= 300
    return digits_mlp(model=model, optimizer=adam(1e-4)), truth(1, ["act2", "fc2"])


@fault("all initial weights are the same: units stay alike", ("symmetric_units",), "standing")
def constant_init():
    model = zoo.mlp()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.02)
    return digits_mlp(model=model, optimizer=sgd(0.05)), truth(1, ["fc1", "fc2", "act1", "act2"])


@fault("a layer's learning rate is 0 from a step on", ("frozen_weights", "update_size"))
def frozen_layer():
    program = digits_mlp(optimizer=adam(1e-3))
    model = program.model
    program.optimizer = torch.optim.Adam([
        {"params": [*model.fc1.parameters(), *model.out.parameters()]},
        {"params": [*model.fc2.parameters()]}], 1e-3)
    program.models = [(None, model, [program.optimizer])]
    program.at(150, lambda: program.optimizer.param_groups[1].update(lr=0.0))
    return program, truth(151, ["fc2"])


@fault("half of the model is cut off by a detach()",
       ("frozen_weights", "gradient_depth"), "standing")
def detached_encoder():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = zoo.mlp(n_out=32), zoo.mlp(32, 32, 1)

        def forward(self, x):
            return self.head(self.encoder(x).detach())
    return digits_mlp(model=Cut(), optimizer=adam(2e-3)), truth(
        1, ["encoder.fc1", "encoder.fc2", "encoder.out", "encoder"])


@fault("the optimiser was not given a layer", ("frozen_weights",), "standing")
def not_in_optimizer():
    model = zoo.mlp()
    return digits_mlp(model=model, optimizer=lambda _: torch.optim.Adam(
        [p for n, p in model.named_parameters() if not n.startswith("fc2")], 2e-3)), truth(
        1, ["fc2"])


@fault("gradients vanish through ten sigmoids", ("gradient_depth",), "standing")
def vanishing_sigmoid():
    model = zoo.mlp(n_hidden=10, act=nn.Sigmoid, width=32)
    return digits_mlp(model=model, optimizer=sgd(0.05)), truth(
        1, [f"fc{i}" for i in range(1, 9)] + [f"act{i}" for i in range(1, 9)])


@fault("dropout drops everything from a step on", ("dead_units", "collapse"))
def dropout_all():
    program = digits_mlp(model=zoo.mlp(dropout=0.1), optimizer=adam(1e-3))
    program.at(140, lambda: setattr(program.model.drop2, "p", 1.0))
    return program, truth(140, ["drop2"])


@fault("training goes on in evaluation mode", ("eval_mode",))
def eval_left_on():
    program = Supervised(zoo.Cnn(dropout=0.3), data.digits(), optimizer=adam(2e-3), val_every=40)
    program.at(100, lambda: setattr(program, "returns_to_train", False))
    return program, truth(120)


@fault("evaluation is done in training mode", ("eval_mode",))
def eval_in_train_mode():
    program = Supervised(zoo.Cnn(dropout=0.3), data.digits(), optimizer=adam(2e-3), val_every=20)
    program.does_eval = False
    return program, truth(19)


# ---- whole models that go wrong ----

@fault("the discriminator wins", ("collapse", "divergence"), "standing")
def discriminator_wins():
    return Gan(lr_g=5e-5, lr_d=5e-3, n_steps=400), truth(20)


@fault("the generator gives one picture for every noise", ("collapse",))
def mode_collapse():
    program = Gan(n_steps=400)
    program.at(200, lambda: setattr(program, "noise_gain", 0.0))
    return program, truth(200, ["G.fc1", "G.act1", "G.fc2", "G.act2", "G.out", "G.picture", "G"])


@fault("sixty samples are learnt by heart", ("overfitting",), "slow")
def overfitting():
    x, y = data.digits()
    program = Supervised(zoo.mlp(width=96), (x, y), optimizer=adam(2e-3), n_train=60,
                         val_every=10, n_steps=400)
    losses = []

    def look(step, values):
        if "val/loss" in values:
            losses.append((values["val/loss"], step))
    program.before_log.append(look)
    return program, truth(lambda: min(losses)[1])


@fault("a VAE's code collapses onto its prior", ("collapse", "dead_units", "norm_drift"), "slow")
def posterior_collapse():
    program = Variational(optimizer=adam(2e-3))
    program.at(120, lambda: setattr(program, "beta", 60.0))
    program.before_log.append(lambda step, values: values.update(loss=sum(program.terms)))
    return program, truth(121, ["mu", "logvar", "exp_logvar"])


# ---- several ranks, time ----

def two_ranks(lr=0.05):
    """One of two equal processes; gradients are averaged by DistributedDataParallel."""
    distributed.init_process_group("gloo")
    model = zoo.mlp()
    program = Supervised(model, data.digits(), optimizer=sgd(lr), n_steps=200)
    program.rank = distributed.get_rank()
    program._shuffle.manual_seed(program.rank)
    program.model = nn.parallel.DistributedDataParallel(model)
    program.models = [(None, program.model, [program.optimizer])]
    return program


@fault("gradients are not averaged between ranks", ("ranks_differ",), n_ranks=2)
def ranks_not_synced():
    program = two_ranks()

    def loss_of(x, y):
        model = program.model.module if program.is_alone else program.model
        return program.measure(model(x), y)
    program.is_alone = False
    program.loss_of = loss_of
    program.at(90, lambda: setattr(program, "is_alone", True))
    return program, truth(90)


@fault("one rank is slow", ("straggler", "throughput"), n_ranks=2)
def rank_straggler():
    program = two_ranks()
    program.sleep_s = lambda step: 0.03 if step >= 110 and program.rank == 1 else 0.0
    return program, truth(111)


@fault("steps take ten times as long", ("throughput",))
def throughput_drop():
    program = digits_mlp(optimizer=adam(1e-3))
    program.sleep_s = lambda step: 0.06 if step >= 200 else 0.004
    return program, truth(201)


@fault("the training hangs", ("stalled", "killed", "silent"), is_killed=True, patience_s=75)
def stall():
    program = digits_mlp(optimizer=adam(1e-3))
    program.hangs_at = 150
    return program, truth(150)
