# SPDX-License-Identifier: Apache-2.0
"""Runs that exist already: append, branch, overwrite; layers that change; steps and names at
their limits."""
import live
import tap

TRAIN = """
import sys, barograph
options = dict(eval(sys.argv[1]))
run = barograph.init(project="resume", run_id="job", **options)
print(run._next_step)
for i in range(int(sys.argv[2])):
    run.log({"loss": float(sys.argv[3])})
run.finish()
"""


def train(n_steps, value, environment=None, **options):
    return int(live.good(TRAIN, repr(options), str(n_steps), str(value), **(environment or {})))


def losses(run):
    return [(p["step"], p["value"]) for p in live.listing("get", run, "loss")]


def test_a_branch_goes_on_from_its_step():
    with live.daemon():
        assert train(10, 1) == 0
        assert train(4, 2, resume="branch", resume_step=6) == 6
        assert losses("job") == ([(s, 1.0) for s in range(6)] + [(s, 2.0) for s in range(6, 10)])
        assert losses("job~1") == [(s, 1.0) for s in range(10)]


def test_the_environment_declares_it_too():
    with live.daemon():
        train(10, 1)
        first = train(2, 2, {"BARO_RESUME": "overwrite", "BARO_RESUME_STEP": "3"})
        assert first == 3, first
        assert losses("job") == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]
        assert [run["id"] for run in live.listing("runs")] == ["job"]
        assert [run["id"] for run in live.listing("runs", "--all")] == ["job", "job~1"]


def test_append_keeps_and_marks_what_comes_again():
    with live.daemon():
        train(5, 1)
        train(4, 2, first_step=3)
        points = live.listing("get", "job", "loss")
        assert [p["step"] for p in points] == [0, 1, 2, 3, 4, 3, 4, 5, 6]
        assert [p["step"] for p in points if p.get("repeat")] == [3, 4]


def test_wrong_ways_of_resuming_are_told_at_once():
    for options in ('resume="brunch"', 'resume="append", resume_step=3', "resume_step=-1",
                    "resume_step=2**63", 'resume="branch", resume_step=1.5'):
        code = f"import barograph\nbarograph.init(mode='offline', {options}"
        done = live.python(f"{code})")
        assert done.returncode == 0 and "UserWarning: barograph: resume" in done.stderr, (
            options, done.stderr)
        done = live.python(f"{code}, strict=True)")
        assert done.returncode != 0 and "TypeError" in done.stderr, (options, done.stderr)


def test_a_layer_that_is_replaced_goes_on_as_another_epoch():
    with live.daemon():
        live.good("""
import torch, barograph
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 3)
    def forward(self, x):
        return self.fc(x)
torch.manual_seed(1)
net = Net()
run = barograph.init(project="resume", run_id="job")
run.watch(net, every=1)
for step in range(12):
    if step == 6:
        net.fc = torch.nn.Linear(4, 5)
        run.watch(net, every=1)
    net(torch.randn(2 + step % 3, 4)).sum().backward()
    run.log({"loss": 1.0})
run.finish()
""")
        series = {entry["name"]: entry for entry in live.listing("series", "job")}
        assert series["fc:act"]["epoch"] == 1 and series["fc:act#2"]["units"] == 5, series.keys()
        assert series["fc.weight:weight#2"]["shape"] == [5, 4], series["fc.weight:weight#2"]
        assert not [name for name in series if name.startswith("input") and "#" in name]
        steps = [p["step"] for p in live.listing("get", "job", "fc:act/l2")]
        assert steps == list(range(12)), steps


def test_the_largest_step_is_kept_and_none_beyond():
    with live.daemon():
        live.good("""
import barograph
run = barograph.init(project="resume", run_id="job")
run.log({"loss": 1.0}, step=2**63 - 1)
run.log({"loss": 2.0})
run.log({"loss": 3.0}, step=2**63)
run.log({"loss": 4.0}, step=-1)
run.log({"loss": 5.0}, step=10**30)
run.finish()
""")
        assert losses("job") == [(2**63 - 1, float(value)) for value in range(1, 6)]


def test_a_million_names_stay_bounded_and_known_ones_go_on():
    with live.daemon():
        out = live.good("""
import resource, barograph
run = barograph.init(project="resume", run_id="job", ring_bytes=8 << 20)
run.log({"loss": 1.0})
for i in range(100):
    run.log({f"name {i * 10000 + k} of a million": 1.0 for k in range(10000)})
    if i == 20:
        early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run.log({"loss": 2.0})
late = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(late - early, run.stats()["n_dropped"] > 800000)
run.finish(timeout=30)
""", timeout=240)
        grown_kib, is_dropped = out.split()
        assert int(grown_kib) < 8 << 10 and is_dropped == "True", out
        assert [value for _, value in losses("job")] == [1.0, 2.0]
        assert 5000 < len(live.listing("series", "job")) < 65536


if __name__ == "__main__":
    tap.main(globals())
