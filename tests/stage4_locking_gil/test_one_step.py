"""Stamping a message and storing it are one step, whichever way it comes.

A thread that says something is halted, once at each instruction of the folder's code.
Meanwhile another says something, and a reader asks. Whatever the classes are called:
what is entered is what Twisted calls. (From stage 5 on only the reactor's thread may
say something, so that nobody can come between.)
"""

from __future__ import annotations

import itertools

import pytest

from tests.support.inside import ASKED, START

SINCE_STAGE = 4


WAYS = {
    "post": "a POST",
    "socket": "what a socket says",
    "poll": "the answer to a poll",
}


CLOCKS = {
    "ticks": itertools.count,
    "stands still": itertools.repeat,
    "runs backward": lambda start: itertools.count(start, -1),
}


def act(chat, way: str):
    """A function that says a text, by POST or by a socket, or asks for one."""
    if way == "post":
        return chat.post
    if way == "poll":
        return lambda _: chat.ask(0.0) and ASKED
    return chat.join().textMessageReceived


@pytest.mark.stages(4, 4)
@pytest.mark.parametrize(
    "ways",
    [("post", "post"), ("socket", "post"), ("socket", "socket"), ("poll", "post")],
    ids="-".join,
)
@pytest.mark.parametrize("clock", CLOCKS)
def test_nobody_comes_between_a_stamp_and_its_message(theirs, ways, clock):
    first, second = (act(theirs, way) for way in ways)
    theirs.rehearse(second)
    theirs.clock.readings = CLOCKS[clock](START)
    halts = list(theirs.lost_between(first, second))
    wrong = [(where, says) for where, says in halts if says]
    where, says = wrong[0] if wrong else ("", "")
    cure = (
        "A loop over the messages has to run over a copy of them."
        if ways[0] == "poll"
        else "Stamping a message and storing it have to be one step, under one lock "
        "that everybody takes."
    )
    assert not wrong, (
        f"The clock {clock}. A thread was halted in the middle of {WAYS[ways[0]]}, at "
        f"{where}. Another "
        f"thread stored {WAYS[ways[1]]}, and a client asked. {says} So it is at "
        f"{len(wrong)} of {len(halts)} places. {cure}"
    )
