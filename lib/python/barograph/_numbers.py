# SPDX-License-Identifier: Apache-2.0
"""What programs take for a number: Python's, NumPy's, torch's."""
import operator

from . import _tensors


def as_number(value):
    """Give a number as a float; None for what is not one number."""
    kind = type(value)
    if kind is float:
        return value
    try:
        if _tensors.is_torch(value):
            return float(value.item()) if value.numel() == 1 else None
        if isinstance(value, (str, bytes, bytearray)) or value is None:
            return None
        if getattr(value, "size", 1) != 1:
            return None
        if hasattr(value, "item"):
            value = value.item()
            return float(value) if not isinstance(value, (str, bytes)) else None
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError, NotImplementedError):
        return None


def whole(number):
    if number != int(number):
        raise ValueError(number)
    return int(number)


def as_index(value, what):
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is a whole number, not '{type(value).__name__}'") from None


def as_step(step):
    if isinstance(step, float) and step.is_integer():
        return int(step)
    if not isinstance(step, int) and as_number(step) is not None and hasattr(step, "item"):
        step = step.item()
        return int(step) if float(step).is_integer() else as_index(step, "step")
    return as_index(step, "step")
