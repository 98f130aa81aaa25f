# SPDX-License-Identifier: Apache-2.0
"""The moment of failure: a loss or a gradient is not finite, and the weights are still those of
the forward pass that led to it. The step is computed again (again.py, program.py), searched
(search.py), and becomes a probe that says where it began and why.
"""
import torch

from . import cause, graph, memory
from .again import Sandbox, is_replayable
from .before import Before
from .build import FAILURE, Builder, Store, rows_of, seed
from .program import Replay, nodes_of
from .search import Look, Origin, Search, outside, places
from .trace import INPUT, MAX_OPS, RESULT, Names, Op, Trace, Value

N_ROWS = 16
SHARE_OF_MEMORY = 0.7    # of what is left, that a step which is computed again may take
MAX_OPS_AGAIN = 200000   # of a step that is computed again; MAX_OPS of them are sent


class Captured:
    """A step that was computed again."""

    def __init__(self, trace, store, replay):
        self.trace = trace
        self.store = store
        self.replay = replay
        self.loss_value = None    # None: the part after the models could not be done again

    def close(self):
        """Let go of all that was computed, now: much of it refers to itself."""
        self.store.close()
        self.replay.close()


class Moment:
    """Captures failures of one run; owner: Probes, which knows models, calls and templates."""

    def __init__(self, owner, run):
        self._owner = owner
        self._run = run

    # ---- forward ----

    def forward(self, loss, calls, template, gathered):
        """A loss is not finite; returns the origin that was found, or None.

        loss      None: the tensor itself is not known
        calls     of models, as remembered
        template  of a step like this one, or None; gathered: what it says to gather
        """
        done = self._again(loss, calls, template, gathered, self._search_forward)
        if done is None:
            return None
        captured, origin = done
        try:
            if origin is None and loss is not None and loss.grad_fn is not None:
                origin = self._walk(captured, loss)
            if origin is not None and origin.op is None and origin.value.kind == INPUT:
                origin = self._look_before(captured, origin, calls)
            if origin is not None or loss is not None:
                self._send(captured, origin, captured.loss_value, calls)
        finally:
            captured.close()
        return origin

    def _look_before(self, captured, origin, calls):
        """Something from outside was not finite: the loop may have made it so."""
        try:
            return Before(captured, Names(self._owner.models()), calls,
                          self._owner.loads.given(), self._state()).look(origin)
        except Exception as error:
            self._run._complain(("probe", "before", type(error).__name__),
                                f"what came before the models could not be read: {error!r}")
            return origin

    def _state(self):
        """The state of torch's random numbers when the step began; None: it was not kept."""
        kept = getattr(self._run._states, "_kept", None)
        return kept[1][0][1] if kept is not None and kept[0] == self._run._next_step else None

    def _search_forward(self, captured, loss):
        search = Search(captured.trace, captured.store.get)
        if captured.loss_value is not None:
            return search.origin(captured.loss_value)
        behind = []
        if loss is not None and captured.replay.lost is not None:  # as far as it came
            behind = [value for line in captured.trace.program if not line.call
                      for value in line.outputs if value is not None]
        given = self._given(captured)
        for value in given + behind:
            origin = search.origin(value, is_loss=value in given)
            if origin is not None:
                return origin
        return None

    def _given(self, captured):
        return [value for line in captured.trace.program if line.call for value in line.outputs]

    def _again(self, loss, calls, template, gathered, look):
        """Compute the step again and look at it while it is there; (captured, what look() gave)."""
        models = self._owner.models()
        if any(not is_replayable(call.module) for call in calls):
            calls, template = [], None
        if calls and not self._has_room(template, loss):
            calls, template = [], None
        done = None
        for with_hooks in (False, True):
            if done is not None:
                done[0].close()
            with Sandbox(models, with_hooks) as sandbox:
                store = Store()
                trace = Trace(sandbox.names, store, MAX_OPS_AGAIN)
                trace.batch_place = self._owner.batch_place(calls)
                replay = Replay(trace, store, sandbox, calls, self._owner.tensors_in)
                captured = Captured(trace, store, replay)
                with torch.enable_grad():
                    if not trace.start():
                        return None
                    try:
                        replay.run(template, gathered, loss)
                    except Exception as error:
                        self._run._complain(("probe", "again", type(error).__name__),
                                            f"a step could not be computed again: {error!r}")
                        replay.is_exact = False
                    finally:
                        captured.loss_value = (trace.value_of(replay.loss)
                                               if replay.loss is not None else None)
                        trace.stop()
                    found = look(captured, loss)
                done = captured, found
                if replay.is_exact or not sandbox.has_hooks:
                    break
        return done

    def _has_room(self, template, loss):
        """Tell whether there is memory for a second step beside the one that failed."""
        if template is not None:
            needed = template.n_bytes
        else:
            needed = graph.bytes_of(loss) if loss is not None and loss.grad_fn is not None else 0
        left = memory.left_for(loss)
        if left is None or needed <= left * SHARE_OF_MEMORY:
            return True
        self._run._complain(("probe", "room"), "the step that failed was not computed again: that "
                            f"takes {needed >> 20} MiB, and {left >> 20} are left; what autograd "
                            "had saved of it was looked at instead")
        return False

    # ---- the loss function, from its graph ----

    def _walk(self, captured, loss):
        """The part after the models could not be done again: look at what autograd has saved."""
        given = [captured.store.get(value) for value in self._given(captured)]
        if any(Look(one).is_bad() for one in given if one is not None):
            return None
        found = graph.first_bad(loss)
        if found is None:
            return None
        self._guess_batch(captured, loss)
        result = found.result
        bad = result.detach().isnan() if bool(result.isnan().any()) else ~result.detach().isfinite()
        if found.node is None:
            kind, name = Names(self._owner.models()).find(result)
            value = self._new(captured, result, INPUT if kind is None else kind, name)
            return self._origin(captured, None, value, outside(value, result.detach(), bad), bad)
        inputs = [self._new(captured, one, INPUT, "") for one in found.operands]
        op = self._add_op(captured, graph.forward_name(found.node), inputs)
        op.attrs = graph.numbers_of(found.node)
        value = self._new(captured, result, RESULT, "", op)
        op.outputs.append(value)
        what = "NaN" if bool(result.isnan().any()) else "inf"
        text = f"{op.name} gives {what}"
        if found.operands:
            try:
                text = cause.sentence(op, found.operands, result, bad)
            except Exception:
                text = f"{op.name} of finite values gives {what}"
        return self._origin(captured, op, value, text, bad)

    def _slopes(self, captured, held):
        """A gradient is not finite, and the loss could not be done again: held is of steep()."""
        found = graph.infinite_slope(held)
        if found is None:
            return None
        name, tensors, slope, bad = found
        self._guess_batch(captured, None, tensors)
        inputs = [self._new(captured, one, INPUT, "") for one in tensors]
        op = self._add_op(captured, f"{name}_backward", inputs)
        op.is_backward = True
        op.outputs.append(self._new(captured, slope, RESULT, "", op, like=inputs[0]))
        operands = tensors if name != "div" else tensors[::-1]
        text = cause.of_gradient(name, operands, tensors, None, slope, bad)
        origin = self._origin(captured, op, inputs[0], text, bad)
        origin.is_gradient = True
        return origin

    def _guess_batch(self, captured, loss, tensors=()):
        """No model has told how many samples there are."""
        if captured.trace.n_batch == 0:
            n = self._owner.loads.n_last()
            if n == 0 and loss is not None:
                n = graph.batch_of(loss)
            captured.trace.n_batch = n or next((one.shape[0] for one in tensors if one.dim()), 0)

    def _add_op(self, captured, name, inputs):
        op = Op(name, "", inputs, [], "", "")
        op.number = len(captured.trace.ops)
        captured.trace.ops.append(op)
        return op

    def _origin(self, captured, op, value, text, bad):
        origin = Origin(op, value, text)
        origin.is_replayed = False
        origin.is_exact = True
        origin.units, origin.rows = places(bad, value, captured.trace.n_batch)
        return origin

    def _new(self, captured, tensor, kind, name, op=None, like=None):
        """A value of ours in a trace that has ended."""
        trace = captured.trace
        value = Value(len(trace.values), kind, name, tensor)
        value.op = op
        n = trace.n_batch
        if like is not None:
            value.batch, value.unit = like.batch, like.unit
        elif value.shape and n and value.shape[0] == n:
            value.batch = 0
            value.unit = 1 if len(value.shape) > 1 else -1
        trace.values.append(value)
        captured.store.tensors[value.number] = tensor
        return value

    # ---- backward ----

    def backward(self, loss, calls, template, gathered):
        """A gradient is not finite though the loss is; without a template gathered is of steep()."""
        done = self._again(loss, calls, template, gathered, self._search_backward)
        if done is None:
            return None
        captured, origin = done
        try:
            if origin is None and template is None:
                origin = self._slopes(captured, gathered)
            self._send(captured, origin, captured.loss_value, calls)
        finally:
            captured.close()
        return origin

    def _search_backward(self, captured, loss):
        again = captured.replay.loss
        if again is None or again.grad_fn is None or again.numel() != 1:
            return None
        found = []
        handles = []
        nodes = nodes_of(again)

        def watch(node):
            def hook(gone, came):
                if not found and any(Look(one).is_bad() for one in gone) and not any(
                        Look(one).is_bad() for one in came):
                    found.append((node, tuple(gone), tuple(came)))
            handles.append(node.register_hook(hook))

        try:
            for node in nodes:
                if node.name() != "torch::autograd::AccumulateGrad":
                    watch(node)
            leaves = [node.variable for node in nodes if hasattr(node, "variable")]
            if not leaves:
                return None
            torch.autograd.grad(again, leaves, allow_unused=True)
        finally:
            for handle in handles:
                handle.remove()
        return self._describe_backward(captured, *found[0]) if found else None

    def _describe_backward(self, captured, node, gone, came):
        trace, store = captured.trace, captured.store
        forward = next((value.op for value in trace.values if value.op is not None
                        and store.node_of(value) is node), None)
        at = next(i for i, one in enumerate(gone) if Look(one).is_bad())
        name = forward.name.rstrip("_") if forward is not None else graph.forward_name(node)
        known = []
        if forward is not None:
            known = [one for one in (*forward.inputs, *forward.outputs) if one is not None]
        result = forward.outputs[0] if forward is not None and forward.outputs else None
        incoming = [self._new(captured, one, INPUT, f"gradient of {name}", like=result)
                    for one in came if one is not None]
        op = Op(f"{name}_backward", forward.attrs if forward is not None else "",
                incoming + known, [], forward.module if forward is not None else "",
                forward.source if forward is not None else "")
        op.is_backward = True
        value = None
        for i, one in enumerate(gone):
            source = self._source_of(captured, forward, node, i)
            if one is not None:
                op.outputs.append(self._new(captured, one, RESULT, "", op, like=source))
            if i == at:
                value = source
        op.number = len(trace.ops)
        trace.ops.append(op)
        bad = gone[at].detach()
        bad = bad.isnan() if bool(bad.isnan().any()) else ~bad.isfinite()
        if value is None:
            value = op.outputs[0]
        inputs = [store.get(one) if one is not None else None
                  for one in (forward.inputs if forward is not None else ())]
        if value in (forward.inputs if forward is not None else ()) and len(inputs) > 1:
            first = forward.inputs.index(value)  # the operand whose gradient it is comes first
            inputs = [inputs[first]] + inputs[:first] + inputs[first + 1:]
            if name == "div" and first == 0:
                pass
            elif name == "div":
                inputs = [inputs[1], inputs[0]]
        outputs = [store.get(one) if one is not None else None
                   for one in (forward.outputs if forward is not None else ())]
        try:
            text = cause.of_gradient(name, inputs, outputs, came[0], gone[at], bad)
        except Exception:
            text = f"the gradient of {name} is not finite"
        origin = Origin(op, value, text)
        origin.is_gradient = True
        like = value if value.shape == tuple(bad.shape) else op.outputs[0]
        origin.units, origin.rows = places(bad, like, trace.n_batch)
        return origin

    def _source_of(self, captured, forward, node, i):
        """The forward value whose gradient a node's i-th is."""
        following = node.next_functions[i][0] if i < len(node.next_functions) else None
        if forward is None or following is None:
            return None
        for value in forward.inputs:
            tensor = captured.store.get(value) if value is not None else None
            if tensor is None:
                continue
            if (captured.store.node_of(value) is following
                    or getattr(following, "variable", None) is tensor):
                return value
        return None

    # ---- the probe ----

    def _send(self, captured, origin, loss, calls):
        """Make a probe of what was found."""
        trace, store = captured.trace, captured.store
        n_batch = trace.n_batch
        rows = rows_of(n_batch, N_ROWS, origin.rows if origin is not None else ())
        self._run._begin_step()
        builder = Builder.begin(self._run, FAILURE, -1, n_batch, rows)
        if builder is None:
            return
        try:
            ops = _around(trace, origin)
            if trace.is_cut or len(ops) < len(trace.ops):
                builder.cut()
            for value in _nearest_first(trace, origin, ops):
                builder.on_value(value, store.get(value))
            rng = self._owner.rng_of_step()
            if rng is not None:
                builder.constant("rng state", rng)
            builder.constant("torch seed", seed())
            first_row = self._owner.first_row(calls, n_batch)
            if first_row:
                builder.constant("first row", torch.tensor(first_row))
            for op in ops:
                builder.on_op(op)
            if loss is not None:
                builder.loss(loss)
            if origin is not None:
                if origin.is_replayed:
                    origin.is_exact = captured.replay.is_exact
                builder.origin(origin)
        except BaseException:
            builder.end(is_dropped=True)
            raise
        builder.end()


def _around(trace, origin):
    """The operations that are sent: of a huge step those before and just behind the origin."""
    ops = trace.ops
    if len(ops) <= MAX_OPS:
        return ops
    at = ops.index(origin.op) if origin is not None and origin.op is not None else 0
    first = min(max(0, at - MAX_OPS * 9 // 10), len(ops) - MAX_OPS)
    return ops[first:first + MAX_OPS]


def _nearest_first(trace, origin, ops):
    """Values of operations, those next to the origin first: they are kept while there is room."""
    if len(ops) < len(trace.ops):
        sent = dict.fromkeys(value for op in ops for value in (*op.inputs, *op.outputs)
                             if value is not None)
        near = set()
        if origin is not None:
            near = {origin.value, *origin.op.inputs} if origin.op is not None else {origin.value}
            sent.setdefault(origin.value)
        return sorted(sent, key=lambda value: value not in near)
    if origin is None:
        return trace.values
    order, waiting = {}, [origin.value] + (
        list(origin.op.inputs) + list(origin.op.outputs) if origin.op is not None else [])
    while waiting:
        value = waiting.pop(0)
        if value is None or value in order:
            continue
        order[value] = None
        if value.op is not None:
            waiting.extend(value.op.inputs)
    order.update(dict.fromkeys(trace.values))
    return list(order)
