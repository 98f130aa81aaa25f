#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Room and damage with a real barod: the quota, baro prune, baro verify. Prints TAP.

usage: test_upkeep.py BUILD_DIR [CASE...]
"""
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import Place, main, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
MIB = 1 << 20
N_SERIES = 12
N_NAMES = 3000


class Upkeep(unittest.TestCase):
    def setUp(self):
        self.place = Place(BUILD)
        self.daemon = None
        self.random = random.Random(7)
        self.addCleanup(self.place.close)
        self.addCleanup(self.end_daemon)

    # ---- a daemon with options ----

    def start_daemon(self, *options):
        os.makedirs(self.place.data, mode=0o700, exist_ok=True)
        log = open(self.log_path(), "a", encoding="utf-8")
        self.daemon = subprocess.Popen(
            [os.path.join(BUILD, "daemon", "barod"), "--dir", self.place.data, *options],
            env=self.place.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        wait_for(lambda: self.place.daemon_pid() == self.daemon.pid, "barod answers")

    def end_daemon(self, number=signal.SIGTERM):
        if self.daemon is not None:
            self.daemon.send_signal(number)
            self.daemon.wait(timeout=60)
            self.daemon = None

    def log_path(self):
        return os.path.join(self.place.data, "barod.log")

    def log(self):
        with open(self.log_path(), encoding="utf-8") as file:
            return file.read()

    def store_path(self):
        return os.path.join(self.place.data, "store.mdb")

    def file_bytes(self):
        try:
            return os.stat(self.store_path()).st_size
        except FileNotFoundError:
            return 0

    def status(self):
        return self.place.json("status")[0]

    # ---- runs ----

    def push(self, name, n_steps, run=None, first=0):
        """A run of noisy scalars, no faster than the daemon takes them."""
        run = run or self.place.run(name, run_id=name)
        for step in range(first, first + n_steps, 2000):
            end = min(step + 2000, first + n_steps)
            run.noise(step, end, N_SERIES, self.random.getrandbits(32))
            run.sync()
            self.await_steps(name, end - 1)
        return run

    def await_steps(self, name, step):
        def is_there():
            return any(run["id"] == name and run["last_step"] >= step
                       for run in self.place.json("runs"))
        wait_for(is_there, "step %d of %s has come" % (step, name))

    def finish(self, name, n_steps):
        run = self.push(name, n_steps)
        self.assertEqual(run.close(), 0)
        wait_for(lambda: self.run_info(name)["status"] == "finished", name + " is over")

    def run_info(self, name):
        return next((run for run in self.place.json("runs") if run["id"] == name), None)

    def settle(self):
        """Wait until the store has packed what it was given."""
        last = [None, 0]

        def is_quiet():
            now = self.status()["store_bytes"] - self.status()["free_bytes"]
            last[1] = last[1] + 1 if now == last[0] else 0
            last[0] = now
            return last[1] > 10
        wait_for(is_quiet, "the store is quiet")

    def fails(self, code, *arguments, says=()):
        done = self.place.baro(*arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for text in says:
            self.assertIn(text, done.stderr)
        return done

    # ---- cases ----

    def test_the_quota_holds_and_ingest_goes_on(self):
        quota = 2 * MIB
        self.start_daemon("--quota", "2M")
        sizes = []
        is_over = threading.Event()

        def watch():
            while not is_over.is_set():
                sizes.append(self.file_bytes())
                time.sleep(0.005)
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for i in range(3):
                self.finish("run%d" % i, 7000)
            going = self.push("going", 6000)
        finally:
            is_over.set()
            watcher.join()
        self.assertLessEqual(max(sizes), quota)
        status = self.status()
        self.assertIsNone(status["trouble"])
        self.assertEqual(status["quota_bytes"], quota)
        self.assertGreater(status["counters"]["records_pruned"], 0)
        self.assertGreater(status["counters"]["bytes_pruned"], 0)
        self.assertIn("'tests/run0' gave up its oldest readings, to keep within the quota of "
                      "2.0 MiB", self.log())
        wait_for(lambda: len(self.place.baro("get", "going", "series3", "--from", "5990",
                                             "--json").stdout.splitlines()) == 10,
                 "the newest readings are there")
        self.assertEqual(going.close(), 0)
        done = self.place.baro("verify")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_small_quota_takes_runs_that_push_faster_than_it_commits(self):
        self.start_daemon("--quota", "2M")
        for name in ("fast0", "fast1"):
            run = self.place.run(name, run_id=name)
            run.noise(0, 16000, N_SERIES, self.random.getrandbits(32))
            run.close()
            wait_for(lambda n=name: (self.run_info(n) or {}).get("last_step") == 15999,
                     "all of " + name + " is taken")
        self.assertIsNone(self.status()["trouble"])
        self.assertLessEqual(self.file_bytes(), 2 * MIB)

    def test_a_store_larger_than_its_quota_is_brought_down_at_the_start(self):
        self.start_daemon()
        for i in range(3):
            self.finish("run%d" % i, 14000)
        self.end_daemon()
        before = self.file_bytes()
        self.assertGreater(before, 2 * MIB)
        self.start_daemon("--quota", "2M")
        wait_for(lambda: self.file_bytes() <= 2 * MIB, "the file has shrunk")
        wait_for(lambda: "the store was larger than its quota" in self.log(), "it is said")
        self.assertEqual(self.place.baro("verify").returncode, 0)
        self.finish("after", 2000)
        self.assertLessEqual(self.file_bytes(), 2 * MIB)

    def test_prune_says_what_would_go_and_then_does_it(self):
        self.start_daemon()
        for i in range(3):
            self.finish("run%d" % i, 8000)
        going = self.push("going", 2000)
        self.settle()
        self.fails(2, "prune", says=["prune what? name runs, or a size with --to"])
        self.fails(2, "prune", "--all", says=["prune what?"])
        self.fails(2, "prune", "--to", "many", says=["'many' is not a size"])
        self.fails(2, "prune", "run0", "--all", "--to", "1M", says=["leave --to away"])
        self.fails(1, "prune", "rum0", says=["no run 'rum0'; did you mean 'run0'?"])
        used = self.place.json("prune", "run0", "run1", "run2", "-n")[-1]["bytes_before"]
        goal = str(used * 3 // 4)
        dry = self.place.baro("prune", "--to", goal, "--dry-run")
        self.assertEqual(dry.returncode, 0, dry.stderr)
        self.assertIn("run0", dry.stdout)
        self.assertIn("the oldest go first; summaries of them stay", dry.stdout)
        self.assertIn("would stay: all of ", dry.stdout)
        self.assertIn("in use: ", dry.stdout)
        self.assertEqual(self.place.json("prune", "--to", goal, "--dry-run")[-1]["bytes_before"],
                         self.place.json("prune", "--to", goal, "-n")[-1]["bytes_before"])
        named = self.place.baro("prune", "run0", "run1", "run2", "going", "--dry-run").stdout
        self.assertIn("would stay: of the runs above the summaries", named)
        *items, total = self.place.json("prune", "run1", "--dry-run")
        self.assertEqual([item["id"] for item in items], ["run1"])
        self.assertEqual(items[0]["what"], "readings")
        self.assertTrue(total["dry_run"])
        done = self.place.json("prune", "run1")
        self.assertEqual(done[0]["records"], items[0]["records"])
        self.assertFalse(done[-1]["is_short"])
        told = total["bytes_before"] - total["bytes_after"]
        freed = done[-1]["bytes_before"] - done[-1]["bytes_after"]
        self.assertLess(abs(told - freed), 0.2 * freed, (told, freed))
        series = {thing["name"]: thing for thing in self.place.json("series", "run1")}
        self.assertEqual(len(series), N_SERIES)
        drawn = self.place.baro("get", "run1", "series1", "--columns", "4", "--json")
        points = [json.loads(line) for line in drawn.stdout.splitlines()]
        self.assertEqual(sum(point["count"] for point in points if "count" in point), 8000)
        self.assertEqual(going.close(), 0)
        self.assertEqual(self.place.baro("verify").returncode, 0)

    def test_a_run_is_removed_whole_and_its_number_stays_free(self):
        self.start_daemon()
        self.finish("old", 3000)
        self.finish("other", 500)
        going = self.push("going", 500)
        follower = self.place.start("tail", "old", "--follow", stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE)
        self.addCleanup(follower.stdout.close)
        self.addCleanup(follower.stderr.close)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        self.fails(1, "prune", "going", "--all", says=["run 'going' has not ended"])
        removed = self.place.json("prune", "old", "--all")
        self.assertEqual(removed[0]["what"], "run")
        self.assertEqual([run["id"] for run in self.place.json("runs")], ["going", "other"])
        self.fails(1, "series", "old", says=["no run 'old'"])
        self.finish("next", 300)
        self.assertEqual([run["id"] for run in self.place.json("runs")],
                         ["next", "going", "other"])
        self.assertEqual(going.close(), 0)
        self.end_daemon()
        self.start_daemon()
        self.assertEqual([run["id"] for run in self.place.json("runs")],
                         ["next", "going", "other"])
        self.assertEqual(self.run_info("other")["steps"], 500)
        self.finish("old", 300)
        self.assertEqual(self.run_info("old")["steps"], 300)
        self.assertEqual(self.place.baro("verify").returncode, 0)
        self.assertEqual(self.status()["counters"]["runs_removed"], 0)

    def test_a_reader_that_stops_does_not_make_the_file_grow(self):
        self.start_daemon()
        self.finish("kept", 20000)
        self.settle()
        reader = self.place.start("export", "kept", "-o", "-", "--format", "csv",
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(reader.stdout.close)
        self.addCleanup(reader.stderr.close)
        self.addCleanup(reader.wait)
        self.addCleanup(reader.kill)
        wait_for(lambda: reader.stdout.read(4096), "the export has begun")
        reader.send_signal(signal.SIGSTOP)
        sizes = []
        for i in range(4):
            self.finish("come%d" % i, 4000)
            self.assertEqual(self.place.baro("prune", "come%d" % i, "--all").returncode, 0)
            sizes.append(self.file_bytes())
        self.assertLess(max(sizes), sizes[0] + MIB)
        reader.send_signal(signal.SIGCONT)

    def test_verify_says_what_is_damaged(self):
        self.start_daemon()
        self.finish("good", 4000)
        self.finish("bad", 4000)
        self.end_daemon()
        self.assertEqual(self.place.baro("verify", "--no-start").returncode, 1)
        done = self.place.baro("verify")  # starts a daemon
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("all is well", done.stdout)
        self.assertEqual(self.place.json("verify")[-1]["damages"], 0)
        self.place.baro("down")
        with open(self.store_path(), "r+b") as file:
            content = file.read()
            at = content.find(b"BARC")
            while at >= 0:  # chunks of old that lie in free pages, too
                file.seek(at + 80)
                file.write(bytes([content[at + 80] ^ 0x20]))
                at = content.find(b"BARC", at + 4)
        self.start_daemon()
        done = self.place.baro("verify")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stdout,
                         r"tests/\w+ \(\w+\) 'series\d+', values: steps \d+ to \d+ \(\d+ points\) "
                         r"cannot be read")
        self.assertIn("what is not named above can be read", done.stdout)
        failed = self.place.baro("verify", "--json")
        self.assertEqual(failed.returncode, 1)
        lines = [json.loads(line) for line in failed.stdout.splitlines()]
        self.assertGreater(lines[-1]["damages"], 0)
        self.assertIn(lines[0]["id"], ("good", "bad"))
        self.assertTrue(any(line.get("to_step") == 3999 for line in lines))
        code, text = self.place.in_terminal(["verify"])
        self.assertEqual(code, 1)
        self.assertIn("piece", text)
        self.finish("after", 500)  # and it goes on

    def test_verify_and_prune_go_on_beside_ingest(self):
        self.start_daemon()
        self.finish("old", 6000)
        run = self.place.run("busy", run_id="busy")
        is_over = threading.Event()

        def train():
            step = 0
            while not is_over.is_set():
                run.step(step)
                run.scalar("loss", self.random.random())
                step += 1
                if step % 500 == 0:
                    run.sync()
                    time.sleep(0.01)
        trainer = threading.Thread(target=train)
        trainer.start()
        try:
            for _ in range(5):
                self.assertEqual(self.place.baro("verify").returncode, 0)
            self.assertEqual(self.place.baro("prune", "old").returncode, 0)
            self.assertEqual(self.place.baro("verify").returncode, 0)
            self.assertEqual(self.place.baro("prune", "old", "--all").returncode, 0)
            self.assertEqual(self.place.baro("verify").returncode, 0)
        finally:
            is_over.set()
            trainer.join()
        self.assertEqual(run.close(), 0)
        self.assertIsNone(self.status()["trouble"])

    def resume(self, name, way, first, n_steps):
        env = dict(self.place.env)
        self.place.env.update(BARO_RESUME=way, BARO_RESUME_STEP=str(first))
        run = self.place.run(name, run_id=name)
        self.place.env = env
        self.push(name, n_steps, run=run, first=first)
        self.assertEqual(run.close(), 0)
        wait_for(lambda: self.run_info(name)["status"] == "finished", name + " is over")

    def test_a_run_that_a_branch_shows_goes_with_the_branch_and_it_is_told(self):
        self.start_daemon()
        self.finish("job", 6000)
        self.finish("plain", 6000)
        self.resume("job", "overwrite", 4000, 3000)
        *items, _ = self.place.json("prune", "--to", "96K", "--dry-run")
        readings = [item for item in items if item["what"] == "readings"]
        self.assertEqual([item["id"] for item in readings], ["plain", "job~1", "job"])
        self.assertIn("the oldest go first", readings[0]["reason"])
        self.assertIn("goes with 'job', which shows its steps before 4000 and was active later",
                      readings[1]["reason"])
        series = self.place.json("series", "job")[0]
        self.assertEqual((series["points"], series["inherited"], series["inherited_is_estimate"],
                          series["inherited_pruned"]), (7000, 4000, True, 0))
        self.assertIn("~4000 inherited", self.place.baro("series", "job").stdout)
        item = self.place.json("prune", "job~1")[0]
        self.assertIn("'job' loses its steps before 4000 with it", item["reason"])
        self.assertEqual(self.place.json("series", "job")[0]["inherited_pruned"], 4000)
        self.assertIn("~4000 inherited, pruned", self.place.baro("series", "job").stdout)
        done = self.place.baro("get", "job", "series0", "--csv")
        self.assertEqual(len(done.stdout.splitlines()), 1 + 3000)
        self.assertIn("the first 4000 readings were pruned", done.stderr)
        item = self.place.json("prune", "job", "--all", "--dry-run")[0]
        self.assertIn("only its own steps go, those before 4000 are those of 'job~1'",
                      item["reason"])
        self.place.json("prune", "job", "--all")
        self.assertEqual([(run["id"], run["steps"]) for run in self.place.json("runs")],
                         [("plain", 6000), ("job", 6000)])

    def test_a_quota_full_of_what_must_stay_is_told_and_ingest_goes_on_with_more(self):
        self.start_daemon("--quota", "1M")
        run = self.place.run("many", run_id="many")
        for first in range(0, 2 * N_NAMES, N_NAMES):
            for k in range(first, first + N_NAMES):
                run.scalar("a.long.name.of.a.series.that.stays.%d" % k, k)
            run.step(first)
        run.sync()
        words = "the quota of 1.0 MiB is reached and nothing may give way any more"
        wait_for(lambda: words in (self.status()["trouble"] or ""), "it is told")
        self.assertIn("raise --quota, or remove runs", self.place.baro("status").stdout)
        time.sleep(2.5)  # the daemon tries again each second ...
        self.assertLessEqual(self.log().count("cannot commit"), 2)  # ... and does not say so
        self.assertLessEqual(self.file_bytes(), MIB)
        self.end_daemon()
        self.start_daemon("--quota", "32M")
        self.assertEqual(run.close(), 0)
        wait_for(lambda: len(self.place.json("series", "many")) == 2 * N_NAMES, "all has come")
        self.assertIsNone(self.status()["trouble"])
        done = self.place.baro("verify")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_exactness_is_told(self):
        self.start_daemon("--exact")
        self.assertTrue(self.status()["is_exact"])
        self.assertIn("every bit kept", self.place.baro("status").stdout)
        for line in self.log().splitlines():
            self.assertRegex(line, r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ (info|warn|error) \w+: ")
        self.end_daemon()
        self.start_daemon()
        self.assertFalse(self.status()["is_exact"])


if __name__ == "__main__":
    main()
