# SPDX-License-Identifier: Apache-2.0
"""Faults of the store under a living daemon: killed in mid-write, disks that fail, wrong clocks."""
import errno
import json
import os
import resource
import subprocess
import time

from faults import SCALARS, await_that, check_all_there, seeded, tap, world_test
from disks import WAYS, Disks
from kills import Kills

KILLS_S = 40  # tools/soak takes as long as it needs


@world_test
def test_dozens_of_kills_in_mid_write_lose_nothing_and_it_answers_at_once(world):
    kills = Kills(world, seeded(3), "6M", a_run=5)
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


@world_test
def test_prune_on_a_full_disk_fails_whole_and_verify_needs_no_room(world):
    control = world.control()
    world.start()
    trainer = world.train(n_steps=6000)
    trainer.finish()
    world.await_acked(trainer, 5999)
    world.stop()  # which packs the readings
    world.start()
    assert json.loads(world.baro("verify", "--json").splitlines()[-1])["damages"] == 0
    control.set(write_errno=errno.ENOSPC)
    text = world.baro("prune", trainer.run, status=1)
    # Whether summaries must still be made depends on how far the background was.
    assert ("there is no room for the summaries of what goes" in text
            or "No space left on device" in text), text
    assert len(text.splitlines()) == 1, text
    text = world.baro("verify", "--json")
    assert json.loads(text.splitlines()[-1])["damages"] == 0, text
    check_all_there(world, trainer, may_have_more=0)
    control.set(write_errno=0)
    items = world.listing("prune", trainer.run)
    assert items[0]["what"] == "readings" and items[0]["records"] > 0, items
    assert json.loads(world.baro("verify", "--json").splitlines()[-1])["damages"] == 0
    assert world.run_info(trainer.run)["is_pruned"]


HOUR_NS = 3600 * 10**9


@world_test
def test_a_clock_that_jumps_by_hours_disturbs_neither_order_nor_rates_nor_statuses(world):
    control = world.control()
    world.start()
    trainer = world.train(n_ahead=0, pause=0.001, tensor=10, env=world.shim_env)
    n_jumps = 0
    for hours in (0, 5, -7, 30, -1, 0):
        control.set(clock_ns=hours * HOUR_NS)
        n_jumps += 1
        before = trainer.n_pushed
        began = time.monotonic()
        trainer.await_pushed(before + 600)
        world.await_acked(trainer, trainer.n_pushed // len(SCALARS))
        assert time.monotonic() - began < 10, "something waits for a clock"
        info = world.run_info(trainer.run)
        assert info["status"] == "running" and info["dropped"] == 0, info
        for listing in ("runs", "status"):
            text = world.baro(listing)
            assert "nan" not in text.lower() and " -" not in text.replace(" - ", ""), text
    began = time.monotonic()
    control.set(clock_ns=-3 * HOUR_NS)
    second = world.train(n_steps=50, env=world.shim_env)  # begins "before" the first
    second.finish()
    assert time.monotonic() - began < 10
    listed = [run["id"] for run in world.listing("runs")]
    assert listed == [second.run, trainer.run], "the newest run is the one that began last"
    trainer.kill()
    world.await_status(trainer.run, "killed")
    check_all_there(world, trainer)
    check_all_there(world, second, may_have_more=0)
    seconds = world.points(trainer.run, "step_time")
    assert len(seconds) > 100 and all(0 <= value < 30 for _, value in seconds), max(seconds)
    times = [point["time_ns"] for point in map(json.loads, world.baro(
        "get", "--json", "--", trainer.run, "loss").splitlines())]
    n_back = sum(1 for a, b in zip(times, times[1:]) if b < a - HOUR_NS // 2)
    n_forth = sum(1 for a, b in zip(times, times[1:]) if b > a + HOUR_NS // 2)
    assert n_back <= 3 and n_forth <= 3, (n_back, n_forth)
    world.stop()


@world_test
def test_a_run_that_goes_on_under_a_clock_set_back_is_running_not_dead(world):
    control = world.control()
    world.start()
    first = world.train(n_steps=50, init={"run_id": "same"}, env=world.shim_env)
    first.await_pushed(100)
    await_that(lambda: world.run_info("same"), "the daemon knows the run")
    first.kill()
    world.await_status("same", "killed", "finished")
    control.set(clock_ns=-5 * HOUR_NS)
    second = world.train(first_step=50, pause=0.001, init={"run_id": "same"}, env=world.shim_env)
    world.await_status("same", "running")
    second.await_pushed(300)
    time.sleep(2.5)  # several looks of the daemon at its runs
    assert world.run_info("same")["status"] == "running"
    second.kill()
    world.await_status("same", "killed")


@world_test
def test_a_full_disk_while_the_clock_is_set_back_ends_when_there_is_room(world):
    control = world.control()
    world.start()
    trainer = world.train(n_ahead=0, pause=0.001)
    world.await_acked(trainer, 20)
    control.set(write_errno=errno.ENOSPC)
    await_that(lambda: world.listing("status")[0]["trouble"], "trouble is told")
    control.set(clock_ns=-20 * HOUR_NS)
    time.sleep(0.1)
    control.set(write_errno=0)
    began = time.monotonic()
    await_that(lambda: not world.listing("status")[0]["trouble"], "trouble ends")
    assert time.monotonic() - began < 5
    trainer.kill()
    world.await_status(trainer.run, "killed")
    check_all_there(world, trainer)


def refused(world, *words):
    """barod refuses the folder with one sentence that has these words; returns the sentence."""
    code, said = world.run_barod("--dir", world.dir)
    assert code == 1 and len(said.splitlines()) == 1, said
    assert all(word in said for word in words), said
    return said


def filled(world):
    """Leave a folder with some hundred steps behind; returns the training and the store's file."""
    world.start()
    trainer = world.train(n_steps=3000, tensor=5)
    trainer.finish()
    world.stop()
    return trainer, os.path.join(world.dir, "store.mdb")


@world_test
def test_a_half_copied_store_is_refused_by_name_and_left_alone(world):
    trainer, path = filled(world)
    with open(path, "rb") as file:
        content = file.read()
    for share in (0.001, 0.3, 0.5, 0.97):
        with open(path, "wb") as file:
            file.write(content[:int(len(content) * share)])
        refused(world, "store.mdb", "cut off")
        assert os.path.getsize(path) == int(len(content) * share)
    with open(path, "wb") as file:  # the right length, but the second half never came
        file.write(content[:len(content) // 2] + bytes(len(content) - len(content) // 2))
    code, said = world.run_barod("--dir", world.dir, "--check-config")
    assert code == 0, said
    refused(world, "store.mdb", "damaged")
    with open(path, "wb") as file:
        file.write(content)
    world.start()
    check_all_there(world, trainer, may_have_more=0)


@world_test
def test_folders_of_other_formats_are_refused_with_both_numbers(world):
    trainer, path = filled(world)
    with open(path, "rb") as file:
        content = file.read()
    for number in (1, 9):
        other = content.replace(b"format\x02\0\0\0", b"format" + bytes([number, 0, 0, 0]))
        assert other != content
        with open(path, "wb") as file:
            file.write(other)
        refused(world, f"has format {number}, this program knows 2;")
        with open(path, "rb") as file:
            assert file.read() == other
    with open(path, "wb") as file:
        file.write(content)
    world.start()
    check_all_there(world, trainer, may_have_more=0)


@world_test
def test_a_folder_that_cannot_be_written_is_refused_by_name(world):
    world.dir = world.env["BARO_DIR"] = world.tmpfs("small", "30m")
    trainer, path = filled(world)
    with open(path, "rb") as file:
        content = file.read()
    remount(world.dir, "ro")
    said = refused(world, world.dir)
    assert "Read-only file system" in said, said
    remount(world.dir, "rw")
    with open(path, "rb") as file:
        assert file.read() == content
    world.start()
    check_all_there(world, trainer, may_have_more=0)


@world_test
def test_a_disk_that_becomes_unwritable_in_mid_run_is_told_and_overcome(world):
    world.dir = world.env["BARO_DIR"] = world.tmpfs("small", "30m")
    world.start()
    trainer = world.train(n_ahead=0, pause=0.001)
    world.await_acked(trainer, 20)
    resource.prlimit(world.barod.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    trouble = await_that(lambda: world.listing("status")[0]["trouble"], "trouble is told")
    assert "goes on by itself" in trouble, trouble
    resource.prlimit(world.barod.pid, resource.RLIMIT_FSIZE,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await_that(lambda: not world.listing("status")[0]["trouble"], "trouble ends")
    trainer.kill()
    world.await_status(trainer.run, "killed")
    check_all_there(world, trainer)


def remount(path, how):
    """Make a mounted file system read-only, or writable again."""
    done = subprocess.run(["mount", "-o", f"remount,{how}", path], capture_output=True, check=False)
    if done.returncode != 0:
        raise tap.Skip("a file system cannot be mounted read-only here")


if __name__ == "__main__":
    tap.main(globals())
