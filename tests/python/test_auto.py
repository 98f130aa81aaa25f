# SPDX-License-Identifier: Apache-2.0
"""`python -m barograph run`: scripts that know nothing of Barograph, and what is on record then.

torch is imported once, here; scripts that need it run in forks of this process.
"""
import atexit
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap

import torch

import tap
import live

torch.set_num_threads(1)
SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scripts")


def forked(arguments, is_recorded=True):
    """Run a script in a child, with `barograph run` or without; returns (exit status, output)."""
    with tempfile.TemporaryFile("w+") as output:
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False))
                sys.path.insert(0, "")
                os.chdir(SCRIPTS)
                status = run_here(arguments, is_recorded)
                sys.stdout.flush()
                atexit._run_exitfuncs()
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        output.seek(0)
        return status, output.read()


def run_here(arguments, is_recorded):
    from barograph import __main__ as program
    from barograph import _script
    try:
        if is_recorded:
            return program.main(["run", *arguments])
        run = _script.run_module if arguments[0] == "-m" else _script.run_file
        script = [one for one in arguments if one != "-m"]
        run(script[0], script[1:])
        return 0
    except SystemExit as end:
        return end.code or 0


def recorded(*arguments):
    """Run a script of its own with a daemon; returns (its output, run, series by name)."""
    status, output = forked(arguments)
    assert status == 0, output
    run = live.listing("runs")[0]
    return output, run, {one["name"]: one for one in live.listing("series", run["id"])}


def values(run, name):
    """The readings of a scalar, or of one statistic of a tensor."""
    return [row["value"] for row in live.listing("get", run["id"], name)]


def written(text, name="script.py"):
    """A script with this text; returns its path."""
    path = os.path.join(os.environ["BARO_DIR"], name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(textwrap.dedent(text))
    return path


def printed(output, pattern):
    return [float(text) for text in re.findall(pattern, output)]


def is_near(recorded_values, printed_values):
    return len(recorded_values) == len(printed_values) and all(
        abs(a - b) <= 1e-6 * max(1.0, abs(b)) for a, b in zip(recorded_values, printed_values))


# ---- scripts as they are published ----

def both(*arguments):
    """With and without: the output must be the same to the last digit."""
    plain = forked([one for one in arguments if one not in ("--every", "1")], is_recorded=False)
    assert plain[0] == 0, plain[1]
    output, run, series = recorded(*arguments)
    assert output == plain[1], (output[-2000:], plain[1][-2000:])
    assert run["status"] == "finished", run
    return output, run, series


def test_a_convolutional_network_with_epochs_and_evaluation():
    with live.daemon():
        output, run, series = both("--every", "1", "digits_cnn.py", "--epochs", "2", "--name", "it")
        assert "it done" in output
        assert run["name"] == "digits_cnn.py", run
        assert is_near(values(run, "loss"), printed(output, r"Epoch.*Loss: (\S+)"))
        assert [round(rate, 6) for rate in values(run, "lr")] == [1.0] * 10 + [0.7] * 10
        for name in ("conv1:act", "fc2:act_grad", "conv1.weight:grad", "fc1.weight:weight",
                     "fc1.weight:update", "input:input"):
            assert series[name]["points"] == 20, (name, series.get(name))
        assert series["eval/conv1:act"]["points"] == 2, series["eval/conv1:act"]


def test_a_language_model_that_moves_its_weights_without_an_optimizer():
    with live.daemon():
        output, run, series = both("--every", "1", "-m", "words.main", "--epochs", "2")
        losses = printed(output, r"batches \| loss (\S+)")
        assert len(losses) == 26 and is_near(values(run, "loss"), losses)
        assert len(values(run, "grad_norm")) == 26 and "lr" not in series
        assert series["encoder.weight:weight"]["points"] == 26
        assert series["rnn.weight_hh_l1:grad"]["points"] == 26, series["rnn.weight_hh_l1:grad"]
        norms = values(run, "decoder.bias:grad/l2")
        assert len(norms) == 26 and min(norms) > 0, norms
        assert series["decoder:act"]["points"] == 25  # the model was found after its first pass
        assert series["eval/decoder:act"]["points"] == 2


def test_two_networks_with_an_optimizer_each():
    with live.daemon():
        output, run, series = both("--every", "1", "dcgan.py")
        real, fake = values(run, "loss/errD_real"), values(run, "loss/errD_fake")
        together = [a + b for a, b in zip(real, fake)]
        assert is_near(together, printed(output, r"Loss_D: (\S+)"))
        assert is_near(values(run, "loss/errG"), printed(output, r"Loss_G: (\S+)"))
        assert "loss" not in series
        assert set(values(run, "lr")) == {0.0002} and set(values(run, "lr.2")) == {0.0003}
        for name in ("netD:input", "netG.main.7:act", "netD.main.0.weight:grad",
                     "netG.main.0.weight:update"):
            assert series[name]["points"] == 24, (name, series.get(name))


def test_a_small_gpt_that_accumulates_gradients():
    with live.daemon():
        output, run, series = both("--every", "1", "nano_gpt.py")
        assert len(values(run, "loss")) == 16
        # Printed is the last micro-batch, times two; recorded is the mean of both.
        for mine, theirs in zip(values(run, "loss"), printed(output, r"iter \d+: loss (\S+)")):
            assert abs(mine - theirs) < 1.0, (mine, theirs)
        rates = values(run, "lr")
        assert len(rates) == 16 and rates[0] < rates[3] > rates[-1], rates
        assert len(values(run, "grad_norm")) == 16
        assert series["transformer.h.1.attn.c_attn:act"]["points"] == 16
        assert series["transformer.wte.weight:weight"]["points"] == 16
        assert series["eval/lm_head:act"]["points"] == 1  # the first one comes before any training


# ---- options and processes ----

def run_cold(*arguments, is_recorded=True, timeout=60, **environment):
    """A process of its own, as people start it."""
    start = ["-m", "barograph", "run"] if is_recorded else []
    return subprocess.run([sys.executable, *start, *arguments], capture_output=True, text=True,
                          timeout=timeout, cwd=SCRIPTS, env=dict(os.environ, **environment))


def test_options_are_ours_arguments_are_the_scripts_and_workers_are_silent():
    with live.daemon():
        done = run_cold("--project", "p", "--name", "n", "--budget", "0.05", "--include", "conv*",
                        "--exclude", "*.bias", "--every", "2", "digits_cnn.py", "--name", "x",
                        "--epochs", "1", "--workers", "2")
        assert done.returncode == 0 and "x done" in done.stdout and not done.stderr, done
        run = live.the_run()
        assert (run["project"], run["name"], run["status"]) == ("p", "n", "finished"), run
        series = {one["name"]: one for one in live.listing("series", run["id"])}
        assert series["conv1.weight:weight"]["points"] == 5, series["conv1.weight:weight"]
        assert not any("fc" in name or ".bias" in name for name in series), series.keys()
        assert len(values(run, "loss")) == 10


def test_no_watch_leaves_scalars_alone():
    with live.daemon():
        _, run, series = recorded("--no-watch", "digits_cnn.py", "--epochs", "1")
        assert len(values(run, "loss")) == 10
        assert not [name for name in series if ":" in name], series.keys()


PLAIN = {
    "exit": "import sys; print('out'); sys.exit(3)",
    "text": "import sys; sys.exit('no data')",
    "raise": "def broken():\n    raise ValueError('of mine')\nbroken()",
    "syntax": "x = = 1",
    "hook": "import sys\nsys.excepthook = lambda *a: print('hook', a[1], file=sys.stderr)\n1/0",
    "argv": "import sys, os\nprint(sys.argv, sys.path[0], __name__, __file__, __spec__,"
            " __package__, vars().get('barograph'))",
    "main": "import multiprocessing as mp\n"
            "def work(q):\n    q.put(__name__)\n"
            "if __name__ == '__main__':\n"
            "    mp.set_start_method('spawn')\n    q = mp.Queue()\n"
            "    p = mp.Process(target=work, args=(q,)); p.start()\n"
            "    print(q.get(timeout=30)); p.join()\n",
    "term": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT)\n"
                 "import time; time.sleep(10)",
}


def test_exit_status_and_output_are_those_of_the_script_alone():
    with live.daemon():
        for name, text in PLAIN.items():
            path = written(text, f"{name}.py")
            alone = run_cold(path, "-x", "--every", "3", is_recorded=False)
            done = run_cold("--name", name, path, "-x", "--every", "3")
            assert done.returncode == alone.returncode, (name, done, alone)
            assert done.stdout == alone.stdout, (name, done, alone)
            if name != "interrupt":  # its traceback has our frames, too
                assert done.stderr == alone.stderr, (name, done.stderr, alone.stderr)
        status = {run["name"]: run["status"] for run in live.listing("runs")}
        assert {name for name, one in status.items() if one == "finished"} == {
            "argv", "main"}, status
        assert {status[name] for name in ("exit", "text", "raise", "syntax", "hook",
                                          "interrupt")} == {"failed"}, status
        assert run_cold("nothing.py").returncode == 2


def test_a_module_runs_as_with_python_m():
    folder = os.path.dirname(written("print(__name__, __package__)", "pack/__main__.py"))
    written("from . import other\nimport sys\nprint(__name__, __spec__.name, sys.argv)",
            "pack/part.py")
    written("", "pack/__init__.py")
    written("", "pack/other.py")
    place = os.path.dirname(folder)
    environment = {"BARO_MODE": "offline",
                   "PYTHONPATH": os.environ["PYTHONPATH"] + os.pathsep + place}
    for module in ("pack", "pack.part"):
        alone = run_cold("-m", module, "a", is_recorded=False, **environment)
        done = run_cold("-m", module, "a", **environment)
        assert (done.returncode, done.stdout) == (0, alone.stdout), (done, alone)
    done = run_cold("-m", "pack.none", **environment)
    assert done.returncode == 2 and "no module 'pack.none'" in done.stderr, done


def test_ranks_that_were_started_together_are_one_run():
    path = written("import barograph, os\nrun = barograph.init(config={'a': 1})\n"
                   "run.log({'x': int(os.environ['RANK'])}); run.finish(timeout=10)")
    with live.daemon():
        for rank in ("0", "1"):
            done = run_cold(path, RANK=rank, WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
            assert done.returncode == 0, done
        live.the_run()
        done = run_cold(path, RANK="0", WORLD_SIZE="2", TORCHELASTIC_RUN_ID="job/7")
        assert done.returncode == 0, done
        assert {run["id"] for run in live.listing("runs")} > {"job-7"}


# ---- odd training loops ----

HEAD = """
    import torch
    from torch import nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x, y = torch.randn(6, 3), torch.randn(6, 1)
"""


def odd(text, *options):
    path = written(textwrap.dedent(HEAD) + textwrap.dedent(text))
    return recorded("--every", "1", *options, path)


def test_a_closure_counts_once():
    with live.daemon():
        output, run, series = odd("""
            optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=5)
            def closure():
                optimizer.zero_grad()
                loss = (model(x) - y).pow(2).mean()
                loss.backward()
                return loss
            for _ in range(4):
                print("first", repr(optimizer.step(closure).item()))
            """)
        assert is_near(values(run, "loss"), printed(output, "first (.*)"))
        assert series["0.weight:grad"]["points"] == 4


def test_accumulated_losses_add_up_and_several_lines_have_several_names():
    with live.daemon():
        output, run, _ = odd("""
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            for _ in range(3):
                total = 0.0
                for part in range(4):
                    loss = (model(x) - y).pow(2).mean() / 4
                    total += loss.item()
                    loss.backward()
                aux = model(x).abs().mean()
                torch.autograd.backward([aux])
                (3 * aux.detach() + 0 * model(x).sum()).backward()
                optimizer.step()
                optimizer.zero_grad()
                print("total", total, "aux", aux.item())
            """)
        assert is_near(values(run, "loss"), printed(output, r"total (\S+)"))
        assert is_near(values(run, "loss/aux"), printed(output, r"aux (\S+)"))
        assert is_near(values(run, "loss.2"), [3 * v for v in printed(output, r"aux (\S+)")])


def test_a_loop_with_autograd_grad_and_one_without_models():
    with live.daemon():
        output, run, series = odd("""
            weights = list(model.parameters())
            for _ in range(3):
                penalty = torch.autograd.grad(model(x.requires_grad_()).sum(), x)
                loss = (model(x) - y).pow(2).mean()
                for w, g in zip(weights, torch.autograd.grad(loss, weights)):
                    w.data -= 0.1 * g
                print("it", loss.item())
            """)
        assert is_near(values(run, "loss"), printed(output, "it (.*)")), values(run, "loss")
        output, run, series = odd("""
            w = torch.zeros(3, requires_grad=True)
            optimizer = torch.optim.Adam([w])
            for _ in range(3):
                optimizer.zero_grad()
                (x @ w - 1).pow(2).sum().backward()
                optimizer.step()
            """)
        assert len(values(run, "loss")) == 3


def test_weights_that_are_moved_by_hand_are_followed_and_their_failures_looked_into():
    with live.daemon():
        step = """
            for i in range(12):
                x = torch.ones(6, 3)
                if i == 9:
                    x[4] = -900.0
                {forward}
                loss.backward()
                with torch.no_grad():
                    for w in {weights}:
                        w -= 1e-3 * w.grad
                        w.grad = None
            """
        output, run, series = odd("""
            import torch
            a, b = torch.ones(3, 5, requires_grad=True), torch.ones(5, 1, requires_grad=True)
            """ + step.format(forward="loss = ((x @ a + 40).log() @ b).mean()", weights="(a, b)"))
        assert run["steps"] == 12 and "a:weight" in series and "b:grad" in series, series.keys()
        assert "log of -2" in live.baro("why", run["id"])
        output, run, series = odd(step.format(
            forward="loss = (model(x).pow(2) * (x[:, :1] + 40).log()).mean()",
            weights="model.parameters()"))
        assert "at step 9: log of -860" in live.baro("why", run["id"])
        output, run, series = odd("""
            w = torch.ones(3, 1, requires_grad=True)
            for i in range(4):
                (x @ w - y).pow(2).mean().backward()
                w = (w - 0.1 * w.grad).detach().requires_grad_()
            """)
        assert len(values(run, "loss")) == 4 and "w:weight" not in series


def test_rounds_of_optimizers_are_steps():
    with live.daemon():
        _, run, _ = odd("""
            critic, spare = nn.Linear(1, 1), nn.Linear(1, 1)
            slow = torch.optim.SGD(model.parameters(), 0.01)
            fast = torch.optim.SGD(critic.parameters(), 0.02)
            never = torch.optim.SGD(spare.parameters(), 0.03)
            for i in range(6):
                for _ in range(3):
                    loss_c = critic(model(x).detach()).mean()
                    fast.zero_grad(); loss_c.backward(); fast.step()
                loss_m = critic(model(x)).mean()
                slow.zero_grad(); loss_m.backward(); slow.step()
            """)
        assert len(values(run, "loss/loss_c")) == 18
        assert len(values(run, "loss/loss_m")) == 6


def test_models_and_parameters_that_come_late_are_found():
    with live.daemon():
        output, run, series = odd("""
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
            optimizer.add_param_group({"params": model.parameters()})
            second = nn.Linear(1, 2)
            for i in range(4):
                if i == 2:
                    optimizer.add_param_group({"params": second.parameters()})
                    second = nn.Sequential(second)
                loss = second(model(x)).pow(2).mean()
                optimizer.zero_grad(); loss.backward(); optimizer.step(); scheduler.step()
            assert optimizer.step.__name__ and "barograph" not in dir()
            torch.save(optimizer.state_dict(), "/dev/null")
            """)
        assert "Warning" not in output, output
        assert series["0.weight:weight"]["points"] == 4 and series["2:act"]["points"] == 4
        assert series["second.0.weight:weight"]["points"] == 2, series.keys()


def test_a_script_that_records_itself_keeps_the_say():
    with live.daemon():
        _, run, series = odd("""
            import barograph
            run = barograph.init(project="mine", config={"lr": 0.1})
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            for i in range(3):
                loss = (model(x) - y).pow(2).mean()
                optimizer.zero_grad(); loss.backward(); optimizer.step()
                run.log({"mine": loss})
            """)
        assert set(series) == {"mine"} and len(values(run, "mine")) == 3, series.keys()


def test_ranks_that_a_script_spawns_are_ranks_of_its_run():
    path = written("""
        import torch
        import torch.multiprocessing as mp

        def train(rank, n_steps):
            torch.set_num_threads(1)
            model = torch.nn.Linear(2, 1)
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            for step in range(n_steps):
                loss = model(torch.ones(3, 2)).square().sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            assert rank == 0, "rank 1 is out of luck"

        if __name__ == "__main__":
            try:
                mp.spawn(train, (4,), nprocs=2)
            except Exception as error:
                print("out of luck" in str(error))
    """)
    with live.daemon():
        done = subprocess.run([sys.executable, "-m", "barograph", "run", path], capture_output=True,
                              text=True, timeout=120, env=dict(os.environ, BARO_AUTOSTART="0"))
        assert done.stdout == "True\n", done.stdout + done.stderr
        run = live.listing("runs")[0]
        assert (run["ranks"], run["steps"], run["status"]) == (2, 4, "failed"), run
        seen = {(one["name"], one["rank"]) for one in live.listing("series", run["id"])}
        assert {("loss", 0), ("loss", 1), ("weight:grad", 0), ("weight:weight", 1)} <= seen, seen


def test_a_child_that_trains_after_a_fork_is_silent():
    with live.daemon():
        _, run, _ = odd("""
            import os
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            def train(n):
                for i in range(n):
                    loss = (model(x) - y).pow(2).mean()
                    optimizer.zero_grad(); loss.backward(); optimizer.step()
            train(2)
            pid = os.fork()
            if pid == 0:
                train(5)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            train(1)
            """)
        assert len(values(run, "loss")) == 3


def test_a_scaled_loss_is_recorded_as_it_was_and_a_skipped_step_counts():
    with live.daemon():
        output, run, series = odd("""
            class Scaler(torch.cuda.amp.GradScaler):
                # What the real one does needs a GPU.
                def is_enabled(self):
                    return True
            import barograph.auto
            def scale(self, outputs):
                return outputs * 1024.0
            def step(self, optimizer, skip):
                return None if skip else optimizer.step()
            recorder = barograph.auto._recorder
            Scaler.scale, Scaler.step = recorder._scale(scale), recorder._scaler_step(step)
            scaler = Scaler()
            optimizer = torch.optim.SGD(model.parameters(), 1e-4)
            for i in range(4):
                loss = (model(x) - y).pow(2).mean()
                optimizer.zero_grad(); scaler.scale(loss).backward()
                scaler.step(optimizer, i == 1)
                print("it", loss.item())
            """)
        assert is_near(values(run, "loss"), printed(output, "it (.*)")), values(run, "loss")


# ---- without torch ----

def test_numpy_alone_is_enough():
    with live.daemon():
        live.good("""
import sys
sys.modules["torch"] = None   # as if it were not installed
import numpy, barograph
run = barograph.init(project="numpy", strict=True)
rng = numpy.random.default_rng(0)
w = rng.normal(size=(4, 6)).astype("float32")
for step in range(5):
    x = rng.normal(size=(8, 6)).astype("float32")
    hidden = x @ w.T
    run.tensor("hidden", hidden)
    run.tensor("w", hidden.T @ x / 8, role="grad")
    run.tensor("w", w, role="weight")
    run.tensor("w", w[:, ::2], role="opt")
    run.tensor("half", w.astype("float16"), role="act_grad", unit_axis=-1)
    run.log({"loss": numpy.float32(hidden.mean()), "n": numpy.array([step])})
run.finish(timeout=10)
""")
        run = live.the_run()
        series = {one["name"]: one for one in live.listing("series", run["id"])}
        assert {(name, one["units"]) for name, one in series.items() if ":" in name} == {
            ("hidden:act", 6 - 2), ("w:grad", 4), ("w:weight", 4), ("w:opt", 4),
            ("half:act_grad", 0)}, series
        assert all(one["points"] == 5 for one in series.values()), series


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tap.main(globals())
