#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Notes on a run's moments: written, listed, removed, kept, inherited and exported.

usage: test_note.py BUILD_DIR [CASE...]
"""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import Place, main, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])


class Notes(unittest.TestCase):
    def setUp(self):
        self.place = Place(BUILD)
        self.addCleanup(self.place.close)
        self.assertEqual(self.place.baro("up").returncode, 0)
        run = self.place.run("one")
        for step in range(30):
            run.step(step)
            run.scalar("loss", 1.0 / (step + 1))
        self.assertEqual(run.close(), 0)
        wait_for(lambda: self.place.json("runs")[0]["status"] == "finished", "the run is over")

    def refuse(self, code, words, *arguments):
        done = self.place.baro("note", *arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(words, done.stderr)

    def facts(self):
        return [(note["id"], note["step"], note["text"]) for note in self.place.json("note", "one")]

    def test_notes_are_listed_in_order_of_steps_and_kept_over_a_restart(self):
        self.assertIn("no notes", self.place.baro("note", "one").stdout)
        self.assertIn("note 1 at step 29", self.place.baro("note", "one", "the", "end").stdout)
        self.place.baro("note", "one", "--step", "7", "here the data changed: größer")
        self.assertIn("note 3 at step 12", self.place.baro("note", "one", "--step", "12").stdout)
        expected = [(2, 7, "here the data changed: größer"), (3, 12, None), (1, 29, "the end")]
        self.assertEqual(self.facts(), expected)
        listed = self.place.baro("note", "one").stdout
        self.assertLess(listed.index("größer"), listed.index("(a mark)"))
        self.place.baro("down")
        self.place.baro("up")
        self.assertEqual(self.facts(), expected)
        self.assertIn("removed note 2", self.place.baro("note", "one", "--remove", "2").stdout)
        self.refuse(1, "no note 2", "one", "--remove", "2")
        self.place.baro("down")
        self.place.baro("up")
        self.assertEqual(self.facts(), [(3, 12, None), (1, 29, "the end")])
        self.place.baro("note", "one", "a number is not given twice")
        self.assertEqual(max(fact[0] for fact in self.facts()), 4)
        self.assertEqual(self.place.baro("verify").returncode, 0)

    def test_pruning_of_readings_leaves_notes_and_an_export_has_them(self):
        self.place.baro("note", "one", "--step", "7", "kept")
        self.assertEqual(self.place.baro("prune", "one").returncode, 0)
        self.assertEqual(self.facts(), [(1, 7, "kept")])
        path = os.path.join(self.place.dir, "out.jsonl")
        done = self.place.baro("export", "one", "-o", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(path, encoding="utf-8") as file:
            notes = [line for line in map(json.loads, file) if line.get("kind") == "note"]
        self.assertEqual([(note["step"], note["text"]) for note in notes], [(7, "kept")])
        self.assertEqual(self.place.baro("prune", "--all", "one").returncode, 0)
        self.refuse(1, "no run", "one")
        self.assertEqual(self.place.baro("verify").returncode, 0)

    def test_what_is_no_note_is_refused_in_a_sentence(self):
        self.refuse(2, "1000 bytes, not 1001", "one", "x" * 1001)
        self.refuse(2, "nothing else", "one", "--remove", "1", "text")
        self.refuse(2, "from 1", "one", "--remove", "0")
        self.refuse(1, "no note 99", "one", "--remove", "99")
        self.refuse(1, "no run 'nobody'", "nobody", "hello")
        self.assertEqual(self.facts(), [])


if __name__ == "__main__":
    main()
