"""How the server stops: what is under way is finished, and everybody is told."""

from __future__ import annotations

import json

import pytest
from wsproto.events import TextMessage

from tests.support.polling import texts
from tests.support.requests import ORIGIN, get, post, token
from tests.support.transport import batches, join, say
from tests.support.wire import Wire, frames

SINCE_STAGE = 11


@pytest.fixture
def whole(classes):
    return classes.build([ORIGIN], stop_seconds=10)


@pytest.fixture
def goodbye(classes, whole):
    """What ends this server; somebody is connected, and asks nothing."""
    site = Wire(whole).channel.factory
    goodbye = classes.Goodbye(whole.reactor, whole.factory, site)
    goodbye.startService()
    return goodbye


def sockets(whole, many: int) -> list[Wire]:
    """So many windows, each of them in room 1."""
    wires = [Wire(whole, f"192.0.2.{number}") for number in range(many)]
    for wire in wires:
        wire.open_socket()
        wire.send(frames(TextMessage(json.dumps({"token": token()}))))
    return wires


def closed_with(wire) -> int | None:
    """The code with which a socket was closed, None as long as it is open."""
    close = wire.came.rfind(b"\x88\x02")
    if close < 0:
        return None
    return int.from_bytes(wire.came[close + 2 : close + 4], "big")


def test_sockets_are_closed_with_1012_and_not_all_at_once(whole, goodbye):
    wires = sockets(whole, 200)
    ended = []
    goodbye.stopService().addCallback(ended.append)
    closed = sum(closed_with(wire) is not None for wire in wires)
    assert 0 < closed < 200
    whole.reactor.pump([0.05] * 100)
    assert {closed_with(wire) for wire in wires} == {1012}
    assert not ended, "they have some seconds to read it"
    for wire in wires:
        wire.leave()
    idle = [*goodbye.site.protocols]
    assert len(idle) == 1 and idle[0].disconnecting
    whole.reactor.advance(5)
    assert idle[0].transport.disconnecting


def test_who_does_not_go_is_dropped_before_time_is_up(whole, goodbye):
    wires, ended = sockets(whole, 3), []
    goodbye.stopService().addCallback(ended.append)
    for wire in wires:
        wire.transport.resumeProducing = lambda: None
    whole.reactor.pump([0.5] * 16)
    assert ended and all(wire.transport.disconnecting for wire in wires)


def test_a_waiting_poll_is_answered_with_nothing_new(whole, goodbye):
    cursor = post(whole.http_chat, "hello").reply
    poll = get(whole.http_chat, (cursor["epoch"], cursor["seq"]))
    assert poll.reply is None
    goodbye.stopService()
    assert poll.reply["data"] == [] and poll.reply["seq"] == cursor["seq"]


def test_nobody_new_comes(whole, goodbye):
    goodbye.stopService()
    late = post(whole.http_chat, "too late")
    assert late.responseCode == 503
    assert late.responseHeaders.hasHeader(b"retry-after")


def test_what_is_under_way_is_stored_and_told_first(whole, goodbye):
    database = whole.factory.database
    ann = join(whole.factory)
    database.prompt = False
    say(ann, "before")
    goodbye.stopService()
    say(ann, "after")
    [idle] = goodbye.site.protocols
    whole.reactor.advance(1)
    assert not idle.disconnecting, "nobody is sent away yet"
    database.answer()
    assert texts_of(ann) == ["before"]
    whole.reactor.advance(1)
    assert idle.disconnecting


def texts_of(client) -> list[str]:
    """All texts that a client was told."""
    news = [batch for batch in batches(client)[1:] if "data" in batch]
    return [text for batch in news for text in texts(batch)]
