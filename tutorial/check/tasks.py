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
    exercise: int = 0  # of which exercise at its chapter's end, if of any
    alone: bool = False  # does such an exercise change what the others ask for?


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
            not entry["file"].startswith(("browser/", "contract/", "chapters/")),
            frozenset(entry.get("needs", ())),
            frozenset(entry.get("scripts", ())),
            entry.get("exercise", 0),
            entry.get("alone", False),
        )
        for entry in entries
    )


def tasks_of(stage: Stage, exercise: int = 0) -> list[Task]:
    """The tasks that `stage` has to fulfil: its own, and before them all earlier ones.

    What is judged by a folder's own objects is asked of its own stage only: the next
    may be made otherwise. First comes what the tests of the others need, and last what
    a browser shows. With an `exercise` of its chapter that is a task, too, and the
    only one if a right answer to it changes what the others ask for.
    """
    if mine := [one for one in load_tasks() if _is_exercise(one, stage, exercise)]:
        return [*mine, *([] if mine[0].alone else tasks_of(stage))]
    number = {one.id: one.number for one in load_snapshots()}
    found = [
        task
        for task in load_tasks()
        if not task.exercise
        and number[task.stage] <= stage.number
        and (task.stage == stage.id or not task.inside)
    ]
    return sorted(found, key=place)


def _is_exercise(task: Task, stage: Stage, exercise: int) -> bool:
    return bool(exercise) and (task.stage, task.exercise) == (stage.id, exercise)


def known_exercise(stage: Stage, exercise: int) -> int:
    """The number of an exercise that can be judged, or 0 for none.

    Raises LookupError, with a sentence, for any other.
    """
    known = [one.exercise for one in load_tasks() if one.stage == stage.id]
    known = [number for number in known if number]
    if exercise and exercise not in known:
        numbers = ", ".join(map(str, known)) or "none"
        raise LookupError(
            f"No test judges exercise {exercise} of {stage.short}: it is a question "
            f"or a trial, or there is no such one. What is judged: {numbers}."
        )
    return exercise


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
