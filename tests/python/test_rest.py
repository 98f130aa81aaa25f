# SPDX-License-Identifier: Apache-2.0
"""Steps of rest: nothing is asked for in them, and nothing is missed for it."""
import math

import tap
import fake

import torch
from torch import nn

from barograph._watch import rest

torch.set_num_threads(1)


def begin(n_rests, has_optimizer=True):
    """A training of which only the weights are due, and that rests for so many steps after each."""
    run, library = fake.open_run()
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), 1e-3) if has_optimizer else None
    run.watch(model, optimizer)
    train(run, model, optimizer)
    library.is_due = lambda name, role: role == "weight"
    run._watcher._rest.steps = lambda spent_s, stamp: n_rests
    return run, library, model, optimizer


def train(run, model, optimizer, n_steps=1, factor=1.0, between=lambda: None):
    for _ in range(n_steps):
        loss = model(torch.ones(5, 3)).square().sum()
        model.zero_grad()
        loss.backward()
        if optimizer is not None:
            optimizer.step()
        between()
        run.log({"loss": loss.item() * factor})


def test_of_six_steps_one_is_looked_at():
    run, library, model, optimizer = begin(5)
    train(run, model, optimizer, 13)
    seen = sorted({step for step, _, role, *_ in library.of("tensor") if role == "weight"})
    assert seen == [0, 1, 7, 13], seen
    assert [call[0] for call in library.of("scalar")] == list(range(14))
    run.finish()


def test_evaluation_within_a_rest_is_seen_at_its_step():
    for when in ("before", "after"):
        run, library, model, optimizer = begin(5)
        train(run, model, optimizer, 2)
        library.is_due = None

        def evaluate():
            model.eval()
            with torch.no_grad():
                model(torch.ones(2, 3))
            model.train()

        if when == "before":  # between log() and the next step of training
            evaluate()
            train(run, model, optimizer)
        else:
            train(run, model, optimizer, between=evaluate)
        steps = {step for step, name, *_ in library.of("tensor") if name == "eval/2"}
        assert steps == {2 if when == "before" else 3}, (when, steps)
        run.finish()


def test_passes_without_gradients_end_a_rest():
    run, library, model, optimizer = begin(5)
    train(run, model, optimizer, 2)
    library.is_due = None
    with torch.no_grad():
        model(torch.ones(2, 3))
    assert [name for _, name, *_ in library.of("tensor") if name == "no_grad/2"]
    run.finish()


def test_no_step_is_guarded_while_the_budget_has_no_room_for_it():
    run, library, model, optimizer = begin(0)
    guarded = []

    def look():
        guarded.append(run._watcher.probes.is_guarded)

    train(run, model, optimizer, 20, between=look)
    assert all(guarded[1:]), guarded
    library.has_spare = 0
    guarded.clear()
    train(run, model, optimizer, 20, between=look)
    assert not any(guarded[1:]), guarded
    model[0].weight.data[0, 0] = math.nan   # all is due after trouble, and guarded
    train(run, model, optimizer, 1, between=look)
    train(run, model, optimizer, 1, between=look)
    assert guarded[-1] and library.of("event"), library.of("event")
    run.finish()


def test_trouble_ends_a_rest():
    run, library, model, optimizer = begin(20)
    train(run, model, optimizer, 3)
    train(run, model, optimizer, factor=math.nan)
    weights = {name for step, name, role, *_ in library.of("tensor")
               if role == "weight" and step == 4}
    assert weights == {"0.weight", "0.bias", "2.weight", "2.bias"}, weights
    train(run, model, optimizer, 2)
    roles = {role for step, _, role, *_ in library.of("tensor") if step == 6}
    assert {"weight", "grad", "act", "act_grad"} <= roles, roles
    run.finish()


def test_a_second_model_ends_a_rest():
    run, library, model, optimizer = begin(20)
    train(run, model, optimizer, 2)
    library.is_due = None
    other = nn.Linear(3, 2)
    run.watch(other, torch.optim.SGD(other.parameters(), 0.1), name="other")
    other(torch.ones(5, 3)).sum().backward()
    train(run, model, optimizer)
    assert [name for _, name, *_ in library.of("tensor") if name == "other.weight"]
    run.finish()


def rested(step):
    """Steps in which weights were measured, when each goes like this and rests are long."""
    run, library, model, optimizer = begin(5, step.__name__ != "show")
    for _ in range(13):
        model(torch.ones(5, 3)).square().sum().backward()
        step(run, model, optimizer)
        run.log({"loss": 1.0})
    run.finish()
    return sorted({step for step, _, role, *_ in library.of("tensor")
                   if role == "weight" and step < 13})


def test_a_rest_has_an_end_where_gradients_are_clipped_or_shown_without_an_optimizer():
    def clip(run, model, optimizer):
        nn.utils.clip_grad_value_(model.parameters(), 0.1)
        optimizer.step()

    def show(run, model, optimizer):
        run._watcher.show_grads()  # as `barograph run` does
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 1e-3 * parameter.grad

    for step in (clip, show):
        seen = rested(step)
        assert seen == [0, 1, 7], (step, seen)


def test_rests_are_as_long_as_looks_are_dear():
    now = [0.0]
    rest.perf_counter = lambda: now[0]
    share, lengths = 0.01, []
    for look_s, step_s in ((1e-6, 0.01), (60e-6, 0.01), (120e-6, 0.02), (1e-3, 0.01)):
        pause = rest.Rest(share)
        for stamp in range(1, 60):
            now[0] += step_s
            n_steps = pause.steps(look_s, stamp)
        lengths.append(n_steps)
    assert lengths == [0, 4, 4, rest.MOST], lengths


if __name__ == "__main__":
    tap.main(globals(), needs_library=False)
