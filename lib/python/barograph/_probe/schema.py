# SPDX-License-Identifier: Apache-2.0
"""What is known of torch's operations from their schemas: arguments, what they write, what they are.

Operations are named as the dispatcher does, without "aten." and overload: "addmm", "_softmax",
"add_".
"""
import torch

# They give random numbers, of which nothing but the shape comes from a tensor argument.
_NOISE = {"rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like",
          "random_", "uniform_", "normal_", "bernoulli_", "exponential_", "cauchy_", "geometric_",
          "log_normal_", "uniform", "normal_functional"}
# They give the same numbers whatever the tensor given holds.
_CONSTANT = {"zeros", "ones", "full", "arange", "linspace", "logspace", "eye", "scalar_tensor",
             "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "zero_",
             "tril_indices", "triu_indices", "hann_window", "hamming_window", "fill_", "lift",
             "lift_fresh"}
# They draw random numbers according to a tensor.
_DRAWS = {"bernoulli", "multinomial", "normal", "poisson", "binomial", "native_dropout",
          "rrelu_with_noise", "_sample_dirichlet", "_standard_gamma"}
_EMPTY = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided",
          "empty_permuted", "_efficientzerotensor"}
_ALIAS = {"detach", "alias", "detach_"}


class Spec:
    """One operation of torch: what its schema says, put so that it is quick to use."""

    __slots__ = ("name", "names", "defaults", "written", "is_noise", "is_constant", "is_empty",
                 "is_alias", "is_nothing", "draws")

    def __init__(self, function):
        schema = getattr(function, "_schema", None)
        self.name = schema.name.split("::")[-1] if schema is not None else str(
            getattr(function, "__name__", function))
        self.names, self.defaults, self.written = [], {}, []
        for at, argument in enumerate(schema.arguments if schema is not None else ()):
            self.names.append(argument.name)
            if argument.default_value is not None:
                self.defaults[argument.name] = text_of(argument.default_value)
            info = getattr(argument, "alias_info", None)
            if info is not None and info.is_write:
                self.written.append((at, argument.name))
        self.is_noise = self.name in _NOISE
        self.is_constant = self.name in _CONSTANT
        self.is_empty = self.name in _EMPTY
        self.is_alias = self.name in _ALIAS
        self.is_nothing = schema is not None and schema.name.startswith("profiler::")
        self.draws = self.is_noise or self.name in _DRAWS

    def is_source(self, n_tensors):
        """Tell whether what it gives comes from nowhere: it takes no tensor's values."""
        return n_tensors == 0 or self.is_empty or (
            n_tensors == 1 and (self.is_noise or self.is_constant))


_specs = {}


def spec_of(function):
    """What is known of an operation."""
    known = _specs.get(function)
    if known is None:
        known = _specs[function] = Spec(function)
    return known


def text_of(value):
    """An argument that is no tensor, as Python shows it, without blanks outside of quotes."""
    kind = type(value)
    if kind is int or kind is bool:
        return str(value)
    if kind is str:
        return repr(value[:200])
    if kind is list or kind is tuple:
        return f"[{','.join(text_of(part) for part in value)}]"
    if kind is torch.dtype:
        return str(value)[6:]
    text = str(value)
    return text.replace(" ", "") if len(text) <= 200 else f"{kind.__name__}"


def bind(spec, args, kwargs):
    """Take a call apart.

    returns  (tensors, attrs): tensors in the order of arguments, lists flattened, None for what is
             no tensor where one could be; attrs as text
    """
    tensors, words = [], []
    names, n_given = spec.names, len(args)
    for at, value in enumerate(args):
        if isinstance(value, torch.Tensor):
            tensors.append(value)
        else:
            _bind_one(names[at] if at < len(names) else f"arg{at}", value, tensors, words)
    for name in names[n_given:]:
        if name in kwargs:
            _bind_one(name, kwargs[name], tensors, words)
        elif name in spec.defaults:
            words.append(f"{name}={spec.defaults[name]}")
    return tensors, " ".join(words)


def _bind_one(name, value, tensors, words):
    if isinstance(value, torch.Tensor):
        tensors.append(value)
    elif value is None:
        tensors.append(None)
    elif type(value) in (list, tuple) and any(isinstance(one, torch.Tensor) for one in value):
        tensors.extend(one if isinstance(one, torch.Tensor) else None for one in value)
    else:
        if name in ("self", "other", "input", "mat1", "mat2", "tensor", "exponent", "value", "src"):
            tensors.append(None)  # a Python number in a tensor's place
        words.append(f"{name}={text_of(value)}")


def flatten(output):
    """The tensors that an operation gives; None for what is none."""
    if isinstance(output, torch.Tensor):
        return [output]
    if type(output) in (list, tuple):
        found = []
        for part in output:
            if isinstance(part, torch.Tensor) or part is None:
                found.append(part)
            elif type(part) in (list, tuple):
                found.extend(flatten(part))
        return found
    return []
