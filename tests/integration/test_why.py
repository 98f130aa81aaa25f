#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`baro why` and `baro report` against a real barod, fed through libbaro. Prints TAP.

usage: test_why.py BUILD_DIR [CASE...]
"""
import math
import os
import re
import signal
import struct
import subprocess
import sys
import unittest
import xml.dom.minidom
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import ACT, GRAD, WEIGHT, Place, run_tap, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
REGULAR, FAILURE = 1, 3
SAMPLES = [40, 41, 42, 43]
BAD_STEP = 50


def push_failure(place):
    """Calm probes at steps 10 and 20, a failure of exp at step 30: unit 1, row 2 of the batch."""
    run = place.run("probed")
    for step in range(31):
        run.step(step)
        run.batch(SAMPLES)
        run.scalar("loss", math.nan if step == 30 else 1.0 / (step + 3))
        if step in (10, 20):
            run.tell("probe", REGULAR, step / 10)
    run.tell("probe", FAILURE, 30)
    assert run.close() == 0


def push_broken(place, name="broken"):
    """No probe: a gradient overflows in unit 3, one step later the loss is NaN."""
    run = place.run(name)
    for step in range(60):
        run.step(step)
        run.batch([step, step + 1000])
        run.scalar("loss", math.nan if step == BAD_STEP + 1 else 1.0 / (step + 3))
        rows = [[0.5, -0.25, 1.0] for _ in range(8)]
        if step == BAD_STEP:
            rows[3][1] = math.inf
        run.tensor("encoder.fc1.weight", GRAD, rows)
        run.tensor("encoder.fc1.weight", WEIGHT, [[1.0, 2.0]] * 8)
    assert run.close() == 0


def push_masked(place):
    """An output holds NaN from step 20 on, which the loss leaves out."""
    run = place.run("masked")
    for step in range(40):
        run.step(step)
        run.scalar("loss", 1.0 / (step + 3))
        run.tensor("attention", ACT, [[math.nan if step >= 20 and i == 2 else 0.5, 1.0]
                                      for i in range(4)])
    assert run.close() == 0


def push_calm(place, name, n_steps):
    run = place.run(name)
    for step in range(n_steps):
        run.step(step)
        run.scalar("loss", 1.0 / (step + 3))
    assert run.close() == 0


class Why(unittest.TestCase):
    """One daemon with six runs."""
    place = None

    @classmethod
    def setUpClass(cls):
        if cls.place is not None:
            return
        Why.place = Place(BUILD)
        done = cls.place.baro("up")
        assert done.returncode == 0, done.stderr
        push_failure(cls.place)
        push_broken(cls.place)
        push_masked(cls.place)
        push_calm(cls.place, "calm", 60)
        push_calm(cls.place, "one", 1)
        cls.place.run("nothing").close()
        wait_for(lambda: len(cls.place.json("alerts", "broken")) > 0, "the alerts are stored")

    def why(self, *arguments):
        done = self.place.baro("why", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def of_type(self, kind, *arguments):
        return [one for one in self.place.json("why", *arguments) if one["type"] == kind]

    def one(self, kind, *arguments):
        found = self.of_type(kind, *arguments)
        self.assertEqual(len(found), 1, found)
        return found[0]


class Probed(Why):
    def test_the_headline_names_operation_unit_and_sample(self):
        text = self.why("probed")
        self.assertIn("exp of 136 is more than 3.4e+38", " ".join(text.split()))
        self.assertIn("(the loss function, unit 1, sample 42, train.py:57)", " ".join(text.split()))
        for label in ("what", "when", "path", "where", "who", "why", "try", "looked"):
            self.assertRegex(text, r"(?m)^%s +\S" % label)

    def test_the_operand_is_told_with_its_limit_and_what_it_was_in_calm(self):
        origin = self.one("origin", "probed")
        self.assertEqual((origin["op"], origin["module"], origin["source"], origin["units"]),
                         ("exp", "", "train.py:57", [1]))
        self.assertAlmostEqual(origin["operand"], 136, places=3)
        self.assertAlmostEqual(origin["limit"], 88.722839, places=5)
        self.assertEqual(origin["calm_step"], 20)

    def test_the_way_leads_from_the_operand_to_the_data(self):
        hops = self.of_type("hop", "probed")
        self.assertEqual([one["module"] for one in hops], ["act", "fc", "input"])
        self.assertAlmostEqual(hops[0]["share"], 1, places=6)
        self.assertGreater(hops[-1]["value"], 10 * hops[-1]["usual"])

    def test_the_sample_is_named_and_was_in_earlier_batches(self):
        sample = self.one("sample", "probed")
        self.assertEqual((sample["sample"], sample["row"], sample["is_certain"], sample["before"],
                          sample["last_step"]), (42, 2, True, 30, 29))
        self.assertAlmostEqual(sample["last_loss"], 1 / 32)

    def test_a_remedy_has_the_numbers(self):
        remedies = [one["text"] for one in self.of_type("remedy", "probed")]
        self.assertLessEqual(len(remedies), 3)
        self.assertRegex(remedies[0], r"Clamp act to \[-30, [\d.]+\] before exp: at step 30 it was 136")


class FromReadings(Why):
    def test_without_a_probe_it_answers_and_says_what_is_missing(self):
        story = self.one("story", "broken")
        self.assertEqual((story["answer"], story["step"], story["loss_step"]),
                         ("readings", BAD_STEP, BAD_STEP + 1))
        suspect = self.of_type("suspect", "broken")[0]
        self.assertEqual((suspect["module"], suspect["unit"]), ("encoder.fc1", 3))
        self.assertTrue(any("not captured" in one["text"] for one in self.of_type("missing", "broken")))

    def test_a_step_chooses_the_incident_near_it(self):
        self.assertEqual(self.one("story", "broken", "--step", "20")["step"], BAD_STEP)
        done = self.place.baro("why", "broken", "--step", "99")
        self.assertEqual(done.returncode, 1)
        self.assertIn("the run has no step 99: it has steps 0 to 59", done.stderr)

    def test_every_json_line_has_a_type_and_one_incident_is_chosen(self):
        lines = self.place.json("why", "broken")
        self.assertEqual(lines[0]["type"], "story")
        self.assertEqual({one["type"] for one in lines} - {
            "story", "origin", "beat", "hop", "suspect", "sample", "evidence", "remedy", "missing",
            "incident"}, set())
        self.assertEqual(sum(one.get("is_chosen", False) for one in lines), 1)

    def test_text_fits_the_terminal(self):
        for columns in (60, 80, 120):
            _, text = self.place.in_terminal(["why", "broken"], columns=columns)
            plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
            for line in plain.splitlines():
                self.assertLessEqual(len(line), columns, line)


class Nothing(Why):
    def test_a_nan_that_never_reaches_the_loss_is_told_as_one_that_may_be_meant(self):
        text = " ".join(self.why("masked").split())
        self.assertIn("It has not reached the loss, which has been finite ever since.", text)
        self.assertIn("so it may be meant", text)
        self.assertIn("If attention is meant to hold NaN", text)
        self.assertNotIn("was not captured", text)
        self.assertEqual(self.one("story", "masked")["cause"], "unknown")

    def test_credit_of_what_is_not_there_is_one_sentence(self):
        for arguments, words in ((("calm",), "the run has no probes"),
                                 (("probed", "--target", "nothere"), "nothing in the probe is called 'nothere'"),
                                 (("probed", "--target", "fc[9]"), "units, from 0: not 9"),
                                 (("probed", "--step", "10", "--mode", "change"), "none before step 10")):
            done = self.place.baro("credit", *arguments)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(words, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_a_calm_run_has_nothing_wrong_and_says_what_was_looked_at(self):
        text = self.why("calm")
        self.assertIn("Nothing is wrong with tests/calm", text)
        self.assertIn("steps 0 to 59, 1 scalar and 0 tensors", text)
        self.assertEqual(self.one("story", "calm")["answer"], "nothing")
        self.assertIsNone(self.one("story", "calm")["step"])

    def test_one_step_and_no_step_are_no_errors(self):
        self.assertIn("One step is too little", " ".join(self.why("one").split()))
        self.assertIn("Nothing is known of tests/nothing yet", self.why("nothing"))

    def test_an_unknown_run_is_one_sentence(self):
        done = self.place.baro("why", "brokn")
        self.assertEqual(done.returncode, 1)
        self.assertIn("did you mean 'broken'?", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)


class Report(Why):
    def save(self, run, ending):
        path = os.path.join(self.place.dir, run + ending)
        done = self.place.baro("report", run, "-o", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(path, "rb") as file:
            return file.read()

    def setUp(self):
        if not os.path.exists(os.path.join(BUILD, "tools", "baro-report")):
            self.skipTest("built without the viewer's libraries")

    def test_html_stands_alone_with_its_charts(self):
        page = self.save("probed", ".html").decode()
        self.assertIn("exp of 136 is more than", page)
        self.assertGreaterEqual(page.count("<svg"), 1)
        for word in ("<script", "src=", "href=", "@import", "url(http"):
            self.assertNotIn(word, page)
        for picture in re.findall(r"<svg.*?</svg>", page, re.S):
            xml.dom.minidom.parseString(picture)

    def test_png_is_a_picture(self):
        data = self.save("broken", ".png")
        self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
        w, h = struct.unpack(">II", data[16:24])
        self.assertTrue(w >= 800 and h >= 400, (w, h))
        at, pixels = 8, b""
        while at < len(data):
            n, kind = struct.unpack(">I4s", data[at:at + 8])
            pixels += data[at + 8:at + 8 + n] if kind == b"IDAT" else b""
            at += n + 12
        self.assertGreater(len(set(zlib.decompress(pixels))), 32)  # not a blank sheet

    def test_pdf_has_objects_where_its_table_says(self):
        data = self.save("broken", ".pdf")
        self.assertTrue(data.startswith(b"%PDF-1.4") and data.endswith(b"%%EOF\n"))
        table = int(re.search(rb"startxref\n(\d+)", data).group(1))
        self.assertEqual(data[table:table + 4], b"xref")
        for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n", data), 1):
            at = int(offset)
            self.assertTrue(data[at:at + 12].startswith(b"%d 0 obj" % number))
        for n, stream in re.findall(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", data, re.S):
            self.assertEqual(int(n), len(stream))

    def test_a_run_in_which_nothing_is_wrong_has_a_report_too(self):
        self.assertIn("Nothing is wrong", self.save("calm", ".html").decode())
        self.assertTrue(self.save("nothing", ".png").startswith(b"\x89PNG"))

    def test_a_file_that_cannot_be_written_is_named(self):
        done = self.place.baro("report", "calm", "-o", "/nonexistent/r.html")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/r.html", done.stderr)
        done = self.place.baro("report", "calm", "-o", "r.doc")
        self.assertEqual(done.returncode, 2)
        self.assertIn("a report is .html, .png or .pdf", done.stderr)
        self.assertEqual(self.place.baro("report", "calm").returncode, 2)


class Killed(unittest.TestCase):
    def test_a_run_killed_before_any_trouble_says_that_its_numbers_were_fine(self):
        place = Place(BUILD)
        self.addCleanup(place.close)
        self.assertEqual(place.baro("up").returncode, 0)
        run = place.run("victim")
        for step in range(40):
            run.step(step)
            run.scalar("loss", 1.0 / (step + 3))
        run.sync()
        wait_for(lambda: any(one["steps"] == 40 for one in place.json("runs")),
                 "the steps are stored")
        os.kill(run.process.pid, signal.SIGKILL)
        run.kill()
        wait_for(lambda: place.json("runs")[0]["status"] == "killed", "the run is killed")
        self.assertIn("killed", place.baro("why").stdout)


def main():
    loader = unittest.defaultTestLoader
    module = sys.modules["__main__"]
    suite = (loader.loadTestsFromNames(sys.argv[2:], module) if sys.argv[2:]
             else loader.loadTestsFromModule(module))
    is_good = run_tap(suite)
    if Why.place is not None:
        Why.place.close()
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
