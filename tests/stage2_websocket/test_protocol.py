"""WebsocketChat, with a transport that remembers instead of a network."""

from __future__ import annotations

import pytest
from twisted.python.failure import Failure
from wsproto.utilities import LocalProtocolError

from tests.support.reactor import log_events


class Transport:
    """Remembers what a protocol asks of it. `closing` makes it refuse to send."""

    def __init__(self):
        self.sent: list[str] = []
        self.closed: int | None = None
        self.has_producer = True
        self.closing = False

    def sendTextMessage(self, text: str) -> None:
        if self.closing:
            raise LocalProtocolError("closing")
        self.sent.append(text)

    def loseConnection(self, code: int = 1000) -> None:
        if self.closing:
            raise LocalProtocolError("closing")
        self.closed = code

    def detachProducer(self) -> None:
        self.has_producer = False


@pytest.fixture
def join(chatserver):
    """A function that lets a client join; returns its protocol."""
    factory = chatserver.ChatFactory()

    def new_client():
        client = factory.buildProtocol(request=None)
        client.negotiationStarted(Transport())
        client.negotiationFinished()
        return client

    return new_client


def sent(client) -> list[str]:
    """What a client was sent after its greeting."""
    return client.transport.sent[1:]


def test_nothing_is_sent_before_the_handshake_is_over(chatserver):
    client = chatserver.ChatFactory().buildProtocol(request=None)
    transport = Transport()
    client.negotiationStarted(transport)
    assert transport.sent == []


def test_a_new_client_is_greeted_and_its_producer_detached(join):
    client = join()
    assert client.transport.sent == ["connected ...."]
    assert not client.transport.has_producer


def test_a_message_goes_to_everybody_the_speaker_included(join):
    ann, bob = join(), join()
    ann.textMessageReceived("hello")
    assert sent(ann) == sent(bob) == ["hello"]


def test_who_left_is_sent_nothing_more(join):
    ann, bob = join(), join()
    bob.connectionLost(Failure(Exception("gone")))
    ann.textMessageReceived("hello")
    assert (sent(ann), sent(bob)) == (["hello"], [])
    assert ann.factory.clients == [ann]


def test_a_client_that_is_closing_keeps_nobody_from_hearing(join):
    ann, bob, cara = join(), join(), join()
    bob.transport.closing = True
    ann.textMessageReceived("hello")
    assert (sent(ann), sent(bob), sent(cara)) == (["hello"], [], ["hello"])


def test_the_limit_itself_is_allowed(chatserver, join):
    ann = join()
    ann.textMessageReceived("x" * chatserver.MAX_LENGTH)
    assert ann.transport.closed is None
    assert sent(ann) == ["x" * chatserver.MAX_LENGTH]


@pytest.mark.parametrize(
    ("misbehave", "code", "says"),
    [
        (lambda client: client.textMessageReceived("x" * 4097), 1009, "too long"),
        (lambda client: client.bytesMessageReceived(b"\0"), 1003, "binary"),
    ],
    ids=["too-long", "binary"],
)
def test_bad_input_closes_only_its_sender_with_one_line_in_the_log(
    join, misbehave, code, says
):
    ann, bob = join(), join()
    with log_events() as events:
        misbehave(ann)
    assert (ann.transport.closed, bob.transport.closed) == (code, None)
    assert sent(ann) == sent(bob) == []
    assert [says in event["why"] for event in events] == [True]


def test_bad_input_of_a_client_that_is_closing_is_harmless(join):
    ann = join()
    ann.transport.closing = True
    ann.bytesMessageReceived(b"\0")


def test_a_pong_is_nothing_to_the_chat(join):
    ann = join()
    ann.pongReceived(b"")
    assert sent(ann) == []
