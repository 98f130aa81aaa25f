#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""baro compare against a real barod: two runs, two steps of one.

usage: test_compare.py BUILD_DIR SOURCE_DIR [CASE...]
"""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import GRAD, WEIGHT, Place, main, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])


def push(place, name, slope, spoilt):
    run = place.run(name)
    for step in range(10):
        run.step(step)
        run.scalar("loss", 1.0 + slope * step)
        run.scalar("same", 4.0)
        run.scalar("lone " + name, 1.0)
        run.tensor("a", WEIGHT, [[3.0, 4.0]])
        run.tensor("b", WEIGHT, [[slope * 30, slope * 40]])
        run.tensor("a", GRAD, [[float("nan") if spoilt and step == 9 else 1.0, 1.0]])
    assert run.close() == 0


class Compare(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place(BUILD)
        cls.addClassCleanup(cls.place.close)
        assert cls.place.baro("up").returncode == 0
        push(cls.place, "one", -0.1, False)
        push(cls.place, "two", -0.05, True)
        wait_for(lambda: [run["status"] for run in cls.place.json("runs")] == ["finished"] * 2,
                 "the runs are over")

    def lines(self, *arguments):
        done = self.place.baro("compare", *arguments, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_two_runs_differ_in_their_last_readings_most_different_first(self):
        lines = self.lines("one", "two")
        scalars = [line for line in lines if line["kind"] == "scalar"]
        self.assertEqual([line["name"] for line in scalars], ["loss", "same"])
        self.assertEqual(scalars[0]["a"], 1.0 - 0.1 * 9)
        self.assertEqual(scalars[0]["b"], 1.0 - 0.05 * 9)
        self.assertEqual(scalars[0]["difference"], scalars[0]["b"] - scalars[0]["a"])
        self.assertEqual(scalars[0]["min_b"], scalars[0]["b"])
        self.assertEqual(scalars[1]["difference"], 0.0)

    def test_tensors_are_told_by_how_many_times_one_norm_is_the_other(self):
        tensors = [line for line in self.lines("one", "two") if line["kind"] == "tensor"]
        self.assertEqual([line["name"] for line in tensors],
                         ["b:weight", "a:grad", "a:weight"])
        self.assertAlmostEqual(tensors[0]["ratio"], 0.5, places=6)
        self.assertEqual(tensors[2]["a"], 5.0)

    def test_what_only_one_run_has_is_named(self):
        lines = self.lines("one", "two")
        self.assertIn({"kind": "only_a", "name": "lone one"}, lines)
        self.assertIn({"kind": "only_b", "name": "lone two"}, lines)

    def test_two_steps_of_one_run_are_compared_up_to_each(self):
        lines = self.lines("one", "--steps", "2", "7", "loss")
        self.assertEqual(len(lines), 1)
        self.assertEqual((lines[0]["step_a"], lines[0]["step_b"]), (2, 7))
        self.assertEqual(lines[0]["b"], 1.0 - 0.1 * 7)

    def test_wrong_uses_are_told(self):
        self.assertEqual(self.place.baro("compare", "one").returncode, 2)
        self.assertEqual(self.place.baro("compare", "one", "--steps", "2").returncode, 2)
        self.assertEqual(self.place.baro("compare", "one", "three").returncode, 1)
        done = self.place.baro("compare", "one", "two", "nothing*")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no", done.stderr)

    def test_people_get_tables(self):
        done = self.place.baro("compare", "one", "two")
        self.assertEqual(done.returncode, 0, done.stderr)
        for word in ("SCALAR", "TENSOR", "0.5 x", "only B: lone two"):
            self.assertIn(word, done.stdout)


if __name__ == "__main__":
    main()
