# SPDX-License-Identifier: Apache-2.0
"""The numbers that log() is given turn after turn: their names stay, only their values change.

Handing Python's objects to C costs more than all that libbaro does with one number. So what stays
the same is converted once, and what changes is written to where the call finds it.
"""
import array
import ctypes
import functools


def _at(address):
    """A pointer as an argument; what it points at is kept by others."""
    return ctypes.byref(ctypes.c_char.from_address(address))


class Form:
    """Names of scalars that are known to libbaro, and a call of baro_turn() for them."""

    __slots__ = ("names", "looks", "numbers", "step", "spent_ns", "push", "_ids")

    def __init__(self, library, handle, names, known):
        """known: of each name its id and its watchdog."""
        self.names = names
        self.looks = [dog.sees_trouble for _, dog in known]
        self._ids = array.array("q", [number for number, _ in known])
        self.numbers = array.array("d", bytes(8 * len(known)))
        self.step = ctypes.c_int64(-1)  # to begin; -1: none
        self.spent_ns = ctypes.c_uint64(0)
        self.push = functools.partial(
            library.baro_turn, _at(handle), self.step, _at(self._ids.buffer_info()[0]),
            _at(self.numbers.buffer_info()[0]), ctypes.c_size_t(len(known)), self.spent_ns)
