"""The change of one file from a stage to the next, shown piece by piece.

git says which lines go and which come. A page shows some of them, then others, until
none is left: whoever follows it has the next stage.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tutorial.site.places import Ambiguous, Place, PlaceError, find_place

CONTEXT = 2  # lines shown around a change; more where it would fit in two places


class EditError(Exception):
    """A page asks for what the stages do not have. The text says what."""


@dataclass(frozen=True)
class Line:
    """One line of the change: " " stays, "-" goes, "+" comes.

    `old` and `new` count from 1; they are 0 where the line is not in that version.
    """

    mark: str
    text: str
    old: int
    new: int


@dataclass(frozen=True)
class Hunk:
    """A change that is shown, with lines around it that are there already."""

    lines: tuple[Line, ...]
    inside: str  # the function or class that it lies in, "" for none

    @property
    def before(self) -> list[str]:
        """What the reader has."""
        return [line.text for line in self.lines if line.mark != "+"]

    @property
    def after(self) -> list[str]:
        """What the reader makes of it."""
        return [line.text for line in self.lines if line.mark != "-"]


@dataclass(frozen=True)
class Change:
    """What one step does to one file. `kind`: "new", "change", "delete" or "copy"."""

    path: str
    kind: str
    hunks: tuple[Hunk, ...] = ()


def read_lines(path: Path | None) -> list[str]:
    """The lines of a text file without their ends; none for None or a missing file.

    Raises EditError for a file whose last line has no end: a page could not show it.
    """
    if path is None or not path.exists():
        return []
    # newline="" keeps "\r", which a learner could not see either.
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    if "\r" in text or (text and not text.endswith("\n")):
        raise EditError(f"{path.name} has lines that do not end in a plain newline.")
    return text.split("\n")[:-1]


def script(old: list[str], new: list[str]) -> list[Line]:
    """Every line of both versions, in the order in which git would merge them."""
    marks = _marks(old, new)
    lines, at_old, at_new = [], 0, 0
    for mark in marks:
        at_old += mark != "+"
        at_new += mark != "-"
        text = old[at_old - 1] if mark == "-" else new[at_new - 1]
        lines.append(
            Line(
                mark,
                text,
                at_old if mark != "+" else 0,
                at_new if mark != "-" else 0,
            )
        )
    if (at_old, at_new) != (len(old), len(new)):
        raise EditError("git's diff does not cover both files.")
    return lines


def _marks(old: list[str], new: list[str]) -> list[str]:
    if old == new or not old or not new:
        same = old == new
        return [" "] * len(old) if same else ["-"] * len(old) + ["+"] * len(new)
    git = shutil.which("git")
    if git is None:
        raise EditError("git is missing, and it does the comparing.")
    with tempfile.TemporaryDirectory() as passing:
        paths = Path(passing, "old"), Path(passing, "new")
        for path, lines in zip(paths, (old, new), strict=True):
            path.write_bytes("".join(f"{line}\n" for line in lines).encode())
        everything = f"--unified={len(old) + len(new)}"
        command = [git, "diff", "--no-index", "--no-color", "--no-ext-diff", everything]
        command += ["--histogram", "--", *map(str, paths)]
        done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode != 1:
        raise EditError("git could not compare two versions of a file.")
    _, _, body = done.stdout.partition("\n@@ ")
    return [line[:1] for line in body.split("\n")[1:-1]]


@dataclass
class FileEdit:
    """The change of one file, and how much of it a page has shown so far."""

    path: str
    lines: list[Line]
    new_file: bool
    deleted: bool = False
    shown: set[int] = field(default_factory=set)

    @classmethod
    def between(cls, path: str, old: Path | None, new: Path) -> FileEdit:
        """The change of the file at `path` from folder `old` (or nothing) to `new`.

        Raises EditError when it is in neither.
        """
        old_path = old / path if old else None
        was, is_there = bool(old_path and old_path.is_file()), (new / path).is_file()
        if not was and not is_there:
            raise EditError(f"{path} is in neither stage.")
        lines = script(read_lines(old_path), read_lines(new / path))
        return cls(path, lines, new_file=not was, deleted=was and not is_there)

    @classmethod
    def onward(cls, path: str, now: list[str], new: Path) -> FileEdit:
        """The change from a reader's own version to the one in folder `new`."""
        lines = script(now, read_lines(new / path))
        deleted = not (new / path).is_file()
        return cls(path, lines, new_file=False, deleted=deleted)

    @property
    def missing(self) -> list[Line]:
        """The changed lines that were not shown yet."""
        return [
            line
            for index, line in enumerate(self.lines)
            if line.mark != " " and index not in self.shown
        ]

    def text(self) -> list[str]:
        """The file as the reader has it now."""
        return [line.text for _, line in self._visible(self.shown)]

    def _visible(self, applied: set[int]) -> list[tuple[int, Line]]:
        return [
            (index, line)
            for index, line in enumerate(self.lines)
            if line.mark == " " or (line.mark == "+") == (index in applied)
        ]

    def show(self, selectors: list[str]) -> Change:
        """Show what `selectors` name and was not shown yet; without any, all of it.

        After the word "added" only what comes: what goes waits for a later step.
        Raises EditError when there is nothing new to show, PlaceError for no place.
        """
        started = bool(self.shown) or not self.new_file
        marks = "+" if selectors[:1] == ["added"] else "+-"
        selectors = selectors[marks == "+" :]
        wanted = self._select(selectors) - self.shown
        wanted = {index for index in wanted if self.lines[index].mark in marks}
        empty = not self.lines and self.new_file and not self.shown
        if not wanted and not empty:
            raise EditError(
                f"{self.path}: nothing new at {' '.join(selectors) or 'all'}."
            )
        wanted |= self._blank_before_what_stays(wanted)
        wanted |= self._blank_in_the_place_of_more(wanted) - self.shown
        hunks = tuple(self._hunks(wanted))
        self.shown |= wanted or {-1}
        return Change(self.path, "change" if started else "new", hunks)

    # What the selectors name.

    def _select(self, selectors: list[str]) -> set[int]:
        if not selectors:
            return set(range(len(self.lines)))
        found: set[int] = set()
        for first, last in ranges(selectors):
            found |= self._span(first, last)
        return found

    def _span(self, first: str, last: str) -> set[int]:
        start, end = self._place(first)[0], self._place(last)[1]
        if first == last and start == end and first.startswith('"'):
            return self._block(start)
        if end < start:
            raise EditError(f"{self.path}: {last} comes before {first}.")
        start, end = self._with_removed(start), self._with_blank(start, end)
        return set(range(start, end + 1)) | self._blank_above(start)

    def _place(self, selector: str) -> tuple[int, int]:
        """Where a selector points in the script: in the new version, else the old."""
        errors = []
        for side in ("new", "old"):
            lines = [line for line in self.lines if getattr(line, side)]
            try:
                place = find_place([line.text for line in lines], selector, self.path)
            except Ambiguous:
                raise
            except PlaceError as error:
                errors.append(str(error))
                continue
            indexes = [i for i, line in enumerate(self.lines) if getattr(line, side)]
            return indexes[place.first - 1], indexes[place.last - 1]
        raise EditError(errors[0])

    def _block(self, index: int) -> set[int]:
        if self.lines[index].mark == " ":
            raise EditError(
                f"{self.path}: the line {self.lines[index].text.strip()!r} does not "
                "change here."
            )
        found = {index}
        for step in (-1, 1):
            at = index + step
            while 0 <= at < len(self.lines) and self.lines[at].mark != " ":
                found.add(at)
                at += step
        return found

    def _with_removed(self, start: int) -> int:
        # git puts what goes before what comes in its place.
        if self.lines[start].mark == "+":
            while start and self.lines[start - 1].mark == "-":
                start -= 1
        return start

    def _is_new_blank(self, index: int) -> bool:
        line = self.lines[index]
        return line.mark == "+" and not line.text.strip()

    def _blank_above(self, start: int) -> set[int]:
        found = set()
        while start and self._is_new_blank(start - 1):
            start -= 1
            found.add(start)
        return found

    def _with_blank(self, start: int, end: int) -> int:
        # Blank lines below belong to what comes below, where that is new as well.
        after = end
        while after + 1 < len(self.lines) and self._is_new_blank(after + 1):
            after += 1
        at_end = after + 1 == len(self.lines)
        return after if at_end or self.lines[after + 1].mark != "+" else end

    def _blank_before_what_stays(self, wanted: set[int]) -> set[int]:
        # A piece that is put above something keeps the blank lines between them,
        # even where more is to come in their place.
        found: set[int] = set()
        for end in wanted:
            blank, after = set(), end + 1
            while (
                after < len(self.lines)
                and self._is_new_blank(after)
                and after not in self.shown | wanted
            ):
                blank.add(after)
                after += 1
            visible = (i for i, _ in self._visible(self.shown | wanted) if i >= after)
            below = next(visible, None)
            if below is not None and self.lines[below].text.strip():
                found |= blank
        return found

    def _blank_in_the_place_of_more(self, wanted: set[int]) -> set[int]:
        # Where lines are left out between two pieces, a blank line among them stays.
        found: set[int] = set()
        for start in wanted:
            at = start if self._is_new_blank(start) else start - 1
            while (
                at >= 0
                and self.lines[at].mark == "+"
                and at not in self.shown | wanted
                and not self._is_new_blank(at)
            ):
                at -= 1
            if 0 <= at < start - 1 and self._is_new_blank(at) and at not in self.shown:
                found |= {at} | self._blank_above(at)
        return found

    # What is shown of them.

    def _hunks(self, wanted: set[int]) -> list[Hunk]:
        now = [line.text for _, line in self._visible(self.shown)]
        view = self._view(wanted)
        touched = [i for i, line in enumerate(view) if line.mark != " "]
        context = dict.fromkeys(touched, CONTEXT)
        if not now:  # a new file: nothing to stand beside
            return [Hunk(tuple(view), "")] if view else []
        while True:
            spans = _spans(view, touched, context)
            wrong = None
            for start, end in spans:
                before = [line.text for line in view[start:end] if line.mark != "+"]
                if _count(before, now) != 1 and (start, end) != (0, len(view)):
                    wrong = (start, end)
                    break
            if wrong is None:
                break
            for number in touched:
                if wrong[0] <= number < wrong[1]:
                    context[number] += 1
        return [Hunk(tuple(view[s:e]), self._inside(view[s:e])) for s, e in spans]

    def _view(self, wanted: set[int]) -> list[Line]:
        view = []
        for index, line in enumerate(self.lines):
            if index in wanted:
                view.append(line)
            elif line.mark == " " or (line.mark == "+") == (index in self.shown):
                view.append(Line(" ", line.text, line.old, line.new))
        return view

    def _inside(self, lines: list[Line]) -> str:
        changed = next(line for line in lines if line.mark != " ")
        side = "new" if changed.new else "old"
        version = [line.text for line in self.lines if getattr(line, side)]
        number = getattr(changed, side)
        # A whole new function lies in what is around it.
        own = {line.text for line in lines if line.mark != " "}
        return Place.enclosing(version, number, self.path, own)


def ranges(selectors: list[str]) -> list[tuple[str, str]]:
    """Read "A", "A .. B" from a list of words, as pairs of first and last.

    Raises EditError for a ".." without two ends.
    """
    found: list[tuple[str, str]] = []
    words = list(selectors)
    while words:
        first = words.pop(0)
        if words[:1] == [".."]:
            words.pop(0)
            if not words:
                raise EditError(f"{first} .. leads nowhere.")
            found.append((first, words.pop(0)))
        else:
            found.append((first, first))
    if any(".." in pair for pair in found):
        raise EditError(f"{' '.join(selectors)} has a .. without two ends.")
    return found


def words(text: str) -> list[str]:
    """Split the text of a directive; what is in quotes keeps them."""
    return re.findall(r'"[^"]*"|\S+', text)


def _spans(view, touched, context) -> list[tuple[int, int]]:
    """Pairs (start, end) in `view`: the changes, each with its context, joined."""
    spans: list[list[int]] = []
    for number in touched:
        start = max(0, number - context[number])
        end = min(len(view), number + context[number] + 1)
        # One line left out between two hunks would take as much room as it saves.
        if spans and start <= spans[-1][1] + 1:
            spans[-1][1] = max(end, spans[-1][1])
        else:
            spans.append([start, end])
    return [(start, end) for start, end in spans]


def put_in(hunk: Hunk, now: list[str]) -> list[str]:
    """The lines of a file after a change. Raises EditError if it has not one place."""
    if (times := _count(hunk.before, now)) != 1:
        raise EditError(f"This change fits in {times} places, and should in one.")
    size = len(hunk.before)
    at = next(at for at in range(len(now) + 1) if now[at : at + size] == hunk.before)
    return [*now[:at], *hunk.after, *now[at + size :]]


def _count(part: list[str], whole: list[str]) -> int:
    size = len(part)
    return sum(whole[at : at + size] == part for at in range(len(whole) - size + 1))
