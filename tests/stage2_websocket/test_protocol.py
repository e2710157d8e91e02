"""WebsocketChat of every stage that has one, with a transport that only remembers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.python.failure import Failure

from tests.support.reactor import log_events
from tests.support.transport import Transport, join, say, sent

SINCE_STAGE = 2


def test_nothing_is_sent_before_the_handshake_is_over(factory):
    transport = Transport()
    request = SimpleNamespace(transport=transport.tcp, address="127.0.0.1")
    client = factory.buildProtocol(request)
    client.negotiationStarted(transport)
    assert transport.sent == []


@pytest.mark.stages(2, 7)
def test_a_new_client_is_greeted_and_its_producer_detached(factory):
    client = join(factory)
    assert client.transport.sent == ["connected ...."]
    assert client.transport.has_producer in (False, client)


def test_a_message_goes_to_everybody_the_speaker_included(factory):
    ann, bob = join(factory), join(factory)
    say(ann, "hello")
    assert sent(ann) == sent(bob) == ["hello"]


def test_who_left_is_sent_nothing_more(whole):
    ann, bob = join(whole.factory), join(whole.factory)
    told = bob.transport.sent
    before = len(told)
    bob.connectionLost(Failure(Exception("gone")))
    say(ann, "hello")
    assert sent(ann) == ["hello"] and len(told) == before
    assert whole.clients == [ann]


def test_a_client_that_is_closing_keeps_nobody_from_hearing(factory):
    ann, bob, cara = join(factory), join(factory), join(factory)
    bob.transport.begin_to_close()
    say(ann, "hello")
    assert (sent(ann), sent(bob), sent(cara)) == (["hello"], [], ["hello"])


def test_the_limit_itself_is_allowed(classes, factory):
    ann = join(factory)
    say(ann, "x" * classes.MAX_LENGTH)
    assert ann.transport.closed is None
    assert sent(ann) == ["x" * classes.MAX_LENGTH]


@pytest.mark.parametrize(
    ("misbehave", "code", "says"),
    [
        (lambda client: say(client, "x" * 4097), 1009, "too long"),
        (lambda client: client.bytesMessageReceived(b"\0"), 1003, "binary"),
    ],
    ids=["too-long", "binary"],
)
def test_bad_input_closes_only_its_sender_with_one_line_in_the_log(
    factory, misbehave, code, says
):
    ann, bob = join(factory), join(factory)
    with log_events() as events:
        misbehave(ann)
    assert (ann.transport.closed, bob.transport.closed) == (code, None)
    assert sent(ann) == sent(bob) == []
    assert [says in event["why"] for event in events] == [True]


def test_bad_input_of_a_client_that_is_closing_is_harmless(factory):
    ann = join(factory)
    ann.transport.begin_to_close()
    ann.bytesMessageReceived(b"\0")


def test_who_was_refused_says_no_more_and_is_logged_once(factory):
    ann, bob = join(factory), join(factory)
    with log_events() as events:
        ann.bytesMessageReceived(b"\0")
        ann.bytesMessageReceived(b"\0")
        say(ann, "and another thing")
    assert sent(bob) == []
    assert len(events) == 1


def test_a_pong_is_nothing_to_the_chat(factory):
    ann = join(factory)
    ann.pongReceived(b"")
    assert sent(ann) == []
