#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baro recover: what killed processes left in their rings.

usage: test_cli_recover.py BUILD_DIR [CASE...]
"""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import Place, main  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])


class Recovering(unittest.TestCase):
    def setUp(self):
        self.place = Place(BUILD)
        self.addCleanup(self.place.close)

    def started_run(self, name, mode):
        run = self.place.run(name, mode=mode)
        for step in range(30):
            run.step(step)
            run.scalar("loss", 1.0 / (1 + step))
        run.step(30)  # and no further: killed in the middle of a step
        run.sync()
        return run

    def killed_run(self, mode="online"):
        run = self.started_run("killed", mode)
        run.kill()
        self.assertTrue(os.path.exists(run.ring))
        return run.id, run.ring

    def test_the_ring_of_a_killed_process_comes_in_and_is_removed(self):
        run_id, ring = self.killed_run()
        done = self.place.baro("recover", "--no-start")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no daemon answers", done.stderr)
        self.assertTrue(os.path.exists(ring), "a ring is only removed when all is acknowledged")
        result, = self.place.json("recover")  # starts a daemon
        self.assertEqual((result["state"], result["run"], result["from"]),
                         ("recovered", run_id, 0))
        self.assertEqual(result["to"], 30)
        self.assertEqual((result["dropped"], result["damaged_bytes"]), (0, 0))
        self.assertFalse(os.path.exists(ring))
        points = self.place.json("get", run_id, "loss")
        self.assertEqual([point["step"] for point in points], list(range(30)))
        self.assertEqual(points[9]["value"], 1.0 / 10)
        self.assertEqual(self.place.json("recover"), [])

    def test_rings_come_in_in_the_order_in_which_their_runs_began(self):
        ids = []
        for i in range(6):
            run = self.place.run(f"run-{i}", mode="offline")
            run.step(0)
            run.scalar("loss", float(i))
            ids.append(run.id)
            run.close(0)
        self.assertEqual([ring["run"] for ring in self.place.json("recover")], ids)
        self.assertEqual([run["id"] for run in self.place.json("runs")], ids[::-1])

    def test_an_offline_run_comes_in_later(self):
        run = self.place.run("offline", mode="offline")
        for step in range(25):
            run.step(step)
            run.scalar("loss", float(step))
        run.close(0)
        self.assertEqual(self.place.baro("up").returncode, 0)
        self.assertEqual(self.place.json("runs"), [])
        text = self.place.baro("recover", run.ring).stdout
        self.assertIn("tests/offline", text)
        self.assertIn("steps 0 to 24", text)
        self.assertEqual(len(self.place.json("get", "offline", "loss")), 25)
        self.assertEqual(self.place.json("runs")[0]["status"], "finished")

    def test_keep_leaves_the_ring_and_twice_is_no_harm(self):
        run_id, ring = self.killed_run("offline")
        self.assertEqual(self.place.json("recover", "--keep")[0]["state"], "kept")
        self.assertEqual(os.listdir(self.place.rings), [os.path.basename(ring)])
        first = self.place.json("get", run_id, "loss")
        again = self.place.json("recover", self.place.rings)[0]
        self.assertEqual((again["state"], again["records"]), ("recovered", 0))
        self.assertEqual(self.place.json("get", run_id, "loss"), first)
        self.assertFalse(os.path.exists(ring))

    def test_the_ring_of_a_living_process_is_left_alone(self):
        run = self.started_run("alive", "offline")
        result, = self.place.json("recover")
        self.assertEqual((result["state"], result["run"]), ("alive", run.id))
        self.assertTrue(os.path.exists(run.ring))
        self.assertIn("pid %d" % run.process.pid, self.place.baro("recover").stdout)
        run.step(31)  # it goes on undisturbed
        run.sync()

    def test_a_file_that_is_no_ring_is_named_and_the_others_come_in(self):
        self.killed_run()
        with open(os.path.join(self.place.rings, "broken.ring"), "wb") as file:
            file.write(b"this is no ring" * 1000)
        done = self.place.baro("recover", "--json")
        self.assertEqual(done.returncode, 1)
        states = sorted(json.loads(line)["state"] for line in done.stdout.splitlines())
        self.assertEqual(states, ["failed", "recovered"])


if __name__ == "__main__":
    main()
