#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judging stored history again: the same as live, bit by bit; rules files; incidents. Prints TAP.

usage: test_replay.py BUILD_DIR
"""
import math
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import GRAD, WEIGHT, Place, main, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
N_STEPS = 260
JUMP, LOST = 200, 206


def noise(step, k=7):
    """Deterministic, between -1 and 1."""
    return math.sin(12.9898 * step + 78.233 * k)


def push(run, steps, is_bad=True):
    """A training whose learning rate jumps, then its gradients, its loss, until it is lost."""
    for step in steps:
        late = is_bad and step >= JUMP
        grown = 10.0 ** min(step - JUMP, 30) if late else 1.0
        run.step(step)
        run.tensor("fc.weight", GRAD,
                   [[0.1 * grown * (1 + 0.1 * noise(step, u))] * 4 for u in range(6)])
        lost = late and step >= LOST
        run.tensor("fc.weight", WEIGHT,
                   [[math.nan if lost else u + 1 + 0.01 * noise(step, u)] * 4 for u in range(6)])
        run.scalar("lr", 1.0 if late else 0.01)
        loss = 3 / (1 + step / 50) * (1 + 0.05 * noise(step))
        run.scalar("loss", math.nan if lost else loss * grown)


class Replayed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place(BUILD)
        cls.addClassCleanup(cls.place.close)
        assert cls.place.baro("up").returncode == 0
        run = cls.place.run("storm")
        push(run, range(N_STEPS))
        assert run.close() == 0
        run = cls.place.run("calm")
        push(run, range(N_STEPS), is_bad=False)
        assert run.close() == 0

    def rules(self, text):
        path = os.path.join(self.place.data, "mine.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def replay(self, *arguments):
        objects = self.place.json("replay", *arguments)
        return objects[:-1], objects[-1]

    def test_a_replay_says_the_same_bit_by_bit(self):
        recorded = self.place.json("alerts", "storm")
        self.assertGreaterEqual(len(recorded), 3)
        found, result = self.replay("storm")
        self.assertEqual(result["differences"], [])
        self.assertIs(result["same_as_recorded"], True)
        alerts = [entry for entry in found if entry["type"] == "alert"]
        for alert in alerts + recorded:
            alert.pop("type", None)
            alert.pop("time_ns")  # the store rounds wall times
        self.assertEqual(alerts, recorded)
        self.assertEqual(result["readings"], N_STEPS * 6)  # two scalars, two tensors, their units
        self.assertAlmostEqual(
            result["alerts_per_million"],
            1e6 * (result["alerts"] + result["more_alerts"]) / result["readings"])

    def test_one_storm_is_one_incident_that_begins_with_its_cause(self):
        incidents = self.place.json("alerts", "storm", "--incidents")
        self.assertEqual(len(incidents), 1, incidents)
        incident = incidents[0]
        self.assertEqual((incident["type"], incident["kind"], incident["step"],
                          incident["severity"]), ("incident", "lr_jump", JUMP, "alarm"))
        self.assertIn("lr was raised from 0.01 to 1 (100-fold)", incident["causes"][0])
        self.assertFalse(incident["is_open"])
        alerts = {alert["id"]: alert for alert in self.place.json("alerts", "storm")}
        steps = [alerts[number]["step"] for number in incident["alerts"]]
        self.assertEqual(steps, sorted(steps))
        text = self.place.baro("alerts", "storm").stdout
        self.assertEqual(text.count("incident"), 1)
        self.assertIn("likely: lr was raised", text)
        every = self.place.baro("alerts", "storm", "--all").stdout
        self.assertEqual(every.count("  step "), len(incident["alerts"]))

    def test_a_calm_run_has_none(self):
        self.assertEqual(self.place.json("alerts", "calm"), [])
        found, result = self.replay("calm")
        self.assertEqual((found, result["alerts"], result["same_as_recorded"]), ([], 0, True))

    def test_other_rules_find_other_things_and_the_difference_is_told(self):
        path = self.rules("[nonfinite]\non = no\n[new high]\nseries = lo?s\ntest = above\n"
                          "limit = 2\ntimes = 2\nwarm_up = 5\n")
        found, result = self.replay("storm", "--rules", path)
        kinds = {entry["kind"] for entry in found if entry["type"] == "alert"}
        self.assertIn("high", kinds)
        self.assertNotIn("nonfinite", kinds)
        self.assertIs(result["same_as_recorded"], False)
        self.assertTrue(any(line.startswith("recorded, not replayed: alert nonfinite at step")
                            for line in result["differences"]), result["differences"])
        self.assertTrue(any(line.startswith("replayed, not recorded: alert high at step")
                            for line in result["differences"]), result["differences"])
        text = self.place.baro("replay", "storm", "--rules", path).stdout
        self.assertIn("same as recorded: no (with other rules)", text)

    def test_rules_that_name_nothing_are_told(self):
        path = self.rules("[new high]\nseries = nothing*\ntest = above\nlimit = 1\n"
                          "[loss_spike on val/*]\non = no\n")
        done = self.place.baro("replay", "calm", "--rules", path)
        self.assertEqual(done.returncode, 0)
        self.assertIn("mine.conf:1: the rule 'high' names nothing: no series fits 'nothing*'",
                      done.stderr)
        self.assertIn("mine.conf:5: no series fits 'val/*'", done.stderr)

    def test_a_wrong_rules_file_is_refused_with_its_line(self):
        path = self.rules("# mine\n[los_spike]\n")
        for command in (["replay", "calm", "--rules", path], ["rules", "--check", path]):
            done = self.place.baro(*command)
            self.assertEqual(done.returncode, 1)
            self.assertIn("mine.conf:2: there is no rule 'los_spike'; is it 'loss_spike'?",
                          done.stderr)

    def test_rules_are_listed_with_their_parameters(self):
        rules = {rule["name"]: rule for rule in self.place.json("rules")}
        self.assertLessEqual({"nonfinite", "loss_spike"}, set(rules))
        self.assertIn("min_score", [p["name"] for p in rules["loss_spike"]["parameters"]])
        path = self.rules("[loss_spike]\nmin_score = 12\n")
        text = self.place.baro("rules", "--check", path).stdout
        self.assertIn("min_score = 12 (default ", text)

    def test_a_run_with_one_step_and_a_run_with_none_are_replayed(self):
        run = self.place.run("short")
        push(run, [7])
        self.assertEqual(run.close(), 0)
        self.assertEqual(self.place.run("empty").close(), 0)
        for name in ("short", "empty"):
            _, result = self.replay(name)
            self.assertEqual((result["alerts"], result["same_as_recorded"]), (0, True), name)

    def test_ranks_are_replayed_bit_by_bit_each_with_its_own_batches(self):
        """Rank 1 gets one batch again and again, and a storm of its own; rank 0 does not."""
        ranks = [self.place.run("ranks", run_id="ranks", rank=rank, n_ranks=2) for rank in (0, 1)]
        for step in range(N_STEPS):
            for rank, run in enumerate(ranks):
                push(run, [step], is_bad=rank == 1)
                at = 150 if rank == 1 and step > 150 else step
                run.batch([1000 * rank + 8 * at + i for i in range(8)])
        for run in ranks:
            self.assertEqual(run.close(), 0)
        recorded = self.place.json("alerts", "ranks")
        repeated = [entry for entry in recorded if entry.get("kind") == "repeated_batch"]
        self.assertEqual({entry["rank"] for entry in repeated}, {1})
        found, result = self.replay("ranks")
        self.assertEqual(result["differences"], [])
        self.assertIs(result["same_as_recorded"], True)
        self.assertTrue(any(entry.get("kind") == "repeated_batch" for entry in found))

    def test_a_resumed_run_says_why_it_may_differ(self):
        for steps in (range(0, 60), range(50, N_STEPS)):
            run = self.place.run("resumed", run_id="again")
            push(run, steps)
            self.assertEqual(run.close(), 0)
        _, result = self.replay("again")
        self.assertEqual(result["may_differ_because"], "the run was resumed")
        self.assertEqual(result["differences"], [])


class Restarted(unittest.TestCase):
    def setUp(self):
        self.place = Place(BUILD)
        self.addCleanup(self.place.close)
        self.assertEqual(self.place.baro("up").returncode, 0)

    def test_a_restart_tells_nothing_twice_and_goes_on_with_the_same_incident(self):
        run = self.place.run("storm")
        push(run, range(LOST + 4))
        run.sync()
        wait_for(lambda: any(alert["kind"] == "nonfinite"
                             for alert in self.place.json("alerts", "storm")), "it is told")
        before = self.place.json("alerts", "storm")
        os.kill(self.place.daemon_pid(), signal.SIGKILL)
        self.assertEqual(self.place.baro("up").returncode, 0)
        push(run, range(LOST + 4, LOST + 44))
        self.assertEqual(run.close(), 0)
        wait_for(lambda: self.place.json("runs")[0]["status"] == "finished", "it has finished")
        after = self.place.json("alerts", "storm")
        self.assertEqual(after[:len(before)], before)
        told = [(alert["kind"], alert["tensor"], alert["role"], alert["step"]) for alert in after]
        self.assertEqual(len(told), len(set(told)))
        incidents = self.place.json("alerts", "storm", "--incidents")
        self.assertEqual(len(incidents), 1, incidents)
        self.assertFalse(incidents[0]["is_open"])

    def test_a_daemon_judges_by_the_rules_file_of_its_folder(self):
        self.assertEqual(self.place.baro("down").returncode, 0)
        with open(os.path.join(self.place.data, "rules.conf"), "w", encoding="utf-8") as file:
            file.write("[nonfinite]\non = no\n")
        self.assertEqual(self.place.baro("up").returncode, 0)
        run = self.place.run("storm")
        push(run, range(N_STEPS))
        self.assertEqual(run.close(), 0)
        kinds = {alert["kind"] for alert in self.place.json("alerts", "storm")}
        self.assertIn("lr_jump", kinds)
        self.assertNotIn("nonfinite", kinds)
        self.assertIs(self.place.json("replay", "storm")[-1]["same_as_recorded"], True)


if __name__ == "__main__":
    main()
