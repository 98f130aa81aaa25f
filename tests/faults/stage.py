# SPDX-License-Identifier: Apache-2.0
"""Runs one case on a stage of its own: a temporary folder, a barod on its socket there, the
training in processes of its own with the real client, and what `baro` tells afterwards."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import torch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN_ID = "case"
END_S = 30          # finish() waits so long for the daemon to have everything


class Trouble(Exception):
    """The stage itself failed; says why."""


def library_of(build):
    """libbaro.so of a build folder."""
    return os.path.join(build, "lib", "push", "libbaro.so")


class Stage:
    """One daemon on one temporary folder."""

    def __init__(self, build, rules=None, data=None):
        self.build = build
        self.data = data      # folder of a daemon's data to begin with a copy of
        self.rules = rules
        self.folder = tempfile.mkdtemp(prefix="baro-faults-")
        self.daemon = None

    def __enter__(self):
        for name in [name for name in os.environ if name.startswith("BARO_")]:
            del os.environ[name]
        folder = self.folder
        os.environ.update(
            BARO_DIR=os.path.join(folder, "data"), BARO_RING_DIR=os.path.join(folder, "rings"),
            BARO_AUTOSTART="0", BARO_LIB=library_of(self.build), OMP_NUM_THREADS="1",
            BARO_RING_BYTES=str(32 << 20), BARO_RUN_ID=RUN_ID)
        if self.data:
            shutil.copytree(self.data, os.environ["BARO_DIR"],
                            ignore=shutil.ignore_patterns("*.sock", "lock", "*.pid"))
        else:
            os.makedirs(os.environ["BARO_DIR"], mode=0o700)
        os.makedirs(os.environ["BARO_RING_DIR"], mode=0o700)
        command = [os.path.join(self.build, "daemon", "barod"), "--dir", os.environ["BARO_DIR"],
                   "--listen", f"ipc://{folder}/sock"]
        if self.rules:
            command += ["--rules", self.rules]
        os.environ["BARO_ENDPOINT"] = f"ipc://{folder}/sock"
        self.log = open(os.path.join(folder, "barod.log"), "wb")
        self.daemon = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while self.baro("status", check=False) is None:
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise Trouble(f"barod does not answer: {self.said()}")
            time.sleep(0.03)
        return self

    def stop(self):
        """End the daemon; what it holds is on disk."""
        if self.daemon is not None:
            self.daemon.terminate()
            try:
                self.daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
            self.log.close()
            self.daemon = None

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def said(self):
        """The end of the daemon's log."""
        with open(os.path.join(self.folder, "barod.log"), errors="replace") as log:
            return log.read()[-600:].strip()

    def baro(self, *arguments, check=True):
        """Run baro --json; returns its objects, None when it failed."""
        done = subprocess.run([os.path.join(self.build, "tools", "baro"), *arguments, "--json"],
                              capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            if check:
                raise Trouble(f"baro {arguments[0]}: {done.stderr.strip()[-300:]}")
            return None
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def path(self, name):
        return os.path.join(self.folder, name)


def fork(work, *arguments):
    """Run a function in a process of its own; returns its pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid != 0:
        return pid
    status = 1
    try:
        work(*arguments)
        status = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def quiet(path):
    """What a training prints goes to a file."""
    with open(path, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield


def begin(program):
    """Open the run of a training and watch its models."""
    sys.path.insert(0, os.path.join(ROOT, "lib", "python"))
    import barograph
    run = barograph.init(project="faults", run_id=RUN_ID, first_step=program.first_step)
    if not run.is_active:
        raise Trouble("the run could not be opened")
    for name, model, optimizers in program.models:
        run.watch(model, optimizers, every=program.every, name=name)
    return run


def train(make, seed, folder, every):
    """Do a training; its losses go to a file, so that the score knows when they show the fault."""
    with quiet(os.path.join(folder, "train.log")):
        rank = int(os.environ.get("RANK", "0"))
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        program, truth = make()
        program.every = every
        restarts = list(program.restarts)
        run = begin(program)
        losses, first_step = Losses(), program.first_step
        for step in range(program.first_step, program.n_steps):
            if restarts and step == restarts[0]:
                restarts.pop(0)
                run.finish(timeout=END_S)
                program.first_step = step
                run = begin(program)
            if step in program.events:
                run.event(program.events[step])
            losses.begin()
            values, indices = program.run_step(step)
            losses.append(values.get("loss", values.get("g_loss")))
            if rank == 0 and program.hangs_at == step:
                write(folder, first_step, losses, truth)
            program.hang(step)
            run.log(values, batch=indices, samples=program.results)
        if rank == 0:
            write(folder, first_step, losses, truth)
        run.finish(timeout=END_S)


class Losses(list):
    """The loss of each step, and what each step took of the clock and of the processor."""

    def __init__(self):
        super().__init__()
        self.times = []

    def begin(self):
        self.times.append((time.perf_counter(), time.process_time()))


def write(folder, first_step, losses, truth):
    with open(os.path.join(folder, "trained.json"), "w") as file:
        json.dump({"first_step": first_step, "losses": losses, "times": losses.times,
                   "truth": truth() if callable(truth) else truth}, file)


def wait(pids, seconds):
    """Wait for processes; kills those that are late. Returns their statuses."""
    deadline = time.monotonic() + seconds
    statuses = {}
    while len(statuses) < len(pids):
        for pid in [pid for pid in pids if pid not in statuses]:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                statuses[pid] = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return [statuses[pid] for pid in pids]


def perform(case, seed, build, every=1, rules=None, keep=None, limit_s=240):
    """Run a case; returns all that is known of it afterwards, as a dictionary.

    keep  folder in which the daemon's data are kept, for again(); None: nowhere
    """
    began = time.monotonic()
    with Stage(build, rules) as stage:
        pids = []
        if case.n_ranks > 1:
            os.environ.update(WORLD_SIZE=str(case.n_ranks), MASTER_ADDR="127.0.0.1",
                              MASTER_PORT=str(free_port()))
        for rank in range(case.n_ranks):
            if case.n_ranks > 1:
                os.environ["RANK"] = str(rank)
            pids.append(fork(train, case.make, seed, stage.folder, every))
        if case.is_killed:
            statuses = watch_stall(stage, pids, case)
        else:
            statuses = wait(pids, limit_s)
        if any(statuses) and not case.is_killed:
            with open(stage.path("train.log"), errors="replace") as log:
                raise Trouble(f"the training ended with {statuses}: {log.read()[-1500:]}")
        known = gather(stage, case, seed, time.monotonic() - began)
        if keep:
            stage.stop()
            place = os.path.join(keep, f"{case.name}-{seed}")
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(os.environ["BARO_DIR"], os.path.join(place, "data"),
                            ignore=shutil.ignore_patterns("*.sock"))
            with open(os.path.join(place, "known.json"), "w") as file:
                json.dump(known, file)
        return known


def again(case, seed, build, kept, rules=None):
    """Judge a run that perform() has kept: `baro replay` of its history by the rules of today."""
    began = time.monotonic()
    place = os.path.join(kept, f"{case.name}-{seed}")
    if not os.path.exists(os.path.join(place, "known.json")):
        raise Trouble(f"'{place}' is not there: it was not kept")
    with open(os.path.join(place, "known.json")) as file:
        known = json.load(file)
    with Stage(build, None, os.path.join(place, "data")) as stage:
        options = ["--rules", rules] if rules else []
        known.update(listed=stage.baro("replay", RUN_ID, *options), replayed=None,
                     why=stage.baro("why", RUN_ID, check=False))
    known["seconds"] = round(time.monotonic() - began, 2)
    return known


def watch_stall(stage, pids, case):
    """Wait until the daemon tells that the training stands still, then kill it."""
    deadline = time.monotonic() + case.patience_s
    while time.monotonic() < deadline:
        runs = stage.baro("runs")
        alerts = stage.baro("alerts", RUN_ID, check=False) or []
        is_told = (runs and runs[0]["status"] == "stalled") or any(
            one["kind"] in case.kinds for one in alerts)
        if is_told and os.path.exists(stage.path("trained.json")):
            break
        time.sleep(0.25)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    statuses = wait(pids, 5)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and stage.baro("runs")[0]["status"] in ("running", "stalled"):
        time.sleep(0.1)
    return statuses


def gather(stage, case, seed, seconds):
    """All that is known of a run at its end."""
    deadline = time.monotonic() + 15
    while True:
        run = stage.baro("runs")[0]
        if run["status"] not in ("running", "unknown") or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    listed = stage.baro("alerts", RUN_ID)
    things = stage.baro("series", RUN_ID)
    with open(stage.path("trained.json")) as file:
        trained = json.load(file)
    replayed = stage.baro("replay", RUN_ID, check=False)
    return {"seed": seed, "seconds": round(seconds, 2), "status": run["status"], "listed": listed,
            "n_readings": sum(one["points"] + one["unit_points"] for one in things),
            "losses": trained["losses"], "times": trained["times"], "first_step": trained["first_step"],
            "truth": trained["truth"], "replayed": replayed,
            "why": stage.baro("why", RUN_ID, check=False)}
