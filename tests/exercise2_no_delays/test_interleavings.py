"""To look and to line up: under every interleaving of speakers and askers.

The laboratory of stage 4 lends its stepper. Each thread is held before each time that
it goes into the reactor, so the stepper decides in which order these visits happen.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pytest_twisted
from twisted.internet import reactor, threads

from tests.support.polling import cursor_of, texts
from tests.support.requests import ORIGIN, get, post
from tests.support.transport import say_in
from tests.support.whitebox import stage_modules
from tutorial.stages import find_stage

SINCE_STAGE = 7


@pytest.fixture
def stepper():
    """The laboratory's module `stepper`, from our own stage 4."""
    folder = find_stage("stage4_locking_gil").folder
    with stage_modules(folder, "lab.stepper") as [stepper]:
        yield stepper


def in_reactor(function: Callable, *args):
    """Call `function` in the reactor's thread, and wait for what it returns."""
    return threads.blockingCallFromThread(reactor, function, *args)


class Asker:
    """A long-poll client in a thread: it asks, takes its answers and asks again."""

    def __init__(self, whole, at: float):
        self.whole, self.at = whole, at
        self.heard: list[str] = []
        self.request = None

    def ask(self) -> None:
        """Take the answer, if there is one; ask if none is waited for."""
        if self.request is not None and self.request.reply is not None:
            self.heard += texts(self.request.reply)
            self.at = cursor_of(self.request.reply)
            self.request = None
        if self.request is None:
            self.request = get(self.whole.http_chat, self.at)

    def is_woken(self, said: set[str]) -> bool:
        """Has it heard all, or is its answer there, without anything more happening?"""
        while self.request.reply is not None:
            self.ask()
        return {*self.heard} == said


class TwoSteps(Asker):
    """As it must not be: looks, and lines up in another visit to the reactor."""

    def look(self) -> None:
        room = self.whole.factory.rooms[1]
        self.found = [message.text for message in room.messages.after(self.at)]

    def line_up(self) -> None:
        if self.found:
            self.heard += self.found
        else:
            room = self.whole.factory.rooms[1]
            room.delayed_requests.append(self)

    def callback(self, _) -> None:
        self.look()
        self.heard += self.found

    def is_woken(self, said: set[str]) -> bool:
        return {*self.heard} == said


def asleep(
    classes, stepper, make: type, visits: list[str], says: int, asks: int, turns: int
):
    """Play every schedule; returns their number, and those after which one sleeps on.

    So many speakers say something, each once; so many askers make the `visits`. The
    reactor's `turns`, in which is sent what was said, are a step like all others;
    where there are none, it is sent at once.
    """
    speakers = [f"S{number}" for number in range(says)]
    askers = [f"A{number}" for number in range(asks)]
    said = {f"news of {name}" for name in speakers}
    now: list[Asker] = []
    wholes: list = []

    def scene() -> dict[str, Callable[[], None]]:
        whole = classes.build([ORIGIN])
        at = cursor_of(in_reactor(post, whole.http_chat, "mark").reply)
        now[:] = [make(whole, at) for _ in askers]
        whole.reactor.next_turn = {"tell"} if turns else set()
        wholes[:] = [whole]

        def speak(name: str) -> Callable[[], None]:
            def body() -> None:
                steps.stop("S")
                in_reactor(say_in, whole.factory.rooms[1], f"news of {name}")

            return body

        def ask(asker: Asker) -> Callable[[], None]:
            def body() -> None:
                for visit in visits:
                    steps.stop("A")
                    in_reactor(getattr(asker, visit))

            return body

        def turn() -> None:
            for _ in range(turns):
                steps.stop("T")
                in_reactor(whole.reactor.turn)

        bodies = {name: speak(name) for name in speakers}
        bodies |= {name: ask(asker) for name, asker in zip(askers, now, strict=True)}
        return bodies | dict.fromkeys(clocks, turn)

    played, lost = 0, []
    clocks = ["T0"] * bool(turns)
    with stepper.Stepper(speakers + askers + clocks, "SAT") as steps:
        for schedule in steps.explore(scene):
            played += 1
            in_reactor(wholes[0].reactor.turn)
            if not all(in_reactor(asker.is_woken, said) for asker in now):
                lost.append(" ".join(schedule))
    return played, lost


@pytest.mark.parametrize(
    ("says", "asks", "visits", "turns", "schedules"),
    [
        (1, 1, 1, 0, 2),
        (1, 1, 2, 0, 3),
        (2, 1, 2, 0, 12),
        (2, 2, 2, 0, 180),
        (1, 1, 1, 1, 6),
        (1, 1, 2, 1, 12),
        (2, 1, 2, 2, 180),
    ],
)
@pytest_twisted.ensureDeferred
async def test_no_interleaving_leaves_anybody_asleep(
    classes, stepper, says, asks, visits, turns, schedules
):
    played, lost = await threads.deferToThread(
        asleep, classes, stepper, Asker, ["ask"] * visits, says, asks, turns
    )
    assert played == schedules
    assert lost == [], f"somebody sleeps on, though there is news, after {lost[0]}"


@pytest_twisted.ensureDeferred
async def test_in_two_steps_a_wake_up_is_lost(classes, stepper):
    played, lost = await threads.deferToThread(
        asleep, classes, stepper, TwoSteps, ["look", "line_up"], 1, 1, 0
    )
    assert (played, lost) == (3, ["A0 S0 A0"])
