"""The site as plain Markdown: built by mkdocs alone, it says the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.site.links import dead_links, loaded_from_elsewhere, pages_of, soup_of
from tutorial.cli import main
from tutorial.site import plain
from tutorial.site.edits import Change, Hunk, Line
from tutorial.site.expand import PlainExpansion
from tutorial.site.pages import DOCS, Listing, Page, all_pages
from tutorial.site.portable import COLOURS

thorough = pytest.mark.thorough


def test_a_change_is_a_block_as_git_shows_it():
    lines = (Line(" ", "a", 1, 1), Line("-", "b", 2, 0), Line("+", "", 0, 2))
    shown = plain.step(Change("x/y.py", "change", (Hunk(lines, "C.f"),)), None)
    assert shown == "**`x/y.py`**, change, in `C.f`\n\n```diff\n a\n-b\n+\n```"


def test_a_file_that_is_new_is_a_block_of_its_language():
    lines = (Line("+", "a = 1", 0, 1),)
    shown = plain.step(Change("x/y.py", "new", (Hunk(lines, ""),)), None)
    assert shown == "**`x/y.py`**, new file\n\n```py\na = 1\n```"
    assert plain.step(Change("x.py", "new"), None) == "**`x.py`**, new file, empty"


def test_what_goes_or_is_copied_is_a_sentence():
    assert "this goes" in plain.step(Change("x", "delete"), None)
    assert "is not typed" in plain.step(Change("x", "copy"), None)


def test_what_lies_between_two_parts_is_seen_to_be_left_out():
    shown = Listing("a.css", "as stage 1 has it", ((1, 1), (3, 3)), ("x", "y", "z"))
    assert plain.listing(shown).endswith("as stage 1 has it\n\n```css\nx\n⋯\nz\n```")


def test_a_block_ends_with_more_ticks_than_its_lines_have():
    assert plain.fence("md", ["````sh"]) == "`````md\n````sh\n`````"


def test_what_a_page_shows_stays_as_deep_as_it_was():
    text = '??? note\n\n    {{ green "Wake all" }}\n\n    After.'
    said = PlainExpansion(Page("page.md", text), {}).markdown()
    assert "\n    All is green: **Wake all**\n" in said
    assert said.endswith("\n    After.")


def test_the_site_is_written_into_no_folder_that_holds_something(tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("of somebody\n")
    for folder in (tmp_path, kept):
        result = CliRunner().invoke(main, ["site", "expand", str(folder)])
        assert (result.exit_code, "is no empty folder" in result.output) == (1, True)
    assert kept.read_text() == "of somebody\n"


def test_another_theme_has_each_colour_that_ours_brings():
    ours = [*(DOCS / "css").glob("*.css"), *(DOCS / "js").rglob("*.js")]
    text = "".join(path.read_text("utf-8") for path in ours)
    assert set(re.findall(r"var\(--md-([\w-]+)", text)) == set(COLOURS)


@pytest.fixture(scope="module")
def expanded(tmp_path_factory) -> Path:
    """The folder that holds docs/ and mkdocs.yml."""
    folder = tmp_path_factory.mktemp("plain") / "site of ours"
    result = CliRunner().invoke(main, ["site", "expand", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def built(expanded, tmp_path_factory) -> Path:
    """The same, built where nothing of this repository is in reach."""
    away = tmp_path_factory.mktemp("away")
    words = ["build", "--strict", "-f", expanded / "mkdocs.yml", "-d", away / "site"]
    done = subprocess.run(
        [sys.executable, "-I", "-m", "mkdocs", *words],
        cwd=away,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return away / "site"


@thorough
def test_plain_mkdocs_with_its_own_theme_builds_it(built):
    names = {
        page.relative_to(built).with_suffix(".md").as_posix()
        for page in pages_of(built)
    }
    assert {page.path for page in all_pages()} < names
    assert dead_links(built) == []
    assert loaded_from_elsewhere(built) == []


@thorough
def test_nothing_is_left_to_fill_in(expanded):
    for path in (expanded / "docs").rglob("*.md"):
        text = path.read_text("utf-8")
        code = re.compile(r"^( *)(`{3,})[^`]*?^\1\2$", re.MULTILINE | re.DOTALL)
        prose = re.sub(r"`[^`\n]+`", "", code.sub("", text))
        if path.parent.name != "diff":  # code in HTML, and no directive
            assert not re.findall(r".*\{\{.*", prose), path.name
        assert not re.findall(r"siteblock\d|generated\d{4}in", text), path.name
        assert "only-dark" not in text, path.name


@thorough
def test_all_code_of_our_site_is_on_the_plain_one(site, built):
    def lines(page: Path, shown: str) -> set[str]:
        text = "\n".join(block.get_text() for block in soup_of(page).select(shown))
        return {line.lstrip("+-− ").rstrip() for line in text.splitlines()}

    ours = 0
    for page in pages_of(site):
        wanted = lines(page, "figure.code pre, div.highlight pre")
        there = lines(built / page.relative_to(site), "pre")
        assert not wanted - there, page.name
        ours += len(wanted)
    assert ours > 5000
