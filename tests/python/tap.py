# SPDX-License-Identifier: Apache-2.0
"""A small TAP runner: every function test_* of a file is a case; its name is the sentence."""
import os
import shutil
import sys
import tempfile
import traceback

SOURCE_DIR = os.environ.get("BARO_SOURCE_DIR") or os.path.dirname(os.path.dirname(
    os.path.dirname(os.path.abspath(__file__))))
BUILD_DIR = os.environ.get("BARO_BUILD_DIR") or os.path.join(SOURCE_DIR, "build")
sys.path.insert(0, os.path.join(SOURCE_DIR, "lib", "python"))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import leftovers  # noqa: E402


class Skip(Exception):
    """A case that cannot run here; the text says why."""


def built(*parts):
    """Path of something in the build folder; Skip when it has not been built."""
    path = os.path.join(BUILD_DIR, *parts)
    if not os.path.exists(path):
        raise Skip(f"{os.path.join(*parts)} is not built")
    return path


def _is_sanitized():
    try:
        with open(os.path.join(BUILD_DIR, "lib", "push", "libbaro.so"), "rb") as library:
            content = library.read()
    except OSError:
        return False
    return b"__asan_init" in content or b"__tsan_init" in content


def prepare():
    """A private data folder and the library of this build; nothing starts by itself."""
    folder = tempfile.mkdtemp(prefix="baro-py-")
    leftovers.guard(folder)
    for name in [name for name in os.environ if name.startswith("BARO_")]:
        if name not in ("BARO_SOURCE_DIR", "BARO_BUILD_DIR"):
            del os.environ[name]
    os.environ["BARO_DIR"] = os.path.join(folder, "data")
    os.environ["BARO_RING_DIR"] = os.path.join(folder, "rings")
    os.environ["BARO_RING_BYTES"] = str(8 << 20)
    os.environ["BARO_AUTOSTART"] = "0"
    os.environ["BARO_LIB"] = os.path.join(BUILD_DIR, "lib", "push", "libbaro.so")
    os.environ["PYTHONPATH"] = os.path.join(SOURCE_DIR, "lib", "python")
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    return folder


def main(cases, needs_library=True):
    """Run the cases of a module's globals(); exits 1 when one failed."""
    if needs_library and _is_sanitized():
        print("1..0 # SKIP a sanitizer's library cannot be loaded by Python")
        return
    tests = [(name[5:], one) for name, one in cases.items() if name.startswith("test_")]
    chosen = sys.argv[1:]
    tests = [test for test in tests if not chosen or test[0] in chosen]
    print(f"1..{len(tests)}", flush=True)
    n_failed = 0
    for number, (name, test) in enumerate(tests, 1):
        folder = prepare()
        try:
            test()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except BaseException:
            n_failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            sys.stdout.flush()
        finally:
            for line in leftovers.end(folder):
                print("# was left: " + line, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if n_failed else 0)
