#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baro-view itself: screenshots, its window under every video driver, a daemon that comes late.

Prints TAP. usage: test_viewer.py BUILD_DIR SOURCE_DIR [CASE...]
"""
import math
import os
import shutil
import struct
import subprocess
import sys
import time
import unittest

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.join(SOURCE, "tests", "integration"))
from cli_place import DEADLINE_S, GRAD, WEIGHT, Place, run_tap, wait_for  # noqa: E402

VIEWER = os.path.join(BUILD, "client", "baro-view")
N_STEPS = 120
BAD_STEP = 90
N_UNITS = 24


def push_steps(run, first, end):
    for step in range(first, end):
        is_bad = step >= BAD_STEP
        run.step(step)
        run.batch([step, step + 1000])
        run.scalar("loss", math.nan if is_bad else 2 / (1 + step / 20) + 0.1 * math.sin(step * 7))
        run.scalar("lr", 0.001)
        run.scalar("grad_norm", 1 + 0.3 * math.cos(step * 3))
        rows = [[(unit + 1) * 0.1 * (1 + step / 100), -0.2] for unit in range(N_UNITS)]
        if is_bad:
            rows[3][1] = math.nan
        run.tensor("encoder.fc1.weight", WEIGHT, [[0.5 + unit / 10, 0.2] for unit in range(N_UNITS)])
        run.tensor("encoder.fc1.weight", GRAD, rows)
        if step == 40:
            run.event("learning rate halved")


def push_wide(run):
    """So many units that none of them comes but as the daemon chooses."""
    for step in range(12):
        run.step(step)
        run.tensor("wide.weight", WEIGHT,
                   [[9.0 if unit == 4321 and step > 6 else round(1 + math.sin(step + unit), 3)]
                    for unit in range(5000)])
    assert run.close() == 0


def png_size(path):
    with open(path, "rb") as file:
        head = file.read(24)
    assert head[:8] == b"\x89PNG\r\n\x1a\n", path
    return struct.unpack(">II", head[16:24])


class Viewer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place(BUILD)
        cls.place.baro("up")
        push_wide(cls.place.run("wide", project="vae"))
        run = cls.place.run("beta-4", project="vae")
        push_steps(run, 0, N_STEPS)
        assert run.close() == 0
        # What lies in the store for good is rounded (docs/STORAGE.md): a daemon that ends puts all
        # of it there, else it would come to be half a minute later, between two pictures.
        cls.place.baro("down")
        cls.place.baro("up")

    @classmethod
    def tearDownClass(cls):
        cls.place.close()

    def view(self, *arguments, driver=None, wrapper=()):
        env = dict(self.place.env, SDL_VIDEODRIVER=driver or "no-such-driver", TZ="UTC0")
        if driver == "x11":  # libdbus, which SDL opens there, leaks a kilobyte
            env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        return subprocess.run([*wrapper, VIEWER, *arguments], env=env, text=True,
                              timeout=DEADLINE_S, stdin=subprocess.DEVNULL, capture_output=True)

    def shoot(self, name, *arguments, **options):
        path = os.path.join(self.place.dir, name + ".png")
        done = self.view(*arguments, path, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        with open(path, "rb") as file:
            return file.read()

    def refuse(self, code, word, *arguments):
        done = self.view(*arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(word, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_every_page_is_written_in_the_size_asked_for(self):
        for page in "overview", "tensor", "network", "alerts":
            for theme in "dark", "light":
                self.shoot(page, "--page", page, "--theme", theme, "--size", "1280x800",
                           "--screenshot")
                path = os.path.join(self.place.dir, page + ".png")
                self.assertEqual(png_size(path), (1280, 800))
        self.shoot("large", "--size", "1920x1080", "--scale", "2", "--screenshot")
        self.assertEqual(png_size(os.path.join(self.place.dir, "large.png")), (3840, 2160))

    def test_pages_themes_steps_and_statistics_are_different_pictures(self):
        pictures = [self.shoot("p", *arguments, "--screenshot") for arguments in (
            (), ("--theme", "light"), ("--at", "50"), ("--page", "alerts"),
            ("--page", "tensor"), ("--page", "tensor", "--stat", "mean"),
            ("--tensor", "encoder.fc1.weight:weight"))]
        same = [(i, k) for i in range(len(pictures)) for k in range(i)
                if pictures[i] == pictures[k]]
        self.assertEqual(same, [])

    def test_a_layer_wider_than_any_sheet_is_shown_by_the_units_that_the_daemon_chooses(self):
        rest = ("wide", "--tensor", "wide.weight", "--size", "1280x800")
        first = self.shoot("wide", *rest, "--screenshot")
        self.assertEqual(first, self.shoot("wide2", *rest, "--screenshot"))
        others = [self.shoot("other", *rest, *more, "--screenshot")
                  for more in (("--unit", "7"), ("--stat", "abs_max"))]
        self.assertNotIn(first, others)

    def test_the_same_screenshot_twice_is_the_same_bytes(self):
        first = self.shoot("a", "vae/beta-4", "--page", "tensor", "--screenshot")
        self.assertEqual(first, self.shoot("b", "beta-4", "--page", "tensor", "--screenshot"))

    def test_the_window_shows_the_same_bytes_under_every_video_driver(self):
        for page in "overview", "tensor", "network", "alerts":
            rest = ("--page", page, "--size", "1280x800")
            shot = self.shoot("shot", *rest, "--screenshot")
            for driver in "dummy", "offscreen":
                self.assertEqual(shot, self.shoot(driver, *rest, "--scale", "1", "--dump-frame",
                                                  driver=driver), (page, driver))

    @unittest.skipUnless(shutil.which("xvfb-run"), "no xvfb-run here")
    def test_the_window_shows_the_same_bytes_under_x11(self):
        for page in "overview", "tensor":
            rest = ("--page", page, "--size", "1280x800")
            shot = self.shoot("shot", *rest, "--screenshot")
            window = self.shoot("x11", *rest, "--scale", "1", "--dump-frame", driver="x11",
                                wrapper=("xvfb-run", "-a", "-s", "-screen 0 1400x900x24"))
            self.assertEqual(shot, window, page)

    def test_pins_are_there_again_after_a_restart(self):
        state = os.path.join(self.place.dir, "state")
        path = os.path.join(state, "barograph", "view")
        os.makedirs(os.path.dirname(path))
        env = dict(self.place.env, SDL_VIDEODRIVER="dummy", XDG_STATE_HOME=state)

        def is_written_anew():
            """Of a window that was not there yet when it was to end the file is the old one."""
            with open(path, "w", encoding="utf-8") as file:
                file.write("pin loss\npin val/a b\n")
            window = subprocess.Popen([VIEWER], env=env, stdin=subprocess.DEVNULL)
            try:
                window.wait(0.3)
            except subprocess.TimeoutExpired:
                window.terminate()
            window.wait(DEADLINE_S)
            with open(path, encoding="utf-8") as file:
                return file.read().startswith("#")

        wait_for(is_written_anew, "a window has kept what it looked like")
        with open(path, encoding="utf-8") as file:
            pins = [line for line in file.read().splitlines() if line.startswith("pin ")]
        self.assertEqual(pins, ["pin loss", "pin val/a b"])

    def test_a_run_or_tensor_that_is_not_there_is_refused_in_one_sentence(self):
        out = os.path.join(self.place.dir, "never.png")
        self.refuse(1, "no run 'gamma'", "gamma", "--screenshot", out)
        self.refuse(1, "no tensor 'fc9'", "--tensor", "fc9", "--screenshot", out)
        self.assertFalse(os.path.exists(out))

    def test_without_a_daemon_one_sentence_says_how_to_start_one(self):
        out = os.path.join(self.place.dir, "never.png")
        empty = os.path.join(self.place.dir, "empty")
        os.makedirs(empty, exist_ok=True)
        self.refuse(1, "baro up", "--dir", empty, "--screenshot", out)
        self.refuse(1, "/nowhere", "--screenshot", "/nowhere/at/all.png")
        self.assertFalse(os.path.exists(out))

    def test_wrong_options_are_refused_with_what_would_be_right(self):
        self.refuse(2, "did you mean --page", "--pgae", "tensor")
        self.refuse(2, "is not a page: overview, tensor, network", "--page", "ovreview")
        self.refuse(2, "dark or light", "--theme", "blue")
        self.refuse(2, "640x400", "--size", "10x10")
        self.refuse(2, "a step", "--at", "noon")
        self.refuse(2, "number of a unit", "--unit", "-3")
        self.refuse(2, "a statistic", "--stat", "median")
        self.refuse(2, "one run at a time", "a", "b")
        self.assertEqual(self.view("--help").returncode, 0)
        self.assertIn("protocol", self.view("--version").stdout)

    def test_without_a_display_the_sentence_names_the_screenshot(self):
        self.refuse(1, "--screenshot", "--theme", "dark")


class Late(unittest.TestCase):
    """A window that is there before its daemon."""

    def test_a_window_waits_for_its_daemon_and_follows_the_run(self):
        place = Place(BUILD)
        self.addCleanup(place.close)
        out = os.path.join(place.dir, "late.png")
        env = dict(place.env, SDL_VIDEODRIVER="dummy")
        window = subprocess.Popen([VIEWER, "--scale", "1", "--dump-frame", out], env=env,
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.7)  # nothing to wait for: it must still be there without a daemon
        self.assertIsNone(window.poll())
        self.assertFalse(os.path.exists(out))
        place.baro("up")
        run = place.run("late")
        push_steps(run, 0, 20)
        run.sync()
        wait_for(lambda: window.poll() is not None, "the window has shown the run")
        self.assertEqual(window.returncode, 0, window.stderr.read())
        window.stderr.close()
        self.assertEqual(png_size(out), (1440, 900))


def main():
    loader = unittest.TestLoader()
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (Viewer, Late))
    if len(sys.argv) > 3:
        suite = unittest.TestSuite(
            test for group in suite for test in group if test.id().split(".")[-1] in sys.argv[3:])
    return 0 if run_tap(suite) else 1


if __name__ == "__main__":
    sys.exit(main())
