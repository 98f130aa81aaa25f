# SPDX-License-Identifier: Apache-2.0
"""What one step of an optimiser does to the weights, and what the optimiser remembers.

    role "update"  NAME: after - before, with update_ratio = |after - before| / |before|, and of
                   each unit also change = 1 - cos(before, after)
    role "opt"     NAME/exp_avg, NAME/exp_avg_sq, NAME/momentum_buffer, ...: the optimiser's state
    scalars        NAME/rho = mean(g^2) / mean(v)

A watcher calls this from its wrapper around optimizer.step:

    updates = Updates(run)
    is_waiting = updates.before(optimizer, entries)
    result = original_step()
    if is_waiting:
        updates.after(optimizer)

Nothing here changes the training: no random number is drawn, no gradient is recorded, weights
and state are only read. Tensors on other devices and sparse ones are passed over.
"""


class Updates:
    """Measures the steps of all optimisers of a run; a watcher has one."""

    def __init__(self, run):
        """run: barograph._run.Run"""

    def before(self, optimizer, entries, roles=("update", "opt"), is_all=False):
        """Take copies of the weights whose update is due; call just before optimizer.step().

        entries  list of (name, parameter) that the run watches and this optimiser holds. Give the
                 same list object each step as long as it is the same: what is prepared from it
                 (ids, views) is kept with it. All of them, not only those due: which are due is
                 asked here, from baro_due() with the ids of the updates, in one call
        roles    which of "update" and "opt" are wanted
        is_all   measure everything, without asking: for a cadence that the user fixed (every=K)
        returns  True when after() has something to do; False: it need not be called

        Books its own time (baro_spent). Never raises.
        """
        raise NotImplementedError

    def after(self, optimizer, entries=None):
        """Push what the step did; call just after optimizer.step(), also when that raised.

        entries  not needed: those given to before()

        Books its own time. Never raises.
        """
        raise NotImplementedError

    def forget(self):
        """Drop all copies and references: the run has ended, or this is a child after fork()."""
