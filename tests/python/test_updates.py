# SPDX-License-Identifier: Apache-2.0
"""Updates: what the optimiser's steps do to the weights, its state, rho; and what stays as it is."""
import ctypes
import json
import math

import tap
import fake
import live

import torch
from torch import nn

from barograph import _native, _updates

torch.set_num_threads(1)


class Library(fake.Fake):
    """Reads the values before and after, too."""

    def baro_update(self, handle, before, after):
        b, a = before._obj, after._obj
        assert b.dtype == a.dtype and b.n_dims == a.n_dims and a.role == _native.ROLES["update"]
        shape = [a.shape[i] for i in range(a.n_dims)]
        if not b.strides:  # contiguous
            steps = [math.prod(shape[i + 1:]) for i in range(len(shape))]
            b.strides = (ctypes.c_int64 * len(shape))(*steps)
        self.calls.append((self.step, "update", a.name.decode(), shape, a.unit_axis,
                           fake._values(b, shape), fake._values(a, shape)))
        return 0


def open_run():
    run, library = fake.open_run()
    run._lib = mine = Library()
    mine.__dict__.update(library.__dict__)
    return run, mine


def train(run, model, optimizer, n_steps=1, x=None):
    for _ in range(n_steps):
        loss = model(torch.ones(5, 3) if x is None else x).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if run is not None:
            run.log({"loss": loss})


def flat(tensor):
    return tensor.detach().reshape(-1).tolist()


def test_an_update_holds_the_values_before_and_after():
    run, library = open_run()
    model = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.25)
    run.watch(model, optimizer)
    was = flat(model.weight)
    train(run, model, optimizer)
    (_, name, shape, axis, before, after), bias = library.of("update")
    assert (name, shape, axis, bias[1]) == ("weight", [4, 3], 0, "bias")
    assert before == was and after == flat(model.weight) != was
    assert all(abs(a - b + 0.25 * g) < 1e-6 for a, b, g in
               zip(after, before, flat(model.weight.grad)))
    run.finish()


def test_layouts_of_memory_come_through():
    run, library = open_run()
    model = nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
    model.turned = nn.Parameter(torch.randn(5, 2).t())
    model.apart = nn.Parameter(torch.randn(6, 4)[::2, ::2])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    was = {name: flat(one) for name, one in model.named_parameters()}
    loss = model(torch.ones(1, 3, 4, 4)).sum() + model.turned.sum() + model.apart.sum()
    loss.backward()
    optimizer.step()
    run.log({"loss": loss})
    updates = {call[1]: call[4:] for call in library.of("update")}
    assert set(updates) == set(was), updates.keys()
    for name, one in model.named_parameters():
        assert updates[name][0] == was[name] and updates[name][1] == flat(one), name
    run.finish()


def test_only_what_is_due_is_copied():
    run, library = open_run()
    model = nn.Linear(3, 4)
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    run.watch(model, optimizer)
    train(run, model, optimizer, 2)  # what has never been measured is always due
    library.is_due = lambda name, role: (name, role) == ("bias", "update")
    train(run, model, optimizer, 6)
    late = [call[1] for call in library.of("update") if call[0] >= 3]
    assert late and set(late) == {"bias"}, late
    states = [(step, name) for step, name, role, *_ in library.of("tensor") if role == "opt"]
    assert set(states) == {(0, f"{one}/{key}") for one in ("weight", "bias")
                           for key in ("exp_avg", "exp_avg_sq")} | {
        (1, f"{one}/{key}") for one in ("weight", "bias") for key in ("exp_avg", "exp_avg_sq")}
    assert library.spent[library.tensors[("bias", "update")]] > 0
    run.finish()


def test_state_is_looked_at_more_seldom_than_updates():
    run, library = open_run()
    model = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    run.watch(model, optimizer)
    train(run, model, optimizer, 32)
    n_updates = sum(call[1] == "weight" for call in library.of("update"))
    n_states = library.names_of("opt").count("weight/momentum_buffer")
    assert n_updates == 32 and 32 // _updates.STATE_EVERY <= n_states <= 12, (n_updates, n_states)
    run.finish()


def test_a_fixed_cadence_measures_all_of_its_steps_and_no_other():
    run, library = open_run()
    model = nn.Linear(3, 4)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    run.watch(model, optimizer, every=5)
    train(run, model, optimizer, 11)
    assert [call[0] for call in library.of("update") if call[1] == "weight"] == [0, 5, 10]
    assert [step for step, name, role, *_ in library.of("tensor")
            if name == "weight/exp_avg"] == [0, 5, 10]
    run.finish()


def test_weights_take_turns_when_not_all_fit():
    limit = _updates.COPY_BYTES
    try:
        _updates.COPY_BYTES = 900  # two of them
        run, library = open_run()
        model = nn.ParameterList([nn.Parameter(torch.randn(10, 10)) for _ in range(5)])
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        run.watch(model, optimizer)
        for _ in range(10):
            loss = sum(one.square().sum() for one in model)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log({"loss": loss})
        names = [call[1] for call in library.of("update")]
        assert set(names) == {"0", "1", "2", "3", "4"}
        assert all(names.count(name) == 4 for name in set(names)), names
        for step in range(10):
            assert len(library.of("update", step)) == 2
        run.finish()
    finally:
        _updates.COPY_BYTES = limit


def test_a_weight_beyond_all_room_is_measured_on_some_of_its_rows():
    limit = _updates.COPY_BYTES
    try:
        _updates.COPY_BYTES = 640
        run, library = open_run()
        model = nn.Linear(3, 200, bias=False)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        run.watch(model, optimizer)
        was = flat(model.weight[::4])
        train(run, model, optimizer)
        (_, name, shape, axis, before, after), = library.of("update")
        assert (name, shape, axis) == ("weight", [50, 3], _native.NO_UNITS)
        assert before == was and after == flat(model.weight[::4])
        told = [text for _, _, text in library.of("event")]
        assert any("every 4th of its rows" in text for text in told), told
        run.finish()
    finally:
        _updates.COPY_BYTES = limit


def test_weights_without_gradients_and_integers_are_left_alone():
    run, library = open_run()
    model = nn.Linear(3, 4)
    model.unused = nn.Parameter(torch.ones(3))
    model.whole = nn.Parameter(torch.ones(3, dtype=torch.int32), requires_grad=False)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    train(run, model, optimizer, 3)
    assert {call[1] for call in library.of("update")} == {"weight", "bias"}
    run.finish()


def test_sparse_gradients_are_no_obstacle():
    run, library = open_run()
    model = nn.Embedding(10, 3, sparse=True)
    optimizer = torch.optim.SparseAdam(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for _ in range(3):
        loss = model(torch.tensor([1, 2])).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"loss": loss})
    assert {call[1] for call in library.of("update")} == {"weight"}
    assert not [name for _, name, _ in library.scalars() if name.endswith("/rho")]
    assert not [text for _, _, text in library.of("event") if "updates" in text]
    run.finish()


def test_a_step_that_raises_goes_on_raising():
    run, library = open_run()
    model = nn.Linear(3, 4)

    class Broken(torch.optim.SGD):
        def step(self, closure=None):
            raise ArithmeticError("the step's own")

    optimizer = Broken(model.parameters(), 0.1)
    run.watch(model, optimizer)
    try:
        train(run, model, optimizer)
        raise AssertionError("nothing was raised")
    except ArithmeticError:
        pass
    run.finish()


def test_losses_are_the_same_bit_for_bit():
    def losses(is_watched):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 2))
        optimizer = torch.optim.AdamW(model.parameters(), 0.05, amsgrad=True)
        run = open_run()[0] if is_watched else None
        if is_watched:
            run.watch(model, optimizer)
        found = []
        for _ in range(20):
            loss = model(torch.randn(6, 3)).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
            if is_watched:
                run.log({"loss": loss})
        if is_watched:
            run.finish()
        return found, [flat(one) for one in model.parameters()]

    assert losses(True) == losses(False)


def expected_rho(kind, grads, **options):
    """From the gradients alone, in double precision."""
    t = len(grads)
    v = torch.zeros_like(grads[0], dtype=torch.float64)
    if kind == "Adagrad":
        v = sum(g.double() ** 2 for g in grads) / t
    else:
        beta = options.get("alpha", 0.99) if kind == "RMSprop" else options["betas"][1]
        for g in grads:
            v = beta * v + (1 - beta) * g.double() ** 2
        if kind != "RMSprop":
            v /= 1 - beta ** t
    return float((grads[-1].double() ** 2).mean() / v.mean())


def test_rho_is_what_its_definition_says():
    for kind, options in (("Adam", {"betas": (0.8, 0.95)}), ("AdamW", {"betas": (0.9, 0.999)}),
                          ("RMSprop", {"alpha": 0.9}), ("Adagrad", {})):
        run, library = open_run()
        torch.manual_seed(1)
        model = nn.Linear(3, 4)
        optimizer = getattr(torch.optim, kind)(model.parameters(), 0.05, **options)
        run.watch(model, optimizer)
        grads = []
        for _ in range(5):
            train(run, model, optimizer, 1, torch.randn(7, 3))
            grads.append(model.weight.grad.clone())
        told = {step: value for step, name, value in library.scalars() if name == "weight/rho"}
        assert {0, 1, 3} <= set(told), told
        assert "bias/rho" not in {name for _, name, _ in library.scalars()}
        for step, value in told.items():
            want = expected_rho(kind, grads[:step + 1], **options)
            assert abs(value - want) < 1e-5 * want, (kind, step, value, want)
        run.finish()


def test_rho_of_a_large_weight_is_of_an_even_sample():
    torch.manual_seed(2)
    g, v = torch.randn(1000, 700), torch.rand(1000, 700) + 0.5
    whole = float((g.double() ** 2).mean() / v.double().mean())
    sampled = _updates.rho(g, {"square_avg": v}, "square_avg", {})
    assert sampled != whole and abs(sampled - whole) < 0.03 * whole, (sampled, whole)


def test_rho_is_left_out_where_it_is_not_defined():
    g = torch.ones(2, 2)
    state = {"step": torch.tensor(3.0), "exp_avg_sq": torch.full((2, 2), 0.5)}
    group = {"betas": (0.9, 0.5)}
    assert abs(_updates.rho(g, state, "exp_avg_sq", group) - 1 / (0.5 / (1 - 0.125))) < 1e-9
    assert abs(_updates.rho(g, dict(state, step=3), "exp_avg_sq", group) - 1.75) < 1e-9
    assert _updates.rho(None, state, "exp_avg_sq", group) is None
    assert _updates.rho(g.to_sparse(), state, "exp_avg_sq", group) is None
    assert _updates.rho(g, state, "exp_avg_sq", {}) is None
    assert _updates.rho(g, {"exp_avg_sq": g}, "exp_avg_sq", group) is None
    assert _updates.rho(g, dict(state, exp_avg_sq=0 * g), "exp_avg_sq", group) is None
    both = dict(state, max_exp_avg_sq=g)
    assert _updates.rho(g, both, "exp_avg_sq", group) is None
    assert abs(_updates.rho(g, both, "max_exp_avg_sq", group) - 0.875) < 1e-9
    half = torch.full((1000,), 60.0, dtype=torch.float16)  # its squares' sum overflows f16
    assert abs(_updates.rho(half, {"square_avg": half}, "square_avg", {}) - 60) < 0.1


def test_nothing_is_held_when_watching_ends():
    run, library = open_run()
    model = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    train(run, model, optimizer, 2)
    updates = run._watcher.optimizers._updates
    assert updates._pool is not None
    run.finish()
    assert updates._pool is None and not updates._plans and not updates._waiting


SCRIPT = """
import json, sys
import torch, barograph
torch.manual_seed(5)
model = torch.nn.Linear(6, 5)
optimizer = torch.optim.SGD(model.parameters(), 0.05)
run = barograph.init(name="sgd", budget=1.0)
run.watch(model, optimizer)
want = []
for step in range(4):
    b = model.weight.detach().double().clone()
    loss = (model(torch.randn(8, 6)) - 1).square().mean()
    optimizer.zero_grad()
    loss.backward()
    delta = -0.05 * model.weight.grad.double()
    optimizer.step()
    a = b + delta
    cos = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    want.append([float(delta.norm()), float(delta.norm() / b.norm()), (1 - cos).tolist()])
    run.log({"loss": loss})
run.finish()
print(json.dumps(want))
"""


def test_ratio_and_change_arrive_as_numpy_would_have_them():
    with live.daemon():
        want = json.loads(live.good(SCRIPT))
        run = live.the_run()["id"]

        def values(series):
            found = {point["step"]: point["value"] for point in live.listing("get", run, series)}
            assert found, series
            return [(found[step], *of) for step, of in enumerate(want) if step in found]

        for got, _, ratio, _ in values("weight:update/update_ratio"):
            assert abs(got - ratio) < 1e-6 * ratio, (got, ratio)
        for got, norm, _, _ in values("weight:update/l2"):
            assert abs(got - norm) < 1e-5 * norm, (got, norm)
        for unit in range(5):
            for got, _, _, changes in values(f"weight:update[{unit}]/change"):
                # both are differences of f32 weights, rounded once
                assert abs(got - changes[unit]) < 1e-3 * changes[unit] + 1e-9, (got, changes)
        refused = live.baro("get", run, "weight:weight[0]/change", check=False)
        assert refused == ""


if __name__ == "__main__":
    tap.main(globals())
