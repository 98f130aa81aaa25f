#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baro sample against a real barod: what it prints, and every odd tensor there may be. Prints TAP.

usage: test_cli_sample.py BUILD_DIR
"""
import json
import math
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import WEIGHT, Place, main, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
N_STEPS = 40
N_MANY = 160
PYTHON = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib", "python")


def grown(step):
    """Units of a tensor that changes its shape."""
    return 60 if step < N_STEPS // 2 else 90


# Each gives the value of a unit at a step; the units' norms are these, times a constant.
TENSORS = {
    "many": (N_MANY, lambda u, t: 1 + 0.3 * math.sin(u * 0.37) + 0.1 * math.sin(u + t / 9)
             + (8 if u == 77 and t == 20 else 0)),
    "one": (1, lambda u, t: 1 + t),
    "twins": (2, lambda u, t: 1 + t),
    "constant": (50, lambda u, t: 3),
    "nan": (50, lambda u, t: math.nan),
    "some_nan": (N_MANY, lambda u, t: math.nan if u == 9 and t >= 30 else 1 + u / 100),
    "few": (7, lambda u, t: 1 + u + t),
    "extreme": (60, lambda u, t: 10.0 ** (38 * (2 * u / 59 - 1))),
    "gaps": (50, lambda u, t: None if 10 <= t < 30 else 1 + u),
    "late": (50, lambda u, t: None if t < 30 else 1 + u),
}


class Sampled(unittest.TestCase):
    """One run with all of them."""

    @classmethod
    def setUpClass(cls):
        cls.place = Place(BUILD)
        assert cls.place.baro("up").returncode == 0
        run = cls.place.run("odd")
        for step in range(N_STEPS):
            run.step(step)
            run.scalar("loss", 1 / (step + 1))
            for name, (n_units, value) in TENSORS.items():
                if value(0, step) is not None:
                    run.tensor(name, WEIGHT, [[value(u, step)] * 2 for u in range(n_units)])
            run.tensor("grows", WEIGHT, [[1 + 0.1 * math.sin(u)] * 2 for u in range(grown(step))])
        assert run.close() == 0

    @classmethod
    def tearDownClass(cls):
        cls.place.close()

    def sample(self, name, *options):
        """The units chosen, by number, and the measures."""
        *units, measures = self.place.json("sample", "odd", name + ":weight", *options)
        self.assertEqual(len(units), measures["shown"])
        return {unit["unit"]: unit for unit in units}, measures

    def test_people_read_which_units_were_chosen_and_what_the_words_mean(self):
        done = self.place.baro("sample", "odd", "many:weight", "--lines", "30")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f" of {N_MANY} units", done.stdout)
        self.assertIn("leap: rises or falls at once much further than others do", done.stdout)
        self.assertIn("blue noise: typical", done.stdout)
        row = next(line.split() for line in done.stdout.splitlines()
                   if line.split()[:1] == ["77"])
        self.assertEqual(row[1], "leap")

    def test_json_has_reasons_members_and_measures(self):
        units, measures = self.sample("many", "--lines", "30")
        self.assertEqual(units[77]["reason"], "leap")
        self.assertEqual(sum(unit["stands_for"] for unit in units.values()), N_MANY)
        self.assertLess(measures["shown"], N_MANY)
        self.assertGreater(measures["coverage"], 0.95)
        self.assertLess(measures["overdraw"], measures["overdraw_of_all"])

    def test_a_unit_that_becomes_nan_is_shown_for_it(self):
        units, measures = self.sample("some_nan", "--lines", "30")
        self.assertEqual(units[9]["reason"], "non-finite")
        self.assertEqual(measures["n_nonfinite"], 1)

    def test_tensors_of_few_units_are_shown_whole(self):
        for name, n_units in (("one", 1), ("twins", 2), ("few", 7)):
            units, _ = self.sample(name)
            self.assertEqual(set(units), set(range(n_units)), name)

    def test_lines_that_are_all_alike_have_one_or_all_that_stand_for_them(self):
        for name in ("constant", "gaps", "late"):
            units, _ = self.sample(name)
            self.assertEqual(sum(unit["stands_for"] for unit in units.values()), 50, name)

    def test_all_nan_is_a_sample_of_non_finite_units(self):
        units, measures = self.sample("nan")
        self.assertEqual({unit["reason"] for unit in units.values()}, {"non-finite"})
        self.assertEqual(measures["n_nonfinite"], 50)

    def test_values_over_seventy_decades_are_sampled_on_every_axis(self):
        for axis in ("linear", "log", "symlog"):
            units, measures = self.sample("extreme", "--axis", axis)
            self.assertIn(59, units, axis)
            self.assertTrue(math.isfinite(measures["spread_px"]), axis)

    def test_a_tensor_that_changed_its_shape_is_sampled_as_it_is_now(self):
        for name, n_units, first in (("grows:weight", 90, N_STEPS // 2),
                                     ("grows:weight#2", 90, N_STEPS // 2),
                                     ("grows:weight#1", 60, 0)):
            *units, measures = self.place.json("sample", "odd", name)
            self.assertEqual(measures["units"], n_units, name)
            self.assertEqual(measures["from"], first, name)
            self.assertEqual(sum(unit["stands_for"] for unit in units), n_units, name)

    def test_whoever_follows_a_tensor_is_told_when_its_shape_changes(self):
        run = self.place.run("growing")
        for step in range(10):
            run.step(step)
            run.tensor("w", WEIGHT, [[1 + 0.1 * math.sin(u)] * 2 for u in range(60)])
        run.sync()
        wait_for(lambda: self.place.baro("sample", "growing", "w:weight").returncode == 0,
                 "there are units")
        path = os.path.join(self.place.dir, "followed")
        with open(path, "w") as out:
            follower = self.place.start("sample", "growing", "w:weight", "--follow", "--json",
                                        stdout=out, stderr=subprocess.STDOUT)

        def said():
            with open(path) as lines:
                return [json.loads(line) for line in lines.read().splitlines()]
        try:
            wait_for(lambda: any("shown" in line for line in said()), "it is sampled")
            for step in range(10, 20):
                run.step(step)
                run.tensor("w", WEIGHT, [[1 + 0.1 * math.sin(u)] * 2 for u in range(90)])
            run.sync()
            wait_for(lambda: {"goes_on_as": "w:weight#2", "epoch": 2, "units": 90, "from": 10}
                     in said() and said()[-1].get("units") == 90
                     and "shown" in said()[-1], "the new shape is sampled")
        finally:
            follower.terminate()
            follower.wait(timeout=30)
            run.close()

    def test_which_tensor_is_meant_is_told_without_parts_that_nobody_typed(self):
        for tensor, words in (
                ("many", "'many' lacks the role; there is 'many:weight'"),
                ("mani:weight", "no tensor 'mani:weight' in this run; did you mean 'many:weight'?"),
                ("many:weight[3]", "name the tensor alone, as 'many:weight'"),
                ("many:weight#2", "'many:weight' has 1 epoch, no epoch 2"),
                ("many:weight@1", "'many:weight' is not of rank 1"),
                ("loss", "'loss' is a scalar")):
            done = self.place.baro("sample", "odd", tensor)
            self.assertEqual(done.returncode, 1, tensor)
            self.assertIn(words, done.stderr)
            self.assertNotIn("[0]", done.stderr)

    def test_a_million_units_are_kept_as_a_whole_and_that_is_told(self):
        program = ("import barograph, numpy; run = barograph.init(project='tests', name='million');"
                   "run.tensor('w', numpy.ones((1 << 20, 1), numpy.float32), role='weight');"
                   "run.log({}); run.finish()")
        env = {**self.place.env, "BARO_LIB": os.path.join(BUILD, "lib", "push", "libbaro.so"),
               "PYTHONPATH": PYTHON}
        done = subprocess.run(["/usr/bin/python3", "-c", program], env=env, timeout=60,
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        wait_for(lambda: "w:weight" in self.place.baro("series", "million").stdout, "it is there")
        done = self.place.baro("sample", "million", "w:weight")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "baro: 'w:weight' has no units: tensors of more than 65536 "
                                      "are kept as a whole only\n")
        done = self.place.baro("get", "million", "w:weight/l2")
        self.assertIn("1024", done.stdout)

    def test_twins_stand_for_themselves(self):
        units, _ = self.sample("twins")
        self.assertEqual({unit["stands_for"] for unit in units.values()}, {1})

    def test_wrong_uses_are_told_in_one_line(self):
        for arguments, code, words in (
                (["--lines", "5000"], 2, "--lines: 5000 is not between 1 and 4000"),
                (["--stat", "norm"], 1, "no statistic 'norm'; there are: mean, l2"),
                (["--axis", "cubic"], 2, "--axis: 'cubic' is not linear, log or symlog"),
                (["--from", "5", "--to", "4"], 2, "--from 5 is behind --to 4"),
                (["--from", "1000"], 1, "there are no readings")):
            done = self.place.baro("sample", "odd", "many:weight", *arguments)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    main()
