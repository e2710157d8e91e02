"""HttpChat of every stage that has one: requests, sweeps and clients that leave."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from tests.support.polling import cursor_of, news_in, texts
from tests.support.reactor import log_events
from tests.support.requests import FakeRequest, get, post
from tests.support.transport import join, sent

SINCE_STAGE = 3


@pytest.fixture
def http_chat(whole):
    return whole.http_chat


def cursor(http_chat) -> float:
    """A cursor behind all that was said so far."""
    return cursor_of(post(http_chat, "mark").reply)


@pytest.mark.stages(3, 7)
def test_a_negative_cursor_is_greeted_at_once(http_chat):
    reply = get(http_chat, -1).reply
    assert (reply["status"], cursor_of(reply)) == (1, 0.0)
    assert texts(reply) == ["connected..."]


def test_a_missing_cursor_counts_as_zero(http_chat):
    post(http_chat, "first")
    assert texts(FakeRequest("GET").render(http_chat).reply) == ["first"]


def test_with_nothing_new_a_request_is_parked_until_somebody_posts(whole, http_chat):
    parked = get(http_chat, cursor(http_chat))
    assert parked.reply is None
    assert len(whole.waiting) == 1
    answer = post(http_chat, "news").reply
    assert news_in(parked.reply) == answer
    assert (answer["status"], texts(answer)) == (1, ["news"])
    assert len(whole.waiting) == 0


def test_a_parked_request_that_leaves_is_forgotten(whole, http_chat):
    at = cursor(http_chat)
    leaves, stays = get(http_chat, at), get(http_chat, at)
    leaves.leave()
    assert len(whole.waiting) == 1
    post(http_chat, "news")
    assert (leaves.reply, texts(stays.reply)) == (None, ["news"])


def test_who_leaves_while_another_is_being_answered_is_let_go(whole, http_chat):
    at = cursor(http_chat)
    first, second, third = get(http_chat, at), get(http_chat, at), get(http_chat, at)
    # As when the kernel reports both at once: the second hangs up while the
    # first is written to.
    first.notifyFinish().addCallback(lambda _: second.leave())
    post(http_chat, "news")
    whole.sweep()
    assert (texts(first.reply), second.reply) == (["news"], None)
    assert texts(third.reply) == ["news"]
    assert len(whole.waiting) == 0


def test_who_asks_again_while_another_is_being_answered_is_parked(whole, http_chat):
    again = []
    at = cursor(http_chat)
    first, second = get(http_chat, at), get(http_chat, at)

    def ask_again(_):
        again.append(get(http_chat, cursor_of(first.reply)))

    first.notifyFinish().addCallback(ask_again)
    post(http_chat, "one")
    whole.sweep()
    assert texts(second.reply) == ["one"]
    assert (again[0].reply, len(whole.waiting)) == (None, 1)
    post(http_chat, "two")
    assert texts(again[0].reply) == ["two"]


def test_sockets_hear_posts(whole):
    ann = join(whole.factory)
    post(whole.http_chat, "hello")
    assert sent(ann) == ["hello"]


@pytest.mark.stages(3, 6)
def test_the_sweep_looks_every_throttle_seconds(whole, classes):
    clock, looks = Clock(), []
    assert classes.sweep.call[0] == classes.http_chat.processDelayedRequests
    classes.sweep.clock = clock
    classes.sweep.call = (lambda: looks.append(clock.seconds()), (), {})
    classes.sweep.startService()
    for _ in range(2):
        clock.advance(classes.HttpChat.throttle)
    classes.sweep.stopService()
    assert looks == [0.0, 1.0, 2.0]


def test_who_posts_while_another_is_being_answered_is_heard(whole, http_chat):
    at = cursor(http_chat)
    first, second = get(http_chat, at), get(http_chat, at)
    # As when a POST waits behind a poll on the same connection.
    first.notifyFinish().addCallback(lambda _: post(http_chat, "two") and None)
    post(http_chat, "one")
    whole.sweep()
    assert (texts(first.reply), texts(second.reply)[:1]) == (["one"], ["one"])
    assert texts(get(http_chat, cursor_of(first.reply)).reply) == ["two"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (lambda: FakeRequest("GET", lastupdate="nan", seq="nan"), 400),
        (lambda: FakeRequest("POST"), 400),
        (lambda: FakeRequest("POST", new_message="x" * 4097, id="x"), 413),
    ],
    ids=["cursor", "blank", "too-long"],
)
def test_a_refusal_is_one_line_in_the_log(http_chat, request_, code):
    with log_events() as events:
        refused = request_().render(http_chat)
    assert refused.responseCode == code
    assert refused.reply == {"status": 0, "error": events[0]["why"]}
    assert len(events) == 1


def test_a_page_of_a_foreign_site_gets_nothing(http_chat):
    foreign = FakeRequest("GET", lastupdate="-1")
    foreign.requestHeaders.setRawHeaders(b"origin", [b"null"])
    foreign.render(http_chat)
    assert (foreign.responseCode, foreign.reply["status"]) == (403, 0)


def test_a_program_without_an_origin_may_ask(http_chat):
    curl = FakeRequest("GET", lastupdate="-1")
    curl.requestHeaders.removeHeader(b"origin")
    assert curl.render(http_chat).reply["status"] == 1
