"""Judge what is in a folder: run the tests of a stage on a copy, and say how it was.

The tests run in processes of their own, the lanes. Whatever happens, all that was
started is ended, and the copy is deleted.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from tutorial.check.copies import (
    UNREADABLE,
    Unfit,
    differences,
    look,
    meddled,
    take_copy,
    workspace,
)
from tutorial.check.fence import Fence
from tutorial.check.hearing import Hearing
from tutorial.check.lanes import Lane, environment, lanes_for
from tutorial.check.limits import Limits, processors
from tutorial.check.tally import Tally
from tutorial.check.tasks import tasks_of
from tutorial.check.verdict import Failure, Kind, TaskResult, Verdict
from tutorial.doctor.checks import check_stage, why_shut
from tutorial.processes import adopt_orphans, kill_all, marked, on_core
from tutorial.settings import SHARED, SHUT_IN, TO_THE_END
from tutorial.stages import Stage, load_stages

MOST_BROWSERS = 4  # at once, for one folder

# A note of the copy: code is missing, or a folder, which may hold some.
NEEDED = re.compile(rf"(.*\.(py|html|js|css)|[^.]+) is not in the copy: {UNREADABLE}")


class Judge:
    """One check of one folder.

    Judges `folder` by the tests of `stage`, with `browser` also by those in a browser,
    with `thorough` also by those that take long or measure how fast something is.
    In a `fence` all that runs is shut in. With `to_the_end` it goes on when something
    has failed, and asks everything: who gives marks wants to know of each task. With
    an `exercise` of the chapter, the folder is to be its solution. `core` is the one
    processor that all of it may use. `tell` is called now and then while it runs, with
    what is known by then in `tally`.
    """

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        *,
        browser: bool = False,
        thorough: bool = False,
        to_the_end: bool = False,
        fence: Fence | None = None,
        exercise: int = 0,
        limits: Limits | None = None,
        core: int | None = None,
        tell: Callable[[Judge], None] = lambda judge: None,
    ):
        self.limits, self.core, self.tell = limits or Limits(), core, tell
        # By these, the tests are chosen.
        self.stage, self.browser, self.thorough = stage, browser, thorough
        self.to_the_end, self.fence, self.exercise = to_the_end, fence, exercise
        tasks = [
            TaskResult(task)
            for task in tasks_of(stage, exercise)
            if browser or not task.in_browser
        ]
        real = Path(os.path.realpath(folder))
        # Of a link that leads nowhere, the sentence names the link.
        folder = real if os.path.lexists(real) else folder.absolute()
        self.verdict = Verdict(stage, folder, Kind.TOOL, tasks)
        self.tally = Tally(self.verdict)
        self.hearing = Hearing(self.tally, self.limits, to_the_end)
        self.cancelled = threading.Event()

    def run(self) -> Verdict:
        """Check the folder. Raises Cancelled if somebody set `cancelled`."""
        began = time.monotonic()
        found = check_stage(self.verdict.folder)
        if found.level == "problem":
            kind = Kind.TOOL if why_shut(self.verdict.folder) else Kind.NOTHING
            self.verdict.conclude(kind, Failure(str(found)))
        else:
            self._judge()
        missed = [note for note in self.verdict.notes if NEEDED.match(note)]
        if missed and self.verdict.kind in (Kind.WRONG, Kind.NOT_STARTED):
            says = f"{missed[0]} Nobody can say how the work is without it."
            self.verdict.conclude(Kind.TOOL, Failure(says))
        self.tally.say_why(self.to_the_end)
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
                    for lane in self.hearing.lanes:
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
            **environment(self.limits, self.verdict.folder, work, mark),
            TO_THE_END: "1" if self.to_the_end else "",
            SHUT_IN: self.fence.name if self.fence else "",
        }
        browsers, shared = 1, {}
        if self.core is None:
            # A page waits about as long as it works. One processor is for the others.
            browsers = min(max(2, int(processors()) - 1), MOST_BROWSERS)
            (work / "taken").mkdir()
            shared = {SHARED: str(work / "taken")}
        with on_core(self.core):
            lanes = lanes_for(self.stage, self.browser, self.exercise, browsers)
            for name, tests in lanes.items():
                lane = Lane(
                    name,
                    tests,
                    self.thorough,
                    self.stage,
                    self.verdict.folder,
                    work,
                    environ | (shared if name.startswith("browser") else {}),
                    self.hearing.events,
                    self.fence,
                    [f"--exercise={self.exercise}"],
                )
                self.hearing.lanes.append(lane)

    def _follow(self, work: Path) -> None:
        self.hearing.follow(work, self.cancelled, lambda: self.tell(self))
        if not self.verdict.failure:
            self.tally.sum_up(self.stage == self.verdict.stage)
