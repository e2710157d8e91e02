"""A page of docs/, read for what it shows: steps, code, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mkdocs.utils.meta import get_data

from tutorial.site.edits import (
    Change,
    EditError,
    FileEdit,
    Hunk,
    Line,
    put_in,
    ranges,
    read_lines,
    words,
)
from tutorial.site.places import PlaceError, find_place
from tutorial.stages import ROOT, Stage, find_stage, load_snapshots, stage_files

DOCS = ROOT / "docs"

DIRECTIVE = re.compile(r"(?P<indent> *)\{\{ (?P<body>.+?) \}\} *")
FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`]*)")
ATTRIBUTE = re.compile(r'(?P<name>\w+)(?:="(?P<text>[^"]*)")?')

# The languages of blocks that are run. A diff is what readers do in their editor.
RUN = ("console", "pycon", "diff")


class PageError(Exception):
    """A page says something that cannot be built. The text names page and line."""


@dataclass(frozen=True)
class Fence:
    """A fenced block. `line` counts from 1; `body` is without the page's indent."""

    line: int
    end: int
    indent: str
    language: str
    attributes: dict[str, str]
    body: tuple[str, ...]

    @property
    def notrun(self) -> str | None:
        """Why the block is not run; None if it is."""
        return self.attributes.get("notrun")

    @property
    def edits(self) -> str | None:
        """The path of the file that the block edits; None for any other block."""
        return self.attributes.get("edits") if self.language == "diff" else None

    @property
    def is_step(self) -> bool:
        """Whether the block is a step of the chapter, on the way to its stage."""
        return bool(self.edits) and "step" in self.attributes

    @property
    def is_short(self) -> bool:
        """Whether the page has shown the like before, and now says it in a line."""
        return "again" in self.attributes

    @property
    def hunk(self) -> Hunk:
        """The change of a block that edits. A bare line is an empty one that stays."""
        lines, old, new = [], 0, 0
        for text in self.body:
            mark = text[:1] or " "
            old, new = old + (mark != "+"), new + (mark != "-")
            lines.append(Line(mark, text[1:], old * (mark != "+"), new * (mark != "-")))
        return Hunk(tuple(lines), "")


@dataclass(frozen=True)
class Directive:
    """A line such as {{ step chatserver.py HttpChat }}."""

    line: int
    indent: str
    name: str
    arguments: tuple[str, ...]

    @property
    def is_step(self) -> bool:
        """Whether the reader types what it shows."""
        return self.name in ("step", "delete", "copy")


@dataclass(frozen=True)
class Listing:
    """Code as it stands in a stage, with where it is from."""

    path: str
    label: str
    parts: tuple[tuple[int, int], ...]
    lines: tuple[str, ...]


@dataclass
class Page:
    """One Markdown page. `path` is relative to docs/."""

    path: str
    source: str
    line_offset: int = 0
    meta: dict = field(default_factory=dict)

    @classmethod
    def read(cls, path: str) -> Page:
        """Read a page from docs/."""
        whole = (DOCS / path).read_text("utf-8")
        text, meta = get_data(whole)
        return cls(path, text, whole.count("\n") - text.count("\n"), meta)

    @cached_property
    def stage(self) -> Stage | None:
        """The stage that the page is the chapter of."""
        name = self.meta.get("stage")
        return find_stage(name) if name else None

    @cached_property
    def before(self) -> Stage | None:
        """The stage that the chapter starts from; None for the first."""
        if self.stage is None or not self.stage.builds_on:
            return None
        return find_stage(self.stage.builds_on)

    @cached_property
    def blocks(self) -> list[Fence | Directive]:
        """Fences and directives, in the page's order."""
        return list(self._scan())

    def _scan(self) -> Iterator[Fence | Directive]:
        lines = self.source.split("\n")
        at = 0
        while at < len(lines):
            if match := FENCE.fullmatch(lines[at]):
                start = at
                closing = match["indent"] + match["ticks"]
                at += 1
                while at < len(lines) and lines[at].rstrip() != closing:
                    at += 1
                if at == len(lines):
                    raise self.error(start + 1, "this block does not end")
                yield self._fence(match, start, at, lines[start + 1 : at])
            elif match := DIRECTIVE.fullmatch(lines[at]):
                name, *arguments = words(match["body"])
                if name in BLOCK_DIRECTIVES:
                    yield Directive(at + 1, match["indent"], name, tuple(arguments))
            at += 1

    def _fence(self, match, start, end, body) -> Fence:
        info = match["info"].strip()
        language, _, rest = info.partition(" ")
        attributes = {m["name"]: m["text"] or "" for m in ATTRIBUTE.finditer(rest)}
        cut = len(match["indent"])
        return Fence(
            start + 1,
            end + 1,
            match["indent"],
            language,
            attributes,
            tuple(line[cut:] for line in body),
        )

    def error(self, line: int, text: str) -> PageError:
        """A PageError that names page and line; `line` as a block has it."""
        return PageError(f"{self.path}:{line + self.line_offset}: {text}")

    def edits(self) -> Edits:
        """A fresh account of what the page's steps change."""
        return Edits(self)

    def listing(self, block: Directive) -> Listing:
        """The code that a {{ code }} directive names. Raises PageError."""
        arguments = list(block.arguments)
        stage, label = self.stage, ""
        if arguments[:1] == ["before"]:
            arguments.pop(0)
            stage = self.before
            label = f"as {stage.short} has it" if stage else ""
        if not arguments:
            raise self.error(block.line, "code needs a file")
        path, *selectors = arguments
        if self.stage is None:
            folder, _, path = path.removeprefix("exercises/").partition("/")
            try:
                stage = find_stage(folder)
            except LookupError as error:
                raise self.error(block.line, str(error)) from error
            label = stage.short
        if stage is None:
            raise self.error(block.line, "there is no stage before this one")
        file = stage.folder / path
        if not file.is_file():
            raise self.error(block.line, f"{stage.id} has no {path}")
        try:
            lines = read_lines(file)
            parts = list(_parts(lines, selectors, path))
        except (EditError, PlaceError) as error:
            raise self.error(block.line, str(error)) from error
        return Listing(path, label, tuple(parts), tuple(lines))


BLOCK_DIRECTIVES = (
    "step",
    "delete",
    "copy",
    "code",
    "green",
    "left_wrong",
    "picture",
    "plot",
    "lab-table",
    "free-threads",
    "versions",
    "tested",
)


def _parts(lines: list[str], selectors: list[str], path: str):
    if not selectors:
        yield 1, len(lines)
    for first, last in ranges(selectors):
        yield find_place(lines, first, path).first, find_place(lines, last, path).last


class Edits:
    """The files of a chapter's step, as its reader has them after each directive."""

    def __init__(self, page: Page):
        self.page = page
        self.old = page.before.folder if page.before else None
        self.new = page.stage.folder
        self.files: dict[str, FileEdit] = {}
        self.deleted: set[str] = set()
        self.copied: set[str] = set()

    def apply(self, block: Directive | Fence) -> Change:
        """The change that a directive makes, or a block that is a step.

        Raises PageError.
        """
        if isinstance(block, Fence):
            return self._edit(block)
        if not block.arguments:
            raise self.page.error(block.line, f"{block.name} needs a path")
        path, *selectors = block.arguments
        try:
            if block.name == "delete":
                return self._delete(path)
            if block.name == "copy":
                return self._copy(path)
            if path not in self.files:
                self.files[path] = FileEdit.between(path, self.old, self.new)
            if self.files[path].deleted and not selectors:
                raise EditError(f"{path} goes as a whole: use delete.")
            return self.files[path].show(selectors)
        except (EditError, PlaceError) as error:
            raise self.page.error(block.line, str(error)) from error

    def _edit(self, block: Fence) -> Change:
        path = block.edits
        try:
            if path not in self.files:
                self.files[path] = FileEdit.between(path, self.old, self.new)
            now = put_in(block.hunk, self.files[path].text())
            # What is left to do begins from here.
            self.files[path] = FileEdit.onward(path, now, self.new)
        except EditError as error:
            raise self.page.error(block.line, f"{path}: {error}") from error
        return Change(path, "change", (block.hunk,))

    def _delete(self, path: str) -> Change:
        gone = self.old and (self.old / path).exists()
        if not gone or (self.new / path).exists():
            raise EditError(f"{path} does not go in this step.")
        self.deleted.add(path)
        return Change(path, "delete")

    def _copy(self, path: str) -> Change:
        if (self.old and (self.old / path).exists()) or not (self.new / path).is_dir():
            raise EditError(f"{path} is no folder that comes in this step.")
        self.copied.add(path)
        return Change(path, "copy")

    def missing(self) -> list[str]:
        """The lines that the stage changes and the page does not show.

        One sentence each: file, sign, line; or the file, if it is not there at all.
        """
        stage = self.page.stage
        if self.old is None:
            changed = [path.as_posix() for path in stage_files(self.new)]
            removed = []
        else:
            changed, removed = [*stage.adds, *stage.changes], list(stage.removes)
        found = []
        for path in changed:
            edit = self.files.get(path)
            if self.copied & set(map(str, Path(path).parents)):
                continue
            if edit is None:
                found.append(f"{path}: no step shows it")
            else:
                found += [f"{path}: {line.mark}{line.text}" for line in edit.missing]
        for path in removed:
            gone = {path, *(str(parent) for parent in Path(path).parents)}
            edit = self.files.get(path)
            if not gone & self.deleted and (edit is None or edit.missing):
                found.append(f"{path}: no step deletes it")
        return found


def all_pages() -> list[Page]:
    """Every page that is written by hand, in the order of their paths."""
    return [
        Page.read(path.relative_to(DOCS).as_posix())
        for path in sorted(DOCS.rglob("*.md"))
    ]


def chapters() -> list[Page]:
    """The pages that are the chapter of a stage or an exercise, in their order."""
    order = {stage.id: stage.number for stage in load_snapshots()}
    found = [page for page in all_pages() if page.stage]
    return sorted(found, key=lambda page: order[page.stage.id])
