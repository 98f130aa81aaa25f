# SPDX-License-Identifier: Apache-2.0
"""Training programs as people write them, with places where a fault can be put in.

A program has models, optimisers and train_step(), which does one step and gives what the program
logs of it. `changes` are functions (step, x, y) -> (x, y) between the data and the model;
`actions` are called once before a step; `after_backward` are called with the step between
backward() and the optimiser's step."""
import math
import time

import torch
from torch import nn
from torch.nn import functional as F

from . import data, zoo


class Program:
    """What all have in common: data in shuffled epochs, and places for faults."""

    def __init__(self, n_data, n_batch=32, n_steps=300):
        self.n_steps = n_steps
        self.n_batch = n_batch
        self.n_data = n_data
        self.models = []          # (name or None, module, [optimisers])
        self.changes = []
        self.actions = {}         # step: functions
        self.after_backward = []
        self.after_step = []
        self.before_log = []      # functions (step, logged values)
        self.events = {}          # step: text that the program itself notes
        self.every = 1            # steps from one measurement of its tensors to the next
        self.first_step = 0
        self.restarts = ()        # steps before which its process ends and goes on
        self.hangs_at = None      # it stands still in this step
        self.sleep_s = None       # function of the step: how long it dawdles
        self.results = None       # of each sample of the step: what log(samples=) takes
        self._shuffle = torch.Generator().manual_seed(torch.initial_seed())
        self._left = []

    def at(self, step, action):
        self.actions.setdefault(step, []).append(action)

    def draw(self, step):
        """Indices of the next batch: each sample once an epoch, in an order of its own."""
        while len(self._left) < self.n_batch:
            self._left += torch.randperm(self.n_data, generator=self._shuffle).tolist()
        indices, self._left = self._left[:self.n_batch], self._left[self.n_batch:]
        return indices

    def hang(self, step):
        if self.sleep_s:
            time.sleep(self.sleep_s(step))
        if step == self.hangs_at:
            time.sleep(3600)

    def run_step(self, step):
        """Do one step; returns (values to log, indices of the batch or None)."""
        for action in self.actions.pop(step, []):
            action()
        values, indices = self.train_step(step)
        for one in self.before_log:
            one(step, values)
        return values, indices


class Supervised(Program):
    """One model, one loss, one optimiser, and the usual extras."""

    def __init__(self, model, table, measure=None, optimizer=None, schedule=None, clip=None,
                 n_accumulate=1, val_every=0, context=None, n_train=None, **options):
        n_train = n_train or int(0.85 * len(table[0]))
        super().__init__(n_train, **options)
        self.model = model
        self.table = table
        self.measure = measure or F.cross_entropy
        self.optimizer = (optimizer or (lambda p: torch.optim.Adam(p, 2e-3)))(model.parameters())
        self.models = [(None, model, [self.optimizer])]
        self.schedule = schedule(self.optimizer) if schedule else None
        self.clip = clip
        self.n_accumulate = n_accumulate
        self.val_every = val_every
        self.context = context      # autocast or the like
        self.does_zero = True
        self.does_eval = True       # evaluation switches to eval mode
        self.returns_to_train = True  # ... and back
        self.scale = 1.0            # of the loss

    def fetch(self, step):
        indices = self.draw(step)
        x, y = self.table[0][indices], self.table[1][indices]
        for change in self.changes:
            x, y = change(step, x, y)
        return indices, x, y

    def loss_of(self, x, y):
        return self.measure(self.model(x), y)

    def train_step(self, step):
        if self.does_zero:
            self.optimizer.zero_grad()
        total, all_indices = 0.0, []
        for _ in range(self.n_accumulate):
            indices, x, y = self.fetch(step)
            all_indices += indices
            if self.context:
                with self.context():
                    loss = self.loss_of(x, y)
            else:
                loss = self.loss_of(x, y)
            loss = loss * self.scale / self.n_accumulate
            loss.backward()
            total += loss.item()
        for one in self.after_backward:
            one(step)
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        for one in self.after_step:
            one(step)
        values = {"loss": total, "lr": self.optimizer.param_groups[0]["lr"]}
        if self.schedule:
            self.schedule.step()
        if self.val_every and (step + 1) % self.val_every == 0:
            values["val/loss"] = self.validate()
        return values, all_indices

    def validate(self):
        if self.does_eval:
            self.model.eval()
        with torch.no_grad():
            x, y = self.table[0][self.n_data:], self.table[1][self.n_data:]
            loss = self.loss_of(x[:256], y[:256]).item()
        if self.returns_to_train:
            self.model.train()
        return loss


class Judged(Supervised):
    """Logs of each sample its loss and whether it was recognised."""

    def loss_of(self, x, y):
        given = self.model(x)
        losses = F.cross_entropy(given, y, reduction="none")
        self.results = {"loss": losses.detach(), "correct": given.argmax(1) == y, "label": y}
        return losses.mean()


class Scaled(Supervised):
    """Mixed precision with a dynamic loss scale, as a GradScaler does it: gradients pass float16
    within the model (zoo.Half); those overflow are skipped, and the scale is halved."""

    loss_scale = 4096.0
    n_good = 0

    def train_step(self, step):
        self.optimizer.zero_grad()
        indices, x, y = self.fetch(step)
        loss = self.loss_of(x, y)
        (loss * self.loss_scale).backward()
        for one in self.after_backward:
            one(step)
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        for grad in grads:
            grad /= self.loss_scale
        is_good = all(bool(torch.isfinite(grad).all()) for grad in grads)
        if is_good:
            self.optimizer.step()
            self.n_good += 1
            if self.n_good % 200 == 0:
                self.loss_scale *= 2
        else:
            self.loss_scale = max(self.loss_scale / 2, 1e-6)
        return {"loss": loss.item(), "loss_scale": self.loss_scale}, indices


class Variational(Supervised):
    """A VAE; logs its two terms."""

    def __init__(self, beta=1.0, act=torch.tanh, **options):
        super().__init__(zoo.Vae(act=act), data.digits(), **options)
        self.beta = beta
        self.terms = (0.0, 0.0)

    def loss_of(self, x, y):
        logits, mu, logvar, var = self.model(x)
        target = x.flatten(1).clamp(0, 1)
        picture = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1).mean()
        code = 0.5 * (mu.pow(2) + var - 1 - logvar).sum(1).mean()
        self.terms = (picture.item(), code.item())
        return picture + self.beta * code

    def train_step(self, step):
        values, indices = super().train_step(step)
        values.update(reconstruction=self.terms[0], kl=self.terms[1])
        return values, indices


class Gan(Program):
    """Two models that play against each other."""

    def __init__(self, lr_g=2e-3, lr_d=1e-3, **options):
        super().__init__(1797, **options)
        self.g, self.d = zoo.generator(), zoo.discriminator()
        self.opt_g = torch.optim.Adam(self.g.parameters(), lr_g, betas=(0.5, 0.999))
        self.opt_d = torch.optim.Adam(self.d.parameters(), lr_d, betas=(0.5, 0.999))
        self.models = [("G", self.g, [self.opt_g]), ("D", self.d, [self.opt_d])]
        self.noise_gain = 1.0

    def train_step(self, step):
        indices = self.draw(step)
        real = data.digits()[0][indices].flatten(1)
        real = (real + 0.05 * torch.randn_like(real)).clamp(0, 1)
        z = torch.randn(self.n_batch, 16) * self.noise_gain
        fake = self.g(z)
        self.opt_d.zero_grad()
        on_real, on_fake = self.d(real), self.d(fake.detach())
        loss_d = (F.binary_cross_entropy_with_logits(on_real, torch.full_like(on_real, 0.9)) +
                  F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake)))
        loss_d.backward()
        self.opt_d.step()
        self.opt_g.zero_grad()
        judged = self.d(fake)
        loss_g = F.binary_cross_entropy_with_logits(judged, torch.ones_like(judged))
        loss_g.backward()
        self.opt_g.step()
        return {"d_loss": loss_d.item(), "g_loss": loss_g.item(),
                "d_real": torch.sigmoid(on_real).mean().item(),
                "d_fake": torch.sigmoid(on_fake).mean().item()}, indices


class Recommender(Supervised):
    def __init__(self, **options):
        users, items, counts = data.ratings()
        where = torch.stack((users, items), 1)
        order = torch.randperm(len(where), generator=torch.Generator().manual_seed(7))
        model = zoo.Factors(int(users.max()) + 1, int(items.max()) + 1)
        super().__init__(model, (where[order], counts[order]), F.mse_loss, **options)

    def loss_of(self, x, y):
        return self.measure(self.model(x[:, 0], x[:, 1]), y)


class LanguageModel(Supervised):
    """Predicts the next letter."""

    def __init__(self, make, length=32, **options):
        row, n_letters = data.letters()
        pieces = row[:len(row) // (length + 1) * (length + 1)].view(-1, length + 1)
        super().__init__(make(n_letters), (pieces, pieces), None, **options)

    def loss_of(self, x, y):
        given = self.model(x[:, :-1])
        return F.cross_entropy(given.reshape(-1, given.shape[-1]), y[:, 1:].reshape(-1))


class Contrastive(Supervised):
    """Two views of a picture belong together (NT-Xent)."""

    def __init__(self, **options):
        super().__init__(zoo.mlp(n_out=16), data.digits(), None, **options)

    def loss_of(self, x, y):
        views = []
        for _ in range(2):
            shift = int(torch.randint(-1, 2, (1,)))
            view = torch.roll(x, shift, 3) + 0.1 * torch.randn_like(x)
            views.append(F.normalize(self.model(view), dim=1))
        like = torch.cat(views) @ torch.cat(views).T / 0.3
        like.fill_diagonal_(-1e9)
        n = len(x)
        return F.cross_entropy(like, torch.cat((torch.arange(n, 2 * n), torch.arange(n))))


class Policy(Supervised):
    """REINFORCE: an agent is shown a digit, names a class, and is paid when it is right."""

    def __init__(self, **options):
        super().__init__(zoo.mlp(), data.digits(), None, **options)
        self.usual = 0.1
        self.paid = 0.0

    def loss_of(self, x, y):
        chances = torch.distributions.Categorical(logits=self.model(x))
        choice = chances.sample()
        reward = (choice == y).float()
        self.paid = reward.mean().item()
        loss = -(chances.log_prob(choice) * (reward - self.usual)).mean()
        self.usual = 0.95 * self.usual + 0.05 * self.paid
        return loss - 0.02 * chances.entropy().mean()

    def train_step(self, step):
        values, indices = super().train_step(step)
        values["reward"] = self.paid
        return values, indices


class Siamese(Supervised):
    """Like digits shall lie near each other: the loss is of a bare root."""

    def __init__(self, **options):
        model = nn.Sequential()
        model.add_module("body", zoo.mlp(n_out=12, n_hidden=1, act=nn.Tanh))
        model.add_module("distance", zoo.Distance())
        super().__init__(model, data.digits(), None, **options)

    def loss_of(self, x, y):
        half = len(x) // 2
        apart = self.model.distance(self.model.body(x[:half]) - self.model.body(x[half:]))
        same = (y[:half] == y[half:]).float()
        return (same * apart.pow(2) + (1 - same) * F.relu(2 - apart).pow(2)).mean()


def half_entropy(given, y):
    """Cross entropy of what a model of float16 gives."""
    return F.cross_entropy(given.float(), y)


def warm_cosine(n_warm, n_steps):
    """A schedule: linear warm-up, then half a cosine."""
    def factor(step):
        if step < n_warm:
            return (step + 1) / n_warm
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - n_warm) / (n_steps - n_warm)))
    return lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def step_decay(n_steps):
    return lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, n_steps // 3, 0.1)


def sgd(lr, momentum=0.9, **options):
    return lambda parameters: torch.optim.SGD(parameters, lr, momentum=momentum, **options)


def adam(lr, **options):
    return lambda parameters: torch.optim.Adam(parameters, lr, **options)


def adamw(lr, **options):
    return lambda parameters: torch.optim.AdamW(parameters, lr, **options)
