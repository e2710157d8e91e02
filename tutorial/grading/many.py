"""Check every folder of a class, several at a time, and report on all of them."""

from __future__ import annotations

import csv
import io
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from django.template import Context, Engine
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tutorial.check.copies import Unfit
from tutorial.check.judge import Judge
from tutorial.check.report import COLOURS, page
from tutorial.check.verdict import Cancelled, Failure, Kind, Verdict
from tutorial.doctor.mistakes import printable
from tutorial.grading.handins import conceal, opened
from tutorial.stages import Stage

PAGES = Path(__file__).parent
MARKS = {"passed": "+", "failed": "x", "not judged": "?", "not reached": "."}
KINDS = {
    Kind.RIGHT: "right",
    Kind.WRONG: "behaves wrongly",
    Kind.NOTHING: "no project",
    Kind.NOT_STARTED: "did not start",
    Kind.STOPPED: "stopped answering",
    Kind.TOOL: "could not be checked",
}


class Class:
    """The checks of all `folders`, `jobs` of them at a time.

    The verdicts that are `known` stay as they are. `options` are those of Judge.
    """

    def __init__(
        self,
        stage: Stage,
        folders: list[Path],
        jobs: int,
        *,
        known: dict[Path, Verdict] | None = None,
        **options,
    ):
        self.judges: dict[Path, Judge] = {}
        self.running: list[Path] = []
        self.done: dict[Path, Verdict] = dict(known or {})
        self.jobs, self.cancelled = jobs, threading.Event()
        # One processor for each, so that whoever keeps one busy delays nobody else.
        cores = [*os.sched_getaffinity(0)] if hasattr(os, "sched_getaffinity") else []
        self.cores = cores if jobs <= len(cores) else []
        self.stage, self.options = stage, options
        self.folders = [folder for folder in folders if folder not in self.done]

    def run(self, tell: Callable[[Class], None]) -> None:
        """Check them all. `tell` is called several times a second."""
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = {pool.submit(self._check, folder) for folder in self.folders}
            try:
                while waiting:
                    _, waiting = wait(waiting, timeout=0.25)
                    tell(self)
            finally:
                self.cancelled.set()
                pool.shutdown(cancel_futures=True)

    def _check(self, handin: Path) -> None:
        core = self.cores.pop() if self.cores else None
        judge = Judge(self.stage, handin, core=core, **self.options)
        try:
            with opened(handin) as project:
                judge = Judge(self.stage, project, core=core, **self.options)
                judge.cancelled = self.cancelled
                self.judges[handin] = judge
                self.running.append(handin)
                judge.run()
                conceal(judge.verdict, project, handin)
        except Cancelled:
            return
        except Unfit as error:
            judge.verdict.conclude(Kind(error.kind), Failure(str(error)))
        except Exception as error:  # one folder must not spoil the others' results
            judge.verdict.conclude(Kind.TOOL, Failure(f"{error!r}"))
        finally:
            if handin in self.running:
                self.running.remove(handin)
            if core is not None:
                self.cores.append(core)
        self.done[handin] = judge.verdict


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
            tally = whole.judges[folder].tally
            says = f"{tally.done} of {len(tally.known)} tests"
            table.add_row(Text(printable(folder.name)), says)
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
    }
    # The engine escapes whatever is put into the page.
    template = Engine(dirs=[PAGES], autoescape=True).get_template("class.html")
    return template.render(Context(context, use_l10n=False, use_tz=False))
