"""Whoever types what a chapter shows, in its order, ends with its stage."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from tutorial.site.pages import Page, chapters
from tutorial.stages import load_snapshots, stage_files

CHAPTERS = chapters()
SKELETON = (
    "What you will learn",
    "Where you start",
    "Check your work",
    "What we left wrong on purpose",
    "Exercises",
    "The whole difference",
)
SKELETON_OF_AN_EXERCISE = (
    "The goal",
    "How your chat behaves then",
    "Two hints",
    "Check your work",
    "How we solved it",
    "What it gained",
    "What stays wrong",
    "The whole difference",
)

chapter = pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.path)


def test_each_stage_has_its_chapter():
    wanted = [(stage.id, stage.chapter) for stage in load_snapshots()]
    assert [(page.stage.id, page.path) for page in CHAPTERS] == wanted


@chapter
def test_a_chapter_has_the_parts_of_all_chapters_in_their_order(page):
    parts = SKELETON_OF_AN_EXERCISE if page.stage.is_exercise else SKELETON
    titles = re.findall(r"^## (.+?)(?: \{.*\})?$", page.source, re.MULTILINE)
    assert tuple(title for title in titles if title in parts) == parts


@chapter
def test_every_line_that_the_stage_changes_is_shown(page):
    edits = page.edits()
    for block in steps_of(page):
        edits.apply(block)
    missing = edits.missing()
    assert not missing, (
        f"{page.path} should show all that {page.stage.id} changes. It lacks "
        f"{len(missing)} lines, first:\n{missing[0]}"
    )


@chapter
def test_who_types_what_the_page_shows_has_the_stage(page, site, tmp_path):
    """Reads the built page as a person does, and nothing of how it was made."""
    mine = tmp_path / "mychat"
    if page.before:
        page.before.copy_to(mine)
    else:
        mine.mkdir()
    built = (site / page.path).with_suffix(".html").read_text("utf-8")
    soup = BeautifulSoup(built, "html.parser")
    for figure in soup.select("figure[data-step]"):
        if figure["data-step"] == "copy":
            shutil.copytree(
                page.stage.folder / figure["data-path"],
                mine / figure["data-path"],
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        else:
            follow(figure, mine / figure["data-path"])
    for folder in sorted((p for p in mine.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    wanted = {
        p: (page.stage.folder / p).read_bytes() for p in stage_files(page.stage.folder)
    }
    found = {
        p.relative_to(mine): p.read_bytes() for p in mine.rglob("*") if p.is_file()
    }
    assert sorted(found) == sorted(wanted)
    different = [str(path) for path in wanted if found[path] != wanted[path]]
    assert not different, f"After {page.path}, these differ from the stage: {different}"


def steps_of(page: Page):
    return [block for block in page.blocks if block.is_step]


def follow(figure, path: Path) -> None:
    """Do what one figure of a page says to the file at `path`."""
    label = figure.figcaption.get_text()
    kind = figure["data-step"]
    if kind == "delete":
        assert "delete" in label
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return
    blocks = [list(lines_of(code)) for code in figure.select("pre > code")]
    if kind == "new":
        assert "new file" in label
        assert not path.exists(), f"{path.name} is new, but it is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{text}\n" for block in blocks for _, text in block)
        path.write_bytes(text.encode())
        return
    assert "change" in label
    lines = path.read_text("utf-8").split("\n")[:-1]
    for block in blocks:
        before = [text for mark, text in block if mark != "ins"]
        after = [text for mark, text in block if mark != "del"]
        size = len(before)
        places = [
            at for at in range(len(lines) - size + 1) if lines[at : at + size] == before
        ]
        assert len(places) == 1, (
            f"{path.name} should have one place for this change, and has "
            f"{len(places)}:\n" + "\n".join(before)
        )
        lines[places[0] : places[0] + size] = after
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def lines_of(code):
    """Pairs of an element's name and the text of its line."""
    for line in code.find_all(class_="line", recursive=False):
        text = line.get_text()
        assert text.endswith("\n")
        yield line.name, text[:-1]


def test_a_step_that_is_not_shown_is_named():
    first, second = load_snapshots()[:2]
    source = "{{ step chat/views.py }}\n"
    page = Page("half.md", source, meta={"stage": second.id})
    edits = page.edits()
    for block in page.blocks:
        edits.apply(block)
    missing = edits.missing()
    assert "chatserver.py: no step shows it" in missing
    assert not [line for line in missing if line.startswith("chat/views.py")]
    assert first.id == page.before.id
