# SPDX-License-Identifier: Apache-2.0
"""What a training loop computes before its models, read from its source and computed again.

No trace is under way between the loader and the first model, and the user's code must not be called
a second time: it may count, draw, write files. So the text of the functions under way is read, and
of what it says only what has no effect is done: names, numbers, operators, indexing, and calls of
torch's functions and of tensors' methods on copies; functions of the user's are read like the rest.
Whoever asks for a result compares it with what is known: a reading that is wrong is not believed.
Random numbers are drawn again only where it is known with what they began.

A name is worth what it holds now, unless the code has set it again since the line that is read:
then the statement that set it before is read.
"""
import ast
import builtins
import contextlib
import inspect
import operator
import types

import torch

from .harmless import (Cannot, attribute, bind, check_call, content, is_torch, may_call, plain,
                       same, write_into)
from .text import computes, names_set, own_nodes, tree_of
from .trace import is_users, locals_of

MAX_STEPS = 4000          # parts of the source that are read for one answer
MAX_CALLS = 8             # functions within each other
MAX_LOOKED_CALLS = 64
MAX_ITEMS = 4096          # of a comprehension
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
              ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
              ast.Pow: operator.pow, ast.MatMult: operator.matmul, ast.BitAnd: operator.and_,
              ast.BitOr: operator.or_, ast.BitXor: operator.xor}
_COMPARISONS = {ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
                ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
                ast.Is: operator.is_, ast.IsNot: operator.is_not}
_SIGNS = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert,
          ast.Not: operator.not_}
_BUILTINS = (int, float, bool, len, min, max, abs, sum, round, range, tuple, list, dict, slice, pow,
             enumerate, zip, reversed, sorted, isinstance)
class Reached(Exception):
    """The call that was looked for."""

    def __init__(self, args, kwargs):
        super().__init__()
        self.given = [*args, *kwargs.values()]


class _Returned(Exception):
    def __init__(self, value):
        super().__init__()
        self.value = value


class Reader:
    """Reads the functions under way; given: what a loader gave last, or None."""

    def __init__(self, frames, given=None, models=(), on_line=lambda path, line: None,
                 aside=contextlib.nullcontext):
        self.frames = [Frame(self, one) for one in frames]
        self.given = given
        self.may_draw = False         # random numbers, as they were drawn in the step
        self.models = models          # modules: their calls are not done, but reached
        self.where = None             # (file, line) that is read
        self.aside = aside            # gives a context: what is done there is no part of it
        self._on_line = on_line       # called with them
        self._n_steps = 0
        self._n_calls = 0

    def step(self):
        """Another part of the source is read."""
        self._n_steps += 1
        if self._n_steps > MAX_STEPS:
            raise Cannot("too much")

    @contextlib.contextmanager
    def line(self, path, number):
        """Within it, what is done is of a line."""
        was, self.where = self.where, (path, number)
        self._on_line(*self.where)
        try:
            yield
        finally:
            self.where = was
            if was is not None:
                self._on_line(*was)

    def call(self, function, args, kwargs):
        """Do a call that has no effect."""
        if any(function is one for one in self.models):
            raise Reached(args, kwargs)
        owner = getattr(function, "__self__", None)
        name = getattr(function, "__name__", "")
        if isinstance(owner, torch.Tensor):
            return self._method(owner, name, args, kwargs)
        if any(function is one for one in _BUILTINS):
            plain([*args, *kwargs.values()])
            return function(*args, **kwargs)
        if function is builtins.next and self.given is not None:
            return self.given
        if isinstance(function, torch.nn.Module):
            return self._module(function, args, kwargs)
        if isinstance(function, types.MethodType) and isinstance(function.__func__,
                                                                types.FunctionType):
            return self._read(function.__func__, (owner, *args), kwargs)
        if is_torch(function, name):
            check_call(name, args, kwargs, self.may_draw)
            return function(*args, **kwargs)
        if isinstance(function, types.FunctionType):
            return self._read(function, args, kwargs)
        if not isinstance(function, type) and isinstance(
                getattr(type(function), "__call__", None), types.FunctionType):
            return self._read(type(function).__call__, (function, *args), kwargs)
        raise Cannot(name or type(function).__name__)

    def _method(self, tensor, name, args, kwargs):
        if not may_call(name):
            raise Cannot(name)
        check_call(name, args, kwargs, self.may_draw)
        if name.endswith("_"):
            tensor = tensor.clone()
        return getattr(tensor, name)(*args, **kwargs)

    def _module(self, module, args, kwargs):
        forward = type(module).forward
        if is_users(forward.__code__.co_filename):
            return self._read(forward, (module, *args), kwargs)
        if any(True for _ in module.parameters()) or any(True for _ in module.buffers()) or (
                "dropout" in type(module).__name__.lower()):
            raise Cannot(type(module).__name__)
        return forward(module, *args, **kwargs)

    def _read(self, function, args, kwargs):
        is_own = is_users(function.__code__.co_filename)
        tree = tree_of(function.__code__) if is_own else None
        self._n_calls += 1
        if tree is None or self._n_calls > MAX_CALLS:
            raise Cannot(function.__name__)
        try:
            bound = inspect.signature(function).bind(*args, **kwargs)
            bound.apply_defaults()
            names = dict(zip(function.__code__.co_freevars,
                             (content(cell) for cell in function.__closure__ or ())))
            names.update(bound.arguments)
            local = Local(self, names, function.__globals__, function.__code__.co_filename)
            if isinstance(tree, ast.Lambda):
                return local.value(tree.body)
            local.do_all(tree.body)
            return None
        except _Returned as result:
            return result.value
        except TypeError as error:
            raise Cannot(str(error)) from None
        finally:
            self._n_calls -= 1


class Scope:
    """Reads expressions; who derives from it knows what names are worth."""

    def __init__(self, reader):
        self.reader = reader

    def name(self, name):
        """What a name is worth."""
        raise NotImplementedError

    def value(self, node):
        """What an expression is worth."""
        self.reader.step()
        read = getattr(self, "_of_" + type(node).__name__.lower(), None)
        if read is None:
            raise Cannot(type(node).__name__)
        try:
            return read(node)
        except (Cannot, Reached, _Returned):
            raise
        except Exception as error:   # of what was done: an index, a shape
            raise Cannot(repr(error)) from None

    def _of_constant(self, node):
        return node.value

    def _of_name(self, node):
        return self.name(node.id)

    def _of_binop(self, node):
        operands = self.value(node.left), self.value(node.right)
        plain(operands)
        return _OPERATORS[type(node.op)](*operands)

    def _of_unaryop(self, node):
        operand = self.value(node.operand)
        plain((operand,))
        return _SIGNS[type(node.op)](operand)

    def _of_boolop(self, node):
        result = None
        for one in node.values:
            result = self.value(one)
            if bool(result) == isinstance(node.op, ast.Or):
                break
        return result

    def _of_compare(self, node):
        left, result = self.value(node.left), True
        for sign, other in zip(node.ops, node.comparators):
            right = self.value(other)
            plain(() if isinstance(sign, (ast.Is, ast.IsNot)) else (left, right))
            one = (left in right if isinstance(sign, ast.In) else left not in right
                   if isinstance(sign, ast.NotIn) else _COMPARISONS[type(sign)](left, right))
            result, left = one if result is True else result & one, right
        return result

    def _of_ifexp(self, node):
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _of_tuple(self, node):
        return tuple(self._parts(node.elts))

    def _of_list(self, node):
        return list(self._parts(node.elts))

    def _parts(self, nodes):
        found = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                found.extend(self.value(node.value))
            else:
                found.append(self.value(node))
        return found

    def _of_dict(self, node):
        return {self.value(key): self.value(value) for key, value in zip(node.keys, node.values)}

    def _of_slice(self, node):
        return slice(*(self.value(one) if one is not None else None
                       for one in (node.lower, node.upper, node.step)))

    def _of_index(self, node):   # of older Pythons
        return self.value(node.value)

    def _of_subscript(self, node):
        value, index = self.value(node.value), self.value(node.slice)
        if not isinstance(value, (torch.Tensor, list, tuple, dict, str, range)) and not (
                type(value).__module__.split(".")[0] in ("numpy", "transformers")):
            raise Cannot(type(value).__name__)
        return value[index]

    def _of_attribute(self, node):
        return attribute(self.value(node.value), node.attr)

    def _of_namedexpr(self, node):
        return self.value(node.value)

    def _of_listcomp(self, node):
        return list(self._items(node, lambda scope: scope.value(node.elt)))

    _of_generatorexp = _of_listcomp

    def _of_dictcomp(self, node):
        return dict(self._items(node, lambda scope: (scope.value(node.key),
                                                     scope.value(node.value))))

    def _items(self, node, read):
        if len(node.generators) != 1:
            raise Cannot("comprehension")
        each = node.generators[0]
        items = self.value(each.iter)
        plain((items,))
        for n, item in enumerate(items):
            if n > MAX_ITEMS:
                raise Cannot("too much")
            inner = Inner(self, bind(each.target, item))
            if all(inner.value(one) for one in each.ifs):
                yield read(inner)

    def _of_call(self, node):
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("items", "values", "keys"):
            held = self.value(node.func.value)
            if isinstance(held, dict):
                return list(getattr(held, node.func.attr)())
        function = self.value(node.func)
        if function is builtins.next and self.reader.given is not None:
            return self.reader.given
        args = self._parts(node.args)
        kwargs = {}
        for one in node.keywords:
            if one.arg is None:
                kwargs.update(self.value(one.value))
            else:
                kwargs[one.arg] = self.value(one.value)
        return self.reader.call(function, args, kwargs)


class Inner(Scope):
    """The names of a comprehension."""

    def __init__(self, outer, names):
        super().__init__(outer.reader)
        self._outer = outer
        self._names = names

    def name(self, name):
        return self._names[name] if name in self._names else self._outer.name(name)


class Local(Scope):
    """A function that is read from its first statement on."""

    def __init__(self, reader, names, outside, path):
        super().__init__(reader)
        self._names = names
        self._globals = outside
        self._path = path

    def name(self, name):
        for held in (self._names, self._globals, vars(builtins)):
            if name in held:
                if isinstance(held[name], Cannot):
                    raise held[name]
                return held[name]
        raise Cannot(name)

    def do_all(self, statements):
        """Read statements in their order."""
        for statement in statements:
            try:
                with self.reader.line(self._path, statement.lineno):
                    self._do(statement)
            except Cannot as error:
                if isinstance(statement, ast.Return) or not names_set(statement):
                    if not isinstance(statement, ast.Expr):
                        raise
                for name in names_set(statement):   # a need for it ends the reading
                    self._names[name] = error

    def _do(self, statement):
        kind = type(statement).__name__
        if kind == "Return":
            raise _Returned(self.value(statement.value) if statement.value is not None else None)
        if kind == "Assign":
            value = self.value(statement.value)
            for target in statement.targets:
                self._set(target, value)
        elif kind == "AnnAssign" and statement.value is not None:
            self._set(statement.target, self.value(statement.value))
        elif kind == "AugAssign":
            target = statement.target
            operands = self.value(target), self.value(statement.value)
            plain(operands)
            value = _OPERATORS[type(statement.op)](*operands)
            self._set(target, value)
        elif kind == "Expr":
            value = self.value(statement.value)
            for name in names_set(statement):
                self._names[name] = value
        elif kind == "If":
            self.do_all(statement.body if self.value(statement.test) else statement.orelse)
        elif kind == "With":
            self.do_all(statement.body)
        elif kind not in ("Pass", "Assert", "Import", "ImportFrom", "FunctionDef", "AnnAssign"):
            raise Cannot(kind)

    def _set(self, target, value):
        if isinstance(target, ast.Subscript):
            self._names.update(write_into(self, target, value))
        elif not isinstance(target, ast.Attribute):
            self._names.update(bind(target, value))


class Frame(Scope):
    """A function under way: what its names hold now, or held before a line."""

    def __init__(self, reader, frame):
        super().__init__(reader)
        self.code = frame.f_code
        self.now = frame.f_lineno
        self.tree = tree_of(self.code)
        self._held = dict(locals_of(frame))
        self._globals = frame.f_globals
        self._at = self.now + 1        # line before which names are asked for
        self._known = {}
        self._under_way = set()
        self._setters = {}             # name: statements that set it, in the order of lines
        self._tests = {}               # statement within branches: [(test, whether it must hold)]
        self._is_run = {}              # statement: whether its branches are those that are taken
        self.nodes = list(own_nodes(self.tree)) if self.tree is not None else []
        for node in self.nodes:
            if isinstance(node, (ast.stmt, ast.NamedExpr)):
                for name in names_set(node):
                    self._setters.setdefault(name, []).append(node)
            if isinstance(node, ast.If):
                for part, holds in ((node.body, True), (node.orelse, False)):
                    for one in part:
                        for inner in (one, *own_nodes(one)):
                            self._tests.setdefault(inner, []).append((node.test, holds))
        for held in self._setters.values():
            held.sort(key=lambda node: node.lineno)

    def setters(self, name):
        """The statements up to where the function is that set a name, in the order of lines."""
        return [one for one in self._setters.get(name, ())
                if one.lineno <= self.now and self._is_taken(one)]

    def _is_taken(self, node):
        """Tell whether a statement's branches seem to be those that are taken."""
        known = self._is_run.get(node)
        if known is None:
            self._is_run[node] = known = True
            was = self.at(self.now + 1)
            try:
                with self.reader.aside():
                    known = all(bool(self.value(test)) == holds
                                for test, holds in self._tests.get(node, ()))
            except (Cannot, Reached):
                pass
            finally:
                self.at(was)
            self._is_run[node] = known
        return known

    def calls(self):
        """Calls in the function up to where it is, the last ones first: (statement, node)."""
        found = []
        for node in self.nodes:
            if isinstance(node, ast.stmt) and node.lineno <= self.now and not isinstance(
                    node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and (
                    self._is_taken(node)):
                heads = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)]
                found += [(node, one) for head in heads for one in ast.walk(head)
                          if isinstance(one, ast.Call)]
        found.sort(key=lambda pair: -pair[0].lineno)
        return found[:MAX_LOOKED_CALLS]

    def held(self):
        """The names of the function and what they hold now."""
        return self._held

    def at(self, line):
        """Names are asked for as they were before a line, from now on; gives what was before."""
        was, self._at = self._at, line
        return was

    def name(self, name):
        setters = self.setters(name)
        again = [one for one in setters if self._at <= one.lineno]
        if not again:
            return self._now(name)
        before = [one for one in setters if one.lineno < self._at]
        if not before:
            return self.argument(name)
        return self.set_by(name, before[-1])

    def _now(self, name):
        for held in (self._held, self._globals, vars(builtins)):
            if name in held:
                value = held[name]
                if isinstance(value, torch.Tensor) and held is not vars(builtins):
                    return self._deeper(name, value)
                return value
        raise Cannot(name)

    def _deeper(self, name, value):
        """What is not finite may be read further back."""
        setters = self.setters(name)
        if not setters or not computes(setters[-1]) or name in self._under_way:
            return value
        with self.reader.aside():
            if not value.is_floating_point() or bool(value.isfinite().all()):
                return value
        try:
            found = self.set_by(name, setters[-1])
        except (Cannot, Reached):
            return value
        with self.reader.aside():
            return found if same(found, value) else value

    def set_by(self, name, statement):
        """What a statement has set a name to."""
        key = name, statement.lineno
        if key in self._known:
            return self._known[key]
        if key in self._under_way:
            raise Cannot("a loop")
        self._under_way.update((key, name))
        was = self.at(statement.lineno)
        try:
            with self.reader.line(self.code.co_filename, statement.lineno):
                value = self._set_by(name, statement)
        finally:
            self.at(was)
            self._under_way.difference_update((key, name))
        self._known[key] = value
        return value

    def _set_by(self, name, statement):
        if isinstance(statement, ast.For):
            return self._loop(name, statement)
        if isinstance(statement, ast.AugAssign):
            left, right = self.value(statement.target), self.value(statement.value)
            plain((left, right))
            value = _OPERATORS[type(statement.op)](left, right)
            if isinstance(statement.target, ast.Subscript):
                return write_into(self, statement.target, value)[name]
            return value
        if isinstance(statement, ast.NamedExpr):
            return self.value(statement.value)
        value = self.value(statement.value)
        if isinstance(statement, ast.Expr):
            return value
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            if isinstance(target, ast.Subscript):
                found = write_into(self, target, value)
            else:
                found = bind(target, value)
            if name in found:
                return found[name]
        raise Cannot(name)

    def _loop(self, name, statement):
        """The variable of a loop over what a loader gives."""
        given, target = self.reader.given, statement.target
        if given is None:
            raise Cannot("a loop")
        call = statement.iter
        while isinstance(call, ast.Call):
            called = getattr(call.func, "id", getattr(call.func, "attr", ""))
            if called == "enumerate" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
                target = target.elts[1]
            call = call.args[0] if call.args else None
        found = bind(target, given)
        if name not in found:
            raise Cannot(name)
        return found[name]

    def argument(self, name):
        """What a function was called with, in the function around it."""
        frames = self.reader.frames
        at = next((i for i, one in enumerate(frames) if one is self), len(frames))
        if at + 1 >= len(frames) or isinstance(self.tree, (ast.Module, type(None))):
            raise Cannot(name)
        around = frames[at + 1]
        names = [one.arg for one in (*getattr(self.tree.args, "posonlyargs", ()),
                                     *self.tree.args.args)]
        for node in around.nodes:
            if not isinstance(node, ast.Call) or not (
                    node.lineno <= around.now <= (node.end_lineno or node.lineno)):
                continue
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if called != self.code.co_name:
                continue
            given = list(node.args)
            first = 1 if isinstance(node.func, ast.Attribute) and names[:1] == ["self"] else 0
            by_name = {one.arg: one.value for one in node.keywords}
            if name in by_name:
                return around.value(by_name[name])
            if name in names and 0 <= names.index(name) - first < len(given):
                return around.value(given[names.index(name) - first])
        raise Cannot(name)
