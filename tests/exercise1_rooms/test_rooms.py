"""Rooms inside: only a good token makes one, and nothing leaves it."""

from __future__ import annotations

import importlib
import inspect
import sys
from types import SimpleNamespace

import pytest
from django.core.signing import BadSignature
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.support.polling import cursor_of, texts
from tests.support.reactor import log_events
from tests.support.requests import FakeRequest, get, post, token
from tests.support.transport import connect, join, say, sent, show

SINCE_STAGE = 6
GONE = Failure(Exception("gone"))


@pytest.fixture
def clock(classes, whole) -> Clock:
    """The clock by which a socket has to say its token."""
    if whole.reactor:
        return whole.reactor
    clock = Clock()
    classes.WebsocketChat.callLater = staticmethod(clock.callLater)
    return clock


def test_a_client_is_in_no_room_before_its_token(factory):
    client = connect(factory)
    assert client.transport.sent == []
    assert factory.rooms == {}
    client.connectionLost(GONE)


def test_what_is_said_in_a_room_stays_there(whole, factory):
    at = cursor_of(post(whole.http_chat, "mark", room=2).reply)
    ann, bob, eve = join(factory, 1), join(factory, 1), join(factory, 2)
    parked = get(whole.http_chat, at, room=2)
    say(ann, "hello")
    post(whole.http_chat, "by POST", room=1)
    whole.sweep()
    assert sent(ann) == sent(bob) == ["hello", "by POST"]
    assert (sent(eve), parked.reply) == ([], None)
    post(whole.http_chat, "elsewhere", room=2)
    assert (sent(eve), texts(parked.reply)) == (["elsewhere"], ["elsewhere"])
    assert sent(bob) == ["hello", "by POST"]


@pytest.mark.parametrize(
    "bad",
    ["", "1", "1:2:3", token(1)[:-1], "2" + token(1)[1:]],
    # The workers must agree on the names, and a token has the time in it.
    ids=["empty", "unsigned", "invented", "cut", "another room's"],
)
def test_a_bad_token_opens_no_room_and_is_one_line_in_the_log(whole, bad):
    client, request = connect(whole.factory), FakeRequest("GET")
    header = [f"Bearer {bad}".encode()]
    request.requestHeaders.setRawHeaders(b"authorization", header)
    with log_events() as events:
        show(client, bad)
        request.render(whole.http_chat)
    assert client.transport.closed == 4401
    assert (request.responseCode, request.reply["status"]) == (401, 0)
    assert request.responseHeaders.getRawHeaders(b"www-authenticate") == [b"Bearer"]
    assert whole.factory.rooms == {}
    assert len(events) == 2
    assert not [event for event in events if bad and bad in event["why"]]


def test_after_a_bad_token_a_good_one_is_no_use(factory):
    client = connect(factory)
    say(client, "let me in")
    show(client, token())
    assert (client.transport.sent, factory.rooms) == ([], {})
    client.connectionLost(GONE)


@pytest.mark.stages(6, 9)  # From exercise 6 on, a token is made of more.
def test_a_room_has_one_name(factory):
    rooms = [factory.enter(token(name)) for name in ("1", "01", " 1")]
    assert len({*map(id, rooms)}) == len(factory.rooms) == 1


@pytest.mark.stages(6, 9)
@pytest.mark.parametrize(
    "name", ["", "abc", "1.5", "9" * 5000], ids=lambda name: name[:5]
)
def test_what_names_no_room_opens_none(factory, name):
    with pytest.raises(BadSignature):
        factory.enter(token(name))
    assert factory.rooms == {}


def test_who_says_no_token_in_time_is_closed(classes, clock, factory):
    silent, ann, gone, binary = (connect(factory) for _ in range(4))
    everybody = [client.transport for client in (silent, ann, gone, binary)]
    show(ann, token())
    gone.connectionLost(GONE)
    binary.bytesMessageReceived(b"\0")
    clock.advance(classes.WebsocketChat.token_seconds - 0.1)
    assert silent.transport.closed is None
    clock.advance(0.1)
    closed = [transport.closed for transport in everybody]
    assert closed == [4408, None, None, 1003]
    show(silent, token())
    assert list(factory.rooms) == [1]
    assert factory.rooms[1].clients == [ann]
    for client in (silent, binary):  # They read that they have to go.
        client.connectionLost(GONE)
    ann.connectionLost(GONE)
    clock.pump([5, 1])  # until she is gone for good, and that is told
    assert clock.getDelayedCalls() == []


def room_of(read) -> int:
    """The id that a token was read as; from exercise 6 on it says more."""
    return getattr(read, "room", read)


def test_the_key_is_taken_from_the_environment(classes):
    assert room_of(classes.read_token(token(7))) == 7  # KEY, which conftest.py sets


def test_without_the_variable_both_servers_have_a_key(classes, monkeypatch):
    monkeypatch.delenv("CHAT_KEY")
    tokens = importlib.reload(sys.modules["chat.tokens"])
    whose = [SimpleNamespace(pk=1, get_username=lambda: "Ann")]
    needed = len(inspect.signature(tokens.make_token).parameters) - 1
    made = tokens.make_token(7, *whose[:needed])
    assert room_of(tokens.read_token(made)) == 7
    with pytest.raises(BadSignature):
        tokens.read_token(token(7))
