# SPDX-License-Identifier: Apache-2.0
"""What watching costs four trainings: the part of `baro bench train` that is Python.

Of each model (MLP, CNN, LSTM, a small GPT) there is one process for each way to train it:

    unwatched     without Barograph
    watched       watch() as by default, once most of what the governor begins with is spent
    every step    watch(every=1) of inputs, weights, gradients, activations and their gradients
    everything    watch(every=1) with updates and optimiser state, too
    tensorboard   add_histogram() of the same tensors at each step

They take turns, a block of steps each, so that all see the same machine; one runs at a time, with
one thread of torch. Of a turn the median step counts; of what a way adds the least step of all
turns, against the least unwatched one. Time of the training's thread (CPU) is reported beside wall
time: it does not count what other programs take away. Learning rates are so small that the numbers
stay what they are: else the way that has trained longest would work on others than the rest.

The governor's share is told of one stretch of training without pauses, its beginning apart: then
it spends a gift besides (lib/push/governor.c), and everything is seen for the first time.

Prints one JSON object a line: {"case", "samples", "unit", "limit", "limit_name"} or {"note"}.
"""
import argparse
import gc
import json
import os
import shutil
import signal
import statistics
import struct
import sys
import tempfile
import time

import torch
from torch import nn
from torch.nn import functional as F

ROLES = ("input", "weight", "grad", "act", "act_grad")
SETTLE_S = 20   # lib/push/governor.c: what the governor begins with is mostly spent
STRETCH_S = 10  # of training after that, in which the share is measured
WAYS = ("unwatched", "watched", "every step", "everything", "tensorboard")


# ---- the models: each gives (model, optimiser, a function that makes a batch's loss) ----

def mlp():
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                          nn.Linear(512, 10))
    x, y = torch.randn(128, 784), torch.randint(0, 10, (128,))
    return model, torch.optim.SGD(model.parameters(), 1e-5, momentum=0.9), \
        lambda: F.cross_entropy(model(x), y)


def cnn():
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(),
                          nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
                          nn.Linear(32 * 144, 128), nn.ReLU(), nn.Linear(128, 10))
    x, y = torch.randn(32, 1, 28, 28), torch.randint(0, 10, (32,))
    return model, torch.optim.Adam(model.parameters(), 1e-7), \
        lambda: F.cross_entropy(model(x), y)


class Words(nn.Module):
    def __init__(self, n_words=2000, width=200):
        super().__init__()
        self.embed = nn.Embedding(n_words, width)
        self.lstm = nn.LSTM(width, width, 2)
        self.out = nn.Linear(width, n_words)

    def forward(self, words):
        return self.out(self.lstm(self.embed(words))[0])


def lstm():
    model = Words()
    x, y = torch.randint(0, 2000, (35, 20)), torch.randint(0, 2000, (700,))
    return model, torch.optim.SGD(model.parameters(), 1e-4), \
        lambda: F.cross_entropy(model(x).view(700, -1), y)


class Block(nn.Module):
    def __init__(self, width, n_heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.n_heads = n_heads

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (part.view(b, t, self.n_heads, -1).transpose(1, 2)
                   for part in self.qkv(self.ln_1(x)).split(c, dim=2))
        scores = (q @ k.transpose(-2, -1)) / (c // self.n_heads) ** 0.5
        mask = torch.ones(t, t, dtype=torch.bool).triu(1)
        mixed = F.softmax(scores.masked_fill(mask, float("-inf")), -1) @ v
        x = x + self.proj(mixed.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.ln_2(x))))


class Gpt(nn.Module):
    def __init__(self, n_words=256, width=128, n_layers=4, n_heads=4, length=64):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(n_words, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, n_heads) for _ in range(n_layers))
        self.ln_f, self.head = nn.LayerNorm(width), nn.Linear(width, n_words, bias=False)

    def forward(self, words):
        x = self.wte(words) + self.wpe(torch.arange(words.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln_f(x))


def gpt():
    model = Gpt()
    x, y = torch.randint(0, 256, (12, 64)), torch.randint(0, 256, (768,))
    return model, torch.optim.AdamW(model.parameters(), 1e-7), \
        lambda: F.cross_entropy(model(x).view(768, -1), y)


MODELS = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "gpt": gpt}


# ---- ways to watch ----

class Unwatched:
    """Nothing is looked at."""

    def __init__(self, model, optimizer, folder):
        pass

    def before(self):
        pass

    def after(self, loss):
        pass

    def own_ns(self):
        return 0

    def n_records(self):
        return 0

    def finish(self):
        pass


class Barograph(Unwatched):
    """watch()."""

    options = {}

    def __init__(self, model, optimizer, folder):
        import barograph
        self.run = barograph.init(project="bench", budget=0.01)
        if not self.run.is_active:
            sys.exit(70)
        self.run.watch(model, optimizer, **self.options)

    def after(self, loss):
        self.run.log({"loss": loss})

    def own_ns(self):
        return self.run.stats()["own_ns"]

    def n_records(self):
        return self.run.stats()["n_pushed"]

    def finish(self):
        self.run.finish(timeout=5)


class EveryStep(Barograph):
    options = {"every": 1, "roles": ROLES}


class Everything(Barograph):
    options = {"every": 1}


class TensorBoard(Unwatched):
    """Histograms, as one writes them by hand: hooks for what modules give and their gradients."""

    def __init__(self, model, optimizer, folder):
        from torch.utils.tensorboard import SummaryWriter
        self.writer = SummaryWriter(tempfile.mkdtemp(dir=folder))
        self.model, self.step, self.n = model, 0, 0
        model.register_forward_pre_hook(lambda _, args: self.add("input", args[0]))
        for name, module in model.named_modules():
            module.register_forward_hook(
                lambda _, args, output, name=name or "model": self.on_output(name, output))

    def add(self, name, tensor):
        self.writer.add_histogram(name, tensor, self.step)
        self.n += 1

    def on_output(self, name, output, suffix=""):
        if isinstance(output, tuple):
            for i, part in enumerate(output):
                self.on_output(f"{name}.{i}", part)
            return
        self.add(f"{name}/act", output)
        if output.requires_grad:
            output.register_hook(lambda grad: self.add(f"{name}/act_grad", grad))

    def before(self):
        for name, parameter in self.model.named_parameters():
            self.add(f"{name}/grad", parameter.grad)

    def after(self, loss):
        for name, parameter in self.model.named_parameters():
            self.add(f"{name}/weight", parameter)
        self.writer.add_scalar("loss", loss.item(), self.step)
        self.step += 1

    def n_records(self):
        return self.n

    def finish(self):
        self.writer.close()


KINDS = dict(zip(WAYS, (Unwatched, Barograph, EveryStep, Everything, TensorBoard)))


# ---- a process for each ----

class Trainer:
    """Trains on demand: a block of steps at a time."""

    def __init__(self, model_name, way, folder):
        torch.manual_seed(0)
        self.model, self.optimizer, self.loss = MODELS[model_name]()
        self.watch = KINDS[way](self.model, self.optimizer, folder)

    def run(self, n_steps):
        """Returns medians in ns, and what the block came to."""
        walls, threads = [], []
        own, records, began = self.watch.own_ns(), self.watch.n_records(), time.perf_counter_ns()
        for _ in range(n_steps):
            wall, thread = time.perf_counter_ns(), time.thread_time_ns()
            self.optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            self.watch.before()
            self.optimizer.step()
            self.watch.after(loss)
            walls.append(time.perf_counter_ns() - wall)
            threads.append(time.thread_time_ns() - thread)
        return {"wall": statistics.median(walls), "cpu": statistics.median(threads),
                "least_wall": min(walls), "least_cpu": min(threads),
                "mean_cpu": statistics.fmean(threads), "n_steps": n_steps,
                "ns": time.perf_counter_ns() - began, "own_ns": self.watch.own_ns() - own,
                "n_records": self.watch.n_records() - records}


class Process:
    """A Trainer in a child, which waits while others have their turn."""

    _ends = []  # of pipes that only the parent has: with it they go, and then the children

    def __init__(self, model_name, way, folder):
        ask, self._ask = os.pipe()
        self._answer, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for end in self._ends + [self._ask, self._answer]:
                os.close(end)
            self._serve(model_name, way, folder, ask, answer)
        os.close(ask)
        os.close(answer)
        self._answers = os.fdopen(self._answer, "r")
        self._ends.extend((self._ask, self._answer))

    @staticmethod
    def _serve(model_name, way, folder, ask, answer):
        status = 1
        try:
            trainer = Trainer(model_name, way, folder)
            gc.collect()
            gc.freeze()
            while True:
                text = os.read(ask, 4)
                n_steps = struct.unpack("<I", text)[0] if len(text) == 4 else 0
                if n_steps == 0:
                    break
                line = json.dumps(trainer.run(n_steps))
                os.write(answer, line.encode() + b"\n")
            trainer.watch.finish()
            status = 0
        except BaseException as error:
            print(f"{model_name}, {way}: {error!r}", file=sys.stderr)
        finally:
            os._exit(status)

    def run(self, n_steps):
        os.write(self._ask, struct.pack("<I", n_steps))
        line = self._answers.readline()
        if not line:
            raise RuntimeError("a training ended early")
        return json.loads(line)

    def end(self):
        """A 0 ends it."""
        try:
            os.write(self._ask, struct.pack("<I", 0))
        except OSError:
            pass
        os.waitpid(self.pid, 0)
        self._ends.remove(self._ask)
        self._ends.remove(self._answer)
        os.close(self._ask)
        self._answers.close()


# ---- measuring ----

def stretch(process, step_ns, seconds):
    """Train for so long; returns the share that was Barograph's own, in percent."""
    block = max(1, int(2e8 / step_ns))
    own_ns = trained_ns = 0
    while trained_ns < seconds * 1e9:
        seen = process.run(block)
        own_ns += seen["own_ns"]
        trained_ns += seen["ns"]
    return 100 * own_ns / trained_ns if trained_ns else None


def measure(model_name, ways, n_turns, block_ns, seconds, folder):
    """Returns blocks of each way, and the shares of the watched one: at the beginning, later."""
    processes = {way: Process(model_name, way, folder) for way in ways}
    blocks = {way: [] for way in ways}
    try:
        step_ns = processes["unwatched"].run(3)["wall"]
        shares = [stretch(processes["watched"], step_ns, part) for part in seconds]
        steps = {way: max(2, min(200, int(block_ns / process.run(3)["wall"])))
                 for way, process in processes.items()}
        for turn in range(n_turns):
            order = ways[turn % len(ways):] + ways[:turn % len(ways)]
            for way in order:
                # What was going on before is out of the caches, and a pause has brought credit.
                processes[way].run(max(2, steps[way] // 2))
                blocks[way].append(processes[way].run(steps[way]))
    finally:
        for process in processes.values():
            process.end()
    return blocks, shares


def say(case, samples, unit, limit=None, limit_name=None):
    print(json.dumps({"case": case, "samples": samples, "unit": unit, "limit": limit,
                      "limit_name": limit_name}), flush=True)


def note(text):
    print(json.dumps({"note": text}), flush=True)


def added(blocks, way, clock):
    """What a way adds to the unwatched step, in ms: least step of all turns against least step.

    All steps of a way do the same work, and what else the machine does only adds to it.
    """
    least = [min(one[f"least_{clock}"] for one in blocks[name]) for name in (way, "unwatched")]
    return (least[0] - least[1]) / 1e6


def report(name, blocks, shares):
    plain = "the same training unwatched, in turns"
    for clock, label in (("wall", ""), ("cpu", ", CPU")):
        base = statistics.median(one[clock] for one in blocks["unwatched"]) / 1e6
        for way in blocks:
            say(f"{name} {way}{label}", [one[clock] / 1e6 for one in blocks[way]], "ms", base,
                plain)
    watched = blocks["watched"]
    for share, part in zip(shares, ("at the beginning", "later")):
        if share is not None:
            say(f"{name} own time, {part}", [share], "%", 1.0, "the budget")
    means = [100 * (one["mean_cpu"] / plain_one["mean_cpu"] - 1)
             for one, plain_one in zip(watched, blocks["unwatched"])]
    say(f"{name} mean step more", means, "%", 1.0, "the budget")
    for way in ("every step", "everything"):
        own = [one["own_ns"] / one["n_steps"] / 1e6 for one in blocks[way]]
        say(f"{name} {way}, own time", own, "ms", None, None)
    if "tensorboard" in blocks:
        own = min(one["own_ns"] / one["n_steps"] for one in blocks["every step"]) / 1e6
        for clock in ("wall", "cpu"):
            theirs = added(blocks, "tensorboard", clock)
            ours = max(added(blocks, "every step", clock), own)  # noise can hide it, not undo it
            say(f"{name} every step adds, {clock}", [ours], "ms", theirs,
                "what TensorBoard's histograms of the same tensors add")
            say(f"{name} histograms add so many times that, {clock}", [theirs / ours],
                "times", 20.0, "what is asked for")
        n = [blocks[way][-1]["n_records"] / blocks[way][-1]["n_steps"]
             for way in ("every step", "tensorboard")]
        note(f"{name}: records a step, every step: {n[0]:.1f} (scalars included), "
             f"tensorboard: {n[1]:.1f} histograms")


def has_tensorboard():
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: F401
        return True
    except Exception:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--block-ms", type=int, default=300, help="length of a turn, about")
    parser.add_argument("--stretch", type=int, nargs=2, default=(SETTLE_S, STRETCH_S),
                        metavar="S", help="seconds of the beginning, and after it")
    parser.add_argument("--quick", action="store_true", help="to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.models, options.turns, options.block_ms, options.stretch = "mlp", 2, 10, (0, 0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    ways = list(WAYS) if has_tensorboard() else [way for way in WAYS if way != "tensorboard"]
    folder = tempfile.mkdtemp(prefix="baro-train-")
    try:
        for name in options.models.split(","):
            report(name, *measure(name, ways, options.turns, options.block_ms * 1e6,
                                  options.stretch, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    note(f"Python {sys.version.split()[0]}, torch {torch.__version__}, one thread each; load "
         f"average {os.getloadavg()[0]:.1f} at the end")
    if "tensorboard" not in ways:
        note("this Python has no torch.utils.tensorboard: nothing to compare every step with; "
             "BARO_PYTHON names another Python")


if __name__ == "__main__":
    main()
