# SPDX-License-Identifier: Apache-2.0
"""The life of a run and of its process: modes, daemons that are not there, ends of every kind."""
import os
import re
import signal

import tap
import live

TRAIN = """
import barograph
run = barograph.init(project="life", name="short")
for i in range(20):
    run.log({"loss": 1.0 / (i + 1)})
"""

TORCH = """
import torch, barograph
from torch import nn
model = nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
run = barograph.init(project="life")
run.watch(model, optimizer)
"""


def test_importing_touches_neither_torch_nor_numpy_nor_the_library():
    live.good("import sys, barograph\n"
              "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
              "assert 'libbaro' not in open('/proc/self/maps').read()\n")


def test_off_mode_loads_nothing_and_takes_every_call():
    live.good("""
import sys, barograph
run = barograph.init(project="x", config={"a": 1})
run.watch(object(), None)
run.log({"loss": 1}, step=3, batch=[1], samples={})
run.tensor("x", None); run.event("x"); run.alert("x", "y"); barograph.log({})
with run: pass
run.finish()
assert not run.is_active and run.config == {"a": 1} and run.stats() == {}
assert 'torch' not in sys.modules and 'ctypes' not in dir(barograph)
assert 'libbaro' not in open('/proc/self/maps').read()
""", BARO_MODE="off", BARO_LIB="/nowhere/libbaro.so", BARO_AUTOSTART="1")
    assert not live.rings()


def test_a_cell_that_is_run_again_finishes_the_run_before():
    program = """
import sys, barograph
if {interactive}: sys.ps1 = ">>> "
first = barograph.init(project="life", mode="offline")
first.log({{"loss": 1.0}})
second = barograph.init(project="life", mode="offline")
assert first.is_active != {interactive} and second.is_active and barograph.run is second
second.finish()
assert barograph.init(project="life", mode="offline").is_active
"""
    for interactive in (True, False):
        live.good(program.format(interactive=interactive))


def test_offline_leaves_a_ring_and_starts_no_daemon():
    done = live.python(TRAIN, BARO_MODE="offline", BARO_AUTOSTART="1")
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert len(live.rings()) == 1
    assert live.daemon_pid() is None


def test_offline_runs_can_be_recovered():
    live.good(TRAIN, BARO_MODE="offline")
    with live.daemon():
        live.baro("recover", *live.rings())
        run = live.wait_for(lambda: [r for r in live.listing("runs") if r["steps"] == 20])[0]
        assert run["name"] == "short" and run["project"] == "life"


KILLED_MEANWHILE = """
import os, signal, torch, barograph
from torch import nn
class Model(nn.Linear):
    n_calls = 0
    def forward(self, x):
        Model.n_calls += 1
        if Model.n_calls == 8:   # nobody else calls it in that step again
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)
model = Model(4, 2)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
run = barograph.init(project="life", name="cut", mode="offline")
run.watch(model, optimizer)
for i in range(20):
    loss = (model(torch.ones(3, 4)) * (float("nan") if i == 6 else 1.0)).pow(2).mean()
    loss.backward()
    optimizer.step()
    run.log({"loss": loss.item()})
"""


def test_a_failure_is_told_even_if_the_process_is_killed_while_it_is_looked_into():
    assert live.python(KILLED_MEANWHILE).returncode == -signal.SIGKILL
    with live.daemon():
        live.baro("recover", *live.rings())
        why = live.wait_for(lambda: [text for text in [live.baro("why", "cut", check=False)]
                                     if "was killed" in text and "readings end" in text])[0]
        assert "The loss became NaN at step 6; the readings end while" in why, why


def test_without_a_daemon_a_run_ends_soon_and_says_where_it_is():
    done = live.python(TRAIN)
    assert done.returncode == 0
    assert len(re.findall("baro recover", done.stderr)) == 1, done.stderr
    assert len(live.rings()) == 1


def test_a_library_that_is_not_there_warns_once_and_the_training_goes_on():
    done = live.python(TRAIN + "print(run)", BARO_LIB="/nowhere/libbaro.so")
    assert done.returncode == 0 and "SilentRun" in done.stdout
    assert done.stderr.count("barograph:") == 1 and "BARO_LIB" in done.stderr, done.stderr


def test_a_ring_folder_that_cannot_be_made_warns_once():
    done = live.python(TRAIN + "print(run)", BARO_RING_DIR="/proc/nowhere")
    assert done.returncode == 0 and "SilentRun" in done.stdout, done.stderr
    assert done.stderr.count("barograph:") == 1 and "/proc/nowhere" in done.stderr, done.stderr


def test_an_unknown_mode_warns_once():
    done = live.python(TRAIN, BARO_MODE="sometimes")
    assert done.returncode == 0 and done.stderr.count("barograph:") == 1, done.stderr


def test_init_starts_the_users_daemon_which_outlives_the_training():
    barod = tap.built("daemon", "barod")
    live.good(TRAIN, BARO_AUTOSTART="1", BARO_BAROD=barod)
    pid = live.daemon_pid()
    assert pid is not None
    try:
        run = live.the_run()
        assert (run["status"], run["steps"]) == ("finished", 20), run
        live.good(TRAIN, BARO_AUTOSTART="1", BARO_BAROD=barod)
        assert live.daemon_pid() == pid and len(live.listing("runs")) == 2
        assert os.path.exists(os.path.join(os.environ["BARO_DIR"], "barod.log"))
    finally:
        live.stop(pid)


def test_autostart_can_be_turned_off():
    live.python(TRAIN, BARO_AUTOSTART="0", BARO_BAROD=tap.built("daemon", "barod"))
    assert live.daemon_pid() is None


def test_a_missing_barod_warns_and_keeps_the_ring():
    done = live.python(TRAIN, BARO_AUTOSTART="1", BARO_BAROD="/nowhere/barod", PATH="/nowhere")
    assert done.returncode == 0 and "barod was not found" in done.stderr, done.stderr
    assert len(live.rings()) == 1


def test_an_exception_ends_the_run_as_failed_with_its_text():
    with live.daemon():
        done = live.python(TRAIN + "raise ValueError('bad data')\n")
        assert done.returncode == 1 and "ValueError: bad data" in done.stderr
        run = live.the_run()
        assert run["status"] == "failed" and "bad data" in run["status_text"], run


def test_an_end_without_finish_is_finished_and_one_by_signal_is_killed():
    with live.daemon():
        live.good(TRAIN)
        assert live.the_run()["status"] == "finished"
        done = live.python(TRAIN + """
import os, signal, time
deadline = time.monotonic() + 20
while run.stats()["n_acked"] < 20 and time.monotonic() < deadline:
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGTERM)
""")
        assert done.returncode == -15
        live.wait_for(lambda: [r for r in live.listing("runs") if r["status"] == "killed" and
                               r["steps"] == 20])


def test_the_users_own_excepthook_still_runs():
    done = live.python("import sys\nsys.excepthook = lambda *_: print('mine')\n" + TRAIN +
                       "raise ValueError\n", BARO_MODE="offline")
    assert done.returncode == 1 and done.stdout == "mine\n"


def test_a_forked_child_is_silent_and_its_end_is_not_the_runs():
    with live.daemon():
        live.good(TORCH + """
import os, sys
run.log({"loss": 1.0})
child = os.fork()
if child == 0:
    assert not run.is_active
    model(torch.ones(3, 4)).sum().backward()
    optimizer.step()
    run.log({"loss": 99.0}); run.tensor("x", torch.ones(3)); run.event("child")
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
run.log({"loss": 2.0})
""")
        run = live.the_run()
        assert (run["status"], run["steps"], run["last_loss"]) == ("finished", 2, 2.0), run


def test_data_loaders_with_workers_work():
    live.good(TORCH + """
from torch.utils.data import DataLoader, TensorDataset
data = TensorDataset(torch.randn(32, 4), torch.arange(32))
n = 0
for epoch in range(2):
    for x, indices in DataLoader(data, batch_size=8, shuffle=True, num_workers=2):
        loss = model(x).pow(2).mean()
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        run.log({"loss": loss}, batch=indices)
        n += 1
assert n == 8
""", BARO_MODE="offline")


def test_an_unchanged_script_is_recorded():
    script = os.path.join(os.path.dirname(os.environ["BARO_DIR"]), "plain.py")
    with open(script, "w", encoding="utf-8") as file:
        file.write("""
import sys
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
for i in range(30):
    loss = model(torch.randn(16, 4)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item(), __name__, sys.argv[1:])
sys.exit(int(sys.argv[1]))
""")
    call = "import sys; from barograph.__main__ import main; sys.exit(main(sys.argv[1:]))"
    with live.daemon():
        plain = live.python(f"import runpy; runpy.run_path({script!r}, run_name='__main__')", "0")
        seen = live.python(call, "run", "--every", "1", script, "0")
        assert seen.stdout == plain.stdout and seen.returncode == 0, seen.stderr
        run = live.the_run()
        assert (run["name"], run["status"], run["steps"]) == ("plain.py", "finished", 30), run
        names = {series["name"] for series in live.listing("series", run["id"])}
        assert {"loss", "lr", "0.weight:weight", "0.weight:grad", "2:act"} <= names, names
        assert live.python(call, "run", script, "3").returncode == 3
        assert [r["status"] for r in live.listing("runs")][0] == "failed"
    assert live.python(call, "run", "/nowhere.py").returncode == 2


if __name__ == "__main__":
    tap.main(globals())
