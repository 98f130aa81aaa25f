# SPDX-License-Identifier: Apache-2.0
"""A world for the tests of faults: barod, baro and trainings as real processes in own folders.

What a training has pushed is known exactly: it counts in a file that outlives it (see
fault_trainer.py), and every value follows from its step. So a test can ask what `baro get` gives
for each single value, and whether anything is there twice.
"""
import functools
import json
import mmap
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "python"))

import tap  # noqa: E402
import leftovers  # noqa: E402  (tap brings its folder)

DEADLINE_S = 30
SCALARS = ("loss", "acc", "lr")


def value_of(name, step):
    """The value that a test training pushes: all 53 bits matter, no two alike nearby."""
    return ((step * 2654435761 + sum(name.encode()) * 40503) % 1000003) / 7.0


def unit_value(unit, step):
    """The mean of a unit of tensor "u" at a step: 12 bits, so that rounding keeps it."""
    return float((step * 7919 + unit * 31) % 4096)


def unit_values(n_units, step):
    """The tensor "u" at a step: one row a unit."""
    import numpy
    row = (step * 7919 + numpy.arange(n_units, dtype=numpy.int64) * 31) % 4096
    return numpy.repeat(row.astype(numpy.float32)[:, None], 2, axis=1)


def seeded(seed):
    """Chance that repeats itself; FAULTS_SEED gives another."""
    return random.Random(int(os.environ.get("FAULTS_SEED", seed)))


def await_that(check, what, seconds=DEADLINE_S):
    """Ask again and again until check() is true; its value is returned."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"in vain after {seconds} s: {what}")


class Control:
    """What fault_shim.c does in barod or in a training; zero: nothing."""
    FIELDS = ("write_errno", "sync_errno", "meta_errno", "kill_in", "kill_mode", "clock_ns",
              "n_calls", "n_failed")
    KILL_MODES = 3

    def __init__(self, path):
        with open(path, "wb") as file:
            file.write(bytes(8 * len(self.FIELDS)))
        with open(path, "r+b") as file:
            self.memory = memoryview(mmap.mmap(file.fileno(), 8 * len(self.FIELDS))).cast("q")
        self.path = path

    def set(self, **values):
        for name, value in values.items():
            self.memory[self.FIELDS.index(name)] = value

    def get(self, name):
        return self.memory[self.FIELDS.index(name)]


class World:
    """Processes and folders of one case. Everything ends with it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="baro-flt-")
        leftovers.guard(self.folder)
        self.dir = os.path.join(self.folder, "data")
        self.rings = os.path.join(self.folder, "rings")
        self.barod_path = tap.built("daemon", "barod")
        self.baro_path = tap.built("tools", "baro")
        self.env = dict(os.environ, BARO_DIR=self.dir, BARO_RING_DIR=self.rings,
                        LC_ALL="C.UTF-8", TERM="dumb", TMPDIR=self.folder)
        for name in ("NO_COLOR", "LANG", "LANGUAGE", "COLUMNS", "CLICOLOR_FORCE"):
            self.env.pop(name, None)
        self.barod = None
        self.processes = []
        self.mounts = []
        self.shim_env = {}

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
            for pipe in (process.stdout, process.stderr, process.stdin):
                if pipe is not None:
                    pipe.close()
        for mount in reversed(self.mounts):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the daemon ----

    @property
    def log_path(self):
        return os.path.join(self.folder, "barod.log")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def is_served(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(os.path.join(self.dir, "barod.sock"))
                return True
            except OSError:
                return False

    def control(self):
        """Let every barod from now on do as a Control says."""
        control = Control(os.path.join(self.folder, "control"))
        self.shim_env = {"LD_PRELOAD": tap.built("tests", "integration", "fault_shim.so"),
                         "FAULT_CONTROL": control.path}
        return control

    def start(self, *arguments):
        """Start barod and wait until it listens."""
        with open(self.log_path, "ab") as log:
            self.barod = subprocess.Popen(
                [self.barod_path, "--dir", self.dir, *arguments],
                env=dict(self.env, **self.shim_env),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(self.barod)
        await_that(lambda: self.is_served() or self.barod.poll() is not None, "barod listens")
        assert self.barod.poll() is None, self.log()

    def kill(self):
        self.barod.kill()
        self.barod.wait()

    def stop(self):
        """End barod as a user would; it must end well."""
        self.barod.terminate()
        assert self.barod.wait(DEADLINE_S) == 0, self.log()

    def run_barod(self, *arguments, env=None):
        """Run barod to its end: (exit status, what it said)."""
        done = subprocess.run([self.barod_path, *arguments], env=env or self.env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=DEADLINE_S, check=False)
        return done.returncode, done.stdout

    # ---- asking ----

    def baro(self, *arguments, status=0, env=None):
        """Run baro; returns what it printed, errors behind the rest."""
        done = subprocess.run([self.baro_path, *arguments], env=env or self.env,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=2 * DEADLINE_S, check=False)
        text = (done.stdout + done.stderr).decode("utf-8", "surrogateescape")
        assert status is None or done.returncode == status, (arguments, done.returncode, text)
        return text

    def listing(self, *arguments):
        """The objects of a listing."""
        text = self.baro(*arguments, "--json")
        return [json.loads(line) for line in text.splitlines()]

    def run_info(self, run):
        found = [one for one in self.listing("runs") if one["id"] == run]
        return found[0] if found else None

    def points(self, run, series):
        """(step, value) of each point, in order; values as floats."""
        text = self.baro("get", "--json", "--", run, series)  # a name may begin with "-"
        return [(point["step"], float(point["value"]))
                for point in map(json.loads, text.splitlines())]

    def await_status(self, run, *statuses):
        def check():
            info = self.run_info(run)
            return info if info and info["status"] in statuses else None
        return await_that(check, f"the run becomes {' or '.join(statuses)}")

    def await_acked(self, trainer, n_steps):
        """Wait until the daemon has committed a trainer's steps up to here."""
        def check():
            info = self.run_info(trainer.run)
            return info and info["records"] > n_steps * len(SCALARS)
        await_that(check, f"{n_steps} steps are committed")

    # ---- trainings ----

    def train(self, **options):
        """Start fault_trainer.py; see there for the options."""
        return Trainer(self, options)

    def python(self, code, *arguments, env=None, status=0):
        """Run a program in Python to its end: (standard output, standard error)."""
        done = subprocess.run([sys.executable, "-c", code, *arguments], text=True,
                              env=dict(self.env, **(env or {})), capture_output=True,
                              timeout=2 * DEADLINE_S, check=False)
        assert status is None or done.returncode == status, done.stderr + done.stdout
        return done.stdout, done.stderr

    def tmpfs(self, name, size):
        """Mount a small file system; Skip where that is not allowed."""
        if os.geteuid() != 0:
            raise tap.Skip("only root may mount a small file system")
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs",
                               path], capture_output=True, check=False)
        if done.returncode != 0:
            raise tap.Skip("a small file system cannot be mounted here")
        self.mounts.append(path)
        return path


class Trainer:
    """A training process and its count of finished pushes, which survives it."""

    def __init__(self, world, options):
        self.world = world
        number = len(world.processes)
        self.count_path = os.path.join(world.folder, f"count-{number}")
        self.options = options
        with open(self.count_path, "wb") as file:
            file.write(bytes(16))
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "fault_trainer.py"), self.count_path,
             json.dumps({key: value for key, value in options.items() if key != "env"})],
            env=dict(world.env, **options.get("env", {})), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        world.processes.append(self.process)
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        hello = json.loads(line)
        self.run = hello["run"]
        self.ring = hello["ring"]
        with open(self.count_path, "r+b") as file:
            self.memory = memoryview(mmap.mmap(file.fileno(), 16)).cast("q")

    @property
    def n_pushed(self):
        """Scalars that are certainly in the ring."""
        return self.memory[0]

    @property
    def n_acked(self):
        """Records that the daemon has acknowledged, as last seen."""
        return self.memory[1]

    def await_pushed(self, n):
        await_that(lambda: self.n_pushed >= n or self.process.poll() is not None,
                   f"{n} values are pushed")
        assert self.n_pushed >= n, self.process.communicate()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def finish(self):
        """Wait for its end; returns the last figures it told and what it said in warnings."""
        out, err = self.process.communicate(timeout=2 * DEADLINE_S)
        assert self.process.returncode == 0, (self.process.returncode, err)
        return json.loads(out.splitlines()[-1]), err


def check_all_there(world, trainer, names=SCALARS, may_have_more=1):
    """Each value that was pushed is there once, with its bits; at most one that was under way."""
    n = trainer.n_pushed
    n_found = 0
    for place, name in enumerate(names):
        points = world.points(trainer.run, name)
        expected = [(step, value_of(name, step)) for step in range(len(points))]
        if points != expected:
            wrong = next(i for i in range(len(points)) if points[i] != expected[i])
            raise AssertionError(f"{name}: point {wrong} is {points[wrong]}, "
                                 f"expected {expected[wrong]}; {len(points)} points")
        n_least = n // len(names) + (1 if place < n % len(names) else 0)
        assert len(points) >= n_least, f"{name}: {len(points)} points of at least {n_least}"
        n_found += len(points)
    assert n <= n_found <= n + may_have_more, f"{n_found} values; {n} were pushed"
    return n_found


def world_test(test):
    """Give a case a world, and end the world whatever happens."""
    @functools.wraps(test)
    def run():
        world = World()
        try:
            test(world)
        except AssertionError:
            if os.path.exists(world.log_path):
                print("# barod said: " + "\n# ".join(world.log().splitlines()[-12:]))
            raise
        finally:
            world.close()
    return run


__all__ = ["World", "Trainer", "Control", "unit_value", "unit_values", "await_that",
           "check_all_there", "seeded", "value_of", "world_test", "SCALARS", "DEADLINE_S",
           "signal", "tap"]
