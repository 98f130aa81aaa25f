# SPDX-License-Identifier: Apache-2.0
"""For tests with real processes: scripts that use the package, and a daemon of their own."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import tap


def python(code, *arguments, timeout=60, **environment):
    """Run a script with the package; returns its completed process with text output."""
    env = dict(os.environ, **{key: str(value) for key, value in environment.items()})
    return subprocess.run([sys.executable, "-W", "always", "-c", code, *arguments], env=env,
                          capture_output=True, text=True, timeout=timeout)


def good(code, *arguments, **environment):
    """Run a script that must succeed; returns its standard output."""
    done = python(code, *arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(what, seconds=20.0):
    """Poll until what() gives something true; returns that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = what()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain")


def baro(*arguments, check=True):
    """Run baro; returns its standard output."""
    done = subprocess.run([tap.built("tools", "baro"), *arguments], capture_output=True,
                          text=True, timeout=60)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def listing(*arguments):
    """Run baro with --json; returns the objects."""
    return [json.loads(line) for line in baro(*arguments, "--json").splitlines()]


def the_run():
    """The only run that the daemon knows."""
    runs = listing("runs")
    assert len(runs) == 1, runs
    return runs[0]


def rings():
    """Ring files that are there."""
    folder = os.environ["BARO_RING_DIR"]
    found = []
    for place in (folder, os.path.join(os.environ["BARO_DIR"], "rings")):
        if os.path.isdir(place):
            found += [os.path.join(place, name) for name in os.listdir(place)
                      if name.endswith(".ring")]
    return found


def daemon_pid():
    """Process of the daemon that answers, or None."""
    done = subprocess.run([tap.built("tools", "baro"), "status", "--json"], capture_output=True,
                          text=True, timeout=60)
    return json.loads(done.stdout.splitlines()[0])["pid"] if done.returncode == 0 else None


@contextlib.contextmanager
def daemon(*arguments):
    """A daemon on the private folder of this case; arguments of barod, e.g. "--exact"."""
    program = tap.built("daemon", "barod")
    tap.built("tools", "baro")
    os.makedirs(os.environ["BARO_DIR"], mode=0o700, exist_ok=True)
    with open(os.path.join(os.environ["BARO_DIR"], "test.log"), "wb") as log:
        process = subprocess.Popen([program, "--dir", os.environ["BARO_DIR"], *arguments],
                                   stdout=log, stderr=log)
    try:
        wait_for(daemon_pid)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def stop(pid):
    """End a daemon that somebody else has started."""
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: daemon_pid() is None)
