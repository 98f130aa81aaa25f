# SPDX-License-Identifier: Apache-2.0
"""The second test set: kinds that were put aside, unseen, before rules were tuned again, with models
and mistakes of their own. Nobody tunes a rule for them."""
import math

import torch
from torch import nn
from torch.nn import functional as F

from . import data, zoo
from .faulty import (BLOWN_UP, FLIPS, NONFINITE, STILL, change_from, fault, grow, spoil_sample,
                     truth, two_ranks)
from .programs import (Gan, Judged, LanguageModel, Supervised, adam, adamw, sgd, step_decay,
                       warm_cosine)

FAULTY = []


class Patches(nn.Module):
    """A transformer that reads a picture as 16 patches of 2 x 2."""

    def __init__(self, width=32, n_layers=2):
        super().__init__()
        self.patch = nn.Linear(4, width)
        self.place = nn.Parameter(0.02 * torch.randn(16, width))
        layer = [nn.TransformerEncoderLayer(width, 4, 64, 0.1, "gelu", batch_first=True,
                                            norm_first=True) for _ in range(n_layers)]
        self.layers = nn.ModuleList(layer)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        x = F.unfold(x, 2, stride=2).transpose(1, 2)
        x = self.patch(x) + self.place
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(1))


class Deep(nn.Module):
    """Three convolutions with group norm and a strided path beside them."""

    def __init__(self, width=12):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.norm1, self.conv1 = nn.GroupNorm(3, width), nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(3, width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.short = nn.Conv2d(width, 2 * width, 1, stride=2)
        self.head = nn.Linear(2 * width, 10)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.conv1(F.silu(self.norm1(x)))
        x = self.short(x) + self.conv2(F.silu(self.norm2(x)))
        return self.head(F.silu(x).mean((2, 3)))


class Denoiser(nn.Module):
    """Tells the noise that was added to a picture, given how much it was."""

    def __init__(self):
        super().__init__()
        self.time = nn.Linear(1, 16)
        self.body = zoo.mlp(80, 96, 2, 64, nn.SiLU)

    def forward(self, x, t):
        return self.body(torch.cat((x, F.silu(self.time(t))), 1))


class Diffusion(Supervised):
    def __init__(self, **options):
        super().__init__(Denoiser(), data.digits(), None, **options)

    def loss_of(self, x, y):
        t = torch.rand(len(x), 1)
        noise = torch.randn(len(x), 64)
        clean = 2 * x.flatten(1) - 1
        return F.mse_loss(self.model((1 - t).sqrt() * clean + t.sqrt() * noise, t), noise)


class Critic(Supervised):
    """An agent that names digits, with a critic that foretells its pay: one body, two heads."""

    def __init__(self, **options):
        model = nn.ModuleDict({"body": zoo.mlp(n_out=32), "actor": nn.Linear(32, 10),
                               "critic": nn.Linear(32, 1)})
        super().__init__(model, data.digits(), None, **options)
        self.parts = (0.0, 0.0)

    def loss_of(self, x, y):
        hidden = F.relu(self.model["body"](x))
        chances = torch.distributions.Categorical(logits=self.model["actor"](hidden))
        worth = self.model["critic"](hidden).squeeze(1)
        choice = chances.sample()
        reward = (choice == y).float()
        actor = -(chances.log_prob(choice) * (reward - worth.detach())).mean()
        critic = F.mse_loss(worth, reward)
        self.parts = (actor.item(), critic.item())
        return actor + 0.5 * critic - 0.03 * chances.entropy().mean()

    def train_step(self, step):
        values, indices = super().train_step(step)
        values.update(actor_loss=self.parts[0], critic_loss=self.parts[1])
        return values, indices


# ---- healthy ----

def vit_patches():
    return Supervised(Patches(), data.digits(), optimizer=adamw(2e-3, weight_decay=0.05), clip=1.0,
                      schedule=warm_cosine(30, 300), val_every=50)


def group_norm_one_cycle():
    return Supervised(Deep(), data.digits(), optimizer=sgd(0.02), n_steps=300, schedule=lambda o:
                      torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=301))


def denoiser():
    return Diffusion(optimizer=adam(2e-3), n_batch=64)


def actor_critic():
    return Critic(optimizer=adam(3e-3), n_steps=400)


def noisy_labels_judged():
    """One label in five is wrong, as in real data; results per sample are logged."""
    x, y = data.digits()
    generator = torch.Generator().manual_seed(3)
    wrong = torch.rand(len(y), generator=generator) < 0.2
    y = torch.where(wrong, torch.randint(0, 10, y.shape, generator=generator), y)
    return Judged(zoo.mlp(), (x, y), optimizer=adam(2e-3), n_batch=64, n_steps=400)


HEALTHY = [vit_patches, group_norm_one_cycle, denoiser, actor_critic, noisy_labels_judged]


def later(cause, kinds, pace="sudden", **options):
    return fault(cause, kinds, pace, into=FAULTY, **options)


# ---- faulty ----

@later("the positional embedding is not among the optimiser's parameters", ("frozen_weights",),
       "standing")
def frozen_positions():
    program = LanguageModel(zoo.Gpt, n_batch=12, clip=1.0)
    program.optimizer = torch.optim.AdamW(
        [p for n, p in program.model.named_parameters() if not n.startswith("wpe")], 2e-3)
    program.models = [(None, program.model, [program.optimizer])]
    return program, truth(1, ["wpe"])


@later("weights are bfloat16: small updates are rounded away", STILL, "standing")
def bf16_weights():
    program = Supervised(zoo.mlp(width=64).bfloat16(), data.digits(), optimizer=sgd(1e-6, 0.0),
                         measure=lambda given, y: F.cross_entropy(given.float(), y))
    program.changes.append(lambda step, x, y: (x.bfloat16(), y))
    return program, truth(1)


@later("the loader fails and gives zeros for pictures", ("input_data", "dead_units", "loss_spike"))
def blank_pictures():
    program = Supervised(Deep(), data.digits(), optimizer=adam(2e-3))
    change_from(program, 160, lambda x, y: (torch.zeros_like(x), y))
    return program, truth(160)


@later("half of the model is initialised anew in the middle of training",
       ("loss_spike", "update_size", "divergence", "norm_drift", "grad_explosion"))
def layer_reset():
    program = Supervised(Patches(), data.digits(), optimizer=adam(1e-3), n_steps=320)

    def reset():
        for part in (program.model.layers[1], program.model.head):
            for module in part.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
    program.at(220, reset)
    return program, truth(220)


@later("a hand-written backward() gives one layer a thousandfold gradient",
       ("grad_explosion", "gradient_depth", *BLOWN_UP))
def backward_scaled():
    program = Supervised(Deep(), data.digits(), optimizer=sgd(0.01))

    def spoil(step):
        if step >= 170:
            program.model.conv1.weight.grad *= 1000
    program.after_backward.append(spoil)
    return program, truth(170, ["conv1"])


@later("one step with a learning rate 300 times too high kills rectifiers",
       ("lr_jump", "dead_units", *BLOWN_UP))
def one_wild_step():
    program = Supervised(zoo.mlp(width=64), data.digits(), optimizer=sgd(0.05, 0.0))
    program.at(150, lambda: program.optimizer.param_groups[0].update(lr=15.0))
    program.at(151, lambda: program.optimizer.param_groups[0].update(lr=0.05))
    return program, truth(150)


@later("a transformer begins with a learning rate that is 100 times too high", BLOWN_UP, "standing")
def transformer_no_warmup():
    return Supervised(Patches(), data.digits(), optimizer=adamw(0.2)), truth(1)


@later("the noise schedule divides by a time of 0", NONFINITE)
def time_zero():
    class Divided(Diffusion):
        now = 0

        def loss_of(self, x, y):
            t = 0.02 + 0.96 * torch.rand(len(x), 1)
            if self.now == 180:
                t[7] = 0.0
            noise = torch.randn(len(x), 64)
            clean = 2 * x.flatten(1) - 1
            noisy = (1 - t).sqrt() * clean + t.sqrt() * noise
            return (((self.model(noisy, t) - noise) ** 2) / t).mean() * 0.1

        def train_step(self, step):
            self.now = step
            return super().train_step(step)
    return Divided(optimizer=adam(1e-3)), truth(180)


@later("labels of two classes are swapped in a part of the data from a step on", FLIPS)
def two_classes_swapped():
    program = Judged(zoo.mlp(width=64), data.digits(), optimizer=adam(2e-3), n_batch=64,
                     n_steps=400)
    change_from(program, 260, lambda x, y: (x, torch.where(y == 3, 8, torch.where(y == 8, 3, y))))
    return program, truth(260)


@later("labels have nothing to do with the pictures", ("noise_gradient", "plateau"), "standing")
def labels_unrelated():
    x, y = data.digits()
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(11))]
    return Supervised(Deep(), (x, y), optimizer=sgd(0.01), n_steps=400), truth(1)


@later("the discriminator is given a learning rate of 100 times that before", ("collapse",
       "lr_jump", *BLOWN_UP), "slow")
def discriminator_runs_away():
    program = Gan(n_steps=400)
    program.at(200, lambda: program.opt_d.param_groups[0].update(lr=0.1))
    return program, truth(201)


@later("loading takes longer and longer", ("throughput",), "slow")
def loader_slows():
    program = Supervised(zoo.mlp(), data.digits(), optimizer=adam(1e-3), n_steps=400)
    program.sleep_s = lambda step: 0.02 * (1.0 if step < 200 else min(6, 1.03 ** (step - 200)))
    return program, truth(215)


@later("one rank's data hold an infinity", NONFINITE, n_ranks=2)
def rank_with_inf():
    program = two_ranks()

    def spoil(step, x, y):
        if step == 120 and program.rank == 1:
            x = x.clone()
            x[3, 0, 2, 2] = math.inf
        return x, y
    program.changes.append(spoil)
    return program, truth(120)


@later("an attention's output is multiplied more and more", ("norm_drift", *BLOWN_UP), "slow")
def projection_grows():
    program = Supervised(Patches(), data.digits(), optimizer=adam(1e-3),
                         schedule=step_decay(300))
    grow(program, 140, program.model.layers[0].self_attn.out_proj.weight, 1.04)
    return program, truth(142, ["layers.0.self_attn.out_proj", "layers.0.self_attn", "layers.0",
                                "layers.1"])


@later("a picture is a thousand times too bright", ("input_data", *BLOWN_UP))
def bright_picture():
    program = Supervised(Deep(), data.digits(), optimizer=adam(2e-3))
    sample = spoil_sample(program, 175, lambda x, y, i: x[i].mul_(1e3))
    return program, truth(175, ["input"], sample=lambda: sample[0])
