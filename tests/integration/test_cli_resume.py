#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs that are resumed, as baro shows them: branches, repeats, epochs. Prints TAP.

usage: test_cli_resume.py BUILD_DIR
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import WEIGHT, Place, main  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])


class Resumed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place(BUILD)
        cls.addClassCleanup(cls.place.close)
        assert cls.place.baro("up").returncode == 0
        cls.train("job", 0, 20, 1)
        cls.train("job", 15, 30, 2)                       # append: 15 to 19 come again
        cls.train("job", 25, 40, 3, "branch", width=3)
        cls.train("job", 35, 45, 4, "overwrite", width=3)
        cls.train("other", 0, 3, 1)

    @classmethod
    def train(cls, run_id, first, end, value, resume=None, width=2):
        env = dict(cls.place.env)
        if resume is not None:
            cls.place.env.update(BARO_RESUME=resume, BARO_RESUME_STEP=str(first))
        run = cls.place.run("beta", run_id=run_id)
        cls.place.env = env
        for step in range(first, end):
            run.step(step)
            run.scalar("loss", value)
            run.tensor("fc1", WEIGHT, [[value] * 4] * width)
        assert run.close() == 0

    def steps(self, *arguments):
        return [point["step"] for point in self.place.json("get", *arguments)]

    def test_branches_stand_under_the_run_that_has_the_id(self):
        runs = self.place.json("runs")
        self.assertEqual([run["id"] for run in runs], ["other", "job", "job~1"])
        self.assertEqual((runs[1]["parent"], runs[1]["branch_step"], runs[1]["is_overwritten"]),
                         ("job~2", 35, False))
        self.assertEqual((runs[2]["parent"], runs[2]["branch_step"]), (None, None))
        self.assertEqual(runs[1]["steps"], 45)
        everything = self.place.json("runs", "--all")
        self.assertEqual([run["id"] for run in everything], ["other", "job", "job~2", "job~1"])
        self.assertTrue(everything[2]["is_overwritten"])

    def test_an_overwritten_run_is_not_listed_but_told_of(self):
        text = self.place.baro("runs").stdout
        self.assertIn("1 overwritten run is not shown; 'baro runs --all' shows it", text)
        self.assertIn("~2 at 35", text)
        text = self.place.baro("runs", "--all").stdout
        self.assertIn("~1 at 25, overwritten", text)
        self.assertNotIn("not shown", text)

    def test_every_listing_fits_a_terminal(self):
        for command in (["runs", "--all"], ["series", "job"], ["get", "job~1", "loss"]):
            code, text = self.place.in_terminal(command)
            self.assertEqual(code, 0)

    def test_a_name_means_the_run_that_has_the_id_now(self):
        for name, last in (("job", 44), ("jo", 44), ("job~2", 39), ("job~1", 29)):
            self.assertEqual(self.steps(name, "loss")[-1], last, name)
        self.assertEqual(set(self.steps("job", "loss")), set(range(45)))

    def test_a_branch_has_the_steps_before_it_and_its_own(self):
        values = [point["value"] for point in self.place.json("get", "job", "loss")]
        # Of the steps that came twice, the parent's later ones stand behind the earlier.
        self.assertEqual(values[-10:], [4.0] * 10)
        self.assertEqual(values[-20:-10], [3.0] * 10)
        columns = self.place.json("get", "job", "loss", "--columns", "9")
        self.assertEqual(sum(column["count"] for column in columns), len(values))
        self.assertEqual((columns[0]["from"], columns[-1]["to"]), (0, 44))
        self.assertEqual((columns[0]["max"], columns[-1]["max"]), (1.0, 4.0))

    def test_repeated_steps_are_marked(self):
        points = self.place.json("get", "job~1", "loss")
        self.assertEqual([p["step"] for p in points if p.get("repeat")], list(range(15, 20)))
        self.assertEqual(len(points), 35)
        part = self.place.json("get", "job~1", "loss", "--from", "18", "--to", "18")
        self.assertEqual([(p["value"], p.get("repeat", False)) for p in part],
                         [(1.0, False), (2.0, True)])
        text = self.place.baro("get", "job~1", "loss").stdout
        self.assertEqual(text.count("repeated"), 5)
        series = {entry["name"]: entry for entry in self.place.json("series", "job~1")}
        self.assertEqual(series["loss"]["repeats"], 5)
        self.assertIn("5 repeated", self.place.baro("series", "job~1").stdout)

    def test_a_tensor_of_another_width_is_another_epoch(self):
        series = {entry["name"]: entry for entry in self.place.json("series", "job~2")}
        self.assertEqual(series["fc1:weight#2"]["epoch"], 2)
        self.assertEqual(series["fc1:weight#2"]["shape"], [3, 4])
        self.assertEqual(series["fc1:weight#2"]["first_step"], 25)
        self.assertIn("epoch 2, [3, 4] f32, from step 25",
                      self.place.baro("series", "job~2").stdout)
        both = self.place.json("get", "job~2", "fc1:weight/l2")
        self.assertEqual([p["step"] for p in both if p.get("epoch") == 2], list(range(25, 40)))
        self.assertEqual(self.steps("job~2", "fc1:weight#2/l2"), list(range(25, 40)))
        self.assertEqual(set(self.steps("job~2", "fc1:weight#1/l2")), set(range(25)))
        # A unit is one of the newest, unless another is named.
        self.assertEqual(self.steps("job~2", "fc1:weight[2]/mean"), list(range(25, 40)))
        self.assertEqual(set(self.steps("job~2", "fc1:weight#1[1]/mean")), set(range(25)))
        done = self.place.baro("get", "job~2", "fc1:weight#3/l2")
        self.assertEqual(done.returncode, 1)
        self.assertIn("did you mean 'fc1:weight#2/l2'?", done.stderr)

    def test_a_name_whose_parts_are_out_of_order_is_put_right(self):
        for wrong, words in (
                ("fc1:weight[1]#1/l2", "did you mean 'fc1:weight#1[1]/l2'?"),
                ("fc1:weight#7/l2", "'fc1:weight' has the epochs 1 to 2; did you mean 'fc1:weight#2/l2'?"),
                ("fc2:weight[1]/l2", "did you mean 'fc1:weight[1]/l2'?")):
            done = self.place.baro("get", "job", wrong)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)

    def test_a_branch_that_is_not_there_gives_the_nearest_name(self):
        done = self.place.baro("get", "job~7", "loss")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no run 'job~7'; did you mean 'job", done.stderr)

    def test_a_way_of_resuming_that_is_none_is_told(self):
        with self.assertRaises(Exception):
            self.train("job", 0, 1, 1, "overwrit")


if __name__ == "__main__":
    main()
