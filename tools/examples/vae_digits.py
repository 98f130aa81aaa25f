#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A variational autoencoder on scikit-learn's handwritten digits, which breaks after a while.

One training image is damaged: its pixels were stored with the wrong sign and scale, minus a
hundred times what they should be. Nothing shows at first, since the loss of each sample is capped
so that an odd one cannot rule the batch. But as the encoder learns, the log-variance that it
gives that image climbs, until its exponential overflows. Then the cap turns against the training:
it multiplies infinity by zero, all gradients become NaN, then all weights, then the loss.

Barograph is added in three lines, marked with an arrow. Try --healthy to see the same without the
damaged image.
"""
import argparse
import json
import os
import statistics
import sys
import time

import torch
from sklearn.datasets import load_digits
from torch import nn

try:
    import barograph
except ImportError:  # from the source tree, without installing
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib",
                                    "python"))
    import barograph

DAMAGED = 1234         # index of the damaged image in the data set
DAMAGE = -100.0        # what its pixels are multiplied by
LOSS_CAP = 300.0       # of one sample; a healthy one has about 25 to 60
BATCH = 64
STEPS_AFTER_NAN = 30


class ExpLogVariance(nn.Module):
    """Variance from its logarithm; a module of its own so that its output is on record."""

    def forward(self, logvar):
        return logvar.exp()


class Autoencoder(nn.Module):
    """Linear encoder to a normal distribution in 8 dimensions; decoder with a hidden layer."""

    def __init__(self, n_pixels=64, n_hidden=64, n_latent=8):
        super().__init__()
        self.encoder = nn.Linear(n_pixels, n_hidden)
        self.mean = nn.Linear(n_hidden, n_latent)
        self.logvar = nn.Linear(n_hidden, n_latent)
        self.exp_logvar = ExpLogVariance()
        self.decoder = nn.Sequential(nn.Linear(n_latent, n_hidden), nn.ReLU(),
                                     nn.Linear(n_hidden, n_pixels), nn.Sigmoid())

    def forward(self, x):
        hidden = self.encoder(x)
        mean, logvar = self.mean(hidden), self.logvar(hidden)
        variance = self.exp_logvar(logvar)
        z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        return self.decoder(z), mean, logvar, variance


def losses_of(x, output):
    """Reconstruction and Kullback-Leibler divergence of each sample."""
    image, mean, logvar, variance = output
    target = x.clamp(0.0, 1.0)
    recon = -(target * image.clamp_min(1e-6).log() +
              (1.0 - target) * (1.0 - image).clamp_min(1e-6).log()).sum(1)
    kl = -0.5 * (1.0 + logvar - mean * mean - variance).sum(1)
    return recon, kl


def digits(is_healthy):
    """All images as rows of 64 numbers from 0 to 1; one is damaged unless is_healthy."""
    images = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    if not is_healthy:
        images[DAMAGED] *= DAMAGE
    return images


def batches(n_images, generator):
    """Indices of one batch after the other, in a new order each epoch, without end."""
    while True:
        order = torch.randperm(n_images, generator=generator)
        yield from order[:n_images - n_images % BATCH].split(BATCH)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="at most (default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--healthy", action="store_true", help="without the damaged image")
    parser.add_argument("--watch", choices=("on", "off"), default="on",
                        help="record tensors, not only scalars (default on)")
    parser.add_argument("--every", type=int, metavar="K",
                        help="measure each K-th step; 1 sees all, and costs such a small model "
                             "about half a step (default: as the budget of 1 %% allows)")
    parser.add_argument("--pace", type=float, default=0.0, metavar="MS",
                        help="wait so long after each step, to be watched live")
    parser.add_argument("--time", action="store_true",
                        help="print the median time of a step of the second half, as JSON on the "
                             "last line")
    parser.add_argument("--name", help="of the run")
    return parser.parse_args()


def train(options):
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    images = digits(options.healthy)
    model = Autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    config = {"lr": 1e-3, "batch": BATCH, "seed": options.seed, "healthy": options.healthy}

    run = barograph.init(project="digits", name=options.name, config=config)  # <--
    if options.watch == "on":
        run.watch(model, optimizer, every=options.every)  # <--

    seconds = []
    n_broken = 0
    order = batches(len(images), torch.Generator().manual_seed(options.seed))
    for step, indices in zip(range(options.steps), order):
        began = time.perf_counter()
        x = images[indices]
        recon, kl = losses_of(x, model(x))
        loss = (recon + kl).clamp(max=LOSS_CAP).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"loss": loss, "recon": recon.detach().clamp(max=LOSS_CAP).mean(),
                 "kl": kl.detach().clamp(max=LOSS_CAP).mean()}, batch=indices)  # <--
        seconds.append(time.perf_counter() - began)
        if options.pace > 0:
            time.sleep(options.pace / 1000)
        if step % 100 == 0:
            print(f"step {step:5d}  loss {loss.item():.3f}", flush=True)
        if not torch.isfinite(loss):
            if n_broken == 0:
                print(f"step {step:5d}  loss is {loss.item()}", flush=True)
            n_broken += 1
            if n_broken == STEPS_AFTER_NAN:
                print("loss is NaN; stopping", flush=True)
                break
    if options.time:
        run.finish()
        settled = seconds[len(seconds) // 2:]  # the first steps are measured on credit
        print(json.dumps({"steps": len(seconds), "watch": options.watch,
                          "median_step_ms": round(1e3 * statistics.median(settled), 4)}))
    elif n_broken:
        run.finish(status="failed", text="the loss is NaN")
    else:
        run.finish()
    return 0


if __name__ == "__main__":
    sys.exit(train(parse()))
