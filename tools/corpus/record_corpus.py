#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record what real trainings report, as raw files for `baro bench codec --corpus DIR`.

Four models are trained on scikit-learn's digits and on the licence text of this project, with
several optimizers, learning rate schedules and batch sizes: a variational autoencoder, a small
convolutional network, a recurrent one that reads images row by row, and a transformer that
predicts characters. Nothing is made up; what is written is what a watched training would send.

With --wide nets of the same kinds but with layers of thousands of units are trained for some
hundred steps: what `baro bench sample --corpus DIR` chooses among (1.7 GB, some minutes).

A file DIR/RUN/KIND.NAME.TYPE holds rows one after the other, little-endian:

    f64       one double a row: a series as Python gives it (loss.item(), a schedule's rate)
    f64x16    the statistics of a tensor, in the order of enum summary_stat
    f32xN     the statistics of its units, statistic after statistic: N is 5 * units
    i64       whole numbers: steps, or wall times in nanoseconds since 1970

KIND is loss, gradnorm, lr, weights, gradients, activations (summaries or units), steps, times.
"""
import argparse
import json
import math
import os
import time

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

SUMMARY_EVERY = 5
UNITS_EVERY = 10


class Recorder:
    """Appends rows to the files of one run."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.files = {}

    def put(self, name, row):
        if name not in self.files:
            self.files[name] = open(os.path.join(self.folder, name), "wb")
        self.files[name].write(row)

    def number(self, name, value):
        self.put(name + ".f64", np.float64(value).tobytes())

    def stamp(self, name, step):
        self.put("steps." + name + ".i64", np.int64(step).tobytes())
        self.put("times." + name + ".i64", np.int64(time.time_ns()).tobytes())

    def close(self):
        for file in self.files.values():
            file.close()


def to_24_bits(value):
    """What the client does with a sum over a tensor of floats."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 2**24) / 2**24, exponent)


def summary(values):
    """The sixteen statistics of a tensor of finite floats; the update ratio is not measured."""
    flat = values.reshape(-1).astype(np.float64)
    l2 = math.sqrt(float(np.dot(flat, flat)))
    every = 1 if flat.size <= 65536 else 16
    return np.array([flat.size, 0, 0, 0, np.count_nonzero(flat == 0), flat.min(), flat.max(),
                     to_24_bits(float(flat.mean())), to_24_bits(float(flat.var())),
                     to_24_bits(float(np.abs(flat).sum())), to_24_bits(l2), np.abs(flat).max(),
                     math.nan, -1, -1, every])


def units(values, axis):
    """Mean, l2, largest magnitude, share of zeros, non-finite count of each unit, as floats."""
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.float64)
    return np.concatenate([rows.mean(1), np.sqrt((rows * rows).sum(1)), np.abs(rows).max(1),
                           (rows == 0).mean(1), np.zeros(len(rows))]).astype(np.float32)


class Watch:
    """What a watched model reports: weights, gradients, activations of its layers."""

    def __init__(self, model, recorder, units_every=UNITS_EVERY):
        self.recorder = recorder
        self.units_every = units_every
        self.parameters = list(model.named_parameters())
        self.outputs = {}
        self.is_due = False
        for name, module in model.named_modules():
            if not list(module.children()) and not isinstance(module, nn.Dropout):
                module.register_forward_hook(self._keep(name))

    def _keep(self, name):
        def hook(module, inputs, output):
            if self.is_due:
                output = output[0] if isinstance(output, tuple) else output
                axis = 1 if output.dim() == 4 else output.dim() - 1
                self.outputs[name] = (output.detach(), axis)
        return hook

    def before(self, step):
        self.outputs.clear()
        self.is_due = step % SUMMARY_EVERY == 0 or step % self.units_every == 0

    def after(self, step):
        if not self.is_due:
            return
        self.recorder.stamp("summary", step)
        if step % self.units_every == 0:
            self.recorder.stamp("units", step)
        for name, parameter in self.parameters:
            self._tensor("weights." + name, parameter.detach().numpy(), 0, step)
            self._tensor("gradients." + name, parameter.grad.numpy(), 0, step)
        for name, (output, axis) in self.outputs.items():
            self._tensor("activations." + name, output.numpy(), axis, step)

    def _tensor(self, name, values, axis, step):
        self.recorder.put(name + ".f64x16", summary(values).tobytes())
        if step % self.units_every == 0 and values.ndim > 0:
            row = units(values, axis)
            self.recorder.put(f"{name}.f32x{len(row)}", row.tobytes())


class Autoencoder(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.encoder = nn.Linear(64, width)
        self.mean = nn.Linear(width, 8)
        self.logvar = nn.Linear(width, 8)
        self.decoder = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 64),
                                     nn.Sigmoid())

    def loss(self, images, labels):
        hidden = self.encoder(images)
        mean, logvar = self.mean(hidden), self.logvar(hidden)
        out = self.decoder(mean + (0.5 * logvar).exp() * torch.randn_like(mean))
        recon = nn.functional.binary_cross_entropy(out, images, reduction="sum") / len(images)
        kl = -0.5 * (1 + logvar - mean * mean - logvar.exp()).sum(1).mean()
        return recon + kl, {"recon": recon, "kl": kl}


class Perceptron(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def loss(self, images, labels):
        return nn.functional.cross_entropy(self.body(images), labels), {}


class Convolutional(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        half = width // 2
        self.body = nn.Sequential(nn.Conv2d(1, half, 3, padding=1), nn.BatchNorm2d(half),
                                  nn.ReLU(), nn.Conv2d(half, width, 3, padding=1), nn.ReLU(),
                                  nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * width, width),
                                  nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 10))

    def loss(self, images, labels):
        out = self.body(images.reshape(-1, 1, 8, 8))
        hits = (out.argmax(1) == labels).float().mean()
        return nn.functional.cross_entropy(out, labels), {"accuracy": hits}


class Recurrent(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.lstm = nn.LSTM(8, width, batch_first=True)
        self.head = nn.Linear(width, 10)

    def loss(self, images, labels):
        states, _ = self.lstm(images.reshape(-1, 8, 8))
        return nn.functional.cross_entropy(self.head(states[:, -1]), labels), {}


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.act = nn.GELU()
        self.down = nn.Linear(4 * width, width)

    def forward(self, x, mask):
        y = self.norm1(x)
        x = x + self.attend(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.down(self.act(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, width=64, n_blocks=2, context=32):
        super().__init__()
        self.embed = nn.Embedding(128, width)
        self.place = nn.Parameter(0.02 * torch.randn(context, width))
        self.blocks = nn.ModuleList([Block(width) for _ in range(n_blocks)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 128)
        self.register_buffer("mask", torch.full((context, context), -math.inf).triu(1))

    def loss(self, text, labels):
        x = self.embed(text[:, :-1]) + self.place
        for block in self.blocks:
            x = block(x, self.mask)
        out = self.head(self.norm(x))
        return nn.functional.cross_entropy(out.reshape(-1, 128), text[:, 1:].reshape(-1)), {}


def cosine(step, n_steps, warm_up):
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, n_steps - warm_up)))


def stairs(step, n_steps, warm_up):
    return 0.1 ** (3 * step // n_steps)


def inverse_root(step, n_steps, warm_up):
    return min((step + 1) / warm_up, math.sqrt(warm_up / (step + 1)))


def constant(step, n_steps, warm_up):
    return 1.0


RUNS = [
    # name, model, optimizer, learning rate, schedule, batch, steps
    ("vae-adam", Autoencoder, torch.optim.Adam, 1e-3, cosine, 64, 12000),
    ("vae-small-batch", Autoencoder, torch.optim.Adam, 3e-4, constant, 8, 8000),
    ("cnn-sgd", Convolutional, torch.optim.SGD, 0.05, stairs, 64, 5000),
    ("cnn-adam", Convolutional, torch.optim.Adam, 1e-3, inverse_root, 32, 5000),
    ("lstm-adam", Recurrent, torch.optim.Adam, 2e-3, cosine, 32, 6000),
    ("gpt-adamw", Transformer, torch.optim.AdamW, 1e-3, cosine, 16, 5000),
    ("gpt-wide", lambda: Transformer(256, 1, 16), torch.optim.AdamW, 3e-4, inverse_root, 4, 2500),
]

WIDE_UNITS_EVERY = 4
WIDE_RUNS = [
    ("wide-mlp-adam", lambda: Perceptron(16384), torch.optim.Adam, 1e-3, cosine, 64, 1200),
    ("wide-mlp-sgd", lambda: Perceptron(4096), torch.optim.SGD, 0.2, constant, 16, 1200),
    ("wide-vae", lambda: Autoencoder(4096), torch.optim.Adam, 1e-3, inverse_root, 32, 1200),
    ("wide-cnn", lambda: Convolutional(256), torch.optim.Adam, 1e-3, constant, 16, 1200),
    ("wide-lstm", lambda: Recurrent(256), torch.optim.Adam, 2e-3, cosine, 16, 1200),
    ("wide-gpt", lambda: Transformer(256, 2, 16), torch.optim.AdamW, 1e-3, cosine, 4, 1200),
]


def batches(model, batch):
    """Endless batches: images and labels, or pieces of text."""
    generator = torch.Generator().manual_seed(1)
    if isinstance(model, Transformer):
        licence = os.path.join(os.path.dirname(__file__), "..", "..", "LICENSE")
        with open(licence, "rb") as file:
            text = torch.tensor([min(c, 127) for c in file.read()])
        n = model.mask.shape[0] + 1
        while True:
            starts = torch.randint(0, len(text) - n, (batch,), generator=generator)
            yield torch.stack([text[s:s + n] for s in starts.tolist()]), None
    digits = load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    while True:
        order = torch.randperm(len(images), generator=generator)
        for i in range(0, len(images) - batch + 1, batch):
            yield images[order[i:i + batch]], labels[order[i:i + batch]]


def record(folder, run, share, units_every):
    name, make, optimizer, rate, schedule, batch, n_steps = run
    n_steps = max(20, int(n_steps * share))
    torch.manual_seed(0)
    model = make()
    recorder = Recorder(os.path.join(folder, name))
    watch = Watch(model, recorder, units_every)
    extra = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    optimizer = optimizer(model.parameters(), lr=rate, **extra)
    warm_up = max(1, n_steps // 20)
    plan = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: schedule(s, n_steps, warm_up))
    data = batches(model, batch)
    for step in range(n_steps):
        watch.before(step)
        optimizer.zero_grad()
        loss, parts = model.loss(*next(data))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        recorder.stamp("scalar", step)
        recorder.number("loss.train", loss.item())
        for key, value in parts.items():
            recorder.number("loss." + key, value.item())
        recorder.number("gradnorm.all", norm.item())
        recorder.number("lr.lr", plan.get_last_lr()[0])
        optimizer.step()
        plan.step()
        watch.after(step)
    recorder.close()
    return {"run": name, "steps": n_steps, "batch": batch, "rate": rate}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", help="where to write; made when missing")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual steps")
    parser.add_argument("--only", help="one run by name")
    parser.add_argument("--wide", action="store_true",
                        help="nets with thousands of units, for fewer steps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    index = []
    units_every = WIDE_UNITS_EVERY if arguments.wide else UNITS_EVERY
    for run in WIDE_RUNS if arguments.wide else RUNS:
        if arguments.only is None or run[0] == arguments.only:
            began = time.time()
            index.append(record(arguments.folder, run, arguments.share, units_every))
            print(f"{run[0]}: {index[-1]['steps']} steps in {time.time() - began:.1f} s",
                  flush=True)
    with open(os.path.join(arguments.folder, "index.json"), "w", encoding="utf-8") as file:
        json.dump(index, file, indent=1)


if __name__ == "__main__":
    main()
