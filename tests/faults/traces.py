# SPDX-License-Identifier: Apache-2.0
"""Published traces of real incidents, pushed as scalars.

Of BLOOM-176B's incident of 2022-04-12 six iterations were published: the gradient's norm was 0.242,
0.947, 2.39, 15.9, 145, 960 at iterations 31214..31219, the loss 2.199, 2.220, 2.595, 2.242, 2.345,
5.098. What came before was not published as numbers; here it is made up, and calm: 400 iterations
whose norm and loss scatter by 8 and 1 percent around 0.24 and 2.2 (seeded). So it shows that an
alarm comes in time, not how many false ones there would have been in the months before.
"""
import dataclasses
import math
import random

import torch

from . import programs

FIRST = 31214
NORMS = (0.242, 0.947, 2.39, 15.9, 145.0, 960.0)
LOSSES = (2.199, 2.220, 2.595, 2.242, 2.345, 5.098)
N_CALM = 400
ALARM_BY = 31216


def bloom(seed):
    """Yield (iteration, norm of the gradient, loss)."""
    calm = random.Random(seed)
    for step in range(FIRST - N_CALM, FIRST):
        yield (step, 0.24 * math.exp(calm.gauss(0, 0.08)), 2.2 * math.exp(calm.gauss(0, 0.01)))
    yield from zip(range(FIRST, FIRST + len(NORMS)), NORMS, LOSSES)


@dataclasses.dataclass
class Trace:
    """A published trace as a case: its program only logs numbers."""

    name: str = "bloom"
    group: str = "faulty"
    cause: str = "BLOOM-176B: the gradient's norm explodes, the loss follows"
    kinds: tuple = ("loss_spike", "grad_explosion", "divergence")
    pace: str = "slow"
    n_ranks: int = 1
    is_killed: bool = False

    def make(self):
        return Replayed(), {"step": FIRST + 1, "modules": [], "unit": None, "sample": None}


class Replayed(programs.Program):
    """Logs a trace."""

    def __init__(self):
        super().__init__(1)
        self.rows = list(bloom(torch.initial_seed()))
        self.first_step = self.rows[0][0]
        self.n_steps = self.first_step + len(self.rows)

    def train_step(self, step):
        _, norm, loss = self.rows[step - self.first_step]
        return {"loss": loss, "grad_norm": norm}, None


KINDS = [Trace()]
