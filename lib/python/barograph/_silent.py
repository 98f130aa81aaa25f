# SPDX-License-Identifier: Apache-2.0
"""The run that does nothing: BARO_MODE=off, and after anything that kept a run from opening."""


class SilentRun:
    """Takes every call of Run and does nothing."""

    id = ""
    ring_path = ""
    is_active = False
    should_stop = should_pause = should_dump = False
    lr_scale = 1.0

    def __init__(self, config=None):
        self.config = config if config is not None else {}

    def log(self, values=None, step=None, batch=None, samples=None):
        """Do nothing."""

    def tensor(self, name, array, role="act", unit_axis=None):
        """Do nothing."""

    def event(self, text, level="info"):
        """Do nothing."""

    def alert(self, title, text="", level="watch"):
        """Do nothing."""

    def watch(self, model, optimizer=None, every=None, roles=(), include=None, exclude=None,
              name=None):
        """Do nothing."""

    def stats(self):
        """An empty dictionary: there are no figures."""
        return {}

    def finish(self, timeout=5.0, status=None, text=None):
        """Do nothing."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass

    def __repr__(self):
        return "<barograph.SilentRun>"
