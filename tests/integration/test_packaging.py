#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libbaro as it is installed: headers, pkg-config files, shared and static library. Prints TAP.

usage: test_packaging.py BUILD_DIR SOURCE_DIR
"""
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
LANGUAGES = {"c": ["cc", "-std=c99"], "c++": ["c++", "-std=c++11"]}


class Skip(Exception):
    """A case that cannot run here."""


def run(*command, **options):
    done = subprocess.run(command, text=True, capture_output=True, timeout=120, check=False,
                          **options)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def example():
    """The program in the manual page."""
    with open(os.path.join(SOURCE, "docs/man/libbaro.3.scd"), encoding="utf-8") as file:
        text = file.read().split("# EXAMPLE", 1)[1]
    return text.split("```")[1].replace("\\\\", "\\").lstrip()


class Place:
    """What `meson install` leaves below a folder."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="baro-package-")
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", self.folder)
        found = glob.glob(os.path.join(self.folder, "**", "pkgconfig", "baro.pc"),
                          recursive=True)
        assert len(found) == 1, found
        self.pkgconfig = os.path.dirname(found[0])
        self.libdir = os.path.dirname(self.pkgconfig)
        with open(found[0], encoding="utf-8") as file:
            prefix = re.search(r"^prefix=(.*)$", file.read(), re.M).group(1)
        self.prefix = self.folder + prefix

    def flags(self, package, *options):
        env = dict(os.environ, PKG_CONFIG_PATH=self.pkgconfig)
        return shlex.split(run("pkg-config", f"--define-variable=prefix={self.prefix}", "--cflags",
                               "--libs", *options, package, env=env))

    def build(self, language, package):
        """Build the example; returns the program's path."""
        source = os.path.join(self.folder, "example." + {"c": "c", "c++": "cc"}[language])
        program = os.path.join(self.folder, f"example-{language}-{package}")
        with open(source, "w", encoding="utf-8") as file:
            file.write(example())
        run(*LANGUAGES[language], *STRICT, source, *self.flags(package), "-o", program)
        return program

    def needed(self, program):
        return re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", program))

    def try_out(self, program):
        """Run it without a daemon; it must leave a ring."""
        rings = program + ".rings"
        env = {key: value for key, value in os.environ.items() if not key.startswith("BARO_")}
        env.update(LD_LIBRARY_PATH=self.libdir, BARO_DIR=self.folder + "/data",
                   BARO_RING_DIR=rings, BARO_RING_BYTES="1M", BARO_MODE="offline")
        done = subprocess.run([program], env=env, text=True, capture_output=True, timeout=60,
                              check=False)
        assert done.returncode == 1 and not done.stderr, done  # 1: all of it is in the ring
        left = os.listdir(rings)
        assert len(left) == 1 and left[0].endswith(".ring"), left


PLACE = None


def test_the_example_of_the_manual_builds_and_runs_with_the_shared_library():
    for language in LANGUAGES:
        program = PLACE.build(language, "baro")
        assert "libbaro.so.0" in PLACE.needed(program), PLACE.needed(program)
        PLACE.try_out(program)


def test_the_example_of_the_manual_builds_and_runs_with_the_static_library():
    for language in LANGUAGES:
        program = PLACE.build(language, "baro-static")
        assert not any("baro" in name for name in PLACE.needed(program)), PLACE.needed(program)
        PLACE.try_out(program)


def test_the_static_library_shows_what_the_shared_one_does():
    def names(output):
        return sorted(set(re.findall(r" [A-Z] (\w+)", output)) - {"BARO_0"})
    shared = names(run("nm", "-D", "--defined-only", os.path.join(PLACE.libdir, "libbaro.so")))
    static = names(run("nm", "-g", "--defined-only", os.path.join(PLACE.libdir, "libbaro.a")))
    assert shared == static and "baro_open" in shared, (shared, static)


def test_the_shared_library_has_its_soname_and_depends_on_nothing_unexpected():
    library = os.path.join(PLACE.libdir, "libbaro.so")
    dynamic = run("readelf", "-d", library)
    assert re.search(r"\(SONAME\).*\[libbaro\.so\.0\]", dynamic), dynamic
    assert "NODELETE" in dynamic, dynamic
    known = {"libzmq.so.5", "libprotobuf-c.so.1", "libc.so.6", "libm.so.6", "libpthread.so.0",
             "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libgcc_s.so.1"}
    assert set(PLACE.needed(library)) <= known, PLACE.needed(library)


def test_each_installed_header_compiles_alone_in_every_language():
    for header in ("baro.h", "baro_types.h"):
        for compiler in (["cc", "-std=c99", "-xc"], ["cc", "-std=gnu17", "-xc"],
                         ["c++", "-std=c++11", "-xc++"], ["c++", "-std=c++20", "-xc++"]):
            run(*compiler, *STRICT, "-fsyntax-only",
                "-I" + os.path.join(PLACE.prefix, "include"), "-",
                input=f"#include <{header}>\nint main(void) {{ return 0; }}\n")


def main():
    global PLACE
    with open(os.path.join(BUILD, "lib", "push", "libbaro.so"), "rb") as library:
        content = library.read()
    tools = ("cc", "c++", "meson", "pkg-config", "nm", "readelf")
    missing = [tool for tool in tools if not shutil.which(tool)]
    if b"__asan_init" in content or b"__tsan_init" in content or missing:
        print(f"1..0 # SKIP {'no ' + missing[0] if missing else 'built with a sanitizer'}")
        return
    tests = [(name[5:], test) for name, test in globals().items() if name.startswith("test_")]
    print(f"1..{len(tests)}", flush=True)
    PLACE = Place()
    n_failed = 0
    try:
        for number, (name, test) in enumerate(tests, 1):
            try:
                test()
                print(f"ok {number} - {name}", flush=True)
            except Exception as error:  # told, and the next one is tried
                n_failed += 1
                print(f"not ok {number} - {name}\n# " + str(error).replace("\\n", "\n# "))
    finally:
        shutil.rmtree(PLACE.folder, ignore_errors=True)
    sys.exit(1 if n_failed else 0)


if __name__ == "__main__":
    main()
