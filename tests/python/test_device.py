# SPDX-License-Identifier: Apache-2.0
"""The way that tensors on a GPU take, gone with tensors in main memory: BARO_DEVICE_PATH=cpu.

What it computes is compared with what lib/simd says of the same tensors.
"""
import contextlib
import json
import math
import os
import time
import weakref

import tap
import fake
import live

import torch
from torch import nn

import barograph
from barograph import _device, _device_ops

torch.set_num_threads(1)

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
WHOLE = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool)
SUMS = ("mean", "var", "l1", "l2")


def real_run():
    """A run on the real library, after cases that had a fake one."""
    barograph._finish_all(None, None)
    barograph._native._loaded = None
    return barograph.init(ring_bytes=32 << 20)


@contextlib.contextmanager
def forced():
    """Send tensors in main memory the device's way."""
    _device.is_forced = True
    try:
        yield
    finally:
        _device.is_forced = False


class Slow(_device.Far):
    """A device whose copies arrive when told."""

    arrived = 0

    def _event(self, torch, device):
        far = self

        class Event:
            number = far.n_events = getattr(far, "n_events", 0) + 1

            def query(self):
                return self.number <= far.arrived
        return Event()


def far_run(kind=_device.Far, **options):
    """A run on the fake library, with a device of that kind."""
    run, library = fake.open_run(**options)
    run._far = kind(run)
    return run, library


def layouts():
    """Tensors of every layout: name, tensor, axis of units."""
    base = torch.randn(20, 30, 8, generator=torch.Generator().manual_seed(3))
    base[1] = 0
    bad = base.clone()
    bad[3, 4, 5], bad[7, 1, 2], bad[9, 9, 0] = math.nan, math.inf, -math.inf
    yield "whole", base, 0
    yield "bad", bad, 1
    yield "turned", bad.transpose(0, 2), 0
    yield "cut", bad[::2, 1:, ::3], 2
    yield "spread", bad[:1].expand(5, 30, 8), 0
    yield "number", base[0, 0, 0], None
    yield "all_bad", torch.full((3, 4), math.nan), 0
    yield "empty", torch.zeros(0, 4), 1
    yield "far_from_0", 1000 + base / 100, 0


def cases():
    """The same in every element type."""
    for name, tensor, axis in layouts():
        for dtype in FLOATS:
            yield f"{name}.{dtype}", tensor.to(dtype), axis
        if name in ("whole", "cut", "number"):
            for dtype in WHOLE:
                values = torch.nan_to_num(tensor * 20, 0, 100, -100).clamp(-100, 100)
                yield f"{name}.{dtype}", values.abs().to(dtype), axis
    yield "large", torch.randn(300, 700, generator=torch.Generator().manual_seed(4)), 0


def export():
    """All that the daemon has of the run, by (way, name): {kind: row}."""
    path = os.path.join(os.environ["BARO_DIR"], "all.jsonl")
    live.baro("export", live.the_run()["id"], "-o", path, "--kind", "summaries,units,histograms")
    found = {}
    with open(path) as file:
        for line in file:
            row = json.loads(line)
            if row["kind"] in ("summary", "units", "histogram"):
                way, _, name = row["series"].partition("/")
                found.setdefault((way, name), {})[row["kind"]] = row
    return found


def close(a, b, name, relative):
    """Tell whether two numbers of the exports are alike; None is NaN."""
    if a is None or b is None or isinstance(a, str) or isinstance(b, str):
        return a == b
    if isinstance(a, list):
        return len(a) == len(b) and all(close(x, y, name, relative) for x, y in zip(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(
            close(a[key], b[key], key, relative if key in SUMS else 0) for key in a)
    return math.isclose(a, b, rel_tol=relative, abs_tol=relative)


def test_every_statistic_is_what_lib_simd_says():
    with live.daemon("--exact"):
        run = real_run()
        names = []
        for name, tensor, axis in cases():
            names.append(name)
            run.tensor(f"near/{name}", tensor, "weight", axis)
            with forced():
                run.tensor(f"far/{name}", tensor, "weight", axis)
        run.log({}, step=0)
        run.finish(30)
        found = export()
    assert len(names) > 50
    for name in names:
        near, far = found["near", name], found["far", name]
        assert near.keys() == far.keys(), (name, near.keys(), far.keys())
        for kind, row in near.items():
            for what in row.keys() - {"series", "time_ns"}:
                relative = 0.0
                if what in SUMS or kind == "units":
                    relative = 2e-6 if kind == "units" else 1e-6
                assert close(row[what], far[kind].get(what), what, relative), (
                    name, kind, what, row[what], far[kind].get(what))


def test_tensors_in_pieces_are_measured_as_in_one():
    whole = []
    for limit in (1 << 20, 1 << 10):
        was, _device_ops.PIECE = _device_ops.PIECE, limit
        try:
            with torch.no_grad():
                results = []
                for shape in ((7, 300, 5), (5000,), (2, 3, 700, 2), (3, 100, 1000)):
                    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(1))
                    tensor.view(-1)[1500] = math.nan
                    for axis in range(-1, len(shape)):
                        numbers, words, layout = _device_ops.measure(tensor, axis)
                        results.append((read(numbers, words, layout), words))
            whole.append(results)
        finally:
            _device_ops.PIECE = was
    for (a, a_words), (b, b_words) in zip(*whole):
        for key, value in a.items():
            assert math.isclose(value, b[key], rel_tol=1e-9, abs_tol=1e-12), (key, value, b[key])
        assert torch.equal(a_words.view(torch.int32)[:256], b_words.view(torch.int32)[:256])
        assert torch.allclose(a_words[256:], b_words[256:], 1e-6, equal_nan=True)


def read(numbers, words, layout):
    """The whole-tensor statistics as a dictionary."""
    out = barograph._native.Summarised()
    layout.fill(out, numbers.tolist(), 0)
    return {name: getattr(out, name) for name, _ in out._fields_
            if not name.startswith("unit_") and name not in ("positive", "negative",
                                                             "update_ratio", "unit_change")}


def test_a_device_without_doubles_is_near():
    with torch.no_grad():
        for name, tensor, axis in layouts():
            if name in ("all_bad", "empty"):
                continue
            exact = read(*_device_ops.measure(tensor, -1 if axis is None else axis))
            rough = read(*_device_ops.measure(tensor, -1 if axis is None else axis, None,
                                              torch.float32))
            for key, value in exact.items():
                relative = 1e-5 if key in SUMS else 0
                assert math.isclose(value, rough[key], rel_tol=relative,
                                    abs_tol=relative), (name, key, value, rough[key])


def test_squares_that_do_not_fit_a_double_are_summed_all_the_same():
    with torch.no_grad():
        large = read(*_device_ops.measure(torch.tensor([1e300, -1e300], dtype=torch.float64), -1))
        small = read(*_device_ops.measure(torch.tensor([3e-300, 4e-300], dtype=torch.float64), -1))
    assert math.isclose(large["l2"], math.sqrt(2) * 1e300) and large["mean"] == 0
    assert math.isclose(small["l2"], 5e-300) and math.isclose(small["mean"], 3.5e-300)


def train(run, n_steps, model=None, dtype=torch.float32):
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    if run is not None:
        run.watch(model, optimizer, every=1)
    trace = []
    for _ in range(n_steps):
        loss = model(torch.randn(6, 4, dtype=dtype)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trace.append(loss.item())
        if run is not None:
            run.log({"loss": loss})
    return trace, [p.detach().clone() for p in model.parameters()]


def test_numbers_come_late_and_belong_to_their_step():
    with forced():
        run, library = far_run()
        _, weights = train(run, 3)
        assert not library.of("tensor") and not library.of("update")
        last = [step for step, *_ in library.of("summary")]
        assert last and max(last) == 1, "those of the last step are on their way"
        run.finish()
    steps = {}
    for step, name, role, numbers in library.of("summary"):
        steps.setdefault((name, role), []).append(step)
    for key in (("0.weight", "weight"), ("0.weight", "grad"), ("0", "act"), ("0", "act_grad"),
                ("input", "input"), ("0.weight", "update"), ("0.weight/exp_avg", "opt")):
        assert steps[key] == [0, 1, 2], (key, steps.get(key))
    norm = [numbers["l2"] for step, name, role, numbers in library.of("summary", 2)
            if (name, role) == ("0.weight", "weight")]
    assert math.isclose(norm[0], float(weights[0].norm()), rel_tol=1e-6)


def test_training_is_the_same_bit_for_bit():
    plain, plain_weights = train(None, 6)
    rng = torch.get_rng_state()
    with forced():
        run, library = far_run()
        seen, weights = train(run, 6)
        run.finish()
    assert plain == seen and all(torch.equal(a, b) for a, b in zip(plain_weights, weights))
    assert torch.equal(rng, torch.get_rng_state()) and len(library.of("summary")) > 60


def test_deterministic_algorithms_are_no_obstacle():
    torch.use_deterministic_algorithms(True)
    try:
        with forced():
            run, library = far_run()
            train(run, 2)
            run.finish()
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert library.of("summary") and not library.of("event")


def test_a_device_that_is_behind_is_not_waited_for():
    with forced():
        run, library = far_run(Slow)
        began = time.monotonic()
        train(run, 12)
        assert time.monotonic() - began < 5
        assert not library.of("summary") and len(run._far._sent) == _device.MAX_SENT
        told = [text for _, _, text in library.of("event")]
        assert len(told) == 1 and "behind" in told[0], told
        run._far.arrived = 2
        train_step = nn.Linear(2, 2)
        run.log({"loss": float(train_step(torch.ones(1, 2)).sum())})
        run.log({"loss": 0.0})
        assert {step for step, *_ in library.of("summary")} == {0, 1}
        left_out = run._far.n_left_out
        assert left_out > 100
        began = time.monotonic()
        run.finish(timeout=0.2)
        assert time.monotonic() - began < 2
    assert any("were left out in all" in text for _, _, text in library.of("event"))


def test_what_libbaro_refuses_is_left_alone():
    with forced():
        run, library = far_run(refuse=("0.weight",))
        train(run, 4)
        run.finish()
    assert library.of("summary") and not [1 for _, name, *_ in library.of("summary")
                                          if name == "0.weight"]
    assert len([text for _, _, text in library.of("event") if "0.weight" in text]) >= 1


def both_ways(body):
    """Train twice, one time each way; returns what the daemon has then: {key: row} of each."""
    found = []
    with live.daemon("--exact"):
        for way, gate in (("near", contextlib.nullcontext()), ("far", forced())):
            torch.manual_seed(5)
            os.environ["BARO_RUN_ID"] = way
            with gate:
                run = real_run()
                body(run)
                run.finish(30)
            path = os.path.join(os.environ["BARO_DIR"], f"{way}.jsonl")
            live.baro("export", way, "-o", path, "--kind", "summaries,units,histograms")
            with open(path) as file:
                found.append({(row["series"], row["role"], row["kind"], row["step"]): row
                              for row in map(json.loads, file)
                              if row["kind"] in ("summary", "units", "histogram")})
    return found


def assert_alike(near, far, relative):
    assert near.keys() == far.keys(), near.keys() ^ far.keys()
    for key, row in near.items():
        for what in row.keys() - {"time_ns"}:
            some = relative if what in SUMS or key[2] == "units" or key[1] == "update" else 0.0
            assert close(row[what], far[key].get(what), what, some), (
                key, what, row[what], far[key].get(what))


def test_updates_are_those_of_lib_simd():
    def body(run):
        model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
        nn.init.zeros_(model[1].bias)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        run.watch(model, optimizer, every=1, roles=["update"])
        for step in range(2):
            model(torch.ones(2, 5) * (1 + step)).square().sum().backward()
            model[0].weight.grad[1] = 0
            optimizer.step()
            optimizer.zero_grad()
            run.log({})

    near, far = both_ways(body)
    assert len(near) == 24
    assert_alike(near, far, 1e-5)


class Reader(nn.Module):
    """Sparse gradients, time before batch, a convolution, and a layer that gives NaN."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6, sparse=True)
        self.rnn = nn.LSTM(6, 7)
        self.conv = nn.Conv1d(7, 3, 2)
        self.head = nn.Linear(3, 2)
        self.root = nn.ReLU()

    def forward(self, x):
        hidden = self.rnn(self.embed(x))[0].permute(1, 2, 0)
        return self.head(self.root(self.conv(hidden)).mean(2))


def test_a_watched_model_leaves_the_same_series_either_way():
    def body(run):
        model = Reader()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        run.watch(model, optimizer, every=1)
        for step in range(3):
            loss = model(torch.arange(20).view(5, 4) % 11).square().mean()
            optimizer.zero_grad()
            (loss * (math.nan if step == 2 else 1)).backward()
            optimizer.step()
            run.log({"loss": loss})

    near, far = both_ways(body)
    assert {role for _, role, _, _ in near} == {"input", "weight", "grad", "act", "act_grad",
                                                "update", "opt"}
    assert {step for *_, step in near} == {0, 1, 2} and len(near) > 200, len(near)
    assert_alike(near, far, 2e-5)


def test_attention_and_dropout_train_alike():
    import test_identity
    with forced():
        test_identity.same("attention", lambda run, model, optimizer: run.watch(
            model, optimizer, every=2))


def test_a_tensor_is_not_kept_alive_by_its_measuring():
    with forced():
        run, _ = far_run(Slow)
        tensor = torch.randn(100, 100)
        gone = weakref.ref(tensor)
        run.tensor("big", tensor)
        run.log({})
        del tensor
        assert gone() is None
        run.finish(timeout=0)


def test_values_are_never_looked_at():
    meta = torch.device("meta")  # tensors without values: who looks at one fails
    try:
        with torch.no_grad():
            for tensor in (torch.empty(300, 400, device=meta), torch.empty(9, 5, device=meta).t(),
                           torch.empty(5, dtype=torch.float64, device=meta),
                           torch.empty(5, dtype=torch.int64, device=meta)):
                for axis in range(-1, tensor.dim()):
                    numbers, words, layout = _device_ops.measure(tensor, axis)
                    assert numbers.is_meta and words.is_meta
                    assert words.numel() == 256 + 5 * layout.n_units
            weight = torch.empty(30, 40, device=meta)
            _device_ops.measure(weight, 0, torch.empty_like(weight))
    except NotImplementedError as error:
        raise tap.Skip(f"this torch cannot do without values: {error}") from None


def test_nothing_that_would_wait_for_a_device_is_called():
    try:
        from torch.utils._python_dispatch import TorchDispatchMode
    except ImportError:
        raise tap.Skip("no dispatch modes here") from None
    forbidden = ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "masked_select", "unique",
                 "_unique2", "bincount", "equal")
    names, copied = set(), []

    class Guard(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            name = str(function).split(".")[1] if "." in str(function) else str(function)
            names.add(name)
            assert name not in forbidden, f"{function} waits for the device"
            if name == "_to_copy":
                assert (keywords or {}).get("device") is None, "a copy that waits"
            if name == "copy_":
                copied.append(arguments[2:] == (True,) or (keywords or {}).get("non_blocking"))
            if name == "index" or name == "index_put_":
                raise AssertionError(f"{function}: an index by a mask waits for the device")
            return function(*arguments, **(keywords or {}))

    with torch.no_grad(), Guard():
        for tensor in (torch.randn(300, 400), torch.randn(30, 40).t(), torch.arange(12),
                       torch.randn(3, 4, dtype=torch.float64), torch.zeros(0, 2)):
            for axis in range(-1, tensor.dim()):
                _device_ops.measure(tensor, axis)
        _device_ops.measure(torch.randn(30, 40), 0, torch.randn(30, 40))
        with forced():
            run, library = far_run(Slow)
            run.tensor("one", torch.randn(20, 20))
            run.tensor("two", torch.randn(20, 20))
            run.log({})
            run._far.arrived = 9
            run.finish(timeout=0.1)
    assert "gather" in names and copied and all(copied), sorted(names)
    assert len(library.of("summary")) == 2


if __name__ == "__main__":
    tap.main(globals())
