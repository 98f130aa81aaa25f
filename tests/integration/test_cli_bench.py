#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baro bench: that it measures, and leaves nothing behind.

usage: test_cli_bench.py BUILD_DIR [CASE...]
"""
import json
import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import Place, main  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])


class Benches(unittest.TestCase):
    """That they measure, not what: figures of a test machine say nothing."""

    def setUp(self):
        self.place = Place(BUILD)
        self.addCleanup(self.place.close)

    def test_benches_report_each_figure_beside_its_limit(self):
        temp = os.path.join(self.place.dir, "temp")
        os.mkdir(temp)
        done = self.place.baro("bench", "ingest", "push", "credit", "--quick", "--json",
                               env={"TMPDIR": temp})
        self.assertEqual(done.returncode, 0, done.stderr)
        figures = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual({figure["bench"] for figure in figures}, {"ingest", "push", "credit"})
        for figure in figures:
            self.assertEqual(set(figure), {"bench", "case", "value", "unit", "limit", "ratio"})
            self.assertGreater(figure["value"], 0)
            if figure["limit"] is not None:
                self.assertAlmostEqual(figure["ratio"], figure["value"] / figure["limit"])
        self.assertEqual(os.listdir(temp), [], "a bench leaves nothing behind")
        # The user's own daemon was never asked, nor started.
        self.assertEqual(self.place.baro("status").returncode, 1)

    def test_benches_of_the_store_run_by_name_on_recorded_series(self):
        temp = os.path.join(self.place.dir, "temp")
        run = os.path.join(self.place.dir, "corpus", "tiny")
        os.mkdir(temp)
        os.makedirs(run)
        for name, row in {"loss.train.f64": struct.pack("<d", 0.5),
                          "weights.a.f64x16": struct.pack("<16d", *range(16)),
                          "weights.a.f32x10": struct.pack("<10f", *range(10))}.items():
            with open(os.path.join(run, name), "wb") as file:
                file.write(row * 300)
        for of in ("scalar", "summary", "units"):
            for name in ("steps", "times"):
                with open(os.path.join(run, f"{name}.{of}.i64"), "wb") as file:
                    file.write(b"".join(struct.pack("<q", 1000 * i) for i in range(300)))
        done = self.place.baro("bench", "store", "size", "range", "memory", "--quick", "--json",
                               "--corpus", os.path.dirname(run), env={"TMPDIR": temp})
        self.assertEqual(done.returncode, 0, done.stderr)
        figures = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual({figure["bench"] for figure in figures},
                         {"store size", "store range", "store memory"})
        self.assertTrue(all(figure["value"] > 0 for figure in figures), figures)
        self.assertEqual(os.listdir(temp), [], "a bench leaves nothing behind")

    def test_a_bench_without_its_recorded_series_says_so(self):
        done = self.place.baro("bench", "store", "size", "--quick", "--corpus", self.place.dir)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no recorded series", done.stderr)


if __name__ == "__main__":
    main()
