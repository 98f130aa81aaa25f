# SPDX-License-Identifier: Apache-2.0
"""The daemon on the network: keys and roles, lines that are cut or slow, hostile neighbours."""
import ctypes
import json
import os
import random
import socket
import stat
import subprocess
import time

from faults import SCALARS, await_that, check_all_there, tap, world_test
from forwarder import Forwarder
from test_faults_wire import RUNS_REQUEST, ZMQ_DEALER, ZMQ_LINGER, ZMQ_RCVTIMEO, \
    ZMQ_SNDTIMEO, envelope, zmq_library

ZMQ_ROUTER, ZMQ_CURVE_PUBLIC, ZMQ_CURVE_SECRET, ZMQ_CURVE_SERVERKEY = 6, 48, 49, 50


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_key(world, name, role=None, more=()):
    """A key for this world's daemon; on its list if it has a role. Returns its file."""
    world.baro("key", "server")
    path = os.path.join(world.folder, name + ".key")
    world.baro("key", "new", name, "-o", path, *more)
    if role:
        world.baro("key", "allow", path, "--role", role)
    return path


def serve(world):
    """Start barod on a port, for whose keys are listed; returns the port."""
    port = free_port()
    world.start("--listen", f"tcp://127.0.0.1:{port}")
    return port


def at(port, key=None):
    return ["-e", f"tcp://127.0.0.1:{port}", *(["-k", key] if key else [])]


def train_over(world, endpoint, key, **options):
    init = dict(options.pop("init", {}), endpoint=endpoint, key_file=key)
    return world.train(init=init, **options)


def is_still(path):
    """A file does not grow for a while, in which many a live value would have come."""
    n = os.path.getsize(path)
    time.sleep(0.4)
    return os.path.getsize(path) == n


def await_committed(world, trainer):
    """The run has ended, and the store has as many records as were pushed."""
    def check():
        info = world.run_info(trainer.run)
        return info and info["status"] == "finished" and info["records"] >= trainer.n_pushed
    await_that(check, "the run has ended and is committed")


def check_whole(world, trainer):
    """The training ends, and all that it pushed is in the store, once."""
    figures, said = trainer.finish()
    assert "not everything" not in said, said  # its process saw to it, not the ring it left
    await_committed(world, trainer)
    check_all_there(world, trainer, may_have_more=0)
    assert figures["n_dropped"] == 0, figures


@world_test
def test_keys_are_made_listed_and_revoked_by_baro_key(world):
    path = os.path.join(world.folder, "t.key")
    made = json.loads(world.baro("key", "new", "t", "--role", "push", "-o", path, "--json"))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert made["file"] == path and made["role"] == "push" and made["has_server"] is False
    assert "never written over" in world.baro("key", "new", "t", "-o", path, status=1)
    assert "'pusch'" in world.baro("key", "allow", path, "--role", "pusch", status=2)
    assert "did you mean 'push'" in world.baro("key", "allow", path, "--role", "pusch", status=2)
    assert "--role" in world.baro("key", "allow", path, status=2)
    assert "did you mean 'allow'" in world.baro("key", "allows", status=2)
    assert "no public key" in world.baro("key", "allow", "12ab", "--role", "push", status=2)
    server = world.baro("key", "server").split()[-1]
    assert server in world.baro("key", "allow", made["public"], "--role", "push", "--name", "t-1")
    assert made["has_server"] is False  # there was no daemon's key yet
    for _ in range(2):  # a file that lacks it is told the daemon's key, once
        world.baro("key", "allow", path, "--role", "view,push", "--name", "t-2")
    with open(path, encoding="ascii") as file:
        assert file.read().count(f"\nserver = {server}\n") == 1
    assert world.listing("key", "list") == [
        {"name": "t-2", "role": "push,view", "public": made["public"]}]
    other = json.loads(world.baro("key", "new", "b", "-o", path + "2", "--json"))
    assert other["has_server"] is True
    with open(path + "2", encoding="ascii") as file:
        assert f"server = {server}\n" in file.read()
    assert "'b'" in world.baro("key", "revoke", "b", status=1)
    world.baro("key", "revoke", "t-2")
    assert world.listing("key", "list") == []
    for name in ("server.key", "allowed-keys"):
        assert stat.S_IMODE(os.stat(os.path.join(world.dir, name)).st_mode) == 0o600
    code, said = world.run_barod("--dir", world.dir, "--listen", "tcp://127.0.0.1:1")
    assert code == 2 and "baro key allow" in said, said


@world_test
def test_a_role_may_what_it_says_and_is_refused_the_rest_by_name(world):
    keys = {role: make_key(world, role, role) for role in ("push", "view", "admin")}
    port = serve(world)
    for role, command, needed in (("push", ["runs"], "view"), ("push", ["status"], "view"),
                                  ("push", ["verify"], "admin"), ("view", ["verify"], "admin"),
                                  ("view", ["prune", "--to", "1M"], "admin"),
                                  ("view", ["down"], "admin")):
        said = world.baro(*command, *at(port, keys[role]), status=1)
        assert f"with the role '{needed}'; '{role}' has '{role}'" in said, said
    trainer = train_over(world, f"tcp://127.0.0.1:{port}", keys["push"], n_steps=200)
    check_whole(world, trainer)
    assert trainer.run in world.baro("runs", "--json", *at(port, keys["view"]))
    assert len(world.baro("get", trainer.run, "loss", *at(port, keys["view"])).splitlines()) > 199
    refused = train_over(world, f"tcp://127.0.0.1:{port}", keys["view"], n_steps=500,
                         pause=0.005, n_ahead=0, timeout=0.3)
    _, said = refused.finish()
    assert "pushing readings needs a key with the role 'push'; 'view' has 'view'" in said, said
    world.baro("verify", *at(port, keys["admin"]))
    third = train_over(world, f"tcp://127.0.0.1:{port}", keys["admin"], n_steps=20)
    check_whole(world, third)
    world.baro("down", *at(port, keys["admin"]))
    assert world.barod.wait(10) == 0


@world_test
def test_keys_that_do_not_fit_are_told_in_a_sentence_at_once(world):
    good = make_key(world, "good", "admin")
    unlisted = make_key(world, "unlisted")
    stranger = make_key(world, "stranger", "view", ["--server", "0" * 63 + "1"])
    port = serve(world)
    free = free_port()
    bare = os.path.join(world.folder, "bare.key")
    with open(good, encoding="ascii") as whole, open(bare, "w", encoding="ascii") as file:
        file.writelines(line for line in whole if not line.startswith("server"))
    os.chmod(bare, 0o600)
    for arguments, words in (
            (at(port), "needs a key"),
            (at(port, bare), "baro key server"),
            (at(port, unlisted), "does not admit this key; on its machine: baro key allow"),
            (at(port, stranger), "is not its key"),
            ([*at(port), "--insecure"], "admits only "),
            (at(port, good + "x"), "cannot read the key file"),
            (at(free, good), "no daemon answers at tcp://")):
        began = time.monotonic()
        said = world.baro("runs", *arguments, status=1)
        assert words in said, (words, said)
        assert said.count("\n") == 1, said
        assert time.monotonic() - began < (8 if str(free) in arguments[1] else 2.5), words
    viewer = os.path.join(tap.BUILD_DIR, "client", "baro-view")
    if os.path.exists(viewer):
        done = subprocess.run([viewer, "--screenshot", os.path.join(world.folder, "x.png"),
                               "--endpoint", f"tcp://127.0.0.1:{port}", "--key", unlisted],
                              env=world.env, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "does not admit this key" in done.stderr, done
    counters = world.listing("status")[0]["counters"]
    assert counters["refused_key"] >= 1, counters
    assert "turned away a client from 127.0.0.1" in world.log()
    open_port = free_port()
    code, said = world.run_barod("--dir", world.dir + "2", "--listen",
                                 f"tcp://127.0.0.1:{open_port}", "--insecure", "--check-config")
    assert code == 0, said


@world_test
def test_a_training_whose_key_is_not_listed_goes_on_and_arrives_whole_when_it_is(world):
    make_key(world, "other", "view")
    key = make_key(world, "late")
    port = serve(world)
    trainer = train_over(world, f"tcp://127.0.0.1:{port}", key, n_steps=3000, pause=0.002,
                         n_ahead=0)
    await_that(lambda: "turned away" in world.log(), "it is turned away")
    trainer.await_pushed(300)
    world.baro("key", "allow", key, "--role", "push")
    world.await_acked(trainer, 20)
    assert trainer.process.poll() is None, "it has not been waited for"
    figures, said = trainer.finish()
    assert "does not admit this key" in said, said
    await_committed(world, trainer)
    check_all_there(world, trainer, may_have_more=0)
    assert figures["n_dropped"] == 0


@world_test
def test_a_revoked_key_is_out_within_a_second_and_nothing_is_lost(world):
    push = make_key(world, "pusher", "push")
    view = make_key(world, "viewer", "view")
    port = serve(world)
    trainer = train_over(world, f"tcp://127.0.0.1:{port}", push, n_steps=2500, pause=0.002,
                         n_ahead=0)
    world.await_acked(trainer, 20)
    seen = os.path.join(world.folder, "seen")
    with open(seen, "wb") as out:
        tail = subprocess.Popen([world.baro_path, "tail", trainer.run, "--json", *at(port, view)],
                                env=world.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    world.processes.append(tail)
    await_that(lambda: os.path.getsize(seen) > 2000, "live values are seen")
    world.baro("key", "revoke", "viewer")
    assert "does not admit" in world.baro("runs", *at(port, view), status=1)
    await_that(lambda: world.barod.poll() is None and is_still(seen), "no more live values", 5)
    tail.kill()
    tail.wait()
    n_refused = world.listing("status")[0]["counters"]["refused_role"]
    world.baro("key", "revoke", "pusher")
    await_that(lambda: world.listing("status")[0]["counters"]["refused_role"] > n_refused,
               "the pusher is refused", 5)
    heard = []  # what came before is committed within a fraction of a second

    def is_silent():
        heard.append(world.run_info(trainer.run)["records"])
        return len(heard) > 5 and heard[-1] == heard[-5]
    await_that(is_silent, "nothing more is committed", 5)
    n = heard[-1]
    trainer.await_pushed(trainer.n_pushed + 100)
    assert world.run_info(trainer.run)["records"] == n
    world.baro("key", "allow", push, "--role", "push")
    figures, _ = trainer.finish()  # perhaps during a pause between tries: then its ring is read
    await_committed(world, trainer)
    check_all_there(world, trainer, may_have_more=0)
    assert figures["n_dropped"] == 0


@world_test
def test_a_tunnel_that_is_cut_and_comes_back_loses_nothing(world):
    key = make_key(world, "far", "push")
    port = serve(world)
    tunnel = Forwarder(port)
    trainer = train_over(world, tunnel.endpoint, key, n_steps=1500, pause=0.002, n_ahead=0)
    for turn in range(3):
        world.await_acked(trainer, 50 + 250 * turn)
        if turn == 1:
            tunnel.drop()
            continue
        tunnel.cut()
        trainer.await_pushed(trainer.n_pushed + 100)
        tunnel.open()
    check_whole(world, trainer)
    assert tunnel.n_connections < 40, tunnel.n_connections


@world_test
def test_a_tunnel_to_nowhere_is_tried_with_growing_pauses(world):
    key = make_key(world, "far", "push")
    tunnel = Forwarder(free_port())  # accepts, and ends at once, as ssh does
    trainer = train_over(world, tunnel.endpoint, key, n_steps=10**6, pause=0.002, n_ahead=0)
    await_that(lambda: tunnel.n_connections >= 5, "it tries again")
    n_before = tunnel.n_connections
    time.sleep(1.5)
    assert tunnel.n_connections - n_before <= 6, (n_before, tunnel.n_connections)
    trainer.kill()


@world_test
def test_a_slow_line_carries_all_and_holds_up_no_push(world):
    key = make_key(world, "slow", "push")
    view = make_key(world, "viewer", "view")
    port = serve(world)
    line = Forwarder(port, bytes_per_s=125000, delay_s=0.05)
    # 600 KB of readings within some two seconds: over five seconds of this line.
    trainer = train_over(world, line.endpoint, key, n_steps=3000, pause=0.0005, n_ahead=0,
                         timeout=60)
    began = time.monotonic()
    trainer.await_pushed(3000 * len(SCALARS))
    pushed_s = time.monotonic() - began
    n_early = (world.run_info(trainer.run) or {"records": 0})["records"]
    assert n_early < 9000, "the line was not slow"
    statuses = set()
    while trainer.process.poll() is None and time.monotonic() - began < 60:
        info = world.run_info(trainer.run)
        if info:
            statuses.add(info["status"])
        time.sleep(0.2)
    assert pushed_s < 4, pushed_s
    assert statuses <= {"running", "finished"}, statuses
    assert line.n_connections == 1, line.n_connections
    check_whole(world, trainer)
    assert line.n_bytes < 4 * 9000 * 64, line.n_bytes  # hardly anything went twice
    assert trainer.run in world.baro("runs", "--json", "-e", line.endpoint, "-k", view)


# ---- hostile neighbours ----

class KeyedDealer:
    """A bare ZeroMQ socket with a key, which can say anything."""

    def __init__(self, port, key):
        words = {}
        with open(key, encoding="ascii") as file:
            for line in file:
                if "=" in line:
                    word, value = line.split("=")
                    words[word.strip()] = value.strip()
        self.zmq = zmq_library()
        self.context = ctypes.c_void_p(self.zmq.zmq_ctx_new())
        self.socket = ctypes.c_void_p(self.zmq.zmq_socket(self.context, ZMQ_DEALER))
        for option, value in ((ZMQ_LINGER, 0), (ZMQ_RCVTIMEO, 5000), (ZMQ_SNDTIMEO, 2000)):
            number = ctypes.c_int(value)
            self.zmq.zmq_setsockopt(self.socket, option, ctypes.byref(number), 4)
        for option, word in ((ZMQ_CURVE_PUBLIC, "public"), (ZMQ_CURVE_SECRET, "secret"),
                             (ZMQ_CURVE_SERVERKEY, "server")):
            assert self.zmq.zmq_setsockopt(self.socket, option, bytes.fromhex(words[word]),
                                           ctypes.c_size_t(32)) == 0
        assert self.zmq.zmq_connect(self.socket, f"tcp://127.0.0.1:{port}".encode()) == 0

    def ask(self, frame):
        assert self.zmq.zmq_send(self.socket, frame, ctypes.c_size_t(len(frame)), 0) >= 0
        buffer = ctypes.create_string_buffer(1 << 16)
        n = self.zmq.zmq_recv(self.socket, buffer, ctypes.c_size_t(len(buffer)), 0)
        return buffer.raw[:n] if n >= 0 else None

    def close(self):
        self.zmq.zmq_close(self.socket)
        self.zmq.zmq_ctx_term(self.context)


@world_test
def test_garbage_and_hundreds_of_half_open_connections_harm_nobody(world):
    rng = random.Random(5)
    key = make_key(world, "t", "push")
    port = serve(world)
    trainer = train_over(world, f"tcp://127.0.0.1:{port}", key, pause=0.001, n_ahead=0)
    world.await_acked(trainer, 20)
    curve = b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + b"\x00" + bytes(31)
    null = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
    hello = b"\x04\xc8\x05HELLO\x01\x00" + bytes(72) + rng.randbytes(32) + bytes(8) \
        + rng.randbytes(80)
    kinds = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00", b"\xff" * 64, curve[:20], curve, null,
             null + b"\x04\x19\x05READY" + bytes(19), curve + hello, curve + rng.randbytes(3000),
             curve + b"\x06\xff\xff\xff\xff\xff\xff\xff\xff", b"\x16\x03\x01" + rng.randbytes(200),
             rng.randbytes(5000), b""]
    left_open = []
    for i in range(400):
        probe = socket.create_connection(("127.0.0.1", port))
        try:
            probe.sendall(kinds[i % len(kinds)])
        except OSError:
            pass
        if i % 4:
            left_open.append(probe)
        else:
            probe.close()
    n = trainer.n_pushed
    world.await_acked(trainer, n // len(SCALARS) + 50)
    assert world.baro("status", "--json")
    pid = world.listing("status")[0]["pid"]
    assert world.barod.poll() is None and pid == world.barod.pid
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        assert int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") < 300 << 20
    # Who does not finish the handshake is shown out.
    await_that(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 100, "the silent ones are gone", 20)
    for probe in left_open:
        probe.close()
    trainer.kill()
    world.await_status(trainer.run, "killed")
    check_all_there(world, trainer)


@world_test
def test_another_version_is_explained_on_both_ends(world):
    key = make_key(world, "v", "view")
    port = serve(world)
    dealer = KeyedDealer(port, key)
    assert b"update this one" in dealer.ask(envelope(RUNS_REQUEST, b"", version=2))
    dealer.close()
    # The other way round: a daemon of another version.
    zmq = zmq_library()
    context = ctypes.c_void_p(zmq.zmq_ctx_new())
    router = ctypes.c_void_p(zmq.zmq_socket(context, ZMQ_ROUTER))
    other = free_port()
    number = ctypes.c_int(5000)
    for option in (ZMQ_RCVTIMEO, ZMQ_SNDTIMEO):
        zmq.zmq_setsockopt(router, option, ctypes.byref(number), 4)
    zero = ctypes.c_int(0)
    zmq.zmq_setsockopt(router, ZMQ_LINGER, ctypes.byref(zero), 4)
    assert zmq.zmq_bind(router, f"tcp://127.0.0.1:{other}".encode()) == 0
    trainer = world.train(init={"endpoint": f"tcp://127.0.0.1:{other}"}, n_steps=1500,
                          pause=0.002, n_ahead=0, timeout=0.3, env={"BARO_INSECURE": "1"})
    buffer = ctypes.create_string_buffer(1 << 16)
    n = zmq.zmq_recv(router, buffer, ctypes.c_size_t(len(buffer)), 0)
    assert n > 0
    peer = buffer.raw[:n]
    answer = envelope(22, b"", version=9)
    assert zmq.zmq_send(router, peer, ctypes.c_size_t(n), 2) >= 0
    assert zmq.zmq_send(router, answer, ctypes.c_size_t(len(answer)), 0) >= 0
    _, said = trainer.finish()
    assert "protocol 9" in said and "update this one" in said, said
    zmq.zmq_close(router)
    zmq.zmq_ctx_term(context)


if __name__ == "__main__":
    tap.main(globals())
