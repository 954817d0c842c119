#!/usr/bin/env python3
"""Completions for a shell, from what a program says with --help: make_completions.py bash|zsh|fish PROGRAM OUTPUT."""

import dataclasses
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True  # the folder of the sources stays as it is
import shells  # noqa: E402


@dataclasses.dataclass
class Option:
    names: list           # ["-c", "--config"]
    value: str            # "FILE", or empty: it takes none
    choices: list         # of the value; empty: anything
    repeats: bool
    description: str


@dataclasses.dataclass
class Command:
    words: list           # ["log", "level"]; empty: the program itself
    description: str
    options: list = dataclasses.field(default_factory=list)
    arguments: list = dataclasses.field(default_factory=list)    # Option without names
    commands: list = dataclasses.field(default_factory=list)     # the next words, as Command


def entries(lines):
    """(heading, entry, description) of each entry of a help text; a description may stand below."""
    heading, found = "", []
    for line in lines:
        if line and not line.startswith(" "):
            heading = line.rstrip(":")
        elif re.match(r"  \S", line):
            entry, *rest = re.split(r"\s{2,}", line.strip(), maxsplit=1)
            found.append([heading, entry, rest[0] if rest else ""])
        elif line.startswith("    ") and found:
            found[-1][2] = f"{found[-1][2]} {line.strip()}".strip()
    return found


def choices_of(value):
    """"TEXT:{1h,24h}" and "served|shadowed" say what there is to choose from; "DOMAIN|HOST:PORT" does not."""
    braces = re.search(r"\{(.*)\}", value)
    if braces:
        return braces.group(1).split(",")
    return value.split("|") if re.fullmatch(r"[a-z0-9-]+(\|[a-z0-9-]+)+", value) else []


def option_of(entry, description):
    names, *more = entry.split()
    value = more[0].partition("=")[0] if more and not re.fullmatch(r"\w+:|REQUIRED|\.\.\.", more[0]) else ""
    return Option(names.split(","), value, choices_of(value), "..." in more, description)


def read(program, words=(), description=""):
    text = subprocess.run([program, *words, "--help"], check=True, capture_output=True, text=True).stdout
    command = Command(list(words), description)
    for heading, entry, about in entries(text.splitlines()):
        if heading == "Options":
            command.options.append(option_of(entry, about))
        elif heading == "Positionals":
            command.arguments.append(option_of(entry, about))
        elif heading == "Subcommands":
            command.commands.append(read(program, [*words, entry], about))
    assert command.options, f"{program} {' '.join(words)} --help lists no options:\n{text}"
    return command


def main():
    shell, program, output = sys.argv[1:]
    command = read(str(pathlib.Path(program).resolve()))
    pathlib.Path(output).write_text(shells.WRITERS[shell](pathlib.Path(program).name, command), encoding="utf-8")


main()
