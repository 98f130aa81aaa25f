# SPDX-License-Identifier: Apache-2.0
"""Faults of the store under a living daemon: killed in mid-write, disks that fail, wrong clocks."""
import time

from faults import seeded, tap, world_test
from disks import WAYS, Disks
from kills import Kills

KILLS_S = 40  # tools/soak takes as long as it needs


@world_test
def test_dozens_of_kills_in_mid_write_lose_nothing_and_it_answers_at_once(world):
    kills = Kills(world, seeded(3), "1G", a_run=8)
    began = time.monotonic()
    while len(kills.answers) < 36 and time.monotonic() - began < KILLS_S:
        kills.kill()
    kills.check()
    print("# " + kills.report())
    assert len(kills.answers) >= 12, kills.report()


@world_test
def test_a_failing_disk_is_told_acknowledges_nothing_and_is_overcome(world):
    disks = Disks(world, seeded(8))
    for number, way in enumerate(sorted(WAYS)):
        disks.fail(way, dies=number % 3 == 2)
    text = world.log()
    assert "nothing is acknowledged until it can" in text, text
    assert "the store takes data again" in text, text
    disks.check()
    print("# " + disks.report())


if __name__ == "__main__":
    tap.main(globals())
