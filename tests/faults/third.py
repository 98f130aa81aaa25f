# SPDX-License-Identifier: Apache-2.0
"""The judge's kinds: written by someone who played the sceptic after the rules had been tuned, with
models, data and mistakes of their own. Their first run is told in docs/RULES.md; what it showed
was thought about, so they are known now."""
import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

from . import data, zoo
from .faulty import BLOWN_UP, FLIPS, NONFINITE, STILL, change_from, fault, truth
from .programs import Program, Supervised, adam, adamw, sgd

FAULTY = []


def judge(cause, kinds, pace="sudden", **options):
    return fault(cause, kinds, pace, into=FAULTY, **options)


class Adding(Supervised):
    """A recurrent network adds up the numbers of a row that are marked."""

    def __init__(self, length=16, **options):
        self.length = length
        model = zoo.Letters(1, core=nn.RNN)
        model.embed = nn.Linear(2, 24)
        model.out = nn.Linear(48, 1)
        super().__init__(model, (torch.zeros(2000, 1), torch.zeros(2000)), None, **options)

    def loss_of(self, x, y):
        n = len(x)
        numbers = torch.rand(n, self.length)
        marks = torch.zeros(n, self.length)
        marks.scatter_(1, torch.rand(n, self.length).topk(2).indices, 1.0)
        wanted = (numbers * marks).sum(1)
        row = torch.stack((numbers, marks), 2)
        return F.mse_loss(self.model(row)[:, -1, 0], wanted)


class PostNorm(nn.Module):
    """An encoder as in the first transformers: norms after the sums, over words."""

    def __init__(self, n_words=400, width=32, n_layers=3, n_classes=None):
        super().__init__()
        self.embed = nn.Embedding(n_words, width)
        self.place = nn.Embedding(24, width)
        layer = nn.TransformerEncoderLayer(width, 4, 64, 0.0, batch_first=True)
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(n_layers))
        for one in self.layers:
            for p in one.parameters():
                if p.dim() > 1:
                    nn.init.xavier_uniform_(p)
        self.head = nn.Linear(width, n_classes or n_words)

    def forward(self, x):
        x = self.embed(x) + self.place(torch.arange(x.shape[1]))
        mask = torch.full((x.shape[1], x.shape[1]), -math.inf).triu(1)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(x)


class Words(Supervised):
    """Foretells the next word."""

    def __init__(self, model, length=16, **options):
        row = data.words()
        pieces = row[:len(row) // (length + 1) * (length + 1)].view(-1, length + 1)
        super().__init__(model, (pieces, pieces), None, **options)

    def loss_of(self, x, y):
        given = self.model(x[:, :-1])
        return F.cross_entropy(given.reshape(-1, given.shape[-1]), y[:, 1:].reshape(-1))


class Twin(Supervised):
    """Two views of a picture shall be foretold from each other, by a slow copy of the model."""

    def __init__(self, does_stop=True, **options):
        model = nn.ModuleDict({"net": zoo.mlp(n_out=16)})
        if does_stop:
            model["guess"] = zoo.mlp(16, 32, 1, 16)
        self.does_stop = does_stop
        super().__init__(model, data.digits(), None, **options)
        self.slow = copy.deepcopy(model["net"]).requires_grad_(False)
        self.after_step.append(self.follow)

    def follow(self, step):
        for a, b in zip(self.slow.parameters(), self.model["net"].parameters()):
            a.data.lerp_(b.data, 0.02)

    def loss_of(self, x, y):
        views = [torch.roll(x, int(torch.randint(-1, 2, (1,))), 3) + 0.1 * torch.randn_like(x)
                 for _ in range(2)]
        net = self.model["net"]
        if self.does_stop:
            guess = self.model["guess"]
            with torch.no_grad():
                goals = [self.slow(view) for view in views]
            mine = [guess(net(view)) for view in views]
        else:
            mine = goals = [net(view) for view in views]
        return (2 - F.cosine_similarity(mine[0], goals[1]).mean() -
                F.cosine_similarity(mine[1], goals[0]).mean())


class Quantised(nn.Module):
    """A VQ autoencoder: a code is the nearest row of a book."""

    def __init__(self, n_codes=64, width=8):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4 * width))
        self.book = nn.Embedding(n_codes, width)
        nn.init.uniform_(self.book.weight, -0.1, 0.1)
        self.decode = nn.Sequential(nn.Linear(4 * width, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x):
        z = self.encode(x.flatten(1)).view(-1, 4, 8)
        code = self.book(torch.cdist(z.detach().reshape(-1, 8), self.book.weight).argmin(1))
        code = code.view_as(z)
        passed = z + (code - z).detach()
        extra = F.mse_loss(code, z.detach()) + 0.25 * F.mse_loss(z, code.detach())
        return self.decode(passed.flatten(1)), extra


class Siren(nn.Module):
    """Sines in place of rectifiers: draws one picture."""

    def __init__(self, width=32):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, width), nn.Linear(width, width)])
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = torch.sin((10.0 if i == 0 else 1.0) * layer(x))
        return self.out(x)


class Experts(nn.Module):
    """Each sample goes to one of six experts, by a gate with noise, so that none is left out."""

    def __init__(self, width=32, n_experts=6):
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.gate = nn.Linear(width, n_experts)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.ReLU(),
                                                   nn.Linear(width, width))
                                     for _ in range(n_experts))
        self.out = nn.Linear(width, 10)

    def forward(self, x):
        x = F.relu(self.stem(x.flatten(1)))
        wish = self.gate(x)
        share, which = (wish + torch.randn_like(wish)).softmax(1).max(1)
        mixed = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            rows = torch.nonzero(which == i).flatten()
            if len(rows):
                mixed = mixed.index_add(0, rows, expert(x[rows]) * share[rows, None])
        return self.out(x + mixed)


class Walker(Program):
    """Q-learning on a ring of 24 places with a pay at one: noisy targets, a target network that is
    renewed every 100 steps, a growing memory."""

    def __init__(self, **options):
        super().__init__(1000, **options)
        self.net = zoo.mlp(24, 32, 2, 2)
        self.target = copy.deepcopy(self.net)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 1e-3)
        self.models = [(None, self.net, [self.optimizer])]
        self.memory, self.place = [], 0

    def play(self):
        state = F.one_hot(torch.tensor(self.place), 24).float()
        with torch.no_grad():
            left = self.net(state[None]).argmax(1).item()
        if torch.rand(()) < 0.3:
            left = int(torch.randint(0, 2, ()))
        after = (self.place + (1 if left else -1)) % 24
        reward = 1.0 if after == 12 else 0.0
        self.memory.append((self.place, left, reward, after))
        self.place = int(torch.randint(0, 24, ())) if reward else after

    def train_step(self, step):
        for _ in range(4 if step else 64):
            self.play()
        rows = torch.tensor([self.memory[i] for i in
                             torch.randint(0, len(self.memory), (32,)).tolist()])
        at, after = (F.one_hot(rows[:, i].long(), 24).float() for i in (0, 3))
        with torch.no_grad():
            goal = rows[:, 2] + 0.9 * (rows[:, 2] == 0) * self.target(after).max(1).values
        loss = F.smooth_l1_loss(self.net(at).gather(1, rows[:, 1:2].long()).squeeze(1), goal)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if step % 100 == 99:
            self.target.load_state_dict(self.net.state_dict())
        return {"loss": loss.item(), "reward": rows[:, 2].mean().item()}, None


class Hinge(Program):
    """A GAN with a hinge loss and spectral norms; the generator steps every second time."""

    def __init__(self, **options):
        super().__init__(1797, **options)
        self.g = zoo.generator()
        self.d = zoo.discriminator()
        for name in ("fc1", "fc2", "out"):
            nn.utils.spectral_norm(getattr(self.d, name))
        self.opt_g = torch.optim.Adam(self.g.parameters(), 1e-3, betas=(0.0, 0.9))
        self.opt_d = torch.optim.Adam(self.d.parameters(), 2e-3, betas=(0.0, 0.9))
        self.models = [("G", self.g, [self.opt_g]), ("D", self.d, [self.opt_d])]

    def train_step(self, step):
        indices = self.draw(step)
        real = data.digits()[0][indices].flatten(1)
        fake = self.g(torch.randn(self.n_batch, 16))
        self.opt_d.zero_grad()
        loss_d = F.relu(1 - self.d(real)).mean() + F.relu(1 + self.d(fake.detach())).mean()
        loss_d.backward()
        self.opt_d.step()
        values = {"loss/discriminator": loss_d.item()}
        if step % 2:
            self.opt_g.zero_grad()
            loss_g = -self.d(fake).mean()
            loss_g.backward()
            self.opt_g.step()
            values["loss/generator"] = loss_g.item()
        return values, indices


# ---- healthy ----

def warm_restarts():
    """A cosine that leaps back to its height every 80 steps."""
    return Supervised(zoo.Cnn(dropout=0.0), data.digits(), optimizer=sgd(0.05), n_steps=400,
                      schedule=lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
                          o, 80))


def gradual_unfreeze():
    """The body is unfrozen layer by layer, each with a smaller learning rate."""
    model = zoo.mlp(n_hidden=3)
    for name in ("fc1", "fc2", "fc3"):
        getattr(model, name).requires_grad_(False)
    program = Supervised(model, data.digits(), optimizer=lambda _: torch.optim.AdamW(
        model.out.parameters(), 3e-3))
    for i, name in enumerate(("fc3", "fc2", "fc1")):
        def free(name=name, i=i):
            part = getattr(model, name).requires_grad_(True)
            program.optimizer.add_param_group({"params": part.parameters(), "lr": 1e-3 / (i + 1)})
        program.at(80 + 60 * i, free)
    return program


def q_learning():
    return Walker(n_steps=600)


def hinge_gan():
    return Hinge(n_steps=400)


def slow_copy():
    """A student and its slow copy (BYOL)."""
    return Twin(optimizer=adam(1e-3), n_steps=300)


def exact_line():
    """A line without noise: the loss falls until rounding stops it, and rises and falls there."""
    x = torch.linspace(-1, 1, 200).unsqueeze(1)
    return Supervised(nn.Linear(1, 1), (x, 3 * x - 1), F.mse_loss, adam(0.05), n_steps=1500)


def tiny_batches():
    """Four samples a batch: the loss is mostly noise with heavy tails."""
    return Supervised(zoo.mlp(), data.digits(), optimizer=sgd(0.02), n_batch=4, n_steps=1500)


def sines():
    grid = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8),
                                      indexing="ij"), 2).view(-1, 2)
    return Supervised(Siren(), (grid.repeat(40, 1), data.digits()[0][:40].mean(0).view(-1, 1)
                                .repeat(40, 1)), F.mse_loss, adam(1e-3), n_batch=64)


def code_book():
    class Coded(Supervised):
        def loss_of(self, x, y):
            picture, extra = self.model(x)
            return F.mse_loss(picture, x.flatten(1)) + extra
    return Coded(Quantised(), data.digits(), optimizer=adam(5e-4))


def experts():
    return Supervised(Experts(), data.digits(), optimizer=adam(2e-3))


def long_calm():
    """Six thousand steps, most of them long after all is learnt; what is evaluated would overfit."""
    return Supervised(zoo.mlp(30, 16, 1, 2), data.cancer(), n_steps=6000,
                      optimizer=sgd(0.02, weight_decay=1e-3))


def words_adagrad():
    return Words(PostNorm(n_layers=1), n_batch=24,
                 optimizer=lambda p: torch.optim.Adagrad(p, 0.03))


def rare_class():
    """One sample in thirty is positive, the last layer is a sigmoid that is sure of most."""
    x, y = data.digits()
    keep = torch.arange(len(y))
    model = zoo.mlp(n_out=1)
    model.add_module("chance", nn.Sigmoid())
    return Supervised(model, (x[keep], ((y == 7) & (keep % 3 == 0)).float().unsqueeze(1)),
                      F.binary_cross_entropy, adam(2e-3), n_batch=64, n_steps=400)


HEALTHY = [warm_restarts, gradual_unfreeze, q_learning, hinge_gan, slow_copy, exact_line,
           tiny_batches, sines, code_book, experts, long_calm, words_adagrad, rare_class]


# ---- faulty ----

@judge("one word's row of the embedding is NaN", NONFINITE)
def word_row_nan():
    program = Words(PostNorm(n_layers=1), optimizer=adam(1e-3), n_batch=24)

    def spoil():
        with torch.no_grad():
            program.model.embed.weight[0, 3] = math.nan
    program.at(140, spoil)
    return program, truth(140, ["embed"])


@judge("batch norm is given batches of two", ("loss_spike", "divergence", "norm_drift", "collapse",
                                             "grad_explosion"))
def norm_of_two():
    model = zoo.mlp()
    model.fc1 = nn.Sequential(nn.Linear(64, 48), nn.BatchNorm1d(48))
    program = Supervised(model, data.digits(), optimizer=adam(2e-3), n_steps=320)
    program.at(200, lambda: setattr(program, "n_batch", 2))
    return program, truth(200)


@judge("after the first epoch the loader gives its last batch for ever", ("repeated_batch",))
def stuck_loader():
    program = Supervised(Experts(), data.digits(), optimizer=adam(1e-3), n_batch=16)
    draw, last = program.draw, []
    program.draw = lambda step: last[0] if step >= 95 else last.__setitem__(
        slice(None), [draw(step)]) or last[0]
    return program, truth(95)


@judge("weight decay on everything is far too strong from the start",
       ("norm_drift", "update_size", "plateau", "collapse", "dead_units", "noise_gradient",
        "gradient_depth"), "standing")
def decay_from_start():
    return Supervised(zoo.Cnn(with_norm=False), data.digits(), n_steps=300,
                      optimizer=sgd(0.02, weight_decay=0.3)), truth(1)


@judge("a post-norm transformer gets its full learning rate after three steps",
       (*BLOWN_UP, "plateau", "collapse", "gradient_depth", "noise_gradient"), "standing")
def short_warmup():
    return Words(PostNorm(n_layers=4), n_batch=24, optimizer=adam(0.05),
                 schedule=lambda o: torch.optim.lr_scheduler.LambdaLR(
                     o, lambda step: min(1.0, (step + 1) / 3))), truth(1)


@judge("Adam without epsilon divides 0 by 0 where gradients are exactly 0", NONFINITE)
def adam_no_eps():
    return Words(PostNorm(n_layers=1), n_batch=4, optimizer=adam(1e-3, eps=0.0)), truth(
        1, ["embed"])


@judge("pictures come turned by a quarter from a step on", FLIPS)
def turned_pictures():
    program = Supervised(zoo.Cnn(dropout=0.0), data.digits(), optimizer=adam(2e-3))
    change_from(program, 190, lambda x, y: (torch.rot90(x, 1, (2, 3)), y))
    return program, truth(190)


@judge("targets are a hundred times larger from a step on", (*BLOWN_UP,))
def target_scale():
    x, y = data.diabetes()
    program = Supervised(zoo.mlp(10, 32, 2, 1), (x, y.unsqueeze(1)), F.mse_loss, adam(1e-3))
    change_from(program, 150, lambda x, y: (x, 100 * y))
    return program, truth(150)


@judge("forty pictures are learnt by heart by a convolution net", ("overfitting",), "slow")
def forty_pictures():
    program = Supervised(zoo.Cnn(with_norm=False, dropout=0.0), data.digits(), n_train=40,
                         optimizer=adam(3e-3), val_every=5, n_steps=400)
    losses = []

    def look(step, values):
        if "val/loss" in values:
            losses.append((values["val/loss"], step))
    program.before_log.append(look)
    return program, truth(lambda: min(losses)[1])


@judge("momentum of 0.999 swings itself up", (*BLOWN_UP, "plateau"), "standing")
def wild_momentum():
    return Supervised(zoo.mlp(), data.digits(), optimizer=sgd(0.2, 0.999)), truth(1)


@judge("the loss is summed over the batch instead of averaged, from a step on", BLOWN_UP)
def summed_loss():
    program = Supervised(zoo.Rows(), data.digits(), optimizer=sgd(0.05), clip=None)
    program.at(160, lambda: setattr(program, "measure", lambda given, y: F.cross_entropy(
        given, y, reduction="sum")))
    return program, truth(160)


@judge("biases creep downwards until rectifiers are dead", ("dead_units",), "slow")
def creeping_death():
    program = Supervised(zoo.mlp(width=32), data.digits(), optimizer=sgd(0.02), n_steps=400)

    def creep(step):
        if step >= 150:
            with torch.no_grad():
                program.model.fc2.bias -= 0.3
    program.after_step.append(creep)
    return program, truth(156, ["fc2", "act2"])


@judge("two views without negatives and without a stop: all pictures become one", ("collapse",),
       "slow")
def twins_collapse():
    return Twin(does_stop=False, optimizer=adam(2e-3), n_steps=400), truth(1, [
        f"net.{name}" for name in ("fc1", "act1", "fc2", "act2", "out")] + ["net"])


@judge("the schedule's epochs are counted in batches: the learning rate is nothing after 60 steps",
       ("lr_jump", *STILL), "slow")
def schedule_per_batch():
    return Supervised(zoo.Cnn(), data.digits(), optimizer=adam(1e-3), n_steps=400,
                      schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.8)), truth(45)


@judge("a sensor of a table gives always the same from a step on", ("input_data",))
def dead_sensor():
    x, y = data.cancer()
    program = Supervised(zoo.mlp(30, 32, 1, 2), (x, y), optimizer=adam(1e-3), n_steps=400)

    def stick(x, y):
        x = x.clone()
        x[:, 7] = 0.0
        return x, y
    change_from(program, 180, stick)
    return program, truth(180, ["input"], unit=7)


@judge("gradients are too small for float16 and become 0", ("frozen_weights", "gradient_depth",
                                                       "update_size", "plateau"), "standing")
def half_underflow():
    class Low(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return (g * 1e-6).half().float() * 1e6

    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.low, self.high = zoo.mlp(n_out=32), zoo.mlp(32, 32, 1)

        def forward(self, x):
            return self.high(Low.apply(self.low(x)))
    return Supervised(Body(), data.digits(), optimizer=adam(1e-3)), truth(
        1, ["low", "low.fc1", "low.fc2", "low.out", "low.act1", "low.act2"])
