# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the alarm measures what it says: its scorer, and a few of its trainings."""
import json
import os
import subprocess
import sys

import tap

sys.path.insert(0, os.path.join(tap.SOURCE_DIR, "tests"))

FAULT = {"kinds": ("dead",), "group": "faulty", "name": "x", "cause": "", "pace": "sudden",
         "is_killed": False}


class Case:
    def __init__(self, **changes):
        self.__dict__.update(FAULT, **changes)


def alert(step, kind="dead", module="fc2", incident=1, **more):
    return dict({"id": step, "step": step, "kind": kind, "module": module, "tensor": module,
                 "unit": -1, "samples": [], "incident": incident}, **more)


def judged(alerts, losses=None, case=None, **truth):
    from faults import score
    known = {"listed": alerts, "seed": 1, "seconds": 0.0, "status": "finished", "n_readings": 1000,
             "losses": losses or [1.0] * 300, "first_step": 0, "replayed": None,
             "truth": dict({"step": 100, "modules": ["fc2"], "unit": None, "sample": None},
                           **truth)}
    return score.score(case or Case(), known)


def test_an_alert_in_time_counts_and_a_late_or_a_wrong_one_does_not():
    found = judged([alert(102)])
    assert found["is_in_time"] and found["delay"] == 2 and found["is_module"], found
    assert not judged([alert(104)])["is_in_time"]
    assert judged([alert(104)])["is_right"]
    wrong = judged([alert(101, kind="saturated")])
    assert not wrong["is_right"] and wrong["others"] == ["saturated"], wrong
    assert not judged([alert(101, module="fc1")])["is_module"]
    assert not judged([])["is_right"]


def test_an_alert_before_the_fault_is_a_false_one():
    found = judged([alert(40), alert(101, incident=2)])
    assert found["n_early"] == 1 and found["n_incidents"] == 2 and found["delay"] == 1, found
    assert not judged([alert(40)])["is_right"]


def test_what_grows_must_be_told_before_the_loss_shows_it():
    from faults import score
    losses = [1.0 + 0.01 * (i % 7) for i in range(150)] + [9.0] * 50
    assert score.loss_shows(losses, 100) == 150
    assert score.loss_shows([1.0 + 0.01 * (i % 7) for i in range(200)], 100) is None
    assert score.loss_shows([1.0] * 120 + [float("nan")], 100) == 120
    slow = Case(pace="slow")
    found = judged([alert(140)], losses, slow)
    assert found["is_in_time"] and found["lead"] == 10, found
    assert not judged([alert(150)], losses, slow)["is_in_time"]


def test_samples_and_units_are_compared_with_the_truth():
    found = judged([alert(100, unit=2, samples=[7])], unit=2, sample=7)
    assert found["is_unit"] and found["is_sample"], found
    found = judged([alert(100, unit=3, samples=[8])], unit=2, sample=7)
    assert not found["is_unit"] and not found["is_sample"], found


def test_a_part_of_the_benchmark_runs_and_healthy_trainings_stay_quiet():
    for part in (("daemon", "barod"), ("tools", "baro")):
        tap.built(*part)
    done = subprocess.run([sys.executable, os.path.join(tap.SOURCE_DIR, "tools", "faults"),
                           "--quick", "--json", "--build", tap.BUILD_DIR], capture_output=True,
                          text=True, timeout=200)
    if done.returncode == 77:
        raise tap.Skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(row) for row in done.stdout.splitlines()]
    runs = {one["name"]: one for one in told if "name" in one}
    summary = next(one for one in told if "summary" in one)
    assert len(runs) == 9 and summary["n_healthy"] == 3 and summary["n_faulty"] == 6, summary
    assert summary["healthy_alerts"] == 0 and summary["healthy_readings"] > 30000, told
    late = [one for one in runs.values() if one["group"] == "faulty" and not one["is_in_time"]]
    assert not late, late
    assert runs["bloom"]["step"] <= 31216 and runs["bloom"]["n_early"] == 0, runs["bloom"]
    for name in ("nan_in_data", "log_of_zero"):
        assert runs[name]["is_module"] and runs[name]["is_sample"], runs[name]


if __name__ == "__main__":
    tap.main(globals())
