# SPDX-License-Identifier: Apache-2.0
"""What tests of baro export stand on: a daemon that keeps all bits, runs, and the files."""
import csv
import json
import math
import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import Place  # noqa: E402

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.join(SOURCE, "lib", "python"))
os.environ["BARO_LIB"] = os.path.join(BUILD, "lib", "push")
os.environ["BARO_AUTOSTART"] = "0"
import barograph  # noqa: E402

HEADER = ["series", "rank", "role", "epoch", "kind", "statistic", "unit", "step", "time_ns", "value"]


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


class Exports(unittest.TestCase):
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
