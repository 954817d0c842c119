"""The pages of the manual speak of what is there: links lead somewhere, and no reason for the end of a session is left out."""

import re
from pathlib import Path

import pytest

from harness.processes import environment, program, run, tool

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("packaging/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("https:"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", sorted(ROOT.glob("man/*.[1-8]")), ids=lambda page: page.name)
def test_manual_pages_are_sound(page):
    done = run([tool("mandoc"), "-T", "lint", "-W", "warning", page])
    assert done.returncode == 0, done.stdout + done.stderr
    assert page.name in (ROOT / "man/meson.build").read_text()
    assert f"man{page.suffix[1:]}/{page.name}*" in (ROOT / "packaging/rpm/postern.spec").read_text()


def session_ends():
    session = (ROOT / "lib/smtp/server_session.cpp").read_text()
    yield from re.findall(r'case SessionClosing::Why::\w+: return "([^"]+)"', session)
    for source in ROOT.glob("daemon/session/inbound*.cpp"):
        for outcome in re.findall(r"close_(?:now|politely)\(([^;]*)\);", source.read_text()):
            yield from re.findall(r'(?:^|[?:] )"([^":]+)[^"]*"', outcome)


def test_every_end_of_a_session_is_explained():
    page = (ROOT / "docs/troubleshooting.md").read_text()
    ends = set(session_ends())
    assert len(ends) > 20
    missing = {end for end in ends if f"`{end}`" not in page and f"`{end}: ...`" not in page}
    assert not missing


def test_every_refusal_in_our_own_words_is_explained():
    page = (ROOT / "docs/troubleshooting.md").read_text()
    named = re.findall(r'NamedReply \w+\{(\d+), "([^"]*)", "([^"]*)"\}', (ROOT / "lib/smtp/replies.h").read_text())
    refusals = {f"{code} {enhanced} {re.split('[,:;]', text)[0]}" for code, enhanced, text in named if int(code) >= 400}
    assert len(refusals) > 60
    assert {refusal for refusal in refusals if f"`{refusal}`" not in page} == set()
    quoted = set(re.findall(r"`([45]\d\d [45]\.\d+\.\d+ [^`]+)`", page))
    assert quoted <= refusals, "the page quotes what is not said"


def configurations_in(page):
    """What a page shows of posternd's configuration: whole ones, and pieces."""
    text = page.read_text()
    if page.suffix == ".md":
        yield from re.findall(r"```toml\n(.*?)```", text, re.S)
        return
    for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.S | re.M):
        lines = [line for line in block.splitlines() if not line.startswith(("$", "#"))]
        if any(re.match(r"\[\[?\w+", line) for line in lines):
            yield "\n".join(lines).replace(r"\e", "\\").replace(r"\&", "") + "\n"


SHOWN = [(page, number) for page in [*PAGES, *sorted(ROOT.glob("man/*.[1-8]"))] for number in range(len(list(configurations_in(page))))]


@pytest.mark.parametrize("page, number", SHOWN, ids=lambda value: str(getattr(value, "name", value)))
def test_a_configuration_that_is_shown_is_read(build, folder, page, number):
    """With what is missing in a piece put beside it; certificates are not there."""
    text = list(configurations_in(page))[number]
    if "hostname =" not in text.split("[", 1)[0].replace("hostname   =", "hostname ="):
        text = 'hostname = "mx1.example.net"\n' + text
    if not re.search(r'^\[\[listen\]\]((?!^\[).)*(25|465)', text, re.S | re.M):
        text += '[[listen]]\naddress = "127.0.0.1:2525"\ntls = "none"\n'
    for name in sorted(set(re.findall(r'^backend += "(\w+)"', text, re.M)) - set(re.findall(r'^name += "(\w+)"', text, re.M))):
        text += f'[[backend]]\nname = "{name}"\ndeliver = "lmtp"\nto = "unix:/run/lmtp"\n'
    (folder / "posternd.toml").write_text(text)
    (folder / "domains.txt").write_text("example.org\n")
    done = run([program(build, "posternd"), "--check", "-c", folder / "posternd.toml"], env=environment(MX_NAME="mx1.example.net"))
    errors = [line for line in done.stderr.splitlines() if re.search(r"posternd\.toml:\d+:\d+: ", line)]
    assert "posternd.toml" in done.stderr
    assert [line for line in errors if "is neither the id of a usable" not in line and "does not exist" not in line] == []


def test_every_rfc_of_the_dialogues_is_in_the_table():
    page = (ROOT / "docs/standards.md").read_text()
    folders = [path.name for path in (ROOT / "tests/transcripts/dialogues").glob("rfc*")]
    assert len(folders) > 8
    assert [name for name in folders if not re.search(rf"\b{name[3:]}\b", page)] == []


def synopses(page):
    """Of each form of a command in a manual page's synopsis: its words behind the program's name, and its options."""
    text = (ROOT / "man" / page).read_text()
    text = text[text.index(".Sh SYNOPSIS"):text.index(".Sh DESCRIPTION")]
    for form in text.split(".Nm")[1:]:
        words = re.findall(r"^\.Cm (.*)$", form, re.M)
        for command in words[0].split(" | ") if words else [""]:
            yield command, {option.lstrip("-") for option in re.findall(r"\bFl (\S+)", form)}


@pytest.mark.parametrize("page", ["posternd.8", "postern.1"])
def test_every_option_of_a_synopsis_has_one_paragraph(page):
    text = (ROOT / "man" / page).read_text()
    synopsis, _, rest = text[text.index(".Sh SYNOPSIS"):].partition(".Sh DESCRIPTION")
    explained = [option for item in re.findall(r"^\.It (Fl .*)$", rest, re.M) for option in re.findall(r"Fl (\S+)", item)]
    assert sorted(set(explained)) == sorted(explained)
    assert set(re.findall(r"\bFl (\S+)", synopsis)) - set(explained) == set()


def test_every_variable_of_the_environment_is_in_the_manual_page():
    sources = "".join(path.read_text() for path in ROOT.glob("daemon/**/*.cpp"))
    read = set(re.findall(r'(?:getenv|variable|number_in|meant_for_us)\("([A-Z_]+)"\)', sources))
    assert {"LISTEN_FDS", "NOTIFY_SOCKET", "JOURNAL_STREAM"} <= read
    page = (ROOT / "man/posternd.8").read_text()
    assert {name for name in read if not re.search(rf"\b{name}\b", page)} == set()


def options_of(path, *words):
    """What --help says: the options, and the sub-commands."""
    text = run([path, *words, "--help"]).stdout
    text, _, commands = text.partition("Subcommands:")
    options = set()
    for line in re.findall(r"^ +(-\S.*)$", text, re.M):
        names = re.split(r"[ ,]+", line)
        longest = [name for name in names if name.startswith("--")] or names
        shown = names[0].lstrip("-") if names[0] in ("-c",) else longest[0].lstrip("-")
        options.add(shown)
    return options - {"help", "version", "h"}, re.findall(r"^  (\w+) ", commands, re.M)


@pytest.mark.parametrize("name, page", [("posternd", "posternd.8"), ("postern", "postern.1")])
def test_every_option_is_in_the_manual_page_and_every_one_there_exists(build, name, page):
    path = program(build, name)
    documented = {}
    for command, options in synopses(page):
        documented.setdefault(command, set()).update(options)
    found, waiting = {}, [()]
    while waiting:
        words = waiting.pop()
        options, commands = options_of(path, *words)
        waiting += [(*words, command) for command in commands]
        if not commands:
            found[" ".join(words)] = options
    documented = {command: options - {"help", "version"} for command, options in documented.items()}
    assert {key: sorted(value) for key, value in documented.items() if key or name == "posternd"} == {
        key: sorted(value) for key, value in found.items()}
