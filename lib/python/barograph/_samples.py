# SPDX-License-Identifier: Apache-2.0
"""What each sample of a batch gave: its loss, whether it was recognised, its class."""
import array
import sys

from . import _native, _tensors

MOST = 4096  # of a call: libbaro keeps no more
_CODES = (("q", int), ("f", float), ("b", int), ("i", int))


def take(run, samples, batch):
    """Take log(samples=): statistics of each column, and what each sample gave.

    batch  indices of the samples, where samples has no "index"; None: they have none
    """
    for name, numbers in samples.items():
        if name not in ("index", "label"):
            run._push_array(f"samples/{name}", numbers, "act", _native.NO_UNITS)
    indices = samples.get("index", batch)
    if indices is None or not ("loss" in samples or "correct" in samples):
        return
    columns = (indices, samples.get("loss"), samples.get("correct"), samples.get("label"))
    try:
        if any(_tensors.is_torch(one) and not one.is_cpu for one in columns):
            _push_late(run, columns)
        else:
            _push_now(run, -1, [None if one is None else _listed(one) for one in columns])
    except Exception as error:
        run._complain("samples", f"what each sample gave is left out: {error}")


def _listed(column):
    if _tensors.is_torch(column):
        return column.detach().reshape(-1)[:MOST].tolist()
    flat = column.reshape(-1)[:MOST] if hasattr(column, "reshape") else column
    return flat.tolist() if hasattr(flat, "tolist") else list(flat)[:MOST]


def _push_now(run, step, columns):
    n = len(columns[0])
    if any(column is not None and len(column) != n for column in columns):
        raise ValueError(f"there are {n} indices, but results of another number of samples")
    arrays = [None if column is None else array.array(code, map(as_what, column))
              for column, (code, as_what) in zip(columns, _CODES)]
    run._lib.baro_samples(run._handle, step, *(None if one is None else one.buffer_info()[0]
                                               for one in arrays), n)


def _push_late(run, columns):
    """One copy of all columns, as doubles; indices up to 2^53 are exact."""
    torch = sys.modules["torch"]
    far = next(one for one in columns if _tensors.is_torch(one) and not one.is_cpu)
    rows = [torch.as_tensor(one).detach().reshape(-1)[:MOST].to(far.device, torch.float64)
            for one in columns if one is not None]
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError(f"there are {len(rows[0])} indices, but results of another number of "
                         "samples")
    is_there = [one is not None for one in columns]

    def give(_, copy, step):
        rows = iter(copy.tolist())
        _push_now(run, step, [next(rows) if there else None for there in is_there])

    run._late.take_samples(torch.stack(rows), give)
