# SPDX-License-Identifier: Apache-2.0
"""watch(): what is measured, under which names, in which order; and what is left untouched."""
import copy
import gc
import io
import warnings
import weakref

import tap
import fake

import torch
from torch import nn

torch.set_num_threads(1)


class Pair(nn.Module):
    """Returns tuples, dictionaries and a tensor that it has returned before."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2)

    def forward(self, x):
        hidden = self.first(x)
        out = self.second(hidden)
        return {"out": out, "parts": [hidden * 2, (out + 1, "text")]}


def train(run, model, n_steps=1, optimizer=None, x=None, loss_of=lambda out: out.sum()):
    for _ in range(n_steps):
        loss = loss_of(model(torch.ones(5, 3) if x is None else x))
        if optimizer is not None:
            optimizer.zero_grad()
        loss.backward()
        if optimizer is not None:
            optimizer.step()
        run.log({"loss": loss})


def small():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def test_the_order_of_records_is_the_order_of_causes():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    train(run, model, 1, optimizer)
    roles = [call[1] if call[1] != "tensor" else call[3] for call in library.calls]
    assert roles == (["step", "input"] + ["act"] * 3 + ["probe"] + ["act_grad"] * 3 + ["grad"] * 4 +
                     ["update"] * 4 + ["scalar"] + ["weight"] * 4), roles
    assert library.names_of("act") == ["0", "1", "2"]
    assert library.names_of("act_grad") == ["2", "1", "0"]
    assert library.names_of("weight") == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_values_are_those_of_the_training():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before = model[2].bias.detach().clone()
    run.watch(model, optimizer)
    train(run, model, 1, optimizer)
    seen = {(name, role): values for _, name, role, _, _, values in library.of("tensor")}
    assert seen["2.bias", "grad"] == [5.0, 5.0]
    assert seen["2.bias", "weight"] == model[2].bias.tolist() != before.tolist()
    assert seen["2", "act_grad"] == [1.0] * 10


def test_what_enters_the_model_is_seen_first_and_once():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    x = torch.arange(15.0).reshape(5, 3)
    train(run, model, 2, optimizer, x=x)
    assert library.names_of("input") == ["input"] * 2
    tensors = library.of("tensor", 1)
    assert tensors[0][1:5] == ("input", "input", [5, 3], 1)
    assert tensors[0][5] == x.flatten().tolist()
    assert not any(name == "input" for _, name, role, *_ in library.of("tensor")
                   if role != "input")


def test_inputs_of_many_kinds_are_taken_apart_and_bounded():
    class Eater(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(3, 2)

        def forward(self, x, rest=None, ids=None, mask=None):
            return self.lin(x)

    run, library = fake.open_run()
    model = Eater()
    run.watch(model, name="E")
    model(torch.ones(5, 3), {"a": [torch.ones(5, 2)], "b": 3}, torch.ones(5, 7).long(),
          torch.ones(5, 7).bool()).sum().backward()
    run.log({})
    assert library.names_of("input") == ["E.0", "E.1.a.0", "E.2"]
    assert library.shape_of("E.2", "input") == ([5, 7], -1)
    run, library = fake.open_run()
    run.watch(model)
    model(torch.ones(5, 3), [torch.ones(1)] * 100).sum().backward()
    run.log({})
    assert len(library.names_of("input")) == 8


def test_inputs_of_two_models_and_of_parts_called_alone_are_seen():
    run, library = fake.open_run()
    maker, critic = small(), nn.Linear(2, 1)
    run.watch(maker, name="G", roles=["input", "act"])
    run.watch(critic, name="D", roles=["input"])
    critic(maker(torch.ones(5, 3))).sum().backward()
    run.log({})
    maker[2](maker[0](torch.ones(4, 3))).sum().backward()
    run.log({})
    roles = [(name, role) for _, name, role, *_ in library.of("tensor", 0)]
    assert roles == [("G", "input"), ("G.0", "act"), ("G.1", "act"), ("G.2", "act"),
                     ("D", "input")], roles
    assert library.names_of("input", 1) == ["G.0"]  # it is not what enters the whole model
    with torch.no_grad():
        maker(torch.ones(9, 3))
    run.log({})
    assert library.names_of("input", 1) == ["G.0", "no_grad/G"]


def test_a_pass_behind_the_last_step_is_no_step():
    for n_behind in (0, 1):
        run, library = fake.open_run()
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        run.watch(model, optimizer)
        train(run, model, 3, optimizer)
        for _ in range(n_behind):
            model(torch.ones(5, 3))
        run.finish()
        assert [call[0] for call in library.calls if call[1] == "take_back"] == [2] * n_behind
        assert (library.step, {step for step, *_ in library.of("tensor", 3)}) == (
            2, {3} if n_behind else set())


def test_inputs_with_time_first_have_their_batch_first():
    run, library = fake.open_run()
    model = nn.LSTM(3, 4)
    run.watch(model, roles=["input"])
    model(torch.randn(7, 5, 3))[0].sum().backward()
    run.log({})
    assert library.shape_of("input", "input") == ([5, 7, 3], 2)


def test_units_lie_along_the_axis_of_channels():
    run, library = fake.open_run()
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(),
                          nn.Linear(24, 7))
    run.watch(model)
    train(run, model, x=torch.randn(5, 1, 4, 4))
    assert library.shape_of("0", "act") == ([5, 6, 2, 2], 1)
    assert library.shape_of("2", "act") == ([5, 6, 2, 2], 1)
    assert library.shape_of("3", "act") == ([5, 24], 1)
    assert library.shape_of("0.weight", "weight") == ([6, 1, 3, 3], 0)
    assert library.shape_of("4.bias", "grad") == ([7], 0)


def test_sequences_have_their_batch_first_and_their_units_last():
    class Reader(nn.Module):
        def __init__(self, batch_first):
            super().__init__()
            self.rnn = nn.LSTM(3, 4, batch_first=batch_first)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(torch.relu(self.rnn(x)[0]))

    for batch_first, shape in ((True, (5, 7, 3)), (False, (7, 5, 3))):
        run, library = fake.open_run()
        model = Reader(batch_first)
        run.watch(model)
        train(run, model, x=torch.randn(*shape))
        assert library.shape_of("rnn.0", "act") == ([5, 7, 4], 2)
        assert library.shape_of("rnn.1.0", "act") == ([5, 1, 4], 2)
    run, library = fake.open_run()
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 1)
    run.watch(model)
    train(run, model, x=torch.randn(7, 5, 4))
    assert library.shape_of("layers.0.linear1", "act") == ([5, 7, 8], 2)
    assert library.shape_of("layers.0.dropout1", "act") == ([5, 7, 4], 2)


def test_tuples_and_dictionaries_are_taken_apart():
    run, library = fake.open_run()
    model = Pair()
    run.watch(model, roles=["act"])
    train(run, model, loss_of=lambda out: out["out"].sum())
    assert library.names_of("act") == ["first", "second", "Pair.parts.0", "Pair.parts.1.0"]


def test_a_container_does_not_repeat_its_last_layer():
    run, library = fake.open_run()
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.Linear(4, 2)))
    run.watch(model, roles=["act"])
    train(run, model)
    assert library.names_of("act") == ["0.0", "1.0"]


def test_shared_parts_come_once_and_frozen_ones_without_gradient():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3, bias=False)
            self.b = nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight
            self.frozen = nn.Linear(3, 3, bias=False).requires_grad_(False)

        def forward(self, x):
            return self.frozen(self.b(self.a(self.a(x))))

    run, library = fake.open_run()
    model = Tied()
    run.watch(model, torch.optim.SGD(model.parameters(), 0.1))
    train(run, model, 1, torch.optim.SGD(model.parameters(), 0.1))
    assert library.names_of("weight") == ["a.weight", "frozen.weight"]
    assert library.names_of("act") == ["a", "a#2", "b", "frozen"]
    assert library.names_of("act_grad") == ["frozen", "b", "a#2", "a"]
    told = [text for _, _, text in library.of("event")]
    assert len(told) == 2 and "'b.weight' is 'a.weight'" in told[0], told
    assert "1 of 2 parameters are frozen: 'frozen.weight'" in told[1], told
    run.finish()


def test_unused_modules_leave_a_gap():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = nn.Linear(3, 2)
            self.idle = nn.Linear(3, 2)

        def forward(self, x):
            return self.used(x)

    run, library = fake.open_run()
    model = Idle()
    run.watch(model)
    train(run, model, 2)
    assert "idle" not in library.names_of("act")
    assert "idle.weight" in library.names_of("weight")
    assert "idle.weight" not in library.names_of("grad")
    assert not library.of("event")


def test_gradients_are_seen_before_they_are_zeroed():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.Adam(model.parameters())
    run.watch(model)  # the optimiser is found by the parameters it holds
    for set_to_none in (False, True):
        model(torch.ones(5, 3)).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=set_to_none)
        run.log({})
    bias = [values for _, name, role, _, _, values in library.of("tensor")
            if (name, role) == ("2.bias", "grad")]
    assert bias == [[5.0, 5.0]] * 2


def test_gradients_of_a_loop_without_optimizer_are_read_at_log():
    run, library = fake.open_run()
    model = small()
    run.watch(model)
    train(run, model)
    assert library.names_of("grad") == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_two_models_of_a_gan_keep_their_names_and_optimizers():
    run, library = fake.open_run()
    maker, critic = small(), nn.Linear(2, 1)
    make = torch.optim.SGD(maker.parameters(), 0.1)
    judge = torch.optim.SGD(critic.parameters(), 0.1)
    run.watch(maker, make, name="G")
    run.watch(critic, judge, name="D")
    for _ in range(2):
        critic(maker(torch.ones(5, 3)).detach()).sum().backward()
        judge.step()
        judge.zero_grad()
        critic(maker(torch.ones(5, 3))).sum().backward()
        make.step()
        make.zero_grad()
        run.log({"d": 1.0, "g": 2.0})
    assert library.names_of("act", 1) == ["G.0", "G.1", "G.2", "D"]
    assert library.names_of("grad", 1) == ["D.weight", "D.bias", "G.0.weight", "G.0.bias",
                                           "G.2.weight", "G.2.bias"]
    assert len(library.names_of("weight", 1)) == 6


def test_a_second_model_without_a_name_gets_one():
    run, library = fake.open_run()
    one, two, three = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
    for model in (one, two, three, one):
        run.watch(model, roles=["weight"])
    run.log({})
    assert library.names_of("weight") == ["weight", "bias", "Linear.weight", "Linear.bias",
                                          "Linear2.weight", "Linear2.bias"]
    assert len(library.of("event")) == 1  # watched twice


def test_include_exclude_and_roles_choose():
    run, library = fake.open_run()
    model = small()
    run.watch(model, include=["0*", "2*"], exclude="*.bias", roles=("weight", "act"))
    train(run, model)
    assert library.names_of("weight") == ["0.weight", "2.weight"]
    assert library.names_of("act") == ["0", "2"]
    assert not library.names_of("grad") and not library.names_of("act_grad")


def test_every_k_measures_each_kth_step():
    run, library = fake.open_run()
    model = small()
    run.watch(model, every=3, roles=["weight", "act"])
    train(run, model, 7)
    assert sorted({step for step, *_ in library.of("tensor")}) == [0, 3, 6]
    assert len(library.scalars()) == 7


def test_nan_has_the_present_and_the_next_steps_measured():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    train(run, model, 1, optimizer)  # what has never been measured is due
    library.is_due = lambda name, role: False
    train(run, model, 2, optimizer)
    assert {step for step, *_ in library.of("tensor")} == {0}
    for _ in range(15):
        train(run, model, 1, optimizer, loss_of=lambda out: out.sum() * float("nan"))
    steps = sorted({step for step, *_ in library.of("tensor")})
    assert steps == [0] + list(range(3, 14)), steps
    assert library.names_of("grad", 3) and library.names_of("weight", 3)
    assert library.names_of("act", 4)


def test_modules_called_without_their_parent_are_seen():
    run, library = fake.open_run()
    model = small()
    run.watch(model, roles=["act"])
    model[2](model[0](torch.ones(5, 3))).sum().backward()
    run.log({})
    assert library.names_of("act") == ["0", "2"]


def test_evaluation_has_series_of_its_own_at_the_step_before_it():
    run, library = fake.open_run()
    model = small()
    run.watch(model)
    train(run, model)
    model.eval()
    for _ in range(3):
        model(torch.ones(9, 3))
        with torch.no_grad():
            model(torch.ones(9, 3))
    run.log({"val": 1.0}, step=0)
    model.train()
    train(run, model)
    acts = [(step, name, shape[0]) for step, name, role, shape, _, _ in library.of("tensor")
            if role == "act"]
    assert acts == ([(0, n, 5) for n in "012"] + [(0, f"eval/{n}", 9) for n in "012"] +
                    [(1, n, 5) for n in "012"]), acts
    assert library.names_of("input") == ["input", "eval/input", "input"]
    assert [step for step, in library.of("step")] == [0, 1]


def test_evaluation_is_measured_when_its_time_has_earned_what_it_costs():
    run, library = fake.open_run()
    model = small()
    run.watch(model, roles=["act"])
    library.is_due = lambda name, role: False  # the governor has nothing to give away
    cadence = run._watcher.cadences["eval"]
    for step in range(4):
        train(run, model)
        assert cadence.cost_s > 0.0 or step == 0
        cadence.cost_s = 1e9 if step == 2 else 0.0
        model.eval()
        with torch.no_grad():
            model(torch.ones(9, 3))
        model.train()
    steps = [step for step, name, *_ in library.of("tensor") if name == "eval/0"]
    assert steps == [0, 1, 3], steps


def test_evaluation_alone_counts_steps():
    run, library = fake.open_run()
    model = small().eval()
    run.watch(model, roles=["act"])
    for _ in range(3):
        with torch.no_grad():
            model(torch.ones(9, 3))
        run.log({"val": 1.0})
    assert [step for step, name, *_ in library.of("tensor") if name == "eval/0"] == [0, 1, 2]


def test_a_model_that_is_trained_in_evaluation_mode_is_told_and_counts_as_training():
    run, library = fake.open_run()
    model = small().eval()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer, roles=["act"])
    train(run, model, 3, optimizer)
    assert library.names_of("act", 0) == ["eval/0", "eval/1", "eval/2"]
    assert library.names_of("act", 2) == ["0", "1", "2"]
    assert len(library.of("event")) == 1 and "evaluation mode" in library.of("event")[0][2]


def test_parameters_in_odd_places_are_told_and_left_out():
    run, library = fake.open_run()
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, device="meta"))
    run.watch(model)
    run.log({})
    run.log({})
    assert len(library.of("event")) == 1 and "meta" in library.of("event")[0][2]
    assert library.names_of("weight", 1) == ["0.weight", "0.bias"]
    sparse = nn.Embedding(10, 3, sparse=True)
    run, library = fake.open_run()
    run.watch(sparse)
    train(run, sparse, 2, x=torch.tensor([1, 2, 2]))
    assert not library.of("event")
    assert library.names_of("weight") == ["weight", "weight"]
    assert library.shape_of("weight", "grad") == ([3, 3], 1)  # looked-up rows, not added up
    assert sparse.weight.grad.is_sparse and not sparse.weight.grad.is_coalesced()


def test_a_tensor_that_the_library_refuses_is_left_alone_from_then():
    run, library = fake.open_run(refuse=("0",))
    model = small()
    run.watch(model, roles=["act"])
    train(run, model, 3)
    assert library.names_of("act") == ["1", "2"] * 3
    assert len(library.of("event")) == 1


def test_a_parameter_that_the_library_refuses_is_found_among_the_others():
    run, library = fake.open_run(refuse=("0.bias",))
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer, roles=["weight", "grad"])
    train(run, model, 4, optimizer)
    for step in range(4):
        for role in ("weight", "grad"):
            assert library.names_of(role, step) == ["0.weight", "2.weight", "2.bias"]
    told = [text for _, _, text in library.of("event")]
    assert len(told) == 2 and all("'0.bias'" in text for text in told), told


def test_gradients_that_are_absent_leave_their_neighbours_alone():
    for absent in ({0}, {3}, {1, 2}, {0, 2}, {0, 1, 2, 3}):
        run, library = fake.open_run()
        model = small()
        for i, parameter in enumerate(model.parameters()):
            parameter.grad = None if i in absent else torch.full_like(parameter, 2.0)
        run.watch(model, roles=["grad"])
        run.log({})
        names = [name for name, _ in model.named_parameters()]
        assert library.names_of("grad") == [n for i, n in enumerate(names) if i not in absent]


def test_a_parameter_that_changes_type_is_measured_as_it_is():
    run, library = fake.open_run()
    model = nn.Linear(2, 3)
    run.watch(model, roles=["weight"])
    run.log({})
    model.double()
    run.log({})
    model.half()
    run.log({})
    assert library.names_of("weight") == ["weight", "bias"] * 3
    values = [v for _, name, _, _, _, v in library.of("tensor") if name == "bias"]
    assert values[0] == values[1]


def test_added_parameters_are_found_in_time():
    run, library = fake.open_run(budget=1.0)
    model = nn.Sequential(nn.Linear(2, 2))
    run.watch(model, roles=["weight"], every=1)
    for _ in range(10):
        run.log({})
    model.add_module("new", nn.Linear(2, 2))
    for _ in range(70):
        run.log({})
    assert "new.weight" in library.names_of("weight")


def test_a_model_can_be_saved_and_copied_while_watched():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.Adam(model.parameters())
    run.watch(model, optimizer)
    train(run, model, 2, optimizer)
    stream = io.BytesIO()
    torch.save((model, optimizer), stream)
    stream.seek(0)
    is_new = not torch.__version__.startswith("1.")
    again, _ = torch.load(stream, **({"weights_only": False} if is_new else {}))
    twin = copy.deepcopy(model)
    copy.deepcopy(optimizer).step()
    n_before = len(library.of("tensor"))
    twin(torch.ones(5, 3)), again(torch.ones(5, 3))
    assert len(library.of("tensor")) == n_before
    assert not any("hook" in name and value for part in model.modules()
                   for name, value in vars(part).items() if isinstance(value, dict))


def test_schedulers_made_before_and_after_see_their_optimizer():
    counts = []
    for is_watched in (False, True):
        run, library = fake.open_run()
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), 1.0)
        early = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        if is_watched:
            run.watch(model, optimizer)
        late = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            train(run, model, 1, optimizer)
            early.step()
            late.step()
        counts.append((getattr(optimizer, "_step_count", 0), optimizer.param_groups[0]["lr"]))
    assert counts[0] == counts[1], counts
    assert len(library.names_of("grad")) == 4


def test_an_optimizer_with_a_closure_works():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)
    run.watch(model, optimizer)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(5, 3)).pow(2).sum()
        loss.backward()
        return loss

    run.log({"loss": optimizer.step(closure)})
    assert len(library.names_of("weight")) == 4


def test_finish_leaves_no_trace():
    from torch.nn.modules import module as torch_module
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    train(run, model, 2, optimizer)
    model(torch.ones(5, 3))
    run.finish()
    assert not torch_module._global_forward_hooks and not torch_module._global_forward_pre_hooks
    assert "step" not in vars(optimizer)
    n_calls = len(library.calls)
    train(run, model, 2, optimizer)
    assert len(library.calls) == n_calls


def test_the_last_weights_are_on_record():
    for leave in ("finish", "exception"):
        run, library = fake.open_run()
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        run.watch(model, optimizer)
        library.is_due = lambda name, role: library.step < 3
        train(run, model, 5, optimizer)
        assert library.names_of("weight", 4) == []
        if leave == "finish":
            run.finish()
        else:
            run.__exit__(ValueError, ValueError("bad data"), None)
        last = {name: values for step, name, role, _, _, values in library.of("tensor", 4)
                if role == "weight"}
        want = {name: p.detach().reshape(-1).tolist() for name, p in model.named_parameters()}
        assert last == want, last
        assert library.calls[-1][1] == "close"
    run, library = fake.open_run()
    model = small()
    run.watch(model)
    train(run, model, 2)
    n = len(library.names_of("weight"))
    run.finish(timeout=0)  # measured at that step already, and no time
    assert len(library.names_of("weight")) == n == 8


def test_quiet_steps_are_left_alone_and_what_follows_is_seen():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)  # the loss stays where it is
    run.watch(model, optimizer)
    train(run, model, 3, optimizer)
    library.is_due = lambda name, role: False
    train(run, model, 20, optimizer)  # the searches for what was never seen end, too
    n = len(library.calls)
    train(run, model, 4, optimizer)
    assert [call[1] for call in library.calls[n:]] == ["step", "scalar"] * 4, library.calls[n:]
    # An evaluation within a quiet step, and one after it, are seen as ever.
    model(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    model.eval()
    with torch.no_grad():
        model(torch.ones(2, 3))
    model.train()
    run.log({"loss": 1.0})
    step = library.step
    assert library.names_of("act", step) == ["eval/0", "eval/1", "eval/2"], library.calls[-9:]
    library.is_due = None
    train(run, model, 1, optimizer)
    assert library.names_of("act", step + 1) == ["0", "1", "2"]
    assert library.names_of("weight", step + 1)
    # A layer that is put in during quiet steps, and an optimiser that is, are found in time.
    library.is_due = lambda name, role: False
    model.add_module("3", nn.Linear(2, 2))
    optimizer.add_param_group({"params": list(model[3].parameters())})
    train(run, model, 80, optimizer)
    assert "3.weight" in library.names_of("weight") and "3" in library.names_of("act")


def test_a_watched_model_can_be_freed():
    run, library = fake.open_run()
    model = small()
    run.watch(model)
    train(run, model, 2)
    gone = weakref.ref(model)
    weight = weakref.ref(model[0].weight)
    del model
    gc.collect()
    assert gone() is None and weight() is None
    run.log({"loss": 1.0})


def test_unmeasured_steps_have_no_hook_in_the_way():
    from torch.nn.modules import module as torch_module
    run, _ = fake.open_run()
    model = small()
    run.watch(model, every=1000)
    train(run, model, 2)
    seen = []
    model[1].register_forward_hook(lambda *_: seen.append(
        len(torch_module._global_forward_hooks) + len(torch_module._global_forward_pre_hooks)))
    train(run, model, 2)
    assert seen == [0, 0]


def test_a_failing_hook_is_told_once_and_the_training_goes_on():
    run, library = fake.open_run()
    model = small()
    run.watch(model)
    run._watcher.modules._take = lambda *_: 1 / 0
    train(run, model, 3)
    assert len(library.scalars()) == 3
    assert len([1 for _, _, text in library.of("event") if "ZeroDivision" in text]) == 1


def test_backward_twice_and_accumulation_measure_the_first_call():
    run, library = fake.open_run()
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run.watch(model, optimizer)
    for _ in range(3):
        loss = model(torch.ones(5, 3)).sum()
        loss.backward(retain_graph=True)
        loss.backward()
    optimizer.step()
    run.log({})
    assert library.names_of("act") == ["0", "1", "2"]
    assert library.names_of("act_grad") == ["2", "1", "0"]
    grads = [v for _, name, role, _, _, v in library.of("tensor")
             if (name, role) == ("2.bias", "grad")]
    assert grads == [[30.0, 30.0]]


def test_data_parallel_wrappers_are_looked_through():
    run, library = fake.open_run()
    model = nn.DataParallel(small())
    run.watch(model, roles=["weight", "act"])
    train(run, model)
    assert library.names_of("weight")[0] == "0.weight"
    assert library.names_of("act") == ["0", "1", "2"]


if __name__ == "__main__":
    tap.main(globals(), needs_library=False)
