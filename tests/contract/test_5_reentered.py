"""Stage 5: who is answered may speak at once, while others still wait for theirs."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import pytest

from tests.support.clients import Client
from tests.support.polling import SECONDS, ask, newcomer, post, settle, texts

SINCE_STAGE = 5


def test_a_post_behind_a_parked_poll_costs_nobody_else_an_answer(chat):
    paul = newcomer(chat, "Paul")
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {chat.token()}\r\n"
    poll = f"GET /{chat.query(paul.lastupdate)} HTTP/1.1\r\n{head}\r\n"
    form = chat.form("from behind")
    behind = (
        f"POST / HTTP/1.1\r\n{head}"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\nConnection: close\r\n\r\n{form}"
    )
    with socket.create_connection(("127.0.0.1", chat.chat_port), SECONDS) as raw:
        raw.sendall((poll + behind).encode())
        chat.note("On one connection: a poll that has to wait, and a POST behind it")
        settle(chat)
        others = [ask(chat, paul.lastupdate) for _ in range(3)]
        settle(chat)
        answer = post(chat, "news")
        woken = [other.answer().status for other in others]
        came = b""
        while data := raw.recv(65536):
            came += data
    assert (answer.status, woken) == (200, [200] * 3), (
        "Four polls are parked, and behind the first of them, on its connection, waits "
        "a POST. Somebody posts 'news'. Each poll should be answered 200, and so "
        f"should who posted. The polls were answered {woken}, the POST {answer.status}."
    )
    assert came.count(b"200 OK") == 2, (
        "A poll was parked, and a POST waited behind it on its connection. Both should "
        f"be answered with 200 OK. It came {came!r}."
    )


@pytest.mark.stages(5, 6)
def test_who_has_to_go_on_waiting_is_not_forgotten(chat):
    paul, now = newcomer(chat, "Paul"), time.time()
    ahead = ask(chat, now + 1000)
    parked = ask(chat, paul.lastupdate)
    settle(chat)
    with Client(chat, "Ann") as ann:
        ann.say("for who is up to date")
        ann.hears("for who is up to date", because="she said it")
    parked.answer()  # So by now the server has looked at both.
    try:
        chat.clock.set(now + 2000)
        said = post(chat, "for who is ahead")
        if said.reply["timestamp"] <= now + 1000:
            ahead.leave()
            return  # These stamps follow no clock, so nobody can be ahead of it.
        told = texts(ahead.answer().reply)
    finally:
        chat.clock.release()
        chat.restart()  # The stamps of the next ones shall be of today.
    assert told == ["for who is ahead"], (
        "Two polls waited, and there was something to say to one of them only. When "
        "there was something for the other, it should be told that, and was told "
        f"{told}."
    )


@pytest.mark.stages(5, 6)
def test_a_poll_behind_a_parked_one_waits_like_any_other(chat):
    paul, now = newcomer(chat, "Paul"), time.time()
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {chat.token()}\r\n"
    both = [
        f"GET /{chat.query(cursor)} HTTP/1.1\r\n{head}{more}\r\n"
        for cursor, more in (
            (paul.lastupdate, ""),
            (now + 1000, "Connection: close\r\n"),
        )
    ]
    with socket.create_connection(("127.0.0.1", chat.chat_port), SECONDS) as raw:
        raw.sendall("".join(both).encode())
        chat.note("On one connection: two polls, one behind the other")
        settle(chat)
        post(chat, "for the first of the two")
        came = raw.recv(65536)
        settle(chat)  # By now the second one waits.
        try:
            chat.clock.set(now + 2000)
            said = post(chat, "for the second of the two")
            if said.reply["timestamp"] <= now + 1000:
                return  # These stamps follow no clock, so nobody can be ahead of it.
            with suppress(TimeoutError):
                while data := raw.recv(65536):
                    came += data
        finally:
            chat.clock.release()
            chat.restart()  # The stamps of the next ones shall be of today.
    assert b"for the second of the two" in came, (
        "A poll was parked, and behind it, on its connection, came another one, for "
        "which there was nothing yet when the first was answered. When there was, it "
        f"should be answered, too. On the connection came {came!r}."
    )
