# SPDX-License-Identifier: Apache-2.0
"""Running somebody's script as Python itself would: it is __main__, and stays so until the end."""
import importlib.util
import io
import os
import runpy
import sys
import types


class NotFound(Exception):
    """There is no such module; the text says so."""


def run_file(path, arguments):
    """Run a script, or a folder or archive that holds a __main__.py."""
    sys.argv = [path] + arguments
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    if not os.path.isfile(path) or path.endswith((".zip", ".pyz")):
        runpy.run_path(path, run_name="__main__")
        return
    main = _new_main(os.path.abspath(path))
    with io.open_code(path) as file:
        source = file.read()
    exec(compile(source, main.__file__, "exec", dont_inherit=True), main.__dict__)


def run_module(name, arguments):
    """Run a module as `python -m` does; of a package its __main__."""
    sys.argv = [name] + arguments
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.getcwd()
    spec = _find(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = _find(f"{name}.__main__")
    if spec is None or not hasattr(spec.loader, "get_code"):
        raise NotFound(f"there is no module '{name}'")
    code = spec.loader.get_code(spec.name)
    main = _new_main(spec.origin)
    main.__spec__, main.__package__, main.__loader__ = spec, spec.parent, spec.loader
    sys.argv[0] = spec.origin
    exec(code, main.__dict__)


def _find(name):
    try:
        return importlib.util.find_spec(name)
    except (ModuleNotFoundError, ValueError):
        return None


def _new_main(path):
    """Children that are spawned look at __main__ to import the script, pickle to find classes."""
    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__builtins__ = sys.modules["builtins"]
    main.__dict__["__cached__"] = None
    sys.modules["__main__"] = main
    return main


def trace_of_script(error):
    """The traceback of what a script raised, without the frames that called it."""
    ours = os.path.dirname(os.path.abspath(__file__)) + os.sep
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(
            (ours, "<frozen runpy", runpy.__file__)):
        trace = trace.tb_next
    return trace
