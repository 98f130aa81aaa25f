# SPDX-License-Identifier: Apache-2.0
"""Failures of steps that cannot be traced or done again: compiled models, tensors without modules,
no memory. And what such a capture leaves behind.
"""
import gc
import math

import tap
import fake
from steps import told
from test_probe import fail_with, failures, square

import torch
from torch import nn


def held(optimizer):
    from barograph import _loose
    run, library = fake.open_run()
    holder = _loose.hold(optimizer, {id(p) for group in optimizer.param_groups
                                     for p in group["params"]})
    run.watch(holder, optimizer)
    return run, library, holder


def test_tensors_without_any_module_are_looked_at_in_their_graph():
    w = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    x = torch.linspace(0.1, 1.0, 15).reshape(5, 3)
    for make_bad, cause in ((lambda y: torch.log(y.detach() * 0 + y * 0), "log of 0 is -inf"),
                            (lambda y: (y * math.nan).exp(), "held NaN"),
                            (lambda y: (y * 0).sqrt(), "gradient of sqrt at 0")):
        with torch.no_grad():
            w.copy_(torch.tensor([1.0, -2.0, 0.5]))
        optimizer = torch.optim.SGD([w], 0.01)
        run, library, holder = held(optimizer)
        assert [name for name, _ in holder.named_parameters()] == ["w"]
        for step in range(4):
            y = x @ w
            loss = (make_bad(y) if step == 2 else (y * y + 1).log()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log({"loss": loss.item()})
        run.finish()
        origins = [probe["origin"]["cause"] for probe in failures(library)]
        assert "w" in library.names_of("grad")
        if cause == "held NaN":
            continue   # a number is saved nowhere: that nothing wrong is said is enough
        assert len(origins) >= 1 and cause in origins[0], (cause, origins, told(library))
        assert failures(library)[0]["step"] == 2


def test_weights_of_no_module_that_are_spoilt_are_named():
    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], 0.01)
    run, library, _ = held(optimizer)
    for step in range(3):
        if step == 1:
            w.data[1] = math.nan
        loss = ((torch.ones(5, 3) @ w) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"loss": loss.item()})
    cause = failures(library)[0]["origin"]["cause"]
    assert "the weights held NaN before this step: 1 of 3 elements of 'w'" in cause, cause


def test_a_step_is_not_computed_again_where_there_is_no_room_for_it():
    from barograph._probe import memory
    was, memory.left_for = memory.left_for, lambda tensor: 1000
    try:
        library, _ = fail_with(nn.Sequential(nn.Linear(4, 8), nn.Tanh()),
                               lambda out, x: torch.log(out.sum(1) * 0).mean(), bad=lambda x: x)
    finally:
        memory.left_for = was
    failure = failures(library)[0]
    assert failure["origin"]["cause"] == "log of 0 is -inf" and len(failure["ops"]) == 1
    assert [text for text in told(library) if "not computed again" in text], told(library)


def test_nothing_of_a_failed_step_is_held_afterwards():
    gc.collect()
    gc.disable()   # much of it refers to itself: nobody is to wait for the collector
    try:
        library, run = fail_with(nn.Sequential(*[nn.Linear(4, 4) for _ in range(40)]), square,
                                 bad=lambda x: x[2].fill_(math.nan))
        run.finish()
        outputs = [one for one in gc.get_objects()
                   if type(one) is torch.Tensor and one.shape == (6, 4)]
    finally:
        gc.enable()
    assert failures(library) and len(outputs) < 5, len(outputs)


def test_a_compiled_model_is_computed_again_as_it_was_written():
    if not hasattr(torch, "compile"):
        raise tap.Skip("this torch cannot compile")
    from torch._dynamo.testing import CompileCounter
    for compile in (lambda m, counter: torch.compile(m, backend=counter),
                    lambda m, counter: (m.compile(backend=counter), m)[1]):
        for is_watched_first in (True, False):
            torch._dynamo.reset()
            counter, run_library = CompileCounter(), fake.open_run()
            run, library = run_library
            model = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            if is_watched_first:
                run.watch(model, optimizer)
            compiled = compile(model, counter)
            if not is_watched_first:
                run.watch(compiled, optimizer)
            for step in range(4):
                x = torch.ones(6, 4)
                if step == 2:
                    x[3, 1] = math.nan
                loss = square(compiled(x), x)
                optimizer.zero_grad()
                loss.backward()
                if step != 2:
                    optimizer.step()
                run.log({"loss": loss.item()})
            origin = failures(library)[0]["origin"]
            assert "the data held NaN already: 1 of 24" in origin["cause"], origin
            assert origin["rows"] == [3] and counter.frame_count == 1, (origin, counter.frame_count)
            run.finish()
            assert not getattr(compiled, "_forward_pre_hooks", None)


if __name__ == "__main__":
    tap.main(globals(), needs_library=False)
