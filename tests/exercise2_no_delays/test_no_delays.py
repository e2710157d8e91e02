"""No delays inside: what wakes whom and when, and what it costs."""

from __future__ import annotations

import pytest

from tests.support.polling import cursor_of, texts
from tests.support.reactor import log_events
from tests.support.requests import get, post
from tests.support.transport import Reactor, join, say, sent

SINCE_STAGE = 7


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
    assert reactor.getDelayedCalls() == []


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
    assert len(whole.reactor.getDelayedCalls()) == 2
    leaves.leave()
    post(whole.http_chat, "news")
    assert whole.reactor.getDelayedCalls() == []
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


def test_frames_line_up_behind_what_waits(whole):
    ann, bob = join(whole.factory), join(whole.factory)
    whole.reactor.writers.append(bob.transport.tcp)  # a pong, for example
    bob.transport.tcp.written = b""
    post(whole.http_chat, "hello")
    assert sent(ann) == sent(bob) == ["hello"]
    assert bob.transport.tcp.written, "it should wait behind what waits already"
    assert b"hello" not in ann.transport.tcp.written


@pytest.mark.parametrize("takes", [0, 1, 3, 1 << 20, OSError("broken")])
def test_what_the_kernel_does_not_take_is_left_to_the_reactor(whole, takes):
    ann = join(whole.factory)
    ann.transport.tcp.takes = takes
    post(whole.http_chat, "hello")
    assert sent(ann) == ["hello"]


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
    assert whole.reactor.getDelayedCalls() == []


def test_after_a_close_frame_nothing_follows(whole):
    ann, bob = join(whole.factory), join(whole.factory)
    ann.bytesMessageReceived(b"\0")  # refused: the server closes
    bob.transport.begin_to_close()
    post(whole.http_chat, "hello")  # Tcp would complain
    assert sent(ann) == sent(bob) == []


def test_who_does_not_read_is_dropped_and_the_others_hear_all(whole, classes):
    ann, bob = join(whole.factory), join(whole.factory)
    whole.reactor.writers.append(bob.transport.tcp)
    bob.pauseProducing()
    before = len(bob.transport.tcp.written)
    post(whole.http_chat, "x" * 4000)
    frame = len(bob.transport.tcp.written) - before
    count = classes.WebsocketChat.most_behind // frame
    with log_events() as events:
        for _ in range(count - 3):
            post(whole.http_chat, "x" * 4000)
        assert not bob.transport.tcp.aborted
        for _ in range(10):
            post(whole.http_chat, "x" * 4000)
    assert bob.transport.tcp.aborted and not ann.transport.tcp.aborted
    assert len(sent(ann)) == count + 8
    assert "does not read" in events[0]["log_format"]


def test_who_reads_again_begins_anew(whole, classes):
    ann = join(whole.factory)
    whole.reactor.writers.append(ann.transport.tcp)
    for _ in range(3 * classes.WebsocketChat.most_behind // 64_000):
        ann.pauseProducing()
        for _ in range(16):
            ann.pauseProducing()  # the transport says so at each write
            post(whole.http_chat, "x" * 4000)
        ann.resumeProducing()
    assert not ann.transport.tcp.aborted, "a burst is no reason to drop anybody"


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
