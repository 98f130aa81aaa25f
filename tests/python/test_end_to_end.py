# SPDX-License-Identifier: Apache-2.0
"""The example that breaks, through the real daemon: what is told is where it really began."""
import math
import os
import subprocess
import sys

import tap
import live

EXAMPLE = os.path.join(tap.SOURCE_DIR, "tools", "examples", "vae_digits.py")
DAMAGED = 1234  # as in the example


def example(*arguments):
    done = subprocess.run([sys.executable, EXAMPLE, *arguments], capture_output=True, text=True,
                          timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lost(run):
    """The first alert of a value that is not finite; warnings may have come before it."""
    return [a for a in live.listing("alerts", run["id"]) if a["kind"] == "nonfinite"][0]


def test_the_damaged_image_is_named_where_the_overflow_began():
    for seed in ("0", "7"):
        with live.daemon():
            output = example("--seed", seed, "--name", f"seed{seed}", "--every", "1")
            assert "loss is NaN; stopping" in output, output
            broken = int(output.split("  loss is nan")[0].split()[-1])
            run = live.listing("runs")[0]
            assert run["status"] == "failed" and run["alerts"] >= 2, run
            first = lost(run)
            assert (first["kind"], first["module"], first["role"]) == (
                "nonfinite", "exp_logvar", "act"), first
            assert first["samples"] == [DAMAGED], first
            assert first["step"] == broken - 1, (first, broken)
            assert 0 <= first["unit"] < 8
            probes = {probe["reason"]: probe for probe in live.listing("probes", run["id"])}
            assert probes["regular"]["step"] == 0 and probes["failure"]["is_whole"], probes
            assert probes["failure"]["step"] == first["step"], (probes, first)
            told = live.baro("probes", run["id"], "--step", str(first["step"]))
            assert "0 * inf: nothing comes from above, but the slope of exp at" in told and "exp_logvar" in told, told
            assert 200 <= broken <= 1500
            kinds = {alert["tensor"] for alert in live.listing("alerts", run["id"])}
            assert "loss" in kinds, kinds


def test_the_unit_named_is_the_one_that_overflowed():
    with live.daemon():
        example("--seed", "3", "--every", "1")
        run = live.listing("runs")[0]
        first = lost(run)
        points = live.listing("get", run["id"], f"exp_logvar:act[{first['unit']}]/n_nonfinite")
        bad = [p["step"] for p in points if p["value"] != 0]
        assert bad and bad[0] == first["step"], (bad[:3], first)


def test_every_loss_arrives_as_it_was():
    with live.daemon():
        live.good("""
import barograph
run = barograph.init()
for i in range(500):
    run.log({"loss": [0.1 * i, float("nan"), float("inf"), 1e-310][i % 4]})
""")
        points = live.listing("get", live.the_run()["id"], "loss")
        assert [p["step"] for p in points] == list(range(500))
        for i, point in enumerate(points):
            want = [0.1 * i, "nan", "inf", 1e-310][i % 4]
            got = point["value"]
            assert got == want or (want == "nan" and got == "nan"), (i, got)
            assert not isinstance(got, float) or math.isfinite(got)


def test_numbers_that_come_late_stand_at_their_step():
    with live.daemon():
        live.good("""
import barograph
run = barograph.init()
for i in range(50):
    run.log({"now": i})
    if i >= 3:
        run._push_scalar_at("late", 100.0 + i - 3, i - 3)
""")
        points = live.listing("get", live.the_run()["id"], "late")
        assert [(p["step"], p["value"]) for p in points] == [(i, 100 + i) for i in range(47)]
        assert [p["step"] for p in live.listing("get", live.the_run()["id"], "now")] == list(
            range(50))


def test_what_each_sample_gave_is_kept_and_watched():
    """20 samples in 4 epochs, then all of class 1 are lost: told, and read back one by one."""
    import random
    import barograph
    with live.daemon():
        run = barograph.init(project="samples")
        chance = random.Random(1)
        for step in range(260):
            indices = [(32 * step + i) % 320 for i in range(32)]
            right = [not (i % 4 == 1 and step >= 200) and chance.random() > 0.02 for i in indices]
            run.log({"loss": 1.0 / (1 + step)}, batch=indices, samples={
                "loss": [0.5 + i for i in indices], "correct": right,
                "label": [i % 4 for i in indices]})
        run.finish(timeout=30)
        told = [one for one in live.listing("alerts", run.id) if one.get("kind") == "flips"]
        assert told and "class 1" in told[0]["text"], told
        assert 200 <= told[0]["step"] <= 203, told
        assert all(i % 4 == 1 for i in told[0]["samples"][2:8]), told
        kept = live.listing("get", run.id, "samples[7]")
        assert [one["step"] for one in kept][:3] == [0, 10, 20], kept[:3]
        assert {(one["sample"], one["loss"], one["label"]) for one in kept} == {(7, 7.5, 3)}
        assert len(live.listing("get", run.id, "samples", "--from", "3", "--to", "4")) == 64
        replayed = live.listing("replay", run.id)
        assert replayed[-1]["same_as_recorded"] is True, replayed[-1]


def test_with_hardly_any_budget_the_loss_is_still_told():
    os.environ["BARO_BUDGET"] = "0"
    with live.daemon():
        example()
        run = live.the_run()
        first = lost(run)
        assert first["kind"] == "nonfinite" and first["step"] > 100, first


def test_the_healthy_twin_raises_no_alarm():
    with live.daemon():
        output = example("--healthy", "--steps", "600")
        assert "nan" not in output
        run = live.the_run()
        assert run["status"] == "finished" and run["steps"] == 600
        assert not [a for a in live.listing("alerts", run["id"]) if a["kind"] == "nonfinite"]


if __name__ == "__main__":
    tap.main(globals())
