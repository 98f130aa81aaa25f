# SPDX-License-Identifier: Apache-2.0
"""The back channel: what a person asks reaches a training that wants to hear it, and no other."""
import json
import os
import signal
import subprocess
import sys
import time

import tap
import live

import barograph


def ask(run, *words, check=True):
    """baro control; returns its completed process."""
    done = subprocess.run([tap.built("tools", "baro"), "control", run.id, *words],
                          capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def events(run):
    """(step, text) of all events of a run, in order."""
    text = live.baro("export", run.id, "--output", "-", "--format", "jsonl", "--kind", "events")
    rows = [json.loads(line) for line in text.splitlines()]
    return [(row["step"], row["text"]) for row in rows if row.get("kind") == "event"]


def opened(**options):
    run = barograph.init(project="steered", **options)
    run.log({"loss": 1.0}, step=5)
    live.wait_for(lambda: [one for one in live.listing("runs") if one["id"] == run.id
                           and one["last_step"] == 5])
    return run


def test_a_training_hears_what_is_asked_once_and_answers():
    with live.daemon() as process:
        run = opened(control=True)
        assert not run.should_stop and not run.should_pause and not run.should_dump
        assert run.lr_scale == 1.0

        ask(run, "dump", "--reason", "before the night")
        assert live.wait_for(lambda: run.should_dump)
        assert not run.should_dump

        ask(run, "lr-scale", "0.5")
        ask(run, "lr-scale", "0.1")
        assert live.wait_for(lambda: run.lr_scale != 0.5 and run.lr_scale != 1.0)
        assert abs(run.lr_scale - 0.05) < 1e-15

        ask(run, "pause")
        assert live.wait_for(lambda: run.should_pause)
        quiet = time.monotonic() + 2.2  # two heartbeats: nothing is asked again
        while time.monotonic() < quiet:
            assert run.should_pause and not run.should_dump and abs(run.lr_scale - 0.05) < 1e-15
            time.sleep(0.05)
        ask(run, "resume")
        assert live.wait_for(lambda: not run.should_pause)

        began = time.perf_counter()
        ask(run, "stop")
        asked = time.perf_counter()
        assert live.wait_for(lambda: run.should_stop)
        print(f"# from the start of 'baro control' to should_stop at most "
              f"{(time.perf_counter() - began) * 1e3:.0f} ms, {(asked - began) * 1e3:.0f} ms of "
              "them until it had ended")
        assert run.should_stop
        run.finish()
        assert not run.should_stop and run.lr_scale == 1.0

        told = events(run)
        assert (5, "barograph: control 1: dump, asked by the daemon's owner: "
                "before the night") in told, told
        taken = [text for step, text in told if " taken: " in text]
        assert "control 1 taken: dump" in taken and "control 4 taken: pause" in taken, taken
        assert taken[-2:] == ["control 5 taken: resume", "control 6 taken: stop"], taken
        assert "control 3 taken: learning rate times 0.05 in all" in taken, taken
        done = ask(run, "stop", check=False)
        assert done.returncode == 1 and "the run is over" in done.stderr, done.stderr
        assert process.poll() is None


def test_who_did_not_ask_for_it_is_not_asked():
    with live.daemon():
        run = opened()
        done = ask(run, "stop", check=False)
        assert done.returncode == 1, done.stdout
        assert "this run does not take controls" in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
        assert not run.should_stop and run.lr_scale == 1.0
        run.finish()
        assert not [text for _, text in events(run) if "control" in text]


def test_the_environment_opens_it_and_the_program_may_forbid_it():
    with live.daemon():
        os.environ["BARO_CONTROL"] = "1"
        try:
            run = opened()
            other = opened(control=False)
            ask(run, "stop")
            assert live.wait_for(lambda: run.should_stop)
            assert ask(other, "stop", check=False).returncode == 1
            run.finish()
            other.finish()
        finally:
            del os.environ["BARO_CONTROL"]


def test_what_was_asked_while_the_daemon_was_away_arrives_later():
    with live.daemon() as process:
        run = opened(control=True)
        ask(run, "pause")
        assert live.wait_for(lambda: run.should_pause)
        process.terminate()
        process.wait(timeout=20)
        assert run.should_pause
    with live.daemon():
        live.wait_for(lambda: run.stats()["is_connected"])
        ask(run, "resume")
        assert live.wait_for(lambda: not run.should_pause)
        run.finish()
        assert "control 2 taken: resume" in [text for _, text in events(run)]


def test_what_was_asked_of_a_sleeper_survives_the_daemon():
    code = ("import barograph, time\n"
            "run = barograph.init(project='asleep', control=True)\n"
            "run.log({'loss': 1.0})\nprint(run.id, flush=True)\n"
            "while not run.should_stop: time.sleep(0.01)\n"
            "run.finish()\n")
    with live.daemon() as process:
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        number = child.stdout.readline().strip()
        live.wait_for(lambda: [one for one in live.listing("runs") if one["id"] == number])
        child.send_signal(signal.SIGSTOP)
        live.baro("control", number, "stop")
        process.terminate()
        process.wait(timeout=20)
    with live.daemon():
        child.send_signal(signal.SIGCONT)
        assert child.wait(timeout=30) == 0
        child.stdout.close()
        live.wait_for(lambda: live.the_run()["status"] == "finished")


def test_wrong_words_are_refused():
    with live.daemon():
        run = opened(control=True)
        for words, code, sentence in (
                (("stob",), 2, "did you mean 'stop'?"), (("lr-scale",), 2, "takes the factor"),
                (("lr-scale", "-1"), 2, ""), (("lr-scale", "nan"), 2, "takes the factor"),
                (("lr-scale", "1e9"), 1, "from 1e-06 to 1e+06"), (("stop", "now"), 2, "too much"),
                (("stop", "--reason", "x" * 600), 1, "over 512 bytes")):
            done = ask(run, *words, check=False)
            assert (done.returncode, sentence in done.stderr) == (code, True), (words, done.stderr)
        assert not run.should_stop and run.lr_scale == 1.0
        run.finish()


def test_a_run_that_is_not_recorded_has_the_same_answers():
    run = barograph.init(mode="off", control=True)
    assert (run.should_stop, run.should_pause, run.should_dump, run.lr_scale) == (
        False, False, False, 1.0)
    run = barograph.init(mode="offline", control=True)
    assert (run.should_stop, run.should_pause, run.should_dump, run.lr_scale) == (
        False, False, False, 1.0)
    began = time.perf_counter()
    for _ in range(10000):
        run.should_stop
    print(f"# a look takes {(time.perf_counter() - began) * 1e5:.0f} ns")
    run.finish()


if __name__ == "__main__":
    tap.main(globals())
