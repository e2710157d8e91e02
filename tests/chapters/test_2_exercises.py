"""Exercises of chapter 2: goodbye, how many are here, a shorter message."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect

from tests.support.clients import SECONDS, Client, short
from tests.support.html import parse

pytestmark = pytest.mark.stages(2, 2)
GOODBYE = "somebody left"
FEW = 10  # characters


@pytest.mark.exercise(1)
def test_the_others_hear_that_somebody_left(chat):
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        with Client(chat, "Cy"):
            pass
        for client in (ann, bob):
            came = client.receive(f"hear {GOODBYE!r}, because Cy has left")
            assert came == GOODBYE, (
                f"Cy has left, so {client.name} should hear {GOODBYE!r}. "
                f"Instead: {short(came)}."
            )


@pytest.mark.exercise(1)
def test_each_is_told_of_once_and_the_talk_goes_on(chat):
    with Client(chat, "Ann") as ann:
        with Client(chat, "Bob"), Client(chat, "Cy"):
            pass
        for _ in range(2):
            ann.receive(f"hear {GOODBYE!r} once for each of two who have left")
        ann.say("still here")
        came = ann.receive("hear what she says herself")
        assert came == "still here", (
            "Two have left, and Ann was told of two. She says 'still here', and should "
            f"hear that next. Instead: {short(came)}."
        )


def greeting(chat, stack: ExitStack) -> tuple:
    """Open a socket until the end of `stack`. Returns it, and the number it is told."""
    socket = stack.enter_context(
        connect(chat.ws_url, origin=chat.origin, proxy=None, close_timeout=1)
    )
    text = socket.recv(timeout=SECONDS)
    chat.note(f"a new client hears {short(text)}")
    found = re.fullmatch(r"connected \.\.\.\. (\d+) here", text)
    assert found, (
        "Who joins should be greeted with 'connected .... 3 here', where 3 is how many "
        f"are in the chat, the newcomer included. Instead: {short(text)}."
    )
    return socket, int(found[1])


@pytest.mark.exercise(2)
def test_the_greeting_says_how_many_are_here(chat):
    with ExitStack() as stack:
        told = [greeting(chat, stack)[1] for _ in range(3)]
    assert told == [1, 2, 3], (
        "Three join, one after the other, and nobody else is there. They should be "
        f"told 1, 2 and 3, but were told {told}."
    )


@pytest.mark.exercise(2)
def test_who_has_left_does_not_count_and_all_hear_each_other(chat):
    with ExitStack() as stack:
        first, _ = greeting(chat, stack)
        with ExitStack() as short_visit:
            greeting(chat, short_visit)
        second, told = greeting(chat, stack)
        assert told == 2, (
            "One is there, one has come and left, and another joins. That one should "
            f"be told 2, but was told {told}."
        )
        second.send("hello")
        for socket in (first, second):
            came = socket.recv(timeout=SECONDS)
            assert came == "hello", (
                "One says 'hello', and both who are there should hear it. One of them "
                f"heard {short(came)}."
            )


@pytest.mark.exercise(3)
def test_the_server_takes_ten_characters_and_no_more(chat):
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        ann.say("x" * FEW)
        bob.hears("x" * FEW, because="ten characters are allowed")
        ann.say("x" * (FEW + 1))
        ann.is_closed_with(1009, because="eleven characters are more than ten")
        bob.say("y" * FEW)
        bob.hears("y" * FEW, because="the eleven were Ann's, and reach nobody")


@pytest.mark.exercise(3)
def test_the_box_takes_no_more_than_the_server(chat):
    path = chat.rooms()[0]
    page = parse(chat.get(path).text)
    limits = [box["maxlength"] for box in page("input", maxlength=True)]
    assert limits == [str(FEW)], (
        f"The box of {path} should take as many characters as the server, with "
        f'maxlength="{FEW}". The page says: {limits or "nothing of the kind"}.'
    )
