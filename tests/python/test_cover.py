# SPDX-License-Identifier: Apache-2.0
"""watch() on all that PyTorch has: shapes of models and courses of training."""
import collections
import warnings

import tap
import fake
from steps import VERSION, scalars_of, small, step_of, told

import torch
from torch import nn


# ---- shapes of models ----

def test_modules_called_several_times_are_told_apart_up_to_the_fourth_call():
    class Again(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def forward(self, x):
            for _ in range(6):
                x = self.lin(x)
            return x

    run, library = fake.open_run()
    model = Again()
    run.watch(model)
    for _ in range(2):
        step_of(run, model)
    for step in range(2):
        assert library.names_of("act", step) == ["lin", "lin#2", "lin#3", "lin#4", "Again"]
        assert library.names_of("act_grad", step) == ["Again", "lin#4", "lin#3", "lin#2", "lin"]


def test_calls_of_another_pass_are_not_counted_on():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer, roles=["act"])  # no hook for gradients tells of the backward pass
    for _ in range(3):
        model(torch.ones(5, 3)).sum().backward()
        optimizer.step()
    run.log({})
    assert library.names_of("act") == ["0", "1", "2"]


def test_what_enters_by_keyword_is_seen():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(3, 2)

        def forward(self, x=None, *, extra=None, flag=False):
            return self.lin(x) + extra["a"][0]

    run, library = fake.open_run()
    model = Reader()
    run.watch(model, name="R")
    for _ in range(2):
        model(x=torch.ones(5, 3), extra={"a": [torch.ones(5, 2)]}, flag=True).sum().backward()
        run.log({})
        model(torch.ones(5, 3), extra={"a": [torch.ones(5, 2)]}).sum().backward()
        run.log({})
    assert library.names_of("input", 0) == ["R.x", "R.extra.a.0"]
    assert library.names_of("input", 1) == ["R", "R.extra.a.0"]


def test_outputs_of_every_kind_are_taken_apart():
    import dataclasses

    @dataclasses.dataclass
    class Result:
        logits: torch.Tensor
        hidden: tuple
        none: object = None

    Named = collections.namedtuple("Named", "first second")

    class Giver(nn.Module):
        def __init__(self, give):
            super().__init__()
            self.lin = nn.Linear(3, 2)
            self.give = give

        def forward(self, x):
            return self.give(self.lin(x) * 2)

    for give, names in (
            (lambda y: Result(y, (y + 1, y + 2)), [".logits", ".hidden.0", ".hidden.1"]),
            (lambda y: Named(y, y + 1), [".0", ".1"]),
            (lambda y: collections.OrderedDict(a=y, b=None), [".a"]),
            (lambda y: [y] * 20, [f".{i}" for i in range(8)]),
            (lambda y: "text", []), (lambda y: None, [])):
        run, library = fake.open_run()
        model = Giver(give)
        run.watch(model, roles=["act"])
        model(torch.ones(5, 3))
        run.log({})
        want = ["lin"] + [f"Giver{name}" for name in names]
        got = library.names_of("act")
        assert got == want[:len(got)] and len(got) >= min(len(want), 2), (got, want)
        assert not told(library), told(library)


def test_packed_sequences_pass_through_recurrent_layers():
    for kind in (nn.LSTM, nn.GRU):
        run, library = fake.open_run()
        model = kind(3, 4, num_layers=2, bidirectional=True)
        run.watch(model)
        packed = nn.utils.rnn.pack_padded_sequence(torch.randn(7, 5, 3), [7, 6, 4, 2, 1])
        for _ in range(2):
            output, _ = model(packed)
            output.data.sum().backward()
            run.log({})
        assert library.shape_of(f"{kind.__name__}.0", "act") == ([20, 8], 1)
        assert library.shape_of("input", "input") == ([20, 3], 1)
        assert library.names_of("act", 1) and library.names_of("grad", 1)
        assert not told(library), told(library)


def test_attention_gives_its_output_and_its_weights():
    run, library = fake.open_run()
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(5, 7, 8)
    run.watch(model)
    model(x, x, x)[0].sum().backward()
    run.log({})
    assert library.shape_of("MultiheadAttention.0", "act") == ([5, 7, 8], 2)
    assert library.shape_of("MultiheadAttention.1", "act") == ([5, 7, 7], 2)
    assert len(library.names_of("input")) == 3


def test_sparse_gradients_are_seen_as_they_lie_there_and_stay_so():
    for kind in (nn.Embedding, nn.EmbeddingBag):
        run, library = fake.open_run()
        model = kind(10, 3, sparse=True)
        optimizer = torch.optim.SparseAdam(list(model.parameters()))
        run.watch(model, optimizer)
        for n in (2, 4):
            out = model(torch.arange(n).reshape(1, n) % 3)
            optimizer.zero_grad()
            out.sum().backward()
            optimizer.step()
            run.log({})
        assert [shape for _, name, role, shape, _, _ in library.of("tensor")
                if role == "grad"] == [[2, 3], [4, 3]], library.of("tensor")
        # One series: with the rows of the weight, whatever was looked up first.
        assert [shape for _, role, shape in library.declared
                if role == "grad"] == [[10, 3]], library.declared
        assert not told(library), told(library)


def test_shared_parameters_are_one_series_over_all_models():
    run, library = fake.open_run()
    encoder, decoder = nn.Linear(3, 3), nn.Linear(3, 3)
    decoder.weight = encoder.weight
    run.watch(encoder, name="E")
    run.watch(decoder, name="D")
    decoder(encoder(torch.ones(5, 3))).sum().backward()
    run.log({})
    assert library.names_of("weight") == ["E.weight", "E.bias", "D.bias"]
    assert library.names_of("grad") == ["E.weight", "E.bias", "D.bias"]
    assert len(told(library)) == 1 and "'D.weight' is 'E.weight'" in told(library)[0]


def test_a_part_of_a_watched_model_is_not_seen_twice():
    run, library = fake.open_run()
    model = nn.Sequential(small(), nn.Linear(2, 1))
    run.watch(model)
    run.watch(model[0], name="part")
    step_of(run, model)
    assert library.names_of("act") == ["0.0", "0.1", "0.2", "1"]
    assert not any(name.startswith("part") for name in library.names_of("weight"))
    assert "'part.0.weight' is '0.0.weight'" in told(library)[0]


def test_a_second_watch_of_a_model_may_bring_its_optimizer():
    run, library = fake.open_run()
    model = small()
    run.watch(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for _ in range(2):
        model(torch.ones(5, 3)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        run.log({})
    assert len(library.names_of("grad")) == len(library.names_of("weight")) == 8
    assert len(library.names_of("act")) == 6


def test_frozen_unused_and_forgotten_parameters_are_told_once():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = nn.Linear(3, 2)
            self.idle = nn.Linear(3, 2)
            self.frozen = nn.Linear(2, 2).requires_grad_(False)
            self.forgotten = nn.Linear(2, 2)

        def forward(self, x):
            return self.forgotten(self.frozen(self.used(x)))

    run, library = fake.open_run()
    model = Odd()
    optimizer = torch.optim.SGD(list(model.used.parameters()) + list(model.idle.parameters()),
                                0.01)
    run.watch(model, optimizer)
    for _ in range(70):
        step_of(run, model, optimizer)
    texts = told(library)
    assert len(texts) == 3, texts
    assert "2 of 8 parameters are frozen: 'frozen.bias', 'frozen.weight'" in texts[0]
    assert "no gradient in 20 steps: 'idle.weight', 'idle.bias'" in texts[1]
    assert "in no optimiser: 'forgotten.weight', 'forgotten.bias'" in texts[2]


def test_parametrized_weights_are_seen_as_they_are_used():
    class Doubled(nn.Module):
        def forward(self, weight):
            return 2 * weight

    run, library = fake.open_run()
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    nn.utils.parametrize.register_parametrization(model[0], "weight", Doubled())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for _ in range(2):
        step_of(run, model, optimizer)
    assert "0.parametrizations.weight.original" in library.names_of("weight")
    used = [values for _, name, role, _, _, values in library.of("tensor")
            if (name, role) == ("0.weight", "weight")]
    assert len(used) == 2 and "0.weight" in library.names_of("grad")
    assert not any("parametrizations" in name for name in library.names_of("act"))
    assert library.shape_of("0.weight", "weight") == ([4, 3], 0)
    assert not told(library), told(library)


def test_old_weight_norm_and_spectral_norm_train_on():
    for wrap in (nn.utils.weight_norm, nn.utils.spectral_norm):
        run, library = fake.open_run()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = nn.Sequential(wrap(nn.Linear(3, 4)), nn.Linear(4, 2))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        run.watch(model, optimizer)
        for _ in range(2):
            step_of(run, model, optimizer)
        assert [n for n in library.names_of("weight", 1) if n.startswith("0.weight_")]
        assert len(library.names_of("act", 1)) == 2 and not told(library)


# ---- courses of training ----

def test_the_two_calls_of_a_gans_critic_are_told_apart():
    run, library = fake.open_run()
    maker, critic = small(), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    make = torch.optim.SGD(maker.parameters(), 0.1)
    judge = torch.optim.SGD(critic.parameters(), 0.1)
    run.watch(maker, make, name="G", every=1)
    run.watch(critic, judge, name="D", every=2)
    for _ in range(3):
        with torch.no_grad():
            made = maker(torch.ones(5, 3))
        loss = critic(torch.ones(5, 2)).sum() - critic(made).sum()
        judge.zero_grad()
        loss.backward()
        judge.step()
        loss = critic(maker(torch.ones(5, 3))).sum()
        make.zero_grad()
        loss.backward()
        make.step()
        run.log({"d": 1.0})
    assert library.names_of("act", 0) == [
        "no_grad/G.0", "no_grad/G.1", "no_grad/G.2", "D.0", "D.1", "D.0#2", "D.1#2",
        "G.0", "G.1", "G.2"], library.names_of("act", 0)
    assert library.names_of("act_grad", 0)[:4] == ["D.1#2", "D.0#2", "D.1", "D.0"] or \
        sorted(library.names_of("act_grad", 0)[:4]) == ["D.0", "D.0#2", "D.1", "D.1#2"]
    assert sorted(library.names_of("act_grad", 0)[4:]) == ["G.0", "G.1", "G.2"]
    assert not [n for n in library.names_of("weight", 1) if n.startswith("D")]
    assert len([n for n in library.names_of("weight", 2) if n.startswith("D")]) == 4


def test_each_model_counts_the_steps_that_it_takes_part_in():
    run, library = fake.open_run()
    maker, critic = nn.Linear(3, 2), nn.Linear(2, 1)
    make = torch.optim.SGD(maker.parameters(), 0.1)
    judge = torch.optim.SGD(critic.parameters(), 0.1)
    run.watch(maker, make, name="G", every=2, roles=["weight", "grad"])
    run.watch(critic, judge, name="D", every=2, roles=["weight", "grad"])
    for step in range(12):
        critic(torch.ones(5, 2)).sum().backward()
        judge.step()
        if step % 3 == 2:
            maker(torch.ones(5, 3)).sum().backward()
            make.step()
        run.log({})
    steps = {name: [s for s, n, role, *_ in library.of("tensor")
                    if (n, role) == (f"{name}.weight", "grad")] for name in "GD"}
    assert steps == {"G": [2, 8], "D": [0, 2, 4, 6, 8, 10]}, steps


def test_of_accumulated_gradients_the_sum_is_seen_just_before_the_step():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        for rows in (5, 6, 7):
            model(torch.ones(rows, 3)).sum().backward()
        optimizer.step()
        run.log({})
    grads = [values for _, name, role, _, _, values in library.of("tensor")
             if (name, role) == ("2.bias", "grad")]
    assert grads == [[18.0, 18.0]] * 2, grads
    rows = [shape[0] for _, name, role, shape, _, _ in library.of("tensor")
            if role in ("act", "act_grad")]
    assert rows == [5] * 12, rows


def test_steps_that_are_logged_now_and_then_are_seen_at_their_first_pass():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for i in range(20):
        loss = model(torch.full((5, 3), float(i))).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if i % 10 == 9:
            run.log({"loss": loss}, step=i)
    first = [values[0] for _, name, role, _, _, values in library.of("tensor")
             if role == "input"]
    assert first == [0.0, 10.0] and len(library.names_of("grad")) == 8, first


def test_what_is_called_without_gradients_after_the_last_step_begins_no_other():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for _ in range(3):
        step_of(run, model, optimizer)
    with torch.no_grad():
        model(torch.ones(5, 3))
    run.finish()
    assert library.step == 2, library.step
    assert {step for step, name, *_ in library.of("tensor") if name == "no_grad/2"} == {2}


def test_an_evaluation_within_a_step_is_kept_apart():
    run, library = fake.open_run()
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for epoch in range(2):
        for _ in range(3):
            model.train()
            optimizer.zero_grad()
            model(torch.ones(5, 3)).sum().backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            for _ in range(3):
                model(torch.ones(9, 3))
        run.log({"epoch": epoch})
    for epoch in range(2):
        acts = [(name, shape[0]) for _, name, role, shape, *_ in library.of("tensor", epoch)
                if role == "act"]
        assert acts == [("0", 5), ("1", 5), ("2", 5), ("eval/0", 9), ("eval/1", 9),
                        ("eval/2", 9)], acts
    assert not told(library), told(library)


def test_a_backward_pass_after_log_is_not_lost():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for _ in range(4):
        loss = model(torch.ones(5, 3)).sum()
        run.log({"loss": loss})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for step in (1, 2, 3):
        assert len(library.names_of("act", step)) == 3, step
        assert len(library.names_of("grad", step)) == 4, step
        assert len(library.names_of("weight", step)) == 4, step


def test_the_norm_before_and_after_clipping_is_logged():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer, roles=["grad"])
    for limit in (0.5, 1e6):
        optimizer.zero_grad()
        model(torch.ones(5, 3)).sum().backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
        after = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in
                                                    model.parameters()]))
        optimizer.step()
        run.log({})
        (_, seen), (_, clipped) = (scalars_of(library, name)[-1] for name in
                                   ("grad_norm", "grad_norm_clipped"))
        assert seen == float(norm) and abs(clipped - float(after)) < 1e-5 * float(after)
    assert scalars_of(library, "grad_norm_clipped")[0][1] < 0.5001
    optimizer.zero_grad()
    model(torch.ones(5, 3)).sum().backward()
    nn.utils.clip_grad_value_(model.parameters(), 0.01)
    optimizer.step()
    run.log({})
    assert scalars_of(library, "grad_norm")[-1][1] > scalars_of(library, "grad_norm_clipped")[-1][1]
    run.log({"grad_norm": 7.0})
    assert scalars_of(library, "grad_norm")[-1] == (3, 7.0)


def test_norms_of_several_models_and_of_groups_have_names_of_their_own():
    run, library = fake.open_run()
    maker, critic = small(), nn.Linear(2, 1)
    run.watch(maker, name="G")
    run.watch(critic, name="D")
    critic(maker(torch.ones(5, 3))).sum().backward()
    nn.utils.clip_grad_norm_(maker.parameters(), 1.0)
    nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
    nn.utils.clip_grad_norm_(maker[2].weight, 1.0)
    nn.utils.clip_grad_norm_(nn.Linear(1, 1).parameters(), 1.0)
    norm = 3.0
    run.log({"grad_norm": norm})
    names = {name for _, name, _ in library.scalars()}
    assert names == {"grad_norm", "G/grad_norm", "G/grad_norm_clipped", "D/grad_norm",
                     "D/grad_norm_clipped", "G.2.weight/grad_norm",
                     "G.2.weight/grad_norm_clipped"}, names


def test_functions_of_torch_are_put_back_at_the_end():
    one, _ = fake.open_run()
    before = globals()["clip_grad_norm_"] = nn.utils.clip_grad_norm_
    one.watch(small())
    assert globals()["clip_grad_norm_"] is not before
    assert nn.utils.clip_grad_norm_.__wrapped__ is before
    one.finish()
    assert nn.utils.clip_grad_norm_ is before is globals()["clip_grad_norm_"]
    assert not hasattr(torch.cuda.amp.GradScaler.step, "__wrapped__")


class FakeScaler(torch.cuda.amp.GradScaler):
    """Scales on the CPU as a GradScaler does on a GPU."""

    def __init__(self):
        super().__init__(enabled=False)
        self._enabled = True
        self._scale = torch.tensor(1024.0)

    def unscale(self, optimizer):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad /= self._scale
        return all(bool(p.grad.isfinite().all()) for group in optimizer.param_groups
                   for p in group["params"])


def scaled_step(scaler, optimizer):
    """What GradScaler.step() does once it has unscaled."""
    from barograph._watch import patches

    def step(self, optimizer):
        if self.unscale(optimizer):
            return optimizer.step()
        return None

    patches._scaler_step(step)(scaler, optimizer)


def test_loss_scaling_is_told_and_gradients_are_unscaled():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    run.watch(model, optimizer)
    scaler = FakeScaler()
    for step in range(4):
        optimizer.zero_grad()
        loss = model(torch.ones(5, 3)).sum() * (float("inf") if step == 1 else 1.0)
        (loss * scaler._scale).backward()
        scaled_step(scaler, optimizer)
        if step == 1:
            scaler._scale.mul_(0.5)
        run.log({})
    assert scalars_of(library, "loss_scale") == [(0, 1024.0), (1, 1024.0), (2, 512.0), (3, 512.0)]
    assert scalars_of(library, "skipped_steps") == [(1, 1.0)]
    grads = [(step, values) for step, name, role, _, _, values in library.of("tensor")
             if (name, role) == ("2.bias", "grad")]
    assert grads == [(step, [5.0, 5.0]) for step in (0, 2, 3)], grads
    assert sum("skipped" in text for text in told(library)) == 1
    assert sum("multiplied by the scalar loss_scale" in text for text in told(library)) == 1


def test_the_gradscaler_of_the_torch_at_hand_is_seen():
    if VERSION < (2, 3):
        raise tap.Skip("this torch scales on GPUs only")
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1000)
    for step in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(torch.ones(5, 3)).sum()
        scaler.scale(loss * (float("nan") if step == 1 else 1.0)).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        run.log({})
    assert scalars_of(library, "loss_scale") == [(0, 8.0), (1, 8.0), (2, 4.0)]
    assert scalars_of(library, "skipped_steps") == [(1, 1.0)]
    assert library.forced == 0  # that a step is skipped is no trouble
    grads = [(step, values) for step, name, role, _, _, values in library.of("tensor")
             if (name, role) == ("2.bias", "grad")]
    assert [step for step, _ in grads] == [0, 2] and grads[0][1] == [5.0, 5.0], grads


def test_autocast_on_the_cpu_is_seen_in_its_own_type():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(torch.ones(5, 3)).float().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"loss": loss})
    assert library.names_of("act", 1) == ["0", "1", "2"]
    assert library.names_of("act_grad", 1) == ["2", "1", "0"] and not told(library)


def test_every_optimizer_of_torch_steps_as_before():
    kinds = [getattr(torch.optim, name) for name in (
        "SGD", "Adam", "AdamW", "Adagrad", "Adadelta", "RMSprop", "Rprop", "NAdam", "RAdam",
        "ASGD", "Adamax", "LBFGS", "Adafactor", "Muon") if hasattr(torch.optim, name)]
    cases = [(kind, {}) for kind in kinds]
    cases += [(torch.optim.Adam, {"foreach": True}), (torch.optim.SGD, {"foreach": True})]
    if VERSION >= (2, 4):
        cases += [(torch.optim.Adam, {"fused": True}), (torch.optim.SGD, {"fused": True})]
    for kind, options in cases:
        ends = []
        for is_watched in (False, True):
            run, library = fake.open_run()
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(),
                                  nn.Linear(4, 2, bias=False))
            optimizer = kind(model.parameters(), lr=0.01, **options)
            if is_watched:
                run.watch(model, optimizer)

            def closure():
                optimizer.zero_grad()
                loss = model(torch.ones(5, 3)).pow(2).sum()
                loss.backward()
                return loss

            for _ in range(3):
                if kind is torch.optim.LBFGS:
                    loss = optimizer.step(closure)
                else:
                    loss = closure()
                    optimizer.step()
                run.log({"loss": loss})
            ends.append((float(loss), [p.detach().clone() for p in model.parameters()]))
        assert ends[0][0] == ends[1][0], kind
        assert all(torch.equal(a, b) for a, b in zip(ends[0][1], ends[1][1])), kind
        assert len(library.names_of("grad")) == 6, (kind, library.names_of("grad"))
        assert not told(library), (kind, told(library))


def test_a_closure_shows_the_gradients_of_its_first_evaluation():
    run, library = fake.open_run()
    model = nn.Linear(3, 2)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    run.watch(model, optimizer)
    calls = []

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(5, 3)).pow(2).sum()
        loss.backward()
        calls.append(model.bias.grad.tolist())
        return loss

    run.log({"loss": optimizer.step(closure)})
    grads = [values for _, name, role, _, _, values in library.of("tensor")
             if (name, role) == ("bias", "grad")]
    assert len(calls) > 1 and grads == calls[:1]
    assert library.names_of("act") == ["Linear"]

if __name__ == "__main__":
    tap.main(globals(), needs_library=False)
