#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command of baro against a real barod, fed through libbaro. Prints TAP.

usage: test_cli.py BUILD_DIR SOURCE_DIR [CASE...]
"""
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_place import DEADLINE_S, GRAD, WEIGHT, Place, main, wait_for  # noqa: E402

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
COMMANDS = ["up", "down", "status", "runs", "sample", "series", "get", "export", "tail",
            "alerts", "replay", "rules", "recover", "prune", "verify", "bench", "completions",
            "help", "key", "note", "notify", "top",
            "control", "why", "report", "probes", "credit", "compare"]
N_STEPS = 60
BAD_STEP = 50


def push_example(place, name="example", project="tests"):
    """Sixty steps; the gradient overflows in unit 3, one step later the loss is NaN."""
    run = place.run(name, project=project)
    for step in range(N_STEPS):
        run.step(step)
        run.batch([step, step + 1000])
        run.scalar("loss", math.nan if step == BAD_STEP + 1 else 1.0 / (step + 3))
        run.scalar("kl/β weight", 0.1)
        rows = [[0.5, -0.25, 1.0] for _ in range(8)]
        if step == BAD_STEP:
            rows[3][1] = math.inf
        run.tensor("encoder.fc1.weight", GRAD, rows)
        run.tensor("encoder.fc1.weight", WEIGHT, [[1.0, 2.0]] * 8)
        if step == 20:
            run.event("learning rate halved")
    assert run.close() == 0
    return run


class WithoutDaemon(unittest.TestCase):
    """Command lines that are decided before any daemon is asked."""

    def setUp(self):
        self.place = Place(BUILD)
        self.addCleanup(self.place.close)

    def check(self, arguments, code, *words):
        done = self.place.baro(*arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        return done

    def test_a_misspelt_command_gives_the_nearest_one(self):
        done = self.check(["stauts"], 2, "no command 'stauts'; did you mean 'status'?")
        self.assertEqual(done.stderr.splitlines()[-1], "see baro --help")
        self.assertEqual(len(done.stderr.splitlines()), 2)
        self.assertEqual(done.stdout, "")

    def test_a_misspelt_option_gives_the_nearest_one(self):
        self.check(["runs", "--jsno"], 2, "did you mean '--json'?")
        self.check(["get", "a", "b", "--collumns=3"], 2, "did you mean '--columns'?")

    def test_a_misspelt_bench_gives_the_nearest_one(self):
        self.check(["bench", "ingset"], 2, "no bench 'ingset'; did you mean 'ingest'?")

    def test_wrong_uses_are_told_in_one_line_and_exit_with_2(self):
        self.check([], 2, "no command given")
        self.check(["get", "latest"], 2, "baro get RUN SERIES")
        self.check(["runs", "more"], 2, "'more' is too much")
        self.check(["get", "a", "b", "--from", "x"], 2, "--from: 'x' is not a whole number")
        self.check(["get", "a", "b", "--from"], 2, "--from needs a value")
        self.check(["get", "a", "b", "--csv=1"], 2, "--csv takes no value")
        self.check(["get", "a", "b", "--csv", "--json"], 2, "exclude each other")
        self.check(["get", "a", "b", "--columns", "9000"], 2, "between 1 and 8192")
        self.check(["get", "a", "b", "--from", "9", "--to", "8"], 2, "--from 9 is behind --to 8")
        self.check(["completions", "tcsh"], 2, "bash, zsh and fish")

    def test_no_daemon_is_one_sentence_and_exit_1(self):
        for command in (["status"], ["runs"], ["tail"], ["get", "latest", "loss"]):
            done = self.check(command, 1, "no daemon answers at " + self.place.endpoint,
                              "start one with 'baro up'")
            self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_status_as_json_says_that_nothing_runs(self):
        done = self.place.baro("status", "--json")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(json.loads(done.stdout)["running"], False)

    def test_down_without_a_daemon_is_fine(self):
        done = self.place.baro("down")
        self.assertEqual(done.returncode, 0)
        self.assertIn("already down", done.stdout)

    def test_version_and_help_need_no_daemon(self):
        self.assertRegex(self.place.baro("--version").stdout, r"^baro \d+\.\d+\.\d+ ")
        for command in COMMANDS:
            self.assertIn(command, self.place.baro("--help").stdout)
            by_name = self.place.baro("help", command)
            by_option = self.place.baro(command, "--help")
            self.assertEqual(by_name.returncode, 0)
            self.assertEqual(by_name.stdout, by_option.stdout)
            self.assertIn("usage: baro " + command, by_name.stdout)

    def test_help_fits_80_columns(self):
        for arguments in [["--help"]] + [["help", command] for command in COMMANDS]:
            for line in self.place.baro(*arguments).stdout.splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_a_bad_endpoint_is_named(self):
        self.check(["runs", "--endpoint", "nonsense"], 1, "'nonsense' is not an endpoint")

    def test_up_names_a_program_that_is_not_there(self):
        done = self.place.baro("up", env={"BARO_BAROD": "/nonexistent/barod"})
        self.assertEqual(done.returncode, 1)
        self.assertIn("BARO_BAROD is '/nonexistent/barod'", done.stderr)

    def test_up_says_why_the_daemon_ended_at_once(self):
        program = os.path.join(self.place.dir, "barod")
        with open(program, "w") as file:
            file.write("#!/bin/sh\necho 'error main: the moon is full' >&2\nexit 1\n")
        os.chmod(program, 0o755)
        done = self.place.baro("up", env={"BARO_BAROD": program})
        self.assertEqual(done.returncode, 1)
        self.assertIn("the moon is full", done.stderr)

    def test_recover_without_rings_needs_no_daemon(self):
        done = self.place.baro("recover")
        self.assertEqual(done.returncode, 0)
        self.assertIn("no rings in " + self.place.rings, done.stdout)
        self.check(["recover", "/nonexistent/ring"], 1, "/nonexistent/ring")


class Documentation(unittest.TestCase):
    """The man page and the completions know every command and option."""

    def setUp(self):
        self.place = Place(BUILD)
        self.addCleanup(self.place.close)

    def options_of(self, command):
        text = self.place.baro("help", command).stdout
        return set(re.findall(r"^ .*?(--[a-z-]+)", text, re.M))

    def test_the_man_page_has_every_command_and_option(self):
        with open(os.path.join(SOURCE, "docs", "man", "baro.1.scd")) as file:
            page = file.read()
        for command in COMMANDS:
            self.assertRegex(page, r"(?m)^\*%s\*" % command)
            for option in self.options_of(command):
                self.assertIn("*%s*" % option, page, command)

    def test_the_man_page_has_no_option_that_does_not_exist(self):
        with open(os.path.join(SOURCE, "docs", "man", "baro.1.scd")) as file:
            page = file.read()
        known = set().union(*(self.options_of(command) for command in COMMANDS))
        self.assertEqual(set(re.findall(r"\*(--[a-z-]+)\*", page)) - known, set())

    def test_the_man_page_has_every_statistic(self):
        with open(os.path.join(SOURCE, "docs", "man", "baro.1.scd")) as file:
            page = file.read()
        with open(os.path.join(SOURCE, "lib", "base", "reading.c")) as file:
            source = file.read()
        lists = re.findall(r"(?:summary|unit)_stat_names\[\] = \{(.*?)\}", source, re.S)
        self.assertEqual(len(lists), 2)
        for name in re.findall(r'"(\w+)"', "".join(lists)):
            self.assertIn("*%s*" % name, page)

    def test_the_completions_have_every_command_and_option(self):
        for shell in ("bash", "zsh", "fish"):
            text = self.place.baro("completions", shell).stdout
            for command in COMMANDS:
                self.assertIn(command, text)
                for option in self.options_of(command):
                    self.assertIn(option[2:], text, shell)
        with tempfile.NamedTemporaryFile("w", suffix=".bash") as file:
            file.write(self.place.baro("completions", "bash").stdout)
            file.flush()
            subprocess.run(["bash", "-n", file.name], check=True)
            completed = subprocess.run(
                ["bash", "-c", "source %s; COMP_WORDS=(baro st); COMP_CWORD=1; _baro; "
                 "echo ${COMPREPLY[@]}" % file.name], capture_output=True, text=True)
            self.assertEqual(completed.stdout.split(), ["status"])


class UpAndDown(unittest.TestCase):
    def setUp(self):
        self.place = Place(BUILD)
        self.addCleanup(self.place.close)

    def test_up_starts_a_daemon_once_and_down_ends_it(self):
        first = self.place.json("up")[0]
        self.assertEqual(first["state"], "up")
        self.assertEqual(first["endpoint"], self.place.endpoint)
        os.kill(first["pid"], 0)
        second = self.place.json("up")[0]
        self.assertEqual(second["state"], "already up")
        self.assertEqual(second["pid"], first["pid"])
        self.assertTrue(os.path.getsize(os.path.join(self.place.data, "barod.log")) >= 0)
        # It has a session of its own: Ctrl-C in the terminal does not reach it.
        self.assertEqual(os.getsid(first["pid"]), first["pid"])
        down = self.place.json("down")[0]
        self.assertEqual(down, {"state": "down", "pid": first["pid"]})
        self.assertEqual(self.place.baro("status").returncode, 1)

    def test_dir_wins_over_the_environment(self):
        other = os.path.join(self.place.dir, "other")
        up = json.loads(self.place.baro("--dir", other, "up", "--json").stdout)
        self.assertEqual(up["dir"], other)
        self.assertEqual(self.place.baro("status").returncode, 1)
        self.assertEqual(self.place.baro("status", "--dir=" + other).returncode, 0)
        self.assertEqual(self.place.baro("status", "-e", up["endpoint"]).returncode, 0)
        self.assertEqual(self.place.baro("down", "--dir", other).returncode, 0)

    def test_a_stopped_daemon_is_told_from_an_absent_one(self):
        pid = self.place.json("up")[0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            done = self.place.baro("status")
            self.assertEqual(done.returncode, 1)
            self.assertIn("process %d listens" % pid, done.stderr)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: self.place.baro("status").returncode == 0, "the daemon answers again")


class WithRun(unittest.TestCase):
    """One run that failed in a known way; all of these only read."""

    @classmethod
    def setUpClass(cls):
        cls.place = Place(BUILD)
        cls.addClassCleanup(cls.place.close)
        assert cls.place.baro("up").returncode == 0
        cls.run_id = push_example(cls.place).id
        wait_for(lambda: cls.place.json("runs")[0]["status"] == "finished", "the run is over")

    def test_runs_have_the_keys_of_the_contract(self):
        run, = self.place.json("runs")
        self.assertLessEqual({"id", "project", "name", "status", "steps", "alerts"}, set(run))
        self.assertEqual((run["id"], run["project"], run["name"], run["status"], run["steps"]),
                         (self.run_id, "tests", "example", "finished", N_STEPS))
        self.assertEqual(run["last_loss"], 1.0 / (N_STEPS + 2))
        self.assertGreaterEqual(run["alerts"], 2)
        text = self.place.baro("runs").stdout
        self.assertIn(self.run_id, text)
        self.assertIn("finished", text)

    def test_a_run_is_found_by_every_name_it_has(self):
        for name in (self.run_id, self.run_id[:4], "example", "tests/example", "latest"):
            self.assertEqual(len(self.place.json("get", name, "loss")), N_STEPS, name)

    def test_a_misspelt_run_gives_the_nearest_one(self):
        done = self.place.baro("get", "exmpl", "loss")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no run 'exmpl'; did you mean 'example'?", done.stderr)

    def test_series_list_scalars_and_tensors(self):
        series = {entry["name"]: entry for entry in self.place.json("series")}
        self.assertEqual(
            {"loss", "kl/β weight", "encoder.fc1.weight:grad", "encoder.fc1.weight:weight"},
            {name for name in series if name != "step_time"})
        grad = series["encoder.fc1.weight:grad"]
        self.assertEqual((grad["role"], grad["units"], grad["points"], grad["shape"]),
                         ("grad", 8, N_STEPS, [8, 3]))
        self.assertEqual(grad["cadence"], 1.0)
        self.assertGreater(grad["bytes"], 0)
        self.assertEqual(series["loss"]["role"], None)
        self.assertEqual(series["loss"]["n_nonfinite"], 1)

    def test_a_glob_chooses_series(self):
        names = [entry["name"] for entry in self.place.json("series", "latest", "*:grad")]
        self.assertEqual(names, ["encoder.fc1.weight:grad"])
        done = self.place.baro("series", "latest", "los")
        self.assertEqual(done.returncode, 1)
        self.assertIn("did you mean 'loss'?", done.stderr)

    def test_get_gives_exact_values_in_every_form(self):
        points = self.place.json("get", "latest", "loss")
        self.assertEqual([set(point) for point in points],
                         [{"step", "time_ns", "value"}] * N_STEPS)
        for point in points:
            if point["step"] == BAD_STEP + 1:
                self.assertEqual(point["value"], "nan")
            else:
                self.assertEqual(point["value"], 1.0 / (point["step"] + 3))
        self.assertEqual([point["step"] for point in points], list(range(N_STEPS)))
        lines = self.place.baro("get", "latest", "loss", "--csv").stdout.splitlines()
        self.assertEqual(lines[0], "step,time_ns,value")
        self.assertEqual(float(lines[1].split(",")[2]), 1.0 / 3)
        self.assertEqual(lines[1 + BAD_STEP + 1].split(",")[2], "nan")
        plain = self.place.baro("get", "latest", "loss").stdout.splitlines()
        self.assertEqual([float(line.split()[1]) for line in plain[:3]],
                         [1.0 / 3, 1.0 / 4, 1.0 / 5])

    def test_get_takes_a_range_and_columns(self):
        points = self.place.json("get", "latest", "loss", "--from", "10", "--to", "12")
        self.assertEqual([point["step"] for point in points], [10, 11, 12])
        rows = self.place.json("get", "latest", "loss", "--columns", "6")
        self.assertEqual([set(row) for row in rows], [
            {"from", "to", "min", "max", "mean", "count", "n_nonfinite"}] * len(rows))
        self.assertLessEqual(len(rows), 6)
        self.assertEqual(sum(row["count"] for row in rows), N_STEPS)
        self.assertEqual(sum(row["n_nonfinite"] for row in rows), 1)
        self.assertEqual(max(row["max"] for row in rows), 1.0 / 3)
        self.assertEqual([(row["from"], row["to"]) for row in rows],  # each step is in one
                         list(zip([0] + [row["to"] + 1 for row in rows],
                                  [row["to"] for row in rows])))
        for more in ((), ("--columns", "6")):
            done = self.place.baro("get", "latest", "loss", "--from", "5000", *more)
            self.assertEqual((done.returncode, done.stderr), (
                1, "baro: 'loss' has no readings from step 5000 on: it has steps 0 to 59\n"))

    def test_get_reads_statistics_of_tensors_and_units(self):
        name = "encoder.fc1.weight:grad"
        infs = self.place.json("get", "latest", name + "/n_pos_inf")
        self.assertEqual([point["value"] for point in infs],
                         [1.0 if step == BAD_STEP else 0.0 for step in range(N_STEPS)])
        mean = self.place.json("get", "latest", name + "[2]/mean", "--to", "0")
        self.assertAlmostEqual(mean[0]["value"], 1.25 / 3, places=6)
        bad = self.place.json("get", "latest", name + "[3]/n_nonfinite")
        self.assertEqual([point["step"] for point in bad if point["value"] != 0], [BAD_STEP])
        times = self.place.json("get", "latest", "step_time")  # none for the first step
        self.assertEqual(len(times), N_STEPS - 1)
        self.assertEqual(len(self.place.json("get", "latest", "kl/β weight")), N_STEPS)

    def test_a_misspelt_series_gives_the_nearest_one(self):
        for wrong, words in (
                ("los", "no series 'los'; did you mean 'loss'?"),
                ("β weight", "did you mean 'kl/β weight'?"),
                ("encoder.fc1.weihgt:grad/l2", "did you mean 'encoder.fc1.weight:grad/l2'?"),
                ("encoder.fc1.weight:grad/l3", "no statistic 'l3'; did you mean"),
                ("encoder.fc1.weight:grad", "needs a statistic"),
                ("encoder.fc1.weight:grad[9]/mean", "has 8 units: 0 to 7"),
                ("encoder.fc1.weight/l2", "lacks the role"),
                ("loss@1", "no series 'loss@1'"),
                ("", "no series ''")):
            done = self.place.baro("get", "latest", wrong)
            self.assertEqual(done.returncode, 1, wrong)
            self.assertIn(words, done.stderr)

    def test_alerts_have_the_keys_of_the_contract(self):
        alerts = self.place.json("alerts", "latest")
        for alert in alerts:
            self.assertLessEqual({"step", "kind", "severity", "tensor", "module", "role",
                                  "unit", "samples", "text", "incident"}, set(alert))
        first = alerts[0]
        self.assertEqual((first["step"], first["kind"], first["severity"], first["tensor"],
                          first["role"], first["unit"], first["module"]),
                         (BAD_STEP, "nonfinite", "alarm", "encoder.fc1.weight", "grad", 3,
                          "encoder.fc1"))
        self.assertEqual(first["samples"], [BAD_STEP, BAD_STEP + 1000])
        loss = [alert for alert in alerts if alert["tensor"] == "loss"][0]
        self.assertEqual((loss["step"], loss["role"], loss["unit"]), (BAD_STEP + 1, None, None))
        text = self.place.baro("alerts", "latest").stdout
        self.assertIn("step %d" % BAD_STEP, text)
        self.assertIn("try: ", text)

    def test_status_tells_of_daemon_and_store(self):
        status, = self.place.json("status")
        self.assertEqual(status["running"], True)
        self.assertEqual(status["n_runs"], 1)
        self.assertEqual(status["trouble"], None)
        self.assertEqual(status["dir"], self.place.data)
        self.assertIsInstance(status["counters"], dict)
        self.assertIn("pid %d" % status["pid"], self.place.baro("status").stdout)

    def test_tail_of_an_ended_run_shows_its_end_and_ends(self):
        lines = self.place.baro("tail", "latest").stdout.splitlines()
        self.assertEqual(lines[0], "%d loss %s" % (N_STEPS - 10, repr(1.0 / (N_STEPS - 7))))
        self.assertIn("finished at step %d" % (N_STEPS - 1), lines[-1])
        entries = self.place.json("tail", "latest", "*:grad/abs_max")
        values = [entry for entry in entries if entry["type"] == "value"]
        self.assertEqual({entry["name"] for entry in values}, {"encoder.fc1.weight:grad/abs_max"})
        self.assertEqual(entries[-1]["status"], "finished")

    def test_output_to_a_pipe_has_no_escapes_and_a_terminal_has(self):
        for command in (["runs"], ["series"], ["alerts"], ["status"], ["tail"]):
            self.assertNotIn("\033", self.place.baro(*command).stdout)
            self.assertIn("\033", self.place.in_terminal(command)[1])

    def test_no_color_and_dumb_terminals_are_respected(self):
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}):
            for command in (["runs"], ["alerts"], ["tail"], ["nonsense"]):
                self.assertNotIn("\033", self.place.in_terminal(command, env=env)[1])

    def test_without_a_utf8_locale_everything_is_ascii(self):
        for command in (["runs"], ["series"], ["alerts"], ["tail"], ["status"],
                        ["series", "--json"], ["get", "latest", "kl/β weight", "--to", "1"]):
            done = self.place.baro(*command, env={"LC_ALL": "C"})
            self.assertTrue(done.stdout.isascii(), done.stdout)
        code, text = self.place.in_terminal(["alerts"], env={"LC_ALL": "C"})
        self.assertTrue(text.isascii(), text)
        self.assertIn("! alarm", text)
        names = [json.loads(line)["name"] for line in
                 self.place.baro("series", "--json", env={"LC_ALL": "C"}).stdout.splitlines()]
        self.assertIn("kl/β weight", names)

    def test_every_listing_fits_a_terminal_of_80_columns(self):
        for command in (["runs"], ["series"], ["alerts"], ["status"], ["tail"],
                        ["get", "latest", "loss"], ["get", "latest", "loss", "--columns", "5"]):
            code, text = self.place.in_terminal(command)
            self.assertEqual(code, 0)
            for line in re.sub(r"\033\[[0-9;]*m", "", text).splitlines():
                # The paths of a test's folder may be longer than a person's.
                if self.place.dir not in line:
                    self.assertLessEqual(len(line), 80, line)

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "w") as full:
            child = self.place.start("runs", stdout=full, stderr=subprocess.PIPE)
            errors = child.communicate(timeout=DEADLINE_S)[1].decode()
        self.assertEqual(child.returncode, 1)
        self.assertIn("cannot write the output", errors)


class ManyRuns(unittest.TestCase):
    def setUp(self):
        self.place = Place(BUILD)
        self.addCleanup(self.place.close)
        self.assertEqual(self.place.baro("up").returncode, 0)

    def push(self, name, **options):
        run = self.place.run(name, **options)
        run.step(0)
        run.scalar("loss", 1.0)
        self.assertEqual(run.close(), 0)
        return run.id

    def test_an_ambiguous_name_lists_the_candidates(self):
        ids = [self.push("same"), self.push("same"), self.push("other", project="else")]
        done = self.place.baro("get", "same", "loss")
        self.assertEqual(done.returncode, 1)
        self.assertIn("'same' means 2 runs", done.stderr)
        for run_id in ids[:2]:
            self.assertIn(run_id, done.stderr)
        self.assertNotIn(ids[2], done.stderr)
        self.assertEqual(len(self.place.json("get", "else/other", "loss")), 1)
        self.assertEqual([run["id"] for run in self.place.json("runs")], ids[::-1])

    def test_ranks_are_told_apart_by_a_suffix(self):
        for rank in (0, 1):
            run = self.place.run("ranks", run_id="both-ranks", rank=rank, n_ranks=2)
            run.step(0)
            run.scalar("loss", 10.0 + rank)
            self.assertEqual(run.close(), 0)
        values = [self.place.json("get", "both-ranks", name)[0]["value"]
                  for name in ("loss", "loss@0", "loss@1")]
        self.assertEqual(values, [10.0, 10.0, 11.0])

    def test_a_failed_run_says_why_wherever_it_is_listed(self):
        run = self.place.run("broken")
        run.step(0)
        run.scalar("loss", 1.0)
        run.tell("fail", "ValueError: bad \033[2JJPEG")
        self.assertEqual(run.close(), 0)
        self.assertIn("failed at step 0: ValueError: bad", self.place.baro("alerts").stdout)
        self.assertIn("loss 1: ValueError: bad", self.place.baro("tail").stdout)
        text = self.place.baro("runs").stdout
        self.assertIn("REASON", text)
        self.assertIn("ValueError: bad", text)
        self.assertNotIn("\033", text)

    def test_runs_that_went_well_need_no_column_for_reasons(self):
        self.push("fine")
        self.assertNotIn("REASON", self.place.baro("runs").stdout)
        self.assertEqual(self.place.baro("alerts").stdout, "no alerts\n")

    def test_a_name_with_escapes_does_not_reach_the_terminal(self):
        self.push("evil\033[2Jname")
        text = self.place.in_terminal(["runs"], env={"NO_COLOR": "1"})[1]
        self.assertNotIn("\033", text)
        self.assertEqual(self.place.json("runs")[0]["name"].replace("?", "\033"),
                         "evil\033[2Jname")


if __name__ == "__main__":
    main(2)
