# SPDX-License-Identifier: Apache-2.0
"""The unseen kinds: written together with the judge's (third.py), before those were run for the first
time, and run once, when all work on the rules was done. Nobody tunes a rule for them."""
import math

import torch
from torch import nn
from torch.nn import functional as F

from . import data, zoo
from .faulty import BLOWN_UP, FLIPS, NONFINITE, STILL, change_from, fault, grow, truth
from .programs import (Contrastive, LanguageModel, Scaled, Supervised, adam, adamw, half_entropy,
                       sgd, step_decay, warm_cosine)
from .second import Deep, Patches
from .third import Adding, Experts, Words

FAULTY = []


def unseen(cause, kinds, pace="sudden", **options):
    return fault(cause, kinds, pace, into=FAULTY, **options)


class Mixer(nn.Module):
    """An MLP-mixer on 16 patches of 2 x 2."""

    def __init__(self, width=24):
        super().__init__()
        self.patch = nn.Linear(4, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.over = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.inside = nn.Sequential(nn.Linear(width, 48), nn.GELU(), nn.Linear(48, width))
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.patch(F.unfold(x, 2, stride=2).transpose(1, 2))
        x = x + self.over(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.inside(self.norm2(x))
        return self.head(x.mean(1))


class Gauss(nn.Module):
    """Foretells a mean and the logarithm of a deviation."""

    def __init__(self, n_in=10):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh())
        self.mean, self.log_sigma = nn.Linear(48, 1), nn.Linear(48, 1)

    def forward(self, x):
        x = self.body(x)
        return self.mean(x), self.log_sigma(x)


class Likely(Supervised):
    """Regression by the likelihood of a Gaussian: the loss may be negative."""

    def __init__(self, **options):
        x, y = data.diabetes()
        super().__init__(Gauss(), (x, y.unsqueeze(1)), None, **options)

    def loss_of(self, x, y):
        mean, log_sigma = self.model(x)
        return (log_sigma + 0.5 * ((y - mean) / log_sigma.exp()) ** 2).mean()


# ---- healthy ----

def mixer_smoothed():
    return Supervised(Mixer(), data.digits(), optimizer=adamw(3e-3, weight_decay=0.01),
                      measure=lambda given, y: F.cross_entropy(given, y, label_smoothing=0.1),
                      schedule=warm_cosine(20, 400), n_steps=400, val_every=40)


def gaussian_likelihood():
    return Likely(optimizer=adam(1e-3), n_steps=400, val_every=25)


def adding_rows():
    """A recurrent network stays on a plateau, then it gets it."""
    return Adding(10, optimizer=adam(3e-3), clip=1.0, n_steps=800)


def rmsprop_cnn():
    return Supervised(Deep(), data.digits(), n_steps=500, schedule=step_decay(500),
                      optimizer=lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.9))


def curriculum():
    """Pieces of text become longer at a step that the user notes as an event."""
    program = LanguageModel(zoo.Letters, length=32, optimizer=adam(3e-3), clip=1.0, n_batch=16)
    whole = program.table
    program.table = (whole[0][:, :9], whole[1][:, :9])
    program.events[150] = "longer pieces"
    program.at(150, lambda: setattr(program, "table", whole))
    return program


def big_batch_lamb():
    """A learning rate per layer (LARS), batches of 256, dropout."""
    program = Supervised(zoo.mlp(width=96, dropout=0.2), data.digits(), n_batch=256, n_steps=300,
                         optimizer=sgd(0.1, weight_decay=1e-4), val_every=30)

    def scale(step):
        for p in program.model.parameters():
            if p.dim() > 1:
                p.grad.mul_(min(10.0, 0.1 * p.norm().item() / (p.grad.norm().item() + 1e-9)))
    program.after_backward.append(scale)
    return program


HEALTHY = [mixer_smoothed, gaussian_likelihood, adding_rows, rmsprop_cnn, curriculum,
           big_batch_lamb]


# ---- faulty ----

@unseen("pictures are negatives from a step on", ("input_data", *FLIPS))
def negative_pictures():
    program = Supervised(Mixer(), data.digits(), optimizer=adam(2e-3))
    change_from(program, 180, lambda x, y: (1 - x, y))
    return program, truth(180)


@unseen("a parameter group's learning rate is a thousand times too high from a step on",
        ("lr_jump", *BLOWN_UP))
def group_lr():
    model = Mixer()
    program = Supervised(model, data.digits(), optimizer=lambda _: torch.optim.Adam([
        {"params": [p for n, p in model.named_parameters() if not n.startswith("inside")]},
        {"params": model.inside.parameters()}], 1e-3))
    program.at(160, lambda: program.optimizer.param_groups[1].update(lr=1.0))
    return program, truth(160)


@unseen("a deviation goes to zero: the likelihood is without bound", (
    "overflow", "norm_drift", *BLOWN_UP), "slow")
def likelihood_unbound():
    program = Likely(optimizer=adam(3e-3), n_steps=400)
    change_from(program, 150, lambda x, y: (x, torch.zeros_like(y)))
    return program, truth(150, ["log_sigma", "mean"])


@unseen("a bug in the augmentation blanks whole pictures in nine of ten cases",
        ("input_data", "loss_spike", "divergence"))
def cutout_all():
    program = Supervised(Patches(), data.digits(), optimizer=adam(1e-3))
    change_from(program, 170, lambda x, y: (
        x * (torch.rand(len(x)) < 0.1).float().view(-1, 1, 1, 1), y))
    return program, truth(170)


@unseen("gradients are multiplied by the loss scale and never divided again", BLOWN_UP)
def scale_not_removed():
    program = Supervised(Deep(), data.digits(), optimizer=sgd(0.02))

    def spoil(step):
        if step >= 150:
            for p in program.model.parameters():
                p.grad *= 256.0
    program.after_backward.append(spoil)
    return program, truth(150)


@unseen("an expert's weights grow by 5 % a step", ("norm_drift", *BLOWN_UP), "slow")
def expert_grows():
    program = Supervised(Experts(), data.digits(), optimizer=adam(1e-3))
    grow(program, 130, program.model.experts[2][2].weight, 1.05)
    return program, truth(132, ["experts.2", "experts.2.2", "experts"])


@unseen("a contrastive batch holds one picture only, from a step on", (
    "repeated_batch", "input_data", "loss_spike", "collapse", "divergence"))
def one_picture():
    program = Contrastive(optimizer=adam(1e-3), n_batch=32)
    change_from(program, 170, lambda x, y: (x[:1].expand_as(x).contiguous(), y))
    return program, truth(170)


@unseen("a cosine schedule is run beyond its end: the learning rate is 0 and stays there",
        ("lr_jump", *STILL))
def schedule_over():
    program = Supervised(zoo.Rows(), data.digits(), optimizer=adam(2e-3), n_steps=400)
    program.schedule = torch.optim.lr_scheduler.LambdaLR(
        program.optimizer, lambda step: max(0.0, 1 - step / 200))
    return program, truth(200)


@unseen("a mask hides every word of a row: softmax of nothing", NONFINITE)
def empty_mask():
    program = LanguageModel(zoo.Gpt, optimizer=adamw(2e-3), clip=1.0, n_batch=12)
    scores = program.model.blocks[1].scores
    plain = scores.forward

    def hide(q, k):
        given = plain(q, k)
        if program.now == 160:
            given = given.clone()
            given[5, :, 9] = -math.inf
        return given
    scores.forward = hide

    def note(step, x, y):
        program.now = step
        return x, y
    program.now = 0
    program.changes.append(note)
    return program, truth(160, ["blocks.1", "blocks.1.scores", "blocks.1.proj"])


@unseen("the head of a text model is trained on words of another dictionary from a step on", FLIPS)
def other_dictionary():
    from .third import PostNorm
    program = Words(PostNorm(n_layers=1), optimizer=adam(2e-3), n_batch=24, n_steps=320)
    change = torch.randperm(400, generator=torch.Generator().manual_seed(5))
    change_from(program, 200, lambda x, y: (x, change[y]))
    return program, truth(200)


@unseen("the loss scale is far too small: half of all gradients become 0", (
    "gradient_depth", "frozen_weights", "update_size", "plateau"), "standing")
def tiny_loss_scale():
    model = zoo.mlp()
    model.add_module("low", zoo.Half())
    program = Scaled(model, data.digits(), half_entropy, adam(1e-3))
    program.loss_scale = 2.0 ** -22
    return program, truth(1)
