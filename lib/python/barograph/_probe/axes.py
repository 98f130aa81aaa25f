# SPDX-License-Identifier: Apache-2.0
"""Along which axes of a value lie samples and units, followed from operation to operation.

The batch axis comes with the model's input and is followed through what operations do with shapes.
Where that cannot be told, a value has none: it is then kept whole or not at all, never cut along
a wrong axis.
"""
import functools
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


@functools.lru_cache(4096)
def numbers_of(attrs, *names):
    """The whole numbers of the first of these attributes that is there; None when none is."""
    for name in names:
        found = re.search(rf"(?:^| ){name}=(\[[^\]]*\]|-?\d+)", attrs)
        if found:
            return tuple(int(number) for number in _NUMBER.findall(found[1]))
    return None


def batch_axis(name, attrs, inputs, shape, n_batch=0):
    """Find the batch axis of what an operation gives.

    inputs   values with .batch, .shape and .woven, or None
    n_batch  how many samples there are; 0: not known
    returns  the axis, or NONE
    """
    first = None
    for one in inputs:
        if one is not None and one.batch != NONE:
            first = one
            break
    name = name.rstrip("_") or name
    if first is None or not shape:
        return _repeated(inputs, shape, n_batch) if name == "expand" else _unwoven(
            name, inputs, shape)
    axis, extents, n = first.batch, first.shape, len(first.shape)
    rule = _RULES.get(name)
    if name in _RESHAPES:
        axis = _viewed(axis, extents, shape, n_batch)
    elif name.startswith("_embedding_bag"):  # of the places' list the bags
        return 0 if len(shape) == 2 and n_batch > 0 and shape[0] % n_batch == 0 else NONE
    elif name == "_ctc_loss":
        return 0 if len(shape) == 1 else NONE
    elif "batch_norm" in name and len(shape) != n:
        return NONE  # of all samples together
    elif rule is not None:
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


def _viewed(axis, extents, shape, n_batch):
    """Samples stay together when all before the axis stays, and it is kept, joined with what is
    behind it, or parted again from that."""
    before = math.prod(extents[:axis])
    whole = max(extents[axis], 1)
    left = 1
    for at, extent in enumerate(shape):
        if left == before and extent > 0:
            is_parted = n_batch > 0 and extent % n_batch == 0 and whole % extent == 0
            if extent % whole == 0 or is_parted:
                return at
        left *= extent
        if left > before:
            break
    return NONE


def _repeated(inputs, shape, n_batch):
    """What is the same for all samples may be cut by them as soon as it is repeated for each."""
    one = next((one for one in inputs if one is not None), None)
    missing = len(shape) - len(one.shape) if one is not None else -1
    for at, extent in enumerate(shape):
        is_new = missing >= 0 and (at < missing or one.shape[at - missing] == 1)
        if is_new and n_batch > 1 and extent == n_batch:
            return at
    return NONE


def woven(name, inputs, shape, n_batch=0):
    """Tell what the first axis was before samples, which were not the first, were joined with what is
    in front of them: (steps, samples) of (steps * samples, ...); None: nothing is known.

    Such an axis cannot be cut by samples; but operations that leave it alone give it on, and once it
    is parted again the samples are found again.
    """
    name = name.rstrip("_") or name
    for one in inputs:
        if one is None or not shape:
            continue
        if name in _RESHAPES and one.batch > 0:
            steps, along = math.prod(one.shape[:one.batch]), one.shape[one.batch]
            for n in (along, n_batch):  # all of the axis, or its samples without what is in each
                if n > 0 and along % n == 0 and shape[0] == steps * n:
                    return tuple(one.shape[:one.batch]) + (n,)
        if one.woven and name not in _MOVED and shape[0] == math.prod(one.woven) == one.shape[0]:
            return one.woven
    return None


def _unwoven(name, inputs, shape):
    for one in inputs:
        parts = one.woven if one is not None and name in _RESHAPES else None
        if parts and tuple(shape[:len(parts)]) == parts:
            return len(parts) - 1
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
          "expand": _expanded}
_MOVED = {"permute", "transpose", "t", "flip", "roll", "expand", "cat", "stack"}


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
