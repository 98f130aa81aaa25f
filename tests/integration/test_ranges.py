# SPDX-License-Identifier: Apache-2.0
"""Ranges from end to end: what `baro get --columns` says against every single point."""
import json
import math
import random

from faults import tap, unit_value, world_test

SERIES = """
import json, random, sys
import barograph
run = barograph.init(project="ranges", run_id="ranges")
chance = random.Random(7)
noise = lambda: chance.gauss(0, 1)
spiky = lambda: 1e6 if chance.random() < 0.001 else noise()
holes = lambda: float("nan") if chance.random() < 0.01 else (
    float("inf") if chance.random() < 0.005 else (
    -float("inf") if chance.random() < 0.005 else noise()))
for step in range(9000):
    values = {"noise": noise(), "spiky": spiky(), "holes": holes(), "constant": 4.5}
    run.log(values, step=step)
step = 10**15
for _ in range(6000):  # far away, with gaps
    step += 1 if chance.random() < 0.9 else chance.randrange(1, 10**9)
    run.log({"gaps": noise()}, step=step)
step = -500
for _ in range(9000):  # repeats, and steps that go back
    move = chance.random()
    step += 1 if move < 0.8 else 0 if move < 0.9 else -chance.randrange(1, 400)
    run.log({"back": noise()}, step=step)
for step in (-2**63, -2**63 + 1, -5, 0, 7, 2**62, 2**63 - 2, 2**63 - 1):
    run.log({"ends": float(step % 1000)}, step=step)
for step in range(40):
    run.log({"nothing": float("nan")}, step=step)
run.finish(timeout=20)
print(json.dumps(run.stats() or {}))
"""
NAMES = ("noise", "spiky", "holes", "constant", "gaps", "back", "ends", "nothing")


def points_of(world, name, run="ranges"):
    """(step, value) of every point."""
    text = world.baro("get", "--json", run, name)
    return [(point["step"], float(point["value"]))
            for point in map(json.loads, text.splitlines())]


def check_column(column, points):
    """A column says of these points, all those within its steps, what is true."""
    finite = [value for _, value in points if math.isfinite(value)]
    assert column["count"] == len(points), (column, len(points))
    assert column["n_nonfinite"] == len(points) - len(finite), column
    if not finite:
        assert column["min"] == column["max"] == column["mean"] == "nan", column
        return
    assert column["min"] == min(finite) and column["max"] == max(finite), (column, finite[:9])
    mean = math.fsum(finite) / len(finite)
    reach = max(abs(value) for value in finite)
    assert abs(column["mean"] - mean) <= 3e-4 * reach, (column, mean)  # summaries are rounded


def check_zoom(world, name, points, low, high, n_columns, run="ranges"):
    """One zoom against brute force."""
    text = world.baro("get", "--json", "--columns", str(n_columns), f"--from={low}",
                      f"--to={high}", run, name, status=None)
    columns = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    within = sorted((point for point in points if low <= point[0] <= high),
                    key=lambda point: point[0])
    assert len(columns) <= n_columns
    at = 0
    before = low - 1
    for column in columns:
        assert before < column["from"] <= column["to"] <= high, (column, before, high)
        before = column["to"]
        begin = at
        while at < len(within) and within[at][0] <= column["to"]:
            assert within[at][0] >= column["from"], (name, within[at], column)
            at += 1
        check_column(column, within[begin:at])
    assert at == len(within), (name, low, high, n_columns, at, len(within))
    return len(columns)


def check_all(world, chance, n_zooms):
    """Random zooms into every series; returns how many columns were compared."""
    n = 0
    for name in NAMES:
        points = points_of(world, name)
        assert points, name
        first = min(step for step, _ in points)
        last = max(step for step, _ in points)
        n += check_zoom(world, name, points, -2**63, 2**63 - 1, 100)
        for _ in range(n_zooms):
            width = int((last - first + 1) * 10 ** -chance.uniform(0, 4)) + 1
            low = chance.randint(first - width // 2, last)
            low = max(-2**63, low)
            high = min(2**63 - 1, low + width)
            n += check_zoom(world, name, points, low, high,
                            chance.choice([1, 2, 7, 40, 333, 1000, 8192]))
    return n


@world_test
def test_columns_hold_exactly_the_points_of_their_steps_at_any_zoom(world):
    world.start()
    world.python(SERIES)
    chance = random.Random(20261122)
    n = check_all(world, chance, 12)
    world.stop()  # sealed, summarised, in another file perhaps
    world.start()
    n += check_all(world, chance, 12)
    print(f"# {n} columns compared with every point in them")


BRANCHES = """
import barograph
def go(first, n, factor, **more):
    run = barograph.init(project="tree", run_id="tree", **more)
    for step in range(first, first + n):
        run.log({"loss": step % 1009 * factor}, step=step)
    run.finish(timeout=20)
go(0, 12000, 1.0)
go(7003, 6000, 2.0, resume="branch", resume_step=7003)
go(9001, 2000, 3.0, resume="branch", resume_step=9001)
"""


@world_test
def test_columns_of_a_branch_hold_what_it_inherited_and_what_is_its_own(world):
    world.start()
    world.python(BRANCHES)
    def of(factor, first, end):
        return [(step, step % 1009 * factor) for step in range(first, end)]
    lines = {"tree": of(1.0, 0, 7003) + of(2.0, 7003, 9001) + of(3.0, 9001, 11001)}
    others = [run["id"] for run in world.listing("runs") if run["id"] != "tree"]
    assert sorted(others) == ["tree~1", "tree~2"], others
    lines["tree~1"] = of(1.0, 0, 12000)
    lines["tree~2"] = of(1.0, 0, 7003) + of(2.0, 7003, 13003)
    chance = random.Random(5)
    for turn in range(2):
        for run, points in lines.items():
            assert points_of(world, "loss", run) == points, run
            for _ in range(15):
                low = chance.randrange(-100, 13000)
                high = low + int(10 ** chance.uniform(0, 4.2))
                check_zoom(world, "loss", points, low, high,
                           chance.choice([1, 3, 25, 400, 2000]), run)
        if turn == 0:  # sealed and summarised
            world.stop()
            world.start()


@world_test
def test_units_in_columns_are_what_their_points_are(world):
    world.start()
    trainer = world.train(n_steps=3000, units=96)
    trainer.finish()
    for turn in range(2):
        for unit in (0, 31, 95):
            for low, high, n in ((0, 2999, 50), (100, 2000, 7), (1234, 1240, 400)):
                text = world.baro("get", "--json", "--columns", str(n), f"--from={low}",
                                  f"--to={high}", trainer.run, f"u:weight[{unit}]/mean")
                at = low
                for column in map(json.loads, text.splitlines()):
                    steps = range(max(low, column["from"]), column["to"] + 1)
                    values = [unit_value(unit, step) for step in steps]
                    assert steps[0] == at and column["count"] == len(steps), (column, at)
                    assert column["min"] == min(values) and column["max"] == max(values)
                    at = steps[-1] + 1
                assert at == high + 1
        if turn == 0:
            world.stop()
            world.start()


def refused(world, words, status, *arguments):
    """baro says one sentence, with these words, and exits so."""
    said = world.baro(*arguments, status=status)
    lines = [line for line in said.splitlines() if not line.startswith("see baro")]
    assert len(lines) == 1 and words in lines[0], (arguments, said)


@world_test
def test_what_cannot_be_read_is_told_in_one_sentence(world):
    world.start()
    trainer = world.train(n_steps=100, units=96)
    trainer.finish()
    run = trainer.run
    refused(world, "no series 'los'; did you mean 'loss'?", 1, "get", run, "los")
    refused(world, "did you mean 'u:weight/l2'?", 1, "get", run, "u:weigh/l2")
    refused(world, "units have no statistic 'meen'; did you mean 'u:weight[0]/mean'?", 1, "get",
            run, "u:weight[0]/meen")
    for unit in ("96", "-1", "4294967297", "-4294967296"):
        refused(world, f"'u:weight' has 96 units: 0 to 95, not {unit}", 1, "get", run,
                f"u:weight[{unit}]/mean")
    refused(world, f"did you mean '{run}'?", 1, "get", run[:-1] + "~", "loss")
    for more in ((), ("--columns", "50")):
        refused(world, "'loss' has no readings at steps 500 to 600: it has steps 0 to 99", 1,
                "get", run, "loss", "--from", "500", "--to", "600", *more)
        refused(world, "has no readings up to step -9223372036854775808: it has steps 0 to 99",
                1, "get", run, "loss", "--to=-9223372036854775808", *more)
        refused(world, "no readings from step 9223372036854775807 on", 1, "get", run, "loss",
                "--from=9223372036854775807", *more)
        refused(world, "--from 7 is behind --to 3", 2, "get", run, "loss", "--from", "7", "--to",
                "3", *more)
    for number in ("0", "-1", "1000000", "9223372036854775807"):
        refused(world, f"--columns: {number} is not between 1 and 8192", 2, "get", run, "loss",
                "--columns", number)
    for number in ("9223372036854775808", "x", "1.5", ""):
        refused(world, "is not a whole number", 2, "get", run, "loss", "--columns", number)
    whole = world.baro("get", "--json", "--columns", "3", "--from=-9223372036854775808",
                       "--to=9223372036854775807", run, "loss")
    assert sum(json.loads(line)["count"] for line in whole.splitlines()) == 100, whole


WIDTHS = """
import barograph, numpy
run = barograph.init(project="widths", run_id="widths")
for step in range(3):
    for name, array in (("one", numpy.full((1, 3), step + 1, "f4")),
                        ("most", numpy.ones((65536, 1), "f4") * step),
                        ("million", numpy.ones((10**6, 1), "f4") * step)):
        run.tensor(name, array, "weight", unit_axis=0)
    run.log({}, step=step)
run.finish(timeout=20)
"""


@world_test
def test_tensors_of_one_unit_and_of_a_million(world):
    world.start()
    world.python(WIDTHS)

    def values(series):
        return [json.loads(line)["value"]
                for line in world.baro("get", "--json", "widths", series).splitlines()]
    assert values("one:weight[0]/mean") == [1, 2, 3]
    assert values("most:weight[65535]/mean") == [0, 1, 2]
    assert values("million:weight/mean") == [0, 1, 2]
    refused(world, "'one:weight' has one unit, 0, not 1", 1, "get", "widths", "one:weight[1]/mean")
    refused(world, "'million:weight' has no units: tensors of more than 65536 are kept as a whole "
            "only", 1, "get", "widths", "million:weight[0]/mean")


if __name__ == "__main__":
    tap.main(globals())
