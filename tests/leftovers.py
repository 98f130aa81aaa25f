# SPDX-License-Identifier: Apache-2.0
"""No process outlives its test: what names a test's folder in its arguments or its environment.

A daemon that 'baro up' or a training starts has a session of its own, so nobody ends it when a
test is killed, runs into its time limit or fails half way. A guard does: a process that waits
until the test is gone, then ends what is left and removes the folders.
"""
import os
import shutil
import signal
import subprocess
import sys

_guards = []


def processes_of(folder):
    """Processes that name a folder, as (pid, command line)."""
    found = []
    needle = os.fsencode(folder)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                line = file.read()
            with open("/proc/%s/environ" % pid, "rb") as file:
                names_it = needle in line or needle in file.read()
        except OSError:
            continue  # gone, or somebody else's
        if names_it and line and int(pid) != os.getpid():
            found.append((int(pid), line.replace(b"\0", b" ").decode(errors="replace").strip()))
    return found


def end(folder):
    """End the processes that name a folder; returns their command lines."""
    found = processes_of(folder)
    for pid, _ in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return [line for _, line in found]


def guard(folder):
    """End what names a folder, and remove the folder, at the latest when this process ends."""
    if not _guards:
        _guards.append(subprocess.Popen(
            [sys.executable, "-S", os.path.abspath(__file__)], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True))
    _guards[0].stdin.write(os.fsencode(folder) + b"\n")
    _guards[0].stdin.flush()


def main():
    for folder in [line.rstrip(b"\n") for line in sys.stdin.buffer]:
        if os.path.isdir(folder):
            end(folder)
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
