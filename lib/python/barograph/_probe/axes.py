# SPDX-License-Identifier: Apache-2.0
"""Along which axes of a value lie samples and units, followed from operation to operation.

The batch axis comes with the model's input and is followed through what operations do with shapes.
Where that cannot be told, a value has none: it is then kept whole or not at all, never cut along
a wrong axis.
"""
import math
import re

NONE = -1
_CHANNELS_FIRST = ("convolution", "conv1d", "conv2d", "conv3d", "batch_norm", "group_norm",
                   "instance_norm", "pool", "upsample", "pixel_shuffle")
_REDUCTIONS = {"sum", "mean", "amax", "amin", "max", "min", "prod", "norm", "linalg_vector_norm",
               "var", "std", "var_mean", "std_mean", "logsumexp", "argmax", "argmin", "any", "all",
               "median", "nansum", "mode", "nanmedian", "kthvalue", "count_nonzero"}
_DIMS = re.compile(r"(?:^| )(?:dim|dims|dim0|dim1)=(\[[^\]]*\]|-?\d+)")
_NUMBER = re.compile(r"-?\d+")


def numbers_of(attrs, *names):
    """The whole numbers of the first of these attributes that is there; None when none is."""
    for name in names:
        found = re.search(rf"(?:^| ){name}=(\[[^\]]*\]|-?\d+)", attrs)
        if found:
            return [int(number) for number in _NUMBER.findall(found[1])]
    return None


def batch_axis(name, attrs, inputs, shape):
    """Find the batch axis of what an operation gives.

    inputs   values with .batch and .shape, or None
    returns  the axis, or NONE
    """
    first = next((one for one in inputs if one is not None and one.batch != NONE), None)
    if first is None or not shape:
        return NONE
    axis, extents, n = first.batch, first.shape, len(first.shape)
    name = name.rstrip("_") or name
    rule = _RULES.get(name)
    if rule is not None:
        axis = rule(axis, extents, attrs, shape)
    elif name in _REDUCTIONS:
        axis = _reduced(axis, n, attrs, len(shape))
    elif len(shape) != n:
        axis = _by_size(axis, extents, shape, n)
    if axis == NONE or not 0 <= axis < len(shape):
        return NONE
    if name not in _RESHAPES and shape[axis] != extents[first.batch]:
        return NONE  # cut, joined or repeated along it
    return axis


def _by_size(axis, extents, shape, n):
    if axis < len(shape) and shape[axis] == extents[axis]:
        return axis
    right = axis + len(shape) - n
    return right if 0 <= right < len(shape) and shape[right] == extents[axis] else NONE


def _reduced(axis, n, attrs, n_left):
    if n_left == n:
        return axis  # keepdim; along the batch itself the size no longer fits
    dims = numbers_of(attrs, "dim")
    if not dims:
        return NONE
    dims = {dim % n for dim in dims}
    return NONE if axis in dims else axis - sum(dim < axis for dim in dims)


def _viewed(axis, extents, attrs, shape):
    """Samples stay together when all before the axis stays, and it is kept or split or joined."""
    before = math.prod(extents[:axis])
    left = 1
    for at, extent in enumerate(shape):
        if left == before and (extent == extents[axis] or (axis == at == 0 and
                                                           extent % max(extents[0], 1) == 0)):
            return at
        left *= extent
        if left > before:
            break
    return NONE


def _permuted(axis, extents, attrs, shape):
    dims = numbers_of(attrs, "dims") or []
    places = [dim % len(extents) for dim in dims]
    return places.index(axis) if axis in places else NONE


def _transposed(axis, extents, attrs, shape):
    n = len(extents)
    one, other = (numbers_of(attrs, key) for key in ("dim0", "dim1"))
    if not one or not other:
        return NONE
    one, other = one[0] % n, other[0] % n
    return other if axis == one else one if axis == other else axis


def _flipped(axis, extents, attrs, shape):
    return len(extents) - 1 - axis if len(extents) == 2 else axis


def _without(axis, extents, attrs, shape):
    dims = {dim % max(len(extents), 1) for dim in numbers_of(attrs, "dim") or [0]}
    if axis in dims:
        return NONE
    return axis - sum(dim < axis for dim in dims)


def _squeezed(axis, extents, attrs, shape):
    dims = numbers_of(attrs, "dim")
    gone = {dim % len(extents) for dim in dims} if dims else set(range(len(extents)))
    gone = {dim for dim in gone if extents[dim] == 1}
    return NONE if axis in gone else axis - sum(dim < axis for dim in gone)


def _added(axis, extents, attrs, shape):
    dim = (numbers_of(attrs, "dim") or [0])[0] % len(shape)
    return axis + (dim <= axis)


def _expanded(axis, extents, attrs, shape):
    return axis + len(shape) - len(extents)


_RESHAPES = {"view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten"}
_RULES = {"permute": _permuted, "transpose": _transposed, "t": _flipped, "select": _without,
          "unbind": _without, "squeeze": _squeezed, "unsqueeze": _added, "stack": _added,
          "expand": _expanded, **dict.fromkeys(_RESHAPES, _viewed)}


def unit_axis(name, shape, batch, hint):
    """Choose the axis of units of what an operation gives.

    hint  "one": channels come behind the batch; "last", "swap": they come last; None: not known
    """
    n = len(shape)
    if n == 0 or (n == 1 and batch == 0):
        return NONE
    if n == 1:
        return 0
    if n == 2:
        return 1 if batch != 1 else 0
    if hint == "one" or any(word in name for word in _CHANNELS_FIRST):
        return 1
    if hint is not None:
        return n - 1
    return 1 if n >= 4 else n - 1
