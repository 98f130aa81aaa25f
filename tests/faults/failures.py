# SPDX-License-Identifier: Apache-2.0
"""Trainings in which one operation fails at one step, for `tools/faults --why`: which operation, in
which module, by which sample is known exactly. Not for the alarm's figures: all are alike to it.

The corner pixel of a digit is 0 in all pictures. A tail behind the model makes t = (1 - corner) *
gain of it, which is about 1 as long as nothing is wrong, and takes a function of t (gain is a weight, and
something that comes from the model); at one step one
sample's corner is set so that t is where the function fails, forward or backward."""
import math

import torch
from torch import nn
from torch.nn import functional as F

from . import data, zoo
from .faulty import Fault, spoil_sample, truth
from .programs import Supervised, sgd

KINDS = []
STEP, N_STEPS = 60, 72


class Tail(nn.Module):
    """Adds a little of a function of t to the logits."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, corner, logits):
        about_one = self.gain * (1 + 0.1 * torch.tanh(logits[:, 0]))
        return self.function((1 - corner) * about_one)


class Tailed(nn.Module):
    def __init__(self, function, is_in_loss):
        super().__init__()
        self.body = zoo.mlp(n_hidden=1, width=24)
        self.tail = Tail(function if not is_in_loss else lambda t: t)

    def forward(self, x):
        logits = self.body(x)
        return logits, self.tail(x[:, 0, 0, 0], logits)


class Failing(Supervised):
    """Cross entropy of logits with what the tail adds; the function is in the model or in the loss."""

    def __init__(self, function, is_in_loss):
        super().__init__(Tailed(function, is_in_loss), data.digits(), optimizer=sgd(0.02, 0.0),
                         n_steps=N_STEPS, n_batch=16)
        self.of_loss = function if is_in_loss else None

    def loss_of(self, x, y):
        logits, added = self.model(x)
        if self.of_loss:
            added = self.of_loss(added)
        return F.cross_entropy(logits, y) + 0.01 * added.float().mean()


class Poisoned(Failing):
    """Nothing fails by itself: something is spoilt from outside."""

    def __init__(self):
        super().__init__(torch.sin, False)


def take(name, cause, make, ops, right):
    """Register a kind. ops: names of operations that are right, empty: it came from outside."""
    kind = Fault(name, make, cause, ("nonfinite", "overflow"), "sudden")
    kind.group, kind.ops, kind.right = "faulty", ops, right
    KINDS.append(kind)


def failing(name, function, corner, *ops, is_in_loss=False, right=("architecture", "data")):
    """One sample's corner makes the function fail."""
    def make():
        program = Failing(function, is_in_loss)
        sample = spoil_sample(program, STEP, lambda x, y, i: x[i, 0, 0, 0].fill_(corner))
        return program, truth(STEP, [] if is_in_loss else ["tail"], sample=lambda: sample[0])
    take(name, f"{ops[0]} fails for one sample" + (" in the loss" if is_in_loss else ""), make,
         set(ops), right)


# t = 1 - corner in calm is 1.
failing("fail_exp", torch.exp, -199, "exp")
failing("fail_expm1", torch.expm1, -199, "expm1")
failing("fail_sinh", torch.sinh, -199, "sinh")
failing("fail_exp2", torch.exp2, -199, "exp2", "pow")
failing("fail_log", torch.log, 1, "log")
failing("fail_log_negative", torch.log, 5, "log")
failing("fail_log1p", lambda t: torch.log1p(-t / 2), -3, "log1p")
failing("fail_log2", torch.log2, 1, "log2")
failing("fail_reciprocal", torch.reciprocal, 1, "reciprocal")
failing("fail_div", lambda t: 1 / t, 1, "div", "reciprocal", "rdiv")
failing("fail_zero_by_zero", lambda t: t / t.abs(), 1, "div")
failing("fail_sqrt", torch.sqrt, 5, "sqrt")
failing("fail_rsqrt", torch.rsqrt, 1, "rsqrt")
failing("fail_pow", lambda t: t.pow(0.5), 5, "pow", "sqrt")
failing("fail_pow_overflow", lambda t: t.pow(30), -99, "pow")
failing("fail_acos", lambda t: torch.acos(t / 2), -4, "acos")
failing("fail_atanh", lambda t: torch.atanh(t / 2), -3, "atanh")
failing("fail_square", lambda t: t * t, -1e30, "mul", "square", "pow")
failing("fail_half", lambda t: t.half().float(), -1e6, "_to_copy", "to", "half",
        right=("precision", "data"))
failing("fail_lgamma", torch.lgamma, 1, "lgamma")
failing("fail_masked", lambda t: torch.where(t > 50, torch.zeros_like(t), t.exp()), -199, "exp",
        "where")
failing("fail_softmax_empty", lambda t: torch.stack([t, t], 1).masked_fill(
    (t < 0.5)[:, None], -math.inf).softmax(1)[:, 0], 1, "_softmax", "softmax", "masked_fill")
# Forward all is well, the gradient is not.
failing("fail_sqrt_grad", torch.sqrt, 1, "sqrt")
failing("fail_pow_grad", lambda t: t.pow(0.5), 1, "pow", "sqrt")
failing("fail_acos_grad", lambda t: torch.acos(torch.where(t > 1.6, t / t, t / 2)), -1, "acos")
failing("fail_length_grad", lambda t: (torch.stack([t, 0 * t], 1) ** 2).sum(1).sqrt(), 1, "sqrt")
# The same in the loss function, outside any module.
failing("fail_loss_exp", torch.exp, -199, "exp", is_in_loss=True)
failing("fail_loss_log", torch.log, 1, "log", is_in_loss=True)
failing("fail_loss_div", lambda t: 1 / t, 1, "div", "reciprocal", is_in_loss=True)
failing("fail_loss_sqrt", torch.sqrt, 1, "sqrt", is_in_loss=True)


def poisoned_weight():
    program = Poisoned()

    def spoil(step):
        if step == STEP - 1:
            with torch.no_grad():
                program.model.body.fc1.weight[3, 7] = math.nan
    program.after_step.append(spoil)
    return program, truth(STEP, ["body.fc1"])


def poisoned_gradient():
    program = Poisoned()

    def spoil(step):
        if step == STEP - 1:
            program.model.body.fc1.weight.grad[3, 7] = math.inf
    program.after_backward.append(spoil)
    return program, truth(STEP, ["body.fc1"])


def poisoned_data():
    program = Poisoned()
    sample = spoil_sample(program, STEP, lambda x, y, i: x[i, 0, 4, 4].fill_(math.nan))
    return program, truth(STEP, ["input"], sample=lambda: sample[0])


take("fail_weight_nan", "a weight is NaN before the step", poisoned_weight, set(),
     ("optimiser", "bug"))
take("fail_gradient_inf", "a gradient is infinite, and the optimiser takes it", poisoned_gradient,
     set(), ("optimiser", "bug", "architecture"))
take("fail_data_nan", "a picture holds NaN", poisoned_data, set(), ("data",))
