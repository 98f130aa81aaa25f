#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""baro-view through a line of 50 ms and 1 Mbit/s, and through one that is cut. Prints TAP.

usage: test_far.py BUILD_DIR [CASE...]
"""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from far import BYTES_PER_S, Far  # noqa: E402
from cli_place import DEADLINE_S, run_tap, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
SLACK = 3  # machines that run tests are busy


class FarAway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.far = Far(BUILD)
        cls.addClassCleanup(cls.far.close)
        cls.run_ = cls.far.place.run("far", project="remote")
        cls.far.fill(cls.run_, 0, 300)
        wait_for(lambda: cls.far.place.json("runs")[0]["last_step"] == 299, "it is all there")

    def test_pages_are_useful_in_two_seconds_and_whole_in_some_more(self):
        for page in ("overview", "tensor", "why"):
            more = ("--tensor", "wide.weight") if page == "tensor" else ()
            figures = self.far.look("--page", page, *more, seconds=5)
            print("#", page, figures, flush=True)
            self.assertLess(figures["useful_s"], 2 * SLACK, (page, figures))
            self.assertIsNotNone(figures["whole_s"], (page, figures))
            self.assertLess(figures["kB"], BYTES_PER_S * 8 / 1000, (page, figures))
            self.assertGreater(figures["slow_Bps"], BYTES_PER_S / 10, (page, figures))
            self.assertLess(figures["slow_Bps"], BYTES_PER_S * 2, (page, figures))

    def test_the_machine_s_own_socket_is_no_slow_line(self):
        figures = self.far.look("--page", "tensor", "--tensor", "wide.weight", seconds=2,
                                endpoint=f"ipc://{self.far.place.data}/barod.sock")
        print("#", figures, flush=True)
        self.assertEqual(figures["slow_Bps"], 0, figures)

    def test_a_cut_line_is_said_and_the_window_goes_on_by_itself(self):
        window = self.far.window("--page", "overview", seconds=9)
        n_before = self.far.line.n_connections
        wait_for(lambda: self.far.line.n_connections > n_before, "the window has connected")
        time.sleep(1)
        self.far.line.cut()
        time.sleep(5)  # it must outlive that
        self.assertIsNone(window.poll())
        self.far.line.open()
        self.far.fill(self.run_, 300, 320)
        stdout, stderr = window.communicate(timeout=DEADLINE_S)
        self.assertEqual(window.returncode, 0, stderr)
        self.assertGreaterEqual(self.far.line.n_connections, n_before + 2)
        self.assertIn('"useful_ns"', stdout)


def main():
    suite = unittest.TestLoader().loadTestsFromTestCase(FarAway)
    if len(sys.argv) > 2:
        suite = unittest.TestSuite(
            test for test in suite if test.id().split(".")[-1] in sys.argv[2:])
    return 0 if run_tap(suite) else 1


if __name__ == "__main__":
    sys.exit(main())
