#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`baro probes` against a real barod, fed through libbaro. Prints TAP.

usage: test_cli_probes.py BUILD_DIR [CASE...]
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import Place, run_tap  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
REGULAR, ASKED, FAILURE = 1, 2, 3
SAMPLES = [40, 41, 42, 43]  # their place in the data set


class Trained(unittest.TestCase):
    """A run with three probes, and one without."""
    place = None

    @classmethod
    def setUpClass(cls):
        cls.place = Place(BUILD)
        done = cls.place.baro("up")
        assert done.returncode == 0, done.stderr
        run = cls.place.run("net")
        for step, reason, scale in ((10, REGULAR, 1), (20, REGULAR, 2), (30, FAILURE, 30)):
            run.step(step)
            run.batch(SAMPLES)
            run.scalar("loss", 1.0)
            run.tell("probe", reason, scale)
        assert run.close() == 0
        empty = cls.place.run("empty")
        empty.step(1)
        empty.scalar("loss", 1.0)
        assert empty.close() == 0

    @classmethod
    def tearDownClass(cls):
        cls.place.close()

    def text(self, *arguments):
        done = self.place.baro(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, code, words, *arguments):
        done = self.place.baro(*arguments)
        self.assertEqual(done.returncode, code, done.stdout)
        self.assertIn(words, done.stderr)


class Probes(Trained):
    def test_probes_are_listed_with_why_they_were_made(self):
        found = self.place.json("probes", "net")
        self.assertEqual([(p["step"], p["reason"], p["is_whole"]) for p in found],
                         [(10, "regular", True), (20, "regular", True), (30, "failure", True)])
        self.assertRegex(self.text("probes", "net"), r"(?m)^ +30 +failure +\d+(\.\d)? K?i?B")

    def test_a_run_without_probes_says_so(self):
        self.assertIn("No probes", self.text("probes", "empty"))
        self.assertEqual(self.place.json("probes", "empty"), [])

    def test_the_operations_of_a_probe_are_shown_in_order(self):
        ops = self.place.json("probes", "net", "--step", "30")
        self.assertEqual([op["name"] for op in ops], ["t", "addmm", "relu", "exp", "mean"])
        self.assertEqual([op["is_origin"] for op in ops], [False, False, False, True, False])
        self.assertEqual(ops[3]["source"], "train.py:57")
        self.assertGreater(ops[3]["outputs"][0]["n_inf"], 0)
        self.assertEqual(ops[1]["inputs"][1]["shape"], [4, 3])
        text = self.text("probes", "net", "--step", "30")
        self.assertIn("exp of 136 is more than", text)
        self.assertRegex(text, r"exp .*train.py:57")

    def test_the_newest_probe_at_or_before_a_step_is_taken(self):
        self.assertEqual(len(self.place.json("probes", "net", "--step", "29")), 4)
        self.refused(1, "no probe of the run is whole", "probes", "net", "--step", "9")

    def test_the_bytes_of_a_probe_can_be_kept(self):
        path = os.path.join(self.place.dir, "a.probe")
        self.text("probes", "net", "--step", "10", "--output", path)
        with open(path, "rb") as file:
            data = file.read()
        self.assertEqual(data[:8], b"BAROPROB")
        self.assertEqual(len(data), self.place.json("probes", "net")[0]["bytes"])
        self.refused(1, "is there already", "probes", "net", "--step", "10", "--output", path)
        self.text("probes", "net", "--step", "10", "--output", path, "--force")


def main():
    loader = unittest.defaultTestLoader
    module = sys.modules["__main__"]
    suite = (loader.loadTestsFromNames(sys.argv[2:], module) if sys.argv[2:]
             else loader.loadTestsFromModule(module))
    sys.exit(0 if run_tap(suite) else 1)


if __name__ == "__main__":
    main()
