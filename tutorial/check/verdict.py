"""What a check comes to: its kind, how each task did, and the first failure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tutorial.check.tasks import Task
from tutorial.stages import Stage


class Kind(Enum):
    """What a check can come to. `code` is the exit code of the command."""

    RIGHT = "right", 0, "All {tasks} tasks passed."
    WRONG = "wrong", 1, "It runs, and behaves wrongly."
    NOTHING = "nothing", 3, "There is nothing here that looks like the project."
    NOT_STARTED = "not-started", 4, "It did not start."
    STOPPED = "stopped", 5, "It started, and stopped answering."
    TOOL = "tool", 6, "The check itself failed, which says nothing about the work."

    def __new__(cls, word: str, code: int, says: str):
        """Make a kind that is looked up by its word."""
        kind = object.__new__(cls)
        kind._value_, kind.code, kind.says = word, code, says
        return kind


@dataclass(frozen=True)
class Failure:
    """What is known of a failure."""

    says: str
    test: str = ""
    wire: list[str] = field(default_factory=list)  # what was sent, and what came
    server: str = ""
    output: list[str] = field(default_factory=list)  # the last lines of that server
    mistakes: list[str] = field(default_factory=list)  # that such output is typical of


@dataclass(frozen=True)
class Result:
    """How one test ended."""

    test: str
    outcome: str  # passed, failed, skipped, not judged
    seconds: float
    says: str


@dataclass
class TaskResult:
    """How far a task has come. `tests` counts those that judge it."""

    task: Task
    tests: int = 0
    results: list[Result] = field(default_factory=list)
    cause: Task | None = None  # the task without which this one has to fail
    reason: str = ""  # why it was not reached

    @property
    def status(self) -> str:
        """One of: passed, failed, not judged, not reached."""
        outcomes = {result.outcome for result in self.results}
        if "failed" in outcomes:
            return "not judged" if self.cause else "failed"
        if "not judged" in outcomes:
            return "not judged"
        whole = 0 < self.tests == len(self.results)
        # Some tests need what is not on every machine, as PostgreSQL.
        if whole and outcomes - {"skipped"} == {"passed"}:
            return "passed"
        return "not judged" if self.cause else "not reached"

    @property
    def says(self) -> str:
        """What the first of its failures says, or the first that does not judge it."""
        for outcome in ("failed", "not judged"):
            for result in self.results:
                if result.outcome == outcome:
                    return result.says
        return ""

    @property
    def why(self) -> str:
        """Why it was not judged, or not reached; empty if it was."""
        if self.status == "not judged":
            return f"{self.cause.title} fails" if self.cause else self.says
        return self.reason if self.status == "not reached" else ""


@dataclass
class Verdict:
    """What the check of a folder came to."""

    stage: Stage
    folder: Path
    kind: Kind
    tasks: list[TaskResult]
    failure: Failure | None = None
    task: Task | None = None  # the one that failed first
    left_out: int = 0  # tests that were, because they are thorough
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)  # on the folder, whatever came out

    @property
    def says(self) -> str:
        """The verdict as a sentence."""
        count = Counter(result.status for result in self.tasks)
        open_ = count["not judged"]
        if self.kind is Kind.RIGHT and open_:
            return f"{count['passed']} tasks passed, {open_} not judged."
        if self.kind is Kind.RIGHT and len(self.tasks) == 1:
            return "The task is passed."
        says = self.kind.says.format(tasks=len(self.tasks))
        if count["failed"] and self.kind is Kind.WRONG:
            says += f" Of {len(self.tasks)} tasks, {count['failed']} failed"
            says += f", {open_} not judged." if open_ else "."
        return says

    def conclude(self, kind: Kind, failure: Failure, task: Task | None = None) -> None:
        """Take down what the check came to."""
        self.kind, self.failure, self.task = kind, failure, task

    def of(self, task: Task) -> TaskResult:
        """What is known of a task, also of one that nobody asked for."""
        for result in self.tasks:
            if result.task == task:
                return result
        self.tasks.append(TaskResult(task))
        return self.tasks[-1]


class Cancelled(Exception):
    """Somebody asked for the end of the check."""
