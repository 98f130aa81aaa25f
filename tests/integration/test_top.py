#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""baro top in a pseudo terminal and without one.

usage: test_top.py BUILD_DIR [CASE...]
"""
import fcntl
import math
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import DEADLINE_S, GRAD, WEIGHT, Place, main, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])


class Screen:
    """A terminal of some size with baro top on it; knows the few escapes that it writes."""

    def __init__(self, place, *arguments, rows=24, columns=80, env=None):
        try:
            self.master, slave = pty.openpty()
        except OSError as error:
            raise unittest.SkipTest(f"no pseudo terminals here: {error}") from error
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        self.resize(rows, columns)
        self.output = b""
        self.child = subprocess.Popen(
            [place.program, "top", *arguments], stdin=slave, stdout=slave, stderr=slave,
            env={**place.env, "TERM": "xterm-256color", **(env or {})}, start_new_session=True)

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0.05)[0]:
            data = os.read(self.master, 65536)
            if not data:
                break
            self.output += data
        return self.output

    def lines(self):
        """What stands on the screen."""
        text = self.read().decode("utf-8", "replace").split("\x1b[2J")[-1]
        rows = {}
        for row, line in re.findall(r"\x1b\[(\d+);1H(.*?)\x1b\[K", text, re.S):
            rows[int(row)] = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)
        return [rows.get(row, "") for row in range(1, max(rows, default=0) + 1)]

    def wait(self, word):
        return wait_for(lambda: [line for line in self.lines() if word in line],
                        f"'{word}' is on the screen")

    def end(self):
        self.child.wait(timeout=DEADLINE_S)
        self.read()
        after = termios.tcgetattr(self.slave)
        os.close(self.master)
        os.close(self.slave)
        return after == self.before and self.output.endswith(b"\x1b[?25h\x1b[?1049l")


class Top(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place(BUILD)
        cls.addClassCleanup(cls.place.close)
        cls.place.baro("up")
        cls.run_ = cls.place.run("näme", project="top")
        cls.push(0, 120, False)

    @classmethod
    def push(cls, first, end, is_bad):
        for step in range(first, end):
            cls.run_.step(step)
            cls.run_.scalar("loss", math.nan if is_bad else 1 / (1 + step))
            cls.run_.scalar("a.very.long.name.of.a.scalar.that.does.not.fit", step)
            cls.run_.tensor("encoder.fc1.weight", WEIGHT, [[1.0, 2.0]])
            cls.run_.tensor("decoder.fc9.weight", GRAD, [[math.nan if is_bad else 1.0, 2.0]])
        cls.run_.sync()

    def check_fits(self, screen, rows, columns):
        lines = screen.lines()
        self.assertEqual(len(lines), rows)
        for line in lines:
            self.assertLessEqual(len(line), columns, line)

    def test_1_one_screen_without_a_terminal(self):
        wait_for(lambda: "step 119" in self.place.baro("top").stdout, "all steps have arrived")
        done = self.place.baro("top")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("\x1b", done.stdout)
        for word in ("top/näme", "running", "step 119", "fine: no alert", "loss", "█", "▁",
                     "layers encoder · decoder ·", "step_time"):
            self.assertIn(word, done.stdout)
        plain = self.place.baro("top", "latest", "lo*", env={"LC_ALL": "C"}).stdout
        self.assertTrue(plain.isascii(), plain)
        self.assertIn("+-.__", plain)
        self.assertNotIn("very.long", plain)
        self.assertEqual(self.place.baro("top", "nobody").returncode, 1)

    def test_2_the_screen_follows_the_run_its_size_and_its_troubles(self):
        screen = Screen(self.place)
        screen.wait("step 119")
        self.check_fits(screen, 24, 80)
        self.assertIn("q quits", screen.lines()[-1])
        screen.resize(40, 132)
        wait_for(lambda: len(screen.lines()) == 40, "the screen has grown")
        self.check_fits(screen, 40, 132)
        screen.resize(10, 40)
        wait_for(lambda: len(screen.lines()) == 10, "the screen has shrunk")
        self.check_fits(screen, 10, 40)
        screen.resize(24, 80)
        self.push(120, 140, True)
        screen.wait("■ step 120")
        screen.wait("step 139")
        self.assertTrue([line for line in screen.lines() if "decoder ■" in line])
        self.assertTrue([line for line in screen.lines() if line.startswith("loss") and "nan" in line])
        time.sleep(0.6)
        begin = len(screen.read())
        time.sleep(1.2)
        self.assertEqual(len(screen.read()) - begin, 0)  # nothing happens: no byte
        os.write(screen.master, b"q")
        self.assertTrue(screen.end())
        self.assertEqual(screen.child.returncode, 0)

    def test_3_the_terminal_is_given_back_after_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            screen = Screen(self.place)
            screen.wait("näme")
            screen.child.send_signal(number)
            self.assertTrue(screen.end(), number)

    def test_4_a_daemon_that_goes_is_said_and_comes_back(self):
        screen = Screen(self.place)
        screen.wait("näme")
        self.place.baro("down")
        screen.wait("The daemon is gone")
        self.place.baro("up")
        wait_for(lambda: screen.lines() and not any("is gone" in line for line in screen.lines()),
                 "the daemon is back on the screen")
        screen.wait("step 139")
        os.write(screen.master, b"q")
        self.assertTrue(screen.end())


if __name__ == "__main__":
    main()
