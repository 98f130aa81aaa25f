# SPDX-License-Identifier: Apache-2.0
"""What test_cli.py stands on: a private place, baro in it, a training to push, TAP out."""
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import leftovers  # noqa: E402

DEADLINE_S = 60
WEIGHT, GRAD, ACT = 1, 2, 3


def wait_for(condition, what):
    """Poll until condition() is true; fail loudly when that takes too long."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError("waited in vain until " + what)


class Run:
    """A training in a process of its own (pusher.c), which does what it is told."""

    def __init__(self, program, endpoint, ring_dir, name, project="tests", mode="online",
                 run_id="", rank=0, n_ranks=1, env=None):
        self.process = subprocess.Popen(
            [program, project, name, endpoint, ring_dir, mode, run_id, str(rank), str(n_ranks)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        word, self.id, self.ring = self.process.stdout.readline().rstrip("\n").split(" ", 2)
        assert word == "run"

    def tell(self, *words):
        self.process.stdin.write("\t".join(map(str, words)) + "\n")

    def step(self, number):
        self.tell("step", number)

    def scalar(self, name, value):
        self.tell("scalar", name, repr(float(value)))

    def tensor(self, name, role, rows):
        """rows: a list of equally long lists of floats; each row is a unit."""
        self.tell("tensor", name, role, len(rows), *(value for row in rows for value in row))

    def batch(self, samples):
        self.tell("batch", *samples)

    def noise(self, first, end, n_series, seed):
        """Steps first to end - 1, each with random values of n_series scalars."""
        self.tell("noise", first, end, n_series, seed)

    def event(self, text):
        self.tell("event", text)

    def sync(self):
        """Come back when everything told so far has been done."""
        self.tell("sync")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n"

    def close(self, timeout_ms=30000):
        """End politely; returns baro_close's code."""
        self.tell("close", timeout_ms)
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        self._finish()
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self._finish()

    def _finish(self):
        self.process.wait(timeout=DEADLINE_S)
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdout.close()


class Place:
    """A data folder, a folder of rings, and the environment that points there."""
    places = []  # those that are not closed
    left = []    # processes that went on when their place was closed

    def __init__(self, build):
        self.build = build
        self.program = os.path.join(build, "tools", "baro")
        self.dir = tempfile.mkdtemp(prefix="baro-cli-")
        self.places.append(self)
        leftovers.guard(self.dir)
        self.data = os.path.join(self.dir, "data")
        self.rings = os.path.join(self.dir, "rings")
        os.mkdir(self.rings, 0o700)
        self.endpoint = "ipc://%s/barod.sock" % self.data
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("BARO_")}
        self.env.update(BARO_DIR=self.data, BARO_RING_DIR=self.rings, LC_ALL="C.UTF-8")
        self.env.pop("NO_COLOR", None)
        self.runs = []

    def baro(self, *arguments, env=None):
        return subprocess.run([self.program, *arguments], env={**self.env, **(env or {})},
                              text=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL,
                              capture_output=True)

    def json(self, *arguments):
        """What a command that must succeed prints with --json."""
        done = self.baro(*arguments, "--json")
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self, *arguments, stdout, stderr):
        return subprocess.Popen([self.program, *arguments], env=self.env, stdout=stdout,
                                stderr=stderr, stdin=subprocess.DEVNULL)

    def run(self, name, **options):
        run = Run(os.path.join(self.build, "tests", "integration", "pusher"), self.endpoint, self.rings, name,
                  env=self.env, **options)
        self.runs.append(run)
        return run

    def daemon_pid(self):
        done = self.baro("status", "--json")
        return json.loads(done.stdout).get("pid") if done.returncode == 0 else None

    def in_terminal(self, arguments, columns=80, env=None, until=None):
        """Run baro in a pseudo terminal; returns its exit code and what it printed.

        until: bytes after which it gets a Ctrl-C
        """
        try:
            master, slave = pty.openpty()
        except OSError as error:
            raise unittest.SkipTest(f"no pseudo terminals here: {error}") from error
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        child = subprocess.Popen(
            [self.program, *arguments], stdin=slave, stdout=slave, stderr=slave,
            env={**self.env, "TERM": "xterm-256color", **(env or {})})
        os.close(slave)
        output = b""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    break
                if not data:
                    break
                output += data
            if until is not None and until in output:
                child.send_signal(signal.SIGINT)
                until = None
        code = child.wait(timeout=DEADLINE_S)
        os.close(master)
        return code, output.decode("utf-8", "replace").replace("\r\n", "\n")

    def close(self):
        """End everything, politely where it listens; twice does no harm."""
        if self not in self.places:
            return
        self.places.remove(self)
        try:
            for run in self.runs:
                run.kill()
            if self.daemon_pid():
                self.baro("down")
        finally:
            self.left.extend(leftovers.end(self.dir))
            shutil.rmtree(self.dir, ignore_errors=True)


class TapResult(unittest.TestResult):
    """Print one TAP line a case, with what failed as comments."""

    number = 0

    def say(self, test, is_good, error=None, remark=""):
        self.number += 1
        print("%s %d - %s%s" % ("ok" if is_good else "not ok", self.number,
                                test.id().split(".", 1)[-1], remark), flush=True)
        if error is not None:
            for line in self._exc_info_to_string(error, test).splitlines():
                print("# " + line, flush=True)

    def addSuccess(self, test):
        self.say(test, True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say(test, True, remark=" # SKIP " + reason)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.say(test, False, error)

    addError = addFailure


def run_tap(suite):
    """Run a suite, printing TAP; returns whether all went well."""
    print("TAP version 13\n1..%d" % (suite.countTestCases() + 1), flush=True)
    result = TapResult()
    suite.run(result)
    for place in list(Place.places):  # of a class that could not be set up
        place.close()
    for line in Place.left:
        print("# was left: " + line, flush=True)
    print("%s %d - no_process_is_left" % ("not ok" if Place.left else "ok", result.number + 1),
          flush=True)
    return result.wasSuccessful() and not Place.left


def main(n_folders=1):
    """Run the cases of this program, or those named behind its folders, and exit."""
    loader = unittest.defaultTestLoader
    names = sys.argv[1 + n_folders:]
    module = sys.modules["__main__"]
    suite = loader.loadTestsFromNames(names, module) if names else \
        loader.loadTestsFromModule(module)
    sys.exit(0 if run_tap(suite) else 1)
