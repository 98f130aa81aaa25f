# SPDX-License-Identifier: Apache-2.0
"""A training in a few lines of ctypes over libbaro, for tests of the command line.

As a script it pushes steps for ever, until it is killed:
    pusher.py LIBBARO NAME ENDPOINT RING_DIR [MODE]
and prints "ready" once ten steps are in the ring.
"""
import ctypes
import sys
import time


class Options(ctypes.Structure):
    _fields_ = [
        ("project", ctypes.c_char_p), ("name", ctypes.c_char_p), ("run_id", ctypes.c_char_p),
        ("config", ctypes.c_char_p), ("endpoint", ctypes.c_char_p), ("mode", ctypes.c_char_p),
        ("ring_dir", ctypes.c_char_p), ("ring_bytes", ctypes.c_uint64),
        ("rank", ctypes.c_int), ("n_ranks", ctypes.c_int),
        ("on_message", ctypes.c_void_p), ("payload", ctypes.c_void_p),
    ]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p), ("role", ctypes.c_int), ("dtype", ctypes.c_int),
        ("n_dims", ctypes.c_int), ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)), ("data", ctypes.c_void_p),
        ("unit_axis", ctypes.c_int), ("id", ctypes.c_uint32),
    ]


class Err(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("text", ctypes.c_char * 240)]


WEIGHT, GRAD = 1, 2
F32 = 1


class Run:
    """One run; every value that goes in is a Python float."""

    def __init__(self, lib_path, project, name, endpoint, ring_dir, mode="online", run_id=None,
                 rank=0, n_ranks=1, config='{"lr": 0.001}'):
        self.lib = ctypes.CDLL(lib_path)
        self.lib.baro_open.restype = ctypes.c_void_p
        self.lib.baro_run_id.restype = ctypes.c_char_p
        self.lib.baro_ring_path.restype = ctypes.c_char_p
        err = Err()
        options = Options(
            project=project.encode(), name=name.encode(), endpoint=endpoint.encode(),
            mode=mode.encode(), ring_dir=ring_dir.encode(), ring_bytes=4 << 20, rank=rank,
            n_ranks=n_ranks, config=config.encode(),
            run_id=run_id.encode() if run_id else None)
        self.run = ctypes.c_void_p(
            self.lib.baro_open(ctypes.byref(options), ctypes.byref(err)))
        if not self.run:
            raise RuntimeError(err.text.decode())
        self.id = self.lib.baro_run_id(self.run).decode()
        self.ring = self.lib.baro_ring_path(self.run).decode()

    def step(self, number):
        self.lib.baro_step(self.run, ctypes.c_int64(number))

    def scalar(self, name, value):
        self.lib.baro_scalar(self.run, name.encode(), ctypes.c_double(value))

    def tensor(self, name, role, rows):
        """rows: a list of equally long lists of floats; each row is a unit."""
        flat = [value for row in rows for value in row]
        data = (ctypes.c_float * len(flat))(*flat)
        shape = (ctypes.c_int64 * 2)(len(rows), len(rows[0]))
        tensor = Tensor(name=name.encode(), role=role, dtype=F32, n_dims=2, shape=shape,
                        strides=None, data=ctypes.cast(data, ctypes.c_void_p), unit_axis=0, id=0)
        rc = self.lib.baro_tensor(self.run, ctypes.byref(tensor))
        if rc != 0:
            raise RuntimeError("baro_tensor: %d" % rc)

    def batch(self, samples):
        array = (ctypes.c_int64 * len(samples))(*samples)
        self.lib.baro_batch(self.run, array, ctypes.c_size_t(len(samples)))

    def event(self, text, level=2):
        self.lib.baro_event(self.run, level, text.encode())

    def close(self, timeout_ms=20000):
        return self.lib.baro_close(self.run, timeout_ms)


def main():
    lib_path, name, endpoint, ring_dir = sys.argv[1:5]
    run = Run(lib_path, "tests", name, endpoint, ring_dir,
              mode=sys.argv[5] if len(sys.argv) > 5 else "online")
    step = 0
    while True:
        run.step(step)
        run.scalar("loss", 1.0 / (1 + step))
        step += 1
        if step == 10:
            print("ready", run.id, run.ring, flush=True)
        time.sleep(0.005)


if __name__ == "__main__":
    main()
