# SPDX-License-Identifier: Apache-2.0
"""Where batch and units lie in what modules give and take, and which tensors are in it."""
import dataclasses

import torch

from .. import _tensors

MAX_OUTPUTS = 8  # tensors of one module's output, or of a model's input
MAX_DEPTH = 3    # of lists and dictionaries within each other

# Layers whose outputs have their units along a known axis; others follow their shape.
_UNITS_LAST = {"Linear", "Bilinear", "LayerNorm", "RMSNorm", "Embedding", "EmbeddingBag",
               "MultiheadAttention", "RNNBase", "RNNCellBase", "Transformer",
               "TransformerEncoder", "TransformerDecoder", "TransformerEncoderLayer",
               "TransformerDecoderLayer"}
_UNITS_FIRST = {"_ConvNd", "_BatchNorm", "_InstanceNorm", "GroupNorm", "_MaxPoolNd", "Dropout1d",
                "Dropout2d", "Dropout3d", "FeatureAlphaDropout",
                "_AvgPoolNd", "_AdaptiveMaxPoolNd", "_AdaptiveAvgPoolNd", "PixelShuffle"}
_PACKED = torch.nn.utils.rnn.PackedSequence


def unit_hint(module):
    """Tell along which axis a module's output has its units; None: by its shape."""
    names = {kind.__name__ for kind in type(module).__mro__}
    if names & _UNITS_LAST:
        return _tensors.LAST
    return _tensors.FIRST_AFTER if names & _UNITS_FIRST else None


def is_time_first(module):
    """Tell whether a module puts time before the batch: recurrent and attention layers may."""
    inner = module
    if type(module).__name__ in ("TransformerEncoder", "TransformerDecoder"):
        inner = next(iter(module.layers), module)
    inner = getattr(inner, "self_attn", inner)
    if isinstance(inner, (torch.nn.RNNBase, torch.nn.MultiheadAttention, torch.nn.Transformer)):
        return not getattr(inner, "batch_first", True)
    return False


def _parts(value):
    """What a value holds, as (suffix, part); None when it is no container."""
    if isinstance(value, dict):
        return [(f".{key}", part) for key, part in list(value.items())[:MAX_OUTPUTS]]
    if isinstance(value, (tuple, list)):
        return [(f".{i}", part) for i, part in enumerate(value[:MAX_OUTPUTS])]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f".{field.name}", getattr(value, field.name, None))
                for field in dataclasses.fields(value)[:MAX_OUTPUTS]]
    return None


def tensors_in(output):
    """The first tensors of a tuple, list, dictionary or dataclass, with their suffixes.

    Of a packed sequence its data, (time and batch, units): its rows are no samples.
    """
    found = []
    waiting = [("", output, 0)]
    while waiting and len(found) < MAX_OUTPUTS:
        suffix, value, depth = waiting.pop(0)
        if isinstance(value, torch.Tensor):
            found.append((suffix, value))
        elif isinstance(value, _PACKED):
            found.append((suffix, value.data))
        elif depth < MAX_DEPTH:
            waiting[:0] = [(f"{suffix}{more}", part, depth + 1)
                           for more, part in _parts(value) or ()]
    return found
