# SPDX-License-Identifier: Apache-2.0
"""Let the disk under barod fail in every way while trainings push, and see that it goes on.

What fails (fault_shim.c): writing pages, synchronising them, writing the page that makes a
transaction count; with an input/output error or for want of room. The daemon must say so, must
acknowledge nothing meanwhile, must go on by itself when the fault ends, and must lose nothing.
"""
import errno
import json
import time

from faults import await_that, check_all_there

WAYS = {
    "writes fail": {"write_errno": errno.EIO},
    "no room for writes": {"write_errno": errno.ENOSPC},
    "synchronising fails": {"sync_errno": errno.EIO},
    "the meta page fails": {"meta_errno": errno.EIO},
    "no room for the meta page": {"meta_errno": errno.ENOSPC},
    "everything fails": {"write_errno": errno.EIO, "sync_errno": errno.EIO,
                         "meta_errno": errno.EIO},
}
WELL = {"write_errno": 0, "sync_errno": 0, "meta_errno": 0}


class Disks:
    """A world whose disk has no good time."""

    def __init__(self, world, rng):
        self.world = world
        self.rng = rng
        self.control = world.control()
        world.start()
        self.trainer = world.train(n_ahead=0, pause=0.001, tensor=3,
                                   init={"ring_bytes": 256 << 20})
        world.await_acked(self.trainer, 20)
        self.n_faults = {}
        self.waits = []   # seconds from the end of a fault to the end of the trouble

    def status(self):
        return json.loads(self.world.baro("status", "--json").splitlines()[0])

    def n_records(self):
        return self.world.run_info(self.trainer.run)["records"]

    def fail(self, way=None, dies=None):
        """One fault, from its beginning until the daemon has caught up again."""
        way = way or self.rng.choice(sorted(WAYS))
        dies = self.rng.random() < 0.2 if dies is None else dies
        self.n_faults[way] = self.n_faults.get(way, 0) + 1
        n_failed = self.control.get("n_failed")
        self.control.set(**WAYS[way])
        await_that(lambda: self.status()["trouble"], f"trouble is told: {way}")
        assert self.control.get("n_failed") > n_failed
        n_before = self.n_records()
        n_pushed = self.trainer.n_pushed
        time.sleep(self.rng.uniform(0, 0.3))
        self.trainer.await_pushed(n_pushed + 20)  # the training notices nothing
        assert self.n_records() == n_before, "something was acknowledged meanwhile"
        if dies:
            self.world.kill()
        self.control.set(**WELL)
        began = time.monotonic()
        if dies:
            self.world.start()
        await_that(lambda: not self.status()["trouble"], f"trouble ends: {way}")
        await_that(lambda: self.n_records() > n_before, f"it goes on: {way}")
        self.waits.append(time.monotonic() - began)

    def check(self):
        """All that was pushed is there."""
        self.trainer.kill()
        self.world.await_status(self.trainer.run, "killed")
        check_all_there(self.world, self.trainer)
        self.world.stop()
        self.world.start()
        check_all_there(self.world, self.trainer)
        assert self.world.run_info(self.trainer.run)["dropped"] == 0

    def report(self):
        """What happened, in one line."""
        ways = ", ".join(f"{n} x {way}" for way, n in sorted(self.n_faults.items()))
        return (f"{sum(self.n_faults.values())} faults ({ways}); {self.trainer.n_pushed} values "
                f"pushed; went on {max(self.waits):.1f} s after the end of a fault at the latest")
