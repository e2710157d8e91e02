"""What is told at once has a size. Nothing is missed, and nobody else loses by it."""

from __future__ import annotations

import json

import pytest
from twisted.python.failure import Failure

from tests.support.polling import cursor_of, texts
from tests.support.requests import get, post, token
from tests.support.transport import batches, connect, join, say, show

SINCE_STAGE = 11
LONG = "\N{GRINNING FACE}" * 4096  # 49,152 bytes in JSON
GONE = Failure(Exception("gone"))


@pytest.fixture
def full(whole):
    """A room in which 200 of the longest messages were said; the cursor before them."""
    before = post(whole.http_chat, "first").reply
    ann = join(whole.factory)
    for number in range(199):
        say(ann, f"{number}" + LONG[: 4096 - 3])
    ann.connectionLost(GONE)
    return cursor_of(before)


def test_who_comes_back_by_polls_is_told_all_in_parts(whole, full):
    heard, cursor, answers = [], full, 0
    while len(heard) < 199:
        reply = get(whole.http_chat, cursor).reply
        assert not reply["reset"] and len(json.dumps(reply)) < 300_000
        heard += texts(reply)
        cursor, answers = cursor_of(reply), answers + 1
    assert [text[:3].rstrip(LONG[0]) for text in heard] == [f"{n}" for n in range(199)]
    assert answers > 10


def test_who_comes_back_by_a_socket_is_told_the_next_part_when_it_has_read(whole, full):
    bob = join(whole.factory, cursor=full)
    told = [text for batch in batches(bob) for text in texts(batch)]
    assert len(told) == 199
    assert bob in whole.clients


def test_who_does_not_read_is_sent_one_part_only(whole, full, slow_socket):
    bob = slow_socket(full)
    assert len(batches(bob)) == 1 and bob not in whole.clients
    say(join(whole.factory), "meanwhile")
    for _ in range(100):
        bob.resumeProducing()
    heard = [text for batch in batches(bob) for text in texts(batch)]
    assert len(heard) == 200 and heard[-1] == "meanwhile"
    assert bob in whole.clients


@pytest.fixture
def slow_socket(whole):
    """Lets somebody join at a cursor, whose transport is full at each write."""

    def join_slowly(cursor):
        client = connect(whole.factory)
        write = client.tcp.write

        def full(data: bytes) -> None:
            write(data)
            if data:
                client.pauseProducing()

        client.tcp.write = full
        show(client, token(), cursor)
        return client

    return join_slowly


def test_who_is_new_is_told_the_newest_that_fit(whole, full):
    bob = join(whole.factory)
    [batch] = batches(bob)
    told = texts(batch)
    assert 1 < len(told) < 199 and told[-1].startswith("198")
    assert batch["seq"] == 200 and not batch["reset"]


def test_a_burst_of_long_messages_costs_nobody_else_a_message(whole, full):
    ann, bob = join(whole.factory), join(whole.factory)
    at = cursor_of(batches(bob)[0])
    bob.connectionLost(GONE)
    for _ in range(20):
        say(ann, LONG)
    heard = []
    while len(heard) < 20:
        reply = get(whole.http_chat, at).reply
        assert not reply["reset"]
        heard, at = heard + texts(reply), cursor_of(reply)
