#!/usr/bin/env python3
"""Writes one Catch2 test case for each dialogue file: list_dialogues.py FOLDER OUTPUT

An output that would not change is left alone, so that this can run in every build.
"""
import pathlib
import sys

folder, output = map(pathlib.Path, sys.argv[1:])
names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.txt"))
lines = ['#include "tests/support/catch.h"', '#include "tests/transcripts/runner.h"', ""]
for name in names:
    case = name.removesuffix(".txt")
    lines.append(f'TEST_CASE("{case}") {{ postern::transcripts::run_file(DIALOGUES "/{name}"); }}')
lines += ["", "extern const std::size_t dialogue_count;", f"const std::size_t dialogue_count = {len(names)};", ""]
text = "\n".join(lines)
if not output.exists() or output.read_text() != text:
    output.write_text(text)
