# SPDX-License-Identifier: Apache-2.0
"""init, log, event, finish: against a library that notes every call."""
import argparse
import dataclasses
import decimal
import json
import math
import os
import warnings

import tap
import fake

import numpy
import torch

import barograph


def raises(kind, call, *words):
    try:
        call()
    except kind as error:
        for word in words:
            assert word in str(error), str(error)
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def test_steps_count_from_zero_by_themselves():
    run, library = fake.open_run()
    for value in (1.0, 2.0, 3.0):
        run.log({"loss": value})
    assert library.scalars() == [(0, "loss", 1.0), (1, "loss", 2.0), (2, "loss", 3.0)]
    assert [step for step, in library.of("step")] == [0, 1, 2]


class Odd(dict):
    """A dictionary that log() takes apart the long way round."""


def test_one_call_says_what_many_say():
    nan = float("nan")
    turns = [{"a": 1.0}, {"a": 2.0}, {"a": 3.0, "b": torch.tensor(4.0)}, {}, {"a": nan, "b": 1},
             {"a": 5.0, "b": numpy.float32(0.5)}, {"b": 1.0, "a": 2.0}, {"a": 1.0, "c": [1.0, 2.0]},
             {"a": "text"}, {"a": {"b": 1.0}}, {"a": 6.0}, {"a": None, "b": 2.0}, {"a": 7.0}]
    calls = []
    for kind in (dict, Odd):
        run, library = fake.open_run()
        n_logged = [0]
        plain = library.baro_turn
        library.baro_turn = lambda *args: (n_logged.append(1), plain(*args))[1]
        for values in turns:
            run.log(kind(values))
        run.log(kind({"a": 8.0}), step=20)
        run.log(kind({"a": 9.0}))
        run.tensor("x", [1.0, 2.0])
        run.log(kind({"a": 10.0}))
        calls.append([call for call in library.calls])
        assert (len(n_logged) > 5) == (kind is dict), n_logged
    assert repr(calls[0]) == repr(calls[1])
    assert [step for step, *_ in calls[0]][-1] == 22


def test_every_kind_of_number_is_taken():
    run, library = fake.open_run()
    run.log({"int": 3, "bool": True, "np": numpy.float32(0.5), "np0": numpy.array(7),
             "np1": numpy.array([[2.5]]), "t0": torch.tensor(1.5), "t1": torch.tensor([4]),
             "grad": torch.tensor(2.0, requires_grad=True) * 2, "half": torch.tensor(
                 1.0).half(), "bf": torch.tensor(1.0).bfloat16(),
             "decimal": decimal.Decimal("0.25"), "nan": float("nan"), "inf": -math.inf})
    values = {name: value for _, name, value in library.scalars()}
    assert math.isnan(values.pop("nan"))
    assert values == {"int": 3.0, "bool": 1.0, "np": 0.5, "np0": 7.0, "np1": 2.5, "t0": 1.5,
                      "t1": 4.0, "grad": 4.0, "half": 1.0, "bf": 1.0, "decimal": 0.25,
                      "inf": -math.inf}
    assert not library.of("event")


def test_dictionaries_within_are_flattened():
    run, library = fake.open_run()
    run.log({"train": {"loss": 1, "acc": {"top1": 2}}, 5: 3})
    assert [(name, value) for _, name, value in library.scalars()] == [
        ("train/loss", 1.0), ("train/acc/top1", 2.0), ("5", 3.0)]


def test_a_dictionary_that_holds_itself_ends():
    run, library = fake.open_run()
    endless = {"x": 1.0}
    endless["again"] = endless
    run.log(endless)
    assert 2 <= len(library.scalars()) <= 20
    assert len(library.of("event")) == 1


def test_arrays_are_summarised_as_tensors():
    run, library = fake.open_run()
    run.log({"numpy": numpy.arange(6.0).reshape(2, 3), "torch": torch.ones(4, 5),
             "list": [1.0, 2.0, float("nan")], "empty": numpy.zeros((0, 3))})
    seen = {name: (shape, values) for _, name, _, shape, _, values in library.of("tensor")}
    assert seen["numpy"] == ([2, 3], [0, 1, 2, 3, 4, 5])
    assert seen["torch"] == ([4, 5], [1.0] * 20)
    assert seen["list"][0] == [3] and seen["list"][1][:2] == [1.0, 2.0]
    assert seen["empty"] == ([0, 3], []) or seen["empty"][0] == [0, 3]


def test_any_strides_are_read_in_place():
    run, library = fake.open_run()
    base = numpy.arange(24, dtype=numpy.int32).reshape(4, 6)
    run.tensor("cut", base[::-2, 1::2])
    run.tensor("turned", torch.arange(6.0).reshape(2, 3).t())
    pairs = numpy.array([[1 + 2j, 3 - 4j]])
    run.tensor("complex", pairs[:, ::-1])
    values = {name: (shape, v) for _, name, _, shape, _, v in library.of("tensor")}
    assert values["complex"] == ([1, 2, 2], [3, -4, 1, 2])
    assert values["cut"] == ([2, 3], base[::-2, 1::2].flatten().tolist())
    assert values["turned"] == ([3, 2], [0, 3, 1, 4, 2, 5])


def test_what_is_no_number_becomes_one_event_for_each_name():
    run, library = fake.open_run()
    for _ in range(5):
        run.log({"text": "abc", "none": None, "digits": "3.0", "thing": object(), "loss": 1.0,
                 "complex": 1j, "words": ["a"], "huge": 10 ** 400})
    events = [text for _, _, text in library.of("event")]
    assert len(events) == 7 and all("left out" in text for text in events), events
    assert len(library.scalars()) == 5


def test_unsupported_arrays_are_left_out_with_the_reason():
    run, library = fake.open_run()
    run.tensor("big-endian", numpy.zeros(3, dtype=">f8"))
    run.tensor("wide", numpy.zeros(3, dtype=numpy.longdouble))
    run.tensor("odd", numpy.zeros((2,) * 9))
    run.tensor("sparse", torch.eye(3).to_sparse())
    run.tensor("elsewhere", torch.empty(3, device="meta"))
    run.tensor("text", "abc")
    texts = " ".join(text for _, _, text in library.of("event"))
    for word in ("big-endian order", "float128", "9 dimensions", "sparse", "meta", "'str'"):
        assert word in texts, (word, texts)
    assert not library.of("tensor")


def test_steps_that_repeat_or_go_back_are_kept():
    run, library = fake.open_run()
    for step in (5, 5, 6, 3, 4, 4):
        run.log({"loss": step}, step=step)
    assert [(step, value) for step, _, value in library.scalars()] == [
        (5, 5.0), (5, 5.0), (6, 6.0), (3, 3.0), (4, 4.0), (4, 4.0)]


def test_the_next_step_is_predicted_from_the_last_two():
    run, library = fake.open_run()
    run.log({"loss": 1}, step=100)
    run.log({"loss": 1}, step=110)
    run.tensor("before log", numpy.ones(2))
    run.log({"loss": 1}, step=120)
    run.log({"more": 1}, step=120)
    run.tensor("and after", numpy.ones(2))
    assert [(step, name) for step, name, *_ in library.of("tensor")] == [
        (120, "before log"), (130, "and after")]


def test_a_training_that_goes_on_begins_at_its_first_step():
    run, library = fake.open_run(first_step=700)
    run.tensor("x", numpy.ones(2))
    run.log({"loss": 1})
    assert {call[0] for call in library.calls if call[1] != "close"} == {700}


def test_a_negative_step_is_told_and_loses_nothing():
    run, library = fake.open_run()
    run.log({"loss": 1.0}, step=-3)
    run.log({"loss": 2.0}, step=-3)
    assert library.scalars() == [(0, "loss", 1.0), (1, "loss", 2.0)]
    assert len(library.of("event")) == 1


def test_batches_of_every_kind_are_taken():
    run, library = fake.open_run()
    for batch in (torch.tensor([3, 1]), torch.tensor([3, 1], dtype=torch.int32), [3, 1], (3, 1),
                  numpy.array([3, 1]), numpy.array([3.0, 1.0]), iter([3, 1]),
                  torch.tensor([[3, 9], [1, 9]])[:, 0]):
        run.log({}, batch=batch)
    run.log({}, batch=range(3))
    run.log({}, batch=[])
    assert [samples for _, samples in library.of("batch")] == [[3, 1]] * 8 + [[0, 1, 2], []]
    run.log({"loss": 1.0}, batch=["a", "b"])
    run.log({"loss": 1.0}, batch=numpy.array([0.5]))
    assert len(library.of("event")) == 1 and len(library.scalars()) == 2


def test_numbers_per_sample_are_kept_in_the_order_of_the_batch():
    run, library = fake.open_run()
    run.log({"loss": 1.0}, batch=[7, 8], samples={"loss": torch.tensor([0.5, 1.5])})
    assert library.of("tensor") == [(0, "samples/loss", "act", [2], -1, [0.5, 1.5])]


def test_results_of_samples_are_kept_of_each():
    run, library = fake.open_run()
    run.log({}, batch=[7, 8], samples={"loss": torch.tensor([0.5, 1.5]),
                                       "correct": torch.tensor([True, False])})
    run.log({}, samples={"index": numpy.array([3]), "correct": [1], "label": torch.tensor([4])})
    run.log({}, samples={"loss": [1.0]})              # whose, nobody knows
    run.log({}, batch=[1], samples={"loss": [1.0, 2.0]})  # one too many: told, nothing kept
    assert library.of("samples") == [(0, [7, 8], [0.5, 1.5], [1, 0], None),
                                     (1, [3], None, [1], [4])]
    assert [name for _, name, *_ in library.of("tensor")].count("samples/index") == 0
    assert len(library.of("event")) == 1 and "1 indices" in library.of("event")[0][2]


def test_results_on_another_device_are_read_late_and_kept_at_their_step():
    class Elsewhere(torch.Tensor):
        is_cpu = False

        def tolist(self):
            if type(self) is Elsewhere and self.dim() == 1:
                raise AssertionError("the device is waited for")
            return self.as_subclass(torch.Tensor).tolist()

    run, library = fake.open_run()
    for step in range(3):
        run.log({}, batch=[step, 2 ** 40], samples={
            "correct": torch.tensor([1, 0]).as_subclass(Elsewhere)})
    run.finish()
    assert library.of("samples") == [(step, [step, 2 ** 40], None, [1, 0], None)
                                     for step in range(3)]


def wrong_calls(run):
    """Calls with wrong arguments, each with words of what is told."""
    return ((lambda: run.log(3.0), "dictionary", "float"),
            (lambda: run.log({"a": 1}, step="5"), "step", "str"),
            (lambda: run.log({"a": 1}, step=1.5), "step"),
            (lambda: run.log({"a": 1}, samples=[1]), "samples"),
            (lambda: run.event("x", level="loud"), "info, watch, alarm"),
            (lambda: run.tensor("x", numpy.ones(2), role="wait"), "weight"),
            (lambda: run.tensor("x", numpy.ones(2), unit_axis="0"), "unit_axis"),
            (lambda: run.watch("model"), "torch.nn.Module"),
            (lambda: run.watch(torch.nn.Linear(1, 1), every=0), "every"),
            (lambda: run.watch(torch.nn.Linear(1, 1), optimizer=3), "optimiser"),
            (lambda: run.watch(torch.nn.Linear(1, 1), roles=["wait"]), "roles"),
            (lambda: run.watch(torch.nn.Linear(1, 1), include=[3]), "include"),
            (lambda: run.finish(status="great"), "finished"))


def test_wrong_arguments_raise_when_strict():
    run, _ = fake.open_run(strict=True)
    for call, *words in wrong_calls(run):
        raises(TypeError, call, *words)
    raises(TypeError, lambda: run.log({"words": ["a"]}), "'words'", "numbers")
    raises(TypeError, lambda: run.log({"text": "abc"}), "'text'", "str")
    raises(TypeError, lambda: barograph.init(project=3, strict=True), "project")
    raises(TypeError, lambda: barograph.init(config=7, strict=True), "config")
    raises(TypeError, lambda: barograph.init(summarise="there", strict=True), "summarise",
           "'here' or 'daemon'")
    os.environ["BARO_STRICT"] = "1"
    raises(TypeError, lambda: barograph.init(rank="0"), "rank")


def test_wrong_arguments_are_one_warning_and_one_event_and_never_an_exception():
    run, library = fake.open_run()
    for call, *words in wrong_calls(run):
        n_before = len(library.of("event"))
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            call()
        told = [text for _, _, text in library.of("event")[n_before:]] + [
            str(one.message) for one in seen]
        for word in words:
            assert len([text for text in told if word in text]) >= 2, (words, told)
    assert library.scalars() == [(1, "a", 1.0), (2, "a", 1.0), (3, "a", 1.0)]
    assert [call[1] for call in library.calls][-1] == "close"
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run, library = fake.open_run(project=3, rank="0", config=7, budget=[])
        for _ in range(3):
            run.log("loss")
    assert len(seen) == 5, [str(one.message) for one in seen]
    assert len(library.of("event")) == 5 and library.options.project is None


def test_numbers_of_another_device_are_read_some_steps_late_and_kept_at_their_step():
    class Elsewhere(torch.Tensor):
        is_cpu = False

    arrived = []

    def reader(tensor):
        copy = tensor.detach().clone()
        return lambda waits: float(copy) if arrived or waits else None

    run, library = fake.open_run()
    from barograph import _tensors
    before, _tensors.late_reader = _tensors.late_reader, reader
    try:
        for step in range(5):
            value = torch.tensor(float(step)).as_subclass(Elsewhere)
            value.item = lambda: 1 / 0
            run.log({"loss": value, "lr": 0.5})
            if step == 2:
                assert [name for _, name, _ in library.scalars()] == ["lr"] * 3
                arrived.append(True)
        run.finish()
    finally:
        _tensors.late_reader = before
    losses = [(step, value) for step, name, value in library.scalars() if name == "loss"]
    assert losses == [(float(step), float(step)) for step in range(5)], losses
    assert not library.of("event")


def test_a_batch_of_another_device_is_read_late_and_kept_at_its_step():
    class Elsewhere(torch.Tensor):
        is_cpu = False

        def tolist(self):
            raise AssertionError("the device is waited for")

    run, library = fake.open_run()
    for step in range(3):
        first = 5000 * step
        run.log({}, batch=torch.arange(first, first + 5000).as_subclass(Elsewhere))
    run.log({}, batch=torch.ones(3).as_subclass(Elsewhere))
    run.finish()
    batches = library.of("batch")
    assert [(step, numbers[:2], len(numbers), n) for step, numbers, n in batches] == [
        (step, [5000 * step, 5000 * step + 1], 4096, 5000) for step in range(3)]
    assert len(library.of("event")) == 1 and "float32" in library.of("event")[0][2]


def test_a_number_without_a_value_is_told():
    run, library = fake.open_run()
    for _ in range(3):
        run.log({"loss": torch.empty((), device="meta")})
    assert len(library.of("event")) == 1 and "meta" in library.of("event")[0][2]


def test_whole_floats_and_numpy_integers_are_steps():
    run, library = fake.open_run()
    run.log({"a": 1}, step=4.0)
    run.log({"a": 1}, step=numpy.int64(5))
    run.log({"a": 1}, step=torch.tensor(6))
    assert [step for step, _, _ in library.scalars()] == [4, 5, 6]


def test_odd_names_reach_the_library_as_utf8():
    run, library = fake.open_run()
    names = ["with space", "a/b", "größe", "x" * 10000, "nul\0in", "\ud800half", ""]
    run.log({name: 1.0 for name in names})
    sent = [name for _, name, _ in library.scalars()]
    assert sent == ["with space", "a/b", "größe", "x" * 10000, "nul\ufffdin", "?half"]
    assert len(library.of("event")) == 1


def test_a_config_is_kept_as_json():
    @dataclasses.dataclass
    class Settings:
        lr: float = 0.5

    for config in ({"lr": 0.5}, argparse.Namespace(lr=0.5), Settings()):
        _, library = fake.open_run(config=config)
        assert json.loads(library.options.config) == {"lr": 0.5}
    odd = {"nan": float("nan"), "device": torch.device("cpu"), 3: (1, 2), "deep": {"x": [None]}}
    _, library = fake.open_run(config=odd)
    assert json.loads(library.options.config) == {"nan": "nan", "device": "cpu", "3": [1, 2],
                                                  "deep": {"x": [None]}}
    _, library = fake.open_run(config={"lr": 1, "text": "x" * 100000})
    assert json.loads(library.options.config)["lr"] == 1
    _, library = fake.open_run(config={f"key{i}": "v" * 400 for i in range(1000)})
    assert len(library.options.config) <= 65536


def test_ranks_come_from_the_launcher_unless_given():
    os.environ.update(RANK="3", WORLD_SIZE="8")
    try:
        _, library = fake.open_run()
        assert (library.options.rank, library.options.n_ranks) == (3, 8)
        _, library = fake.open_run(rank=1, n_ranks=2)
        assert (library.options.rank, library.options.n_ranks) == (1, 2)
    finally:
        del os.environ["RANK"], os.environ["WORLD_SIZE"]


def test_events_and_alerts_carry_their_level():
    run, library = fake.open_run()
    run.event("began")
    run.alert("loss is high", "look", level="alarm")
    run.alert("plain")
    assert library.of("event") == [(None, 1, "began"), (None, 3, "loss is high: look"),
                                   (None, 2, "plain")]


def test_the_end_is_told_once():
    run, library = fake.open_run()
    run.finish(status="failed", text="no more data")
    run.finish()
    run.log({"loss": 1.0})
    run.event("late")
    assert [call[1] for call in library.calls] == ["fail", "close"]
    assert not run.is_active


def test_leaving_a_with_block_by_an_exception_is_a_failure():
    run, library = fake.open_run()
    try:
        with run:
            raise ValueError("bad data")
    except ValueError:
        pass
    assert library.of("fail") == [(None, "ValueError: bad data")]
    with fake.open_run()[0] as run:
        pass
    assert not run.is_active


def test_the_module_speaks_for_the_newest_run():
    run, library = fake.open_run()
    barograph.log({"loss": 2.0})
    barograph.event("hello")
    barograph.tensor("x", numpy.ones(3))
    barograph.finish()
    assert library.scalars() == [(0, "loss", 2.0)] and not run.is_active
    assert [call[1] for call in library.calls] == ["step", "scalar", "event", "step", "tensor",
                                                   "close"]


def test_without_a_run_the_module_warns_once():
    barograph.run = None
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        barograph.log({"loss": 1})
        barograph.log({"loss": 1})
    assert len(seen) == 1 and "init" in str(seen[0].message)


def test_a_library_that_fails_never_reaches_the_training():
    run, library = fake.open_run()
    library.baro_scalar_id = lambda *_: 1 / 0
    run.log({"loss": 1.0})
    run.log({"loss": 1.0})
    assert len(library.of("event")) == 1 and "ZeroDivisionError" in library.of("event")[0][2]


if __name__ == "__main__":
    tap.main(globals(), needs_library=False)
