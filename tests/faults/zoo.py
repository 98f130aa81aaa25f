# SPDX-License-Identifier: Apache-2.0
"""The models: small, of every common kind, written as people write them. What can overflow is a
module of its own, as the tutorial advises, so that an alert can name it."""
import math

import torch
from torch import nn
from torch.nn import functional as F


def mlp(n_in=64, width=48, n_hidden=2, n_out=10, act=nn.ReLU, dropout=0.0):
    """Layers of names fc1, act1, fc2, act2, ..., out."""
    model = nn.Sequential()
    model.add_module("flat", nn.Flatten())
    for i in range(1, n_hidden + 1):
        model.add_module(f"fc{i}", nn.Linear(n_in if i == 1 else width, width))
        model.add_module(f"act{i}", act())
        if dropout > 0:
            model.add_module(f"drop{i}", nn.Dropout(dropout))
    model.add_module("out", nn.Linear(width, n_out))
    return model


class Cnn(nn.Module):
    """Two convolutions, with or without batch norm, and a classifier."""

    def __init__(self, with_norm=True, dropout=0.1):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8) if with_norm else nn.Identity()
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(16) if with_norm else nn.Identity()
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(64, 32)
        self.out = nn.Linear(32, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = self.drop(F.relu(self.fc(x.flatten(1))))
        return self.out(x)


class Exp(nn.Module):
    def forward(self, x):
        return torch.exp(x)


class Log(nn.Module):
    def forward(self, x):
        return torch.log(x)


class Vae(nn.Module):
    """Gives (reconstruction's logits, mu, logvar, exp(logvar))."""

    def __init__(self, n_latent=8, act=torch.tanh):
        super().__init__()
        self.act = act
        self.encode = nn.Linear(64, 48)
        self.mu = nn.Linear(48, n_latent)
        self.logvar = nn.Linear(48, n_latent)
        self.exp_logvar = Exp()
        self.decode1 = nn.Linear(n_latent, 48)
        self.decode2 = nn.Linear(48, 64)

    def forward(self, x):
        hidden = self.act(self.encode(x.flatten(1)))
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        var = self.exp_logvar(logvar)
        z = mu + torch.randn_like(mu) * var.sqrt()
        return self.decode2(F.relu(self.decode1(z))), mu, logvar, var


class Autoencoder(nn.Module):
    def __init__(self, n_code=12):
        super().__init__()
        self.down1, self.down2 = nn.Linear(64, 40), nn.Linear(40, n_code)
        self.up1, self.up2 = nn.Linear(n_code, 40), nn.Linear(40, 64)

    def forward(self, x):
        code = self.down2(F.gelu(self.down1(x.flatten(1))))
        return self.up2(F.gelu(self.up1(code)))


def generator(n_noise=16):
    model = nn.Sequential()
    model.add_module("fc1", nn.Linear(n_noise, 64))
    model.add_module("act1", nn.LeakyReLU(0.2))
    model.add_module("fc2", nn.Linear(64, 64))
    model.add_module("act2", nn.LeakyReLU(0.2))
    model.add_module("out", nn.Linear(64, 64))
    model.add_module("picture", nn.Sigmoid())
    return model


def discriminator():
    model = nn.Sequential()
    model.add_module("fc1", nn.Linear(64, 64))
    model.add_module("act1", nn.LeakyReLU(0.2))
    model.add_module("fc2", nn.Linear(64, 32))
    model.add_module("act2", nn.LeakyReLU(0.2))
    model.add_module("out", nn.Linear(32, 1))
    return model


class Letters(nn.Module):
    """A language model over letters with a recurrent core."""

    def __init__(self, n_letters, width=48, core=nn.LSTM):
        super().__init__()
        self.embed = nn.Embedding(n_letters, 24)
        self.core = core(24, width, batch_first=True)
        self.out = nn.Linear(width, n_letters)

    def forward(self, x):
        return self.out(self.core(self.embed(x))[0])


class Rows(nn.Module):
    """Reads a picture row by row and tells its class."""

    def __init__(self, width=40, core=nn.GRU):
        super().__init__()
        self.core = core(8, width, batch_first=True)
        self.out = nn.Linear(width, 10)

    def forward(self, x):
        return self.out(self.core(x.flatten(1).view(-1, 8, 8))[0][:, -1])


class Scores(nn.Module):
    """Attention's logits, masked to the past."""

    def forward(self, q, k):
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        return scores


class Block(nn.Module):
    def __init__(self, width, n_heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scores = Scores()
        self.n_heads = n_heads

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (part.view(b, t, self.n_heads, -1).transpose(1, 2)
                   for part in self.qkv(self.ln_1(x)).split(c, dim=2))
        mask = torch.ones(t, t, dtype=torch.bool).triu(1)
        mixed = F.softmax(self.scores(q, k).masked_fill(mask, float("-inf")), -1) @ v
        x = x + self.proj(mixed.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.ln_2(x))))


class Gpt(nn.Module):
    def __init__(self, n_letters, width=32, n_layers=2, n_heads=2, length=32):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(n_letters, width), nn.Embedding(length, width)
        nn.init.normal_(self.wte.weight, std=0.05)
        nn.init.normal_(self.wpe.weight, std=0.05)
        self.blocks = nn.ModuleList(Block(width, n_heads) for _ in range(n_layers))
        self.ln_f, self.head = nn.LayerNorm(width), nn.Linear(width, n_letters, bias=False)

    def forward(self, x):
        x = self.wte(x) + self.wpe(torch.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln_f(x))


class Factors(nn.Module):
    """A recommender: two tables whose rows are multiplied."""

    def __init__(self, n_users, n_items, width=12):
        super().__init__()
        self.user, self.item = nn.Embedding(n_users, width), nn.Embedding(n_items, width)
        self.bias = nn.Embedding(n_items, 1)
        for table in (self.user, self.item, self.bias):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, user, item):
        return (self.user(user) * self.item(item)).sum(-1) + self.bias(item).squeeze(-1)


class Residual(nn.Module):
    """Sums of branches with a gain; no normalisation."""

    def __init__(self, n_blocks=6, width=40, gain=0.3):
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.branches = nn.ModuleList(nn.Linear(width, width) for _ in range(n_blocks))
        self.sums = nn.ModuleList(nn.Identity() for _ in range(n_blocks))
        self.out = nn.Linear(width, 10)
        self.gain = gain

    def forward(self, x):
        x = self.stem(x.flatten(1))
        for branch, sums in zip(self.branches, self.sums):
            x = sums(x + self.gain * F.relu(branch(x)))
        return self.out(x)


class Half(nn.Module):
    """Gives float16: rounded, and infinite beyond 65504; so are the gradients that come back."""

    def __init__(self):
        super().__init__()
        self.gain = 1.0

    def forward(self, x):
        return (x * self.gain).half()


class Divide(nn.Module):
    """Each row over its own deviation, without the epsilon that belongs there."""

    def forward(self, x):
        return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)


class Distance(nn.Module):
    """Lengths, without the epsilon that the gradient of a root needs."""

    def forward(self, x):
        return x.pow(2).sum(1).sqrt()
