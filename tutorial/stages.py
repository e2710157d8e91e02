"""The stages and the solved exercises, as stages.toml lists them."""

from __future__ import annotations

import os
import shutil
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What running a stage leaves behind in its folder: no part of the lesson.
TRACES = ("__pycache__", "*.pyc", "*.sqlite3*", "twistd.*", "engine.data", "venv")
LEFT_BEHIND = shutil.ignore_patterns(*TRACES, ".*")


@dataclass(frozen=True)
class Stage:
    """One entry of stages.toml: a stage or an exercise, each a complete project.

    `number` counts from 1, through the stages and on through the exercises. `chapter`
    is the page that builds it, in docs/. It is run with so many chat `servers`, which
    share an `engine`, a Valkey or Redis server; where there is none, with one.
    """

    kind: str
    number: int
    id: str
    chapter: str
    title: str
    teaches: str
    builds_on: str
    adds: tuple[str, ...]
    changes: tuple[str, ...]
    removes: tuple[str, ...]
    left_wrong: tuple[dict[str, str | bool], ...]
    servers: int = 1
    engine: bool = False
    became: tuple[tuple[str, str], ...] = ()  # what did a work before, and does it now

    @property
    def folder(self) -> Path:
        """The stage's folder in this clone."""
        return ROOT / "exercises" / self.id if self.is_exercise else ROOT / self.id

    @property
    def is_exercise(self) -> bool:
        """Is it one of the exercises, and no stage?"""
        return self.kind == "exercise"

    @property
    def short(self) -> str:
        """How a sentence calls it: "stage 2" or "exercise 1"."""
        number = self.id.partition("_")[0] if self.is_exercise else self.number
        return f"{self.kind} {number}"

    @property
    def name(self) -> str:
        """How a heading calls it: "Stage 2, WebSocket" or "Exercise 1, Rooms"."""
        return f"{self.short.capitalize()}, {self.title}"

    @property
    def mark(self) -> str:
        """How an address calls it: "2", or "e1" for an exercise."""
        return self.short.removeprefix("stage ").replace("exercise ", "e")

    def copy_to(self, target: Path) -> Path:
        """Copy the stage's files, without databases and caches, and return `target`."""
        return copy_stage(self.folder, target)


def copy_stage(folder: Path, target: Path) -> Path:
    """Copy any stage-like `folder` to `target`, which must not exist yet.

    Databases, caches and hidden files stay behind. Returns `target`.
    """
    return Path(shutil.copytree(folder, target, ignore=LEFT_BEHIND))


def stage_files(folder: Path) -> list[Path]:
    """The files of a stage that git keeps, as paths in its folder, sorted."""
    found = []
    for where, folders, names in os.walk(folder):
        ignored = LEFT_BEHIND(where, [*folders, *names])
        folders[:] = [name for name in folders if name not in ignored]
        found += [Path(where, name) for name in names if name not in ignored]
    return sorted(path.relative_to(folder) for path in found)


def load_stages() -> list[Stage]:
    """Every stage of stages.toml, in order, without the exercises."""
    return [stage for stage in load_snapshots() if not stage.is_exercise]


def load_exercises() -> list[Stage]:
    """Every exercise of stages.toml, in order."""
    return [stage for stage in load_snapshots() if stage.is_exercise]


def load_snapshots() -> list[Stage]:
    """Every stage and then every exercise of stages.toml."""
    return [*_snapshots((ROOT / "stages.toml").read_text("utf-8"))]


@cache  # Tests ask for them hundreds of times.
def _snapshots(text: str) -> tuple[Stage, ...]:
    manifest = tomllib.loads(text)
    entries = [
        (kind, entry) for kind in ("stage", "exercise") for entry in manifest[kind]
    ]
    return tuple(
        Stage(
            kind,
            number,
            entry["id"],
            entry["chapter"],
            entry["title"],
            entry["teaches"],
            entry["builds_on"],
            tuple(entry["adds"]),
            tuple(entry["changes"]),
            tuple(entry["removes"]),
            tuple(entry.get("left_wrong", [])),
            entry.get("servers", 1),
            entry.get("engine", False),
            tuple(entry.get("became", {}).items()),
        )
        for number, (kind, entry) in enumerate(entries, start=1)
    )


def find_stage(name: str) -> Stage:
    """The stage called `name`: its number ("2") or its id ("stage2_websocket").

    An exercise has an id ("1_rooms") and a folder ("exercises/1_rooms"). Raises
    LookupError, with the known names, when there is none.
    """
    for stage in load_snapshots():
        number = stage.id if stage.is_exercise else str(stage.number)
        if name in (number, stage.id, stage.folder.relative_to(ROOT).as_posix()):
            return stage
    known = [f"{stage.number} ({stage.id})" for stage in load_stages()]
    known += [stage.id for stage in load_exercises()]
    says = f"There is no stage {name!r}." if name else "Which stage?"
    raise LookupError(f"{says} There is {', '.join(known)}.")
