#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baro export of a million points: memory, progress, interruption, a full disk.

usage: test_export_long.py BUILD_DIR SOURCE_DIR [CASE...]
"""
import os
import resource
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import DEADLINE_S, main, wait_for  # noqa: E402
from export_files import BUILD, Exports, HEADER, barograph  # noqa: E402

try:
    import numpy
except ImportError:
    numpy = None

N_LONG = 500000
MAX_RSS_KIB = 96 << 10
with open(os.path.join(BUILD, "tools", "baro"), "rb") as program_file:
    if b"__asan_init" in program_file.read():
        MAX_RSS_KIB *= 4  # what is freed stays for a while


class Long(Exports):
    """A million points: memory, progress, interruption, a full disk."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run = barograph.init(project="tests", name="long", ring_bytes=256 << 20)
        for step in range(N_LONG):
            run.log({"a": step * 0.1, "b": -step}, step=step)
        run.finish(timeout=60)

    def run_measured(self, *arguments):
        """Run baro; returns its exit code and its largest resident size in KiB.

        By way of a small process: what begins as a copy of this one counts as large as this one.
        """
        code = ("import resource, subprocess, sys; "
                "print(subprocess.run(sys.argv[1:], stdout=2).returncode, "
                "resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
        done = subprocess.run([sys.executable, "-S", "-c", code, self.place.program, *arguments],
                              env=self.place.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, timeout=DEADLINE_S)
        return map(int, done.stdout.split())

    def test_a_million_points_need_little_memory_and_come_once(self):
        code, rss = self.run_measured("export", "long", "[ab]", "-o", self.path("a.csv"))
        self.assertEqual(code, 0)
        print("# peak memory of baro export to CSV: %d MiB" % (rss >> 10))
        self.assertLess(rss, MAX_RSS_KIB)
        with open(self.path("a.csv")) as file:
            self.assertEqual(file.readline(), ",".join(HEADER) + "\n")
            for name, factor in (("a", 0.1), ("b", -1)):
                for step in range(N_LONG):
                    fields = file.readline().split(",")
                    if (fields[0], int(fields[7]), float(fields[9])) != (name, step, step * factor):
                        self.fail((name, step, fields))
            self.assertEqual(file.read(), "")
        if numpy is not None:
            code, rss = self.run_measured("export", "long", "-o", self.path("a.npz"))
            self.assertEqual(code, 0)
            print("# peak memory of baro export to .npz: %d MiB" % (rss >> 10))
            self.assertLess(rss, MAX_RSS_KIB)
            file = numpy.load(self.path("a.npz"))
            self.assertTrue((file["a/steps"] == numpy.arange(N_LONG)).all())
            self.assertTrue((file["a/values"] == numpy.arange(N_LONG) * 0.1).all())
            self.assertTrue((file["b/values"] == -numpy.arange(N_LONG)).all())
            self.assertEqual(len(file["step_time/values"]), N_LONG - 1)

    def test_get_prints_a_series_of_any_length(self):
        code, rss = self.run_measured("get", "long", "a", "--csv")
        self.assertEqual(code, 0)
        self.assertLess(rss, MAX_RSS_KIB)
        done = self.place.baro("get", "long", "a", "--csv", "--from", "1000", "--to", "400000")
        lines = done.stdout.splitlines()[1:]
        self.assertEqual([int(line.split(",")[0]) for line in lines], list(range(1000, 400001)))

    def test_a_range_over_several_pages_is_whole(self):
        path, _ = self.export("long", "a.csv", "b", "--from", "99999", "--to", "450000")
        with open(path) as file:
            steps = [int(line.split(",")[7]) for line in file.readlines()[1:]]
        self.assertEqual(steps, list(range(99999, 450001)))

    def test_progress_is_shown_on_a_terminal_only(self):
        code, shown = self.place.in_terminal(["export", "long", "-o", self.path("a.csv")], columns=100)
        self.assertEqual(code, 0, shown)
        self.assertRegex(shown, r"\d+ %  [0-9.]+ [kM] values/s  [0-9.]+ MiB")
        self.assertRegex(shown, r" left")
        self.assertIn("\r\x1b[K", shown)
        self.assertNotIn("%", shown.rsplit("\r\x1b[K", 1)[-1])
        _, said = self.export("long", "b.csv")
        self.assertNotIn("\r", said)
        self.assertNotIn("values/s", said)

    def test_an_interruption_leaves_no_file(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            path = self.path("a.jsonl")
            child = self.place.start("export", "long", "-o", path, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE)
            wait_for(lambda: os.path.exists(path + ".part") and os.path.getsize(path + ".part") > 0
                     or child.poll() is not None, "it writes")
            self.assertIsNone(child.poll(), "it ended before it could be interrupted")
            child.send_signal(number)
            said = child.communicate(timeout=DEADLINE_S)[1].decode()
            self.assertEqual(child.returncode, -number, said)
            self.assertIn("stopped: nothing was written", said)
            self.assertEqual(os.listdir(self.folder), [])

    def test_a_full_disk_is_one_sentence_and_leaves_no_file(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
        for name in ("a.csv", "a.jsonl", "a.npz"):
            done = subprocess.run([self.place.program, "export", "long", "-o", self.path(name)],
                                  env=self.place.env, capture_output=True, text=True,
                                  preexec_fn=limit, timeout=DEADLINE_S)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("File too large", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertEqual(os.listdir(self.folder), [])

    def test_two_at_a_time_do_not_share_a_file(self):
        path = self.path("a.jsonl")
        child = self.place.start("export", "long", "-o", path, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(path + ".part"), "it writes")
        done = self.place.baro("export", "long", "-o", path)
        self.assertEqual(child.wait(timeout=DEADLINE_S), 0)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "another process is writing|is there already")
        self.assertEqual(os.listdir(self.folder), ["a.jsonl"])

    def test_a_daemon_that_goes_away_leaves_no_file(self):
        path = self.path("a.jsonl")
        child = self.place.start("export", "long", "-o", path, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE)
        wait_for(lambda: os.path.exists(path + ".part"), "it writes")
        os.kill(self.place.daemon_pid(), signal.SIGKILL)
        said = child.communicate(timeout=DEADLINE_S)[1].decode()
        self.assertEqual(self.place.baro("up").returncode, 0)
        if child.returncode == 0:
            self.skipTest("it was done before the daemon could be killed")
        self.assertEqual(child.returncode, 1)
        self.assertIn("went away", said)
        self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    main(2)
