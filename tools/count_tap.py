#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Count passed and failed cases: of TAP files, and of meson's testlog.json files.

A test program that crashed, timed out or printed no case counts as one failure.
usage: count_tap.py FILE...   prints "PASSED FAILED SKIPPED", then a line for each failure
"""
import json
import re
import sys

CASE = re.compile(r"^(not ok|ok)\b[ \d]*(?:- )?(.*)$")


def count(text, where, failures):
    passed = failed = skipped = 0
    for line in text.split("\n"):
        case = CASE.match(line.strip())
        if not case:
            continue
        if "# skip" in case.group(2).lower():
            skipped += 1
        elif case.group(1) == "ok":
            passed += 1
        else:
            failed += 1
            failures.append(f"{where}: {case.group(2)}")
    return passed, failed, skipped


def main():
    totals = [0, 0, 0]
    failures = []
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if name.endswith(".json"):
            tests = [json.loads(line) for line in text.split("\n") if line.strip()]
            parts = [(t["name"], t.get("stdout", ""), t["result"]) for t in tests]
        else:
            parts = [(name, text, None)]
        for where, output, result in parts:
            counts = list(count(output, where, failures))
            is_broken = result not in (None, "OK", "SKIP", "EXPECTEDFAIL")
            if (is_broken and counts[1] == 0) or (sum(counts) == 0 and result != "SKIP"):
                counts[1] += 1
                failures.append(f"{where}: ended with {result or 'no case at all'}")
            totals = [a + b for a, b in zip(totals, counts)]
    print(*totals)
    print("\n".join(failures))


if __name__ == "__main__":
    main()
