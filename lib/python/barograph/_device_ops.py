# SPDX-License-Identifier: Apache-2.0
"""Statistics of one tensor with torch operations on the device that it lies on.

Nothing here waits for the device: no operation's result is looked at, sizes depend on shapes
alone, and what comes back are two small tensors on the same device, to be copied together with
those of other tensors (_device.py) and read on the host by Layout.read().

    numbers  for each piece of the tensor: counts, extremes, sums; see _whole()
    words    histogram (int32) and unit statistics (float32), of 4 bytes each

The definitions are those of lib/simd/summarise.h and update.h. Differences: sums are of f64 where
the device has it (of f32, cascaded, on MPS, which has not); of tensors above 65,536 elements that
are not contiguous, and of updates, the histogram's sample is another one in sixteen than lib/simd
would take; the index of the first bad element is exact. Large tensors go in pieces of 2^20 elements
(updates 2^19), so that at most 64 MiB more of the device's memory are in use at a time.

Every operation is deterministic by itself (no atomic sums), so nothing here minds
torch.use_deterministic_algorithms, nor changes what it does for others.
"""
import math

import torch

PIECE = 1 << 20          # elements at a time
EXACT = 65536            # elements up to which the histogram counts all
EVERY = 16               # above: 16 neighbours of each 256
STRETCH = 256
BINS = 128               # exponents -64 to 63, on each side
LEAST_EXPONENT = -64
MAX_UNITS = 65536
UNIT_STATS = 5           # mean, l2, abs_max, frac_zero, n_nonfinite; of updates also change
GROUP = 128              # elements that are counted together
FIXED = -2               # all of a piece belongs to one unit

_INF = math.inf
_tables = {}  # device: (numbers of the bins, _group() of so many stretches from a multiple on)


def wide_type(device):
    """The type to sum in."""
    return torch.float32 if device.type == "mps" else torch.float64


# ---- pieces ----

def _pieces(tensor, axis, limit):
    """Cut a tensor along its first dimensions, in row-major order.

    Yields (piece, axis of units in it or FIXED or None, number of its first unit, index of its
    first element).
    """
    waiting = [(tensor, axis, 0, 0)]
    while waiting:
        part, axis, unit, start = waiting.pop()
        n = part.numel()
        if n <= limit or part.dim() == 0:
            yield part, axis, unit, start
            continue
        n_rows = part.shape[0]
        row = n // n_rows
        if row > limit:
            inner = axis if axis in (None, FIXED) else FIXED if axis == 0 else axis - 1
            waiting += [(part[i], inner, unit + i if axis == 0 else unit, start + i * row)
                        for i in reversed(range(n_rows))]
            continue
        step = limit // row
        for i in range(0, n_rows, step):
            yield part[i:i + step], axis, unit + i if axis == 0 else unit, start + i * row


# ---- the histogram ----

def _table(device):
    known = _tables.get(device)
    if known is None:
        bins = torch.arange(2 * BINS, dtype=torch.int16, device=device).view(-1, 1, 1)
        group = torch.arange(PIECE // STRETCH, dtype=torch.int64, device=device)
        for shift in (8, 4):
            group = torch.bitwise_xor(group, torch.bitwise_right_shift(group, shift))
        turns = torch.arange(16, dtype=torch.int64, device=device).view(-1, 1)
        group = torch.bitwise_xor(torch.bitwise_and(group, 15).view(1, -1), turns)
        known = _tables[device] = bins, group
    return known


def _group(stretch):
    """Which group of 16 of a stretch is counted: lib/simd/hist.c, group_of."""
    for shift in (32, 16, 8, 4):
        stretch ^= stretch >> shift
    return stretch & 15


def _sample(flat, stretch):
    """16 of each 256 elements of a contiguous piece of at most PIECE.

    stretch  number of its first stretch, which must be a multiple of PIECE / STRETCH
    """
    n = flat.numel() // STRETCH
    tail = flat[n * STRETCH:]
    at = _group(stretch + n) * 16
    tail = tail[at:at + 16]
    if n == 0:
        return tail
    groups = _table(flat.device)[1][_group(stretch)][:n]
    index = groups.view(-1, 1, 1).expand(-1, 1, 16)
    taken = flat[:n * STRETCH].view(n, STRETCH // 16, 16).gather(1, index).view(-1)
    return torch.cat((taken, tail)) if tail.numel() else taken


def _count_bins(x, wide):
    """Count magnitudes by the exponent that their bits hold: positive bins, then negative."""
    y = x.reshape(-1).to(wide)
    if y.numel() == 0:  # a short piece from which the sample takes nothing
        return torch.zeros(2 * BINS, dtype=torch.int32, device=x.device)
    if wide is torch.float64:
        bits, digits, field, bias = y.view(torch.int64), 52, 2047, 1023
    else:
        bits, digits, field, bias = y.view(torch.int32), 23, 255, 127
    head = torch.bitwise_right_shift(bits, digits)  # sign and exponent
    exponent = torch.bitwise_and(head, field)
    left_out = torch.logical_or(exponent.eq(field), y.eq(0))
    key = (exponent - bias).clamp_(LEAST_EXPONENT, LEAST_EXPONENT + BINS - 1)
    key = key.sub_(LEAST_EXPONENT).add_(head.lt(0), alpha=BINS).masked_fill_(left_out, -1)
    none = torch.full((-key.numel() % GROUP,), -1, dtype=torch.int16, device=x.device)
    keys = torch.cat((key.to(torch.int16), none))
    # Bytes first, of which a group's sum is one: wider sums would take copies as wide.
    is_in = keys.view(1, -1, GROUP).eq(_table(x.device)[0]).view(torch.uint8)
    return is_in.sum(2, dtype=torch.uint8).sum(1, dtype=torch.int32)


def _histogram(tensor, wide):
    n = tensor.numel()
    if n <= EXACT:
        return _count_bins(tensor, wide)
    counts = None
    if tensor.is_contiguous():
        flat = tensor.view(-1)
        parts = (_sample(flat[at:at + PIECE], at // STRETCH) for at in range(0, n, PIECE))
    else:
        parts = (_sample(piece.reshape(-1), i * (PIECE // STRETCH))
                 for i, (piece, *_) in enumerate(_pieces(tensor, None, PIECE)))
    for part in parts:
        found = _count_bins(part, wide)
        counts = found if counts is None else counts.add_(found)
    return counts


# ---- sums ----

def _over(x, axis, wide):
    """Sum over all but the axis of units."""
    if axis == FIXED or x.dim() == 0:
        return x.sum(dtype=wide).view(1)
    dims = [d for d in range(x.dim()) if d != axis]
    return x.sum(dim=dims, dtype=wide) if dims else x.to(wide)


def _most(x, axis):
    """Maximum over all but the axis of units."""
    if axis == FIXED or x.dim() == 0:
        return x.max().view(1)
    dims = [d for d in range(x.dim()) if d != axis]
    return x.amax(dim=dims) if dims else x


def _whole(x, axis, wide, is_scaled):
    """Numbers of one piece; with an axis also (sum, squares, zeros, finite) and abs_max by unit.

    is_scaled  squares may not fit the type summed in: all sums are of x / scale
    """
    y = x.to(wide)
    finite = (y - y).eq(0)
    zero = y.eq(0)
    n_finite = finite.sum(dtype=wide)
    numbers = [n_finite, y.ne(y).sum(dtype=wide), y.eq(_INF).sum(dtype=wide),
               zero.sum(dtype=wide), torch.nan_to_num(y, _INF, _INF, _INF).min(),
               torch.nan_to_num(y, -_INF, -_INF, -_INF).max(),
               finite.to(torch.uint8).reshape(-1).argmin().to(wide)]
    z = torch.nan_to_num(y, 0.0, 0.0, 0.0)
    del y
    size = z.abs()
    units = None
    if axis is not None:
        units = torch.stack((_over(z, axis, wide), _over(z * z, axis, wide),
                             _over(zero, axis, wide), _over(finite, axis, wide))), \
            _most(size, axis)
    scale = None
    if is_scaled:
        top = 1023 if wide is torch.float64 else 126
        scale = torch.exp2(torch.log2(size.max()).floor().clamp(1 - top, top))
        z, size = z / scale, size / scale
    centre = z.sum(dtype=wide) / n_finite.clamp(min=1)  # the mean, but for rounding
    apart = z.sub_(centre).mul_(finite)
    numbers += [centre, apart.sum(dtype=wide), apart.mul_(apart).sum(dtype=wide),
                size.sum(dtype=wide)]
    if is_scaled:
        numbers.append(scale)
    return torch.stack(numbers), units


def _turned(before, now, axis, wide):
    """How a piece of a weight moved: |d|^2, |b|^2, n; by unit |d|^2, |b|^2, |a|^2, d(a+b), ab."""
    a, b = now.to(wide), before.to(wide)
    good = ((a - a) + (b - b)).eq(0)
    kind = torch.float64 if now.dtype is torch.float64 else torch.float32
    d = (now.to(kind) - before.to(kind)).to(wide)  # as it comes out in the weight's type
    a, b, d = (torch.nan_to_num(one, 0.0, 0.0, 0.0).mul_(good) for one in (a, b, d))
    dd, bb = d * d, b * b
    numbers = torch.stack((dd.sum(dtype=wide), bb.sum(dtype=wide), good.sum(dtype=wide)))
    if axis is None:
        return numbers, None
    return numbers, torch.stack((
        _over(dd, axis, wide), _over(bb, axis, wide), _over(a * a, axis, wide),
        _over(d.mul_(a + b), axis, wide), _over(a.mul_(b), axis, wide)))


def _change(sums, n_good):
    """1 - cos(before, after), by the law of cosines: lib/simd/update.c says why."""
    dd, bb, aa, ds, ab = sums
    before, after = bb.sqrt(), aa.sqrt()
    longer = ds / (after + before)
    change = ((dd - longer * longer) / (2 * after * before)).clamp(0, 2)
    is_lopsided = torch.logical_or(aa > bb * 2.0 ** 20, bb > aa * 2.0 ** 20)
    change = torch.where(is_lopsided, 1 - ab / (after * before), change)
    change = change.masked_fill(torch.logical_or(aa.eq(0), bb.eq(0)), 1.0).masked_fill(dd.eq(0), 0.0)
    return change.masked_fill(n_good.eq(0), math.nan)


class _Units:
    """Sums by unit, put together from pieces."""

    def __init__(self, n):
        self.n = n
        self.sums = self.most = None

    def add(self, first, sums, most=None):
        n = sums.shape[1]
        if n == self.n:
            if self.sums is None:
                self.sums, self.most = sums, most
            else:
                self.sums += sums
                self.most = None if most is None else torch.maximum(self.most, most)
            return
        if self.sums is None:
            self.sums = sums.new_zeros((sums.shape[0], self.n))
            self.most = None if most is None else most.new_zeros(self.n)
        self.sums[:, first:first + n] += sums
        if most is not None:
            room = self.most[first:first + n]
            torch.maximum(room, most, out=room)


# ---- one tensor ----

class Layout:
    """What lies where in the numbers and words of one tensor, and how to read them."""

    __slots__ = ("n", "shape", "axis", "n_units", "sizes", "is_scaled", "is_update", "every",
                 "n_numbers", "n_words")

    def __init__(self, tensor, axis, is_update):
        self.n = tensor.numel()
        self.shape = tuple(tensor.shape)
        has_units = axis >= 0 and 0 < self.shape[axis] <= MAX_UNITS
        self.axis = axis if has_units else None
        self.n_units = self.shape[axis] if has_units else 0
        self.is_update = is_update
        self.is_scaled = False
        self.sizes = []  # (index of the first element, elements) of each piece
        self.every = 1 if self.n <= EXACT else EVERY
        self.n_numbers = self.n_words = 0

    def fill(self, out, numbers, words):
        """Fill a baro_summarised.

        numbers  what numbers of the tensor were, as Python floats
        words    address of its words, 0 when there are none
        """
        out.count = self.n
        merged = _Merged()
        width = self.n_numbers // max(1, len(self.sizes))
        dd = bb = n_good = 0.0
        for i, (start, size) in enumerate(self.sizes):
            row = numbers[i * width:(i + 1) * width]
            merged.add(start, size, row, row[11] if self.is_scaled else 1.0)
            if self.is_update:
                dd, bb, n_good = dd + row[-3], bb + row[-2], n_good + row[-1]
        merged.fill(out)
        out.first_bad_unit, out.first_bad_row = self._place(merged.first_bad)
        out.hist_every = self.every
        out.update_ratio = math.nan
        if self.is_update and n_good:
            out.update_ratio = 0.0 if dd == 0 else math.sqrt(dd / bb) if bb else _INF
        if words:
            self._point(out, words)

    def _point(self, out, words):
        out.positive, out.negative = words, words + 4 * BINS
        at, column = words + 8 * BINS, 4 * self.n_units
        if self.n_units:
            (out.unit_mean, out.unit_l2, out.unit_abs_max, out.unit_frac_zero,
             out.unit_n_nonfinite) = range(at, at + 5 * column, column)
            if self.is_update:
                out.unit_change = at + 5 * column

    def _place(self, index):
        unit, row = -1, -1
        if index >= 0:
            for d in range(len(self.shape) - 1, -1, -1):
                index, at = divmod(index, max(1, self.shape[d]))
                if d == self.axis:
                    unit = at
                if d == 0:
                    row = at
        return unit, row


class _Merged:
    """Pieces put together in Python's doubles, after Chan, Golub and LeVeque."""

    def __init__(self):
        self.n = self.n_nan = self.n_pos = self.n_neg = self.n_zero = 0
        self.low, self.high = _INF, -_INF
        self.first_bad = -1
        self.scale = 0.0  # sums are in units of it
        self.mean = self.m2 = self.l1 = 0.0

    def add(self, start, size, row, scale):
        n, n_nan, n_pos, n_zero, low, high, first, centre, rest, m2, l1 = row[:11]
        self.n_nan += int(n_nan)
        self.n_pos += int(n_pos)
        self.n_neg += size - int(n) - int(n_nan) - int(n_pos)
        self.n_zero += int(n_zero)
        if n < size and self.first_bad < 0:
            self.first_bad = start + int(first)
        if n == 0:
            return
        self.low, self.high = min(self.low, low), max(self.high, high)
        if scale > self.scale:
            shrink = self.scale / scale
            self.mean, self.m2, self.l1 = (self.mean * shrink, self.m2 * shrink * shrink,
                                           self.l1 * shrink)
            self.scale = scale
        shrink = scale / self.scale
        mean = (centre + rest / n) * shrink
        m2 = max(0.0, m2 - rest * (rest / n))
        together = self.n + n
        delta = mean - self.mean
        self.m2 += m2 * shrink * shrink + delta * delta * self.n * (n / together)
        self.mean = mean if self.n == 0 else self.mean + delta * (n / together)
        self.l1 += l1 * shrink
        self.n = together

    def fill(self, out):
        out.n_nan, out.n_pos_inf, out.n_neg_inf = self.n_nan, self.n_pos, self.n_neg
        out.n_zero = self.n_zero
        if self.n == 0:
            out.min = out.max = out.mean = out.var = out.l1 = out.l2 = out.abs_max = math.nan
            return
        out.min, out.max = self.low + 0.0, self.high + 0.0
        out.abs_max = max(abs(self.low), abs(self.high))
        out.mean = self.mean * self.scale
        out.var = self.m2 / self.n * self.scale * self.scale
        out.l1 = self.l1 * self.scale
        out.l2 = math.sqrt(self.m2 + self.n * self.mean * self.mean) * self.scale


def _unit_words(units, layout, turned, wide):
    """Columns of unit statistics."""
    total, squares, zeros, finite = units.sums
    some = finite.gt(0)  # x / False is NaN where x is 0
    size = float(layout.n // layout.n_units)
    columns = [total / finite, squares.sqrt() / some, units.most / some, zeros / size,
               size - finite]
    if turned is not None:
        columns.append(_change(turned.sums, finite))
    return torch.stack(columns).to(torch.float32).view(-1)


def measure(tensor, axis, before=None, wide=None):
    """Compute on the tensor's own device; call within torch.no_grad(), with it detached.

    axis    of units, below 0 for none
    before  what the tensor was before a step of the optimiser: statistics are of the difference
    wide    type to sum in, default: as the device has it
    returns (numbers, words, layout): two tensors, (None, None, layout) for one without elements
    """
    wide = wide or wide_type(tensor.device)
    layout = Layout(tensor, axis, before is not None)
    if layout.n == 0:
        layout.every = 1
        return None, _no_words(layout, tensor.device) if layout.n_units else None, layout
    layout.is_scaled = wide is torch.float32 or tensor.dtype is torch.float64
    limit = PIECE if before is None else PIECE // 2
    units = turned = counts = None
    if layout.n_units:
        units = _Units(layout.n_units)
        turned = _Units(layout.n_units) if before is not None else None
    numbers = []
    others = _pieces(before, layout.axis, limit) if before is not None else None
    for piece, unit_axis, unit, start in _pieces(tensor, layout.axis, limit):
        row = None
        if others is not None:
            was = next(others)[0]
            row, sums = _turned(was, piece, unit_axis, wide)
            if turned is not None:
                turned.add(unit, sums)
            kind = torch.float64 if piece.dtype is torch.float64 else torch.float32
            piece = piece.to(kind) - was.to(kind)
            found = _histogram_piece(piece, layout, len(numbers), wide)
            counts = found if counts is None else counts.add_(found)
        whole, sums = _whole(piece, unit_axis, wide, layout.is_scaled)
        numbers.append(whole if row is None else torch.cat((whole, row)))
        layout.sizes.append((start, piece.numel()))
        if units is not None:
            units.add(unit, *sums)
    if counts is None:
        counts = _histogram(tensor, wide)
    words = counts.view(torch.float32)
    if units is not None:
        words = torch.cat((words, _unit_words(units, layout, turned, wide)))
    numbers = torch.cat(numbers) if len(numbers) > 1 else numbers[0]
    layout.n_numbers, layout.n_words = numbers.numel(), words.numel()
    return numbers, words, layout


def _histogram_piece(piece, layout, number, wide):
    flat = piece.reshape(-1)
    if layout.every > 1:
        flat = _sample(flat, number * (PIECE // STRETCH))
    return _count_bins(flat, wide)


def _no_words(layout, device):
    """Histogram and units of a tensor without elements: nothing, and NaN."""
    n = layout.n_units
    words = torch.full((2 * BINS + (UNIT_STATS + layout.is_update) * n,), math.nan,
                       dtype=torch.float32, device=device)
    words[:2 * BINS].zero_()
    words[2 * BINS + 4 * n:2 * BINS + 5 * n].zero_()
    layout.n_words = words.numel()
    return words
