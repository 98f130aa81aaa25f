# SPDX-License-Identifier: Apache-2.0
"""The random numbers of a step are drawn again after the training was killed, or had failed."""
import os
import signal
import sys

import numpy
import torch

import tap
import live

# The batch and the dropout of each step are drawn at random; what was drawn goes to a file.
SCRIPT = """
import os, signal, sys
import torch
import barograph
torch.manual_seed(int(sys.argv[1]))
run = barograph.init(budget=0.5)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
run.watch(model)
drawn = open(sys.argv[2], "wb", buffering=0)
for step in range(int(sys.argv[3])):
    x = torch.randn(300, 4)
    drawn.write(x.numpy().tobytes())
    loss = model(x).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    run.log({"loss": loss.item()})
x = torch.randn(300, 4)  # the step that does not end
drawn.write(x.numpy().tobytes())
if sys.argv[4] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
raise ValueError("at the end")
"""


def place(name):
    return os.path.join(os.path.dirname(os.environ["BARO_DIR"]), name)


def train(how, n_steps=24, seed=5):
    """What a script has drawn in each step, the one that did not end included."""
    done = live.python(SCRIPT, str(seed), place("drawn"), str(n_steps), how)
    assert done.returncode == (-signal.SIGKILL if how == "kill" else 1), done.stderr
    with open(place("drawn"), "rb") as file:
        drawn = file.read()
    n = len(drawn) // (n_steps + 1)
    return [drawn[i * n:(i + 1) * n] for i in range(n_steps + 1)]


def check(run, drawn):
    """Draw the steps again whose states are kept."""
    n_found = 0
    path = place("state")
    for step, was in enumerate(drawn):
        live.baro("probes", run["id"], "--rng", str(step), "-o", path, check=False)
        if os.path.exists(path):
            torch.set_rng_state(torch.from_numpy(numpy.fromfile(path, numpy.uint8)))
            os.remove(path)
            assert torch.randn(300, 4).numpy().tobytes() == was, step
            n_found += 1
    assert n_found >= len(drawn) // 2, (n_found, len(drawn))


def test_a_step_is_drawn_again_after_a_kill_without_a_daemon():
    drawn = train("kill")
    assert live.rings()
    with live.daemon():
        told = live.baro("recover")
        assert "recovered" in told or "ring removed" in told, told
        run = live.the_run()
        check(run, drawn)
        assert not live.rings()
        why = live.baro("why", run["id"])
        words = " ".join(why.split())
        assert "; the random state of steps 0 to " in words, why
        done = live.baro("probes", run["id"], "--rng", "100000", "-o", place("none"), check=False)
        assert done == "" and not os.path.exists(place("none"))


def test_a_step_is_drawn_again_after_a_kill_beneath_a_daemon():
    with live.daemon():
        drawn = train("kill")
        run = live.the_run()
        live.wait_for(lambda: not live.rings())
        check(run, drawn)


def test_a_run_that_failed_has_sent_its_states():
    with live.daemon():
        drawn = train("fail")
        run = live.the_run()
        assert run["status"] == "failed", run
        check(run, drawn)


def test_the_states_up_to_a_failure_are_there_while_the_training_goes_on():
    with live.daemon():
        live.good("""
import torch, barograph
torch.manual_seed(3)
run = barograph.init(budget=0.5)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
run.watch(model)
for step in range(40):
    x = torch.randn(8, 4)
    out = model(x)
    loss = out.square().mean() if step != 12 else (out.square() * -1 - 1).log().mean()
    optimizer.zero_grad()
    loss.backward()
    if step != 12:
        optimizer.step()
    run.log({"loss": loss.item()})
run.finish()
""")
        run = live.the_run()
        assert run["status"] == "finished", run
        assert any(p["reason"] == "failure" for p in live.listing("probes", run["id"]))
        kept = []
        for step in range(8, 18):
            live.baro("probes", run["id"], "--rng", str(step), "-o", place("state"), check=False)
            if os.path.exists(place("state")):
                os.remove(place("state"))
                kept.append(step)
        assert len(kept) >= 3 and 10 <= max(kept) <= 13, kept


def test_a_run_that_ended_well_keeps_none():
    with live.daemon():
        live.good("""
import torch, barograph
run = barograph.init(budget=0.5)
for i in range(20):
    run.log({"loss": float(torch.rand(()))})
run.finish()
""")
        run = live.the_run()
        assert run["status"] == "finished", run
        live.baro("probes", run["id"], "--rng", "5", "-o", place("none"), check=False)
        assert not os.path.exists(place("none"))


if __name__ == "__main__":
    tap.main(globals())
