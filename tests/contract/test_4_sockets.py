"""Stage 4: what sockets say is stored as what is posted is, whatever the clock does."""

from __future__ import annotations

import pytest

from tests.contract.test_4_order import NOW
from tests.support.clients import Client
from tests.support.polling import Poller, newcomer, post

SINCE_STAGE = 4


@pytest.mark.parametrize(
    "readings", [[1010, 1005], [1000, 1000], [1000, 970, 1000, 970]], ids=str
)
@pytest.mark.parametrize("posts", [False, True], ids=["sockets", "both"])
def test_no_clock_loses_what_a_socket_says(chat, readings, posts):
    readings = [NOW + reading for reading in readings]
    chat.restart()
    chat.token()  # It is as old as the clock says.
    paula, sent = Poller(chat, "Paula"), []
    try:
        with Client(chat, "Ann") as ann:
            for number, reading in enumerate(readings):
                chat.clock.set(reading)
                chat.note(f"The clock says {reading}")
                sent.append(f"message {number}")
                if posts and number % 2 == 0:
                    post(chat, sent[-1])
                else:
                    ann.say(sent[-1])
                ann.hears(sent[-1], because="it was just said")
                if number == 0:
                    paula.hears(sent[0], because="it was said first")
            chat.clock.set(readings[0] + 3600)
            post(chat, "the last message")
            heard = [sent[0], *paula.until("the last message")]
    finally:
        chat.clock.release()
    who = "a POST and a socket, by turns," if posts else "a socket"
    assert heard == sent, (
        f"While the clock read {readings}, {who} said {sent}. A client that asked "
        "after the first and then on should hear each, once and in order. It heard "
        f"{heard}. Whichever way a message comes, its stamp has to be later than all "
        "before it."
    )


def test_the_same_text_twice_is_two_messages(chat):
    paul = newcomer(chat, "Paul")
    with Client(chat, "Ann") as ann:
        post(chat, "knock")
        post(chat, "knock")
        ann.say("knock")
        ann.hears("knock", "knock", "knock", because="it was said three times")
    post(chat, "who is there?")
    heard = paul.until("who is there?")
    assert heard == ["knock"] * 3, (
        "'knock' was posted twice and then said by a socket. A client that asks should "
        f"hear it three times, and heard {heard}."
    )
