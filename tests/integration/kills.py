# SPDX-License-Identifier: Apache-2.0
"""Kill barod again and again while it takes in, seals, prunes, compacts and starts.

Half of the kills come at a moment, half at a certain call that writes to the store's file
(fault_shim.c): before it, behind it, or in its middle. Trainings push all the while and are
replaced now and then, so that there are finished runs to give way under a small quota. After each
kill the daemon is started at once and must answer; it must hold as many records as were
acknowledged; and every point that was ever pushed must be there, once, with its bits, or be
counted as pruned and stand in its summaries.
"""
import json
import statistics
import time

from faults import SCALARS, await_that, unit_value, value_of

UNITS = 96
SLOW_S = 1.0


def is_object(line):
    """Not a word of baro's to people."""
    return line.startswith("{")


class Kills:
    """A world in which the daemon does not live long."""

    def __init__(self, world, rng, quota, a_run=20, units=UNITS):
        self.world = world
        self.rng = rng
        self.arguments = ("--quota", quota, "--log-level", "info")
        self.units = units            # of the tensor that trainings push
        self.a_run = a_run            # kills until a training makes way for the next
        self.control = world.control()
        self.trainers = []
        self.kinds = {}               # how often the daemon died in which way
        self.slow = []                # what is known of answers that took long
        self.answers = []             # seconds from the start to the first answer
        self.n_checked = 0
        self.n_pruned = 0
        self.n_runs = 0
        world.start(*self.arguments)

    # ---- one kill ----

    def kill(self):
        """End the daemon in some way, start it again, see what it holds."""
        if not self.trainers or self.trainers[-1].process.poll() is not None:
            self.trainers.append(self.world.train(
                n_ahead=3000, units=self.units, tensor=0,
                init={"ring_bytes": (8 << 20) + self.units * 32768}))
        trainer = self.trainers[-1]
        kind = self.die()
        self.count(kind)
        n_acked = trainer.n_acked
        began = time.monotonic()
        self.world.start(*self.arguments)
        listens = time.monotonic() - began
        info = self.world.run_info(trainer.run)
        self.answers.append(time.monotonic() - began)
        if self.answers[-1] > SLOW_S:
            self.slow.append(f"{listens:.2f} + {self.answers[-1] - listens:.2f} s after {kind}: "
                             f"{self.world.log().splitlines()[-2:]}")
        n_there = info["records"] if info else 0
        assert n_there >= n_acked, f"{n_acked} records were acknowledged, {n_there} are there"
        if len(self.answers) % self.a_run == 0:
            self.end_training()

    def count(self, kind):
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def die(self):
        """Kill the daemon; returns how."""
        rng, barod, control = self.rng, self.world.barod, self.control
        how = rng.choice(["moment", "call", "call", "start", "stop"])
        if how == "moment":
            time.sleep(rng.uniform(0, 0.3))
            self.world.kill()
            return how
        control.set(kill_mode=rng.randrange(control.KILL_MODES),
                    kill_in=rng.randint(1, 8 if how == "start" else 80))
        if how == "stop":
            barod.terminate()
            barod.wait(30)
        elif how == "start":
            self.world.kill()
            self.try_to_start()
        else:
            try:
                barod.wait(1.5)
            except Exception:  # it writes little just now
                self.world.kill()
                how = "moment"
        control.set(kill_in=0)
        return how

    def try_to_start(self):
        """Let the daemon die while it starts, or soon after."""
        try:
            self.world.start(*self.arguments)
            self.world.barod.wait(0.5)
        except AssertionError:
            assert self.world.barod.returncode == -9, self.world.log()[-2000:]
        except Exception:
            self.world.kill()

    def end_training(self):
        """End the training under way; what it pushed is brought in from its ring."""
        trainer = self.trainers[-1]
        trainer.kill()
        self.world.baro("recover")  # should no daemon have lived long enough to meet it
        self.world.await_status(trainer.run, "killed", "finished")

    # ---- what is there ----

    def check(self):
        """Every run holds what was pushed to it."""
        if self.trainers and self.trainers[-1].process.poll() is None:
            self.end_training()
        for trainer in self.trainers:
            self.check_run(trainer)
        self.world.baro("verify")  # exits 1 where anything is damaged
        self.n_runs += len(self.trainers)

    def forget(self):
        """Remove the runs that have been checked, so that there is room for others."""
        if self.trainers:
            self.world.baro("prune", "--all", *(trainer.run for trainer in self.trainers))
            left = {run["id"] for run in self.world.listing("runs")}
            assert not left & {trainer.run for trainer in self.trainers}, left
        self.trainers = []

    def check_run(self, trainer):
        n = trainer.n_pushed
        n_steps = None
        info = self.world.run_info(trainer.run)
        assert n == 0 or info["dropped"] == 0, info  # the ring was large enough
        if n == 0:
            return  # killed before its first step
        # What was read from its ring at last is answered for when it is committed.
        await_that(lambda: self.n_there(trainer.run, SCALARS[-1]) >= n // len(SCALARS),
                   f"{n // len(SCALARS)} steps of {trainer.run} are there")
        things = {thing["name"]: thing for thing in self.world.listing("series", trainer.run)}
        for place, name in enumerate(SCALARS):
            n_least = n // len(SCALARS) + (1 if place < n % len(SCALARS) else 0)
            n_there = self.check_series(trainer.run, name, things.get(name, {}),
                                        lambda step, name=name: value_of(name, step))
            assert n_least <= n_there <= n_least + 1, f"{name}: {n_there}, {n_least} were pushed"
            n_steps = n_there
        for unit in (0, self.units - 1):
            n_there = self.check_series(trainer.run, f"u:weight[{unit}]/mean",
                                        things.get("u:weight", {}),
                                        lambda step, unit=unit: unit_value(unit, step))
            assert n_steps <= n_there <= n_steps + 2, f"unit {unit}: {n_there} of {n_steps}"

    def columns(self, run, series):
        """A series in 40 columns."""
        text = self.world.baro("get", "--json", "--columns", "40", "--", run, series, status=None)
        return [json.loads(line) for line in text.splitlines() if is_object(line)]

    def n_there(self, run, series):
        """How many steps a series has, pruned ones included."""
        return sum(column["count"] for column in self.columns(run, series))

    def check_series(self, run, series, thing, value):
        """Every step from 0 on has its value, or is counted as pruned; returns how many."""
        text = self.world.baro("get", "--json", "--", run, series)
        points = [(point["step"], float(point["value"]))
                  for point in map(json.loads, filter(is_object, text.splitlines()))]
        n = self.n_there(run, series)
        n_pruned = n - len(points)
        for place, (step, got) in enumerate(points):
            assert (step, got) == (n_pruned + place, value(n_pruned + place)), (
                f"{run} {series}: point {place} is {(step, got)}, "
                f"expected {(n_pruned + place, value(n_pruned + place))}")
        self.n_checked += len(points)
        if n_pruned > 0:
            assert thing.get("pruned", 0) > 0, f"{run} {series} begins at {n_pruned}: {thing}"
            self.check_summaries(run, series, value)
            self.n_pruned += n_pruned
        return n

    def check_summaries(self, run, series, value):
        """The columns of a pruned series hold each step once, with its extremes."""
        at = 0
        for column in self.columns(run, series):  # coarse ones hold runs of steps, in order
            values = [value(step) for step in range(at, at + column["count"])]
            at += column["count"]
            assert column["min"] == min(values) and column["max"] == max(values), (
                run, series, column, min(values), max(values))

    def report(self):
        """What happened, in one line."""
        ways = ", ".join(f"{n} {kind}" for kind, n in sorted(self.kinds.items()))
        return (f"{sum(self.kinds.values())} kills ({ways}); {self.n_runs} runs, "
                f"{self.n_checked} points compared, {self.n_pruned} pruned; first answer after "
                f"{statistics.median(self.answers) * 1000:.0f} ms (median), "
                f"{max(self.answers) * 1000:.0f} ms (worst)")
