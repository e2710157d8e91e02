"""The tasks of the chapters, as tasks.toml lists them, and which tests judge each."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache

from tutorial.stages import ROOT, Stage, find_stage, load_snapshots


@dataclass(frozen=True)
class Task:
    """What a chapter asks of its reader."""

    stage: str
    id: str
    title: str
    read: str  # the paragraph that teaches it: a page in docs/, and an anchor
    tests: frozenset[str]  # as test_name() gives them
    hints: tuple[str, ...] = ()
    in_browser: bool = False
    first: bool = False  # do tests of earlier chapters need it?
    inside: bool = False  # is it judged by the folder's own objects?
    needs: frozenset[str] = frozenset()  # tasks, by id, without which it must fail
    scripts: frozenset[str] = frozenset()  # files of the page that it asks for


# Of a test that no task claims.
OTHER = Task("", "other", "Whatever else the tests ask for", "", frozenset())


def test_name(node: str) -> str:
    """A test's pytest id without what changes from run to run: its parameters."""
    return node.removeprefix("tests/").partition("[")[0]


@cache
def load_tasks() -> tuple[Task, ...]:
    """Every task, in the order of the chapters."""
    entries = tomllib.loads((ROOT / "tasks.toml").read_text("utf-8"))["task"]
    return tuple(
        Task(
            entry["stage"],
            entry["id"],
            entry["title"],
            entry["read"],
            frozenset(
                test if "::" in test else f"{entry['file']}::{test}"
                for test in entry["tests"]
            ),
            tuple(entry["hints"]),
            entry["file"].startswith("browser/"),
            entry.get("first", False),
            not entry["file"].startswith(("browser/", "contract/")),
            frozenset(entry.get("needs", ())),
            frozenset(entry.get("scripts", ())),
        )
        for entry in entries
    )


def tasks_of(stage: Stage) -> list[Task]:
    """The tasks that `stage` has to fulfil: its own, and before them all earlier ones.

    What is judged by a folder's own objects is asked of its own stage only: the next
    may be made otherwise. First comes what the tests of the others need, and last what
    a browser shows.
    """
    number = {one.id: one.number for one in load_snapshots()}
    found = [
        task
        for task in load_tasks()
        if number[task.stage] <= stage.number
        and (task.stage == stage.id or not task.inside)
    ]
    return sorted(found, key=place)


def place(task: Task) -> tuple:
    """By this, tasks are put into the order in which they are judged and told."""
    known = load_tasks()
    index = known.index(task) if task in known else len(known)
    return task.in_browser, -urgency(task), index


def cause(task: Task, failed: set[Task]) -> Task | None:
    """The first of the `failed` tasks without which `task` has to fail, if any is."""
    by_id = {one.id: one for one in load_tasks()}
    needed, todo = set(), [task]
    while todo:
        for one in map(by_id.get, todo.pop().needs):
            if one not in needed:
                needed.add(one)
                todo.append(one)
    return min(needed & failed, key=place, default=None)


def urgency(task: Task) -> int:
    """The higher, the earlier it is judged: of tasks that are first, the newest first.

    All others are equal.
    """
    return find_stage(task.stage).number if task.first else 0


@cache
def _by_test() -> dict[str, Task]:
    return {test: task for task in load_tasks() for test in task.tests}


def task_of(node: str) -> Task:
    """The task that the test of this pytest id judges."""
    return _by_test().get(test_name(node), OTHER)
