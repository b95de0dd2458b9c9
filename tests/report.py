#!/usr/bin/env python3
"""Prints what tests/run.sh has found: each failure with the end of its output, then the totals.

report.py DIRECTORY, in which there is for each configuration or check NAME
  NAME.json    Meson's testlog.json: one test an object, one object a line
  NAME.status  the exit status of `meson test`
  NAME.failed  the output of what failed outside Meson: a build, a check
  NAME.passed  a check that passed
  NAME.skipped what this machine cannot do, and why
"""
import json
import sys
from pathlib import Path

PASSED = {"OK", "EXPECTEDFAIL"}
TAIL = 60  # lines


class Report:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, 0

    def fail(self, name, why, output=""):
        self.failed += 1
        print(f"\nFAILED {name}: {why}")
        for line in output.splitlines()[-TAIL:]:
            print("  | " + line)

    def add_config(self, name, log, status):
        """One Meson configuration: the lines of its log, and the exit status of `meson test`."""
        failed_before, ran = self.failed, 0
        for line in log:
            try:
                test = json.loads(line)
                title, result = f"{name} / {test['name']}", test["result"]
            except (ValueError, KeyError, TypeError):
                self.fail(name, "unreadable line in the test log", line)
                continue
            if result == "SKIP":
                self.skipped += 1
                print(f"skipped {title}")
                continue
            ran += 1
            if result in PASSED:
                self.passed += 1
            else:
                why = f"{result}, exit status {test.get('returncode')}"
                self.fail(title, why, (test.get("stdout") or "") + (test.get("stderr") or ""))
        if ran == 0:
            self.fail(name, "no test was run")
        elif status != 0 and self.failed == failed_before:
            self.fail(name, f"every test passed, but `meson test` ended with {status}")


def read(path):
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def main(directory):
    sys.stdout.reconfigure(errors="backslashreplace")
    report = Report()
    for path in sorted(directory.iterdir()):
        if path.suffix == ".status":
            log = read(path.with_suffix(".json")).splitlines()
            report.add_config(path.stem, log, int(read(path)))
        elif path.suffix == ".failed":
            report.fail(path.stem, "the end of its output", read(path))
        elif path.suffix == ".passed":
            report.passed += 1
        elif path.suffix == ".skipped":
            report.skipped += 1
            print(f"skipped {path.stem}: {read(path).strip()}")
    print()
    skipped = f", {report.skipped} skipped" if report.skipped else ""
    print(f"{report.passed} passed, {report.failed} failed{skipped}")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
