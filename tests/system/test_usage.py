"""A command line that is wrong: exit code 2, which word it was, and which was probably meant."""

import pytest

from harness.processes import program, run

WRONG = {
    "postern statsu": '"statsu" is no command here; did you mean status?',
    "postern log lvel": '"lvel" is no command here; did you mean level?',
    "postern certs --nmae mx.example.com": '"--nmae" is no option here; did you mean --name?',
    "postern status now": '"now" is no argument here',
    "postern certs --state old": 'expected served, shadowed, expired, not-yet-valid, incomplete, failed; found "old"',
    "postern log level loud": 'expected error, warning, info, debug; found "loud"',
    "postern sni --window 3h": 'expected 1h, 24h, 7d; found "3h"',
    "postern probe 192.0.2.1:25": "NAME:PORT --connect ADDRESS",
    "postern": "a command is needed",
    "postern dns": "name a domain, or say --all",
    "posternd --chek": '"--chek" is no option here; did you mean --check?',
    "posternd --user nobody": "--user requires --check",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_line(build, line):
    name, *arguments = line.split()
    done = run([program(build, name), *arguments])
    assert done.returncode == 2 and done.stdout == "", done.stdout
    assert done.stderr.startswith(f"{name}: ") and WRONG[line] in done.stderr, done.stderr
