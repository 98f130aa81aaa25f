# SPDX-License-Identifier: Apache-2.0
"""Probes of calm steps and what goes with them: the graph, when one is made, what is left alone."""
import gc
import math
import warnings
import weakref

import tap
import fake
from steps import told

import torch
from torch import nn
from torch.nn import functional as F

RESULT, INPUT, PARAMETER, BUFFER, CONSTANT, NOISE = range(6)


class Small(nn.Module):
    """Convolution, batch norm, dropout, a linear layer, and a view that is written into."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
                                  nn.MaxPool2d(2), nn.Dropout(0.5))
        self.head = nn.Linear(36, 5)

    def forward(self, x):
        hidden = self.body(x)
        hidden[:, 0] = hidden[:, 1] * 2
        return self.head(hidden.flatten(1))


def start(model, lr=0.01, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr)
    run, library = fake.open_run()
    run.watch(model, optimizer, **options)
    return run, library, optimizer


def train(run, model, optimizer, n_steps=3, make=lambda step: torch.randn(8, 1, 8, 8)):
    for step in range(n_steps):
        images, classes = make(step), torch.arange(8) % 5
        loss = F.cross_entropy(model(images), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"loss": loss.item()})


def probe_of(model=None, n_steps=3):
    torch.manual_seed(2)
    model = Small() if model is None else model
    run, library, optimizer = start(model)
    train(run, model, optimizer, n_steps)
    assert library.probes, told(library)
    return library.probes[0]


def ops_named(probe, name):
    return [op for op in probe["ops"] if op["name"] == name]


def value_named(probe, name):
    return next(value for value in probe["values"] if value["name"] == name)


def failures(library):
    return [probe for probe in library.probes if probe["reason"] == 3]


# ---- what is in a probe ----

def test_the_first_step_is_traced_operation_by_operation():
    probe = probe_of()
    assert (probe["step"], probe["reason"], probe["n_batch"]) == (0, 1, 8)
    names = [op["name"] for op in probe["ops"]]
    for name in ("convolution", "native_batch_norm", "relu_", "max_pool2d_with_indices", "addmm",
                 "_log_softmax", "nll_loss_forward"):
        assert name in names, names
    loss = probe["values"][probe["loss"]]
    assert loss["shape"] == [] and probe["ops"][loss["op"]]["name"] == "nll_loss_forward"
    assert 0.1 < loss["data"][0] < 10


def test_operations_know_their_module_their_line_and_their_arguments():
    probe = probe_of()
    convolution = ops_named(probe, "convolution")[0]
    assert convolution["module"] == "body.0"
    assert convolution["source"].startswith("test_probe.py:")
    assert "stride=[1,1]" in convolution["attrs"] and "groups=1" in convolution["attrs"]
    softmax = ops_named(probe, "_log_softmax")[0]
    assert softmax["module"] == "" and "dim=1" in softmax["attrs"]
    addmm = ops_named(probe, "addmm")[0]
    assert addmm["module"] == "head" and "alpha=1" in addmm["attrs"]


def test_values_from_outside_are_told_apart():
    probe = probe_of()
    assert value_named(probe, "input")["kind"] == INPUT
    assert value_named(probe, "classes")["kind"] == INPUT
    assert value_named(probe, "head.weight")["kind"] == PARAMETER
    assert value_named(probe, "body.1.running_mean")["kind"] == BUFFER
    noise = [value for value in probe["values"] if value["kind"] == NOISE]
    assert len(noise) == 1 and noise[0]["shape"] == [8, 4, 3, 3], noise
    assert not any(op["name"] in ("bernoulli_", "empty_like", "empty") for op in probe["ops"])


def test_a_probe_holds_the_state_of_random_numbers_that_its_step_began_with():
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    run, library, optimizer = start(model)
    began = torch.get_rng_state()
    square(model(torch.ones(6, 4)), torch.ones(6, 4)).backward()
    optimizer.step()
    run.log({})
    state = value_named(library.probes[0], "rng state")
    assert state["shape"] == [began.numel()] and state["data"] == began.tolist()


def test_values_know_where_samples_and_units_lie():
    probe = probe_of()
    of = {op["name"]: probe["values"][op["outputs"][0]] for op in probe["ops"]}
    assert (of["convolution"]["batch"], of["convolution"]["unit"]) == (0, 1)
    assert (of["addmm"]["batch"], of["addmm"]["unit"]) == (0, 1)
    assert (of["t"]["batch"], value_named(probe, "head.weight")["unit"]) == (-1, 0)
    assert of["nll_loss_forward"]["batch"] == -1
    assert of["convolution"]["keep"] == 1 and value_named(probe, "head.weight")["keep"] == 2


def test_what_is_written_in_place_is_a_new_value():
    probe = probe_of()
    relu = ops_named(probe, "relu_")[0]
    assert relu["inputs"] != relu["outputs"]
    before, after = (probe["values"][relu[key][0]]["data"] for key in ("inputs", "outputs"))
    assert min(before) < 0 <= min(after)


def test_what_is_written_through_a_view_reaches_the_whole():
    probe = probe_of()
    scatter = next(op for op in probe["ops"] if op["name"].endswith("_scatter"))
    whole = scatter["outputs"][0]
    flat = next(op for op in probe["ops"] if whole in op["inputs"])
    assert flat["name"] in ("view", "_reshape_alias", "_unsafe_view", "clone"), flat
    assert probe["values"][whole]["batch"] == 0


def test_internal_detaches_are_no_operations_but_those_of_the_user_are():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(4, 4)

        def forward(self, x):
            hidden = torch.sigmoid(self.lin(x))
            with torch.no_grad():
                scale = hidden * 2
            return (hidden * hidden.detach() * scale).sum()

    model = Detached()
    run, library, optimizer = start(model)
    for _ in range(2):
        model(torch.randn(3, 4)).backward()
        optimizer.step()
        run.log({})
    probe = library.probes[0]
    assert len(ops_named(probe, "detach")) <= 2 and ops_named(probe, "detach")
    assert ["grad=False" in op["attrs"] for op in ops_named(probe, "mul")].count(True) == 1


def test_tied_weights_and_recurrent_layers_are_followed():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(7, 5)
            self.rnn = nn.LSTM(5, 5, batch_first=True)
            self.head = nn.Linear(5, 7, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x):
            return self.head(self.rnn(self.embed(x))[0])

    model = Reader()
    run, library, optimizer = start(model)
    for _ in range(2):
        x = torch.randint(0, 7, (3, 6))
        F.cross_entropy(model(x).flatten(0, 1), x.flatten()).backward()
        optimizer.step()
        run.log({})
    probe = library.probes[0]
    assert [value["name"] for value in probe["values"]].count("embed.weight") == 1
    assert ops_named(probe, "embedding")[0]["module"] == "embed"
    assert any(op["module"] == "rnn" for op in probe["ops"])


def test_a_huge_graph_is_cut():
    from barograph._probe import trace
    before, trace.MAX_OPS = trace.MAX_OPS, 20
    trace.Trace.__init__.__defaults__ = (None, 20)
    try:
        model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(30)))
        run, library, optimizer = start(model)
        for _ in range(3):
            model(torch.randn(3, 4)).sum().backward()
            optimizer.step()
            run.log({})
        assert len(library.probes[0]["ops"]) == 20 and library.probes[0]["loss"] is None
        assert not told(library)
    finally:
        trace.MAX_OPS = before
        trace.Trace.__init__.__defaults__ = (None, before)


# ---- when ----

def test_probes_are_rare_and_paid_for():
    model = nn.Linear(3, 2)
    run, library, optimizer = start(model)
    for step in range(60):
        model(torch.randn(4, 3)).sum().backward()
        optimizer.step()
        run.log({})
    assert len(library.probes) == 1
    assert library.spent[0] > 0


def test_trouble_asks_for_a_probe_within_the_budget():
    model = nn.Linear(3, 2)
    run, library, optimizer = start(model)
    run._share = 1e9  # nothing is too dear
    for step in range(60):
        loss = model(torch.randn(4, 3)).sum()
        loss.backward()
        optimizer.step()
        run.log({"loss": 1.0 if step < 40 else 100.0})
    assert [probe["reason"] for probe in library.probes] == [1, 2]
    assert 40 < library.probes[1]["step"] <= 42


def test_each_backward_of_a_step_has_its_turn():
    torch.manual_seed(0)
    maker, critic = nn.Linear(3, 4), nn.Linear(4, 1)
    make, judge = (torch.optim.SGD(one.parameters(), 0.01) for one in (maker, critic))
    run, library = fake.open_run()
    run.watch(maker, make, name="G")
    run.watch(critic, judge, name="D")
    for step in range(8):
        fakes = maker(torch.randn(5, 3))
        judge.zero_grad()
        critic_loss = critic(fakes.detach()).mean() - critic(torch.randn(5, 4)).mean()
        critic_loss.backward()
        judge.step()
        make.zero_grad()
        maker_loss = F.softplus(critic(maker(torch.randn(5, 3)))).mean()
        maker_loss.backward()
        make.step()
        run.log({"loss": maker_loss.item()})
    names = [{op["name"] for op in probe["ops"]} for probe in library.probes]
    assert len(names) == 2 and "softplus" not in names[0] and "softplus" in names[1], names
    modules = {op["module"] for op in library.probes[1]["ops"]}
    assert modules == {"G", "D", ""}, modules


# ---- failures, besides those of test_moment.py ----

def fail_with(model, loss_of, bad_step=4, n_steps=6, bad=lambda x: x.fill_(1e30), between=None,
              log=True, lr=1e-4):
    torch.manual_seed(3)
    run, library, optimizer = start(model, lr)
    for step in range(n_steps):
        x = torch.randn(6, 4)
        if step == bad_step:
            bad(x)
        loss = loss_of(model(x), x)
        if between is not None and between(step, loss):
            if log:
                run.log({"loss": loss.item()})
            continue
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if log:
            run.log({"loss": loss.item()})
    return library, run


def square(out, x):
    return (out ** 2).mean()


def test_a_failure_in_the_very_first_step_is_found_too():
    library, _ = fail_with(nn.Linear(4, 2), square, bad_step=0)
    assert "** 2 is more than" in failures(library)[0]["origin"]["cause"]
    origin = failures(library)[0]["origin"]
    assert origin["is_replayed"] and origin["is_exact"], origin


def test_a_step_that_is_skipped_because_its_loss_is_nan_is_captured_at_log():
    library, _ = fail_with(nn.Linear(4, 2), square,
                           between=lambda step, loss: not math.isfinite(loss.item()))
    origin = failures(library)[0]["origin"]
    assert "** 2 is more than" in origin["cause"] and origin["is_replayed"]


def test_an_exception_about_a_nan_is_captured_at_the_end():
    def refuse(step, loss):
        if not math.isfinite(loss.item()):
            raise FloatingPointError("NaN")
        return False

    model = nn.Linear(4, 2)
    run, library, optimizer = start(model, 1e-4)
    try:
        with run:
            for step in range(6):
                x = torch.randn(6, 4)
                if step == 4:
                    x.fill_(1e30)
                loss = square(model(x), x)
                refuse(step, loss)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.log({"loss": loss.item()})
    except FloatingPointError:
        pass
    assert "** 2 is more than" in failures(library)[0]["origin"]["cause"]


def test_the_same_trouble_is_captured_once():
    library, _ = fail_with(nn.Linear(4, 2), square, n_steps=30)
    assert len(failures(library)) == 1
    library, _ = fail_with(nn.Linear(4, 2), square, n_steps=100, lr=0.0,
                           bad=lambda x: x.fill_(1e30))
    assert len(failures(library)) == 1


def test_a_nan_that_never_reaches_the_loss_is_no_failure():
    def masked(out, x):
        logs = torch.log(out.detach() - 1e6)  # NaN everywhere
        return torch.where(logs.isfinite(), logs, out).mean()

    library, _ = fail_with(nn.Linear(4, 2), masked, bad_step=-1)
    assert not failures(library)


def test_attention_with_a_mask_of_infinity_is_no_failure():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(4, 4)

        def forward(self, x):
            scores = self.lin(x).masked_fill(torch.eye(6, 4).bool(), -math.inf)
            return torch.softmax(scores, 1).pow(2).log1p()

    def exploding(out, x):
        return (out.exp() * x.pow(2)).mean()

    library, _ = fail_with(Masked(), exploding)
    op = failures(library)[0]
    assert op["ops"][op["origin"]["op"]]["name"] == "pow", op["origin"]


def test_dropout_and_noise_are_computed_again_with_the_same_numbers():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(4, 8)
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            return self.drop(self.lin(x)) + torch.randn(len(x), 8)

    def noisy(out, x):
        return ((out * torch.rand_like(out)) ** 2).mean()

    library, _ = fail_with(Noisy(), noisy)
    probe = failures(library)[0]
    assert probe["origin"]["is_exact"] and "** 2" in probe["origin"]["cause"]
    assert value_named(probe, "rng state")["kind"] == CONSTANT


def test_an_inner_value_that_the_loss_uses_is_found():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(4, 4)

        def forward(self, x):
            self.inner = self.lin(x)
            return torch.tanh(self.inner)

    model = Keeping()
    library, _ = fail_with(model, lambda out, x: out.mean() + model.inner.exp().mean(),
                           bad=lambda x: x.mul_(1e4))
    assert "exp of" in failures(library)[0]["origin"]["cause"]
    assert model.inner is not None


def test_a_part_of_a_model_that_is_called_by_itself_keeps_its_name():
    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(4, 4)
            self.power = nn.Hardtanh(-1e38, 1e38)

        def forward(self, x):
            return self.lin(x)

    model = Parts()
    library, _ = fail_with(model, lambda out, x: model.power(out * 1e9).pow(2).mean(), lr=0.0)
    probe = failures(library)[0]
    assert "hardtanh" in [op["name"] for op in probe["ops"] if op["module"] == "power"], probe


def test_users_hooks_are_not_called_again_and_side_effects_are_undone():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(4, 4)
            self.register_buffer("n", torch.zeros(()))
            self.calls = 0
            self.seen = []

        def forward(self, x):
            self.calls += 1
            self.seen.append(len(x))
            self.n.add_(1)
            return self.lin(x)

    model, calls = Counting(), []
    model.lin.register_forward_hook(lambda *_: calls.append(1))
    library, _ = fail_with(model, square, n_steps=6)
    assert failures(library)[0]["origin"]["is_exact"]
    assert len(calls) == model.calls == len(model.seen) == int(model.n) == 6


def test_a_hook_that_changes_what_a_layer_gives_is_called_again_after_all():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    model[0].register_forward_hook(lambda module, args, out: out * 3)
    library, _ = fail_with(model, square)
    assert failures(library)[0]["origin"]["is_exact"]


def test_a_loss_that_is_only_scaled_too_high_is_no_failure():
    scaler_kind = getattr(torch.amp, "GradScaler", None) if hasattr(torch, "amp") else None
    if scaler_kind is None:
        raise tap.Skip("this torch scales losses on GPUs only")
    scaler = scaler_kind("cpu", init_scale=2.0 ** 127)
    model = nn.Linear(4, 2)
    run, library, optimizer = start(model)
    for _ in range(5):
        optimizer.zero_grad()
        scaler.scale((model(torch.ones(3, 4)) * 100).pow(2).sum() + 10).backward()
        scaler.step(optimizer)
        scaler.update()
        run.log({})
    assert not failures(library)


def test_micro_batches_are_told_apart():
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    run, library, optimizer = start(model)
    for step in range(6):
        optimizer.zero_grad()
        for micro in range(3):
            x = torch.randn(5, 4)
            if (step, micro) == (4, 1):
                x[2] = 1e30
            loss = square(model(x), x) / 3
            loss.backward()
        optimizer.step()
        run.log({})
    origin = failures(library)[0]["origin"]
    assert origin["rows"] == [2] and origin["is_exact"], origin


def test_a_graph_that_changes_every_step_is_followed():
    class Changing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
            self.n = 0

        def forward(self, x):
            self.n += 1
            for layer in self.layers[:1 + self.n % 3]:
                x = torch.tanh(layer(x)) if self.n % 2 else layer(x)
            return x

    library, _ = fail_with(Changing(), square, bad_step=5, n_steps=7)
    assert "** 2 is more than" in failures(library)[0]["origin"]["cause"]


def test_a_scripted_model_falls_back_to_the_graph_of_the_loss():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.script(nn.Linear(4, 2))
    library, _ = fail_with(model, square)
    assert "** 2 is more than" in failures(library)[0]["origin"]["cause"], told(library)


def test_nothing_of_a_step_is_held_after_it():
    model = nn.Linear(4, 2)
    run, library, optimizer = start(model)
    refs = []
    for step in range(4):
        x = torch.randn(3, 4)
        out = model(x)
        loss = square(out, x)
        loss.backward()
        optimizer.step()
        run.log({})
        refs += [weakref.ref(x), weakref.ref(out), weakref.ref(loss)]
    del x, out, loss
    gc.collect()
    assert not any(ref() is not None for ref in refs)
    ref = weakref.ref(model)
    del model, optimizer
    gc.collect()
    assert ref() is None


def test_outputs_are_not_kept_until_the_end_of_the_step():
    model = nn.Linear(4, 2)
    run, library, optimizer = start(model)
    for step in range(4):
        out = model(torch.randn(3, 4))
        ref = weakref.ref(out)
        loss = out.sum()
        loss.backward()
        del out, loss
        gc.collect()
        assert ref() is None, step
        optimizer.step()
        run.log({})


class Long(nn.Module):
    """So many operations that no probe holds them; the last but a few fails."""

    def __init__(self, n_ops):
        super().__init__()
        self.n_ops = n_ops
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        x = x * self.scale
        for _ in range(self.n_ops):
            x = x + 0.0
        return torch.log(x)


def test_a_step_with_more_operations_than_a_probe_holds_says_that_it_is_cut():
    from barograph._probe import moment, trace
    was = trace.Trace.__init__.__defaults__, moment.MAX_OPS
    trace.Trace.__init__.__defaults__, moment.MAX_OPS = (None, 300), 300
    try:
        library, _ = fail_with(Long(1000), lambda out, x: out.mean(), bad_step=3, n_steps=5,
                               bad=lambda x: x.abs_()[2].fill_(-1))
    finally:
        trace.Trace.__init__.__defaults__, moment.MAX_OPS = was
    calm = [probe for probe in library.probes if probe["reason"] == 1]
    assert calm and calm[0]["is_cut"] and len(calm[0]["ops"]) == 300, calm
    failure = failures(library)[0]
    assert failure["is_cut"] and len(failure["ops"]) == 300
    assert failure["ops"][failure["origin"]["op"]]["name"] == "log", failure["origin"]


def test_the_last_layers_gradient_is_looked_at_too():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
            self.spread = nn.Linear(4, 1, bias=False)

        def forward(self, x):
            return self.body(x), self.spread(x).pow(2).sqrt()

    library, _ = fail_with(Two(), lambda out, x: (out[0] ** 2).mean() + (out[1] - 1).mean(),
                           bad=lambda x: x[2].fill_(0))
    origin = failures(library)[0]["origin"]
    assert failures(library)[0]["step"] == 4 and origin["rows"] == [2], origin
    assert "gradient of sqrt at 0" in origin["cause"]


def test_a_step_that_a_loop_skips_without_a_word_is_captured_when_the_next_begins():
    def loss_of(out, x):
        return (torch.log(out.abs().sum(1)) - x.mean(1)).mean()

    library, _ = fail_with(nn.Linear(4, 2, bias=False), loss_of, bad=lambda x: x[2].fill_(0),
                           between=lambda step, loss: True if not torch.isfinite(loss) else None,
                           log=False)
    origin = failures(library)[0]["origin"]
    assert origin["cause"] == "log of 0 is -inf" and origin["rows"] == [2], origin


def batches(library):
    return [call[2] for call in library.calls if call[1] == "batch"]


def test_the_samples_of_a_batch_are_those_that_the_loader_has_drawn():
    from torch.utils.data import DataLoader, TensorDataset
    torch.manual_seed(4)
    data = torch.randn(64, 4)
    data[37] = math.nan
    torch.manual_seed(8)
    plain = [x.tolist() for x, in DataLoader(TensorDataset(torch.arange(64)), 8, shuffle=True)]
    for n_workers, n_micro in ((0, 1), (2, 1), (0, 2)):
        model = nn.Linear(4, 2)
        run, library, optimizer = start(model)
        torch.manual_seed(8)
        loader = DataLoader(TensorDataset(data), 8, shuffle=True, num_workers=n_workers)
        for at, (x,) in enumerate(loader):
            square(model(x), x).backward()
            if (at + 1) % n_micro == 0:
                optimizer.step()
                run.log({"step": at})
        told_of = [sum(plain[at:at + n_micro], []) for at in range(0, 8, n_micro)]
        failed = failures(library)[0]
        assert [one for one in told_of if one not in batches(library)] == [], batches(library)
        first = next((value["data"][0] for value in failed["values"]
                      if value["name"] == "first row"), 0)
        step = next(one for one in told_of if 37 in one)
        assert step[first + failed["origin"]["rows"][0]] == 37, (first, failed["origin"])
        run.finish()


def test_whoever_names_the_samples_is_believed():
    from torch.utils.data import DataLoader, TensorDataset
    model = nn.Linear(4, 2)
    run, library, optimizer = start(model)
    for x, in DataLoader(TensorDataset(torch.randn(8, 4)), 4):
        square(model(x), x).backward()
        optimizer.step()
        run.log({"loss": 1.0}, batch=[100, 101, 102, 103])
    assert batches(library) == [[100, 101, 102, 103]] * 2, batches(library)


def test_a_ctrl_c_in_the_middle_leaves_nothing_behind():
    from torch.utils import _python_dispatch as dispatch
    model = Small()
    run, library, optimizer = start(model)
    train(run, model, optimizer, 1)

    def interrupt(module, args):
        raise KeyboardInterrupt

    handle = model.head.register_forward_pre_hook(interrupt)
    try:
        train(run, model, optimizer, 1)
        raise AssertionError("not interrupted")
    except KeyboardInterrupt:
        pass
    handle.remove()
    run.log({})
    assert not dispatch._get_current_dispatch_mode_stack()
    train(run, model, optimizer, 20)
    assert not told(library), told(library)
    run.finish()
    assert not nn.modules.module._global_forward_pre_hooks
    assert torch.autograd.backward.__module__.startswith("torch")


def test_modes_of_the_user_are_left_alone():
    from torch.utils import _python_dispatch as dispatch

    class Counting(dispatch.TorchDispatchMode):
        n = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            Counting.n += 1
            return function(*args, **(kwargs or {}))

    model = nn.Linear(4, 2)
    run, library, optimizer = start(model)
    for step in range(3):
        with Counting():
            out = model(torch.randn(3, 4))
        out.sum().backward()
        optimizer.step()
        run.log({})
    assert not dispatch._get_current_dispatch_mode_stack() and Counting.n > 0
    assert not library.probes and not told(library)


def test_a_failed_probe_never_reaches_the_training():
    from barograph._probe import build
    original = build.Builder.on_op

    def broken(self, op):
        raise RuntimeError("broken")

    build.Builder.on_op = broken
    try:
        model = nn.Linear(4, 2)
        library, _ = fail_with(model, square)
    finally:
        build.Builder.on_op = original
    assert not library.probes
    assert len([text for text in told(library) if "no probe" in text]) == 2, told(library)
    assert all(probe["ops"] == [] for probe in library.making)


if __name__ == "__main__":
    tap.main(globals(), needs_library=False)
