#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baro export of a store of which a byte has changed: told wherever somebody looks.

usage: test_export_damaged.py BUILD_DIR SOURCE_DIR [CASE...]
"""
import json
import os
import random
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import Place, main  # noqa: E402
from export_files import BUILD, barograph  # noqa: E402


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


if __name__ == "__main__":
    main(2)
