# SPDX-License-Identifier: Apache-2.0
"""What is given to watch(), looked at before anything is done with it."""
import torch

ROLES = ("input", "weight", "grad", "act", "act_grad", "update", "opt")


def as_list(value):
    """A value, a list of them or None, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


def check(model, optimizer, every, roles, include, exclude):
    """Tell what is wrong, and go on with the rest.

    returns  (faults, optimizers, every, roles, include, exclude): faults is a list of sentences;
             what is faulty is replaced by the default. A model that is none is left to the caller
    """
    faults = []
    if not isinstance(model, torch.nn.Module):
        faults.append(f"watch() takes a torch.nn.Module, not '{type(model).__name__}'")
    optimizers = []
    for one in as_list(optimizer):
        if callable(getattr(one, "step", None)) and hasattr(one, "param_groups"):
            optimizers.append(one)
        else:
            faults.append("optimizer is a torch optimiser or a list of them, not "
                          f"'{type(one).__name__}'")
    if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
        faults.append(f"every is a whole number from 1, not {every!r}")
        every = None
    wanted = as_list(roles)
    if any(role not in ROLES for role in wanted):
        faults.append(f"roles is a list of some of {', '.join(ROLES)}, not {roles!r}")
        wanted = [role for role in wanted if role in ROLES] or list(ROLES)
    patterns = []
    for given in (include, exclude):
        texts = [one for one in as_list(given) if isinstance(one, str)]
        if len(texts) < len(as_list(given)):
            faults.append("include and exclude are glob patterns: a string or a list of them")
        patterns.append(texts)
    return faults, optimizers, every, wanted, patterns[0], patterns[1]
