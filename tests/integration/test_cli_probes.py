#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`baro probes` and `baro credit` against a real barod, fed through libbaro. Prints TAP.

usage: test_cli_probes.py BUILD_DIR [CASE...]
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import Place, main  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
REGULAR, ASKED, FAILURE = 1, 2, 3
# The network of probe_network.c with inputs as they are: the hidden layer, sample by sample.
WEIGHT = [[1, 2, -1], [0.5, 3, 1]]
BIAS = [0.5, 1]
INPUTS = [[1, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]]
ROWS = [0, 2]  # that were kept
SAMPLES = [40, 41, 42, 43]  # their place in the data set


def hidden(scale=1.0):
    return [[b + sum(w * scale * x for w, x in zip(row, sample)) for row, b in zip(WEIGHT, BIAS)]
            for sample in INPUTS]


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


class Credit(Trained):
    """Of what was it made; beside sums by hand."""

    def credit(self, *arguments):
        found = self.place.json("credit", "net", *arguments)
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0]["is_done"])
        return found[0]

    def outside(self, found):
        """Shares by what came from outside the graph."""
        shares = {}
        for edge in found["edges"]:
            if edge["to"] == -1:
                shares[edge["of"]] = shares.get(edge["of"], 0) + edge["share"]
        return shares

    def test_a_unit_is_made_of_inputs_and_bias(self):
        found = self.credit("--step", "10", "--target", "fc[1]", "--sample", "2")
        h = hidden()[2][1]
        self.assertAlmostEqual(found["total"], h, places=4)
        self.assertAlmostEqual(found["explained"], 1, places=3)
        own = {name: share for node in found["nodes"] for name, share in node["own"].items()}
        self.assertAlmostEqual(own["bias"], BIAS[1] / h, places=3)
        units = {unit["unit"]: unit["share"] for unit in found["units"] if unit["of"] == "input"}
        for k in range(3):
            self.assertAlmostEqual(units[k], WEIGHT[1][k] * INPUTS[2][k] / h, places=3)

    def test_samples_are_told_by_their_place_in_the_data_set(self):
        found = self.credit("--step", "10", "--target", "fc[0]")
        self.assertEqual({sample["sample"] for sample in found["samples"]}, {40, 42})
        text = self.text("credit", "net", "--step", "10", "--target", "fc[0]")
        self.assertIn("SAMPLE", text)
        self.assertRegex(text, r"(?m) 42 ")

    def test_a_change_is_what_the_inputs_did(self):
        found = self.credit("--step", "20", "--target", "fc[1]", "--sample", "0",
                            "--mode", "change", "--against", "10")
        before, now = hidden()[0][1], hidden(2)[0][1]
        self.assertEqual(found["before_step"], 10)
        self.assertAlmostEqual(found["total"], now - before, places=4)
        self.assertAlmostEqual(self.outside(found)["input"], 1, places=3)

    def test_the_tree_begins_with_the_target(self):
        lines = self.text("credit", "net", "--step", "20").splitlines()
        self.assertRegex(lines[0], r"^Step 20: of what came loss")
        self.assertTrue(any("mean" in line and "100.0 %" in line for line in lines), lines)
        self.assertTrue(any("addmm" in line and "bias" in line for line in lines), lines)
        self.assertTrue(any(line.startswith("Explained: ") for line in lines), lines)

    def test_what_cannot_be_is_refused_with_what_there_is(self):
        self.refused(1, "has no probes", "credit", "empty")
        self.refused(1, "fc", "credit", "net", "--step", "10", "--target", "fcc")
        self.refused(1, "has 2 units, from 0: not 7", "credit", "net", "--step", "10", "--target", "fc[7]")
        self.refused(2, "--mode: 'values'", "credit", "net", "--mode", "values")
        self.refused(2, "--against is for", "credit", "net", "--against", "10")
        self.refused(2, "--sample", "credit", "net", "--sample", "-4")
        self.refused(1, "needs a probe of an earlier step", "credit", "net", "--step", "10",
                     "--mode", "change")
        self.refused(1, "the very one", "credit", "net", "--step", "10", "--mode", "change",
                     "--against", "10")

    def test_of_a_failure_what_is_not_finite_is_shared_out(self):
        found = self.credit("--step", "30", "--target", "#6")
        self.assertEqual(found["n_bad"], 1)
        self.assertEqual([u["unit"] for u in found["units"] if u["of"] == "exp"], [1])
        self.assertEqual([s["sample"] for s in found["samples"] if s["of"] == "exp"], [42])
        self.assertIn("1 of its elements are not finite",
                      self.text("credit", "net", "--step", "30", "--target", "#6"))


if __name__ == "__main__":
    main()
