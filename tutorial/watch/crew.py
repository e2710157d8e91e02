"""The processes that judge one save after the other, each a lane that stays.

They are those of `check` (tutorial/check/lanes.py), with one plugin more. Each has
read all the tests before the first save comes, and its servers and its browser stay,
too.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tutorial.check.copies import remove, take_copy
from tutorial.check.lanes import Lane, environment, lanes_for
from tutorial.check.limits import Limits
from tutorial.check.tasks import Task
from tutorial.processes import kill_all, marked
from tutorial.stages import Stage

LANE = "TUTORIAL_LANE"  # names, to all that a lane starts, which one it is
PLUGINS = ("tests.support.events", "tests.support.orders")


class StandingLane(Lane):
    """A lane that runs its tests again and again, each time that it is given an order.

    One where the code under test runs, inside, ends with its first order.
    """

    def __init__(self, name: str, tests: list[str], crew: Crew, number: int):
        self.mark = f"{crew.mark} {crew.stage.id} {name} {number}"
        self.order = 0  # the number of what it was given last
        self.heard_of = 0  # and of what it has begun
        self.ended = False
        self.held: dict = {}  # an order that it was not sent yet
        self.idle = threading.Event()
        self.idle.set()
        self.round: queue.Queue = queue.Queue()
        super().__init__(
            name,
            tests,
            False,
            crew.stage,
            crew.original,
            crew.work,
            crew.environ | {LANE: self.mark},
            self.round,
            plugins=PLUGINS,
            stdin=subprocess.PIPE,
        )

    @property
    def is_alive(self) -> bool:
        """Whether it can be given an order."""
        ended = self.ended or self.process.poll() is not None
        return not ended and not (self.inside and self.order)

    def give(self, round: queue.Queue, number: int, **order) -> None:
        """Have an order for it, which send() sends. Its events go to `round`."""
        self.started = self.over = False
        self.heard = time.monotonic()
        self.round, self.order = round, number
        self.held = {"number": number, **order}
        self.idle.clear()

    def send(self) -> None:
        """Send it the order that it has, if that was not done before."""
        if self.held:
            order, self.held = self.held, {}
            self.heard = time.monotonic()
            self._say(**order)
            if not self.reader.is_alive():  # It had ended before.
                self._rest()

    def stop(self) -> None:
        """Have it leave what it does, if it does anything. Returns at once."""
        if self.held:
            self.held = {}
            self._rest()
        elif not self.idle.is_set():
            self._say(stop=self.order)

    def _say(self, **order) -> None:
        with suppress(OSError):  # It has ended, which its events tell.
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()

    def _read(self, events: queue.Queue) -> None:
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:  # It was ended in the middle of a word.
                break
            if event["event"] == "order":
                self.heard_of = event["number"]
            elif self.heard_of == self.order and not self.idle.is_set():
                self.round.put((self, event))
                if event["event"] == "over":
                    self.ended = event.get("ends", False)
                    self._rest()
        self.ended = True
        self._rest()

    def _rest(self) -> None:
        if not self.idle.is_set():
            self.round.put((self, None))
            self.idle.set()

    def end(self) -> None:
        """End it and all that it started, whatever of that runs."""
        super().end()
        with suppress(OSError):
            self.process.stdin.close()
        kill_all(lambda: marked(self.mark, LANE))


class Crew:
    """The lanes of a stage, for copies of `original`. All of it is below `work`."""

    def __init__(
        self,
        stage: Stage,
        original: Path,
        browser: bool,
        limits: Limits,
        work: Path,
        mark: str,
    ):
        self.stage, self.original, self.work = stage, original, work / stage.id
        reads = work / "reads"
        for folder in (self.work, reads):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)  # A PostgreSQL of another user has to get through.
        # Until there is something of the learner's to be ready for.
        if not (self.work / "theirs").exists():
            stage.copy_to(self.work / "theirs")
        self.mark, self.limits = mark, limits
        self.environ = environment(limits, original, work, mark)
        self.environ["TUTORIAL_READS"] = str(reads)
        self.tests = lanes_for(stage, browser)
        self.lanes: dict[str, StandingLane] = {}
        self.started = 0

    def muster(self, names: Iterable[str] = ()) -> None:
        """Have these lanes ready, or all, new ones in the place of those that ended."""
        for name in names or self.tests:
            lane = self.lanes.get(name)
            if lane is None or not lane.is_alive:
                if lane:
                    lane.end()
                for left in (self.work / name, self.work / f"theirs-{name}"):
                    remove(left)
                self.started += 1
                self.lanes[name] = StandingLane(
                    name, self.tests[name], self, self.started
                )

    def take(self, copy: Path) -> None:
        """Judge this copy from now on. It is moved.

        A lane that has not left the one before yet may be told nonsense of it, which
        nobody hears.
        """
        theirs = self.work / "theirs"
        remove(theirs)
        copy.rename(theirs)

    def has(self, name: str, task: Task) -> bool:
        """Whether the lane of that name judges a task."""
        tests = [f"tests/{test}" for test in task.tests]
        return any(test.startswith(tuple(self.tests[name])) for test in tests)

    def give(self, names: Iterable[str], round: queue.Queue, number: int, **order):
        """Give an order to the lanes of these names. Returns them.

        It is sent to the first one only: the others would be in its way, so they get
        it when there is something to tell. Whoever does not leave what it does for a
        newer save is ended.
        """
        for name in names:
            lane = self.lanes.get(name)
            if lane and not lane.idle.wait(3 * self.limits.stop):
                lane.end()
        self.muster(names)
        lanes = [self.lanes[name] for name in names]
        for lane in lanes:
            if lane.inside:
                theirs = self.work / f"theirs-{lane.name}"
                remove(theirs)
                take_copy(self.work / "theirs", theirs)
            lane.give(round, number, **order)
        lanes[0].send()
        return lanes

    def stop(self) -> None:
        """Have all lanes leave what they do. Does not wait for them."""
        for lane in self.lanes.values():
            if lane.inside and lane.order and not lane.idle.is_set():
                lane.end()
            else:
                lane.stop()

    def end(self) -> None:
        """End all lanes, and what they started."""
        for lane in self.lanes.values():
            lane.end()
        self.lanes.clear()
