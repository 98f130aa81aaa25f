# SPDX-License-Identifier: Apache-2.0
"""A training for the tests of faults: pushes values that follow from their steps.

    fault_trainer.py COUNT_FILE OPTIONS

After each scalar it raises a number in COUNT_FILE, a mapped file: what that says is in the ring,
whatever happens to this process next. The second number there is how many records have been
acknowledged. OPTIONS is a JSON object:

    n_steps     how many steps; default: for ever
    names       scalars of each step
    first_step  where to begin
    pause       seconds between steps
    n_ahead     wait when so many records are in the ring unacknowledged; 0: never
    tensor      summarise an array each so many steps; 0: never
    units       summarise an array of so many units each step; 0: never (see unit_value)
    init        more arguments for barograph.init()
    timeout     of finish()
"""
import json
import mmap
import os
import sys
import time

import barograph

from faults import SCALARS, unit_values, value_of


def main():
    options = json.loads(sys.argv[2])
    n_steps = options.get("n_steps", 1 << 60)
    names = options.get("names", SCALARS)
    pause = options.get("pause", 0)
    n_ahead = options.get("n_ahead", 20000)
    every = options.get("tensor", 0)
    n_units = options.get("units", 0)
    first = options.get("first_step", 0)
    with open(sys.argv[1], "r+b") as file:
        count = memoryview(mmap.mmap(file.fileno(), 16)).cast("q")  # stores in one piece
    run = barograph.init(project="faults", **options.get("init", {}))
    print(json.dumps({"run": getattr(run, "id", ""), "ring": getattr(run, "ring_path", "")}),
          flush=True)
    n_pushed = 0
    for step in range(first, first + n_steps):
        if every and step % every == 0:
            run.tensor("w", [value_of("w", step + i) for i in range(12)], role="weight")
        if n_units:
            run.tensor("u", unit_values(n_units, step), role="weight", unit_axis=0)
        for name in names:
            run.log({name: value_of(name, step)}, step=step)
            n_pushed += 1
            count[0] = n_pushed
        if pause:
            time.sleep(pause)
        while n_ahead and step % 64 == 0:
            figures = run.stats()
            count[1] = figures["n_acked"]
            if figures["n_pushed"] - figures["n_acked"] < n_ahead:
                break
            time.sleep(0.002)
    figures = run.stats()
    run.finish(timeout=options.get("timeout", 20))
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    main()
