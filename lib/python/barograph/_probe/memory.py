# SPDX-License-Identifier: Apache-2.0
"""How much memory is left: a step is computed a second time only where there is room for it."""
import resource

import torch

_GROUPS = (("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
           ("/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes"))


def left_for(tensor):
    """Bytes that are left where a tensor lies (None: in main memory); None: not known."""
    if tensor is not None and tensor.is_cuda:
        free, _ = torch.cuda.mem_get_info(tensor.device)
        return free + (torch.cuda.memory_reserved(tensor.device)
                       - torch.cuda.memory_allocated(tensor.device))
    found = [one for one in (_of_machine(), _of_group(), _of_process()) if one is not None]
    return min(found, default=None)


def _read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _of_machine():
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def _of_group():
    for most, now in _GROUPS:
        limit, used = _read(most).strip(), _read(now).strip()
        if limit.isdigit() and used.isdigit():
            return max(0, int(limit) - int(used))
    return None


def _of_process():
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = _read("/proc/self/statm").split()
    if limit == resource.RLIM_INFINITY or not pages:
        return None
    return max(0, limit - int(pages[0]) * resource.getpagesize())
