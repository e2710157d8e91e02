"""Which mutants a snapshot has, and which of them are no mistakes."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.edits import Mutant, mutants_of, one_line
from tutorial.stages import Stage, find_stage, stage_files

EQUIVALENT = Path(__file__).parent / "equivalent.toml"
SERVER, PAGES, DJANGO, SETTINGS = (
    "server",
    "page scripts and templates",
    "views, urls, models",
    "settings",
)
KINDS = (SERVER, DJANGO, PAGES, SETTINGS)
# Written by Django, told by their tests, or no part of the chat.
LEFT_OUT = ("migrations", "tests.py", "lab", "manage.py", "management/__init__.py")


def kind_of(file: str) -> str:
    """Which of KINDS a file of a snapshot is."""
    path = Path(file)
    if path.suffix != ".py":
        return PAGES
    if file == "chatserver.py" or path.parts[0] == "twisted_chat":
        return SERVER
    return DJANGO if path.name == "urls.py" or path.parts[0] == "chat" else SETTINGS


def is_left_out(file: str) -> bool:
    """Is it a file in which mistakes are of no interest?"""
    return any(name in Path(file).parts for name in LEFT_OUT)


def files_of(stage: Stage, whole: bool) -> list[str]:
    """The files of a snapshot that are mutated: what it adds or changes, or all."""
    new = {*stage.adds, *stage.changes}
    return [
        path.as_posix()
        for path in stage_files(stage.folder)
        if path.suffix in (".py", ".js", ".html")
        and not is_left_out(path.as_posix())
        and (whole or not stage.builds_on or path.as_posix() in new)
    ]


def mutants_in(
    stage: Stage, whole: bool = False, new: bool = False, only: Collection[str] = ()
) -> list[Mutant]:
    """The mutants of a snapshot, `whole` or of what it adds and changes.

    If `new`, only those that are none of the snapshot before. `only` names files, or
    kinds of them; without it, it is all.
    """
    found = [
        mutant
        for file in files_of(stage, whole)
        if not only or {file, kind_of(file)} & {*only}
        for mutant in mutants_of(file, (stage.folder / file).read_text("utf-8"))
    ]
    if not new or not stage.builds_on:
        return found
    before = find_stage(stage.builds_on)
    old = {(one.was, one.becomes) for one in mutants_in(before, True, only=only)}
    return [one for one in found if (one.was, one.becomes) not in old]


@dataclass(frozen=True)
class Equivalent:
    """Mutants that are no mistakes, and why.

    They are those of `file`, in any snapshot or in those of `stages`, whose changed
    line was `was`, or began with `starts`, and becomes one of `becomes`, or anything.
    """

    file: str
    reason: str
    was: str = ""
    starts: str = ""
    becomes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()

    def fits(self, stage: Stage, mutant: Mutant) -> bool:
        """Is this mutant of this snapshot one of them?"""
        if mutant.file != self.file or (self.stages and stage.id not in self.stages):
            return False
        if self.was and mutant.was != self.was:
            return False
        if self.starts and not mutant.was.startswith(self.starts):
            return False
        return not self.becomes or mutant.becomes in self.becomes


def load_equivalents(file: Path = EQUIVALENT) -> list[Equivalent]:
    """The entries of equivalent.toml. Raises ValueError for one that says nothing."""
    entries = tomllib.loads(file.read_text("utf-8")).get("equivalent", [])
    found = []
    for entry in entries:
        becomes = entry.pop("becomes", [])
        becomes = [becomes] if isinstance(becomes, str) else becomes
        one = Equivalent(
            file=entry["file"],
            reason=entry["reason"],
            was=one_line(entry.get("was", "")),
            starts=one_line(entry.get("starts", "")),
            becomes=tuple(one_line(text) for text in becomes),
            stages=tuple(entry.get("stages", [])),
        )
        if not one.reason or not (one.was or one.starts):
            raise ValueError(f"This entry needs a reason, and `was` or `starts`: {one}")
        found.append(one)
    return found


def why_equivalent(
    stage: Stage, mutant: Mutant, equivalents: list[Equivalent]
) -> str | None:
    """Why a mutant is no mistake, or None if nobody says so."""
    return next((one.reason for one in equivalents if one.fits(stage, mutant)), None)
