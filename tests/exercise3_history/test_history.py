"""History inside: the seam between what was missed and what is said, and the window."""

from __future__ import annotations

import dataclasses

import pytest
from twisted.logger import formatEvent

from tests.support.polling import cursor_of, news_in, texts
from tests.support.reactor import log_events
from tests.support.requests import get, post, token
from tests.support.scenarios import hears_after_a_future_cursor, kept_in_memory
from tests.support.transport import (
    Reactor,
    batches,
    connect,
    join,
    say,
    sent,
    show,
)

SINCE_STAGE = 8


@pytest.fixture
def reactor(whole) -> Reactor:
    """The reactor of `whole`, which does things in turns, as a real one does."""
    whole.reactor.next_turn = {"tell"}
    return whole.reactor


def test_who_joins_while_a_message_is_under_way_hears_it_once(whole, reactor):
    ann = join(whole.factory)
    say(ann, "under way")
    bob = join(whole.factory)
    say(ann, "next")
    reactor.turn()
    [first, *rest] = batches(bob)
    assert (texts(first), [texts(batch) for batch in rest]) == (
        ["under way"],
        [["next"]],
    )
    assert sent(ann) == ["under way", "next"]


def test_a_poll_of_who_knows_what_is_under_way_waits_for_the_next(whole, reactor):
    at = cursor_of(post(whole.http_chat, "under way").reply)
    parked = get(whole.http_chat, at)
    reactor.turn()
    assert parked.reply is None, "there is nothing new for it"
    post(whole.http_chat, "next")
    reactor.turn()
    assert texts(parked.reply) == ["next"]


def test_a_quiet_poll_that_ends_while_a_message_is_under_way_brings_it(
    whole, classes, reactor
):
    at = cursor_of(post(whole.http_chat, "mark").reply)
    reactor.turn()
    # Both in one turn: somebody speaks, and then the poll's time is over.
    seconds = classes.HttpChat.longest_poll
    reactor.callLater(seconds, post, whole.http_chat, "just now")
    parked = get(whole.http_chat, at)
    reactor.advance(seconds)
    assert texts(parked.reply) == ["just now"]
    after = get(whole.http_chat, cursor_of(parked.reply))
    reactor.turn()
    assert after.reply is None


def test_who_says_it_again_hears_first_what_is_under_way(whole, reactor):
    ann, bob = join(whole.factory), join(whole.factory)
    say(ann, "one", "a")
    say(bob, "two", "b")
    say(ann, "three", "c")
    say(ann, "one", "a")
    reactor.turn()
    assert sent(ann) == ["one", "two", "three", "one"]
    assert sent(bob) == ["one", "two", "three"], "it is nothing to anybody else"
    assert [batch["seq"] for batch in batches(ann)[1:]] == [1, 2, 3, 1]


def test_whoever_says_it_first_is_right(whole):
    first = post(whole.http_chat, "one", id="a").reply
    assert post(whole.http_chat, "another text", id="a").reply == first
    assert len(whole.messages) == 1


def test_an_id_is_one_of_its_room(whole):
    for room in (1, 2):
        assert texts(post(whole.http_chat, f"{room}", room, "a").reply) == [f"{room}"]
    assert texts(get(whole.http_chat, room=2).reply) == ["2"]


def test_memory_holds_the_newest_messages_only(whole, classes):
    most = classes.MessageStore.most
    assert kept_in_memory(whole, posted=3 * most) == most
    kept = whole.messages
    assert len(kept.by_id) == most, "ids have to be forgotten, too"
    numbers = [message.seq for message in kept.messages]
    assert numbers == [*range(2 * most + 1, 3 * most + 1)]
    assert all(kept.by_id[message.id] is message for message in kept.messages)


@pytest.mark.parametrize("beyond", [False, True])
def test_the_window_ends_with_the_oldest_message_that_is_kept(whole, classes, beyond):
    cursors = [
        cursor_of(post(whole.http_chat, f"{number}").reply)
        for number in range(classes.MessageStore.most + 5)
    ]
    bob = join(whole.factory, 1, cursors[3 if beyond else 4])
    [batch] = batches(bob)
    assert batch["reset"] is beyond
    assert len(texts(batch)) == classes.MessageStore.most
    assert batch == news_in(get(whole.http_chat, cursors[3 if beyond else 4]).reply)


def test_a_cursor_from_the_future_is_told_so(whole):
    assert hears_after_a_future_cursor(whole)
    epoch, seq = cursor_of(post(whole.http_chat, "news").reply)
    reply = get(whole.http_chat, (epoch, seq + 1)).reply
    assert (reply["reset"], cursor_of(reply)) == (True, (epoch, seq))


def test_who_is_reset_goes_on_from_there(whole):
    at = cursor_of(post(whole.http_chat, "old").reply)
    bob = join(whole.factory, 1, ("another", 17))
    [batch] = batches(bob)
    assert (batch["reset"], cursor_of(batch)) == (True, at)
    post(whole.http_chat, "new")
    assert (sent(bob), batches(bob)[-1]["reset"]) == (["new"], False)


def test_who_says_it_again_and_again_and_reads_nothing_is_dropped_once(whole):
    ann = join(whole.factory)
    say(ann, "x" * 4000, "an id")
    ann.pauseProducing()
    with log_events() as events:
        for _ in range(1000):
            say(ann, "x" * 4000, "an id")
    assert ann.transport.tcp.aborted
    said = [formatEvent(event) for event in events]
    assert said == ["Dropping a client: it does not read"]


@pytest.mark.stages(8, 10)  # then it has an end in bytes, too
def test_a_long_history_drops_nobody(whole, classes):
    for _ in range(classes.MessageStore.most):
        post(whole.http_chat, "\N{GRINNING FACE}" * classes.MAX_LENGTH)
    bob = connect(whole.factory)
    tcp = bob.transport.tcp
    write = tcp.write

    def full(data: bytes) -> None:
        bob.pauseProducing()  # A transport says so while it is written to.
        write(data)

    tcp.write = full
    show(bob, token())
    assert not tcp.aborted
    assert len(texts(batches(bob)[0])) == classes.MessageStore.most


def test_a_message_is_a_dataclass_that_nobody_changes(classes):
    fields = dataclasses.fields(classes.Message)
    names = [field.name for field in fields if field.name != "epoch"]
    told_by = ["author", "said_at"] if hasattr(classes, "Presence") else []
    assert names == ["seq", "id", "text", *told_by]
    message = classes.Message(1, "a", "hello", *told_by)
    said = {"seq": 1, "id": "a", "text": "hello"}
    found = {name: dataclasses.asdict(message)[name] for name in names}
    assert found == said | {name: name for name in told_by}
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.text = "other"
