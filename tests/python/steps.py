# SPDX-License-Identifier: Apache-2.0
"""Small models and steps that the tests of watch() share."""
import torch
from torch import nn

torch.set_num_threads(1)
VERSION = tuple(int(part) for part in torch.__version__.split(".")[:2])


def small():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def told(library):
    return [text for _, _, text in library.of("event")]


def step_of(run, model, optimizer=None, x=None, loss_of=lambda out: out.sum(), **values):
    loss = loss_of(model(torch.ones(5, 3) if x is None else x))
    if optimizer is not None:
        optimizer.zero_grad()
    loss.backward()
    if optimizer is not None:
        optimizer.step()
    run.log({"loss": loss, **values})


def scalars_of(library, name):
    return [(step, value) for step, n, value in library.scalars() if n == name]
