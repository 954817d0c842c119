"""What the shells offer after `postern`: held against what it says with --help, by asking bash, zsh and fish themselves."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.processes import environment, program, run, tool
from harness.wait import LIMIT

MAKER = Path(__file__).resolve().parents[2] / "packaging/completions/make_completions.py"


@pytest.fixture(scope="module")
def completions(build, tmp_path_factory):
    """Makes the file of one shell for one program, as the build does."""
    folder = tmp_path_factory.mktemp("completions")

    def make(shell, name):
        path = folder / {"bash": name, "zsh": f"_{name}", "fish": f"{name}.fish"}[shell]
        done = run([sys.executable, "-B", MAKER, shell, program(build, name), path])
        assert done.returncode == 0, done.stderr
        return path
    return make


class Help:
    """What a program says of a command."""

    def __init__(self, build, name, *words):
        text = run([program(build, name), *words, "--help"]).stdout
        assert "Usage:" in text
        self.line = " ".join([name, *words])
        listed = re.findall(r"^  (-\S+)", text, re.MULTILINE)
        self.options = {option for entry in listed for option in entry.split(",")}
        inner = text.partition("\nSubcommands:\n")[2].partition("\n\n")[0]
        self.commands = re.findall(r"^  (\w+)", inner, re.MULTILINE)


@pytest.fixture(scope="module")
def helps(build):
    """Of both programs and every command."""
    found = [Help(build, "posternd")]

    def walk(*words):
        found.append(Help(build, "postern", *words))
        for command in found[-1].commands:
            walk(*words, command)
    walk()
    assert len(found) > 14 and {"postern log level", "postern sni"} <= {one.line for one in found}
    return found


# A value that is to be chosen, options before the command, a value that looks like a command, a finished option.
CHOICES = {
    "postern sni --window ": {"1h", "24h", "7d"},
    "postern certs --state ex": {"expired"},
    "postern log level ": {"error", "warning", "info", "debug"},
    "postern log level --json d": {"debug"},
    "postern certs --name status --st": {"--state"},
    "postern sessions --match certs --wa": {"--watch"},
    "postern sta": {"status"},
}


def compare(offered, helps):
    """`offered(lines)`: for each line that ends where somebody presses TAB, what is offered."""
    lines = [f"{one.line} -" for one in helps] + [f"{one.line} --" for one in helps]
    lines += [f"{one.line} " for one in helps if one.commands] + list(CHOICES)
    answers = dict(zip(lines, offered(lines), strict=True))
    for one in helps:
        assert answers[f"{one.line} -"] == one.options, one.line
        assert answers[f"{one.line} --"] == {option for option in one.options if option.startswith("--")}, one.line
        if one.commands:
            assert answers[f"{one.line} "] == set(one.commands), one.line
    for line, wanted in CHOICES.items():
        assert answers[line] == wanted, line


def answers_in(text):
    """Sets of lines, each ended by a line with a dot."""
    answers, rows = [], set()
    for row in text.splitlines():
        if row == ".":
            answers.append(rows)
            rows = set()
        elif row:
            rows.add(row)
    return answers


def test_bash(completions, helps, folder):
    files = [completions("bash", name) for name in ("postern", "posternd")]
    (folder / "a file.toml").touch()

    def offered(lines):
        script = "".join(f"source {path}\n" for path in files)
        for line in lines:
            words = " ".join(f"'{word}'" for word in line.split(" "))
            function = f"_{line.split()[0]}"
            script += f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); {function}; printf '%s\\n' \"${{COMPREPLY[@]}}\"; echo .\n"
        done = run([tool("bash"), "--norc", "--noprofile"], stdin=script.encode(), cwd=folder)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return answers_in(done.stdout)
    compare(offered, helps)
    assert offered(["posternd -c a", "postern certs --config = a", "postern sni --window = 2", "postern certs --json --config ="]) == [
        {"a file.toml"}, {"a file.toml"}, {"24h"}, {"a file.toml"}]


def test_fish(completions, helps, folder):
    files = [completions("fish", name) for name in ("postern", "posternd")]
    (folder / "a-file.toml").touch()

    def offered(lines):
        script = "".join(f"source {path}\n" for path in files)
        script += "".join(f"complete -C '{line}'; echo .\n" for line in lines)
        done = run([tool("fish"), "--no-config"], stdin=script.encode(), cwd=folder,
                   env=environment(HOME=str(folder), XDG_CONFIG_HOME=str(folder), TERM="dumb"))
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return [{row.partition("\t")[0] for row in answer} for answer in answers_in(done.stdout)]
    compare(offered, helps)
    assert offered(["posternd -c a", "postern sni --window=2"]) == [{"a-file.toml"}, {"--window=24h"}]


ZSH = """
PS1='' RPS1='' ; unsetopt zle_bracketed_paste prompt_cr prompt_sp ; setopt no_beep
fpath=(%(files)s $fpath); autoload -Uz compinit; compinit -u -D
zstyle ':completion:*' menu no
compadd() {
  local -a found; local -i end=${@[(i)-(|-)]}
  if [[ "${(j: :)@[1,end]}" == *-[OAD]\\ * ]]; then builtin compadd "$@"; return; fi
  builtin compadd -A found "$@"
  (( $#found )) && print -rl -- $found >>%(answers)s
  builtin compadd "$@"
}
end-of-answer() { print . >>%(answers)s; BUFFER= }
zle -N end-of-answer; bindkey '^X^E' end-of-answer; bindkey '^I' complete-word
print ready >>%(answers)s
"""


def test_zsh(completions, helps, folder):
    files = {completions("zsh", name).parent for name in ("postern", "posternd")}
    answers, setup = folder / "answers", folder / "setup"
    answers.touch()
    setup.write_text(ZSH % {"files": " ".join(map(str, files)), "answers": answers})
    ours, theirs = pty.openpty()
    shell = subprocess.Popen([tool("zsh"), "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, start_new_session=True,
                             env=environment(HOME=str(folder), TERM="xterm", COLUMNS="200", LINES="50"))
    shown = []

    def type_and_wait(text, there):
        os.write(ours, text.encode())
        until = time.monotonic() + LIMIT
        while not there(answers.read_text()):
            assert time.monotonic() < until and shell.poll() is None, (text, answers.read_text(), b"".join(shown))
            if select.select([ours], [], [], 0.01)[0]:  # what it shows must be read, or it stops
                shown.append(os.read(ours, 65536))

    def offered(lines):
        for number, line in enumerate(lines):
            type_and_wait(f"{line}\t\x18\x05", lambda text, number=number: len(answers_in(text)) == number + 1)
        return answers_in(answers.read_text())
    try:
        type_and_wait(f"source {setup}\n", lambda text: "ready" in text)
        answers.write_text("")
        compare(offered, helps)
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
        os.close(theirs)
