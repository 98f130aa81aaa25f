# SPDX-License-Identifier: Apache-2.0
"""A run: what a training program talks to.

Two rules hold everywhere here. A mistake in the program (a wrong type of argument) is told by one
warning and one event, and what is left of the call is done; with strict=True it raises TypeError.
Trouble of the monitoring (a daemon that is gone, an array of an odd kind) never reaches the
training: it becomes one event of the run, and what caused it is left alone.
"""
import ctypes
import time
import warnings
from time import perf_counter

from . import _native, _samples, _tensors
from ._numbers import as_index, as_step
from ._pushing import Pushing, Rejected
from ._watchdog import TROUBLE_STEPS

INTERRUPTED = "interrupted by the user (Ctrl-C)"  # viewers know it: it is no fault of the run
NEWS_S = 2.0           # libbaro is asked for what it has to say so often
LAST_LOOK_S = 0.25     # finish() takes at most about so long to measure the weights once more
FINISH_S = 5.0         # finish() waits so long by default,
MAX_WAIT_S = 86400.0   # and at most so long
NO_ANSWER_WAIT_S = 2.0  # finish() waits no longer than this when no daemon answers


class Run(Pushing):
    """One training job (or one rank of it) as seen by its own process. Made by init()."""

    def __init__(self, library, handle, config, share, first_step, is_strict=False):
        super().__init__(library, handle, share, is_strict)
        self.id = library.baro_run_id(handle).decode("utf-8", "replace")
        self.ring_path = library.baro_ring_path(handle).decode("utf-8", "replace")
        self.config = config
        self._figures = _native.Stats()  # of stats(); after finish() the last ones
        self._next_step = first_step  # what the step under way is believed to be
        self._stride = 1
        self._last_logged = None      # last explicit step
        self._told_step = None        # last step told to libbaro
        self._is_begun = False        # libbaro knows the step under way

    # ---- what users call ----

    @property
    def is_active(self):
        """False after finish(), and in a child after fork()."""
        return self._handle is not None

    def log(self, values=None, step=None, batch=None, samples=None):
        """Record numbers and close the step.

        values   dictionary: numbers, 0-d tensors and arrays; larger arrays are summarised;
                 dictionaries within are flattened with "/"
        step     number of the step; default: one more than the last. Repeated and earlier steps
                 are kept as they come
        batch    indices of the batch's samples in the data set, in the order of axis 0
        samples  dictionary of one number per sample of the batch, e.g. {"loss": losses}; "loss"
                 and "correct" are kept of each sample: "index" says which those are (default:
                 batch), "label" of which class
        """
        if self._handle is None:
            return
        began = perf_counter() - self._native_s
        if step is None and batch is None and samples is None and self._log_plainly(values, began):
            return
        values = self._as_mapping(values, "values", "{'loss': loss}")
        samples = self._as_mapping(samples, "samples", "{'loss': losses}")
        if step is not None:
            try:
                step = as_step(step)
            except TypeError as error:
                self._reject(error)
                step = None
        # A second log() of the step that the last one closed adds to it and opens no other.
        is_more = step is not None and step == self._told_step and not self._is_begun
        try:
            self._enter_step(step)
            if batch is not None:
                self._push_batch(batch)
            is_troubled = self._push_values(values, "", 0) if values else False
            if self._own_values:
                is_troubled |= self._push_own(values)
            is_troubled |= self._late.is_troubled()
            if samples:
                _samples.take(self, samples, batch)
            if is_troubled:
                self._lib.baro_trouble(self._handle, TROUBLE_STEPS)
            if self._watcher is not None and not is_more:
                self._watcher.close_step(is_troubled)
        except Rejected as error:  # only with strict=True
            raise TypeError(str(error)) from None
        except Exception as error:  # the training goes on whatever happens here
            self._complain("log", f"log() failed: {error!r}")
        if self._far is not None:
            self._far.flush()
        if is_more:
            self._is_begun = False
        else:
            self._leave_step(step)
        spent = time.perf_counter() - self._native_s - began
        if self._watcher is not None:
            spent += self._watcher.take_spent()
        self._spent(0, spent + self._unbooked_s)
        self._unbooked_s = 0.0

    def tensor(self, name, array, role="act", unit_axis=None):
        """Summarise one array at the step under way.

        array      NumPy array, torch tensor, or anything with __array_interface__
        role       "weight", "grad", "act" (axis 0 is the batch), "act_grad", "update",
                   "input", "opt"
        unit_axis  axis of neurons, channels, heads; -1 for none; default: by role and shape
        """
        if self._handle is None:
            return
        try:
            if role not in _native.ROLES:
                raise TypeError(f"role is one of {', '.join(_native.ROLES)}, not {role!r}")
            if unit_axis is not None:
                unit_axis = as_index(unit_axis, "unit_axis")
        except TypeError as error:
            self._reject(error)
            return
        try:
            self._begin_step()
            self._push_array(str(name), array, role, unit_axis)
        except Rejected as error:
            raise TypeError(str(error)) from None
        except Exception as error:
            self._complain("tensor", f"tensor() failed: {error!r}")

    def event(self, text, level="info"):
        """Note something at the step under way; level: "info", "watch" or "alarm"."""
        if not isinstance(level, str) or level not in _native.LEVELS:
            self._reject(f"level is one of {', '.join(_native.LEVELS)}, not {level!r}")
            level = "info"
        try:
            if self._handle is not None:
                self._lib.baro_event(self._handle, _native.LEVELS[level],
                                     _tensors.name_bytes(text))
        except Exception as error:  # its text cannot be had
            self._complain("event", f"event() failed: {error!r}")

    def alert(self, title, text="", level="watch"):
        """Note something that a person should look at."""
        try:
            text = f"{title}: {text}" if text is not None and str(text) else title
        except Exception as error:
            self._complain("alert", f"alert() failed: {error!r}")
            return
        self.event(text, level)

    def watch(self, model, optimizer=None, every=None,
              roles=("input", "weight", "grad", "act", "act_grad", "update", "opt"),
              include=None, exclude=None, name=None):
        """Follow a torch model: inputs, weights, gradients, activations and their gradients,
        what the optimiser's steps do, and what it remembers.

        optimizer  an optimiser or a list of them; default: those that hold the parameters
        every      measure each n-th step; default: as often as the budget allows
        roles      which of "input", "weight", "grad", "act", "act_grad", "update", "opt"
        include, exclude  glob patterns on names, e.g. "encoder.*"; a string or a list
        name       put before all names of this model, for runs with several; also the name
                   of its input, else "input"
        """
        if self._handle is None:
            return
        try:
            from . import _watch
            faults, optimizers, every, roles, include, exclude = _watch.check(
                model, optimizer, every, roles, include, exclude)
        except Exception as error:
            self._complain("watch", f"watch() failed: {error!r}")
            return
        for fault in faults:
            self._reject(fault)
        if any("torch.nn.Module" in fault for fault in faults):
            return
        try:
            if self._watcher is None:
                self._watcher = _watch.Watcher(self)
            self._watcher.add(model, optimizers, every, roles, include, exclude, name)
            if self._told_step is None:
                self._states.begin(self._next_step)  # the first one
        except Exception as error:
            self._complain("watch", f"watch() failed: {error!r}")

    # ---- what a person asks, with init(control=True); nothing changes but these answers ----

    @property
    def should_stop(self):
        """True once somebody has asked this training to stop (`baro control RUN stop`)."""
        return self._handle is not None and self._lib.baro_should_stop(self._handle) != 0

    @property
    def should_pause(self):
        """True while somebody wants it to pause: sleep a little and look again."""
        return self._handle is not None and self._lib.baro_should_pause(self._handle) != 0

    @property
    def should_dump(self):
        """True once for each checkpoint that somebody asks for."""
        return self._handle is not None and self._lib.baro_should_dump(self._handle) != 0

    @property
    def lr_scale(self):
        """Product of the factors for the learning rate that were asked for; 1.0 for none."""
        return self._lib.baro_lr_scale(self._handle) if self._handle is not None else 1.0

    def stats(self):
        """libbaro's own figures as a dictionary: pushed, sent, acknowledged, dropped, ...

        After finish() the last ones.
        """
        figures = self._figures
        if self._handle is not None:
            self._lib.baro_stats(self._handle, ctypes.byref(figures))
        return {name: getattr(figures, name) for name, _ in figures._fields_}

    def finish(self, timeout=FINISH_S, status=None, text=None):
        """End the run; waits at most timeout seconds for the daemon to have everything.

        status  "finished" (default) or "failed"
        text    why it failed
        """
        if self._handle is None:
            return
        if status not in (None, "finished", "failed"):
            self._reject(f"status is 'finished' or 'failed', not {status!r}")
            status = None
        timeout = self._as_timeout(timeout)
        began = time.monotonic()
        if self._watcher is not None:
            if status == "failed":
                self._watcher.probes.on_failed()
            if status != "failed":
                self._take_back()
            if self._told_step is not None:
                self._watcher.measure_last(min(timeout, LAST_LOOK_S))
            self._watcher.remove()
        self._late.push(max(0.0, timeout - (time.monotonic() - began)))
        if self._far is not None:
            self._far.push(max(0.0, timeout - (time.monotonic() - began)))
        self._spent(0, self._unbooked_s)
        handle, self._handle = self._handle, None
        _live.discard(self)
        figures = self._figures
        self._lib.baro_stats(handle, ctypes.byref(figures))
        self._hear(handle)
        if not figures.is_connected:
            timeout = min(timeout, NO_ANSWER_WAIT_S)
        if status == "failed":
            self._lib.baro_fail(handle, _tensors.name_bytes(text) if text else None)
        timeout -= time.monotonic() - began
        rc = self._lib.baro_close(handle, max(0, int(timeout * 1000)))
        self._lib.baro_stats(handle, ctypes.byref(figures))
        if rc == _native.ETIMEOUT and not self._is_offline:
            warnings.warn("barograph: not everything of this run has reached the daemon; the "
                          f"rest is in '{self.ring_path}', and 'baro recover' brings it in",
                          stacklevel=2)

    def _as_timeout(self, timeout):
        """Seconds to wait at the end, whatever finish() was given."""
        try:
            seconds = float(timeout)
            if seconds == seconds:
                return max(0.0, min(seconds, MAX_WAIT_S))
        except (TypeError, ValueError, OverflowError):
            pass
        self._reject(f"timeout is a number of seconds, not {timeout!r}; {FINISH_S} is used")
        return FINISH_S

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.finish()
        else:
            self.finish(status="failed", text=describe(kind, error))

    def __repr__(self):
        state = "active" if self.is_active else "ended"
        return f"<barograph.Run '{self.id}', {state}>"

    # ---- steps ----

    _is_offline = False

    def _begin_step(self):
        """Tell libbaro the step under way, once: at its first reading, or at log()."""
        if not self._is_begun:
            self._is_begun = True
            self._tell_step(self._next_step)

    def _tell_step(self, step):
        self._late.push()  # what has arrived by now of the steps before
        if self._far is not None:
            self._far.push()
        if self._lib.baro_step(self._handle, step) == 0:
            self._told_step = step

    def _take_back(self):
        """At the run's end: a forward pass behind the last step of training is no step."""
        before = self._next_step - self._stride
        if self._is_begun and before >= 0 and self._watcher.leave_begun():
            self._lib.baro_take_back(self._handle, before)

    def _enter_step(self, step):
        """See that libbaro is at the step that log() closes."""
        if step is None:
            self._begin_step()
        elif not 0 <= step <= _native.MAX_STEP:
            self._complain("step", f"step {step} is not between 0 and 2^63 - 1; "
                           f"{self._next_step} is used instead")
            self._begin_step()
        else:
            self._is_begun = True
            self._states.name(step)
            if step != self._told_step:
                self._tell_step(step)

    def _leave_step(self, step):
        """Believe the next step to be as far from this one as this one was from the last."""
        if step is None or not 0 <= step <= _native.MAX_STEP:
            self._next_step = min(self._next_step + 1, _native.MAX_STEP)
        else:
            if self._last_logged is not None and step > self._last_logged:
                self._stride = step - self._last_logged
            self._last_logged = step
            self._next_step = min(step + self._stride, _native.MAX_STEP)
        self._is_begun = False
        self._states.begin(self._next_step)
        if time.perf_counter() >= self._news_at:
            self._hear(self._handle)

    _news_at = 0.0

    def _hear(self, handle):
        """Warn of what libbaro has to say: no daemon, a key that is refused, a full ring."""
        self._news_at = time.perf_counter() + NEWS_S
        text = ctypes.create_string_buffer(256)
        if self._lib.baro_news(handle, text, len(text)):
            try:
                warnings.warn(f"barograph: {text.value.decode('utf-8', 'replace')}", stacklevel=4)
            except Warning:  # of python -W error: nobody made a mistake here
                pass

    _exit_note = None  # (where the run was, why it fails) when sys.exit() was called

    def _note_exit(self, text):
        self._exit_note = ((self._next_step, self._is_begun), text)

    def _exit_text(self):
        """Why the program ends with a status of failure; None: it does not, or went on since."""
        place, text = self._exit_note or (None, None)
        return text if place == (self._next_step, self._is_begun) else None

    def _forget(self):
        """In a child after fork(): be silent, without touching what the parent owns."""
        self._handle = None
        if self._watcher is not None:
            self._watcher.remove()


_live = set()  # runs to end at exit


def describe(kind, error):
    """One line for an exception that ended a run."""
    if issubclass(kind, KeyboardInterrupt):
        return INTERRUPTED
    return f"{kind.__name__}: {error}" if str(error) else kind.__name__
