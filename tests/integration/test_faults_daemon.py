# SPDX-License-Identifier: Apache-2.0
"""Faults of the daemon: absent, dead, stopped, restarted, without room, not alone."""
import os
import re
import signal
import time

from faults import SCALARS, await_that, check_all_there, seeded, tap, world_test


@world_test
def test_a_run_without_a_daemon_is_kept_in_its_ring_and_brought_in_later(world):
    trainer = world.train(n_steps=500, timeout=0.2)
    figures, said = trainer.finish()
    assert figures["n_acked"] == 0 and figures["n_dropped"] == 0, figures
    assert re.search(r"not everything of this run has reached the daemon; the rest is in "
                     r"'.+\.ring', and 'baro recover' brings it in", said), said
    text = world.baro("runs", status=1)
    assert re.fullmatch(r"baro: no daemon answers at ipc://\S+; start one with 'baro up'\n",
                        text), text
    world.start()
    text = world.baro("recover")
    assert "steps 0 to 499" in text and "ring removed" in text, text
    assert not os.path.exists(trainer.ring)
    check_all_there(world, trainer, may_have_more=0)
    assert world.run_info(trainer.run)["status"] == "finished"


@world_test
def test_a_daemon_that_comes_in_mid_run_gets_all_of_it(world):
    trainer = world.train(n_steps=4000, n_ahead=0, pause=0.0005)
    trainer.await_pushed(1000)
    world.start()
    figures, said = trainer.finish()
    assert said == "" and figures["n_dropped"] == 0, (said, figures)
    assert not os.path.exists(trainer.ring)
    check_all_there(world, trainer, may_have_more=0)


@world_test
def test_a_dead_daemon_is_named_and_what_it_missed_comes_with_the_next(world):
    world.start()
    trainer = world.train(n_steps=6000, n_ahead=0, pause=0.0002)
    world.await_acked(trainer, 100)
    world.kill()
    text = world.baro("status", status=1)
    assert re.fullmatch(r"baro: no daemon answers at \S+; start one with 'baro up'\n", text), text
    n_before = trainer.n_pushed
    trainer.await_pushed(n_before + 1500)
    world.start()
    figures, said = trainer.finish()
    assert said == "" and figures["n_dropped"] == 0, (said, figures)
    check_all_there(world, trainer, may_have_more=0)


@world_test
def test_a_stopped_daemon_holds_up_nobody_and_gets_all_when_it_goes_on(world):
    world.start()
    trainer = world.train(n_ahead=0, pause=0.0002)
    world.await_acked(trainer, 100)
    world.barod.send_signal(signal.SIGSTOP)
    n_before = trainer.n_pushed
    began = time.monotonic()
    trainer.await_pushed(n_before + 3000)
    assert time.monotonic() - began < 10
    text = world.baro("status", status=1)
    assert re.fullmatch(r"baro: process \d+ listens at \S+ but does not answer; is it stopped\?\n",
                        text), text
    world.barod.send_signal(signal.SIGCONT)
    world.await_acked(trainer, trainer.n_pushed // len(SCALARS))
    trainer.kill()
    info = world.await_status(trainer.run, "killed")
    assert info["dropped"] == 0, info
    check_all_there(world, trainer)


@world_test
def test_a_run_ends_in_time_while_the_daemon_is_stopped(world):
    world.start()
    trainer = world.train(n_steps=300, timeout=1.0)
    world.await_acked(trainer, 1)
    world.barod.send_signal(signal.SIGSTOP)
    late = world.train(n_steps=2000, n_ahead=0, timeout=1.0)
    began = time.monotonic()
    figures, said = late.finish()
    assert time.monotonic() - began < 10
    assert "'baro recover' brings it in" in said, said
    world.barod.send_signal(signal.SIGCONT)
    trainer.process.wait(30)
    world.baro("recover")
    check_all_there(world, late, may_have_more=0)
    check_all_there(world, trainer, may_have_more=0)


@world_test
def test_twelve_kills_of_the_daemon_at_random_moments_lose_nothing(world):
    rng = seeded(20260)
    world.start()
    trainer = world.train(n_ahead=4000, tensor=5)
    n_reconnects = 0
    for _ in range(12):
        n_acked = (world.run_info(trainer.run) or {}).get("last_step", 0)
        time.sleep(rng.uniform(0.0, 0.35))
        world.kill()
        time.sleep(rng.choice([0.0, 0.0, 0.05, 0.2]))
        world.start()
        await_that(lambda: (world.run_info(trainer.run) or {}).get("last_step", 0) > n_acked
                   or trainer.process.poll() is not None, "steps go on after a kill")
        n_reconnects += 1
    trainer.signal(signal.SIGSTOP)  # it stops pushing between two instructions
    trainer.kill()
    world.await_status(trainer.run, "killed")
    n_found = check_all_there(world, trainer)
    assert n_reconnects == 12 and n_found > 5000, n_found
    steps = [step for step, _ in world.points(trainer.run, "w:weight/abs_max")]
    n_steps = n_found // len(SCALARS)
    assert steps == list(range(0, steps[-1] + 1, 5)) and steps[-1] >= n_steps - 10, steps[-5:]
    assert world.run_info(trainer.run)["dropped"] == 0


@world_test
def test_a_second_daemon_on_the_same_folder_is_refused_and_the_first_goes_on(world):
    world.start()
    trainer = world.train(n_steps=200)
    trainer.finish()
    code, said = world.run_barod("--dir", world.dir)
    assert code == 1 and len(said.splitlines()) == 1, said
    assert re.search(rf"\b{world.barod.pid}\b", said), said
    other = f"ipc://{world.folder}/other.sock"
    code, said = world.run_barod("--dir", world.dir, "--listen", other)
    assert code == 1 and len(said.splitlines()) == 1, said
    text = world.baro("up")
    assert "already up" in text, text
    check_all_there(world, trainer, may_have_more=0)


@world_test
def test_a_data_folder_from_the_future_is_refused_and_left_as_it_is(world):
    world.start()
    trainer = world.train(n_steps=50)
    trainer.finish()
    world.stop()
    path = os.path.join(world.dir, "store.mdb")
    with open(path, "rb") as file:
        content = file.read()
    later = content.replace(b"format\x02\0\0\0", b"format\x09\0\0\0")
    assert later != content
    with open(path, "wb") as file:
        file.write(later)
    code, said = world.run_barod("--dir", world.dir)
    assert code == 1 and len(said.splitlines()) == 1, said
    assert "has format 9, this program knows 2;" in said, said
    text = world.baro("up", status=1)
    assert "format 9" in text, text
    _, warned = world.python(
        "import barograph\n"
        "run = barograph.init(project='later')\n"
        "run.log({'loss': 1.0})\n"
        "run.finish(timeout=0.2)\n", env={"BARO_AUTOSTART": "1", "BARO_BAROD": world.barod_path})
    assert "barod ended at once with exit status 1; see" in warned, warned
    assert "'baro recover' brings it in" in warned, warned
    with open(path, "rb") as file:
        assert file.read() == later
    with open(path, "wb") as file:
        file.write(content)
    world.start()
    check_all_there(world, trainer, may_have_more=0)
    world.baro("recover")
    assert [run["steps"] for run in world.listing("runs") if run["project"] == "later"] == [1]


def fill(path):
    """Take all room that is left in a file system."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while os.write(descriptor, bytes(4096)) > 0:
            pass
    except OSError:
        pass
    finally:
        os.close(descriptor)


@world_test
def test_a_full_disk_is_told_loses_nothing_and_goes_on_when_there_is_room(world):
    world.dir = world.env["BARO_DIR"] = world.tmpfs("small", "3m")
    world.start()
    filler = os.path.join(world.dir, "filler")
    trainer = world.train(n_ahead=0, pause=0.0005, tensor=1)
    world.await_acked(trainer, 50)
    fill(filler)
    trouble = await_that(lambda: world.listing("status")[0]["trouble"], "the daemon tells trouble")
    assert "full" in trouble or "No space" in trouble, trouble
    assert f"trouble: {trouble}" in world.baro("status")
    n_committed = world.run_info(trainer.run)["records"]
    n_before = trainer.n_pushed
    trainer.await_pushed(n_before + 1000)
    world.kill()  # dying does not make it worse
    os.truncate(filler, max(0, os.path.getsize(filler) - 65536))
    world.start()
    fill(filler)
    assert world.run_info(trainer.run)["records"] >= n_committed
    os.unlink(filler)
    await_that(lambda: world.listing("status")[0]["trouble"] is None, "the trouble is over")
    trainer.kill()
    world.await_status(trainer.run, "killed")
    check_all_there(world, trainer)


if __name__ == "__main__":
    tap.main(globals())
