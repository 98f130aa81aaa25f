# SPDX-License-Identifier: Apache-2.0
"""Hostile neighbours on the daemon's socket: a training beside them must not notice."""
import ctypes
import os
import random
import resource
import socket
import struct
import time

from faults import await_that, check_all_there, seeded, tap, world_test

ZMQ_DEALER, ZMQ_LINGER, ZMQ_SNDMORE, ZMQ_DONTWAIT, ZMQ_RCVTIMEO, ZMQ_SNDTIMEO = 5, 17, 2, 1, 27, 28


def zmq_library():
    try:
        library = ctypes.CDLL("libzmq.so.5")
    except OSError:
        raise tap.Skip("libzmq cannot be loaded by Python") from None
    for name in ("zmq_ctx_new", "zmq_socket"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


class Dealer:
    """A bare ZeroMQ socket that can say anything."""

    def __init__(self, world):
        self.zmq = zmq_library()
        self.context = ctypes.c_void_p(self.zmq.zmq_ctx_new())
        self.socket = ctypes.c_void_p(self.zmq.zmq_socket(self.context, ZMQ_DEALER))
        for option, value in ((ZMQ_LINGER, 0), (ZMQ_RCVTIMEO, 5000), (ZMQ_SNDTIMEO, 2000)):
            number = ctypes.c_int(value)
            self.zmq.zmq_setsockopt(self.socket, option, ctypes.byref(number), 4)
        endpoint = f"ipc://{world.dir}/barod.sock".encode()
        assert self.zmq.zmq_connect(self.socket, endpoint) == 0

    def send(self, *frames, flags=0):
        """Send a message of these frames; tells whether it went out."""
        for place, frame in enumerate(frames):
            more = ZMQ_SNDMORE if place + 1 < len(frames) else 0
            if self.zmq.zmq_send(self.socket, frame, ctypes.c_size_t(len(frame)),
                                 more | flags) < 0:
                return False
        return True

    def receive(self):
        buffer = ctypes.create_string_buffer(1 << 20)
        n = self.zmq.zmq_recv(self.socket, buffer, ctypes.c_size_t(len(buffer)), 0)
        return buffer.raw[:n] if n >= 0 else None

    def close(self):
        self.zmq.zmq_close(self.socket)
        self.zmq.zmq_ctx_term(self.context)


# ---- protobuf by hand: only what is sent here ----

def varint(number):
    out = b""
    number &= (1 << 64) - 1
    while number > 0x7f:
        out += bytes([number & 0x7f | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def envelope(body_field, body, version=1, request=7):
    return field(1, version) + field(2, request) + field(body_field, body)


RUNS_REQUEST, SERIES_REQUEST, RANGE_REQUEST, ALERTS_REQUEST, SUBSCRIBE, ROWS_REQUEST = (
    31, 32, 33, 34, 35, 37)
BATCH, HELLO, HEARTBEAT = 11, 10, 12


def refusal_text(message):
    """The sentence of a refusal: the text that ends the message."""
    return message.decode("utf-8", "replace")


def watched_training(world):
    if world.barod is None:
        world.start()
    trainer = world.train(pause=0.0005, n_ahead=0)
    world.await_acked(trainer, 20)
    return trainer


def check_unharmed(world, trainer):
    """The training goes on being committed, and all of it is there."""
    pid = world.barod.pid
    world.await_acked(trainer, trainer.n_pushed // 3)
    trainer.kill()
    world.await_status(trainer.run, "killed")
    check_all_there(world, trainer)
    assert world.run_info(trainer.run)["dropped"] == 0
    assert world.barod.poll() is None and world.listing("status")[0]["pid"] == pid


@world_test
def test_bytes_that_are_not_zeromq_at_all_harm_nobody(world):
    rng = random.Random(7)
    trainer = watched_training(world)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
    kinds = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00", b"\xff" * 64, greeting[:20], greeting,
             greeting + b"\x06\xff\xff\xff\xff\xff\xff\xff\xff",
             greeting + b"\x04\x05READY", rng.randbytes(5000)]
    left_open = []
    for i in range(64):
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        probe.connect(os.path.join(world.dir, "barod.sock"))
        try:
            probe.sendall(kinds[i % len(kinds)])
        except OSError:
            pass
        if i % 3:
            left_open.append(probe)
        else:
            probe.close()
    check_unharmed(world, trainer)
    for probe in left_open:
        probe.close()


@world_test
def test_random_changes_to_valid_messages_harm_nobody(world):
    rng = seeded(11)
    trainer = watched_training(world)
    ref = field(1, 1) + field(2, 1)
    valid = [
        (envelope(RUNS_REQUEST, b""),),
        (envelope(SERIES_REQUEST, field(1, 1) + field(2, b"l*")),),
        (envelope(RANGE_REQUEST, field(1, 1) + field(2, ref) + field(4, 1 << 40) + field(5, 64)),),
        (envelope(ALERTS_REQUEST, field(1, 1)),),
        (envelope(SUBSCRIBE, field(1, 1)),),
        (envelope(ROWS_REQUEST, field(1, 1) + field(3, 6) + field(5, 1 << 40)),),
        (envelope(HELLO, field(1, bytes(16)) + field(5, b"/etc/passwd")), rng.randbytes(64)),
        (envelope(BATCH, field(1, bytes(16)) + field(2, 1) + field(3, 9)), b"", rng.randbytes(96)),
        (envelope(HEARTBEAT, field(1, bytes(16)) + field(2, 5)),),
    ]
    dealer = Dealer(world)
    n_sent = 0
    for _ in range(3000):
        frames = [bytearray(frame) for frame in rng.choice(valid)]
        for _ in range(rng.randrange(4)):
            frame = rng.choice(frames)
            if frame:
                frame[rng.randrange(len(frame))] = rng.randrange(256)
        if rng.random() < 0.2:
            frames[0] = frames[0][:rng.randrange(len(frames[0]) + 1)]
        if rng.random() < 0.1:
            frames += [bytearray(rng.randbytes(rng.randrange(40)))] * rng.randrange(1, 9)
        if b"\xa2\x02" in frames[0]:
            frames[0] = bytearray(b"?")  # a request to shut down, which it would obey
        n_sent += dealer.send(*map(bytes, frames))
    assert n_sent == 3000
    await_that(lambda: world.listing("status")[0]["counters"]["messages"] > n_sent,
               "all of them are looked at")
    dealer.close()
    check_unharmed(world, trainer)


@world_test
def test_questions_beyond_all_bounds_get_a_sentence_each(world):
    trainer = watched_training(world)
    ref = field(1, 1) + field(2, 1)
    top = (1 << 63) - 1
    dealer = Dealer(world)
    for words, frames in (
            ("run", (envelope(RANGE_REQUEST, field(1, 4000000000) + field(2, ref)),)),
            ("series", (envelope(RANGE_REQUEST, field(1, 1) + field(2, field(1, 4000000000)
                                                                    + field(2, 1))),)),
            ("256", (envelope(RANGE_REQUEST, field(1, 1) + field(2, ref) * 257),)),
            ("8192", (envelope(RANGE_REQUEST, field(1, 1) + field(2, ref) + field(4, top)
                               + field(5, 4000000000)),)),
            ("kind", (envelope(ROWS_REQUEST, field(1, 1) + field(3, 77)),)),
            ("protocol 0", (envelope(RUNS_REQUEST, b"", version=0),)),
            ("protocol 2", (envelope(RUNS_REQUEST, b"", version=2),)),
            ("not a Barograph message", (b"\xff\xff\xff\xff",)),
            ("1048577 bytes; at most 1048576", (bytes((1 << 20) + 1),)),
            ("Hello", (envelope(BATCH, field(1, bytes(16)) + field(2, 1)), b"", b"")),
            ("does not take", (envelope(20, b""),))):
        assert dealer.send(*frames)
        answer = dealer.receive()
        assert answer is not None, words
        assert words in refusal_text(answer), (words, answer[:300])
    dealer.close()
    check_unharmed(world, trainer)


@world_test
def test_a_client_that_asks_and_never_reads_holds_up_nobody(world):
    trainer = watched_training(world)
    dealer = Dealer(world)
    request = envelope(SERIES_REQUEST, field(1, 1))
    n_sent = 0
    deadline = time.monotonic() + 4
    while n_sent < 30000 and time.monotonic() < deadline:
        n_sent += dealer.send(request, flags=ZMQ_DONTWAIT)
    began = time.monotonic()
    assert world.listing("runs")
    assert time.monotonic() - began < 4
    with open(f"/proc/{world.barod.pid}/statm", encoding="ascii") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert resident < 300 << 20, resident
    check_unharmed(world, trainer)
    dealer.close()


@world_test
def test_hundreds_of_silent_connections_leave_room_for_a_training(world):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))  # inherited by the daemon
    try:
        world.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    trainer = watched_training(world)
    dealers = [Dealer(world) for _ in range(12)]
    probes = []
    for _ in range(400):
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        probe.connect(os.path.join(world.dir, "barod.sock"))
        probes.append(probe)
    late = world.train(n_steps=300)
    late.finish()
    check_all_there(world, late, may_have_more=0)
    check_unharmed(world, trainer)
    for probe in probes:
        probe.close()
    for dealer in dealers:
        dealer.close()


@world_test
def test_a_ring_of_garbage_is_named_and_the_others_come_in(world):
    rng = random.Random(3)
    trainer = world.train(n_steps=200, timeout=0.1)
    trainer.finish()
    with open(trainer.ring, "rb") as ring:
        good = ring.read()
    later = bytearray(good)
    later[8:12] = struct.pack("<I", 99)
    for name, content in (("garbage", rng.randbytes(100000)), ("empty", b""),
                          ("short", good[:1000]), ("later", bytes(later))):
        with open(os.path.join(world.rings, f"baro-{name}.ring"), "wb") as ring:
            ring.write(content)
    world.start()
    text = world.baro("recover", status=1)
    assert text.count("not recovered: ") == 4, text
    check_all_there(world, trainer, may_have_more=0)
    assert sorted(os.listdir(world.rings)) == [
        "baro-empty.ring", "baro-garbage.ring", "baro-later.ring", "baro-short.ring"]


if __name__ == "__main__":
    tap.main(globals())
