"""No delays inside: what wakes whom and when, and what it costs."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from tests.support.polling import cursor_of, texts
from tests.support.reactor import log_events
from tests.support.requests import FakeRequest, get, post
from tests.support.transport import Reactor, Tcp, connect, join, limit, say, sent

SINCE_STAGE = 7
GONE = Failure(ConnectionDone())


@pytest.fixture
def reactor(whole) -> Reactor:
    """The reactor of `whole`, which does things in turns, as a real one does."""
    whole.reactor.next_turn = {"tell"}
    return whole.reactor


def cursor(whole) -> float:
    """A cursor behind all that was said so far."""
    return cursor_of(post(whole.http_chat, "mark").reply)


def test_a_socket_wakes_a_parked_request_without_a_sweep(whole):
    parked = get(whole.http_chat, cursor(whole))
    say(join(whole.factory), "news")
    assert texts(parked.reply) == ["news"]


def test_there_is_no_loop(classes):
    assert not hasattr(classes, "sweep")
    assert not hasattr(classes.HttpChat, "throttle")


def test_what_is_said_in_one_turn_goes_out_together(whole, reactor):
    ann, bob = join(whole.factory), join(whole.factory)
    parked = get(whole.http_chat, cursor(whole))
    reactor.turn()
    before = bob.transport.tcp.calls
    for text in ("one", "two", "three"):
        say(ann, text)
    post(whole.http_chat, "four")
    assert (sent(bob)[1:], parked.reply) == ([], None)
    reactor.turn()
    assert sent(ann)[1:] == sent(bob)[1:] == ["one", "two", "three", "four"]
    assert texts(parked.reply) == ["one", "two", "three", "four"]
    assert bob.transport.tcp.calls - before == 1, "one call should send all"
    assert reactor.timers() == []


def test_a_message_is_encoded_once_for_all(whole, classes, monkeypatch):
    encoded, factories = [], classes.Room.say.__globals__
    for _ in range(3):
        join(whole.factory)
    real = factories["text_frame"]
    monkeypatch.setitem(
        factories, "text_frame", lambda text: encoded.append(text) or real(text)
    )
    post(whole.http_chat, "hello")
    assert len(encoded) == 1, "three clients and one message: encode it once"


def test_a_quiet_request_ends_with_the_same_cursor(whole, classes):
    at = cursor(whole)
    parked = get(whole.http_chat, at)
    whole.reactor.advance(classes.HttpChat.longest_poll - 0.1)
    assert parked.reply is None
    whole.reactor.advance(0.1)
    reply = parked.reply
    assert (reply["status"], cursor_of(reply), reply["data"]) == (1, at, [])
    assert len(whole.waiting) == 0
    post(whole.http_chat, "news")
    assert texts(get(whole.http_chat, at).reply) == ["news"]


def test_who_has_an_answer_or_has_left_leaves_no_timer(whole):
    at = cursor(whole)
    leaves, _ = get(whole.http_chat, at), get(whole.http_chat, at)
    assert len(whole.reactor.timers()) == 2
    leaves.leave()
    post(whole.http_chat, "news")
    assert whole.reactor.timers() == []
    assert len(whole.waiting) == 0


def test_who_is_answered_and_asks_again_meanwhile_waits_for_the_next(whole):
    at, again = cursor(whole), []
    first = get(whole.http_chat, at)
    first.notifyFinish().addCallback(
        lambda _: again.append(get(whole.http_chat, cursor_of(first.reply)))
    )
    post(whole.http_chat, "one")
    assert again[0].reply is None
    post(whole.http_chat, "two")
    assert texts(again[0].reply) == ["two"]


@pytest.mark.stages(7, 10)  # then the connection itself sees to that
def test_who_is_refused_and_does_not_read_is_dropped(whole, classes):
    ann, bob = join(whole.factory), join(whole.factory)
    for client in (ann, bob):
        client.bytesMessageReceived(b"\0")
    bob.connectionLost(None)  # It read, and went.
    whole.reactor.advance(classes.WebsocketChat.goodbye_seconds - 0.1)
    assert not ann.transport.tcp.aborted
    whole.reactor.advance(0.1)
    assert ann.transport.tcp.aborted and not bob.transport.tcp.aborted
    ann.connectionLost(None)
    assert whole.reactor.timers() == []


def test_after_a_close_frame_nothing_follows(whole):
    ann, bob = join(whole.factory), join(whole.factory)
    ann.bytesMessageReceived(b"\0")  # refused: the server closes
    bob.transport.begin_to_close()
    post(whole.http_chat, "hello")  # Tcp would complain
    assert sent(ann) == sent(bob) == []


def say_much(whole, count: int) -> None:
    """Say `count` messages of 1,000 bytes."""
    for _ in range(count):
        post(whole.http_chat, "x" * 1000)


def test_what_waits_is_sent_in_order_when_the_client_has_read(whole):
    ann, bob = join(whole.factory), join(whole.factory)
    bob.pauseProducing()
    for text in ("one", "two"):
        post(whole.http_chat, text)
    assert (sent(ann), sent(bob)) == (["one", "two"], [])
    bob.resumeProducing()
    post(whole.http_chat, "three")
    assert sent(bob) == ["one", "two", "three"]


def test_for_whom_too_much_waits_is_dropped_and_the_others_hear_all(whole, classes):
    ann, bob = join(whole.factory), join(whole.factory)
    bob.pauseProducing()
    with log_events() as events:
        # In a frame, a message of 1,000 bytes has some more.
        most = limit(classes, "most_behind") // 1000
        say_much(whole, most * 8 // 10)
        assert not bob.transport.tcp.aborted
        say_much(whole, most)
    assert bob.transport.tcp.aborted and not ann.transport.tcp.aborted
    assert len(sent(ann)) == most * 8 // 10 + most
    said = [formatEvent(event) for event in events]
    assert said == ["Dropping a client: it does not read"], "say it once"


def test_who_reads_all_the_time_is_kept_however_much_is_said(whole, classes):
    ann = join(whole.factory)
    for _ in range(3):
        for _ in range(5):
            ann.pauseProducing()  # A transport says so each time it is written to.
            say_much(whole, limit(classes, "most_behind") // 10_000)
        ann.resumeProducing()
    assert not ann.transport.tcp.aborted, "a burst is no reason to drop anybody"


def test_who_reads_nothing_for_a_minute_is_dropped(whole, classes):
    ann, bob = join(whole.factory), join(whole.factory)
    for client in (ann, bob):
        client.pauseProducing()
    whole.reactor.advance(limit(classes, "reading_seconds") - 0.1)
    for client in (ann, bob):
        client.pauseProducing()
    bob.resumeProducing()
    assert not ann.transport.tcp.aborted
    whole.reactor.advance(limit(classes, "reading_seconds"))
    assert ann.transport.tcp.aborted and not bob.transport.tcp.aborted


def test_who_does_not_read_is_not_read_from(whole):
    ann = join(whole.factory)
    ann.pauseProducing()
    assert ann.transport.tcp.deaf, "each ping that it sends has to be answered"
    ann.resumeProducing()
    assert not ann.transport.tcp.deaf


def test_who_reads_nothing_and_says_no_token_gains_no_time(whole, classes):
    ann = connect(whole.factory)
    ann.pauseProducing()
    ann.resumeProducing()
    ann.pauseProducing()
    whole.reactor.advance(classes.WebsocketChat.token_seconds)
    assert ann.transport.tcp.aborted


def full_poll(whole) -> FakeRequest:
    """A request whose answer waits in the transport."""
    post(whole.http_chat, "hello")
    request = FakeRequest("GET")
    request.full, request.transport = True, Tcp([])
    return request.render(whole.http_chat)


def test_an_answer_is_finished_when_it_has_been_read(whole):
    request = full_poll(whole)
    assert request.written and not request.finished, "else Twisted answers the next one"
    request.producer.resumeProducing()
    assert texts(request.reply) == ["hello"]
    assert whole.reactor.timers() == []


def test_who_does_not_read_an_answer_is_dropped(whole, classes):
    request, gone = full_poll(whole), full_poll(whole)
    reading = limit(classes, "reading_seconds")
    gone.leave()
    whole.reactor.advance(reading)
    assert request.transport.aborted and not gone.transport.aborted
    request.leave()
    assert whole.reactor.timers() == []


@pytest.mark.stages(7, 10)  # then it is no access log any more
def test_the_log_has_what_was_refused_and_no_poll(classes, tmp_path):
    root, polled = Resource(), Resource()
    polled.render_GET = lambda request: b"news"
    polled.render_HEAD = lambda request: request.setResponseCode(403) or b""
    root.putChild(b"", polled)
    site = classes.ChatSite(root, logPath=f"{tmp_path / 'log'}")
    site.startFactory()
    channel, transport = site.buildProtocol(None), StringTransport()
    channel.makeConnection(transport)
    for method in ("GET", "HEAD"):
        channel.dataReceived(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert transport.value().count(b"HTTP/1.1 ") == 2
    channel.connectionLost(GONE)
    site.stopFactory()
    [line] = (tmp_path / "log").read_text().splitlines()
    assert '"HEAD / HTTP/1.1" 403 ' in line


def test_a_close_that_waits_for_a_slow_reader_goes_on(whole):
    ann = join(whole.factory)
    assert ann.transport.has_producer is ann
    ann.pauseProducing()
    ann.resumeProducing()
    assert ann.transport.has_producer is ann
    ann.pauseProducing()
    ann.transport.begin_to_close()
    ann.resumeProducing()
    assert not ann.transport.has_producer
