"""Runs every libFuzzer target of a build directory for a while; each is one test case of junit/fuzzers.xml.

    run_fuzzers.py BUILD_DIR SECONDS

A target `fuzz-line-reader` starts from the committed corpus tests/fuzz/corpus/line_reader, copied to a temporary folder
so that what it finds does not land in the work tree. A crashing input is kept in BUILD_DIR/fuzz-artifacts.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

SOURCES = pathlib.Path(__file__).resolve().parent.parent / "fuzz"
MEMORY_MB = 2048
OUTPUT_LINES = 60


def stem(source: pathlib.Path) -> str:
    return source.name.removesuffix("_fuzz.cpp")


def run(build: pathlib.Path, name: str, seconds: int) -> str:
    """Why the target failed, or the empty string."""
    program = build / "tests" / "fuzz" / ("fuzz-" + name.replace("_", "-"))
    corpus = SOURCES / "corpus" / name
    if not program.is_file():
        return f"{program} was not built: is it registered in tests/fuzz/meson.build?"
    if not corpus.is_dir() or not any(corpus.iterdir()):
        return f"{corpus} has no seed files"
    artifacts = build / "fuzz-artifacts" / name
    artifacts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="postern-fuzz-") as scratch:
        work = pathlib.Path(scratch) / "corpus"
        shutil.copytree(corpus, work)
        command = [
            str(program.resolve()),
            f"-max_total_time={seconds}",
            "-timeout=10",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={artifacts.resolve()}{os.sep}",
            "-print_final_stats=1",
            str(work),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=scratch,
                                  stdin=subprocess.DEVNULL, timeout=seconds + 120)
        except subprocess.TimeoutExpired:
            return f"still running {seconds + 120} s after its start"
    if done.returncode != 0:
        tail = "\n".join(done.stderr.splitlines()[-OUTPUT_LINES:])
        return f"exit code {done.returncode}; inputs are kept in {artifacts}\n{tail}"
    runs = [line for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
    if not runs or int(runs[0].split(":")[-1]) == 0:
        return "it executed no input"
    return ""


def main() -> int:
    build = pathlib.Path(sys.argv[1])
    seconds = int(sys.argv[2])
    names = sorted(stem(source) for source in SOURCES.glob("*_fuzz.cpp"))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        failures = list(pool.map(lambda name: run(build, name, seconds), names))
    suite = ET.Element("testsuite", name="fuzzers")
    for name, failure in zip(names, failures):
        case = ET.SubElement(suite, "testcase", classname="fuzz", name=name)
        print(name, "FAILED" if failure else "passed")
        if failure:
            printable = "".join(c if c.isprintable() or c == "\n" else "?" for c in failure)
            ET.SubElement(case, "failure", message=printable.splitlines()[0]).text = printable
            print(printable)
    (build / "junit").mkdir(exist_ok=True)
    ET.ElementTree(suite).write(build / "junit" / "fuzzers.xml", encoding="utf-8", xml_declaration=True)
    return 1 if any(failures) or not names else 0


if __name__ == "__main__":
    sys.exit(main())
