"""Coming, renewing and leaving, in every order: no name too many, none too few."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from twisted.python.failure import Failure

from tests.support.requests import ORIGIN, get, token
from tests.support.transport import join, told_here

SINCE_STAGE = 10
GONE = Failure(Exception("gone"))
LINGERS = 3  # seconds that who has left is counted
STEP = 1.6  # seconds: two of them are longer than that, and one is not
LIFE = 1000


def orders(actors: dict[str, list[str]]) -> Iterator[list[tuple[str, str]]]:
    """Every order of all steps that leaves the steps of each actor in theirs."""
    if not any(actors.values()):
        yield []
    for name, steps in actors.items():
        if steps:
            for rest in orders(actors | {name: steps[1:]}):
                yield [(name, steps[0]), *rest]


@dataclass
class Stage:
    """A room, a watcher in it who never leaves, and who comes and goes."""

    whole: object
    now: dict[str, tuple[int, str]] = field(default_factory=dict)  # by window
    left: list[tuple[float, int, str]] = field(default_factory=list)
    windows: dict[str, object] = field(default_factory=dict)
    made: int = 0

    def __post_init__(self):
        self.clock = self.whole.reactor
        tokens = sys.modules["chat.tokens"]
        tokens.time = SimpleNamespace(time=self.clock.seconds)
        self.watcher = join(self.whole.factory, shown=self.ticket(9, "Watcher"))

    def ticket(self, user: int, name: str) -> str:
        self.made += 1  # Each one ends later than the one before.
        return token(1, user, name, self.clock.seconds() + LIFE + self.made)

    def ann_comes(self, window: str) -> None:
        """A window with a page that was loaded before she was given another name."""
        self.now[window] = (1, "Ann")
        self.windows[window] = join(
            self.whole.factory, shown=self.ticket(*self.now[window])
        )

    def ann_renews(self, window: str) -> None:
        user, name = self.now[window]
        self.left.append((self.clock.seconds(), user, name))
        self.now[window] = (1, "Anna")
        shown = self.ticket(*self.now[window])
        self.windows[window].textMessageReceived(f'{{"token": "{shown}"}}')

    def ann_goes(self, window: str) -> None:
        self.left.append((self.clock.seconds(), *self.now.pop(window)))
        self.windows.pop(window).connectionLost(GONE)

    def bob_asks(self, window: str) -> None:
        self.now[window] = (2, "Bob")
        self.windows[window] = get(
            self.whole.http_chat, ("epoch1", 0), bearer=self.ticket(2, "Bob")
        )

    def bob_hangs_up(self, window: str) -> None:
        self.left.append((self.clock.seconds(), *self.now.pop(window)))
        self.windows.pop(window).leave()

    def time_passes(self, window: str) -> None:
        self.clock.pump([STEP / 2, STEP / 2])

    def wrong(self) -> str:
        """What is wrong with the list at this moment, if anything is."""
        told, _ = self.whole.factory.rooms[1].presence.here()
        here = json.loads(told)
        told = {one["id"]: one["name"] for one in here}
        if len(told) != len(here):
            return f"somebody is here twice: {here}"
        since = self.clock.seconds() - LINGERS
        recent = [tuple(who) for when, *who in self.left if when > since]
        for user, _ in self.now.values():
            if user not in told:
                return f"user {user} is here, and not in {here}"
        for user, _ in recent:
            if user not in told:
                return f"user {user} has just left, and is not in {here}"
        known = [*self.now.values(), *recent, (9, "Watcher")]
        for who in told.items():
            if who not in known:
                return f"{who} is in the list, and nobody has that name any more"
        return ""

    def wrong_in_the_end(self) -> str:
        """What is wrong when nothing has happened for long."""
        self.clock.pump([LINGERS, LINGERS])
        names = {9: "Watcher"}
        for user, name in self.now.values():
            names[user] = max(name, names.get(user, name))  # Anna is newer than Ann.
        last = told_here(self.watcher)[-1]
        if last != sorted(names.values()):
            return f"the watcher was told {last} last, but here are {names}"
        for window, client in self.windows.items():
            if hasattr(client, "transport") and told_here(client)[-1] != last:
                return f"{window} was told {told_here(client)[-1]} last, not {last}"
        return ""

    def close(self) -> None:
        for client in [*self.windows.values(), self.watcher]:
            client.leave() if hasattr(client, "leave") else client.connectionLost(GONE)


def play(classes, actors: dict[str, list[str]]) -> tuple[int, list[str]]:
    """Play every order; returns their number, and after which something was wrong."""
    played, wrong = 0, []
    for order in orders(actors):
        played += 1
        stage = Stage(classes.build([ORIGIN]))
        for count, (window, step) in enumerate(order, 1):
            getattr(stage, step)(window)
            if what := stage.wrong():
                wrong.append(f"{order[:count]}: {what}")
        if what := stage.wrong_in_the_end():
            wrong.append(f"{order}: {what}")
        stage.close()
    return played, wrong


WINDOW = ["ann_comes", "ann_renews", "ann_goes"]
ACTORS = {
    "one window, and time": {"w1": WINDOW, "time": ["time_passes"] * 3},
    "two windows": {"w1": WINDOW, "w2": WINDOW[:2], "time": ["time_passes"] * 2},
    "one goes, the other stays": {
        "w1": WINDOW,
        "w2": ["ann_comes", "ann_goes"],
        "time": ["time_passes"] * 2,
    },
    "a window and polls": {
        "w1": WINDOW,
        "p1": ["bob_asks", "bob_hangs_up", "bob_asks"],
        "time": ["time_passes"] * 2,
    },
}
SCHEDULES = {
    "one window, and time": 20,
    "two windows": 210,
    "one goes, the other stays": 210,
    "a window and polls": 560,
}


@pytest.mark.parametrize("who", ACTORS)
def test_in_no_order_a_name_is_missing_or_too_many(classes, who):
    played, wrong = play(classes, ACTORS[who])
    assert played == SCHEDULES[who]
    assert wrong == [], f"{len(wrong)} of {played}, and the first: {wrong[0]}"


def stays(presence, old, new) -> None:
    """As it must not be: the old ticket is never given back."""
    presence.arrive(new)


def never_leaves(presence, ticket) -> None:
    """As it must not be: a poll that is given up goes on counting."""


def leaves_at_once(presence, ticket) -> None:
    """As it must not be: nobody stays on the list for some seconds."""
    presence.tickets[ticket] -= 1
    if not presence.tickets[ticket]:
        presence.gone(ticket)


@pytest.mark.parametrize(
    ("method", "instead", "who"),
    [
        ("renew", stays, "one window, and time"),
        ("leave", never_leaves, "a window and polls"),
        ("leave", leaves_at_once, "one goes, the other stays"),
    ],
)
def test_a_mistake_shows_in_some_order(
    classes, monkeypatch, method: str, instead: Callable, who: str
):
    monkeypatch.setattr(classes.Presence, method, instead)
    _, wrong = play(classes, ACTORS[who])
    assert wrong, "a name should be missing, or be too many, in some order"
