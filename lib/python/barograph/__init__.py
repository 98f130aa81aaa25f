# SPDX-License-Identifier: Apache-2.0
"""Barograph for Python: two lines in a training loop, and its weather is on record.

    import barograph
    run = barograph.init(project="vae", config={"lr": 1e-3})
    run.watch(model, optimizer)
    for step, (x, indices) in enumerate(batches):
        ...
        loss.backward(); optimizer.step()
        run.log({"loss": loss}, batch=indices)
    run.finish()

Nothing but ctypes and libbaro is needed; torch is touched only by watch(). BARO_MODE=off makes
all of it do nothing. See docs/tutorial/first-light.md.
"""
import atexit
import builtins
import collections.abc
import dataclasses
import functools
import json
import math
import os
import sys
import threading
import warnings

from ._native import VERSION as __version__
from ._silent import SilentRun

__all__ = ["init", "log", "watch", "tensor", "event", "alert", "finish"]

MAX_CONFIG_BYTES = 65536
MIN_BUDGET = 1e-9  # stands for none at all: libbaro takes 0 for its default

run = None            # the newest run: what log(), watch() and the others of this module use
_is_prepared = False  # the hooks for exit, fork and exceptions stand
_adopt = None         # `python -m barograph run`: gives the run that it has opened already


def init(project=None, name=None, config=None, mode=None, run_id=None, rank=None, n_ranks=None,
         endpoint=None, ring_dir=None, ring_bytes=None, budget=None, first_step=None,
         resume=None, resume_step=None, key_file=None, strict=None, summarise=None,
         control=None):
    """Open a run, and the user's own daemon if none answers. Never stops a training.

    config      dictionary (or argparse namespace, or dataclass) to keep with the run
    mode        "online", "offline" (ring file only), "off"; default: BARO_MODE, else online
    run_id      the same id again goes on with that run; default: BARO_RUN_ID, else a new one
    resume      what happens when that run exists: "append" (its readings go on; steps that come
                again are kept and marked), "branch" (from resume_step on the run is new, and what
                it was stays beside it as "ID~1"), "overwrite" (the same, but what it was is
                hidden and gives way first); default: BARO_RESUME, else "append"
    resume_step  where a branch begins; default: BARO_RESUME_STEP, else the first step that comes
    rank, n_ranks  this process's place; default: RANK and WORLD_SIZE, as torchrun sets them
    budget      share of the time that measuring may take; default: BARO_BUDGET, else 0.01
    first_step  number of the first step, for a training that goes on from a checkpoint;
                default: resume_step, else 0
    endpoint    of the daemon; default: BARO_ENDPOINT, else the user's own
    key_file    this client's key, for a daemon at tcp://; default: BARO_KEY
    summarise   "here", or "daemon": tensors go to the daemon whole, which reads them instead of
                this process; default: BARO_SUMMARISE, else "here"
    control     True when the program looks at run.should_stop, should_pause, should_dump and
                lr_scale, so that a person may ask for it; default: BARO_CONTROL, else False
    strict      raise TypeError for wrong arguments and for values that cannot be recorded, here
                and in the run's calls, instead of one warning; default: BARO_STRICT, else False
    returns     a Run; or one that does nothing, with one warning, when it cannot be opened

    In a notebook or at a prompt the run before is finished first: its cell is run once more.
    """
    global run
    if _adopt is not None:
        run = _adopt(config)
        return run
    is_strict = _is_true(os.environ.get("BARO_STRICT")) if strict is None else bool(strict)
    texts = {"project": project, "name": name, "run_id": run_id, "mode": mode,
             "endpoint": endpoint, "ring_dir": ring_dir, "key_file": key_file}
    numbers = {"rank": rank, "n_ranks": n_ranks, "ring_bytes": ring_bytes,
               "first_step": first_step, "resume_step": resume_step}
    choices = {"resume": resume, "budget": budget, "config": config, "summarise": summarise}
    faults = _check(texts, numbers, choices)
    if faults and is_strict:
        raise TypeError(faults[0])
    for fault in faults:
        warnings.warn(f"barograph: {fault}", stacklevel=2)
    mode, rank, n_ranks, ring_bytes = texts["mode"], *(
        numbers[key] for key in ("rank", "n_ranks", "ring_bytes"))
    config = _as_config(choices["config"])
    mode = mode or os.environ.get("BARO_MODE") or "online"
    if mode == "off":
        run = SilentRun(config)
        return run
    _finish_previous()
    try:
        run = _open(texts, mode, config, rank, n_ranks, ring_bytes, choices["budget"],
                    numbers["first_step"], (choices["resume"], numbers["resume_step"]),
                    is_strict, choices["summarise"], control)
        for fault in faults:
            run._complain(("reject", fault), fault)
    except Exception as error:  # whatever is wrong with the monitoring, the training goes on
        warnings.warn(f"barograph: this run is not recorded: {error}", stacklevel=2)
        run = SilentRun(config)
    return run


def _is_true(text):
    return bool(text) and text.lower() not in ("0", "false", "no", "off")


def _check(texts, numbers, choices):
    """Tell what is wrong with init()'s arguments; what is wrong is replaced by the default."""
    faults = []
    for key, value in texts.items():
        if value is not None and not isinstance(value, (str, os.PathLike)):
            faults.append(f"{key} is a string, not '{type(value).__name__}'")
            texts[key] = None
    for key, value in numbers.items():
        if value is not None and (not isinstance(value, int) or not 0 <= value < 2**63):
            faults.append(f"{key} is a whole number from 0, not {value!r}")
            numbers[key] = None
    if choices["resume"] not in (None, "append", "overwrite", "branch"):
        faults.append("resume is 'append', 'overwrite' or 'branch', not "
                      f"{choices['resume']!r}")
        choices["resume"] = None
    if numbers["resume_step"] is not None and choices["resume"] == "append":
        faults.append("resume_step belongs to resume='overwrite' and 'branch'")
        numbers["resume_step"] = None
    if choices["summarise"] not in (None, "here", "daemon"):
        faults.append(f"summarise is 'here' or 'daemon', not {choices['summarise']!r}")
        choices["summarise"] = None
    budget = choices["budget"]
    if budget is not None and (not isinstance(budget, (int, float)) or not 0 <= budget <= 1):
        faults.append(f"budget is a share like 0.01, not {budget!r}")
        choices["budget"] = None
    try:
        _as_config(choices["config"])
    except TypeError as error:
        faults.append(str(error))
        choices["config"] = None
    return faults


def _open(texts, mode, config, rank, n_ranks, ring_bytes, budget, first_step, resume,
          is_strict, summarise, control):
    import ctypes

    from . import _daemon, _native
    from ._run import Run, _live

    library, path = _native.load()
    endpoint = texts["endpoint"] or os.environ.get("BARO_ENDPOINT")
    if mode == "online" and os.environ.get("BARO_AUTOSTART", "1") != "0":
        complaint = _start_daemon(_daemon, endpoint, path)
        if complaint:
            warnings.warn(f"barograph: {complaint}", stacklevel=4)
    options = _native.Options()
    for key, value in texts.items():
        if value is not None:
            setattr(options, key, os.fsencode(value))
    options.mode = mode.encode()
    options.config = _config_bytes(config)
    options.rank = rank if rank is not None else _number_from("RANK", int, 0)
    options.n_ranks = n_ranks if n_ranks is not None else _number_from("WORLD_SIZE", int, 0)
    options.ring_bytes = ring_bytes or 0
    options.resume = _native.RESUMES[resume[0] or "append"]  # "append": BARO_RESUME decides
    options.resume_step = resume[1] or 0
    options.summarise = _native.SUMMARISERS[summarise]
    options.is_steerable = 0 if control is None else 1 if control else -1
    share = budget if budget is not None else _number_from("BARO_BUDGET", float, 0.01)
    options.budget = min(max(share, MIN_BUDGET), 1.0) if share == share else 0.01
    error = _native.Err()
    handle = library.baro_open(ctypes.byref(options), ctypes.byref(error))
    if not handle:
        raise RuntimeError(error.text.decode("utf-8", "replace") or "libbaro gave no reason")
    if first_step is None:
        first_step = resume[1] or 0
        if (resume[0] or os.environ.get("BARO_RESUME") or "append") != "append":
            first_step = first_step or _number_from("BARO_RESUME_STEP", int, 0)
    opened = Run(library, handle, config, options.budget, first_step, is_strict)
    opened._is_offline = mode == "offline"
    _live.add(opened)
    _prepare()
    return opened


def _is_interactive():
    """Tell whether a person types: at Python's prompt, in IPython, in a notebook."""
    return hasattr(sys, "ps1") or "get_ipython" in vars(builtins)


def _finish_previous():
    """A program that opens two runs wants both; a person who runs a cell again wants one."""
    if run is None or not run.is_active or not _is_interactive():
        return
    try:
        run.finish(timeout=1.0)
    except Exception as error:
        warnings.warn(f"barograph: the run before did not end well: {error!r}", stacklevel=3)


def _start_daemon(daemon, endpoint, library_path):
    try:
        return daemon.ensure(endpoint, library_path)
    except OSError as error:
        return f"barod could not be started: {error}"


def _number_from(variable, kind, default):
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        return kind(text)
    except ValueError:
        warnings.warn(f"barograph: {variable}='{text}' is no number; {default} is used",
                      stacklevel=5)
        return default


def _as_config(config):
    if config is None:
        return {}
    if isinstance(config, collections.abc.Mapping):
        return dict(config)
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return dataclasses.asdict(config)
    if hasattr(config, "__dict__") and not isinstance(config, type) and not callable(config):
        return dict(vars(config))
    raise TypeError(f"config is a dictionary, not '{type(config).__name__}'")


def _plain(value, depth=0):
    """A value as JSON knows it; what JSON does not know is told as text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, collections.abc.Mapping) and depth < 8:
        return {str(key): _plain(part, depth + 1) for key, part in value.items()}
    if isinstance(value, (list, tuple)) and depth < 8:
        return [_plain(part, depth + 1) for part in value]
    return str(value)


def _config_bytes(config):
    """The config as JSON; values that are too long for it are cut, then left out."""
    if not config:
        return None
    plain = _plain(config)
    text = json.dumps(plain).encode()
    if len(text) > MAX_CONFIG_BYTES:
        plain = {key: value if len(json.dumps(value)) <= 500 else json.dumps(value)[:497] + "..."
                 for key, value in plain.items()}
        text = json.dumps(plain).encode()
    while len(text) > MAX_CONFIG_BYTES:
        kept = len(plain) // 2
        plain = dict(list(plain.items())[:kept])
        text = json.dumps(plain).encode()
    return text


# ---- ends of runs that nobody calls finish() for ----

def _prepare():
    global _is_prepared
    if _is_prepared:
        return
    _is_prepared = True
    atexit.register(_finish_all, None, None)
    os.register_at_fork(after_in_child=_forget_all)
    previous = sys.excepthook

    def on_exception(kind, error, trace):
        try:
            previous(kind, error, trace)
        finally:
            from ._run import describe
            _finish_all("failed", describe(kind, error))

    sys.excepthook = on_exception
    plain_exit = sys.exit

    @functools.wraps(plain_exit)
    def on_exit(*status):
        _note_exit(*status)
        plain_exit(*status)

    sys.exit = on_exit


def _note_exit(status=None, *_):
    """Python tells nobody with which status it ends; a status of failure is remembered here."""
    if threading.current_thread() is not threading.main_thread():
        return  # ends the thread, not the program
    from ._run import _live
    text = None
    if status is not None and status != 0:
        text = f"sys.exit({status})" if isinstance(status, int) else str(status)
    for one in list(_live):
        one._note_exit(text)


def _finish_all(status, text):
    from ._run import _live
    for one in list(_live):
        try:
            exit_text = one._exit_text() if status is None else None
            if exit_text is None:
                one.finish(status=status, text=text)
            else:
                one.finish(status="failed", text=exit_text)
        except Exception as error:
            warnings.warn(f"barograph: a run did not end well: {error!r}", stacklevel=2)


def _forget_all():
    from ._run import _live
    for one in list(_live):
        one._forget()
    _live.clear()


# ---- the newest run, for those who keep no variable ----

def _current(what):
    global run
    if run is None:
        warnings.warn(f"barograph: {what}() does nothing before barograph.init()", stacklevel=3)
        run = SilentRun()
    return run


def log(values=None, step=None, batch=None, samples=None):
    """Run.log() of the newest run."""
    _current("log").log(values, step, batch, samples)


def watch(model, optimizer=None, **options):
    """Run.watch() of the newest run."""
    _current("watch").watch(model, optimizer, **options)


def tensor(name, array, role="act", unit_axis=None):
    """Run.tensor() of the newest run."""
    _current("tensor").tensor(name, array, role, unit_axis)


def event(text, level="info"):
    """Run.event() of the newest run."""
    _current("event").event(text, level)


def alert(title, text="", level="watch"):
    """Run.alert() of the newest run."""
    _current("alert").alert(title, text, level)


def finish(timeout=5.0, status=None, text=None):
    """Run.finish() of the newest run."""
    if run is not None:
        run.finish(timeout, status, text)
