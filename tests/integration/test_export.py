#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baro export against a real barod, fed through the Python client: every bit comes back.

usage: test_export.py BUILD_DIR SOURCE_DIR [CASE...]
"""
import csv
import json
import math
import os
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import DEADLINE_S, GRAD, Place, run_tap, wait_for  # noqa: E402

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.join(SOURCE, "lib", "python"))
os.environ["BARO_LIB"] = os.path.join(BUILD, "lib", "push")
os.environ["BARO_AUTOSTART"] = "0"
import barograph  # noqa: E402

try:
    import numpy
except ImportError:
    numpy = None

HEADER = ["series", "rank", "role", "epoch", "kind", "statistic", "unit", "step", "time_ns", "value"]
N_LONG = 500000
MAX_RSS_KIB = 96 << 10
with open(os.path.join(BUILD, "tools", "baro"), "rb") as program_file:
    if b"__asan_init" in program_file.read():
        MAX_RSS_KIB *= 4  # what is freed stays for a while


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def from_bits(number):
    return struct.unpack("<d", struct.pack("<Q", number))[0]


def special_values():
    """Doubles that are easily lost, and a few thousand random bit patterns."""
    some = [0.0, -0.0, 1.0, 0.1, 1 / 3, -2.5e-5, 5e-324, -5e-324, 2.2250738585072009e-308,
            2.2250738585072014e-308, 1.7976931348623157e308, 1e15, 999999999999999.0,
            1e16 + 2, 123456789012345680.0, 9007199254740993.0, -9.5, 1e22, 1e23, math.pi,
            math.inf, -math.inf, math.nan, from_bits(0x7ff8000000000123),
            from_bits(0xfff8000000000001), float(numpy.float32(0.1)) if numpy else 0.5]
    generator = random.Random(7)
    return some + [from_bits(generator.getrandbits(64)) for _ in range(3000)]


class Files(unittest.TestCase):
    """What stands on one daemon that keeps all bits, and several runs."""

    @classmethod
    def setUpClass(cls):
        cls.place = Place(BUILD)
        program = os.path.join(cls.place.dir, "barod")
        with open(program, "w") as file:
            file.write('#!/bin/sh\nexec "%s" --exact "$@"\n'
                       % os.path.join(BUILD, "daemon", "barod"))
        os.chmod(program, 0o755)
        cls.place.env["BARO_BAROD"] = program
        done = cls.place.baro("up")
        assert done.returncode == 0, done.stderr
        os.environ.update(BARO_DIR=cls.place.data, BARO_RING_DIR=cls.place.rings)

    @classmethod
    def tearDownClass(cls):
        cls.place.close()

    def setUp(self):
        self.folder = os.path.join(self.place.dir, self.id().rsplit(".", 1)[-1])
        os.mkdir(self.folder)

    # ---- pushing and exporting ----

    def init(self, name, **options):
        return barograph.init(project="tests", name=name, **{"ring_bytes": 64 << 20, **options})

    def path(self, name):
        return os.path.join(self.folder, name)

    def export(self, run, name, *arguments):
        """Export; returns the file's path and what was said on standard error."""
        path = self.path(name)
        done = self.place.baro("export", run, *arguments, "-o", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(os.path.exists(path + ".part"))
        return path, done.stderr

    def read_csv(self, path):
        with open(path, newline="") as file:
            rows = list(csv.reader(file))
        self.assertEqual(rows[0], HEADER)
        return [dict(zip(HEADER, row)) for row in rows[1:]]

    def read_jsonl(self, path):
        with open(path) as file:
            return [json.loads(line) for line in file]

    def fails(self, code, *arguments, says=()):
        done = self.place.baro("export", *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        for words in says:
            self.assertIn(words, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 2 if code == 2 else 1, done.stderr)
        self.assertEqual(os.listdir(self.folder), [])
        return done

    def check_value(self, expected, text):
        """Text gives back all bits, but those of a NaN."""
        value = float(text)
        if math.isnan(expected):
            self.assertEqual(text, "nan")
        else:
            self.assertEqual(bits(value), bits(expected), (text, expected))

    # ---- values ----

    def test_values_come_back_with_all_their_bits(self):
        values = special_values()
        run = self.init("bits")
        for step, value in enumerate(values):
            run.log({"x": value}, step=step)
        run.finish(timeout=30)
        rows = self.read_csv(self.export("bits", "a.csv", "x")[0])
        lines = self.read_jsonl(self.export("bits", "a.jsonl", "x")[0])[1:]
        got = self.place.baro("get", "bits", "x", "--csv").stdout.splitlines()[1:]
        self.assertEqual([len(rows), len(lines), len(got)], [len(values)] * 3)
        for step, value in enumerate(values):
            self.assertEqual(rows[step]["step"], str(step))
            self.assertEqual(lines[step]["step"], step)
            self.assertEqual(int(rows[step]["time_ns"]), lines[step]["time_ns"])
            self.check_value(value, rows[step]["value"])
            self.check_value(value, got[step].split(",")[2])
            number = lines[step]["value"]
            self.assertEqual(isinstance(number, str), not math.isfinite(value))
            self.check_value(value, number if isinstance(number, str) else repr(float(number)))
        if numpy is not None:
            file = numpy.load(self.export("bits", "a.npz", "x")[0])
            self.assertEqual(file["x/values"].dtype, numpy.dtype("<f8"))
            self.assertEqual([bits(value) for value in file["x/values"]],
                             [bits(value) for value in values])
            self.assertEqual(list(file["x/steps"]), list(range(len(values))))
            self.assertEqual(list(file["x/times_ns"]), [line["time_ns"] for line in lines])

    def test_steps_that_repeat_and_go_back_stay_in_order_of_arrival(self):
        steps = [5, 5, 3, 9, 2, 2, 2**62, 0, 7]
        run = self.init("order")
        for index, step in enumerate(steps):
            run.log({"x": float(index)}, step=step)
        run.finish(timeout=30)
        for row, (index, step) in zip(self.read_csv(self.export("order", "a.csv", "x")[0]),
                                      enumerate(steps), strict=True):
            self.assertEqual((row["step"], row["value"]), (str(step), str(index)))
        lines = self.read_jsonl(self.export("order", "a.jsonl", "x", "--from", "3", "--to", "7")[0])
        self.assertEqual([line["step"] for line in lines[1:]], [5, 5, 3, 7])
        if numpy is not None:
            self.assertEqual(list(numpy.load(self.export("order", "a.npz", "x")[0])["x/steps"]), steps)

    @unittest.skipIf(numpy is None, "no numpy")
    def test_statistics_of_tensors_and_units_are_the_same_in_every_form(self):
        n_units, n_rows = 12, 40
        generator = numpy.random.default_rng(3)
        pushed = generator.standard_normal((n_rows, n_units, 16)).astype("f4")
        pushed[7, 3, 5], pushed[8, 2, 1], pushed[9, 0, 0] = math.nan, math.inf, 1e-42
        pushed[10] = 0
        run = self.init("tensors")
        for step in range(n_rows):
            run.tensor("fc1.weight", pushed[step], role="grad", unit_axis=0)
            run.log({}, step=step)
        run.finish(timeout=30)
        file = numpy.load(self.export("tensors", "a.npz", "--kind", "all")[0])
        rows = self.read_csv(self.export("tensors", "a.csv", "fc1*", "--kind", "summaries,units")[0])
        lines = self.read_jsonl(self.export("tensors", "a.jsonl", "--kind", "all")[0])
        units = numpy.abs(pushed).max(axis=2)
        good = numpy.isfinite(pushed).all(axis=(1, 2))
        self.assertTrue((file["fc1.weight:grad/units/abs_max"][good] == units[good]).all())
        self.assertEqual(file["fc1.weight:grad/units/mean"].shape, (n_rows, n_units))
        self.assertEqual(file["fc1.weight:grad/units/mean"].dtype, numpy.dtype("<f4"))
        self.assertEqual(file["fc1.weight:grad/n_nan"].sum(), 1)
        self.assertEqual(file["fc1.weight:grad/units/n_nonfinite"][7, 3], 1)
        n_read = 0
        for row in rows + [line for line in lines if line["kind"] in ("summary", "units")]:
            self.assertEqual((row["series"], row["role"]), ("fc1.weight", "grad"))
            step = int(row["step"])
            if row["kind"] == "units":
                array = file["fc1.weight:grad/units/" + row["statistic"]]
                expected, value = array[step, int(row["unit"])], numpy.float32(row["value"])
                self.assertTrue(expected.view("u4") == value.view("u4")
                                or numpy.isnan(expected) and numpy.isnan(value), row)
            else:
                expected = float(file["fc1.weight:grad/" + row["statistic"]][step])
                self.assertTrue(bits(expected) == bits(float(row["value"]))
                                or math.isnan(expected) and math.isnan(float(row["value"])), row)
            n_read += 1
        self.assertEqual(n_read, 2 * n_rows * (16 + 5 * n_units))
        self.check_histograms(file, [line for line in lines if line["kind"] == "histogram"], pushed)

    def check_histograms(self, file, lines, pushed):
        ends = file["fc1.weight:grad/histogram/ends"]
        self.assertEqual(len(lines), len(pushed))
        for step, line in enumerate(lines):
            begin = int(ends[step - 1]) if step > 0 else 0
            bins = [list(map(int, three)) for three in zip(
                *(file["fc1.weight:grad/histogram/" + name][begin:int(ends[step])]
                  for name in ("exponents", "signs", "counts")))]
            self.assertEqual(line["bins"], bins)
            self.assertNotIn("statistic", line)
            values = pushed[step][numpy.isfinite(pushed[step]) & (pushed[step] != 0)]
            self.assertEqual(sum(count for _, _, count in bins), values.size)

    @unittest.skipIf(numpy is None, "no numpy")
    def test_wide_rows_of_many_pages_are_whole(self):
        n_units, n_rows = 6000, 400  # 120 kB a row: three pages
        weights = (numpy.arange(n_units * 2, dtype="f4").reshape(n_units, 2) % 251)
        run = self.init("wide", ring_bytes=256 << 20)
        for step in range(n_rows):
            run.tensor("w", weights + step, role="weight", unit_axis=0)
            run.log({}, step=step)
        run.finish(timeout=60)
        path, _ = self.export("wide", "a.npz", "w:weight/abs_max", "--kind", "units")
        whole, _ = self.export("wide", "b.npz", "w:weight", "--kind", "units")
        part, _ = self.export("wide", "c.npz", "w:weight", "--kind", "units", "--from", "100",
                              "--to", "299")
        expected = (weights.max(axis=1)[None, :] + numpy.arange(n_rows)[:, None]).astype("f4")
        self.assertEqual(numpy.load(path).files[1:],
                         ["w:weight/units/steps", "w:weight/units/times_ns",
                          "w:weight/units/abs_max"])
        for name, (first, end) in ((path, (0, 400)), (whole, (0, 400)), (part, (100, 300))):
            file = numpy.load(name)
            self.assertEqual(list(file["w:weight/units/steps"]), list(range(first, end)))
            self.assertTrue((file["w:weight/units/abs_max"] == expected[first:end]).all())
        for step in (0, 100, 399):
            self.assertTrue((numpy.load(whole)["w:weight/units/n_nonfinite"][step] == 0).all())
            mean = numpy.load(whole)["w:weight/units/mean"][step]
            self.assertTrue(numpy.allclose(mean, (weights + step).mean(axis=1), rtol=1e-6))

    # ---- what is in the file ----

    def test_the_first_line_tells_the_run_and_what_was_left_out(self):
        run = self.init("header", config={"lr": 1e-3, "name": "a\nb", "deep": {"x": [1, 0.1]}})
        for step in range(3):
            run.log({"loss": 1.0 / (step + 1)}, step=step, batch=[step, step + 10])
            run.tensor("w", [[1.0, 2.0], [3.0, 4.0]], role="weight", unit_axis=0) \
                if numpy is None else run.tensor("w", numpy.ones((2, 2), "f4"), "weight", 0)
        run.event('half, "quoted"\nline', level="watch")
        run.finish(timeout=30, status="failed", text="out of memory")
        path, said = self.export("header", "a.jsonl")
        lines = self.read_jsonl(path)
        self.assertEqual(lines[0]["kind"], "run")
        self.assertEqual(lines[0]["config"], {"lr": 1e-3, "name": "a\nb", "deep": {"x": [1, 0.1]}})
        self.assertEqual((lines[0]["name"], lines[0]["status"]), ("header", "failed"))
        self.assertEqual(len(said.splitlines()), 1)
        for word in ("left out: statistics of units, histograms, batches; ", "--kind all"):
            self.assertIn(word, said)
            self.assertIn(word, lines[0]["notes"][0])
        by_kind = {line["kind"]: line for line in lines}
        self.assertEqual(set(by_kind), {"run", "scalar", "step", "summary", "event", "end", "alert"})
        self.assertEqual(by_kind["alert"]["rule"], "failed")
        self.assertEqual(by_kind["event"]["text"], 'half, "quoted"\nline')
        self.assertEqual(by_kind["event"]["level"], "watch")
        self.assertEqual((by_kind["end"]["status"], by_kind["end"]["reason"]),
                         ("failed", "out of memory"))
        lines = self.read_jsonl(self.export("header", "b.jsonl", "--kind", "batches,events")[0])
        self.assertEqual([line["samples"] for line in lines if line["kind"] == "batch"],
                         [[0, 10], [1, 11], [2, 12]])
        if numpy is not None:
            file = numpy.load(self.export("header", "a.npz", "--kind", "all")[0])
            self.assertEqual(json.loads(bytes(file["run"]))["config"]["lr"], 1e-3)
            self.assertEqual(json.loads(bytes(file["events"]).splitlines()[0])["text"],
                             'half, "quoted"\nline')
            self.assertEqual(list(file["batches/samples"]), [0, 10, 1, 11, 2, 12])
            self.assertEqual(list(file["batches/ends"]), [2, 4, 6])

    def test_results_of_samples_are_written_whole(self):
        run = self.init("results")
        for step in range(3):
            run.log({"loss": 1.0}, step=step, batch=[7, 8], samples={
                "loss": [0.25, 0.5 + step], "correct": [1, 0], "label": [3, 4]})
        run.log({"loss": 1.0}, step=3, batch=[9], samples={"correct": [1]})
        run.finish(timeout=30)
        path, said = self.export("results", "a.jsonl")
        self.assertIn("results of samples", said)
        rows = [line["results"] for line in self.read_jsonl(
            self.export("results", "b.jsonl", "--kind", "results")[0]) if line["kind"] == "results"]
        self.assertEqual(rows[1], [{"sample": 7, "loss": 0.25, "correct": True, "label": 3},
                                   {"sample": 8, "loss": 1.5, "correct": False, "label": 4}])
        self.assertEqual(rows[3], [{"sample": 9, "loss": None, "correct": True, "label": None}])
        if numpy is not None:
            file = numpy.load(self.export("results", "a.npz", "--kind", "results")[0])
            self.assertEqual(list(file["results/ends"]), [2, 4, 6, 7])
            self.assertEqual(list(file["results/samples"]), [7, 8, 7, 8, 7, 8, 9])
            self.assertEqual(list(file["results/losses"][:6]), [0.25, 0.5, 0.25, 1.5, 0.25, 2.5])
            self.assertTrue(math.isnan(file["results/losses"][6]))
            self.assertEqual(list(file["results/correct"]), [1, 0, 1, 0, 1, 0, 1])
            self.assertEqual(list(file["results/labels"]), [3, 4, 3, 4, 3, 4, -1])

    def test_alerts_go_with_the_run(self):
        run = self.init("alerts")
        for step in range(20):
            run.log({"loss": math.nan if step == 11 else 1.0}, step=step)
        run.finish(timeout=30)
        wait_for(lambda: self.place.json("alerts", "alerts"), "the alert is there")
        lines = self.read_jsonl(self.export("alerts", "a.jsonl")[0])
        alerts = [line for line in lines if line["kind"] == "alert"]
        self.assertEqual([(alert["rule"], alert["step"]) for alert in alerts], [("nonfinite", 11)])
        self.assertTrue(alerts[0]["text"])
        lines = self.read_jsonl(self.export("alerts", "b.jsonl", "--to", "10")[0])
        self.assertEqual([line for line in lines if line["kind"] == "alert"], [])

    def test_a_pattern_chooses_series_and_statistics(self):
        place = self.place
        run = place.run("chosen")
        for step in range(5):
            run.step(step)
            run.scalar("loss", 1.0)
            run.scalar("eval/loss", 2.0)
            run.scalar("lr[0]", 3.0)
            run.tensor("fc1.weight", GRAD, [[1.0, 2.0], [3.0, 4.0]])
        self.assertEqual(run.close(), 0)

        def chosen(*arguments):
            rows = self.read_csv(self.export("chosen", "x.csv", *arguments, "--force")[0])
            return {(row["series"], row["statistic"]) for row in rows}
        self.assertEqual(chosen("*loss"), {("loss", ""), ("eval/loss", "")})
        self.assertEqual(chosen("lr[0]"), {("lr[0]", "")})
        self.assertEqual(chosen("*:grad/l?"), {("fc1.weight", "l1"), ("fc1.weight", "l2")})
        self.assertEqual(chosen("step_time"), {("step_time", "")})
        self.assertEqual(len(chosen("fc1*")), 16)
        self.assertEqual(len(chosen()), 16 + 4)
        self.assertEqual(chosen("*l2", "--kind", "units"), {("fc1.weight", "l2")})

    def test_names_and_ranks_are_told_apart(self):
        names = ["a,b", 'say "hi"', "β/γ", "../up", "/root", "back\\slash"]
        for rank in (0, 1):
            run = self.init("names", run_id="names-run", rank=rank, n_ranks=2)
            run.log({name: rank + 0.5 for name in names}, step=0)
            run.finish(timeout=30)
        rows = self.read_csv(self.export("names", "a.csv")[0])
        self.assertEqual({(row["series"], row["rank"], row["value"]) for row in rows
                          if row["kind"] == "scalar"},
                         {(name, str(rank), str(rank + 0.5)) for name in names for rank in (0, 1)})
        lines = self.read_jsonl(self.export("names", "a.jsonl")[0])
        self.assertEqual({(line["series"], line["rank"]) for line in lines
                          if line["kind"] == "scalar"},
                         {(name, rank) for name in names for rank in (0, 1)})
        if numpy is not None:
            path, _ = self.export("names", "a.npz")
            file = numpy.load(path)
            self.assertEqual((file["β/γ/values"][0], file["β/γ@1/values"][0]), (0.5, 1.5))
            self.assertEqual(file["%2E%2E/up@1/values"][0], 1.5)
            for name in file.zip.namelist():  # unpacking stays within its folder
                self.assertFalse(name.startswith("/") or ".." in name.split("/") or "\\" in name, name)

    @unittest.skipIf(numpy is None, "no numpy")
    def test_epochs_of_a_series_are_told_apart(self):
        run = self.init("epochs")
        for step, n_units in enumerate((4, 4, 6, 6, 6)):
            run.tensor("w", numpy.full((n_units, 2), step, "f4"), role="grad", unit_axis=0)
            run.log({}, step=step)
        run.finish(timeout=30)
        file = numpy.load(self.export("epochs", "a.npz", "--kind", "summaries,units")[0])
        self.assertEqual(file["w:grad/units/mean"].tolist(), [[0] * 4, [1] * 4])
        self.assertEqual(file["w:grad#2/units/mean"].tolist(), [[2] * 6, [3] * 6, [4] * 6])
        rows = self.read_csv(self.export("epochs", "a.csv", "w:grad/max")[0])
        self.assertEqual([(row["epoch"], row["step"]) for row in rows],
                         [("1", "0"), ("1", "1"), ("2", "2"), ("2", "3"), ("2", "4")])
        rows = self.read_csv(self.export("epochs", "b.csv", "w:grad#2/max")[0])
        self.assertEqual([row["step"] for row in rows], ["2", "3", "4"])

    def test_a_run_under_way_is_written_as_far_as_it_is(self):
        run = self.init("alive")
        for step in range(200):
            run.log({"loss": float(step)}, step=step)
        wait_for(lambda: [r for r in self.place.json("runs") if r["name"] == "alive"
                          and self.n_points("alive") >= 200], "the readings are there")
        rows = self.read_csv(self.export("alive", "a.csv", "loss")[0])
        self.assertEqual([row["value"] for row in rows], [str(step) for step in range(200)])
        run.log({"loss": 200.0}, step=200)
        run.finish(timeout=30)
        rows = self.read_csv(self.export("alive", "b.csv", "loss")[0])
        self.assertEqual(len(rows), 201)

    def n_points(self, run):
        done = self.place.baro("get", run, "loss", "--csv")
        return len(done.stdout.splitlines()) - 1 if done.returncode == 0 else 0

    def test_a_branch_has_what_it_inherited_once(self):
        for first, end, base, options in ((0, 100, 0.0, {}),
                                          (60, 120, 1000.0, {"resume": "branch", "resume_step": 60})):
            run = self.init("tree", run_id="tree-run", **options)
            for step in range(first, end):
                run.log({"loss": base + step}, step=step)
            run.finish(timeout=30)
        rows = self.read_csv(self.export("tree-run", "a.csv", "loss")[0])
        self.assertEqual([(int(row["step"]), float(row["value"])) for row in rows],
                         [(step, float(step)) for step in range(60)]
                         + [(step, 1000.0 + step) for step in range(60, 120)])
        header = self.read_jsonl(self.export("tree-run", "a.jsonl")[0])[0]
        self.assertEqual((header["parent"], header["branch_step"]), ("tree-run~1", 60))
        header = self.read_jsonl(self.export("tree-run~1", "b.jsonl")[0])[0]
        self.assertEqual((header["parent"], header["branch_step"]), (None, None))
        rows = self.read_csv(self.export("tree-run~1", "b.csv", "loss")[0])
        self.assertEqual([int(row["step"]) for row in rows], list(range(100)))

    def test_pruned_readings_are_told_and_not_made_up(self):
        run = self.init("pruned")
        for step in range(9000):
            run.log({"loss": 0.5}, step=step)
        run.event("stays")
        run.finish(timeout=30)
        wait_for(lambda: "readings" in self.place.baro("prune", "pruned").stdout, "it is pruned")
        path, said = self.export("pruned", "a.jsonl")
        lines = self.read_jsonl(path)
        self.assertRegex(said, r"[0-9]+ of the oldest readings were pruned")
        self.assertRegex(lines[0]["notes"][-1], r"9000 of the oldest readings were pruned")
        self.assertEqual([line["text"] for line in lines if line["kind"] == "event"], ["stays"])
        n_left = sum(line["kind"] == "scalar" for line in lines)
        self.assertEqual(n_left, 0)
        done = self.place.baro("export", "pruned", "loss", "-o", self.path("b.csv"))
        self.assertEqual((done.returncode, os.listdir(self.folder)), (1, ["a.jsonl"]))
        self.assertIn("were pruned", done.stderr)
        self.assertIn("9000", self.place.baro("get", "pruned", "loss").stderr)

    # ---- standard output, names of files ----

    def test_standard_output_has_nothing_but_the_data(self):
        run = self.init("stdout")
        run.log({"loss": 0.25}, step=0)
        run.finish(timeout=30)
        done = self.place.baro("export", "stdout", "loss", "-o", "-", "--format", "csv")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], ",".join(HEADER))
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[1].startswith("loss,0,,1,scalar,,,0,"))
        self.fails(2, "stdout", "-o", "-", says=["-o - needs --format csv or --format jsonl"])
        self.fails(2, "stdout", "-o", "-", "--format", "npz", says=["standard output"])

    def test_a_file_that_is_there_is_replaced_only_by_force(self):
        run = self.init("force")
        run.log({"loss": 0.25}, step=0)
        run.finish(timeout=30)
        path = self.path("a.csv")
        with open(path, "w") as file:
            file.write("mine")
        done = self.place.baro("export", "force", "-o", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is there already; --force replaces it", done.stderr)
        self.assertEqual(os.listdir(self.folder), ["a.csv"])
        with open(path) as file:
            self.assertEqual(file.read(), "mine")
        with open(path + ".part", "w") as file:
            file.write("left by a killed process" * 1000)
        self.export("force", "a.csv", "loss", "--force")
        self.assertEqual(len(self.read_csv(path)), 1)
        self.assertEqual(os.listdir(self.folder), ["a.csv"])

    # ---- bad input ----

    def test_what_cannot_be_is_told_in_one_sentence(self):
        run = self.init("bad")
        for step in range(10):
            run.log({"loss": 0.25, "accuracy": 0.5}, step=step)
        run.finish(timeout=30)
        path = self.path("a.csv")
        self.fails(2, "bad", says=["give -o FILE.csv"])
        self.fails(2, "bad", "-o", self.path("a.xlsx"), says=[".csv, .jsonl or .npz"])
        self.fails(2, "bad", "-o", self.path("csv"), says=[".csv, .jsonl or .npz"])
        self.fails(2, "bad", "-o", self.path("a.parquet"), says=["Parquet"])
        self.fails(2, "bad", "-o", path, "--format", "xml", says=["csv, jsonl and npz"])
        self.fails(2, "bad", "-o", path, "--from", "9", "--to", "8", says=["--from 9 is behind --to 8"])
        self.fails(2, "bad", "-o", path, "--kind", "scalar", says=["did you mean 'scalars'?"])
        self.fails(2, "bad", "-o", path, "--kind", "alerts", says=[".jsonl and .npz do"])
        self.fails(1, "bda", "-o", path, says=["did you mean 'bad'?"])
        self.fails(1, "bad", "accurate", "-o", path, says=["did you mean 'accuracy'?"])
        self.fails(1, "bad", "grad*", "-o", path, says=["'loss'", "'accuracy'", "'step_time'"])
        self.fails(1, "bad", "loss", "--kind", "units", "-o", path, says=["'loss'"])
        self.fails(1, "bad", "loss", "--from", "10", "-o", path, says=["its steps are 0 to 9"])
        self.fails(1, "bad", "-o", self.path("no/such/a.csv"), says=["No such file or directory"])
        self.fails(1, "bad", "-o", "/dev/null", "--format", "csv", says=["no plain file"])
        self.fails(1, "bad", "-o", self.folder, "--format", "csv", says=["is a folder"])
        done = self.place.baro("export", "bad", "loss", "--from", "10", "-o", "-", "--format", "csv")
        self.assertEqual((done.returncode, done.stdout), (1, ""))

    def test_a_run_without_readings_is_told(self):
        run = self.place.run("empty")
        run.sync()
        wait_for(lambda: [r for r in self.place.json("runs") if r["name"] == "empty"], "it is there")
        done = self.place.baro("export", "empty", "-o", self.path("a.csv"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("no readings yet", done.stderr)
        self.assertEqual(os.listdir(self.folder), [])


class Long(Files):
    """A million points: memory, progress, interruption, a full disk."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run = barograph.init(project="tests", name="long", ring_bytes=256 << 20)
        for step in range(N_LONG):
            run.log({"a": step * 0.1, "b": -step}, step=step)
        run.finish(timeout=60)

    def run_measured(self, *arguments):
        """Run baro; returns its exit code and its largest resident size in KiB.

        By way of a small process: what begins as a copy of this one counts as large as this one.
        """
        code = ("import resource, subprocess, sys; "
                "print(subprocess.run(sys.argv[1:], stdout=2).returncode, "
                "resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
        done = subprocess.run([sys.executable, "-S", "-c", code, self.place.program, *arguments],
                              env=self.place.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, timeout=DEADLINE_S)
        return map(int, done.stdout.split())

    def test_a_million_points_need_little_memory_and_come_once(self):
        code, rss = self.run_measured("export", "long", "[ab]", "-o", self.path("a.csv"))
        self.assertEqual(code, 0)
        print("# peak memory of baro export to CSV: %d MiB" % (rss >> 10))
        self.assertLess(rss, MAX_RSS_KIB)
        with open(self.path("a.csv")) as file:
            self.assertEqual(file.readline(), ",".join(HEADER) + "\n")
            for name, factor in (("a", 0.1), ("b", -1)):
                for step in range(N_LONG):
                    fields = file.readline().split(",")
                    if (fields[0], int(fields[7]), float(fields[9])) != (name, step, step * factor):
                        self.fail((name, step, fields))
            self.assertEqual(file.read(), "")
        if numpy is not None:
            code, rss = self.run_measured("export", "long", "-o", self.path("a.npz"))
            self.assertEqual(code, 0)
            print("# peak memory of baro export to .npz: %d MiB" % (rss >> 10))
            self.assertLess(rss, MAX_RSS_KIB)
            file = numpy.load(self.path("a.npz"))
            self.assertTrue((file["a/steps"] == numpy.arange(N_LONG)).all())
            self.assertTrue((file["a/values"] == numpy.arange(N_LONG) * 0.1).all())
            self.assertTrue((file["b/values"] == -numpy.arange(N_LONG)).all())
            self.assertEqual(len(file["step_time/values"]), N_LONG - 1)

    def test_get_prints_a_series_of_any_length(self):
        code, rss = self.run_measured("get", "long", "a", "--csv")
        self.assertEqual(code, 0)
        self.assertLess(rss, MAX_RSS_KIB)
        done = self.place.baro("get", "long", "a", "--csv", "--from", "1000", "--to", "400000")
        lines = done.stdout.splitlines()[1:]
        self.assertEqual([int(line.split(",")[0]) for line in lines], list(range(1000, 400001)))

    def test_a_range_over_several_pages_is_whole(self):
        path, _ = self.export("long", "a.csv", "b", "--from", "99999", "--to", "450000")
        with open(path) as file:
            steps = [int(line.split(",")[7]) for line in file.readlines()[1:]]
        self.assertEqual(steps, list(range(99999, 450001)))

    def test_progress_is_shown_on_a_terminal_only(self):
        code, shown = self.place.in_terminal(["export", "long", "-o", self.path("a.csv")], columns=100)
        self.assertEqual(code, 0, shown)
        self.assertRegex(shown, r"\d+ %  [0-9.]+ [kM] values/s  [0-9.]+ MiB")
        self.assertRegex(shown, r" left")
        self.assertIn("\r\x1b[K", shown)
        self.assertNotIn("%", shown.rsplit("\r\x1b[K", 1)[-1])
        _, said = self.export("long", "b.csv")
        self.assertNotIn("\r", said)
        self.assertNotIn("values/s", said)

    def test_an_interruption_leaves_no_file(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            path = self.path("a.jsonl")
            child = self.place.start("export", "long", "-o", path, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE)
            wait_for(lambda: os.path.exists(path + ".part") and os.path.getsize(path + ".part") > 0
                     or child.poll() is not None, "it writes")
            self.assertIsNone(child.poll(), "it ended before it could be interrupted")
            child.send_signal(number)
            said = child.communicate(timeout=DEADLINE_S)[1].decode()
            self.assertEqual(child.returncode, -number, said)
            self.assertIn("stopped: nothing was written", said)
            self.assertEqual(os.listdir(self.folder), [])

    def test_a_full_disk_is_one_sentence_and_leaves_no_file(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
        for name in ("a.csv", "a.jsonl", "a.npz"):
            done = subprocess.run([self.place.program, "export", "long", "-o", self.path(name)],
                                  env=self.place.env, capture_output=True, text=True,
                                  preexec_fn=limit, timeout=DEADLINE_S)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("File too large", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertEqual(os.listdir(self.folder), [])

    def test_two_at_a_time_do_not_share_a_file(self):
        path = self.path("a.jsonl")
        child = self.place.start("export", "long", "-o", path, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(path + ".part"), "it writes")
        done = self.place.baro("export", "long", "-o", path)
        self.assertEqual(child.wait(timeout=DEADLINE_S), 0)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "another process is writing|is there already")
        self.assertEqual(os.listdir(self.folder), ["a.jsonl"])

    def test_a_daemon_that_goes_away_leaves_no_file(self):
        path = self.path("a.jsonl")
        child = self.place.start("export", "long", "-o", path, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE)
        wait_for(lambda: os.path.exists(path + ".part"), "it writes")
        os.kill(self.place.daemon_pid(), signal.SIGKILL)
        said = child.communicate(timeout=DEADLINE_S)[1].decode()
        self.assertEqual(self.place.baro("up").returncode, 0)
        if child.returncode == 0:
            self.skipTest("it was done before the daemon could be killed")
        self.assertEqual(child.returncode, 1)
        self.assertIn("went away", said)
        self.assertEqual(os.listdir(self.folder), [])


class Rounded(unittest.TestCase):
    """A daemon as it is by default."""

    def test_rounding_of_unit_statistics_is_told(self):
        place = Place(BUILD)
        self.addCleanup(place.close)
        self.assertEqual(place.baro("up").returncode, 0)
        run = place.run("rounded")
        run.step(0)
        run.tensor("w", GRAD, [[0.1, 0.2], [0.3, 0.4]])
        self.assertEqual(run.close(), 0)
        path = os.path.join(place.dir, "a.jsonl")
        done = place.baro("export", "rounded", "--kind", "units", "-o", path)
        self.assertEqual(done.returncode, 0)
        self.assertIn("2^-13", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        with open(path) as file:
            header = json.loads(file.readline())
        self.assertFalse(header["is_exact"])
        self.assertIn("2^-13", header["notes"][0])


class Damaged(unittest.TestCase):
    """A store of which a byte has changed."""

    def test_damage_is_told_and_all_else_is_in_the_file(self):
        place = Place(BUILD)
        self.addCleanup(place.close)
        self.assertEqual(place.baro("up").returncode, 0)
        generator = random.Random(11)
        values = [generator.gauss(0, 1) for _ in range(60000)]
        os.environ.update(BARO_DIR=place.data, BARO_RING_DIR=place.rings)
        run = barograph.init(project="tests", name="damaged", ring_bytes=64 << 20)
        for step, value in enumerate(values):
            run.log({"loss": value}, step=step)
        run.finish(timeout=30)
        self.assertEqual(place.baro("down").returncode, 0)  # which seals
        store = os.path.join(place.data, "store.mdb")
        with open(store, "rb") as file:
            data = bytearray(file.read())
        chunks = [at for at in range(0, len(data), 8) if data[at:at + 4] == b"BARC"]
        self.assertGreater(len(chunks), 4)
        for at in chunks:  # of the chunks some are step times, some summaries
            data[at + 200] ^= 1
        spared = chunks[len(chunks) // 2]
        data[spared + 200] ^= 1
        with open(store, "wb") as file:
            file.write(data)
        self.assertEqual(place.baro("up").returncode, 0)
        path = os.path.join(place.dir, "a.jsonl")
        done = place.baro("export", "damaged", "--kind", "scalars,steps", "-o", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("this is not in the file; all else is", done.stderr)
        with open(path) as file:
            lines = [json.loads(line) for line in file]
        got = {line["step"]: line["value"] for line in lines
               if line["kind"] == "scalar" and line["series"] == "loss"}
        self.assertLess(len(got), len(values))
        for step, value in got.items():
            self.assertEqual(value, values[step])
        said = [line["text"] for line in lines if line["kind"] == "damage"]
        self.assertEqual(lines[-1]["kind"], "damage")
        for text in said:
            self.assertIn(text, done.stderr)
        self.assertTrue(any(text.startswith("step times: steps") for text in said), said)
        named = self.ranges(said, r"^'loss', values: steps (\d+) to (\d+) \((\d+) points\)")
        self.assertEqual(set(range(len(values))) - set(got), named)
        self.check_get(place, values, got, named)
        self.check_marks(place)

    def ranges(self, sentences, pattern):
        """The steps that sentences name."""
        steps = set()
        for sentence in sentences:
            match = re.match(pattern, sentence)
            if match:
                first, last, n = map(int, match.groups())
                self.assertEqual(n, last - first + 1)
                steps.update(range(first, last + 1))
        return steps

    def check_get(self, place, values, got, named):
        done = place.baro("get", "damaged", "loss", "--csv")
        self.assertEqual(done.returncode, 1)
        self.assertIn("'loss', values: steps %d to " % min(named), done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 1 + len(got))
        whole = next(step for step in range(len(values)) if step in got)
        last = next(step for step in range(whole, len(values) + 1) if step not in got)
        done = place.baro("get", "damaged", "loss", "--from", str(whole), "--to", str(last - 1))
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def check_marks(self, place):
        """It shows wherever somebody looks, and once in the log."""
        self.assertIn("damaged has readings that cannot be read any more",
                      place.baro("runs").stdout.replace(place.json("runs")[0]["id"], "damaged"))
        self.assertEqual(place.json("runs")[0]["damaged"], 2)
        self.assertEqual(place.json("status")[0]["damaged"], 2)
        self.assertIn("2 lists of readings cannot be read in full", place.baro("status").stdout)
        with open(os.path.join(place.data, "barod.log")) as file:
            log = [line for line in file if "cannot be read" in line]
        self.assertEqual(len(log), 2, log)
        self.assertTrue(any("some values of 'loss' cannot be read" in line for line in log), log)


# Long inherits the helpers of Files, not its cases.
for name in [name for name in dir(Files) if name.startswith("test_")]:
    setattr(Long, name, None)


def suite():
    loader = unittest.TestLoader()
    tests = unittest.TestSuite()
    for case in (Files, Long, Rounded, Damaged):
        for test in loader.loadTestsFromTestCase(case):
            if callable(getattr(case, test._testMethodName, None)) and (
                    not sys.argv[3:] or any(word in test.id() for word in sys.argv[3:])):
                tests.addTest(test)
    return tests


if __name__ == "__main__":
    began = time.monotonic()
    is_good = run_tap(suite())
    print("# %.1f s" % (time.monotonic() - began))
    sys.exit(0 if is_good else 1)
