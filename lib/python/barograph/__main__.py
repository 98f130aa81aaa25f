# SPDX-License-Identifier: Apache-2.0
"""python -m barograph run [options] SCRIPT [arguments]: a training script, unchanged, on record."""
import argparse
import os
import runpy
import sys

import barograph

from . import auto
from ._run import describe


def _parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m barograph",
        description="Run a training script, unchanged, and record it.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run", help="run a script",
        description="Run a Python script as a recorded run: its life and end, and if it trains "
                    "with torch, each step of its first optimiser, the scalars that backward() "
                    "is called on (as 'loss'), learning rates, and the models whose parameters "
                    "its optimisers hold. A script that calls barograph.init() itself keeps the "
                    "say over what is recorded.")
    run.add_argument("--project", help="default: BARO_PROJECT, else 'default'")
    run.add_argument("--name", help="default: the script's name")
    run.add_argument("--no-watch", action="store_true", help="record no tensors, only scalars")
    run.add_argument("--every", type=int, metavar="K",
                     help="measure each K-th step; default: as often as the budget allows")
    run.add_argument("script")
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Returns the exit status of the script."""
    options = _parse(arguments)
    if not os.path.exists(options.script):
        print(f"python -m barograph: there is no script '{options.script}'", file=sys.stderr)
        return 2
    run = barograph.init(project=options.project,
                         name=options.name or os.path.basename(options.script),
                         config={"script": options.script, "arguments": options.arguments})
    auto.begin(run, is_watching=not options.no_watch, every=options.every)
    sys.argv = [options.script] + options.arguments
    sys.path[0] = os.path.dirname(os.path.abspath(options.script))
    try:
        runpy.run_path(options.script, run_name="__main__")
    except SystemExit as end:
        is_fine = end.code in (None, 0)
        run.finish(status=None if is_fine else "failed",
                   text=None if is_fine else f"the script ended with exit status {end.code}")
        raise
    except BaseException as error:
        run.finish(status="failed", text=describe(type(error), error))
        raise
    run.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
