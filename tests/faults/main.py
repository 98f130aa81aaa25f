# SPDX-License-Identifier: Apache-2.0
"""The command tools/faults: chooses cases, runs them beside each other, and reports."""
import argparse
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import traceback

from . import report, split, why
from .score import score

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@dataclasses.dataclass
class Healthy:
    """A healthy kind, as the stage wants it."""

    name: str
    make: object
    group: str = "healthy"
    kinds: tuple = ()
    n_ranks: int = 1
    is_killed: bool = False


def all_cases():
    """Every kind: healthy ones, faulty ones, published traces."""
    from . import faulty, fourth, healthy, second, third, traces
    cases = []
    for module, kinds, faults in (("first", healthy.KINDS, faulty.KINDS + traces.KINDS),
                                  *((part.__name__.rsplit(".", 1)[1], part.HEALTHY, part.FAULTY)
                                    for part in (second, third, fourth))):
        found = [Healthy(make.__name__, lambda make=make: (make(), None)) for make in kinds]
        for one in faults:
            one.group = getattr(one, "group", "faulty")
        for case in found + faults:
            case.file = module
        cases += found + faults
    return cases


def chosen(arguments):
    """The cases that the options name, each with its seeds."""
    import fnmatch
    cases = []
    more = []
    if arguments.why:
        from . import failures
        more = failures.KINDS
    for case in all_cases() + more:
        case.split = "why" if case in more else split.split_of(case)
        if arguments.only:
            is_wanted = any(fnmatch.fnmatch(case.name, glob) for glob in arguments.only)
        elif arguments.quick:
            is_wanted = case.name in split.QUICK
        else:
            is_wanted = True
        if is_wanted and (arguments.split in ("all", case.split) or case in more):
            cases += [(case, seed) for seed in range(1, arguments.seeds + 1)]
    # Those that wait much and work little begin first.
    return sorted(cases, key=lambda pair: not pair[0].is_killed)


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="tools/faults", description="Measure the alarm: seeded trainings, healthy and with "
        "one known fault each, run with the real client and daemon; what the rules said of them.")
    parser.add_argument("--split", choices=("tune", "seen", "test", "judge", "unseen", "all"),
                        default="all", help="kinds that serve for tuning rules, those that did "
                        "not but are known, those of the sceptics, the last of which nobody has "
                        "looked at")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="kinds with this name (globs, may be repeated)")
    parser.add_argument("--quick", action="store_true", help="a few kinds, under a minute")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="runs of each kind")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), metavar="N",
                        help="runs beside each other")
    parser.add_argument("--every", type=int, default=1, metavar="N",
                        help="steps from one measurement of tensors to the next; 0: as the "
                        "governor decides")
    parser.add_argument("--keep", metavar="DIR", help="keep what the daemon stored of each run")
    parser.add_argument("--again", metavar="DIR",
                        help="train nothing: replay what --keep has kept")
    parser.add_argument("--rules", metavar="FILE", help="rules file for the daemon")
    parser.add_argument("--build", default=os.environ.get("BARO_BUILD_DIR") or
                        os.path.join(ROOT, "build"), metavar="DIR", help="build folder")
    parser.add_argument("--why", action="store_true",
                        help="measure 'baro why' instead: operation, module, sample, cause; with "
                        "more kinds, in which one operation fails")
    parser.add_argument("--json", action="store_true",
                        help="one JSON object a line: runs, then a summary of each split")
    parser.add_argument("--list", action="store_true", help="list the kinds and their causes")
    return parser.parse_args(argv)


def run_one(case, seed, arguments, path):
    """In a process of its own: run, judge, leave the result in a file."""
    from . import stage
    try:
        if arguments.again:
            known = stage.again(case, seed, arguments.build, arguments.again, arguments.rules)
        else:
            known = stage.perform(case, seed, arguments.build, arguments.every or None,
                                  arguments.rules, arguments.keep)
        result = score(case, known)
        result["why"] = why.score_why(case, known)
    except Exception as error:
        result = {"name": case.name, "seed": seed, "group": case.group, "trouble":
                  str(error) if isinstance(error, stage.Trouble) else traceback.format_exc()}
    result["split"] = case.split
    with open(path, "w") as file:
        json.dump(result, file)


def run_all(cases, arguments, on_result):
    """Run cases, some beside each other; every result goes to on_result."""
    import torch
    from . import stage
    torch.set_num_threads(1)
    folder = tempfile.mkdtemp(prefix="baro-faults-results-")
    waiting, running = list(enumerate(cases)), {}
    try:
        while waiting or running:
            while waiting and len(running) < arguments.jobs:
                number, (case, seed) = waiting.pop(0)
                path = os.path.join(folder, str(number))
                running[stage.fork(run_one, case, seed, arguments, path)] = (case, seed, path)
            pid, _ = os.wait()
            if pid not in running:
                continue
            case, seed, path = running.pop(pid)
            if os.path.exists(path):
                with open(path) as file:
                    on_result(json.load(file))
            else:
                on_result({"name": case.name, "seed": seed, "group": case.group,
                           "split": case.split, "trouble": "its process ended without a result"})
    finally:
        for pid in running:
            os.kill(pid, 15)
        shutil.rmtree(folder, ignore_errors=True)


def main(argv=None):
    arguments = parse(argv)
    arguments.build = os.path.abspath(arguments.build)
    try:
        import sklearn  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        print(f"tools/faults: {error}; try tools/packages/install run", file=sys.stderr)
        return 77
    for part in ("daemon/barod", "tools/baro", "lib/push/libbaro.so"):
        if not os.path.exists(os.path.join(arguments.build, part)):
            print(f"tools/faults: '{arguments.build}' holds no {part}; build it, or give --build",
                  file=sys.stderr)
            return 2
    cases = chosen(arguments)
    if not cases:
        print("tools/faults: no kind has that name; see --list", file=sys.stderr)
        return 2
    if arguments.list:
        report.list_kinds(cases, arguments.json)
        return 0
    results = []

    def take(result):
        results.append(result)
        if arguments.json:
            print(json.dumps(result), flush=True)
        else:
            is_why = arguments.why and "trouble" not in result
            print(why.line(result) if is_why else report.line(result), flush=True)

    if not arguments.json and not arguments.why:
        print(report.HEAD)
    run_all(cases, arguments, take)
    if arguments.why:
        found = why.figures(results)
        print(json.dumps({"summary": "why", **found})) if arguments.json else why.show(found)
    else:
        report.summarise(results, arguments.json)
    return 1 if any("trouble" in one for one in results) else 0
