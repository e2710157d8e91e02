"""What a folder is worth: weights from points.toml, and what a verdict earns."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from tutorial.check.tasks import OTHER, Task
from tutorial.check.verdict import Kind, TaskResult, Verdict
from tutorial.stages import Stage


class PointsError(Exception):
    """The points make no sense; a sentence."""


@dataclass(frozen=True)
class Points:
    """How a stage is marked.

    `tasks` has the weight of a task by its id, `each` that of all others. Where all is
    right, the mark is `total`. A task that fails earns `part` of its weight, times the
    share of its tests that passed. Who has handed in nothing gets `missing`, if that is
    a number. `columns` are those of the gradebook, if they are no template's: titles,
    and what stands below each.
    """

    title: str = ""
    total: float = 100
    part: float = 0
    each: float = 1
    missing: float | None = None
    tasks: dict[str, float] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)

    def weight(self, task: Task) -> Fraction:
        """What a task is worth, beside the others."""
        return Fraction(str(self.tasks.get(task.id, self.each)))


@dataclass(frozen=True)
class Mark:
    """What a verdict earns: `points`, rounded, or None where a human has to look."""

    points: float | None
    tasks: dict[str, tuple[float, float]]  # by id: earned, and out of how many
    says: str = ""  # what a human has to know of it


def read_points(path: Path, tasks: list[Task]) -> Points:
    """The points in a TOML file, for a check that judges `tasks`.

    Raises PointsError, and OSError.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PointsError(f"{path} cannot be read: {error}.") from error
    kinds = {"title": str, "tasks": dict, "columns": dict}
    for name, value in found.items():
        if name not in Points.__dataclass_fields__:
            known = ", ".join(Points.__dataclass_fields__)
            raise PointsError(f"{path} names {name!r}; it may name {known}.")
        if not isinstance(value, kinds.get(name, (int, float))) or value is True:
            raise PointsError(f"{path}: {name} cannot be {value!r}.")
    points = Points(**found)
    numbers = {"total": points.total, "part": points.part, "each": points.each}
    for name, value in {**numbers, **points.tasks}.items():
        if isinstance(value, bool | str) or not 0 <= value < 1e6:
            raise PointsError(f"{path}: {name} should be a number, 0 or more.")
    if points.part > 1:
        raise PointsError(f"{path}: part is a share, from 0 to 1.")
    known = {task.id for task in tasks}
    if strange := [name for name in points.tasks if name not in known]:
        says = (
            f"{path} gives points for {', '.join(strange)}, which is not judged here."
        )
        raise PointsError(f"{says} What is: {', '.join(task.id for task in tasks)}.")
    if not sum(points.weight(task) for task in tasks):
        raise PointsError(f"{path}: nothing is worth anything.")
    return points


def template(stage: Stage, tasks: list[Task]) -> str:
    """A points.toml for a stage, in which each task is worth the same."""
    width = max(len(task.id) for task in tasks)
    lines = [f"{task.id:{width}} = 1  # {task.title}" for task in tasks]
    return "\n".join(
        [
            "# What the column of the gradebook is called",
            f'title = "{stage.name}"',
            "total = 100  # where all is right",
            "part = 0.5  # of a task that fails, by the share of its tests that pass",
            "",
            "[tasks]",
            *lines,
            "",
        ]
    )


def earned(result: TaskResult, points: Points) -> Fraction | None:
    """The share of its weight that a task earns; None where it cannot be judged.

    What is made otherwise than the chapter names it is not wrong: it does not count.
    """
    if result.status == "passed":
        return Fraction(1)
    outcomes = [one.outcome for one in result.results]
    if result.status == "not judged" and not result.cause and "failed" not in outcomes:
        return None
    passed = outcomes.count("passed")
    return Fraction(str(points.part)) * Fraction(passed, max(result.tests, 1))


def mark(verdict: Verdict, points: Points) -> Mark:
    """What a verdict earns. The rest is scaled up where a task does not count."""
    if verdict.kind is Kind.TOOL:
        return Mark(None, {}, "It could not be checked: look at it yourself.")
    tasks, got, worth = {}, Fraction(0), Fraction(0)
    left_out = []
    for result in verdict.tasks:
        if result.task == OTHER:
            continue
        share, weight = earned(result, points), points.weight(result.task)
        if share is None:
            left_out.append(result.task.title)
            continue
        got, worth = got + share * weight, worth + weight
        tasks[result.task.id] = (_rounded(share * weight), _rounded(weight))
    total = Fraction(str(points.total))
    says = f"Not counted, since not judged: {', '.join(left_out)}." if left_out else ""
    return Mark(_rounded(got / worth * total) if worth else None, tasks, says)


def _rounded(number: Fraction) -> float:
    """Two places after the point, halves up: as gradebooks show it."""
    return int(number * 100 + Fraction(1, 2)) / 100


def number(value: float | None) -> str:
    """A number as a gradebook wants it: 7.5, and 10 rather than 10.0."""
    return "" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")
