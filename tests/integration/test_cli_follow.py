#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baro tail and alerts that follow a run that goes on.

usage: test_cli_follow.py BUILD_DIR [CASE...]
"""
import json
import math
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import DEADLINE_S, Place, main, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])


class Following(unittest.TestCase):
    def setUp(self):
        self.place = Place(BUILD)
        self.addCleanup(self.place.close)
        self.assertEqual(self.place.baro("up").returncode, 0)

    def start_tail(self, *arguments):
        log = open(os.path.join(self.place.dir, "tail.out"), "w")
        errors = open(os.path.join(self.place.dir, "tail.err"), "w")
        child = self.place.start(*arguments, stdout=log, stderr=errors)
        log.close()
        errors.close()
        self.addCleanup(lambda: child.poll() is None and child.kill())
        return child

    def read(self, name):
        with open(os.path.join(self.place.dir, name)) as file:
            return file.read()

    def entries(self):
        return [json.loads(line) for line in self.read("tail.out").splitlines()
                if line.endswith("}")]

    def push_steps(self, run, steps, pause=0.005):
        for step in steps:
            run.step(step)
            run.scalar("loss", 1.0 / (step + 1))
            run.sync()
            time.sleep(pause)

    def test_tail_misses_no_step_and_ends_with_the_run(self):
        run = self.place.run("live")
        self.push_steps(run, range(20))
        wait_for(lambda: self.place.json("runs"), "the run is known")
        tail = self.start_tail("tail", "live", "--json")
        wait_for(lambda: self.entries(), "the first value is shown")
        self.push_steps(run, range(20, 120))
        run.event("half way")
        run.step(120)
        run.scalar("loss", math.inf)
        self.assertEqual(run.close(), 0)
        self.assertEqual(tail.wait(timeout=DEADLINE_S), 0)
        entries = self.entries()
        steps = [entry["step"] for entry in entries if entry["type"] == "value"]
        self.assertEqual(steps, list(range(steps[0], 121)))
        self.assertIn("half way", [e["text"] for e in entries if e["type"] == "event"])
        self.assertEqual([e["step"] for e in entries if e["type"] == "alert"], [120])
        self.assertEqual(entries[-1]["type"], "status")
        self.assertEqual(entries[-1]["status"], "finished")

    def test_tail_shows_each_value_once_and_the_clients_own_series_only_when_asked_for(self):
        run = self.place.run("slow")
        self.push_steps(run, range(5))
        wait_for(lambda: self.place.json("runs"), "the run is known")
        tail = self.start_tail("tail", "slow", "--json")
        wait_for(lambda: self.entries(), "the first value is shown")
        self.push_steps(run, range(5, 12), pause=0.4)  # longer than a report's two seconds
        self.assertEqual(run.close(), 0)
        self.assertEqual(tail.wait(timeout=DEADLINE_S), 0)
        shown = [(e["name"], e["step"]) for e in self.entries() if e["type"] == "value"]
        self.assertEqual(shown, [("loss", step) for step in range(shown[0][1], 12)])
        shares = self.place.json("get", "slow", "barograph/share")
        self.assertGreaterEqual(len(shares), 1)
        told = self.place.json("tail", "slow", "barograph/share")
        self.assertEqual([e["step"] for e in told if e["type"] == "value"],
                         [point["step"] for point in shares if point["step"] > 1])

    def test_tail_goes_on_when_the_daemon_is_killed_and_started_again(self):
        run = self.place.run("restart")
        self.push_steps(run, range(10))
        wait_for(lambda: self.place.json("runs"), "the run is known")
        tail = self.start_tail("tail", "restart", "--json")
        wait_for(lambda: self.entries(), "the first value is shown")
        os.kill(self.place.daemon_pid(), signal.SIGKILL)
        wait_for(lambda: "is gone" in self.read("tail.err"), "tail says that it is gone")
        self.push_steps(run, range(10, 60))
        self.assertEqual(self.place.baro("up").returncode, 0)
        wait_for(lambda: "is back" in self.read("tail.err"), "tail says that it is back")
        self.push_steps(run, range(60, 80))
        self.assertEqual(run.close(), 0)
        self.assertEqual(tail.wait(timeout=DEADLINE_S), 0)
        steps = {e["step"] for e in self.entries() if e["type"] == "value"}
        self.assertEqual(steps, set(range(80)))

    def test_ctrl_c_ends_tail_cleanly(self):
        run = self.place.run("interrupted")
        self.push_steps(run, range(5))
        wait_for(lambda: self.place.json("runs"), "the run is known")
        code, text = self.place.in_terminal(["tail", "interrupted"], until=b"STEP",
                                 env={"NO_COLOR": "1"})
        self.assertEqual(code, 0)
        self.assertIn("running at step 4", text)
        self.assertNotIn("Traceback", text)
        run.close()

    def test_alerts_are_followed_live(self):
        run = self.place.run("alarming")
        self.push_steps(run, range(5))
        wait_for(lambda: self.place.json("runs"), "the run is known")
        follower = self.start_tail("alerts", "alarming", "--follow", "--json")
        wait_for(lambda: self.place.json("status")[0]["counters"].get("requests", 0) > 0,
                 "requests are counted")
        self.push_steps(run, range(5, 10))
        run.step(10)
        run.scalar("loss", math.nan)
        run.sync()
        alert = wait_for(self.entries, "the alert is shown")[0]
        self.assertEqual((alert["step"], alert["tensor"]), (10, "loss"))
        self.assertIsNone(follower.poll())
        self.assertEqual(run.close(), 0)
        self.assertEqual(follower.wait(timeout=DEADLINE_S), 0)
        self.assertEqual(len(self.entries()), 1)


if __name__ == "__main__":
    main()
