"""The pages of the manual speak of what is there: links lead somewhere, and no reason for the end of a session is left out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("packaging/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("https:"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def session_ends():
    session = (ROOT / "lib/smtp/server_session.cpp").read_text()
    yield from re.findall(r'case SessionClosing::Why::\w+: return "([^"]+)"', session)
    for source in ROOT.glob("daemon/session/inbound*.cpp"):
        yield from re.findall(r'close_now\("([^":]+)', source.read_text())


def test_every_end_of_a_session_is_explained():
    page = (ROOT / "docs/troubleshooting.md").read_text()
    ends = set(session_ends())
    assert len(ends) > 20
    missing = {end for end in ends if f"`{end}`" not in page and f"`{end}: ...`" not in page}
    assert not missing


def test_every_rfc_of_the_dialogues_is_in_the_table():
    page = (ROOT / "docs/standards.md").read_text()
    folders = [path.name for path in (ROOT / "tests/transcripts/dialogues").glob("rfc*")]
    assert len(folders) > 8
    assert [name for name in folders if not re.search(rf"\b{name[3:]}\b", page)] == []
