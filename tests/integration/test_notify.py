#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""People are told of incidents: once each, by every way, and never in ingest's way. Prints TAP.

usage: test_notify.py BUILD_DIR
"""
import email
import email.policy
import http.server
import json
import math
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import GRAD, Place, run_tap, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
SECRET = "/services/T0/secret"
HEADLINE = "'; touch /tmp/baro-pwned; $(reboot)\"--x"


class Receiver(http.server.ThreadingHTTPServer):
    """A webhook's other end: answers with each of statuses, then with 200."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies, self.statuses, self.times = [], [], []
        self.release = threading.Event()
        self.is_hanging = False
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"http://me:pass@127.0.0.1:{self.server_port}{SECRET}"

    def close(self):
        self.release.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        if server.is_hanging:
            server.release.wait(60)
            return
        status = server.statuses.pop(0) if server.statuses else 200
        if status == 200:
            server.times.append(time.time())
            server.bodies.append(json.loads(body))
            assert self.headers["Content-Type"] == "application/json", self.headers
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"no" if status != 200 else b"ok")

    def log_message(self, *arguments):
        pass


def script(place, name, text):
    """An executable in a folder that comes first in the daemon's PATH; returns its path."""
    folder = os.path.join(place.dir, "bin")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o700)
    if not place.env["PATH"].startswith(folder):
        place.env["PATH"] = folder + ":" + place.env["PATH"]
    return path


def configure(place, *lines):
    os.makedirs(place.data, mode=0o700, exist_ok=True)
    path = os.path.join(place.data, "notify.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write("# who is told\n" + "\n".join(lines) + "\n")
    os.chmod(path, 0o600)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def read_log(place):
    return read(os.path.join(place.data, "barod.log"))


def counter(place, name):
    return place.json("status")[0]["counters"][name]


def storm(place, name, n_bad=1):
    """A run in which n_bad tensors, then the loss are lost at one step."""
    run = place.run(name)
    for step in range(8):
        run.step(step)
        for i in range(n_bad):
            value = math.nan if step >= 4 else 0.1 + 0.01 * ((step * 7 + i) % 5)
            run.tensor(f"layer{i}.weight", GRAD, [[value, 0.2]])
            run.scalar(f"heat{i}", 9 if step >= 4 else 1)
        run.scalar("loss", math.nan if step >= 4 else 1.0 / (1 + step))
    return run


class Told(unittest.TestCase):
    """All ways work."""
    @classmethod
    def setUpClass(cls):
        cls.receiver = Receiver()
        cls.addClassCleanup(cls.receiver.close)
        cls.place = place = Place(BUILD)
        cls.addClassCleanup(place.close)
        cls.told = os.path.join(place.dir, "told")
        hook = script(place, "my hook", f'echo "$@" >>{cls.told}.words\ncat >>{cls.told}.json\n'
                      f'env >>{cls.told}.env\necho heard; echo >>{cls.told}.json\n')
        script(place, "sendmail", f'echo "$@" >{cls.told}.how\ncat >{cls.told}.mail\n')
        script(place, "notify-send", f'for word in "$@"; do echo "$word"; done >{cls.told}.send\n')
        configure(place, f"url = {cls.receiver.url}", f"command = '{hook}' --to  \"two words\"",
                  "mail=someone@example.org", "desktop = yes", "rate = 1000")
        with open(os.path.join(place.data, "rules.conf"), "w", encoding="utf-8") as file:
            file.write("[new high]\nseries = heat*\ntest = above\nlimit = 2\ntimes = 1\n"
                       "warm_up = 0\n")
        assert place.baro("up").returncode == 0

    def setUp(self):
        self.receiver.bodies.clear()

    def test_many_alerts_of_one_incident_are_one_notification_in_each_way(self):
        run = storm(self.place, HEADLINE, n_bad=40)
        self.assertEqual(run.close(), 0)
        body = wait_for(lambda: self.receiver.bodies, "the webhook was called")[0]
        n_alerts = len(self.place.json("alerts", run.id))
        self.assertGreaterEqual(n_alerts, 10)
        incidents = self.place.json("alerts", run.id, "--incidents")
        self.assertEqual(len(incidents), 1, incidents)
        self.assertEqual((body["run"], body["name"], body["incident"], body["change"]),
                         (run.id, HEADLINE, incidents[0]["id"], "open"))
        self.assertEqual((body["level"], body["first_step"]), ("alarm", 4))
        self.assertIn(body["headline"], body["text"])
        wait_for(lambda: read(self.told + ".json").endswith("}\n"), "the command was told")
        self.place.baro("notify", "--test")  # behind all that was told before
        self.receiver.bodies.pop()
        self.assertEqual(len(self.receiver.bodies), 1)
        lines = read(self.told + ".json").splitlines()
        mine = [one for one in map(json.loads, lines) if one.get("run") == run.id]
        self.assertEqual([one["incident"] for one in mine], [incidents[0]["id"]])
        self.assertEqual(read(self.told + ".words").splitlines()[-1], "--to two words")
        wait_for(lambda: os.path.exists(self.told + ".env") and
                 "BARO_RUN=" + run.id in read(self.told + ".env"), "the environment was written")
        environment = read(self.told + ".env").splitlines()
        for line in (f"BARO_NAME={HEADLINE}", "BARO_LEVEL=alarm", "BARO_STEP=4",
                     "BARO_PROJECT=tests", "BARO_CHANGE=open"):
            self.assertIn(line, environment)
        wait_for(lambda: "'my hook' says: heard" in read_log(self.place).replace("/my", "'my"),
                 "its output was logged")
        self.assertNotIn(SECRET, read_log(self.place))
        self.assertNotIn("me:pass", read_log(self.place))
        self.assertFalse(os.path.exists("/tmp/baro-pwned"))

    def test_a_mail_can_be_read(self):
        run = storm(self.place, "ein Lauf mit Ümlauten und einem recht langen Namen")
        self.assertEqual(run.close(), 0)
        wait_for(lambda: os.path.exists(self.told + ".mail") and
                 run.id in read(self.told + ".mail"), "mail was sent")
        with open(self.told + ".mail", "rb") as file:
            mail = email.message_from_bytes(file.read(), policy=email.policy.default)
        self.assertEqual(mail["To"], "someone@example.org")
        self.assertIn("Barograph alarm: ", mail["Subject"])
        self.assertIn("tests/ein Lauf mit Ümlauten", mail["Subject"])
        self.assertIn(f"baro alerts {run.id}", mail.get_content())
        self.assertEqual(read(self.told + ".how").split(), ["-t", "-oi"])

    def test_the_desktop_is_told_without_markup(self):
        run = storm(self.place, "<b>bold</b> & -- more")
        self.assertEqual(run.close(), 0)
        lines = wait_for(lambda: os.path.exists(self.told + ".send") and
                         run.id in read(self.told + ".send") and read(self.told + ".send"),
                         "notify-send was called").splitlines()
        self.assertEqual(lines[:3], ["--app-name=Barograph", "--urgency=critical", "--"])
        self.assertIn("&lt;b&gt;bold&lt;/b&gt; &amp; -- more", lines[4])

    def test_a_server_that_is_broken_for_a_while_is_asked_again(self):
        before = counter(self.place, "notified")
        self.receiver.statuses[:] = [500]
        run = storm(self.place, "again")
        self.assertEqual(run.close(), 0)
        wait_for(lambda: self.receiver.bodies, "the webhook was called again")
        wait_for(lambda: counter(self.place, "notified") == before + 4, "all ways had told")
        self.assertEqual([one["name"] for one in self.receiver.bodies], ["again"])
        self.assertEqual(counter(self.place, "notify_failed"), 0)
        self.assertIn("status 500: no; trying again", read_log(self.place))

    def test_a_test_goes_each_way(self):
        results = self.place.json("notify", "--test")
        self.assertEqual([one["is_good"] for one in results], [True] * 4, results)
        ways = [one["way"] for one in results]
        self.assertEqual(ways[0], f"url http://127.0.0.1:{self.receiver.server_port}")
        self.assertEqual((ways[2], ways[3]), ("mail someone@example.org", "desktop"))
        self.assertEqual([one["change"] for one in self.receiver.bodies], ["test"])
        self.assertEqual(self.place.baro("notify").returncode, 2)

    def test_a_restarted_daemon_tells_nothing_twice(self):
        run = storm(self.place, "restarted")
        run.sync()
        wait_for(lambda: self.receiver.bodies, "the webhook was called")
        self.assertEqual(self.place.baro("down").returncode, 0)
        self.assertEqual(self.place.baro("up").returncode, 0)
        for step in range(8, 14):
            run.step(step)
            run.scalar("loss", math.nan)
        self.assertEqual(run.close(), 0)
        self.place.baro("notify", "--test")  # behind all that was told before
        self.assertEqual([one.get("name") for one in self.receiver.bodies], ["restarted", None])

    def test_it_is_quick(self):
        run = storm(self.place, "quick")
        run.sync()
        wait_for(lambda: self.receiver.bodies, "the webhook was called")
        delay = self.receiver.times[-1] - self.receiver.bodies[-1]["time_ns"] / 1e9
        print(f"# from the reading to the webhook: {delay * 1000:.0f} ms")
        self.assertLess(delay, 10)
        self.assertEqual(run.close(), 0)


class Troubled(unittest.TestCase):
    """Ways that hang, refuse, never end or do not exist."""
    @classmethod
    def setUpClass(cls):
        cls.receiver = Receiver()
        cls.receiver.is_hanging = True
        cls.addClassCleanup(cls.receiver.close)
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        cls.place = place = Place(BUILD)
        cls.addClassCleanup(place.close)
        cls.endless = script(place, "endless", f"echo $$ >{place.dir}/pid\nsleep 1000 & wait\n")
        configure(place, f"url = {cls.receiver.url}", f"url = http://127.0.0.1:{port}/refused",
                  f"command = {cls.endless}", "command = no-such-program-at-all x",
                  "timeout = 1", "rate = 2")
        assert place.baro("up").returncode == 0

    def test_trouble_is_told_and_ingest_goes_on(self):
        self.assertIn("there is no program 'no-such-program-at-all': nobody will be told this way",
                      read_log(self.place))
        for i in range(5):
            run = storm(self.place, f"trouble{i}")
            self.assertEqual(run.close(), 0)  # all is acknowledged, whatever the ways do
        wait_for(lambda: "'" + self.endless + "' did not end within 1 s and was killed"
                 in read_log(self.place), "the command was killed")
        with open(os.path.join(self.place.dir, "pid"), encoding="utf-8") as file:
            pid = int(file.read())
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "it was gone")
        log = read_log(self.place)
        self.assertIn("there is no program 'no-such-program-at-all'\n", log)
        self.assertIn("Couldn't connect", log.replace("Failed to connect", "Couldn't connect"))
        wait_for(lambda: counter(self.place, "notify_held_back") >= 6, "the limit held some back")
        self.assertGreaterEqual(counter(self.place, "notify_failed"), 2)
        self.assertEqual(counter(self.place, "notified"), 0)
        self.assertEqual(read_log(self.place).count("endless: 2 notifications within 3600 s"), 1)
        results = self.place.json_any("notify", "--test")
        self.assertEqual([one["is_good"] for one in results], [False] * 4)
        self.assertIn("no-such-program-at-all", results[3]["text"])
        began = time.monotonic()
        self.assertEqual(self.place.baro("down").returncode, 0)
        self.assertLess(time.monotonic() - began, 5)
        self.assertIn("not told: the daemon ends", read_log(self.place))


def certificate(folder):
    """A self-signed certificate of localhost; its path, or None where openssl is not there."""
    path = os.path.join(folder, "self.pem")
    if shutil.which("openssl") is None:
        return None
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-keyout", path, "-out", path + ".crt"], check=True,
                   capture_output=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(read(path + ".crt"))
    return path


class Changed(unittest.TestCase):
    """One daemon whose rules and ways are changed while it runs."""
    def setUp(self):
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)
        self.place = Place(BUILD)
        self.addCleanup(self.place.close)
        os.makedirs(self.place.data, mode=0o700)

    def rules(self, text):
        with open(os.path.join(self.place.data, "rules.conf"), "w", encoding="utf-8") as file:
            file.write(text)

    def reload(self, sentence):
        n_before = read_log(self.place).count(sentence)
        os.kill(self.place.daemon_pid(), signal.SIGHUP)
        wait_for(lambda: read_log(self.place).count(sentence) > n_before, "it said: " + sentence)

    def look_at_a_rise(self):
        """A watch that becomes an alarm is told twice; what is only information not at all."""
        run = self.place.run("rising")
        for step in range(14):
            run.step(step)
            run.scalar("heat", 9 if step >= 4 else 1)
            run.scalar("hint", 9)
            run.scalar("loss", math.nan if step >= 9 else 1.0)
        self.assertEqual(run.close(), 0)
        wait_for(lambda: len(self.receiver.bodies) == 2, "the rise was told")
        self.assertEqual([(one["change"], one["level"], one["incident"]) for one in
                          self.receiver.bodies], [("open", "watch", 1), ("alarm", "alarm", 1)])
        alerts = {one["kind"]: one for one in self.place.json("alerts", run.id, "--all")}
        self.assertIsNone(alerts["faint"]["incident"])
        self.assertEqual(alerts["faint"]["severity"], "info")

    def look_at_what_is_held_back(self):
        configure(self.place, f"url = {self.receiver.url}", "rate = 1", "period = 4")
        self.reload("ways of notification are those of now")
        self.receiver.bodies.clear()
        for name, value in (("first", math.nan), ("a watch", 1.0), ("grave", math.nan)):
            run = self.place.run(name)
            for step in range(8):
                run.step(step)
                run.scalar("loss" if value != value else "heat", value * 9 if step >= 4 else 1)
            self.assertEqual(run.close(), 0)
        self.assertIn("1 notification within 4 s: others are held back", read_log(self.place))
        wait_for(lambda: len(self.receiver.bodies) == 2, "the period was over")
        first, released = self.receiver.bodies
        self.assertEqual((first["name"], first["held_back"]), ("first", 0))
        self.assertEqual((released["name"], released["held_back"]), ("grave", 1))
        self.assertIn(", and 1 more", released["text"])
        self.assertGreater(self.receiver.times[-1] - self.receiver.times[-2], 3)

    def look_at_rules(self):
        run = self.place.run("goes on")
        for step in range(20):
            run.step(step)
            run.scalar("heat", 1)
            run.scalar("cold", step)
        run.sync()
        self.rules("quiet_steps = 5\n[new cold]\nseries = cold\ntest = above\nlimit = x\n")
        self.reload("rules.conf:5: limit: 'x' is not a number; rules and notification stay as they "
                    "were")
        self.rules("[new cold]\nseries = cold\ntest = above\nlimit = 25\n")
        self.reload("rules are read again from ")
        for step in range(20, 40):
            run.step(step)
            run.scalar("heat", 9)  # the rule that looked at it is gone
            run.scalar("cold", step)
        self.assertEqual(run.close(), 0)
        self.assertEqual([(one["kind"], one["step"]) for one in self.place.json("alerts", run.id)
                          if "headline" not in one], [("cold", 26)])

    def look_at_a_stranger(self):
        """A server whose certificate nobody knows is refused, and not asked again."""
        path = certificate(self.place.dir)
        if path is None:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        stranger = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(stranger.server_close)
        stranger.socket = context.wrap_socket(stranger.socket, server_side=True)
        threading.Thread(target=stranger.serve_forever, args=(0.05,), daemon=True).start()
        self.addCleanup(stranger.shutdown)
        configure(self.place, f"url = https://127.0.0.1:{stranger.server_port}/x")
        self.reload("ways of notification are those of now")
        result, = self.place.json_any("notify", "--test")
        self.assertFalse(result["is_good"])
        self.assertIn("certificate", result["text"])

    def test_rules_and_ways_are_read_again_and_what_was_held_back_is_told(self):
        configure(self.place, f"url = {self.receiver.url}", "rate = 1000")
        self.rules("[new warm]\nseries = heat\ntest = above\nlimit = 2\n"
                   "[new faint]\nseries = hint\ntest = above\nlimit = 2\nlevel = info\n")
        self.assertEqual(self.place.baro("up").returncode, 0)
        self.look_at_a_rise()
        self.look_at_what_is_held_back()
        self.look_at_rules()
        self.look_at_a_stranger()
        self.assertEqual(self.place.baro("down").returncode, 0)


class Wrong(unittest.TestCase):
    """What cannot be is said before anything starts."""
    def check(self, *words):
        place = Place(BUILD)
        try:
            os.makedirs(place.data, mode=0o700)
            place.program = os.path.join(BUILD, "daemon", "barod")
            return place, place.baro("--dir", place.data, "--check-config", *words)
        finally:
            place.program = os.path.join(BUILD, "tools", "baro")
            place.close()

    def test_wrong_options_are_said_in_one_sentence(self):
        for words, sentence in (
                (("--notify-url", "ftp://x"), "not a URL of http"),
                (("--notify-url", "http://x/\nHost: y"), "control characters"),
                (("--notify-command", "a 'b"), "a quote (') that does not end"),
                (("--notify-command", "  "), "names no program"),
                (("--notify-mail", "a@b, c@d"), "not one address"),
                (("--notify-level", "loud"), "neither watch nor alarm"),
                (("--notify-rate", "0"), "from 1 to 3600"),
                (("--notify-timeout", "soon"), "from 1 to 600")):
            done = self.check(*words)[1]
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(sentence, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_a_wrong_file_is_said_with_its_line(self):
        place = Place(BUILD)
        try:
            for text, sentence in (("url = http://x\nurk = 1\n", ":2: there is no 'urk'; did you "
                                    "mean 'url'?"),
                                   ("desktop\n", ":1: a line is like")):
                os.makedirs(place.data, mode=0o700, exist_ok=True)
                path = os.path.join(place.data, "notify.conf")
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                os.chmod(path, 0o600)
                place.program = os.path.join(BUILD, "daemon", "barod")
                done = place.baro("--dir", place.data, "--check-config")
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertIn("notify.conf" + sentence, done.stderr)
            os.chmod(path, 0o666)
            self.assertIn("can be written by others",
                          place.baro("--dir", place.data, "--check-config").stderr)
        finally:
            place.program = os.path.join(BUILD, "tools", "baro")
            place.close()


def json_any(place, *arguments):
    """What a command prints with --json, whatever it ends with."""
    return [json.loads(line) for line in place.baro(*arguments, "--json").stdout.splitlines()]


Place.json_any = json_any

if __name__ == "__main__":
    loader = unittest.defaultTestLoader
    everything = unittest.TestSuite(loader.loadTestsFromTestCase(case)
                                    for case in (Told, Troubled, Changed, Wrong))
    sys.exit(0 if run_tap(everything) else 1)
