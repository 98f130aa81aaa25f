# SPDX-License-Identifier: Apache-2.0
"""Why an operation gave something that is not finite: one sentence with the operands' values.

Operands are those of the first element that is bad; of operations on whole rows (sums, norms) what
is largest in them.
"""
import math

import torch

from .axes import numbers_of
from .schema import text_of

_NAMES = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16",
          torch.bfloat16: "bf16"}
_DOMAINS = {  # where they are defined; at an edge some are infinite
    "log": (0, math.inf), "log2": (0, math.inf), "log10": (0, math.inf), "log1p": (-1, math.inf),
    "special_log1p": (-1, math.inf), "logit": (0, 1), "special_logit": (0, 1),
    "special_ndtri": (0, 1), "asin": (-1, 1), "acos": (-1, 1), "atanh": (-1, 1),
    "acosh": (1, math.inf), "erfinv": (-1, 1), "special_erfinv": (-1, 1)}
_SUMS = {"sum", "mean", "cumsum", "nansum", "prod", "cumprod", "norm", "linalg_vector_norm", "var",
         "std", "var_mean", "std_mean", "logsumexp", "mse_loss", "l1_loss", "smooth_l1_loss",
         "huber_loss", "kl_div", "_cdist_forward", "_euclidean_dist", "dist"}
_PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution", "addmv", "mv", "dot", "matmul",
             "linear", "mkldnn_rnn_layer", "_scaled_dot_product_flash_attention_for_cpu"}
_NORMS = {"native_layer_norm": "row", "native_batch_norm": "channel",
          "_native_batch_norm_legit": "channel", "native_group_norm": "group",
          "_native_batch_norm_legit_functional": "channel", "cudnn_batch_norm": "channel",
          "_fused_rms_norm": "row"}


def number(value):
    """A number as a person reads it."""
    if value != value:
        return "NaN"
    if value in (math.inf, -math.inf):
        return "inf" if value > 0 else "-inf"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}".replace("e+0", "e+").replace("e-0", "e-")


def limit(dtype):
    """The largest number of an element type, in words."""
    try:
        most = torch.finfo(dtype).max
    except TypeError:
        return "the most it holds"
    return f"{number(most)}, the most {'an' if _NAMES.get(dtype, 'f')[0] == 'f' else 'a'} " \
           f"{_NAMES.get(dtype, text_of(dtype))} holds"


def places_of(bad):
    """The first bad element's place, as a tuple of indices; bad: a mask."""
    flat = int(bad.reshape(-1).to(torch.uint8).argmax())
    place = []
    for extent in reversed(bad.shape):
        place.insert(0, flat % extent)
        flat //= extent
    return tuple(place)


def at(tensor, place, shape):
    """The element of an operand that is broadcast to where an output's element lies; or None."""
    if tensor is None or tensor.dim() > len(shape):
        return None
    try:
        own = place[len(place) - tensor.dim():]
        own = tuple(0 if extent == 1 else index for index, extent in zip(own, tensor.shape))
        return float(tensor.detach()[own])
    except (IndexError, TypeError, ValueError, RuntimeError):
        return None


def largest(tensor):
    """The largest finite size in a tensor; None when there is none."""
    if tensor is None or not tensor.is_floating_point() or tensor.numel() == 0:
        return None
    sizes = tensor.detach().abs()
    sizes = sizes[sizes.isfinite()]
    return float(sizes.max()) if sizes.numel() else None


def _attr(op, name, default=None):
    for word in op.attrs.split(" "):
        if word.startswith(name + "="):
            try:
                return float(word[len(name) + 1:])
            except ValueError:
                return default
    return default


def sentence(op, inputs, output, bad):
    """Say why. inputs: tensors or None; output: the bad one; bad: mask of its bad elements."""
    place = places_of(bad)
    result = float(output.detach()[place]) if output.dim() else float(output)
    name = op.name.rstrip("_") or op.name
    operands = [at(one, place, output.shape) for one in inputs]
    if len(operands) == 1:
        inputs, operands = [*inputs, None], [*operands, None]
    if len(operands) >= 2 and operands[1] is None and inputs[1] is None:
        operands[1] = _attr(op, "other", _attr(op, "exponent"))
    kind = output.dtype
    for rule in (_pointwise, _two, _convert, _norm, _rows, _products, _sums):
        text = rule(op, name, operands, inputs, result, kind, place)
        if text:
            return text
    most = max((largest(one) or 0.0 for one in inputs if one is not None), default=None)
    return f"{name} of finite values gives {number(result)}" + (
        f"; the largest is {number(most)}" if most is not None else "")


def _pointwise(op, name, operands, inputs, result, kind, place):
    x = operands[0] if operands else None
    if x is None:
        return None
    shown = number(x)
    if name in ("exp", "expm1", "sinh", "cosh", "exp2") and abs(result) == math.inf:
        return f"{name} of {shown} is more than {limit(kind)}"
    if name in _DOMAINS:
        least, most = _DOMAINS[name]
        if x in (least, most):
            return f"{name} of {shown} is {number(result)}"
        if not math.isfinite(x) or least <= x <= most:   # a large number, or a bad one
            return None
        return f"{name} of {shown}: it is not defined " + (
            f"below {number(least)}" if most == math.inf else
            f"outside of {number(least)} to {number(most)}")
    if name in ("sqrt", "rsqrt"):
        if x < 0:
            return f"{name} of {shown}: there is no root of a negative number"
        return f"{name} of {shown} is {number(result)}: 1 / 0" if name == "rsqrt" else None
    if name in ("lgamma", "digamma", "polygamma", "special_zeta", "tan") and result != result or (
            name in ("lgamma", "digamma") and x <= 0 and x == int(x)):
        return f"{name} of {shown} is {number(result)}"
    if name == "reciprocal":
        return f"1 / {shown}" if x == 0 else f"1 / {shown} is more than {limit(kind)}"
    return None


def _two(op, name, operands, inputs, result, kind, place):
    if name == "div" and operands == [0.0, None]:  # the divisor alone is known
        return "a division by zero"
    if len(operands) < 2 or operands[0] is None or operands[1] is None:
        return None
    a, b = operands[0], operands[1]
    signs = {"mul": "*", "div": "/", "add": "+", "sub": "-", "rsub": "-", "pow": "**",
             "remainder": "%", "fmod": "%", "square": "**"}
    sign = signs.get(name)
    if sign is None:
        if name in ("lerp", "addcmul", "addcdiv", "xlogy", "hypot", "atan2"):
            return f"{name} of {number(a)} and {number(b)} gives {number(result)}"
        return None
    if name == "rsub":
        a, b = b, a
    left = f"({number(a)})" if a < 0 and sign in ("**", "*", "/") else number(a)
    right = f"({number(b)})" if b < 0 else number(b)
    text = f"{left} {sign} {right}"
    if result != result:
        if name == "pow" and a < 0:
            return f"{text}: a negative number has no such power"
        return f"{text} is not a number"
    if name == "div" and b == 0:
        return f"{text}: division by zero"
    if name == "pow" and a == 0:
        return f"{text}: division by zero"
    if math.isfinite(a) and math.isfinite(b):
        return f"{text} is more than {limit(kind)}"
    return f"{text} is {number(result)}"


def _convert(op, name, operands, inputs, result, kind, place):
    if name not in ("_to_copy", "to", "copy", "clone") or not operands:
        return None
    x = operands[-1] if name == "copy" else operands[0]
    return f"{number(x)} is more than {limit(kind)}" if x is not None else None


def _norm(op, name, operands, inputs, result, kind, place):
    what = _NORMS.get(name)
    if what is None or inputs[0] is None:
        return None
    x = inputs[0].detach()
    if what == "row":
        n = len(numbers_of(op.attrs, "normalized_shape") or [1])
        row = x[place[:x.dim() - n]] if len(place) == x.dim() else x
    elif what == "channel":
        channel = place[1] if len(place) > 1 else place[0]
        row = x.select(1, channel) if x.dim() > 1 else x
    else:
        row = x[place[0]] if len(place) == x.dim() else x
    row = row.double()
    eps = _attr(op, "eps", _attr(op, "epsilon", 0.0)) or 0.0
    spread = float(row.var(unbiased=False)) if row.numel() else 0.0
    if spread + eps <= 0 or (spread < 1e-30 and eps < 1e-30):
        return (f"normalisation of a {what} without any spread: its values are all "
                f"{number(float(row.reshape(-1)[0]))}, so it is divided by a deviation of 0")
    most = float(row.abs().max())
    return (f"normalisation of a {what} with values up to {number(most)}: its variance is more "
            f"than {limit(kind)}" if most > 1e18 or kind == torch.float16 else
            f"normalisation of a {what} of deviation {number(math.sqrt(spread))} gives "
            f"{number(result)}")


def _rows(op, name, operands, inputs, result, kind, place):
    if name in ("_softmax", "_log_softmax", "logsumexp", "_safe_softmax") and inputs[0] is not None:
        x = inputs[0].detach()
        dim = (numbers_of(op.attrs, "dim") or [-1])[0]
        if name == "logsumexp":
            return None
        row = x.movedim(dim, -1)
        place = list(place)
        place.pop(dim)
        row = row[tuple(place)]
        if bool((row == -math.inf).all()):
            return f"{name.lstrip('_')} of a row in which everything is masked: all is -inf"
        if bool((row == math.inf).any()):
            return f"{name.lstrip('_')} of a row with inf: inf - inf is not a number"
        return None
    if name == "nll_loss_forward" or name == "nll_loss2d_forward":
        ignored = numbers_of(op.attrs, "ignore_index")
        targets = inputs[1]
        if targets is not None and ignored and bool((targets == ignored[0]).all()):
            return "the mean over no samples: all targets are ignored (0 / 0)"
        if inputs[0] is not None and inputs[0].numel() == 0:
            return "the mean over no samples: the batch is empty (0 / 0)"
        if len(inputs) > 2 and inputs[2] is not None:
            return "the mean with weights that add up to 0 (0 / 0)"
    if name in ("mean", "std", "var") and inputs[0] is not None:
        x = inputs[0]
        if x.numel() == 0:
            return f"the {name} of no values (0 / 0)"
        if name != "mean" and result != result:
            dims = numbers_of(op.attrs, "dim")
            n = x.numel() if not dims else math.prod(x.shape[dim] for dim in dims)
            if n == 1:
                return f"the {'standard deviation' if name == 'std' else 'variance'} of a " \
                       "single value (0 / 0)"
    return None


def _products(op, name, operands, inputs, result, kind, place):
    if name not in _PRODUCTS:
        return None
    sizes = sorted((largest(one) or 0.0 for one in inputs if one is not None and one.dim() > 1),
                   reverse=True)[:2]
    if len(sizes) < 2:
        return None
    return (f"a sum of products of values up to {number(sizes[0])} and {number(sizes[1])} is more "
            f"than {limit(kind)}")


def _sums(op, name, operands, inputs, result, kind, place):
    if name not in _SUMS:
        return None
    x = next((one for one in inputs if one is not None), None)
    if x is None or largest(x) is None:
        return None
    words = {"linalg_vector_norm": "norm", "_cdist_forward": "distance",
             "_euclidean_dist": "distance", "std": "standard deviation", "var": "variance"}
    return (f"the {words.get(name, name)} of {x.numel()} values up to {number(largest(x))} is more "
            f"than {limit(kind)}" if result == result else
            f"the {words.get(name, name)} of {x.numel()} values up to {number(largest(x))} is not "
            "a number")


# ---- gradients ----

def of_gradient(name, inputs, outputs, incoming, gradient, bad):
    """Say why a gradient is not finite where the value is.

    name      of the operation forward; inputs, outputs: its tensors or None
    incoming  gradient of its output; gradient: the bad one, of its first input that has one
    """
    place = places_of(bad)
    result = float(gradient.detach()[place]) if gradient.dim() else float(gradient)
    x = at(inputs[0], place, gradient.shape) if inputs else None
    y = at(outputs[0], place, gradient.shape) if outputs else None
    came = at(incoming, place, gradient.shape)
    b = at(inputs[1], place, gradient.shape) if len(inputs) > 1 else None
    name = name.rstrip("_") or name
    tail = f", times {number(came)} from above" if came is not None else ""
    if x is None:
        return f"the gradient of {name} is {number(result)}{tail}"
    if name in ("sqrt", "rsqrt") and x == 0:
        return f"the gradient of {name} at 0 is infinite (1 / (2 * {name} of 0)){tail}"
    if name == "pow" and x == 0:
        return f"the gradient of a power at 0 is infinite{tail}"
    if name in ("acos", "asin", "atanh") and abs(x) == 1:
        return f"the gradient of {name} at {number(x)} is infinite (1 / 0){tail}"
    if name in ("norm", "linalg_vector_norm", "dist", "_euclidean_dist", "_cdist_forward"):
        return f"the gradient of a norm at 0 is 0 / 0{tail}"
    if name in ("std", "std_mean", "var"):
        return f"the gradient of the standard deviation of constant values is 0 / 0{tail}"
    if name in ("log", "log1p", "log2", "log10"):
        return f"the gradient of {name} at {number(x)} is more than " \
               f"{limit(gradient.dtype)}: 1 / {number(x)}{tail}"
    if name in ("div", "reciprocal") and (b if name == "div" else x) is not None:
        return f"the gradient of a division by {number(b if name == 'div' else x)} is more than " \
               f"{limit(gradient.dtype)}{tail}"
    if name == "exp" and y is not None and came == 0:
        return f"0 * {number(y)}: nothing comes from above, but the slope of exp at {number(x)} " \
               f"is {number(y)}"
    if name == "mul" and b is not None and came is not None:
        return f"the gradient of {number(x)} * {number(b)}, times {number(came)} from above, is " \
               f"{number(result)}"
    return f"the gradient of {name} at {number(x)} is {number(result)}{tail}"
