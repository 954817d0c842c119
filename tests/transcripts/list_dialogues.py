#!/usr/bin/env python3
"""Writes one Catch2 test case for each dialogue file: list_dialogues.py FOLDER > transcript_cases.cpp

Without a second argument; with `--names` it prints the names of the files only, one a line.
"""
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.txt"))
if "--names" in sys.argv:
    print("\n".join(names))
    sys.exit()
print('#include "tests/support/catch.h"\n#include "tests/transcripts/runner.h"\n')
for name in names:
    case = name.removesuffix(".txt")
    print(f'TEST_CASE("{case}") {{ postern::transcripts::run_file(DIALOGUES "/{name}"); }}')
print("\nextern const std::size_t dialogue_count;")
print(f"const std::size_t dialogue_count = {len(names)};")
