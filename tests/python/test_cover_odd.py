# SPDX-License-Identifier: Apache-2.0
"""watch() where training is odd: functions, copies, models that change, trouble."""
import copy
import io
import warnings
import weakref

import tap
import fake
from steps import VERSION, scalars_of, small, step_of, told

import torch
from torch import nn

from barograph import auto
from barograph._losses import Losses


class Fourier(nn.Module):
    """A layer of a Fourier operator: its weight is complex."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, dtype=torch.cfloat))
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner(torch.fft.fft(x).to(torch.cfloat) @ self.weight.t()).abs()


def test_complex_numbers_are_measured_as_they_lie_there():
    run, library = fake.open_run()
    model = Fourier()
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    run.watch(model, optimizer)
    step_of(run, model, optimizer)
    step_of(run, model, optimizer)
    now = torch.view_as_real(model.weight.detach())
    seen = {(name, role): (shape, axis, values) for _, name, role, shape, axis, values
            in library.of("tensor", 1)}
    assert seen["weight", "weight"] == ([4, 3, 2], 0, now.flatten().tolist())
    assert seen["weight", "grad"][:2] == ([4, 3, 2], 0)
    assert seen["inner", "act"][:2] == ([5, 4, 2], 1), seen["inner", "act"]
    assert ("weight/exp_avg", "opt") in seen, list(seen)
    assert library.of("update"), library.calls
    assert not [text for text in told(library) if "is not measured" in text], told(library)


# ---- functions and copies ----

def test_functional_calls_are_seen_and_torch_func_is_not_broken():
    if VERSION >= (2, 0):
        from torch.func import functional_call, grad, vmap
    else:
        from torch.nn.utils.stateless import functional_call
    run, library = fake.open_run()
    model = small()
    run.watch(model)
    other = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    out = functional_call(model, other, (torch.ones(5, 3),))
    out.sum().backward()
    run.log({})
    assert library.names_of("act") == ["0", "1", "2"] and other["2.bias"].grad is not None
    if VERSION >= (2, 0):
        def loss_of(parameters, x):
            return functional_call(model, parameters, (x,)).sum()

        plain = {name: p.detach() for name, p in model.named_parameters()}
        want = {name: p.grad.clone() for name, p in other.items()}
        got = vmap(grad(loss_of), in_dims=(None, 0))(plain, torch.ones(5, 3))
        got_other = grad(loss_of)({n: p.detach() for n, p in other.items()}, torch.ones(5, 3))
        run.log({})
        assert got["2.bias"].shape == (5, 2)
        assert all(torch.allclose(got_other[name], want[name]) for name in want)
        step_of(run, model)
        assert library.names_of("act", 2) == ["0", "1", "2"], library.names_of("act", 2)


def test_checkpointed_layers_are_seen_when_they_are_computed_again():
    from torch.utils.checkpoint import checkpoint

    class Saver(nn.Module):
        def __init__(self, **options):
            super().__init__()
            self.first = nn.Linear(3, 4)
            self.second = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
            self.options = options

        def forward(self, x):
            return checkpoint(self.second, self.first(x), **self.options)

    for is_reentrant in (True, False):
        run, library = fake.open_run()
        model = Saver(use_reentrant=is_reentrant)
        run.watch(model)
        for _ in range(2):
            step_of(run, model)
        for step in range(2):
            acts = [n for n in library.names_of("act", step) if not n.startswith("no_grad/")]
            assert sorted(acts) == sorted(set(acts)) and "second.0" in acts, acts
            assert "second.0" in library.names_of("act_grad", step)
        assert not told(library), told(library)


def test_a_model_saved_and_copied_in_the_middle_of_a_step_holds_nothing_of_it():
    run, library = fake.open_run()
    model = small()
    run.watch(model)
    stream = io.BytesIO()
    copies = []

    def spy(module, args):
        copies.append(copy.deepcopy(model))
        torch.save(model.state_dict(), io.BytesIO())

    handle = model[1].register_forward_pre_hook(spy)
    step_of(run, model)
    handle.remove()
    model(torch.ones(5, 3))
    torch.save(model, stream)
    stream.seek(0)
    again = torch.load(stream, **({"weights_only": False} if VERSION >= (2, 0) else {}))
    want = model(torch.ones(5, 3))
    n_before = len(library.of("tensor"))
    assert torch.equal(again(torch.ones(5, 3)), want)
    copies[0](torch.ones(5, 3))
    assert len(library.of("tensor")) == n_before
    assert b"barograph." not in stream.getvalue() and b"_watch" not in stream.getvalue()


def test_scripted_and_traced_models_do_not_break():
    for make in (lambda: torch.jit.script(small()),
                 lambda: torch.jit.trace(small(), torch.ones(5, 3))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = make()
        run, library = fake.open_run()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        run.watch(model, optimizer)
        for _ in range(2):
            step_of(run, model, optimizer)
        assert len(library.names_of("weight")) == 8 == len(library.names_of("grad"))
    run, library = fake.open_run()
    model = small()
    run.watch(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, torch.ones(5, 3))
    assert torch.equal(traced(torch.ones(5, 3)), model(torch.ones(5, 3)))


def test_a_compiled_model_shows_weights_and_gradients():
    if not hasattr(torch, "compile"):
        raise tap.Skip("this torch cannot compile")
    for wrap in (lambda m: torch.compile(m, backend="eager"),
                 lambda m: (m.compile(backend="eager"), m)[1],
                 lambda m: nn.Sequential(torch.compile(m, backend="eager"))):
        run, library = fake.open_run()
        model = wrap(small())
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run.watch(model, optimizer)
            for _ in range(3):
                step_of(run, model, optimizer)
        assert len(library.names_of("weight")) == 12 == len(library.names_of("grad"))
        assert not any("_orig_mod" in name for name in library.names_of("weight"))
        assert sum("compiled" in text for text in told(library)) == 1, told(library)


def test_watching_has_a_compiled_step_neither_break_nor_start_anew():
    if not hasattr(torch, "compile"):
        raise tap.Skip("this torch cannot compile")
    from torch._dynamo.testing import CompileCounter
    counts = []
    for is_watched in (False, True):
        torch._dynamo.reset()
        run, library = fake.open_run()
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        counter = CompileCounter()
        compiled = torch.compile(lambda x: model(x).sum(), backend=counter)
        if is_watched:
            run.watch(model, optimizer)
        for _ in range(6):
            optimizer.zero_grad()
            loss = compiled(torch.ones(5, 3))
            loss.backward()
            optimizer.step()
            run.log({"loss": loss})
        counts.append(counter.frame_count)
    assert len(library.names_of("grad")) == 24 == len(library.names_of("weight"))
    assert counts[1] <= counts[0] + 1, counts


def test_a_model_that_is_compiled_after_watch_has_no_hooks_in_it():
    if not hasattr(torch, "compile"):
        raise tap.Skip("this torch cannot compile")
    from torch._dynamo.testing import CompileCounter
    for compile in (lambda m, counter: torch.compile(m, backend=counter),
                    lambda m, counter: (m.compile(backend=counter), m)[1]):
        torch._dynamo.reset()
        run, library = fake.open_run()
        model, counter = small(), CompileCounter()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        run.watch(model, optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # torch warns of hooks on all modules
            compiled = compile(model, counter)
            for _ in range(6):
                step_of(run, compiled, optimizer)
        assert counter.frame_count == 1, counter.frame_count
        assert len(library.names_of("weight")) == 24 == len(library.names_of("grad"))
        assert not library.names_of("act")


# ---- models that change, and trouble ----

def test_a_model_that_is_edited_in_mid_run_is_followed():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for _ in range(3):
        step_of(run, model, optimizer)
    model.add_module("new", nn.Linear(2, 2))
    model[0] = nn.Linear(3, 4)
    model[2].requires_grad_(False)
    optimizer.add_param_group({"params": list(model.new.parameters())})
    for _ in range(3):
        step_of(run, model, optimizer)
    assert "new.weight" in library.names_of("grad", 5) and "new" in library.names_of("act", 5)
    assert "new.weight" in library.names_of("weight", 5)
    assert [text for text in told(library) if "2 parameters are frozen now" in text]
    model[2].requires_grad_(True)
    for _ in range(130):
        step_of(run, model, optimizer)
    assert [text for text in told(library) if "2 parameters are no longer frozen" in text]
    del model.new
    for _ in range(130):
        step_of(run, model, optimizer)
    assert "new.weight" not in library.names_of("weight", library.step)


def test_hooks_of_the_user_that_raise_raise_as_before():
    run, library = fake.open_run()
    model = small()
    run.watch(model)

    def bad(*_):
        raise ValueError("the user's own")

    handle = model[1].register_forward_hook(bad)
    for _ in range(2):
        try:
            model(torch.ones(5, 3))
        except ValueError as error:
            assert str(error) == "the user's own"
        else:
            raise AssertionError("it was swallowed")
    handle.remove()
    for _ in range(2):
        step_of(run, model)
    assert library.names_of("act", 1) == ["0", "1", "2"]


def test_whatever_of_ours_raises_the_training_goes_on():
    places = [("baro_due", None), ("baro_tensor", None), ("baro_tensors", None),
              ("baro_declare_tensor", None), ("baro_spent", None), ("baro_step", None)]
    for name, _ in places:
        run, library = fake.open_run()
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        run.watch(model, optimizer)
        before = model[2].bias.detach().clone()
        setattr(library, name, lambda *_: 1 / 0)
        for _ in range(4):
            step_of(run, model, optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        assert not torch.equal(before, model[2].bias), name
        assert library.scalars() or name == "baro_step", name
        assert any("ZeroDivision" in text for text in told(library)), (name, told(library))
        run.finish()


def test_models_elsewhere_are_told_once_and_left_alone():
    run, library = fake.open_run()
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].to("meta")
    run.watch(nn.Linear(3, 3, device="meta"), name="far")
    run.watch(model)
    for _ in range(5):
        model[0](torch.ones(5, 3)).sum().backward()
        run.log({})
    assert len(told(library)) == 1 and "meta" in told(library)[0]


def test_a_thread_that_calls_the_model_meanwhile_does_no_harm():
    import threading
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    is_over = threading.Event()
    failures = []

    def look():
        try:
            while not is_over.is_set():
                with torch.no_grad():
                    model(torch.ones(2, 3))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(60):
        step_of(run, model, optimizer)
    is_over.set()
    thread.join()
    assert not failures and len(library.scalars()) == 60
    assert not [text for text in told(library) if "Error" in text], told(library)


def test_an_unmeasured_step_touches_no_module_and_asks_once():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for _ in range(2):
        step_of(run, model, optimizer)
    library.is_due = lambda name, role: (name, role) == ("1", "act")
    seen = []
    for part in model:
        part.register_forward_hook(lambda module, *_: seen.append(
            (len(module._forward_hooks), len(module._forward_pre_hooks))))
    n_asked = library.n_asked
    step_of(run, model, optimizer)
    assert seen == [(1, 0), (2, 0), (1, 0)], seen
    assert library.n_asked - n_asked == 1
    assert [(n, role) for _, n, role, *_ in library.of("tensor", 2)] == [("1", "act")]
    assert library.spent and all(ns >= 0 for ns in library.spent.values())


def test_a_layer_that_rarely_comes_is_looked_for_ever_more_seldom():
    class Sometimes(nn.Module):
        def __init__(self):
            super().__init__()
            self.always, self.rare = nn.Linear(3, 3), nn.Linear(3, 3)
            self.n = 0

        def forward(self, x):
            self.n += 1
            return self.rare(self.always(x)) if self.n > 40 else self.always(x)

    run, library = fake.open_run()
    model = Sometimes()
    run.watch(model)
    looks = 0
    for _ in range(70):
        loss = model(torch.ones(5, 3)).sum()
        looks += bool(model.rare._forward_hooks) and model.n <= 40
        loss.backward()
        run.log({})
    assert looks == 8, looks
    assert "rare" in library.names_of("act") and "rare.weight" in library.names_of("grad")


def test_a_functional_call_is_no_time_to_look_for_models():
    run, _ = fake.open_run()
    model, looks = small(), []
    recorder = auto.Recorder(run, {}, {})
    recorder._torch, recorder._on_training = torch, lambda module, args: looks.append(module)
    recorder._await_forward()
    held = [(part, dict(part._parameters)) for part in model]
    for part, named in held:
        part._parameters.update({name: one * 1.0 for name, one in named.items()})  # as torch 2 does
    model(torch.ones(5, 3))
    assert not looks, "the model holds what was computed of its parameters"
    for part, named in held:
        part._parameters.update(named)
    model(torch.ones(5, 3))
    assert looks == [model]


def test_the_rate_of_an_optimizer_that_is_out_of_use_is_not_logged():
    run, library = fake.open_run()
    recorder, model = auto.Recorder(run, None, {}), small()
    recorder._torch, recorder._losses = torch, Losses(torch)
    old, new = (torch.optim.SGD(model.parameters(), rate) for rate in (0.1, 0.2))
    for optimizer in (old, new):
        recorder.on_optimizer(optimizer)
    recorder._on_forward.remove()
    for optimizer in (old, new, new, new):
        optimizer.step()
    assert [[name for _, name, _ in library.of("scalar", step)] for step in range(3)] == [
        ["lr", "lr.2"], ["lr.2"], ["lr.2"]], library.calls


def test_layers_that_take_turns_are_all_seen():
    class Turns(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads, self.n = nn.ModuleList(nn.Linear(3, 1) for _ in range(6)), -1

        def forward(self, x):
            self.n += 1
            return self.heads[self.n % 2](x) + self.heads[2 + self.n % 3](x) if self.n else x

    run, library = fake.open_run()
    model = Turns()
    run.watch(model)
    for _ in range(40):
        model(torch.ones(5, 3, requires_grad=True)).sum().backward()
        run.log({})
    assert {f"heads.{n}" for n in range(5)} <= set(library.names_of("act"))


def test_nothing_of_a_finished_run_is_left_in_a_model():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    step_of(run, model, optimizer)
    model(torch.ones(5, 3))
    watcher = weakref.ref(run._watcher)
    run.finish()
    assert not any(value for part in model.modules() for name, value in vars(part).items()
                   if "hook" in name and isinstance(value, dict))
    assert "step" not in vars(optimizer) and watcher() is not None


def test_ranks_sum_up_the_bits_of_the_same_weights():
    from barograph._watch import ranks
    run, library = fake.open_run()
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(400, 100, bias=False), nn.Linear(4, 2).half())
    run.watch(model, roles=["weight"])
    run._watcher._replicas.add(run._watcher.models[0])
    for _ in range(1 + 3 * ranks.PERIOD):
        run.log({})
    names = [(step, name) for step, name, _ in library.scalars()]
    assert names[:3] == [(0, "replicated/0.weight"), (0, "replicated/0.bias"),
                         (0, "replicated/1.weight")], names
    assert names[3:6] == [(4, "replicated/1.weight"), (4, "replicated/2.weight"),
                          (4, "replicated/2.bias")], names
    value = scalars_of(library, "replicated/0.bias")[0][1]
    want = sum(model[0].bias.detach().view(torch.int32).tolist()) % 2**52
    assert value == want
    twin = model[0].bias.detach().clone()
    twin.view(torch.int32)[2] ^= 1
    assert int(ranks.checksum(twin, 0, 4)) != want


if __name__ == "__main__":
    tap.main(globals(), needs_library=False)
