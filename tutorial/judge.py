"""Judge what is in a folder: run the tests of a stage on a copy, and say how it was.

Nothing of the folder is imported here. The tests run in processes of their own, the
lanes, which start the servers and report by lines of JSON (tests/support/events.py).
Whatever happens, all that was started is ended, and the copy is deleted.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import psutil

from tests.support.keeping import read_only
from tutorial.checks import MARK, check_stage, why_shut
from tutorial.copies import (
    Unfit,
    differences,
    look,
    meddled,
    take_copy,
    weigh,
    workspace,
)
from tutorial.limits import Limits
from tutorial.mistakes import shorten
from tutorial.processes import adopt_orphans, below, kill_all, marked
from tutorial.settings import KEPT, plain
from tutorial.stages import ROOT, Stage, load_stages
from tutorial.tasks import Task, cause, task_of, tasks_of

TICK = 0.5  # seconds between two looks at what a program takes


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
        says = self.kind.says.format(tasks=len(self.tasks))
        if count["failed"] and self.kind is Kind.WRONG:
            says += f" Of {len(self.tasks)} tasks, {count['failed']} failed"
            says += f", {open_} not judged." if open_ else "."
        return says

    def conclude(self, kind: Kind, failure: Failure, task: Task | None = None) -> None:
        """Take down what the check came to."""
        self.kind, self.failure, self.task = kind, failure, task


class Cancelled(Exception):
    """Somebody asked for the end of the check."""


def lanes_for(stage: Stage, browser: bool) -> dict[str, list[str]]:
    """Which tests run one after the other: a name for each lane, and what is in it.

    Two lanes of about equal length. What says most plainly what is wrong comes first.
    Where tests load what is in the folder, they have a process of their own.
    """
    inside = [
        f"tests/{test}"
        for task in tasks_of(stage)
        if task.inside
        for test in sorted(task.tests)
    ]
    lanes = {"inside": inside} if inside else {}
    if not browser:
        return {"contract": ["tests/contract"], **lanes}
    files = sorted((ROOT / "tests" / "browser").glob("test_*.py"))
    pages = [str(file.relative_to(ROOT)) for file in files]
    first = ["tests/contract", *pages[:1]]
    return {"contract": first, "browser": pages[1:], **lanes}


class Lane:
    """One process that runs `tests`, paths. Its events go to `events`, with itself."""

    def __init__(
        self,
        name: str,
        tests: list[str],
        thorough: bool,
        stage: Stage,
        original: Path,
        work: Path,
        environ: dict[str, str],
        events: queue.Queue,
    ):
        self.name, self.log = name, work / f"{name}.log"
        self.started = False  # do its servers run?
        self.over = False  # has it said that it has come to its end?
        self.heard = time.monotonic()  # when it last said something
        command = [sys.executable, "-m", "pytest", *tests]
        command += ["-p", "tests.support.events", "-p", "no:cacheprovider", "-q"]
        command += [] if thorough else ["-m", "not thorough"]
        folder = work / "theirs"
        if name == "inside":
            # Their code runs in this process. What it writes beside itself, the others
            # shall not read, and the original it may not change.
            folder = work / "theirs-inside"
            take_copy(work / "theirs", folder)
            # A warning of theirs is no failure.
            command = [*read_only(original), *command, "--white-box", "-W", "ignore"]
        command += [f"--stage={stage.id}", f"--path={folder}"]
        command += [f"--basetemp={work / name}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C is for us alone
                umask=0o022 if os.name == "posix" else -1,
            )
        self.reader = threading.Thread(target=self._read, args=[events], daemon=True)
        self.reader.start()

    def _read(self, events: queue.Queue) -> None:
        for line in self.process.stdout:
            events.put((self, json.loads(line)))
        events.put((self, None))

    def end(self) -> None:
        """End it and all that it started, whatever of that runs."""
        with suppress(psutil.Error):
            # So that it starts nothing new meanwhile.
            psutil.Process(self.process.pid).suspend()
        kill_all(lambda: below(self.process.pid))
        self.process.kill()
        self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()


class Judge:
    """One check of one folder.

    Judges `folder` by the tests of `stage`, with `browser` also by those in a browser,
    with `thorough` also by those that take long or measure how fast something is.
    `core` is the one processor that all of it may use. `tell` is called now and then
    while it runs.
    """

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        *,
        browser: bool = False,
        thorough: bool = False,
        limits: Limits | None = None,
        core: int | None = None,
        tell: Callable[[Judge], None] = lambda judge: None,
    ):
        self.limits, self.core, self.tell = limits or Limits(), core, tell
        # By these, the tests are chosen.
        self.stage, self.browser, self.thorough = stage, browser, thorough
        tasks = [
            TaskResult(task)
            for task in tasks_of(stage)
            if browser or not task.in_browser
        ]
        real = Path(os.path.realpath(folder))
        # Of a link that leads nowhere, the sentence names the link.
        folder = real if os.path.lexists(real) else folder.absolute()
        self.verdict = Verdict(stage, folder, Kind.TOOL, tasks)
        self.cancelled = threading.Event()
        self.events: queue.Queue = queue.Queue()
        self.lanes: list[Lane] = []
        self.failures: list[Failure] = []
        self.excused: set[Task] = set()  # that failed by the fault of another
        self.ended: tuple | None = None  # how the servers did while a browser looked
        self.failed = False  # did a test that needs no browser?
        self.at = ""  # the test that runs
        self.done = self.known = 0  # how many tests are

    def run(self) -> Verdict:
        """Check the folder. Raises Cancelled if somebody set `cancelled`."""
        began = time.monotonic()
        found = check_stage(self.verdict.folder)
        if found.level == "problem":
            kind = Kind.TOOL if why_shut(self.verdict.folder) else Kind.NOTHING
            self.verdict.conclude(kind, Failure(str(found)))
        else:
            self._judge()
        self._say_why()
        self.verdict.seconds = time.monotonic() - began
        return self.verdict

    def _judge(self) -> None:
        mark, folder = uuid.uuid4().hex, self.verdict.folder
        adopt_orphans()
        try:
            before = look(folder)
            with workspace(mark) as work:
                try:
                    self.verdict.notes += take_copy(folder, work / "theirs")
                    if not (work / "theirs" / "chatserver.py").is_file():
                        # What chapter 1 asks for can be judged all the same.
                        self.stage = load_stages()[0]
                    self._start(work, mark)
                    self._follow(work)
                finally:
                    for lane in self.lanes:
                        lane.end()
                    kill_all(lambda: marked(mark))
            if changed := differences(before, look(folder)):
                self.verdict.notes.append(meddled(changed))
        except Unfit as error:
            self.verdict.conclude(Kind(error.kind), Failure(str(error)))
        except OSError as error:
            where = error.filename or tempfile.gettempdir()
            self.verdict.conclude(Kind.TOOL, Failure(f"{where}: {error.strerror}"))

    def _start(self, work: Path, mark: str) -> None:
        environ = {
            **plain(os.environ),
            **self.limits.write(),
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(work / "tmp")),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "TEST_PATIENCE": f"{self.limits.hear:g}",
            KEPT: str(self.verdict.folder),
            MARK: mark,
        }
        for name, tests in lanes_for(self.stage, self.browser).items():
            lane = Lane(
                name,
                tests,
                self.thorough,
                self.stage,
                self.verdict.folder,
                work,
                environ,
                self.events,
            )
            self.lanes.append(lane)
            if self.core is not None:
                with suppress(psutil.Error, AttributeError):  # macOS cannot
                    psutil.Process(lane.process.pid).cpu_affinity([self.core])

    def _follow(self, work: Path) -> None:
        """Hear the lanes until they are done, or there is no sense in going on."""
        running = [*self.lanes]
        looked = time.monotonic()
        while running and not self.verdict.failure:
            with suppress(queue.Empty):
                lane, event = self.events.get(timeout=TICK)
                lane.heard = time.monotonic()
                if event:
                    self._hear(lane, **event)
                elif not lane.over and lane.name == "inside":
                    # Their code ran in it, so that is no fault of the tool.
                    self._not_judged("the process that looked into the folder ended")
                    running.remove(lane)
                elif not lane.over:
                    self._tool_failed(lane, "The process of the tests ended early.")
                else:
                    running.remove(lane)
                    if lane.name == "contract" and self.failed:
                        break  # What a browser shows would be no news.
            if self.cancelled.is_set():
                raise Cancelled
            self.tell(self)
            if time.monotonic() - looked > TICK:
                looked = time.monotonic()
                for lane in running:
                    self._watch(lane, work)
        if not self.verdict.failure:
            self._sum_up()

    def _hear(self, lane: Lane, event: str, test: str = "", **more) -> None:
        """Take in what a lane tells."""
        if event == "collected":
            self._collect(**more)
        elif event == "started":
            lane.started = True
        elif event == "test":
            self.at = test
        elif event == "result":
            self._take(lane, test, **more)
        elif event == "over":
            lane.over = True

    def _not_judged(self, says: str) -> None:
        """Take down why no more is known of what is inside the folder."""
        for result in self.verdict.tasks:
            if result.task.inside and result.status == "not reached":
                result.tests += not result.tests
                result.results.append(Result("", "not judged", 0.0, says))

    def _collect(self, tests: list[str], left_out: int) -> None:
        self.known += len(tests)
        self.verdict.left_out += left_out
        for test in tests:
            self._of(test).tests += 1

    def _of(self, test: str) -> TaskResult:
        task = task_of(test)
        for result in self.verdict.tasks:
            if result.task == task:
                return result
        self.verdict.tasks.append(TaskResult(task))
        return self.verdict.tasks[-1]

    def _take(
        self,
        lane: Lane,
        test: str,
        outcome: str,
        seconds: float,
        failure: dict | None,
        says: str = "",
        blames: str = "",
    ) -> None:
        """Take down how a test ended. `blames` is the task at fault, if not its own."""
        self.done += 1
        task = task_of(test)
        if lane.name == "inside" and not task.inside:
            return  # Their code runs in that process, and might tell anything.
        says = failure["says"] if failure else says
        result = Result(test, outcome, seconds, says)
        own = self._of(test)
        own.results.append(result)
        if not failure:
            return
        if blames and (blamed := self._find(blames)) and blamed is not own:
            task, own.cause = blamed.task, blamed.task
            blamed.results.append(result)
            self.excused.add(own.task)
        kind = Kind(failure.pop("kind"))
        found = Failure(test=test, **failure)
        self.failures.append(found)
        if kind is Kind.TOOL:
            # What else is known, is known of the folder.
            own.results.clear()
            self.ended = self.ended or (kind, found, None)
            return
        self.failed = self.failed or not task.in_browser
        self._blame()
        if kind is Kind.WRONG:
            return
        ended = (kind, found, task if lane.started else None)
        if not lane.started:
            # No fault of the task that happened to be the first.
            own.results.clear()
        if task.in_browser:
            # The contract may say more plainly what is wrong. It will not be long.
            self.ended = ended
        else:
            self.verdict.conclude(*ended)

    def _find(self, task: str) -> TaskResult | None:
        found = [one for one in self.verdict.tasks if one.task.id == task]
        return found[0] if found else None

    def _blame(self) -> None:
        """One fault, one task: say of each other task which failure it follows from."""
        failed = {
            one.task
            for one in self.verdict.tasks
            if any(result.outcome == "failed" for result in one.results)
            and one.task not in self.excused
        }
        for one in self.verdict.tasks:
            one.cause = cause(one.task, failed) or one.cause

    def _watch(self, lane: Lane, work: Path) -> None:
        """End the check where a program takes more than it may."""
        limits, sizes = self.limits, {}
        for one in self.lanes:
            # Not all of `work`: what a browser keeps there comes and goes meanwhile.
            for log in (work / one.name).glob("*/*.log"):
                sizes[log] = log.stat().st_size
        if sum(sizes.values()) > limits.output:
            log = max(sizes, key=sizes.get)
            says = f"wrote more than {limits.output / 1e6:g} MB of output"
            with log.open("rb") as file:
                file.seek(-4000, os.SEEK_END)
                tail = file.read().decode("utf-8", "replace")
            self._took_too_much(f"{log.stem} {says}", shorten(tail, work))
        elif (found := weigh(work / lane.name))[0] > limits.disk:
            says = f"It wrote more than {limits.disk / 1e6:g} MB into files, the most "
            self._took_too_much(f"{says}into {found[1].name}")
        elif len(below(lane.process.pid)) > limits.processes:
            self._took_too_much(f"It had more than {limits.processes} processes")
        elif time.monotonic() - lane.heard > limits.silence and not lane.over:
            if lane.name == "inside":
                self._not_judged("what is in the folder never came to an end")
                lane.over = True
                lane.end()
            else:
                self._tool_failed(lane, "The process of the tests has hung.")

    def _took_too_much(self, says: str, output: list[str] | None = None) -> None:
        started = any(lane.started for lane in self.lanes)
        kind = Kind.WRONG if started else Kind.NOT_STARTED
        says = f"{says}, and was ended."
        failure = Failure(says, self.at, server="It", output=output or [])
        self.verdict.conclude(kind, failure)

    def _tool_failed(self, lane: Lane, says: str) -> None:
        text = lane.log.read_text("utf-8", "replace")
        failure = Failure(says, server="pytest", output=shorten(text, ROOT))
        self.verdict.conclude(Kind.TOOL, failure)

    def _sum_up(self) -> None:
        """Say what all the results come to."""
        verdict, whole = self.verdict, self.stage == self.verdict.stage
        asked = [result for result in verdict.tasks if result.tests or result.results]
        failed = [result for result in asked if result.status == "failed"]
        done = all(
            result.status == "passed" or (result.task.inside and result.says)
            for result in asked
        )
        if whole:
            verdict.tasks = asked
        if self.ended and not self.failed:
            verdict.conclude(*self.ended)
        elif failed:
            tests = [one.test for one in failed[0].results if one.outcome == "failed"]
            first = next(one for one in self.failures if one.test in tests)
            verdict.conclude(Kind.WRONG, first, failed[0].task)
        elif not asked or not done:
            verdict.conclude(Kind.TOOL, Failure("Not all of the tests were run."))
        elif not whole:
            says = "There is no chatserver.py beside manage.py. Chapter 2 makes it."
            verdict.conclude(Kind.NOT_STARTED, Failure(says))
        else:
            verdict.kind = Kind.RIGHT

    def _say_why(self) -> None:
        """Say of each task that was not reached why it was not."""
        reasons = {
            Kind.WRONG: "the check ended soon after the first failure",
            Kind.NOTHING: "there is no project",
            Kind.NOT_STARTED: "it did not start",
            Kind.STOPPED: "it stopped answering",
            Kind.TOOL: "the check itself failed",
        }
        for result in self.verdict.tasks:
            result.reason = reasons.get(self.verdict.kind, "")
            if result.task.in_browser and self.failed:
                result.reason = "a browser looks when the tasks above are passed"
