# SPDX-License-Identifier: Apache-2.0
"""The moment of failure: seeded failures, each with the operation, unit, sample and cause."""
import math
import operator
import re

import tap
import fake
from steps import told

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from barograph._probe import cause
from barograph._probe.trace import Op

BAD = 4   # the step that goes wrong
ROW = 3   # the sample that does it


class Through(nn.Module):
    """A linear layer, a function, and a linear layer."""

    def __init__(self, between, n=6):
        super().__init__()
        self.first = nn.Linear(4, n)
        self.between = Call(between)
        self.last = nn.Linear(n, 2)

    def forward(self, x):
        return self.last(self.between(self.first(x)))


class Call(nn.Module):
    """A module that calls a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def mse(out, x, y):
    return F.mse_loss(out, y)


class Case:
    """One failure: what happens in the step that goes wrong, and what must be found."""

    def __init__(self, model, op, cause, spoil=None, loss=mse, module=None, unit=None, row=ROW,
                 is_backward=False, prepare=None, autocast=None):
        self.model = model          # function
        self.op = op                # None: it came from outside
        self.cause = cause
        self.spoil = spoil          # f(x, y, model)
        self.loss = loss
        self.module = module
        self.unit = unit
        self.row = row
        self.is_backward = is_backward
        self.prepare = prepare      # f(model) before the first step
        self.autocast = autocast


def set_row(number):
    def spoil(x, y, model):
        x[ROW] = number
    return spoil


def aim(to):
    """Let unit 2 of the first layer come to a number in the bad row, and to 0.5 elsewhere."""
    def spoil(x, y, model):
        with torch.no_grad():
            model.first.weight[2] = 0
            model.first.weight[2, 0] = 1
            model.first.bias[2] = 0
            x[:, 0] = 0.5
            x[ROW, 0] = to
    return spoil


def lift(model):
    """Have what the first layer gives stay near 3."""
    with torch.no_grad():
        model.first.weight.mul_(0.1)
        model.first.bias.fill_(3.0)


def shrink(model):
    """Have it stay near 0."""
    with torch.no_grad():
        model.first.weight.mul_(0.1)


def constant_row(x):
    return F.layer_norm(x, x.shape[1:], eps=0.0)


def norm_by_hand(x):
    return (x - x.mean(1, keepdim=True)) / (x - x.mean(1, keepdim=True)).pow(2).mean(
        1, keepdim=True).sqrt()


def same_in_row(x, y, model):
    with torch.no_grad():
        model.first.weight.zero_()
        model.first.weight[0, 0] = 1
        model.first.bias.fill_(0.25)
        x[:, 0] = 1.0
        x[ROW, 0] = 0.0


def masked_scores(x):
    """Attention with a mask; a sample whose mask leaves nothing becomes NaN."""
    scores = x.masked_fill(x.detach() < 0, -math.inf)
    return torch.softmax(scores, 1)


def all_masked(x, y, model):
    with torch.no_grad():
        model.first.weight.zero_()
        model.first.weight[:, 0] = 1
        model.first.bias.zero_()
        x[:, 0] = 1.0
        x[ROW, 0] = -1.0


def poison(x, y, model):
    with torch.no_grad():
        model.first.weight[1, 2] = math.nan


def kl(out, x, y):
    mean, logvar = out[:, :1], out[:, 1:]
    return (mean - y[:, :1]).pow(2).mean() - 0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).mean()


def log_likelihood(out, x, y):
    chances = torch.relu(out) + 0.0 * y
    return -torch.log(chances + (y < 100) * 0.3).mean()


def ignored(out, x, y):
    return F.cross_entropy(out, y[:, 0].long().clamp(max=1), ignore_index=1)


def all_ignored(x, y, model):
    y.fill_(1.0)


def distance(out, x, y):
    return (out - y).pow(2).sum(1).sqrt().mean()


def meet(x, y, model):
    """The target of the bad row is what the model gives."""
    with torch.no_grad():
        y[ROW] = model(x)[ROW]


def half(x):
    return x.half().float()


CASES = {
    "exp_in_a_module": Case(lambda: Through(torch.exp), "exp", "exp of 91.2 is more than 3.4e+38",
                            aim(91.2), module="between", unit=2),
    "log_of_a_negative_number": Case(lambda: Through(lambda x: torch.log(x)), "log",
                                     "log of -0.013: it is not defined below 0", aim(-0.013),
                                     module="between", unit=2,
                                     prepare=lift),
    "log_of_zero": Case(lambda: Through(lambda x: torch.log(F.relu(x))), "log", "log of 0 is -inf",
                        aim(-1.0), module="between", unit=2,
                        prepare=lift),
    "root_of_a_negative_number": Case(lambda: Through(torch.sqrt), "sqrt",
                                      "sqrt of -2.1: there is no root", aim(-2.1),
                                      module="between", unit=2,
                                      prepare=lift),
    "division_by_zero": Case(lambda: Through(lambda x: 3.1 / x), "reciprocal", "1 / 0", aim(0.0),
                             module="between", unit=2),
    "division_of_two": Case(lambda: Through(lambda x: (x + 3) / x), "div", "3 / 0: division by zero",
                            aim(0.0), module="between", unit=2),
    "power_of_a_negative_number": Case(lambda: Through(lambda x: x.abs().add(0.1) ** 0.5 + 0 *
                                                       (x + 9.5) ** 0.333), "pow",
                                       "(-0.5) ** 0.333: a negative number has no such power",
                                       aim(-10.0), module="between", unit=2),
    "power_that_overflows": Case(lambda: Through(lambda x: x ** 9), "pow",
                                 "100000 ** 9 is more than 3.4e+38", aim(1e5),
                                 module="between", unit=2, prepare=shrink),
    "zero_times_infinity": Case(lambda: Through(lambda x: x * torch.where(
        x == 0, torch.tensor(math.inf), torch.tensor(1.0))), "mul", "0 * inf is not a number",
        aim(0.0), module="between", unit=2),
    "infinity_minus_infinity": Case(lambda: Through(lambda x: x.masked_fill(x > 50, math.inf) -
                                                    x.masked_fill(x > 50, math.inf)), "sub",
                                    "inf - inf is not a number", aim(60.0), module="between",
                                    unit=2),
    "product_of_matrices": Case(lambda: Through(lambda x: x * 1e10), "addmm",
                                "a sum of products of values up to", set_row(1e28),
                                module="last", prepare=lambda m: m.last.weight.data.fill_(9.0),
                                loss=lambda out, x, y: (out * 1e-20).pow(2).mean()),
    "layer_norm_of_a_constant_row": Case(lambda: Through(constant_row), "native_layer_norm",
                                         "normalisation of a row without any spread", same_in_row,
                                         module="between"),
    "norm_by_hand_of_a_constant_row": Case(lambda: Through(norm_by_hand), "div",
                                           "0 / 0 is not a number", same_in_row,
                                           module="between"),
    "softmax_of_a_masked_row": Case(lambda: Through(masked_scores), "_softmax",
                                    "a row in which everything is masked", all_masked,
                                    module="between"),
    "arc_cosine_above_one": Case(lambda: Through(lambda x: torch.acos(x.clamp(-1, 2) * 0.9)), "acos",
                                 "acos of 1.08: it is not defined outside of -1 to 1", aim(1.2),
                                 module="between", unit=2),
    "half_precision": Case(lambda: Through(half), "_to_copy",
                           "70000 is more than 65504, the most an f16 holds", aim(7e4),
                           module="between", unit=2),
    "sum_that_overflows": Case(lambda: Through(lambda x: x * 1.0), "sum", "the sum of",
                               lambda x, y, m: y.__setitem__(ROW, 3e38), row=ROW,
                               loss=lambda out, x, y: out.sum() * 0 + y.sum()),
    "exp_in_the_loss": Case(lambda: Through(torch.tanh), "exp", "exp of",
                            lambda x, y, m: m.last.weight.data.fill_(300.0), loss=kl, module="",
                            row=None, unit=0),
    "log_in_the_loss": Case(lambda: Through(torch.tanh), "log", "log of 0 is -inf",
                            lambda x, y, m: (y.__setitem__(ROW, 200.0),
                                             m.last.bias.data.fill_(-9.0)),
                            loss=log_likelihood, module=""),
    "all_targets_are_ignored": Case(lambda: Through(torch.tanh), "nll_loss_forward",
                                    "all targets are ignored (0 / 0)", all_ignored, loss=ignored,
                                    module="", row=None),
    "target_with_nan": Case(lambda: Through(torch.tanh), None, "the data held NaN already: 2 of",
                            lambda x, y, m: y.__setitem__(ROW, math.nan)),
    "input_with_nan": Case(lambda: Through(torch.tanh), None, "the data held NaN already: 1 of 32 "
                           "elements of 'input'", lambda x, y, m: x[ROW].__setitem__(1, math.nan),
                           unit=1),
    "poisoned_weights": Case(lambda: Through(torch.tanh), None, "the weights held NaN before this "
                             "step: 1 of 24 elements of 'first.weight'", poison, row=None, unit=1),
    "root_at_zero": Case(lambda: Through(torch.tanh), "sqrt_backward",
                         "the gradient of sqrt at 0 is infinite", meet, loss=distance,
                         module="", is_backward=True),
    "root_at_zero_in_a_module": Case(lambda: Through(torch.sqrt), "sqrt_backward",
                                     "the gradient of sqrt at 0 is infinite", aim(0.0),
                                     module="between", unit=2, is_backward=True,
                                     prepare=lift),
    "masked_division": Case(lambda: Through(lambda x: torch.where(x == 0, x, 1 / x)),
                            "reciprocal_backward", "the gradient", aim(0.0), module="between",
                            unit=2, is_backward=True),
    "arc_cosine_at_one": Case(lambda: Through(torch.acos), "acos_backward",
                              "the gradient of acos at 1 is infinite", aim(1.0), module="between",
                              unit=2, is_backward=True, prepare=shrink),
    "bfloat16_autocast": Case(lambda: Through(lambda x: x.float().exp()), "exp", "exp of",
                              aim(91.0), module="between", unit=2, autocast=torch.bfloat16),
}


def fail(case, steps=BAD + 1, **options):
    """Train until the step that goes wrong; gives (library, model)."""
    torch.manual_seed(1)
    model = case.model()
    if case.prepare is not None:
        case.prepare(model)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    run, library = fake.open_run()
    run.watch(model, optimizer, **options)
    for step in range(steps):
        x, y = torch.randn(8, 4), torch.zeros(8, 2)
        if step == BAD and case.spoil is not None:
            case.spoil(x, y, model)
        with torch.autocast("cpu", dtype=case.autocast or torch.bfloat16,
                            enabled=case.autocast is not None):
            loss = case.loss(model(x), x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"loss": loss.item()})
    return library, model


def failures(library):
    return [probe for probe in library.probes if probe["reason"] == 3]


def check(name):
    case = CASES[name]
    library, _ = fail(case)
    found = failures(library)
    assert len(found) == 1, (len(found), told(library))
    probe = found[0]
    origin = probe["origin"]
    assert origin is not None, told(library)
    assert probe["step"] == BAD and case.cause in origin["cause"], (probe["step"], origin)
    op = probe["ops"][origin["op"]] if origin["op"] >= 0 else None
    assert (op["name"] if op else None) == case.op, (op, origin)
    assert bool(origin["is_gradient"]) == case.is_backward and origin["is_replayed"]
    assert origin["is_exact"], origin
    if case.module is not None:
        assert op["module"] == case.module, op
    lines = open(__file__, encoding="utf-8").read().splitlines()
    assert not op or (op["source"].startswith("test_moment.py:") and not re.search(
        r"step\(|backward\(", lines[int(op["source"].split(":")[1]) - 1])), op
    if case.row is not None:
        assert origin["rows"] == [case.row] and case.row in probe["rows"], origin
    if case.unit is not None:
        assert origin["units"] == [case.unit], origin
    assert not [text for text in told(library) if text.startswith("barograph: no probe")]


def test_where_an_operation_is_not_defined_is_told_as_it_is():
    points = torch.arange(-24, 25) / 8.0
    for name in ("log", "log2", "log10", "log1p", "logit", "sqrt", "rsqrt", "acos", "asin", "atanh",
                 "acosh", "erfinv", "special.ndtri"):
        results = operator.attrgetter(name)(torch)(points)
        for x, result in zip(points, results):
            if bool(result.isfinite()):
                continue
            op = Op(name.replace(".", "_"), "", [], [], "", "")
            text = cause.sentence(op, [x.reshape(1)], result.reshape(1), torch.tensor([True]))
            ends = [float(end) for end in re.findall(r"(?:below|outside of|to) (-?\d+)", text)]
            if "not defined" in text:
                inside = (points > ends[0]) & (points < (ends[1] if len(ends) > 1 else math.inf))
                assert bool(results[inside].isfinite().all()), text
                assert not bool(inside[points == x]) and bool(result.isnan()), text
            else:
                assert "no root" in text if x < 0 and "sqrt" in name else f"is {result:.0f}" in (
                    text.replace("NaN", "nan")), (text, x, result)


def looked_into(models, parameters, loss_of):
    """Train until a step goes wrong; gives (its operation, the origin) of what was captured."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(parameters, 1e-4)
    run, library = fake.open_run()
    for at, model in enumerate(models):
        run.watch(model, optimizer if at == 0 else None, name=None if at == 0 else f"model{at}")
    for step in range(BAD + 1):
        loss = loss_of(step == BAD)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"loss": loss.item()})
    probe, = failures(library)
    assert not [text for text in told(library) if text.startswith("barograph: no probe")]
    origin = probe["origin"]
    return probe["ops"][origin["op"]]["name"] if origin["op"] >= 0 else None, origin


def test_noise_that_only_a_function_knew_is_not_needed():
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))

    def loss_of(is_bad):
        t, noise = 0.02 + 0.96 * torch.rand(8, 1), torch.randn(8, 4)
        if is_bad:
            t[ROW] = 0.0
        noisy = (1 - t).sqrt() + t.sqrt() * noise
        return ((model(torch.cat([noisy, t], 1)) - noise).pow(2) / t).mean()

    op, origin = looked_into([model], model.parameters(), loss_of)
    assert op == "div" and origin["rows"] == [ROW] and "division by zero" in origin["cause"], origin


def test_what_is_computed_between_two_models_is_computed_again():
    first, last = nn.Linear(4, 6), nn.Linear(6, 2)

    def loss_of(is_bad):
        x = torch.ones(8, 4)
        if is_bad:
            x[ROW] = 1e5
        mean, logvar = first(x).abs().chunk(2, 1)
        return last((mean + (0.5 * logvar).exp() * torch.randn_like(mean)).repeat(1, 2)).sum()

    op, origin = looked_into([first, last], [*first.parameters(), *last.parameters()], loss_of)
    assert op == "exp" and origin["rows"] == [ROW] and origin["is_exact"], origin


def test_a_model_that_only_holds_its_parameters_is_looked_into_too():
    class Weights(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(4, 6))

    model = Weights()

    def loss_of(is_bad):
        x = torch.ones(8, 4)
        if is_bad:
            x[ROW] = 0.0
        h = x @ model.w
        return (h / h.norm(dim=1, keepdim=True)).sum()

    op, origin = looked_into([model], model.parameters(), loss_of)
    assert op == "div" and origin["rows"] == [ROW] and "0 / 0" in origin["cause"], origin


def scaled(x):
    """A sample that is constant has no deviation."""
    mean = x.mean(1, keepdim=True)
    deviation = x.std(1, keepdim=True)
    return (x - mean) / deviation


def scaled_in_place(x):
    x -= x.mean(1, keepdim=True)
    x /= x.std(1, keepdim=True)
    return x


def column_in_place(x):
    x[:, 1] = torch.log(x[:, 1] - 1.5)
    return x


def with_noise(x):
    return (x - 2.0 + 0.0 * torch.rand_like(x)) / (x - 2.0)


def as_it_is(x):
    return x


def noisy(x):
    """A diffusion step: the root of what is left of the data at a random time."""
    left = torch.linspace(0.9, -0.1, 40)
    t = torch.randint(0, 37, (len(x),))
    t = torch.where(x[:, 0] == 2.0, torch.full_like(t, 39), t)
    return left[t][:, None].sqrt() * x + 0.1 * torch.randn_like(x)


def loaded(prepare, bad=2.0, has_states=False):
    """Train with a loader and what a loop does with its batches; gives what was captured."""
    torch.manual_seed(1)
    x, y = torch.rand(24, 4) + 2.5, torch.zeros(24, 2)
    x[16 + ROW] = bad
    if prepare is column_in_place:
        x[16 + ROW, 1] = 1.0
    model = nn.Linear(4, 2)
    run, library = fake.open_run()
    run._states._put = (lambda *state: 0) if has_states else None
    run.watch(model, every=1)
    for batch, target in DataLoader(TensorDataset(x, y), batch_size=8):
        batch = prepare(batch)
        loss = F.mse_loss(model(batch), target)
        loss.backward()
        run.log({"loss": loss.item()})
    probe, = failures(library)
    run.finish()
    assert not [text for text in told(library) if "could not be" in text], told(library)
    origin = probe["origin"]
    assert origin["rows"] == [ROW] and probe["step"] == 2, origin
    return probe["ops"][origin["op"]] if origin["op"] >= 0 else None, origin


def test_arithmetic_between_the_loader_and_the_model_is_done_again():
    lines = open(__file__, encoding="utf-8").read().splitlines()
    for prepare, name, cause_of, text in (
            (scaled, "div", "0 / 0 is not a number", "(x - mean) / deviation"),
            (scaled_in_place, "div", "0 / 0 is not a number", "x /= x.std"),
            (column_in_place, "log", "log of -0.5: it is not defined", "torch.log(x[:, 1]")):
        op, origin = loaded(prepare)
        assert op["name"] == name and op["module"] == "input", (op, origin)
        assert cause_of in origin["cause"] and origin["is_exact"], origin
        assert text in lines[int(op["source"].split(":")[1]) - 1], op
    op, origin = loaded(noisy, has_states=True)   # its random numbers are drawn again
    assert op["name"] == "sqrt" and "no root of a negative number" in origin["cause"], origin


def test_what_cannot_be_done_again_before_the_model_is_not_said_to_be_of_the_data():
    op, origin = loaded(with_noise)
    assert op["name"] == "arithmetic" and origin["is_exact"], (op, origin)
    assert "between the loader and the model (test_moment.py:" in origin["cause"], origin
    assert "batch = prepare(batch)" in origin["cause"], origin
    op, origin = loaded(as_it_is, bad=math.nan)
    assert op is None and "the data held NaN already: 4 of 32" in origin["cause"], origin


def _make(name):
    def test():
        check(name)
    return test


for _name in CASES:
    globals()[f"test_{_name}"] = _make(_name)


if __name__ == "__main__":
    tap.main(globals(), needs_library=False)
