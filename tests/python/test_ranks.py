# SPDX-License-Identifier: Apache-2.0
"""DistributedDataParallel for real: two processes, one run, weights compared by the daemon."""
import os
import socket
import subprocess
import sys

import tap
import live

RANK = """
import os, sys
import torch, torch.distributed as dist
from torch import nn
import barograph
torch.set_num_threads(1)
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
replica = nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.SGD(replica.parameters(), 0.05)
run = barograph.init(project="ddp", run_id="both", strict=True)
assert run.is_active
run.watch(replica, optimizer, every=4)
torch.manual_seed(rank)
for step in range(40):
    if step == 20 and rank == 1 and len(sys.argv) > 1:
        with torch.no_grad():
            model[2].bias.view(torch.int32)[1] ^= 1   # one bit, on one rank
    loss = replica(torch.randn(8, 4)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    run.log({"loss": loss})
dist.barrier()
run.finish(timeout=20)
print(" ".join(f"{p.double().sum().item():.17g}" for p in model.parameters()))
dist.destroy_process_group()
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def train(*arguments):
    """Run both ranks; returns what each printed."""
    port = free_port()
    ranks = [subprocess.Popen(
        [sys.executable, "-c", RANK, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=dict(os.environ, RANK=str(rank), WORLD_SIZE="2", MASTER_PORT=port,
                            MASTER_ADDR="127.0.0.1", LOCAL_RANK=str(rank)))
        for rank in range(2)]
    try:
        done = [process.communicate(timeout=100) for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert all(process.returncode == 0 for process in ranks), done
    return [output for output, _ in done]


def test_two_ranks_are_one_run_and_their_weights_are_compared():
    with live.daemon():
        ends = train()
        assert ends[0] == ends[1]
        run = live.the_run()
        assert run["id"] == "both" and run["status"] == "finished", run
        series = live.listing("series", "both")
        for rank in (0, 1):
            names = {one["name"] for one in series if one["rank"] == rank}
            assert {"0.weight:weight", "0.weight:grad", "2.bias:weight", "2.bias:grad", "0:act",
                    "2:act_grad", "input:input", "2.bias:update"} <= names, names
            assert not any("module." in name for name in names)
            assert sum(name.startswith("replicated/") for name in names) == 4, names
        sums = [[(p["step"], p["value"]) for p in live.listing(
            "get", "both", f"replicated/0.weight@{rank}")] for rank in (0, 1)]
        assert sums[0] == sums[1] and [step for step, _ in sums[0]] == list(range(0, 40, 4)), sums
        assert not live.listing("alerts", "both")


def test_one_bit_on_one_rank_is_told():
    with live.daemon():
        train("spoil")
        alerts = live.wait_for(lambda: live.listing("alerts", "both"))
        assert len(alerts) == 1, alerts
        assert (alerts[0]["kind"], alerts[0]["step"]) == ("ranks_differ", 20), alerts
        assert alerts[0]["tensor"].startswith("replicated/")
        assert "not the same on ranks" in alerts[0]["text"], alerts


if __name__ == "__main__":
    tap.main(globals())
