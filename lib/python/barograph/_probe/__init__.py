# SPDX-License-Identifier: Apache-2.0
"""Probes of torch trainings: what one step computed, operation by operation, and where it broke.

    schema.py   torch's operations: their arguments, what they write
    axes.py     where samples and units lie, from operation to operation
    trace.py    a step followed while it is computed: operations and values
    build.py    a trace given to libbaro; or kept for a search
    again.py    models called again without anything of it being left
    program.py  what the training loop does outside of its models, done again
    search.py   the first operation that turns finite into not finite
    graph.py    the same of steps that cannot be computed again, from what autograd saved
    cause.py    why, in one sentence
    memory.py   whether there is room to compute a step again
    moment.py   a failure, from the loss that is NaN to a probe that says where it began

When a probe is made is decided in _watch/probes.py. Nothing here is imported without torch.
"""
