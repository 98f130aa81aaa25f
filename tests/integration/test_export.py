#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baro export against a real barod, fed through the Python client: every bit comes back.

usage: test_export.py BUILD_DIR SOURCE_DIR [CASE...]
"""
import json
import math
import os
import random
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import GRAD, Place, main, wait_for  # noqa: E402
from export_files import BUILD, HEADER, Exports, bits  # noqa: E402

try:
    import numpy
except ImportError:
    numpy = None


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


class Files(Exports):
    """What stands on one daemon that keeps all bits, and several runs."""

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


if __name__ == "__main__":
    main(2)
