# SPDX-License-Identifier: Apache-2.0
"""python -m barograph run [options] SCRIPT [arguments]: a training script, unchanged, on record."""
import argparse
import os
import re
import sys

import barograph

from . import _script, auto
from ._run import describe


def _parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m barograph", allow_abbrev=False,
        description="Run a training script, unchanged, and record it.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run", help="run a script", allow_abbrev=False,
        usage="python -m barograph run [options] [-m] SCRIPT [arguments]",
        description="Run a Python script as a recorded run: its life and end, and if it trains "
                    "with torch, each step of its optimisers, the scalars that backward() is "
                    "called on (as 'loss'), learning rates, and the models whose parameters its "
                    "optimisers hold. A script that calls barograph.init() itself keeps the say "
                    "over what is recorded.")
    run.add_argument("--project", help="default: BARO_PROJECT, else 'default'")
    run.add_argument("--name", help="default: the script's name")
    run.add_argument("--no-watch", action="store_true", help="record no tensors, only scalars")
    run.add_argument("--every", type=_count, metavar="K",
                     help="measure each K-th step; default: as often as the budget allows")
    run.add_argument("--budget", type=_share, metavar="SHARE",
                     help="share of the time that measuring may take; default: BARO_BUDGET, "
                          "else 0.01")
    run.add_argument("--include", action="append", metavar="PATTERN",
                     help="watch only what has such a name, e.g. 'encoder.*'; may be repeated")
    run.add_argument("--exclude", action="append", metavar="PATTERN",
                     help="do not watch what has such a name; may be repeated")
    run.add_argument("-m", dest="is_module", action="store_true",
                     help="SCRIPT is the name of a module, as for python -m")
    run.add_argument("script", metavar="SCRIPT")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="arguments")
    return parser.parse_args(arguments)


def _count(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return number


def _share(text):
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a share from 0 to 1")
    return share


def _shared_run_id():
    """One name for all ranks that were started together; None: init() decides.

    Restarted by torchrun the job goes on as the same run.
    """
    environment = os.environ
    if environment.get("BARO_RUN_ID") or environment.get("WORLD_SIZE", "1") in ("", "0", "1"):
        return None
    job = environment.get("TORCHELASTIC_RUN_ID", "none")
    if job == "none" and environment.get("SLURM_JOB_ID"):
        job = f"slurm-{environment['SLURM_JOB_ID']}.{environment.get('SLURM_STEP_ID', '0')}"
    if job == "none":
        if environment.get("LOCAL_WORLD_SIZE") != environment["WORLD_SIZE"]:
            print("python -m barograph: set BARO_RUN_ID to the same name on all machines: the "
                  "ranks of this job cannot tell that they belong together", file=sys.stderr)
            return None
        job = f"ranks-{os.getppid()}-{_start_of(os.getppid())}"  # of one torchrun, on one machine
    return re.sub(r"[^A-Za-z0-9._-]", "-", job)[:80]


def _start_of(pid):
    """When a process was started, in ticks since boot: pids come again."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rsplit(b")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def main(arguments=None):
    """Returns the exit status of the script."""
    options = _parse(arguments)
    if not options.is_module and not os.path.exists(options.script):
        print(f"python -m barograph: there is no script '{options.script}'", file=sys.stderr)
        return 2
    run_script = _script.run_module if options.is_module else _script.run_file
    again = {"project": options.project, "budget": options.budget,
             "name": options.name or os.path.basename(options.script)}
    run = barograph.init(**again, run_id=_shared_run_id(),
                         config={"script": options.script, "arguments": options.arguments})
    watched = {"every": options.every, "include": options.include, "exclude": options.exclude}
    auto.begin(run, None if options.no_watch else watched, again)
    try:
        run_script(options.script, options.arguments)
    except _script.NotFound as fault:
        run.finish(status="failed", text=str(fault))
        print(f"python -m barograph: {fault}", file=sys.stderr)
        return 2
    except SystemExit as end:
        is_fine = end.code in (None, 0)
        _end(run, None if is_fine else "failed",
             None if is_fine else f"the script ended with exit status {end.code}")
        raise
    except KeyboardInterrupt as error:  # the process then ends by the signal, as without us
        _end(run, "failed", describe(type(error), error))
        sys.excepthook = _without_us(sys.excepthook)
        raise
    except BaseException as error:
        error.__traceback__ = _script.trace_of_script(error)
        sys.excepthook(type(error), error, error.__traceback__)
        _end(run, "failed", describe(type(error), error))
        return 1
    _end(run, None, None)
    return 0


def _without_us(hook):
    """An excepthook that shows what the script raised as without us."""
    def show(kind, error, trace):
        error.__traceback__ = _script.trace_of_script(error)
        hook(kind, error, error.__traceback__)
    return show


def _end(run, status, text):
    auto.end()
    run.finish(status=status, text=text)


if __name__ == "__main__":
    sys.exit(main())
