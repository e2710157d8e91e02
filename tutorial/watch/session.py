"""What happens at a save: it is copied, read, and judged, until there is a newer one.

One thread takes each save, and has the answer where Python cannot read it. Another one
has it judged: first the tasks that were not done last time, which is the quick answer;
then all, as `check` does.
"""

from __future__ import annotations

import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import psutil

from tutorial.check.copies import Unfit, contents, remove, take_copy, workspace
from tutorial.check.hearing import Hearing
from tutorial.check.judge import Judge
from tutorial.check.lanes import Lane
from tutorial.check.limits import limits_here
from tutorial.check.tally import words_of
from tutorial.check.tasks import Task, place, tasks_of
from tutorial.check.verdict import Cancelled, Failure, Kind, TaskResult, Verdict
from tutorial.doctor.checks import check_stage
from tutorial.doctor.mistakes import printable
from tutorial.processes import adopt_orphans, kill_all, marked
from tutorial.stages import Stage, load_stages
from tutorial.watch.crew import Crew
from tutorial.watch.folder import Folder
from tutorial.watch.warden import Warden

DECIDED = ("passed", "failed")


class Relay(Hearing):
    """Hears one lane after the other: the next gets its order when there is news."""

    def hear(self, lane: Lane, event: str, *about, **more) -> None:
        """Take in what a lane tells."""
        super().hear(lane, event, *about, **more)
        if event in ("result", "over"):
            for other in self.lanes:
                other.send()


class Round(Judge):
    """A check by lanes that are there already: of all `tasks`, or of those by id."""

    def __init__(
        self,
        crew: Crew,
        lanes: Iterable[str],
        number: int,
        tasks: list[str] | None,
        first: str,
        *about,
        **more,
    ):
        super().__init__(*about, **more)
        self.hearing = Relay(self.tally, self.limits, self.to_the_end)
        self.first = first  # the test that is run first
        self.crew, self.names, self.number, self.only = crew, lanes, number, tasks

    def _judge(self) -> None:
        self.stage = self.crew.stage
        # Of those that are asked first, one that is not done is enough.
        after = self.limits.after_failure if self.only is None else 0.0
        try:
            self.hearing.lanes = self.crew.give(
                self.names,
                self.hearing.events,
                self.number,
                tasks=self.only,
                first=self.first,
                after_failure=after,
            )
            self._follow(self.crew.work)
        finally:
            self.crew.stop()

    def cancel(self) -> None:
        """Have it end at once, from another thread."""
        self.cancelled.set()
        for lane in self.hearing.lanes[:1]:
            self.hearing.events.put((lane, {"event": "cancelled"}))


@dataclass
class Save:
    """What is known of the folder as it was at one moment."""

    number: int
    copy: Path
    files: dict[str, bytes] = field(default_factory=dict)
    at: datetime = field(default_factory=datetime.now)
    began: float = field(default_factory=time.monotonic)
    notes: list[str] = field(default_factory=list)
    verdict: Verdict | None = None  # when all is tried
    kind: Kind | None = None  # what it comes to, as far as is known
    failure: Failure | None = None  # of the first task that is not done
    task: Task | None = None
    results: dict[Task, TaskResult] = field(default_factory=dict)
    doing: str = "is copied"  # what happens to it now; empty when all is tried
    first: str = ""  # the test that has passed first, in words
    seconds: float | None = None  # until there was an answer
    hasty: bool = False  # were pages given less time than they have in the end?
    guessed: bool = False  # is the failure only what Python says of a file?

    def answer(self, kind: Kind, failure: Failure | None, task: Task | None) -> None:
        """Take down an answer."""
        self.kind, self.failure, self.task = kind, failure, task
        if self.seconds is None:
            self.seconds = time.monotonic() - self.began

    def passed(self, judge: Judge) -> None:
        """Take down that a test has passed, and none has failed so far."""
        for task in [*judge.verdict.tasks]:
            for result in [*task.results]:
                if not self.first and result.outcome == "passed":
                    self.first = words_of(result.test)
        self.kind = self.failure = self.task = None
        self.guessed = False
        if self.seconds is None:
            self.seconds = time.monotonic() - self.began

    def take(self, judge: Round) -> None:
        """Take down how far a judging has come."""
        tally = judge.tally
        for result in [*judge.verdict.tasks]:
            if result.status in DECIDED or result.status == "not judged":
                self.results[result.task] = result
        failed = [r for r in self.results.values() if r.status == "failed"]
        self.hasty = judge.only is not None
        for result in sorted(failed, key=lambda one: place(one.task)):
            tests = {one.test for one in result.results if one.outcome == "failed"}
            for failure in [*tally.failures]:
                if failure.test in tests:
                    self.answer(Kind.WRONG, failure, result.task)
                    return
            if result.task == self.task:
                return
        if tally.done and not failed:
            self.passed(judge)
        if tally.at:
            self.doing = tally.doing


class Session:
    """A watch of a folder, by the tasks of a stage, in a `with` statement.

    `tell` is called whenever there is news, from any thread.
    """

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        *,
        browser: bool,
        tell: Callable[[], None],
    ):
        self.stage, self.folder = stage, folder
        self.browser, self.limits, self.tell = browser, limits_here(), tell
        self.tasks = [
            task for task in tasks_of(stage) if browser or not task.in_browser
        ]
        self.known: dict[Task, str] = {}  # how each task did last, of whatever save
        self.save: Save | None = None  # the newest
        self.fault: BaseException | None = None  # of ours
        self.failed_test = ""  # the one that failed last, by its id
        self.orders = 0
        self.removed = 1  # the copies of saves before this one
        self.judge: Round | None = None
        self.fresh = threading.Event()  # is there a save that nobody judges yet?
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.crews: dict[str, Crew] = {}

    def __enter__(self) -> Session:
        adopt_orphans()
        self.mark = uuid.uuid4().hex
        with ExitStack() as stack:
            stack.enter_context(Warden())
            self.work = stack.enter_context(workspace(self.mark))
            stack.callback(kill_all, lambda: marked(self.mark))
            self.watched = stack.enter_context(Folder(self.folder))
            self.threads = [
                threading.Thread(target=self._guard, args=[work], daemon=True)
                for work in (self._take_all, self._judge_all)
            ]
            stack.callback(self._end)
            for thread in self.threads:
                thread.start()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exc) -> None:
        self.stack.close()

    def _end(self) -> None:
        self.over.set()
        self.watched.stirred.set()
        self.fresh.set()
        with self.lock:
            if self.judge:
                self.judge.cancel()
        for thread in self.threads:
            thread.join()
        for crew in self.crews.values():
            crew.end()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self.fault = error
            self.tell()

    # --- Each save is taken -----------------------------------------------------

    def _take_all(self) -> None:
        self.watched.stirred.set()
        while not self.over.is_set():
            if self.watched.wait(60) and not self.over.is_set():
                self._take()

    def _take(self) -> None:
        """Take a copy of the folder, and say what can be said of it at once."""
        old = self.save
        number = old.number + 1 if old else 1
        save = Save(number, self.work / f"save-{number}")
        remove(save.copy)
        failure, kind = None, Kind.NOTHING
        try:
            save.notes = take_copy(self.folder, save.copy)
            save.files = contents(save.copy)
        except Unfit as error:
            kind, failure = Kind(error.kind), Failure(str(error))
        except OSError as error:  # It changes under our hands.
            self.watched.stirred.set()
            failure = Failure(f"{error.filename}: {error.strerror}")
        found = check_stage(self.folder)
        if found.level == "problem":
            failure = Failure(str(found))
        elif not failure and (unreadable := unreadable_in(save.files)):
            kind, (name, failure) = Kind.NOT_STARTED, unreadable
            # Perhaps nobody wants to read it. Then it is a guess.
            save.guessed = name not in self._read()
        same = old and old.files == save.files
        if same and (not failure or (old.failure and old.failure == failure)):
            return
        if failure:
            save.answer(kind, failure, None)
            save.doing = save.doing if save.guessed else ""
        with self.lock:
            self.save = save
            if self.judge:
                self.judge.cancel()
        self.fresh.set()
        self.tell()

    def _read(self) -> set[str]:
        """The files that the servers which run now have read."""
        return {
            name
            for notes in (self.work / "reads").glob("*")
            if psutil.pid_exists(int(notes.name))
            for name in notes.read_text("utf-8", "replace").splitlines()
        }

    # --- and judged -------------------------------------------------------------

    def _judge_all(self) -> None:
        while not self.over.is_set():
            self.fresh.wait()
            self.fresh.clear()
            save = self.save
            if self.over.is_set():
                return
            try:
                crew = self._crew(save)
                if save.doing:
                    self._judge(save, crew)
                    self.tell()
                else:
                    crew.muster()
            except Cancelled:
                pass
            for number in range(self.removed, save.number + (not save.doing)):
                remove(self.work / f"save-{number}")
                self.removed = number

    def _crew(self, save: Save) -> Crew:
        """The lanes for a save, ready; others that will not be needed are ended."""
        stage = self.stage
        if "chatserver.py" not in save.files:
            stage = load_stages()[0]  # As `check` has it.
        for other in [*self.crews]:
            if other not in (stage.id, self.stage.id):
                self.crews.pop(other).end()
        return self._ready(stage)

    def _ready(self, stage: Stage) -> Crew:
        if stage.id not in self.crews:
            self.crews[stage.id] = Crew(
                stage, self.folder, self.browser, self.limits, self.work, self.mark
            )
        return self.crews[stage.id]

    def _judge(self, save: Save, crew: Crew) -> None:
        """Judge a save: first what was not done, then all."""
        crew.take(save.copy)
        save.doing = "is started"
        self.tell()
        if first := self._first(crew):
            lane, tasks = first
            verdict = self._round(save, crew, [lane], tasks)
            if verdict.kind is Kind.NOT_STARTED and verdict.failure.test:
                self._conclude(save, verdict)
                return
        self._conclude(save, self._round(save, crew, [*crew.tests], None))
        self.tell()
        # While nobody waits.
        self._refit()
        for stage in (crew.stage, self.stage):
            self._ready(stage).muster()

    def _refit(self) -> None:
        """Have other lanes where this machine is much busier than it was, or less."""
        limits = limits_here()
        if not 2 / 3 < limits.hear / self.limits.hear < 3 / 2:
            self.limits = limits
            for other in [*self.crews]:
                self.crews.pop(other).end()

    def _first(self, crew: Crew) -> tuple[str, list[str]] | None:
        """The lane and the tasks that were not done when they were last judged."""
        asked = [task for task in tasks_of(crew.stage) if task in self.known]
        undone = [task for task in self.tasks if self.known.get(task) != "passed"]
        undone = [task for task in undone if task in tasks_of(crew.stage)]
        if not asked or not undone:
            return None
        first = next((t for t in undone if self.known.get(t) == "failed"), undone[0])
        lane = next(name for name in crew.tests if crew.has(name, first))
        return lane, [task.id for task in undone if crew.has(lane, task)]

    def _round(
        self, save: Save, crew: Crew, lanes: list[str], tasks: list[str] | None
    ) -> Verdict:
        self.orders += 1
        judge = Round(
            crew,
            lanes,
            self.orders,
            tasks,
            self.failed_test if tasks else "",
            self.stage,
            self.folder,
            browser=self.browser,
            limits=self.limits,
        )

        def tell(judge: Judge) -> None:
            save.take(judge)
            if save.failure and save.kind is Kind.WRONG:
                self.failed_test = save.failure.test
            for task, result in save.results.items():
                if result.status in DECIDED:
                    self.known[task] = result.status
            self.tell()

        judge.tell = tell
        with self.lock:
            if self.save is not save or self.over.is_set():
                raise Cancelled
            self.judge = judge
        try:
            return judge.run()
        finally:
            with self.lock:
                self.judge = None

    def _conclude(self, save: Save, verdict: Verdict) -> None:
        save.results = {result.task: result for result in verdict.tasks}
        for task, result in save.results.items():
            if result.status != "not reached":
                self.known[task] = result.status
        save.notes += verdict.notes
        save.answer(verdict.kind, verdict.failure, verdict.task)
        save.verdict, save.doing = verdict, ""


def unreadable_in(files: dict[str, bytes]) -> tuple[str, Failure] | None:
    """The first file that Python cannot read, by name, and what it says of it."""
    for name, text in sorted(files.items()):
        if name.endswith(".py") and (failure := syntax_error(name, text)):
            return name, failure
    return None


@lru_cache(256)
def syntax_error(name: str, text: bytes) -> Failure | None:
    """What Python cannot read of a file, as its own words; None if it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f"{printable(name)}, line {line}" if line else printable(name)
        says = printable(getattr(error, "msg", None) or str(error))
        shown = printable((getattr(error, "text", None) or "").rstrip())
        return Failure(f"{where}: {says}", output=[shown] * bool(shown))
    return None
