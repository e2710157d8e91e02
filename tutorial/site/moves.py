"""Lines that go in one place and come in another, in one step between two stages."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from textwrap import dedent

from tutorial.site.edits import FileEdit
from tutorial.site.places import DEFINITIONS

ENOUGH = 3  # lines with text, in a block that counts as moved


@dataclass(frozen=True)
class Moved:
    """Where a line came from or went to, and whether it begins a block."""

    other: str
    begins: bool


def find_moves(edits: list[FileEdit]) -> dict[tuple[str, int], Moved]:
    """The moved lines of a step: (path, index in the script) -> where from or to.

    A block counts with at least ENOUGH lines; a change of its indent does not matter.
    """
    gone = _runs(edits, "-")
    places = defaultdict(list)
    for run in gone:
        for at, (_, _, text) in enumerate(run):
            if text:
                places[text].append((run, at))
    found: dict[tuple[str, int], Moved] = {}
    for run in _runs(edits, "+"):
        at = 0
        while at < len(run):
            best = max(
                (_common(run[at:], old[start:]) for old, start in places[run[at][2]]),
                key=len,
                default=[],
            )
            if sum(bool(new[2]) for new, _ in best) < ENOUGH:
                at += 1
                continue
            for number, ((path, index, _), (other, old_index, _)) in enumerate(best):
                found[path, index] = Moved(other, number == 0)
                found[other, old_index] = Moved(path, number == 0)
            at += len(best)
    return found


def _runs(edits: list[FileEdit], mark: str) -> list[list[tuple[str, int, str]]]:
    runs: list[list[tuple[str, int, str]]] = []
    for edit in edits:
        last = None
        for index, line in enumerate(edit.lines):
            if line.mark == mark:
                if last != index - 1 or not runs:
                    runs.append([])
                runs[-1].append((edit.path, index, line.text.strip()))
                last = index
        runs.append([])  # no run goes on from one file to the next
    return [run for run in runs if run]


def _common(new, old) -> list:
    pairs = []
    for one, other in zip(new, old, strict=False):
        if one[2] != other[2]:
            break
        pairs.append((one, other))
    return pairs


@dataclass(frozen=True)
class SymbolMove:
    """Where a class, method or function of one stage is in the next.

    `old` and `new` are (file, dotted name), None where it is not. `fate` is one of
    "moved", "moved and changed", "became", "gone", "new", "changed". The text of a
    class is without its methods, which have places of their own.
    """

    old: tuple[str, str] | None
    new: tuple[str, str] | None
    fate: str
    was: str = ""  # its text
    now: str = ""


def symbol_moves(
    old: Path, new: Path, paths: list[str], became: dict[str, str] | None = None
) -> list[SymbolMove]:
    """Where each symbol of the Python files `paths` went; the unchanged do not count.

    A symbol that is gone "became" a new one if most of its text is there, or if
    `became` says so, by their names.
    """
    was, now = _symbols(old, paths), _symbols(new, paths)
    by_name = {place[1]: place for place in now}
    moves, gone = [], []
    for place, text in was.items():
        target = place if place in now else by_name.get(place[1])
        if target is None:
            gone.append(place)
        elif target[0] != place[0]:
            fate = "moved" if now[target] == text else "moved and changed"
            moves.append(SymbolMove(place, target, fate))
        elif now[target] != text:
            moves.append(SymbolMove(place, target, "changed"))
    known = {move.new for move in moves} | set(was)
    fresh = [place for place in now if place not in known]
    # Those that are told first, or others would take their place.
    told = {place: by_name.get((became or {}).get(place[1], "")) for place in gone}
    for place in sorted(gone, key=lambda place: told[place] is None):
        if told[place] in fresh:
            fresh.remove(told[place])
            moves.append(SymbolMove(place, told[place], "became"))
            continue
        scores = {p: SequenceMatcher(None, was[place], now[p]).ratio() for p in fresh}
        best = max(scores, key=scores.get, default=None)
        if best is not None and scores[best] > 0.6:
            fresh.remove(best)
            moves.append(SymbolMove(place, best, "became"))
        else:
            moves.append(SymbolMove(place, None, "gone"))
    moves += [SymbolMove(None, place, "new") for place in fresh]
    return [
        replace(move, was=was.get(move.old, ""), now=now.get(move.new, ""))
        for move in moves
    ]


def _symbols(folder: Path, paths: list[str]) -> dict[tuple[str, str], str]:
    found = {}
    for path in paths:
        if path.endswith(".py") and (folder / path).is_file():
            text = (folder / path).read_text("utf-8")
            _collect(ast.parse(text), text, path, "", found)
    return found


def _collect(body, text, path, outer, found):
    for node in body.body:
        if isinstance(node, DEFINITIONS):
            own = _lines_of(node)
            if isinstance(node, ast.ClassDef):
                _collect(node, text, path, f"{outer}{node.name}.", found)
                # What changes in a method is the method's business.
                for inner in node.body:
                    if isinstance(inner, DEFINITIONS):
                        own -= _lines_of(inner)
            lines = text.split("\n")
            block = "\n".join(lines[number - 1] for number in sorted(own))
            found[path, outer + node.name] = dedent(block).rstrip()


def _lines_of(node) -> set[int]:
    """The numbers of the lines of a definition, with its decorators."""
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    return {*range(first, node.end_lineno + 1)}
