"""Adds up what the test programs reported, prints every failure, and last the line `N passed, N failed`.

    tally.py [--programs BUILD_DIR:SUITE,SUITE]... [--junit FILE]...

--programs counts the Catch2 programs of those suites after `meson test --logbase check`: their cases from
BUILD_DIR/junit/*.xml, and besides them every program that crashed, timed out, left no results, was not run, or failed
after its last case (as a leak check does). --junit counts one JUnit file; a missing one means that its program died.

What was skipped counts as failed: a test that cannot run proves nothing. No tests at all is a failure too.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

OUTPUT_LINES = 80


@dataclass
class Tally:
    passed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)  # what, why

    def fail(self, what: str, why: str) -> None:
        self.failures.append((what, why.strip() or "no message"))


def tail(text: str) -> str:
    return "\n".join(text.splitlines()[-OUTPUT_LINES:])


def complaint(case: ET.Element) -> str | None:
    """Why a case did not pass: all that its failure, error and skipped elements say."""
    reasons = []
    for kind in ("failure", "error", "skipped"):
        for element in case.findall(kind):
            message, detail = element.get("message") or "", (element.text or "").strip()
            reasons.append(f"{kind}: " + (detail if message in detail else f"{message}\n{detail}"))
    return "\n".join(reasons) if reasons else None


def count_junit(path: pathlib.Path, where: str, tally: Tally) -> int:
    """Counts the file's cases; gives back how many of them did not pass."""
    try:
        root = ET.parse(path).getroot()
    except FileNotFoundError:
        tally.fail(where, f"{path} was not written: the program died before its end")
        return 1
    except ET.ParseError as error:
        tally.fail(where, f"{path} is cut off or no XML ({error}): the program died before its end")
        return 1
    cases = list(root.iter("testcase"))
    if not cases:
        tally.fail(where, f"{path} has no test cases")
        return 1
    bad = 0
    for case in cases:
        reason = complaint(case)
        if reason is None:
            tally.passed += 1
        else:
            bad += 1
            tally.fail(f"{where}: {case.get('classname') or ''} {case.get('name') or ''}", tail(reason))
    return bad


def results_file(command: list[str]) -> pathlib.Path | None:
    """Where a test program was told to write its JUnit results (Catch2's -o)."""
    if "-o" in command[:-1]:
        return pathlib.Path(command[command.index("-o") + 1])
    return None


def count_programs(build: pathlib.Path, suites: list[str], tally: Tally) -> None:
    listing = subprocess.run(["meson", "introspect", str(build), "--tests"], check=True, capture_output=True, text=True)
    wanted = [test for test in json.loads(listing.stdout)
              if set(suites) & {suite.split(":")[-1] for suite in test["suite"]}]
    log = build / "meson-logs" / "check.json"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    ran = {}
    for line in lines:
        record = json.loads(line)
        ran[record["name"].split(" / ")[-1]] = record
    for test in wanted:
        where = f"{build}: {test['name']}"
        record = ran.get(test["name"])
        if record is None:
            tally.fail(where, f"was not run: see {build}/check-programs.log")
            continue
        results = results_file(test["cmd"])
        bad = count_junit(results, where, tally) if results else 0
        if record["result"] == "OK":
            tally.passed += 0 if results else 1
            continue
        ending = f"the program ended with {record['result']}, exit code {record['returncode']}"
        said = "\n".join(filter(None, (tail(record.get("stdout", "")), tail(record.get("stderr", "")))))
        if not bad:
            tally.fail(where, f"{ending}\n{said}")
        else:
            what, why = tally.failures[-1]
            tally.failures[-1] = (what, f"{why}\n{ending}\n{said}".rstrip())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", action="append", default=[], metavar="BUILD_DIR:SUITE,SUITE")
    parser.add_argument("--junit", action="append", default=[], metavar="FILE")
    arguments = parser.parse_args()

    tally = Tally()
    for tree in arguments.programs:
        build, _, suites = tree.partition(":")
        count_programs(pathlib.Path(build), suites.split(","), tally)
    for file in arguments.junit:
        path = pathlib.Path(file)
        count_junit(path, f"{path.parent.parent}: {path.stem}", tally)

    for what, why in tally.failures:
        print(f"\nFAILED {what}")
        for line in why.splitlines():
            print(f"    {line}")
    if tally.failures:
        print()
    if not tally.passed and not tally.failures:
        print("no tests were run")
    print(f"{tally.passed} passed, {len(tally.failures)} failed")
    return 1 if tally.failures or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
