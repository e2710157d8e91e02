"""A mutant: one small edit of one file, by position, so the rest keeps its text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """Put `new` in the place of what stands from `start` to `end`.

    Both count bytes of the file's UTF-8. `kind` says in a few words what the edit does.
    """

    kind: str
    start: int
    end: int
    new: str

    def apply(self, text: str) -> str:
        """The text of the file with the edit."""
        data = text.encode()
        return (data[: self.start] + self.new.encode() + data[self.end :]).decode()


@dataclass(frozen=True)
class Mutant:
    """An edit of `file`, a path in a snapshot, whose text is `text`."""

    file: str
    text: str
    edit: Edit

    @property
    def mutated(self) -> str:
        """The text of the file with the mistake in it."""
        return self.edit.apply(self.text)

    @property
    def line(self) -> int:
        """The line in which the mistake begins, from 1."""
        return self.text.encode()[: self.edit.start].count(b"\n") + 1

    @property
    def was(self) -> str:
        """The lines that the mistake changes, as they were, in one line."""
        return one_line(self._changed()[0])

    @property
    def becomes(self) -> str:
        """What those lines become, in one line; empty if they go."""
        return one_line(self._changed()[1])

    def _changed(self) -> tuple[list[str], list[str]]:
        """The lines that go, and those that come in their place."""
        before, after = self.text.splitlines(), self.mutated.splitlines()
        matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
        blocks = [code for code in matcher.get_opcodes() if code[0] != "equal"]
        if not blocks:
            return [], []
        first, last = blocks[0], blocks[-1]
        return before[first[1] : last[2]], after[first[3] : last[4]]

    def diff(self) -> str:
        """The mistake as a small diff."""
        before, after = self.text.splitlines(), self.mutated.splitlines()
        lines = difflib.unified_diff(before, after, self.file, self.file, "", "", 1, "")
        return "\n".join(lines)

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: {self.edit.kind}: {self.was} -> {self.becomes}"
        )


def one_line(lines: list[str] | str) -> str:
    """Lines as one, without their indentation."""
    text = lines if isinstance(lines, str) else " ".join(lines)
    return re.sub(r"\s+", " ", text).strip()


def mutants_of(file: str, text: str) -> list[Mutant]:
    """Every mutant of a file, by what its name ends with; none of what is unknown.

    No two of them give the same text, and none gives the text as it was. Raises
    ImportError for a page or a script where no parser is installed that reads it.
    """
    from tests.mutation import pages, programs

    found, seen = [], {text}
    for edit in _edits(file, text, programs, pages):
        mutated = edit.apply(text)
        if mutated not in seen:
            seen.add(mutated)
            found.append(Mutant(file, text, edit))
    return found


def _edits(file: str, text: str, programs, pages) -> Iterator[Edit]:
    if file.endswith(".py"):
        yield from programs.edits(text)
    elif file.endswith(".js"):
        yield from pages.script_edits(text)
    elif file.endswith(".html"):
        yield from pages.template_edits(text)
