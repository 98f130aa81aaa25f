# SPDX-License-Identifier: Apache-2.0
"""Faults of the training: killed, doubled, forked, out of order, without a good ring folder."""
import importlib.util
import math
import os
import random
import re
import subprocess
import sys
import time

from faults import SCALARS, check_all_there, seeded, signal, tap, value_of, world_test

# Refuses a folder by name: statfs() answers as the kernel does for NFS.
STATFS_SHIM = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
int statfs64(const char *path, struct statfs64 *out)
{
    int (*real)(const char *, struct statfs64 *) =
        (int (*)(const char *, struct statfs64 *))dlsym(RTLD_NEXT, "statfs64");
    int rc = real(path, out);
    const char *remote = getenv("FAULTS_NFS");
    if (rc == 0 && remote != NULL && strncmp(path, remote, strlen(remote)) == 0) {
        out->f_type = 0x6969;
    }
    return rc;
}
"""

ONE_RUN = """
import sys, barograph
run = barograph.init(project="one", name=sys.argv[1], **eval(sys.argv[2]))
for step in range(100):
    run.log({"loss": step / 7}, step=step)
run.finish(timeout=5)
print(getattr(run, "ring_path", ""))
"""


def needs(*modules):
    """Skip a case where Python lacks a module."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise tap.Skip(f"Python has no {module} here")


def ids(world, **wanted):
    """Ids of the runs whose keys have these values."""
    return [run["id"] for run in world.listing("runs")
            if all(run[key] == value for key, value in wanted.items())]


@world_test
def test_a_trainer_killed_in_mid_step_shows_its_last_steps_by_itself(world):
    world.start()
    trainer = world.train(pause=0.001, tensor=1)
    trainer.await_pushed(500)
    trainer.kill()
    info = world.await_status(trainer.run, "killed")
    assert info["status_text"] == "its process is gone without a word", info
    check_all_there(world, trainer)
    assert not os.path.exists(trainer.ring)


@world_test
def test_eight_trainers_killed_at_random_moments_lose_nothing_they_pushed(world):
    rng = seeded(411)
    world.start()
    trainers = []
    for _ in range(8):
        trainer = world.train(tensor=7)
        trainer.await_pushed(1)
        time.sleep(rng.uniform(0, 0.25))
        trainer.kill()
        trainers.append(trainer)
    world.baro("recover")  # for those that were killed before they met the daemon
    for trainer in trainers:
        world.await_status(trainer.run, "killed")
        check_all_there(world, trainer)
        assert world.run_info(trainer.run)["dropped"] == 0
    assert os.listdir(world.rings) == []


@world_test
def test_trainer_and_daemon_killed_together_lose_nothing_that_was_pushed(world):
    rng = seeded(5)
    trainers = []
    for _ in range(4):
        world.start()
        trainer = world.train()
        trainer.await_pushed(1)
        time.sleep(rng.uniform(0, 0.2))
        for process in rng.sample([trainer.process, world.barod], 2):
            process.kill()
            process.wait()
        trainers.append(trainer)
    world.start()
    world.baro("recover")
    for trainer in trainers:
        world.await_status(trainer.run, "killed")
        check_all_there(world, trainer)


@world_test
def test_a_trainer_killed_before_it_met_a_daemon_is_told_to_wait_in_its_ring(world):
    trainer = world.train()
    trainer.await_pushed(50)
    trainer.kill()
    world.start()
    text = world.baro("runs")
    assert "\n1 ring of ended processes waits to be brought in: 'baro recover'\n" in text, text
    world.baro("recover")
    world.await_status(trainer.run, "killed")
    check_all_there(world, trainer)
    assert "baro recover" not in world.baro("runs")


@world_test
def test_two_runs_at_once_stay_apart(world):
    world.start()
    one = world.train(n_steps=3000)
    two = world.train(n_steps=2500, names=("loss", "acc"))
    one.finish()
    two.finish()
    check_all_there(world, one, may_have_more=0)
    check_all_there(world, two, names=("loss", "acc"), may_have_more=0)
    assert len(world.listing("runs")) == 2


@world_test
def test_a_run_that_goes_on_under_its_id_is_one_run(world):
    world.start()
    first = world.train(n_steps=400, init={"run_id": "resumed"})
    first.finish()
    second = world.train(first_step=300, n_steps=200, init={"run_id": "resumed"})
    second.finish()
    expected = [(step, value_of("loss", step)) for step in
                list(range(400)) + list(range(300, 500))]
    assert world.points("resumed", "loss") == expected
    infos = world.listing("runs")
    assert len(infos) == 1 and infos[0]["streams"] == 2, infos
    assert infos[0]["status"] == "finished", infos


@world_test
def test_the_same_step_twice_and_steps_that_go_back_are_all_kept(world):
    world.start()
    steps = [0, 1, 1, 2, 5, 3, 3, 10**15, 4, 0, 2**63 - 1, 7]
    world.python("""
import sys, barograph
run = barograph.init(project="back", run_id="back")
for place, step in enumerate(eval(sys.argv[1])):
    run.log({"loss": place / 3}, step=step)
run.log({"loss": 1.0}, step=-4)
run.finish()
""", repr(steps))
    points = world.points("back", "loss")
    expected = [(step, place / 3) for place, step in enumerate(steps)]
    assert points[:-1] == expected, points
    assert points[-1][1] == 1.0  # its value is kept, at the step that was next
    info = world.run_info("back")
    assert info["steps"] == info["last_step"] == 2**63 - 1, info
    text = world.baro("tail", "back")
    assert "step -4 is not between 0 and 2^63 - 1;" in text, text


@world_test
def test_values_of_every_kind_come_back_bit_for_bit(world):
    world.start()
    values = [math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, -5e-324, 2.2250738585072009e-308,
              sys.float_info.max, -sys.float_info.max, sys.float_info.min, 0.1, 1 / 3, 1e22, -1.0]
    world.python("""
import sys, barograph
from math import inf, nan
run = barograph.init(project="kinds", run_id="kinds")
for step, value in enumerate(eval(sys.argv[1])):
    run.log({"loss": value}, step=step)
run.finish()
""", repr(values))
    points = world.points("kinds", "loss")
    assert [repr(value) for _, value in points] == [repr(value) for value in values], points
    alerts = world.listing("alerts", "kinds")
    assert len(alerts) >= 1 and alerts[0]["step"] == 0, alerts
    assert alerts[0]["text"] == "loss became NaN at step 0.", alerts


@world_test
def test_tensors_of_every_shape_and_type_are_measured_or_left_out_with_the_reason(world):
    needs("numpy")
    world.start()
    world.python("""
import numpy as np, barograph
run = barograph.init(project="shapes", run_id="shapes")
base = np.arange(48, dtype=np.float32).reshape(6, 8)
run.tensor("empty", np.zeros((0, 4), np.float32))
run.tensor("empty inside", np.zeros((4, 0), np.float32))
run.tensor("point", np.float32(3).reshape(()))
run.tensor("every other", base[::2, ::-3], role="weight")
run.tensor("turned", base.T, role="weight")
run.tensor("repeated", np.broadcast_to(np.float32(2), (5, 5)), role="weight")
run.tensor("half", base.astype(np.float16), role="weight")
run.tensor("denormal", np.full(64, 1e-42, np.float32), role="weight")
bad = base.copy(); bad[2, 3] = np.nan; bad[4, 4] = np.inf; bad[5, 5] = -np.inf
run.tensor("bad", bad, role="weight")
run.tensor("complex", np.array([3 - 4j, 5, 0], np.complex64))
run.tensor("text", np.array(["a", "b"]))
run.tensor("objects", np.array([None, 1]))
run.tensor("dates", np.zeros(3, "M8[ns]"))
run.tensor("big-endian", np.zeros(3, ">f4"))
run.tensor("quad", np.zeros(3, np.longdouble))
run.tensor("unsigned", np.zeros(3, np.uint32))
run.tensor("deep", np.zeros((1,) * 9, np.float32))
run.tensor("nothing", None)
run.tensor("large", np.broadcast_to(np.float32(0.5), (100, 1000, 1000)))
run.log({"loss": 1.0})
run.finish()
""")

    def value(series):
        points = world.points("shapes", series)
        assert len(points) == 1, (series, points)
        return points[0][1]
    assert value("empty:act/count") == 0 and value("empty inside:act/count") == 0
    assert value("point:act/count") == 1 and value("point:act/max") == 3
    assert value("every other:weight/count") == 9 and value("every other:weight/max") == 39
    assert value("every other:weight/l1") == sum(
        8 * row + column for row in (0, 2, 4) for column in (7, 4, 1))
    assert value("turned:weight[3]/abs_max") == 43
    assert value("repeated:weight/l1") == 50
    assert value("half:weight/max") == 47
    assert 0 < value("denormal:weight/mean") < 1.1e-42
    assert [value(f"bad:weight/{stat}") for stat in ("n_nan", "n_pos_inf", "n_neg_inf", "max")] \
        == [1, 1, 1, 47]
    assert [value(f"complex:act/{stat}") for stat in ("count", "l1", "min")] == [6, 12, -4]
    assert value("large:act/count") == 1e8 and value("large:act/l1") == 5e7
    text = world.baro("tail", "shapes")
    for name, reason in (
            ("text", "it holds text, not numbers"), ("objects", "it holds objects, not numbers"),
            ("dates", "it holds dates, not numbers"),
            ("big-endian", "its bytes are in big-endian order"),
            ("quad", "element type float128 is not supported"),
            ("unsigned", "element type uint32 is not supported"),
            ("deep", "9 dimensions are more than 8"),
            ("nothing", "is neither a number nor an array")):
        assert re.search(rf"'{name}' is left out: .*{reason}", text), (name, text)
    assert [alert["tensor"] for alert in world.listing("alerts", "shapes")] == ["bad"]


@world_test
def test_names_of_every_kind_can_be_asked_for_as_they_were_given(world):
    world.start()
    names = ["loss with spaces", "train/loss", "verlust/größe µ", "損失", "a" * 10000,
             "a" * 9999 + "b", "quote\"s and 'these'", "[3]", "x:weight", "*", "-dash", "@1",
             "tab\there", "smile \U0001f600", " ", "back\\slash", "per%cent %s %n"]
    world.python("""
import sys, barograph
run = barograph.init(project="names", run_id="names")
for step in range(3):
    run.log({name: place + step for place, name in enumerate(eval(sys.argv[1]))}, step=step)
run.log({"": 1.0}, step=3)
run.finish()
""", repr(names))
    listed = {}
    for one in world.listing("series", "names"):
        listed[one["name"]] = one
    for place, name in enumerate(names):
        name = name.replace("\t", "?")  # control characters never reach a terminal
        if len(name) < 500:
            assert name in listed, (name, sorted(listed))
            got = world.points("names", name)
            assert got == [(step, float(place + step)) for step in range(3)], (name, got)
    long_names = [name for name in listed if name.startswith("aaaa")]
    assert len(long_names) == 2 and all(len(name) <= 512 for name in long_names), long_names
    values = sorted(world.points("names", name)[0][1] for name in long_names)
    assert values == [names.index("a" * 10000), names.index("a" * 9999 + "b")], values
    assert "" not in listed


@world_test
def test_very_many_names_are_kept_as_far_as_they_fit_and_the_rest_is_told(world):
    world.start()
    out, _ = world.python("""
import barograph
run = barograph.init(project="many", run_id="many", ring_bytes=64 << 20)
n = 20000
for step in range(2):
    for i in range(n):
        run.log({f"layer{i:05d}/some/metric/with/a/long/name": i + step}, step=step)
run.finish(timeout=30)
""")
    listed = world.listing("series", "many")
    names = [one["name"] for one in listed if one["name"].startswith("layer")]
    assert len(names) == len(set(names)) > 1000, len(names)
    for name in random.Random(3).sample(names, 12):
        i = int(name[5:10])
        assert world.points("many", name) == [(0, float(i)), (1, float(i + 1))], name
    if len(names) < 20000:
        text = world.baro("tail", "many")
        assert re.search(r"the scalar 'layer\d+/.*' is left out: ", text), text[:2000]


@world_test
def test_a_ring_too_small_for_the_absence_counts_what_gave_way_and_tells_it(world):
    trainer = world.train(n_steps=30000, n_ahead=0, timeout=0.1, init={"ring_bytes": 1 << 20})
    figures, _ = trainer.finish()
    assert figures["n_dropped"] > 10000, figures
    world.start()
    text = world.baro("recover")
    assert re.search(r"\d+ older records had given way in its lifetime", text), text
    info = world.run_info(trainer.run)
    assert figures["n_dropped"] <= info["dropped"] <= figures["n_dropped"] + 8, (info, figures)
    n_found = 0
    for name in SCALARS:
        points = world.points(trainer.run, name)
        first = points[0][0]
        assert points == [(step, value_of(name, step)) for step in range(first, 30000)]
        n_found += len(points)
    n_steps = len(world.points(trainer.run, "step_time"))
    text = world.baro("runs")
    assert f"dropped {info['dropped']} records: its ring had no room for them" in text, text
    # Everything that was pushed is there or is counted: steps, values, and the words of the end.
    assert 0 <= figures["n_pushed"] - n_found - n_steps - figures["n_dropped"] <= 4, (
        figures, n_found, n_steps)


@world_test
def test_forked_children_are_silent_and_leave_the_ring_to_their_parent(world):
    world.start()
    out, err = world.python("""
import os, sys, barograph
run = barograph.init(project="fork", run_id="fork")
for step in range(300):
    run.log({"loss": float(step)}, step=step)
    if step % 50 == 10:
        child = os.fork()
        if child == 0:
            for k in range(1000):
                run.log({"loss": -1.0, "child": 1.0}, step=k)
            run.finish()
            sys.exit(0)      # runs the hooks of the interpreter's end
        assert os.waitpid(child, 0)[1] == 0
run.finish()
""")
    assert err == "", err
    assert world.points("fork", "loss") == [(step, float(step)) for step in range(300)]
    assert world.run_info("fork")["status"] == "finished"


@world_test
def test_a_forked_child_may_open_a_run_of_its_own(world):
    world.start()
    _, err = world.python("""
import os, sys, barograph
run = barograph.init(project="family", run_id="parent")
run.log({"loss": 1.0})
child = os.fork()
if child == 0:
    own = barograph.init(project="family", run_id="child")
    for step in range(100):
        own.log({"loss": float(step)})
    own.finish()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
run.log({"loss": 2.0})
run.finish()
""")
    assert err == "", err
    assert world.points("parent", "loss") == [(0, 1.0), (1, 2.0)]
    assert world.points("child", "loss") == [(step, float(step)) for step in range(100)]


@world_test
def test_six_trainings_that_start_at_once_start_one_daemon(world):
    env = dict(world.env, BARO_AUTOSTART="1", BARO_BAROD=world.barod_path)
    trainings = [subprocess.Popen([sys.executable, "-c", ONE_RUN, f"n{i}", "{}"], env=env,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                 for i in range(6)]
    world.processes += trainings
    try:
        said = [training.communicate(timeout=60)[1] for training in trainings]
        assert not any("barod" in one for one in said), said
        if any(said):  # a slow machine: so short a training does not wait for the daemon
            world.baro("recover")
        for i in range(6):
            run = ids(world, name=f"n{i}")[0]
            assert world.points(run, "loss") == [(step, step / 7) for step in range(100)]
    finally:
        world.baro("down", status=None)


@world_test
def test_a_tensor_that_changes_its_units_is_told_in_the_record(world):
    needs("numpy")
    world.start()
    world.python("""
import numpy as np, barograph
run = barograph.init(project="units", run_id="units")
for step in range(10):
    run.tensor("attention", np.ones((3, 4 + step), "f4"), unit_axis=1)
    run.log({"loss": float("nan")})
run.finish()
""")
    counts = world.points("units", "attention:act/count")
    assert counts == [(step, 3.0 * (4 + step)) for step in range(10)], counts
    text = world.baro("tail", "units")
    assert "step 1: barod: 'attention:act' is another from here on: [3, 4] f32 became [3, 5] f32; " \
        "it goes on as its epoch 2" in text, text
    assert "'attention' came with more than 8 layouts: what does not fit the last of them, of 11 " \
        "units, has no unit statistics" in text, text
    for listing in (text, world.baro("runs"), world.baro("series", "units")):
        assert "-nan" not in listing, listing
    assert world.run_info("units")["dropped"] == 0


@world_test
def test_a_data_loader_with_workers_after_init_works_and_loses_nothing(world):
    needs("torch")
    world.start()
    _, err = world.python("""
import torch, barograph
from torch.utils.data import DataLoader, Dataset
class Squares(Dataset):
    def __len__(self): return 96
    def __getitem__(self, i):
        barograph.log({"in worker": 1.0})
        return torch.full((4,), float(i)), i
run = barograph.init(project="loader", run_id="loader")
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
run.watch(model, optimizer, every=1)
step = 0
for epoch in range(2):
    for x, i in DataLoader(Squares(), batch_size=8, num_workers=2):
        loss = model(x).square().mean()
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        run.log({"loss": loss, "first": i[0]}, step=step, batch=i)
        step += 1
run.finish()
""")
    assert "Traceback" not in err, err
    assert [step for step, _ in world.points("loader", "loss")] == list(range(24))
    assert world.points("loader", "first") == [(step, float(8 * (step % 12))) for step in range(24)]
    assert len(world.points("loader", "weight:weight/l2")) == 24
    assert "in worker" not in [one["name"] for one in world.listing("series", "loader")]


def refused(world, env, *words):
    """A training whose ring folder is refused says so once and goes on; words: of the sentence."""
    out, err = world.python(ONE_RUN, "x", "{}", env=env)
    lines = [line for line in err.splitlines() if "barograph: this run is not recorded: " in line]
    assert len(lines) == 1, err
    for word in words:
        assert word in lines[0], (word, lines[0])
    assert out == "\n", out


@world_test
def test_a_read_only_ring_folder_is_told_and_the_training_goes_on(world):
    world.start()
    folder = world.tmpfs("readonly", "16m")
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    refused(world, {"BARO_RING_DIR": folder}, folder, "Read-only file system")


@world_test
def test_a_full_ring_folder_is_told_and_the_training_goes_on(world):
    world.start()
    folder = world.tmpfs("full", "3m")
    refused(world, {"BARO_RING_DIR": folder, "BARO_RING_BYTES": "8M"}, folder)
    assert os.listdir(folder) == []
    world.python(ONE_RUN, "small", "{'ring_bytes': 1 << 20}", env={"BARO_RING_DIR": folder})
    run = ids(world, name="small")[0]
    assert world.points(run, "loss") == [(step, step / 7) for step in range(100)]


@world_test
def test_a_ring_folder_that_is_a_file_is_told_and_the_training_goes_on(world):
    path = os.path.join(world.folder, "file")
    with open(path, "w", encoding="utf-8") as file:
        file.write("precious")
    refused(world, {"BARO_RING_DIR": path}, path)
    refused(world, {"BARO_RING_DIR": os.path.join(path, "below")}, path)
    with open(path, encoding="utf-8") as file:
        assert file.read() == "precious"


@world_test
def test_a_network_file_system_is_named_and_refused_by_trainer_and_daemon(world):
    shim = os.path.join(world.folder, "shim.so")
    done = subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE",
                           "-D_LARGEFILE64_SOURCE", "-o", shim, "-xc", "-"],
                          input=STATFS_SHIM, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise tap.Skip("no C compiler for the stand-in of statfs()")
    remote = os.path.join(world.folder, "remote")
    os.mkdir(remote)
    env = {"LD_PRELOAD": shim, "FAULTS_NFS": remote}
    refused(world, dict(env, BARO_RING_DIR=remote), remote, "NFS", "use a local folder")
    code, said = world.run_barod("--dir", remote, env=dict(world.env, **env))
    assert code == 1 and len(said.splitlines()) == 1 and "is on NFS" in said, said
    assert not os.path.exists(os.path.join(remote, "store.mdb"))
    world.start()
    world.python(ONE_RUN, "local", "{}", env=env)
    run = ids(world, name="local")[0]
    assert world.points(run, "loss") == [(step, step / 7) for step in range(100)]


@world_test
def test_a_ring_folder_that_fills_up_later_cannot_kill_the_training(world):
    folder = world.tmpfs("crowded", "8m")
    world.env["BARO_RING_DIR"] = folder
    trainer = world.train(n_ahead=0, pause=0.0001, init={"ring_bytes": 1 << 20}, tensor=1)
    with open(os.path.join(folder, "filler"), "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    trainer.await_pushed(trainer.n_pushed + 20000)  # once around the ring and more
    assert trainer.process.poll() is None
    trainer.kill()
    world.start()
    text = world.baro("recover", folder)
    assert "ring removed" in text, text
    points = world.points(trainer.run, "loss")
    n = trainer.n_pushed // len(SCALARS)
    assert points[-1][0] in (n - 1, n), (points[-1], n)
    assert points == [(step, value_of("loss", step))
                      for step in range(points[0][0], points[-1][0] + 1)]


@world_test
def test_a_stopped_trainer_is_told_as_stalled_and_goes_on(world):
    world.start()
    trainer = world.train(pause=0.002)
    trainer.await_pushed(100)
    trainer.signal(signal.SIGSTOP)
    info = world.await_status(trainer.run, "stalled")
    assert info["status_text"] == "no sign of life from its process", info
    trainer.signal(signal.SIGCONT)
    world.await_status(trainer.run, "running")
    trainer.kill()
    world.await_status(trainer.run, "killed")
    check_all_there(world, trainer)


@world_test
def test_an_exception_of_the_training_is_its_reason(world):
    world.start()
    _, err = world.python("""
import barograph
run = barograph.init(project="raise", run_id="raise")
for step in range(10):
    run.log({"loss": float(step)})
raise ValueError("shapes (3,4) and (5,) do not fit — größer")
""", status=1)
    assert "ValueError: shapes" in err, err
    info = world.await_status("raise", "failed")
    assert info["status_text"] == "ValueError: shapes (3,4) and (5,) do not fit — größer", info
    assert len(world.points("raise", "loss")) == 10


@world_test
def test_a_bad_mode_or_id_is_one_warning_and_the_training_goes_on(world):
    for env, words in (({"BARO_MODE": "onlin"}, "did you mean 'online'?"),
                       ({"BARO_RUN_ID": "x" * 1000}, "bytes of UTF-8"),
                       ({"BARO_RING_BYTES": "many"}, "is not a size"),
                       ({"BARO_RING_BYTES": "1000"}, "1 MiB")):
        refused(world, env, words)


if __name__ == "__main__":
    tap.main(globals())
