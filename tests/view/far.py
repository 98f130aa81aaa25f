# SPDX-License-Identifier: Apache-2.0
"""A window far from its daemon: a run to look at, and a line of 50 ms and 1 Mbit/s to look through.

usage: far.py BUILD_DIR [N_STEPS] prints, for each page, when it was first useful, when it was whole,
and how many bytes that took.
"""
import json
import os
import socket
import subprocess
import sys
import threading
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests", "integration"))
from cli_place import GRAD, WEIGHT, Place  # noqa: E402
from forwarder import Forwarder  # noqa: E402

BYTES_PER_S = 125000
DELAY_S = 0.025
N_UNITS = 4096
N_SERIES = 300
N_LAYERS = 40
PAGES = "overview", "tensor", "network", "alerts", "why"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Far:
    """A daemon that listens on a port without keys, and the line to it."""

    def __init__(self, build):
        self.place = Place(build)
        port = free_port()
        self.place.env["BARO_INSECURE"] = "1"
        barod = os.path.join(build, "daemon", "barod")
        self.barod = subprocess.Popen(
            [barod, "--dir", self.place.data, "--listen", f"tcp://127.0.0.1:{port}",
             "--insecure"], env=self.place.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self.place.daemon_pid():
            time.sleep(0.02)
        self.line = Forwarder(port, BYTES_PER_S, DELAY_S)
        self.viewer = os.path.join(build, "client", "baro-view")

    def close(self):
        self.line.cut()
        self.barod.terminate()
        self.barod.wait()
        self.place.close()

    def fill(self, run, first, end, every=10):
        """Steps of many series, and now and then one of many layers, a wide one among them."""
        for step in range(first, end, every):
            run.noise(step, min(step + every, end), N_SERIES, step)
            for layer in range(N_LAYERS):
                rows = [[1 + 0.1 * unit + 0.01 * ((step * 7 + unit * layer) % 13)]
                        for unit in range(16)]
                run.tensor(f"layers.{layer}.weight", WEIGHT, rows)
                run.tensor(f"layers.{layer}.weight", GRAD, rows)
            run.tensor("wide.weight", WEIGHT,
                       [[round(1 + unit / N_UNITS + ((unit * 31 + step * 17) % 97) / 97, 3)]
                        for unit in range(N_UNITS)])
        run.sync()

    def window(self, *arguments, seconds=2, endpoint=None, **options):
        """A window without a screen, through the line or elsewhere, that prints what it cost."""
        env = dict(self.place.env, SDL_VIDEODRIVER="dummy", BARO_INSECURE="1",
                   XDG_STATE_HOME=os.path.join(self.place.dir, "state"))
        return subprocess.Popen(
            [self.viewer, "--endpoint", endpoint or self.line.endpoint, "--scale", "1",
             "--bench-window", str(seconds), *arguments], env=env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def look(self, *arguments, seconds=2, endpoint=None):
        """Open a window; seconds until it is useful and whole, and kilobytes until it ends."""
        before = self.line.n_bytes
        begin = time.monotonic_ns()
        window = self.window(*arguments, seconds=seconds, endpoint=endpoint)
        out, err = window.communicate(timeout=120)
        assert window.returncode == 0, err
        figures = json.loads(out)
        def since(name):
            return (figures[name] - begin) / 1e9 if figures[name] else None
        return {"first_s": since("first_ns"), "useful_s": since("useful_ns"),
                "whole_s": since("whole_ns"), "kB": (self.line.n_bytes - before) / 1e3,
                "lines": figures["lines"], "slow_Bps": figures["slow_line_bytes_per_s"]}


def train(far, run, seconds, stop):
    """A training that goes on at ten steps a second, every second one with all layers."""
    step = 100000
    while not stop.is_set() and seconds > 0:
        far.fill(run, step, step + 10, every=10)
        step += 10
        stop.wait(1)
        seconds -= 1


def main():
    far = Far(os.path.abspath(sys.argv[1]))
    n_steps = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    try:
        run = far.place.run("far", project="remote")
        begin = time.monotonic()
        far.fill(run, 0, n_steps)
        print(f"filled in {time.monotonic() - begin:.1f} s", flush=True)
        for page in PAGES:
            more = ("--tensor", "wide.weight") if page == "tensor" else ()
            print(page, far.look("--page", page, *more, seconds=15), flush=True)
        stop = threading.Event()
        live = threading.Thread(target=train, args=(far, run, 120, stop))
        live.start()
        for page in PAGES[:2]:
            more = ("--tensor", "wide.weight") if page == "tensor" else ()
            figures = far.look("--page", page, *more, seconds=20)
            print("live", page, figures, flush=True)
        stop.set()
        live.join()
    finally:
        far.close()


if __name__ == "__main__":
    main()
