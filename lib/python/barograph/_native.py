# SPDX-License-Identifier: Apache-2.0
"""libbaro through ctypes: finding the library, and its C types and calls.

Nothing is loaded when this module is imported; load() does it once, when the first run opens.
"""
import ctypes
import glob
import os

VERSION = "0.1.0"  # the baro.h that the structures below were written from

MAX_DIMS = 8
NO_UNITS = -1
DTYPES = {  # element types by the name that both NumPy and torch use
    "float32": 1, "float64": 2, "float16": 3, "bfloat16": 4,
    "int8": 5, "int16": 6, "int32": 7, "int64": 8, "uint8": 9, "bool": 10,
}
ROLES = {"weight": 1, "grad": 2, "act": 3, "act_grad": 4, "update": 5, "input": 6, "opt": 7}
LEVELS = {"info": 1, "watch": 2, "alarm": 3}
RESUMES = {"append": 0, "overwrite": 1, "branch": 2}
SUMMARISERS = {None: 0, "here": 1, "daemon": 2}
MAX_STEP = 2**63 - 1
ETIMEOUT = -12


class Err(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("text", ctypes.c_char * 240)]


class Options(ctypes.Structure):
    _fields_ = [
        ("project", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("run_id", ctypes.c_char_p),
        ("config", ctypes.c_char_p),
        ("endpoint", ctypes.c_char_p),
        ("mode", ctypes.c_char_p),
        ("ring_dir", ctypes.c_char_p),
        ("ring_bytes", ctypes.c_uint64),
        ("resume", ctypes.c_int),
        ("resume_step", ctypes.c_int64),
        ("rank", ctypes.c_int),
        ("n_ranks", ctypes.c_int),
        # Left NULL: a callback from the sender's thread into an interpreter that is shutting
        # down could hang it.
        ("on_message", ctypes.c_void_p),
        ("payload", ctypes.c_void_p),
        ("budget", ctypes.c_double),
        ("key_file", ctypes.c_char_p),
        ("summarise", ctypes.c_int),
        ("is_steerable", ctypes.c_int),
    ]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("role", ctypes.c_int),
        ("dtype", ctypes.c_int),
        ("n_dims", ctypes.c_int),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("data", ctypes.c_void_p),
        ("unit_axis", ctypes.c_int),
        ("id", ctypes.c_uint32),
    ]


class Summarised(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "count", "n_nan", "n_pos_inf", "n_neg_inf", "n_zero")]
    _fields_ += [(name, ctypes.c_double) for name in (
        "min", "max", "mean", "var", "l1", "l2", "abs_max")]
    _fields_ += [("first_bad_unit", ctypes.c_int64), ("first_bad_row", ctypes.c_int64),
                 ("positive", ctypes.c_void_p), ("negative", ctypes.c_void_p),
                 ("hist_every", ctypes.c_uint32)]
    _fields_ += [(name, ctypes.c_void_p) for name in (
        "unit_mean", "unit_l2", "unit_abs_max", "unit_frac_zero", "unit_n_nonfinite")]
    _fields_ += [("update_ratio", ctypes.c_double), ("unit_change", ctypes.c_void_p)]


class Stats(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "n_pushed", "n_sent", "n_acked", "n_dropped", "n_bytes", "own_ns", "ring_used_bytes")]
    _fields_.append(("is_connected", ctypes.c_int))


class ProbeOptions(ctypes.Structure):
    _fields_ = [("step", ctypes.c_int64), ("reason", ctypes.c_int), ("n_batch", ctypes.c_int64),
                ("n_rows", ctypes.c_size_t), ("rows", ctypes.POINTER(ctypes.c_int64)),
                ("max_bytes", ctypes.c_size_t)]


class ProbeValue(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("kind", ctypes.c_int), ("dtype", ctypes.c_int),
                ("n_dims", ctypes.c_int), ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)), ("data", ctypes.c_void_p),
                ("batch_axis", ctypes.c_int), ("unit_axis", ctypes.c_int),
                ("keep", ctypes.c_int)]


class ProbeOp(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("module", ctypes.c_char_p),
                ("source", ctypes.c_char_p), ("attrs", ctypes.c_char_p),
                ("is_backward", ctypes.c_int), ("n_inputs", ctypes.c_size_t),
                ("n_outputs", ctypes.c_size_t), ("inputs", ctypes.POINTER(ctypes.c_int32)),
                ("outputs", ctypes.POINTER(ctypes.c_int32))]


class ProbeOrigin(ctypes.Structure):
    _fields_ = [("op", ctypes.c_int32), ("value", ctypes.c_int32),
                ("is_gradient", ctypes.c_int), ("is_replayed", ctypes.c_int),
                ("is_exact", ctypes.c_int), ("n_units", ctypes.c_size_t),
                ("n_rows", ctypes.c_size_t), ("units", ctypes.POINTER(ctypes.c_int64)),
                ("rows", ctypes.POINTER(ctypes.c_int64)), ("cause", ctypes.c_char_p)]


class NativeError(RuntimeError):
    """libbaro cannot be used; the text is one sentence for the user."""


_PROTOTYPES = {
    "baro_open": (ctypes.c_void_p, [ctypes.POINTER(Options), ctypes.POINTER(Err)]),
    "baro_step": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64]),
    "baro_take_back": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64]),
    "baro_scalar": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_double]),
    "baro_declare_scalar": (ctypes.c_int64, [ctypes.c_void_p, ctypes.c_char_p]),
    "baro_declare_tensor": (ctypes.c_int64, [ctypes.c_void_p, ctypes.POINTER(Tensor)]),
    "baro_scalar_at": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                      ctypes.c_double]),
    "baro_scalars": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
                                    ctypes.c_size_t]),
    "baro_turn": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
                                ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64]),
    "baro_scalar_id": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_double]),
    "baro_tensor": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(Tensor)]),
    "baro_tensors": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]),
    "baro_due": (ctypes.c_int64, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t,
                                  ctypes.c_void_p]),
    "baro_spent": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64]),
    "baro_has_spare": (ctypes.c_int, [ctypes.c_void_p]),
    "baro_is_finite": (ctypes.c_int, [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]),
    "baro_trouble": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int]),
    "baro_update": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(Tensor),
                                   ctypes.POINTER(Tensor)]),
    "baro_summary_at": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(Tensor), ctypes.c_int64,
                                       ctypes.POINTER(Summarised)]),
    "baro_batch": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]),
    "baro_batch_at": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
                                     ctypes.c_size_t]),
    "baro_samples": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
                                    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
                                    ctypes.c_size_t]),
    "baro_event": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]),
    "baro_rng": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_void_p,
                                ctypes.c_size_t]),
    "baro_should_stop": (ctypes.c_int, [ctypes.c_void_p]),
    "baro_should_pause": (ctypes.c_int, [ctypes.c_void_p]),
    "baro_should_dump": (ctypes.c_int, [ctypes.c_void_p]),
    "baro_lr_scale": (ctypes.c_double, [ctypes.c_void_p]),
    "baro_fail": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
    "baro_stats": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(Stats)]),
    "baro_news": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
    "baro_run_id": (ctypes.c_char_p, [ctypes.c_void_p]),
    "baro_ring_path": (ctypes.c_char_p, [ctypes.c_void_p]),
    "baro_close": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int]),
    "baro_strerror": (ctypes.c_char_p, [ctypes.c_int]),
    "baro_probe_begin": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.POINTER(ProbeOptions)]),
    "baro_probe_value": (ctypes.c_int64, [ctypes.c_void_p, ctypes.POINTER(ProbeValue)]),
    "baro_probe_op": (ctypes.c_int64, [ctypes.c_void_p, ctypes.POINTER(ProbeOp)]),
    "baro_probe_loss": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32]),
    "baro_probe_cut": (ctypes.c_int, [ctypes.c_void_p]),
    "baro_probe_origin": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(ProbeOrigin)]),
    "baro_probe_end": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int]),
    "baro_version": (ctypes.c_char_p, []),
}

_loaded = None  # (library, path) once found


def _newest_build(root):
    """Libraries in the build folders of the source tree, newest first."""
    found = glob.glob(os.path.join(glob.escape(root), "build*", "lib", "push", "libbaro.so"))
    found = [path for path in found if os.path.isfile(path)]  # set up, but not built yet
    for path in sorted(found, key=os.path.getmtime, reverse=True):
        with open(path, "rb") as library:
            content = library.read()
        # A sanitizer's run-time ends a process that loads it late: not for training.
        if not any(word in content for word in (b"libasan.so", b"libtsan.so", b"libclang_rt",
                                                b"__asan_init", b"__tsan_init")):
            yield path


def candidates():
    """Paths to try, best first; the last ones are left to the loader's own search."""
    chosen = os.environ.get("BARO_LIB")
    if chosen:
        if os.path.isdir(chosen):
            chosen = os.path.join(chosen, "libbaro.so")
        yield chosen
        return
    here = os.path.dirname(os.path.abspath(__file__))
    beside = os.path.join(here, "libbaro.so")
    if os.path.exists(beside):
        yield beside
    root = os.path.dirname(os.path.dirname(os.path.dirname(here)))
    if os.path.exists(os.path.join(root, "lib", "push", "baro.h")):
        yield from _newest_build(root)
    yield "libbaro.so.0"
    yield "libbaro.so"


def _bind(path):
    library = ctypes.CDLL(path)  # releases the GIL: a large tensor must not hold up threads
    try:
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
    except AttributeError as error:
        raise NativeError(f"'{path}' is not libbaro {VERSION}: {error}") from None
    # Calls of some ten nanoseconds keep the GIL: giving it up and asking for it again takes
    # longer, and another thread may keep it for milliseconds.
    brief = ctypes.PyDLL(path)
    for name in ("baro_scalar_id", "baro_scalars", "baro_step", "baro_turn",
                 "baro_rng", "baro_spent", "baro_has_spare", "baro_is_finite", "baro_should_stop",
                 "baro_should_pause", "baro_should_dump", "baro_lr_scale"):
        function = getattr(brief, name)
        function.restype, function.argtypes = _PROTOTYPES[name]
        setattr(library, name, function)
    library.baro_turn.argtypes = None  # _form.py gives it what is converted already
    version = library.baro_version().decode()
    if version.split(".")[:2] != VERSION.split(".")[:2]:
        raise NativeError(f"'{path}' is libbaro {version}, but this package needs {VERSION}; "
                          "build or install both from one source")
    return library


def load():
    """Find and bind libbaro; returns (library, path). Raises NativeError with one sentence."""
    global _loaded
    if _loaded is None:
        reasons = []
        for path in candidates():
            try:
                _loaded = (_bind(path), path)
                break
            except OSError as error:
                reasons.append(str(error))
        else:
            raise NativeError(f"libbaro was not found ({reasons[0]}); build it with "
                              "'ninja -C build', or set BARO_LIB to the path of libbaro.so")
    return _loaded
