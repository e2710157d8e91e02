"""What was judged is kept, so that only what has changed is judged again."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from tutorial.check.copies import MOST_FILES, UNMISSED, is_environment, matches, walk
from tutorial.check.tasks import OTHER, load_tasks
from tutorial.check.verdict import Failure, Kind, Result, TaskResult, Verdict
from tutorial.stages import ROOT, Stage

# What decides on a verdict, besides the folder.
JUDGING = (
    *("tests/contract", "tests/browser", "tests/chapters", "tests/support"),
    *("tests/stage*", "tutorial"),
)
FILES = ("tasks.toml", "stages.toml", "conftest.py", "requirements.lock")


def write(verdict: Verdict) -> dict:
    """A verdict, for JSON."""
    failure, task = verdict.failure, verdict.task
    return {
        "kind": verdict.kind.value,
        "folder": verdict.folder.name,
        "task": task and task.id,
        "left_out": verdict.left_out,
        "seconds": round(verdict.seconds, 1),
        "notes": verdict.notes,
        "failure": failure and asdict(failure),
        "tasks": [
            {
                "id": one.task.id,
                "tests": one.tests,
                "cause": one.cause and one.cause.id,
                "reason": one.reason,
                "results": [asdict(result) for result in one.results],
            }
            for one in verdict.tasks
        ],
    }


def read(found: dict, stage: Stage, handin: Path) -> Verdict:
    """The verdict that write() wrote. Raises KeyError, TypeError or ValueError."""
    by_id = {task.id: task for task in (*load_tasks(), OTHER)}
    tasks = [
        TaskResult(
            by_id[one["id"]],
            one["tests"],
            [Result(**result) for result in one["results"]],
            one["cause"] and by_id[one["cause"]],
            one["reason"],
        )
        for one in found["tasks"]
    ]
    return Verdict(
        stage,
        handin,
        Kind(found["kind"]),
        tasks,
        found["failure"] and Failure(**found["failure"]),
        found["task"] and by_id[found["task"]],
        found["left_out"],
        found["seconds"],
        found["notes"],
    )


class Records:
    """A JSON file for each learner in `folder`, with what it was judged by."""

    def __init__(self, folder: Path, stage: Stage, how: str):
        self.folder, self.stage = folder, stage
        self.how = f"{stage.id} {how} {judging()}"

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def get(self, key: str, handin: Path) -> Verdict | None:
        """The verdict on a hand-in, if nothing has changed since."""
        try:
            found = json.loads(self._file(key).read_text("utf-8"))
            if found["print"] != self._print(handin):
                return None
            verdict = read(found["verdict"], self.stage, handin)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # What the check failed at may be over.
        return None if verdict.kind is Kind.TOOL else verdict

    def put(self, key: str, handin: Path, verdict: Verdict) -> None:
        """Keep a verdict. Raises OSError."""
        text = {"print": self._print(handin), "verdict": write(verdict)}
        self.folder.mkdir(parents=True, exist_ok=True)
        whole = json.dumps(text, indent=1, sort_keys=True, ensure_ascii=True)
        self._file(key).write_text(whole + "\n", "utf-8")

    def _print(self, handin: Path) -> str:
        return hashlib.sha256(f"{self.how} {content(handin)}".encode()).hexdigest()


def content(handin: Path) -> str:
    """A hash of what was handed in: of its files, or of the archive."""
    found = hashlib.sha256()
    for path in _files(handin):
        name = os.path.relpath(path, handin).encode("utf-8", "surrogateescape")
        what = b"l" + os.fsencode(path.readlink()) if path.is_symlink() else b""
        with suppress(OSError):
            if not what and path.is_file():
                with path.open("rb") as file:
                    what = hashlib.file_digest(file, "sha256").digest()
        found.update(b"%d %s %d %s" % (len(name), name, len(what), what))
    return found.hexdigest()


def _files(handin: Path) -> list[Path]:
    if not handin.is_dir() or handin.is_symlink():
        return [handin]
    found: list[Path] = []
    for at, folders, names in walk(handin):
        folders[:] = [
            name
            for name in folders
            if not matches(name, UNMISSED) and not is_environment(Path(at, name))
        ]
        links = [name for name in folders if Path(at, name).is_symlink()]
        found += [Path(at, name) for name in (*names, *links)]
        if len(found) > 4 * MOST_FILES:
            break  # it is no project
    return sorted(path for path in found if not matches(path.name, UNMISSED))


@cache
def judging() -> str:
    """A hash of the tests, and of what runs them."""
    files = [ROOT / name for name in FILES]
    for pattern in JUDGING:
        for folder in ROOT.glob(pattern):
            files += [path for path in folder.rglob("*") if path.suffix != ".pyc"]
    found = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        found.update(path.relative_to(ROOT).as_posix().encode())
        found.update(path.read_bytes())
    return found.hexdigest()
