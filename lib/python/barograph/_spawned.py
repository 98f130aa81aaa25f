# SPDX-License-Identifier: Apache-2.0
"""Ranks that a recorded script starts itself, by torch.multiprocessing.spawn().

Each process of those that makes an optimiser is recorded as a rank of the script's run: its number
in the process group, or else among the processes. The script's own process stays on record, too.
"""
import os
import sys


def install(torch, run, options, again):
    """Have the processes that spawn() starts be recorded.

    options  as for auto.begin()
    again    arguments of init() that the ranks are to have, too
    """
    if os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1"):
        return  # this process is a rank itself: what it spawns has no number among them
    module = sys.modules.get("torch.multiprocessing.spawn")
    original = getattr(module, "start_processes", None)
    if original is None:
        return

    def start_processes(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn",
                        *more, **named):
        if start_method != "fork" and run.is_active:  # a child after fork() stays silent
            fn = Rank(fn, nprocs, dict(again, run_id=run.id), options)
        return original(fn, args, nprocs, join, daemon, start_method, *more, **named)

    start_processes.__wrapped__, start_processes.__doc__ = original, original.__doc__
    if torch.multiprocessing.start_processes is original:
        torch.multiprocessing.start_processes = start_processes
    module.start_processes = start_processes


class Rank:
    """What a spawned process calls: the script's function, on record."""

    def __init__(self, function, n_ranks, again, options):
        self._function = function
        self._n_ranks = n_ranks
        self._again = again
        self._options = options
        self._run = None

    def __call__(self, index, *args):
        self._await_optimizer(index)
        status = text = None
        try:
            return self._function(index, *args)
        except SystemExit as end:
            if end.code not in (None, 0):
                status, text = "failed", f"rank {index} ended with exit status {end.code}"
            raise
        except BaseException as error:
            from ._run import describe
            status, text = "failed", describe(type(error), error)
            raise
        finally:
            if self._run is not None:
                from . import auto
                auto.end()
                self._run.finish(status=status, text=text)

    def _await_optimizer(self, index):
        """A process that makes no optimiser does not train."""
        import torch
        kind = torch.optim.Optimizer
        make = kind.__init__

        def __init__(optimizer, *args, **kwargs):
            if kind.__init__ is __init__:
                kind.__init__ = make
                self._begin(torch, index)
            kind.__init__(optimizer, *args, **kwargs)  # the recorder's own by now

        __init__.__wrapped__ = make
        kind.__init__ = __init__

    def _begin(self, torch, index):
        import barograph

        from . import auto
        if barograph.run is not None and barograph.run.is_active:
            return  # the function records itself
        rank, n_ranks = index, self._n_ranks
        group = torch.distributed
        if group.is_available() and group.is_initialized():
            rank, n_ranks = group.get_rank(), group.get_world_size()
        self._run = barograph.init(**self._again, rank=rank, n_ranks=n_ranks)
        auto.begin(self._run, self._options)
