"""Hear what the lanes of a check tell, while there is sense in going on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tutorial.check.lanes import Lane, too_much
from tutorial.check.limits import Limits
from tutorial.check.tally import Tally
from tutorial.check.verdict import Cancelled, Failure, Kind
from tutorial.doctor.mistakes import shorten
from tutorial.stages import ROOT

TICK = 0.5  # seconds between two looks at what a program takes


class Hearing:
    """All `lanes` of a check are heard, and ended where they take too much.

    What they tell goes into the `tally`.
    """

    def __init__(self, tally: Tally, limits: Limits, to_the_end: bool):
        self.tally, self.limits, self.to_the_end = tally, limits, to_the_end
        self.verdict = tally.verdict
        self.events: queue.Queue = queue.Queue()
        self.lanes: list[Lane] = []

    def follow(
        self, work: Path, cancelled: threading.Event, tell: Callable[[], None]
    ) -> None:
        """Hear the lanes until they are done, or there is no sense in going on.

        `tell` is called now and then. Raises Cancelled when that is set.
        """
        running = [*self.lanes]
        looked = time.monotonic()
        while running and not self.verdict.failure:
            with suppress(queue.Empty):
                lane, event = self.events.get(timeout=TICK)
                lane.heard = time.monotonic()
                if event:
                    self._listen(lane, event)
                elif not lane.over and lane.inside:
                    # Their code ran in it, so that is no fault of the tool.
                    says = "the process that looked into the folder ended"
                    self.tally.not_judged(says)
                    running.remove(lane)
                elif not lane.over:
                    self._tool_failed(lane, "The process of the tests ended early.")
                else:
                    running.remove(lane)
                    failed = self.tally.failed and not self.to_the_end
                    if lane.name == "contract" and failed:
                        break  # What a browser shows would be no news.
            if cancelled.is_set():
                raise Cancelled
            tell()
            if time.monotonic() - looked > TICK:
                looked = time.monotonic()
                for lane in running:
                    self._watch(lane, work)

    def _listen(self, lane: Lane, event: dict) -> None:
        """Take in what a lane tells, unless that is nothing that our tests tell."""
        try:
            self.hear(lane, **event)
        except (TypeError, ValueError, KeyError, AttributeError):
            if not lane.inside:
                raise

    def hear(self, lane: Lane, event: str, test: str = "", **more) -> None:
        """Take in what a lane tells."""
        if event == "collected":
            self.tally.collect(lane, **more)
        elif event == "started":
            lane.started = True
        elif event == "test":
            self.tally.at = test
        elif event == "result":
            self.tally.take(lane, test, **more)
        elif event == "over":
            lane.over = True

    def _watch(self, lane: Lane, work: Path) -> None:
        """End the check where a program takes more than it may."""
        if found := too_much(lane, self.lanes, self.limits, work):
            started = any(lane.started for lane in self.lanes)
            kind = Kind.WRONG if started else Kind.NOT_STARTED
            says, output = f"{found[0]}, and was ended.", found[1]
            failure = Failure(says, self.tally.at, server="It", output=output)
            self.verdict.conclude(kind, failure)
        elif time.monotonic() - lane.heard > self.limits.silence and not lane.over:
            if lane.inside:
                says = "what is in the folder never came to an end"
                self.tally.not_judged(says)
                lane.over = True
                lane.end()
            else:
                self._tool_failed(lane, "The process of the tests has hung.")

    def _tool_failed(self, lane: Lane, says: str) -> None:
        text = lane.log.read_text("utf-8", "replace")
        failure = Failure(says, server="pytest", output=shorten(text, ROOT))
        self.verdict.conclude(Kind.TOOL, failure)
