"""To be told what was missed, and to go live: under every interleaving with speakers.

The laboratory of stage 4 lends its stepper, as in exercise 2. The reactor's turns, in
which is sent what was said, are a step like all others.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pytest_twisted
from twisted.internet import threads
from twisted.python.failure import Failure

from tests.exercise2_no_delays.test_interleavings import in_reactor, stepper
from tests.support.polling import cursor_of
from tests.support.requests import ORIGIN, get, post
from tests.support.transport import batches, join, say_in

__all__ = ["stepper"]
SINCE_STAGE = 8
GONE = Failure(Exception("gone"))


class Comer:
    """A client that comes, goes and comes again, with its cursor."""

    def __init__(self, whole, at: tuple[str, int]):
        self.whole, self.at = whole, at
        self.heard: list[str] = []
        self.resets = 0

    def take(self, batch: dict) -> None:
        """Hear what is new in a batch, as a page does."""
        self.resets += batch["reset"]
        self.heard += [message["text"] for message in batch["data"]]
        self.at = cursor_of(batch)


class Socket(Comer):
    """One that comes by socket."""

    socket = None

    def come(self) -> None:
        self.socket = join(self.whole.factory, 1, self.at)

    def go(self) -> None:
        """Hear all that came, and then hang up."""
        for batch in batches(self.socket):
            self.take(batch)
        self.socket.connectionLost(GONE)


class Poll(Comer):
    """One that asks; the answer is taken when it goes, or the question given up."""

    def come(self) -> None:
        self.request = get(self.whole.http_chat, self.at)

    def go(self) -> None:
        if self.request.reply is None:
            self.request.leave()
        else:
            self.take(self.request.reply)


class TwoSteps(Socket):
    """As it must not be: takes the history, and goes live in another visit."""

    def come(self) -> None:
        room = self.whole.factory.rooms[1]
        self.clients, room.clients = room.clients, []
        super().come()
        room.clients = self.clients

    def line_up(self) -> None:
        self.clients.append(self.socket)

    def go(self) -> None:
        if self.socket not in self.clients:
            self.line_up()
        super().go()


def play(classes, stepper, make: type, visits: list[str], turns: int):
    """Play every schedule of two speakers, one comer and so many turns of the reactor.

    Returns their number, and those after which the comer has not heard both messages,
    once, in the order of the store.
    """
    names = ["S0", "S1", "C0", *["T0"] * bool(turns)]
    now: list = []

    def scene() -> dict[str, Callable[[], None]]:
        whole = classes.build([ORIGIN])
        at = cursor_of(in_reactor(post, whole.http_chat, "mark").reply)
        whole.reactor.next_turn = {"tell"}
        now[:] = [whole, make(whole, at)]

        def speak(name: str) -> Callable[[], None]:
            def body() -> None:
                steps.stop("S")
                in_reactor(say_in, whole.factory.rooms[1], f"news of {name}")

            return body

        def come() -> None:
            for visit in visits:
                steps.stop("C")
                in_reactor(getattr(now[1], visit))

        def turn() -> None:
            for _ in range(turns):
                steps.stop("T")
                in_reactor(whole.reactor.turn)

        bodies = {"S0": speak("S0"), "S1": speak("S1"), "C0": come, "T0": turn}
        return {name: bodies[name] for name in names}

    def is_right() -> bool:
        whole, comer = now
        whole.reactor.turn()
        comer.go()
        # Whatever it has not heard by then, it is told when it comes once more.
        comer.come()
        comer.go()
        said = [message.text for message in whole.messages.messages][1:]
        for parked in whole.reactor.getDelayedCalls():
            parked.cancel()
        return comer.heard == said and comer.resets == 0

    played, wrong = 0, []
    with stepper.Stepper(names, "SCT") as steps:
        for schedule in steps.explore(scene):
            played += 1
            if not in_reactor(is_right):
                wrong.append(" ".join(schedule))
    return played, wrong


@pytest.mark.parametrize("make", [Socket, Poll])
@pytest.mark.parametrize(
    ("visits", "turns", "schedules"), [(1, 1, 24), (3, 1, 120), (3, 2, 420)]
)
@pytest_twisted.ensureDeferred
async def test_no_interleaving_has_a_seam(
    classes, stepper, make, visits, turns, schedules
):
    comes_and_goes = ["come", "go", "come"][:visits]
    played, wrong = await threads.deferToThread(
        play, classes, stepper, make, comes_and_goes, turns
    )
    assert played == schedules
    assert wrong == [], f"something is missing, or comes twice, after {wrong[0]}"


@pytest_twisted.ensureDeferred
async def test_in_two_steps_there_is_a_seam(classes, stepper):
    played, wrong = await threads.deferToThread(
        play, classes, stepper, TwoSteps, ["come", "line_up"], 1
    )
    assert played == 60
    assert wrong, "what is sent between the two steps should be missing"
