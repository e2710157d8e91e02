"""Check every folder of a class, several at a time, and report on all of them."""

from __future__ import annotations

import csv
import io
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from pathlib import Path

import psutil
from django.template import Context, Engine
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tutorial.checks import is_archive, is_file, nearby_projects
from tutorial.judge import Cancelled, Failure, Judge, Kind, Verdict
from tutorial.limits import Limits
from tutorial.mistakes import printable
from tutorial.report import COLOURS, page
from tutorial.stages import Stage

PAGE = Path(__file__).with_name("class.html")
MARKS = {"passed": "+", "failed": "x", "not judged": "?", "not reached": "."}
KINDS = {
    Kind.RIGHT: "right",
    Kind.WRONG: "behaves wrongly",
    Kind.NOTHING: "no project",
    Kind.NOT_STARTED: "did not start",
    Kind.STOPPED: "stopped answering",
    Kind.TOOL: "could not be checked",
}


def learners_in(folder: Path) -> list[Path]:
    """What stands for a learner in a class's folder, by name. Raises OSError.

    That is each sub-folder, or a link to one, or what was meant to be one: an archive,
    a link to nothing. Nobody is left out without a word.
    """
    return sorted(
        one
        for one in folder.iterdir()
        if not one.name.startswith((".", "__MACOSX"))
        and (
            os.path.isdir(one)  # noqa: PTH112
            or is_archive(one)
            or (one.is_symlink() and not one.exists())
        )
    )


def project_in(folder: Path) -> Path:
    """Where the project of a learner is: archives often hold a folder in a folder."""
    below = [one for one in nearby_projects(folder) if folder in one.parents]
    if not is_file(folder / "manage.py") and len(below) == 1:
        return below[0]
    return folder


def processors() -> list[int]:
    """The processors that this process may use, where a system lets it choose."""
    try:
        return psutil.Process().cpu_affinity()
    except AttributeError:  # macOS
        return []


class Class:
    """The checks of all `folders`, `jobs` of them at a time."""

    def __init__(
        self,
        stage: Stage,
        folders: list[Path],
        jobs: int,
        *,
        browser: bool = False,
        limits: Limits | None = None,
    ):
        self.judges: dict[Path, Judge] = {}
        self.running: list[Path] = []
        self.done: dict[Path, Verdict] = {}
        self.jobs, self.cancelled = jobs, threading.Event()
        # One processor for each, so that whoever keeps one busy delays nobody else.
        self.cores = processors() if jobs <= len(processors()) else []
        for folder in folders:
            judge = Judge(stage, project_in(folder), browser=browser, limits=limits)
            judge.cancelled = self.cancelled
            self.judges[folder] = judge

    def run(self, tell: Callable[[Class], None]) -> None:
        """Check them all. `tell` is called several times a second."""
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = {pool.submit(self._check, folder) for folder in self.judges}
            try:
                while waiting:
                    _, waiting = wait(waiting, timeout=0.25)
                    tell(self)
            finally:
                self.cancelled.set()
                pool.shutdown(cancel_futures=True)

    def _check(self, folder: Path) -> None:
        judge = self.judges[folder]
        judge.core = self.cores.pop() if self.cores else None
        self.running.append(folder)
        try:
            self.done[folder] = judge.run()
        except Cancelled:
            return
        except Exception as error:  # one folder must not spoil the others' results
            judge.verdict.conclude(Kind.TOOL, Failure(f"{error!r}"))
            self.done[folder] = judge.verdict
        finally:
            self.running.remove(folder)
            if judge.core is not None:
                self.cores.append(judge.core)


class Screen:
    """What the terminal shows: who is done, for good, and below it who is running."""

    def __init__(self, console: Console, folders: int):
        self.console, self.folders = console, folders
        self.shown: set[Path] = set()
        self.live = Live(console=console, transient=True, refresh_per_second=4)

    def __enter__(self) -> Screen:
        self.live.start()
        return self

    def __exit__(self, *exc) -> None:
        self.live.stop()

    def tell(self, whole: Class) -> None:
        """Bring the screen up to date."""
        for folder in [folder for folder in whole.done if folder not in self.shown]:
            self.shown.add(folder)
            verdict = whole.done[folder]
            self.console.print(
                Text(f"{len(self.shown):4} of {self.folders}  "),
                Text(f"{KINDS[verdict.kind]:20}", style(verdict.kind)),
                Text(printable(folder.name)),
                sep="",
                soft_wrap=True,
            )
        table = Table.grid(padding=(0, 2))
        for folder in [*whole.running]:
            judge = whole.judges[folder]
            table.add_row(
                Text(printable(folder.name)), f"{judge.done} of {judge.known} tests"
            )
        self.live.update(table)


def style(kind: Kind) -> str:
    """The colour of a verdict."""
    return COLOURS["passed" if kind is Kind.RIGHT else "failed"]


def marks(verdict: Verdict) -> str:
    """How the tasks went, a character each."""
    return "".join(MARKS[result.status] for result in verdict.tasks)


def table(done: dict[Path, Verdict]) -> Table:
    """The whole class, a line each."""
    found = Table("Folder", "Verdict", "Tasks", "First failure", box=None)
    for folder, verdict in sorted(done.items()):
        says = verdict.failure.says.splitlines()[0] if verdict.failure else ""
        found.add_row(
            Text(printable(folder.name)),
            Text(KINDS[verdict.kind], style(verdict.kind)),
            Text(marks(verdict)),
            Text(verdict.task.title if verdict.task else says),
        )
    return found


def as_csv(done: dict[Path, Verdict]) -> str:
    """The class as a table for a spreadsheet."""
    titles = task_titles(done)
    target = io.StringIO(newline="")
    writer = csv.writer(target)
    head = ["folder", "verdict", "passed", "tasks", "seconds", "first failure"]
    writer.writerow([*head, *titles.values()])
    for folder, verdict in sorted(done.items()):
        status = {one.task.id: one.status for one in verdict.tasks}
        writer.writerow(
            [
                cell(folder.name),
                KINDS[verdict.kind],
                [*status.values()].count("passed"),
                len(status),
                round(verdict.seconds, 1),
                cell(verdict.failure.says if verdict.failure else ""),
                *(status.get(task, "") for task in titles),
            ]
        )
    return target.getvalue()


def cell(text: str) -> str:
    """Text of unknown origin as a cell that no spreadsheet takes for a formula."""
    text = printable(text)
    return f"'{text}" if re.match(r"\s*[=+@-]", text) else text


def task_titles(done: dict[Path, Verdict]) -> dict[str, str]:
    """The title of each task of a class, by its id."""
    return {
        result.task.id: result.task.title
        for verdict in done.values()
        for result in verdict.tasks
    }


def as_html(stage: Stage, done: dict[Path, Verdict]) -> str:
    """The class as one page, which loads nothing. All text is escaped."""
    rows = [
        {
            "name": printable(folder.name),
            "kind": verdict.kind.value,
            "word": KINDS[verdict.kind],
            "verdict": verdict,
            "seconds": round(verdict.seconds),
            "passed": sum(one.status == "passed" for one in verdict.tasks),
            "read": page(verdict),
        }
        for folder, verdict in sorted(done.items())
    ]
    verdicts = [row["verdict"] for row in rows]
    tasks = [
        {
            "title": title,
            "passed": sum(
                one.status == "passed"
                for verdict in verdicts
                for one in verdict.tasks
                if one.task.id == task
            ),
        }
        for task, title in task_titles(done).items()
    ]
    context = {
        "stage": stage,
        "rows": rows,
        "right": sum(verdict.kind is Kind.RIGHT for verdict in verdicts),
        "tasks": tasks,
        "when": f"{datetime.now():%Y-%m-%d %H:%M}",
    }
    # The engine escapes whatever is put into the page.
    template = Engine(autoescape=True).from_string(PAGE.read_text("utf-8"))
    return template.render(Context(context, use_l10n=False, use_tz=False))
