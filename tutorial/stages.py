"""The stages, as stages.toml lists them."""

from __future__ import annotations

import os
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What running a stage leaves behind in its folder: no part of the lesson.
TRACES = ("__pycache__", "*.pyc", "*.sqlite3*", "twistd.*", "venv")
LEFT_BEHIND = shutil.ignore_patterns(*TRACES, ".*")


@dataclass(frozen=True)
class Stage:
    """One entry of stages.toml. `number` counts from 1, in the order of the file.

    `chapter` is the page that builds it, in docs/.
    """

    number: int
    id: str
    chapter: str
    title: str
    teaches: str
    builds_on: str
    adds: tuple[str, ...]
    changes: tuple[str, ...]
    removes: tuple[str, ...]
    left_wrong: tuple[dict[str, str], ...]

    @property
    def folder(self) -> Path:
        """The stage's folder in this clone."""
        return ROOT / self.id

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
    """Every stage of stages.toml, in order."""
    entries = tomllib.loads((ROOT / "stages.toml").read_text("utf-8"))["stage"]
    return [
        Stage(
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
        )
        for number, entry in enumerate(entries, start=1)
    ]


def find_stage(name: str) -> Stage:
    """The stage called `name`: its number ("2") or its id ("stage2_websocket").

    Raises LookupError, with the known names, when there is none.
    """
    stages = load_stages()
    for stage in stages:
        if name in (str(stage.number), stage.id):
            return stage
    known = ", ".join(f"{stage.number} ({stage.id})" for stage in stages)
    raise LookupError(f"There is no stage {name!r}. There is {known}.")
