# SPDX-License-Identifier: Apache-2.0
"""The text of the user's functions: their trees, which names a statement sets, whether it computes."""
import ast
import linecache

MAX_SOURCE_BYTES = 1 << 20
_MOVES = {"to", "float", "double", "half", "bfloat16", "cpu", "cuda", "contiguous", "clone", "detach",
          "view", "reshape", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "long",
          "type", "from_numpy", "tensor", "as_tensor", "stack", "cat", "randn", "rand", "zeros",
          "ones", "randint", "load", "next", "iter", "item", "tolist", "pin_memory", "rearrange",
          "expand", "repeat", "index_select", "gather", "enumerate", "zip", "tqdm"}
_files = {}   # name of a file: its tree, or None


def tree_of(code):
    """The function (or file) in the source that some code was made of; None: it is not there."""
    name = code.co_filename
    if name not in _files:
        if len(_files) > 64:
            _files.clear()
        text = "".join(linecache.getlines(name))
        try:
            _files[name] = ast.parse(text) if 0 < len(text) <= MAX_SOURCE_BYTES else None
        except (SyntaxError, ValueError):
            _files[name] = None
    tree = _files[name]
    if tree is None or code.co_name == "<module>":
        return tree
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = {node.lineno, *(one.lineno for one in node.decorator_list)}
            if node.name == code.co_name and code.co_firstlineno in lines:
                found.append(node)
        elif isinstance(node, ast.Lambda) and code.co_name == "<lambda>":
            if node.lineno == code.co_firstlineno:
                found.append(node)
    return found[0] if len(found) == 1 else None


def own_nodes(tree):
    """The nodes of a function, without those of functions and classes within it."""
    waiting = list(ast.iter_child_nodes(tree)) if not isinstance(tree, ast.Lambda) else [tree.body]
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def names_set(statement):
    """The names that a statement sets or writes into."""
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign, ast.For, ast.NamedExpr)):
        targets = [statement.target]
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call, targets = statement.value.func, []
        is_written = False
        while isinstance(call, ast.Attribute):
            is_written |= call.attr.endswith("_") and not call.attr.startswith("_")
            call = call.value
            call = call.func if isinstance(call, ast.Call) else call
        while isinstance(call, ast.Subscript):
            call = call.value
        if is_written and isinstance(call, ast.Name):
            targets = [call]
    else:
        return set()
    found, waiting = set(), list(targets)
    while waiting:
        target = waiting.pop()
        if isinstance(target, (ast.Tuple, ast.List)):
            waiting.extend(target.elts)
        elif isinstance(target, (ast.Starred, ast.Subscript)):
            waiting.append(target.value)
        elif isinstance(target, ast.Name):
            found.add(target.id)
    return found


def computes(statement):
    """Tell whether a statement does more than to fetch numbers or to put them elsewhere."""
    value = getattr(statement, "value", None)
    if isinstance(statement, (ast.AugAssign, ast.Expr)):
        return True
    for node in ast.walk(value) if value is not None else ():
        if isinstance(node, ast.BinOp):
            return True
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name not in _MOVES:
                return True
    return False
