"""Tickets inside: who speaks, until when, and who is told to be here."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from twisted.python.failure import Failure

from tests.support.polling import cursor_of, texts
from tests.support.reactor import log_events
from tests.support.requests import get, post, token
from tests.support.transport import (
    batches,
    connect,
    join,
    limit,
    say,
    sent,
    show,
    told_here,
)

SINCE_STAGE = 10
GONE = Failure(Exception("gone"))
LIFE = 100  # seconds of a token here
LINGERS, PAUSE = 3, 0.1  # as Presence has them


@pytest.fixture
def clock(whole):
    """The reactor of `whole`, by whose clock tokens end, too."""
    tokens = sys.modules["chat.tokens"]
    tokens.time = SimpleNamespace(time=whole.reactor.seconds)
    return whole.reactor


def ticket(clock, user: int = 1, name: str = "Ann", room: int = 1, life=LIFE) -> str:
    """A token that lives for so many seconds from now on."""
    return token(room, user, name, clock.seconds() + life)


def renew(client, token: str) -> None:
    client.textMessageReceived(json.dumps({"token": token}))


def names(client) -> list[str]:
    """Who is here, as a client was told last."""
    return told_here(client)[-1]


def authors(batch: dict) -> list[tuple]:
    return [(m["author"]["id"], m["author"]["name"]) for m in batch["data"]]


def test_the_author_is_whom_the_token_names(whole, clock):
    ann = join(whole.factory, shown=ticket(clock))
    say(ann, "by socket")
    post(whole.http_chat, "by POST", bearer=ticket(clock, 2, "Bob"))
    assert [authors(batch) for batch in batches(ann)[1:]] == [
        [(1, "Ann")],
        [(2, "Bob")],
    ]


@pytest.mark.parametrize("more", [{"token": "x"}, {"here": True}, {"author": "Eve"}])
def test_what_is_said_along_with_a_text_is_ignored(whole, clock, more):
    ann = join(whole.factory, shown=ticket(clock))
    said = {"id": "an id", "text": "hello"} | more
    ann.textMessageReceived(json.dumps(said))
    assert (ann.transport.closed, sent(ann)) == (None, ["hello"])
    assert authors(batches(ann)[-1]) == [(1, "Ann")]


def test_what_is_under_way_has_the_name_of_when_it_was_said(whole, clock):
    database = whole.factory.database
    ann = join(whole.factory, shown=ticket(clock))
    database.prompt = False
    say(ann, "before")
    renew(ann, ticket(clock, 1, "Anna"))
    say(ann, "after")
    while database.asked:
        database.answer()
    told = [authors(batch) for batch in batches(ann)[1:]]
    assert told == [[(1, "Ann")], [(1, "Anna")]]


def test_a_socket_is_closed_when_its_token_ends(whole, clock):
    ann = join(whole.factory, shown=ticket(clock))
    clock.advance(LIFE - 0.1)
    assert ann.transport.closed is None
    clock.advance(0.1)
    assert ann.transport.closed == 4403
    say(ann, "too late")
    assert len(whole.messages) == 0
    ann.connectionLost(GONE)


def test_a_renewal_moves_the_end_and_nothing_else(whole, clock):
    ann = join(whole.factory, shown=ticket(clock))
    before = batches(ann)
    for _ in range(5):
        clock.advance(LIFE - 1)
        renew(ann, ticket(clock))
    assert (ann.transport.closed, batches(ann)) == (None, before)
    clock.advance(LIFE)
    assert ann.transport.closed == 4403
    ann.connectionLost(GONE)


def test_an_older_token_brings_the_end_nearer(whole, clock):
    older = ticket(clock)
    clock.advance(10)
    ann = join(whole.factory, shown=ticket(clock))
    renew(ann, older)
    clock.advance(LIFE - 10)
    assert ann.transport.closed == 4403, "it is the token that was said last"
    ann.connectionLost(GONE)


@pytest.mark.parametrize(
    ("room", "user", "life", "code"),
    [(2, 1, 9, 4401), (1, 2, 9, 4401), (1, 1, 0, 4410)],
)
def test_a_wrong_renewal_closes_and_changes_nothing(
    whole, clock, room, user, life, code
):
    bob = join(whole.factory, shown=ticket(clock, 3, "Bob"))
    ann = join(whole.factory, shown=ticket(clock))
    renew(ann, ticket(clock, user, "Eve", room, life))
    say(ann, "as Eve")
    assert ann.transport.closed == code
    clock.advance(PAUSE)
    assert (sent(bob), names(bob)) == ([], ["Ann", "Bob"])
    ann.connectionLost(GONE)


def test_who_renews_before_it_is_let_in_is_refused(whole, clock):
    whole.factory.database.prompt = False
    ann = join(whole.factory, shown=ticket(clock))
    renew(ann, ticket(clock))
    assert ann.transport.closed == 4400
    ann.connectionLost(GONE)
    whole.factory.database.answer()
    assert whole.factory.rooms[1].clients == []


def test_a_token_that_ends_while_the_room_is_loaded_lets_nobody_in(whole, clock):
    whole.factory.database.prompt = False
    ann = join(whole.factory, shown=ticket(clock))
    clock.advance(LIFE)
    whole.factory.database.answer()
    assert (ann.transport.closed, whole.factory.rooms[1].clients) == (4403, [])
    ann.connectionLost(GONE)


def test_who_has_left_leaves_no_timer(whole, clock):
    ann, eve = join(whole.factory, shown=ticket(clock)), connect(whole.factory)
    show(eve, "forged")
    for client in (ann, eve):
        client.connectionLost(GONE)
    parked = get(whole.http_chat, ("epoch1", 0), bearer=ticket(clock))
    parked.leave()
    clock.pump([LINGERS, PAUSE])
    assert clock.getDelayedCalls() == []


def test_a_poll_ends_with_its_token(whole, clock):
    soon = get(whole.http_chat, ("epoch1", 0), bearer=ticket(clock, life=20))
    late = get(whole.http_chat, ("epoch1", 0), bearer=ticket(clock, life=30))
    clock.advance(20)
    assert (soon.responseCode, late.reply) == (401, None)
    assert soon.reply["status"] == 0
    clock.advance(5)
    assert (late.responseCode, texts(late.reply)) == (None, [])


def test_a_poll_that_is_answered_was_not_too_late(whole, clock):
    parked = get(whole.http_chat, ("epoch1", 0), bearer=ticket(clock, life=20))
    clock.advance(19)
    post(whole.http_chat, "news", bearer=ticket(clock, 2, "Bob"))
    assert texts(parked.reply) == ["news"]
    clock.advance(1)
    assert parked.responseCode is None


# --- Who is here ---------------------------------------------------------------------


def test_many_changes_in_one_moment_are_told_once(whole, clock):
    ann = join(whole.factory, shown=ticket(clock))
    clock.advance(PAUSE)
    others = [
        join(whole.factory, shown=ticket(clock, user, f"Bob {user}"))
        for user in range(2, 102)
    ]
    clock.advance(PAUSE)
    everybody = sorted(["Ann", *[f"Bob {user}" for user in range(2, 102)]])
    assert told_here(ann) == [["Ann"], everybody]
    assert [told_here(other) for other in others] == [[everybody]] * 100


def test_a_window_more_is_no_news_for_others(whole, clock):
    ann = join(whole.factory, shown=ticket(clock))
    clock.advance(PAUSE)
    second = join(whole.factory, shown=ticket(clock))
    clock.advance(PAUSE)
    assert (told_here(ann), told_here(second)) == ([["Ann"]], [["Ann"]])
    second.connectionLost(GONE)
    clock.pump([LINGERS, PAUSE])
    assert told_here(ann) == [["Ann"]]


def test_who_has_left_stays_for_some_seconds(whole, clock):
    ann = join(whole.factory, shown=ticket(clock))
    bob = join(whole.factory, shown=ticket(clock, 2, "Bob"))
    clock.advance(PAUSE)
    bob.connectionLost(GONE)
    clock.advance(LINGERS - 0.1)
    assert names(ann) == ["Ann", "Bob"]
    back = join(whole.factory, shown=ticket(clock, 2, "Bob"))
    clock.pump([LINGERS, PAUSE])
    assert told_here(ann) == [["Ann", "Bob"]], "he came back, and nobody noticed"
    back.connectionLost(GONE)
    clock.pump([LINGERS, PAUSE])
    assert names(ann) == ["Ann"]


def test_a_new_name_takes_the_place_of_the_old_one(whole, clock):
    ann = join(whole.factory, shown=ticket(clock))
    second = join(whole.factory, shown=ticket(clock))
    clock.advance(PAUSE)
    renew(second, ticket(clock, 1, "Anna"))
    clock.advance(PAUSE)
    assert names(ann) == names(second) == ["Anna"], "a user is here once"
    second.connectionLost(GONE)
    clock.pump([LINGERS, PAUSE])
    assert names(ann) == ["Ann"], "who is left has a token with the old name still"


def test_names_are_sorted_as_readers_do(whole, clock):
    ann = join(whole.factory, shown=ticket(clock, 1, "ann"))
    for user, name in [(4, "Zoe"), (3, "bob"), (2, "Bob")]:
        join(whole.factory, shown=ticket(clock, user, name))
    clock.advance(PAUSE)
    assert names(ann) == ["ann", "Bob", "bob", "Zoe"]


def test_a_waiting_poll_is_here_and_is_woken_by_who_comes(whole, clock):
    at = ("epoch1", 0)
    first = get(whole.http_chat, at, bearer=ticket(clock), wait="0").reply
    parked = get(whole.http_chat, at, bearer=ticket(clock), here=first["here_version"])
    deaf = get(whole.http_chat, at, bearer=ticket(clock))
    clock.advance(PAUSE)
    assert (parked.reply, deaf.reply) == (None, None)
    bob = join(whole.factory, shown=ticket(clock, 2, "Bob"))
    clock.advance(PAUSE)
    assert [one["name"] for one in parked.reply["here"]] == ["Ann", "Bob"]
    assert (texts(parked.reply), cursor_of(parked.reply)) == ([], at)
    assert deaf.reply is None
    deaf.leave()
    clock.pump([LINGERS, PAUSE])
    assert names(bob) == ["Bob"]


def test_a_poll_that_asks_again_was_never_away(whole, clock):
    bob = join(whole.factory, shown=ticket(clock, 2, "Bob"))
    at = cursor_of(get(whole.http_chat, bearer=ticket(clock)).reply)
    for _ in range(10):
        parked = get(whole.http_chat, at, bearer=ticket(clock))
        clock.advance(LINGERS)
        say(bob, "news")
        at = cursor_of(parked.reply)
        clock.advance(LINGERS - 0.1)
    assert told_here(bob) == [["Ann", "Bob"]]


def test_the_version_of_a_list_is_that_of_no_other(whole, clock, classes):
    def version(presence, *tickets) -> str:
        for one in tickets:
            presence.arrive(one)
        return presence.here()[1]

    def presence():
        return classes.Presence(clock, lambda: None)

    ann, bob = (
        classes.read_token(ticket(clock, user, name))
        for user, name in [(1, "Ann"), (2, "Bob")]
    )
    other = classes.read_token(ticket(clock, 3, "Ann"))
    made = [
        version(presence(), *who) for who in ([], [ann], [bob], [other], [ann, bob])
    ]
    assert len({*made}) == len(made)
    # After a restart a poll comes with the version of another process.
    assert version(presence(), bob, ann) == made[-1]


def test_who_does_not_read_is_told_the_newest_list_only(whole, clock):
    ann = join(whole.factory, shown=ticket(clock))
    clock.advance(PAUSE)
    ann.pauseProducing()
    for user in range(2, 102):
        join(whole.factory, shown=ticket(clock, user, f"Bob {user}"))
        clock.advance(PAUSE)
    assert not ann.behind, "lists of a hundred moments wait for one who reads slowly"
    ann.resumeProducing()
    clock.advance(PAUSE)
    assert [len(people) for people in told_here(ann)] == [1, 101]


def test_while_nobody_comes_or_goes_the_list_is_not_made_again(whole, clock):
    at = cursor_of(get(whole.http_chat, bearer=ticket(clock)).reply)
    polls = [
        get(whole.http_chat, at, bearer=ticket(clock, user, f"Bob {user}"))
        for user in range(2, 102)
    ]
    clock.advance(PAUSE)
    presence = whole.factory.rooms[1].presence
    before = presence.here()
    post(whole.http_chat, "news", bearer=ticket(clock))
    assert [len(poll.reply["here"]) for poll in polls] == [101] * 100
    assert presence.here() is before


@pytest.mark.parametrize("more", [{"here": True}, {"seq": "x"}])
def test_a_frame_with_a_token_and_no_text_is_a_renewal(whole, clock, more):
    ann = join(whole.factory, shown=ticket(clock))
    said = {"token": ticket(clock, life=2 * LIFE)} | more
    ann.textMessageReceived(json.dumps(said))
    clock.advance(LIFE)
    assert ann.transport.closed is None, "she has said another token in time"


@pytest.mark.parametrize("frame", ["{}", '{"seq": 1}', '{"token": 5}'])
def test_a_frame_that_is_nothing_is_refused(whole, clock, frame):
    ann = join(whole.factory, shown=ticket(clock))
    ann.textMessageReceived(frame)
    assert ann.transport.closed == 4400


def test_who_asks_is_told_who_is_here_at_once(whole, clock):
    ann = join(whole.factory, shown=ticket(clock))
    ann.textMessageReceived('{"here": true}')
    assert told_here(ann) == [["Ann"]]
    assert len(batches(ann)) == 1


# --- Who is there at all --------------------------------------------------------------


def test_who_answers_no_ping_is_dropped_within_a_minute(whole, clock, classes):
    ann = join(whole.factory, shown=ticket(clock))
    bob = join(whole.factory, shown=ticket(clock, 2, "Bob"))
    bob.transport.answers_pings = False
    with log_events():
        for _ in range(59):
            clock.advance(1)
    assert (ann.transport.tcp.aborted, bob.transport.tcp.aborted) == (False, True)
    assert ann.transport.pings >= 2
    bob.connectionLost(GONE)
    clock.pump([LINGERS, PAUSE])
    assert names(ann) == ["Ann"]


def test_who_speaks_need_not_answer_pings(whole, clock, classes):
    ann = join(whole.factory, shown=ticket(clock))
    ann.transport.answers_pings = False
    for _ in range(9):
        clock.advance(limit(classes, "beat_seconds", "ping_seconds") / 2)
        ann.textMessageReceived('{"here": true}')
    assert not ann.transport.tcp.aborted


def test_who_is_not_read_from_is_not_asked_for_an_answer(whole, clock, classes):
    ann = join(whole.factory, shown=ticket(clock))
    ann.transport.answers_pings = False
    clock.advance(limit(classes, "beat_seconds", "ping_seconds"))
    ann.pauseProducing()
    clock.advance(limit(classes, "beat_seconds", "ping_seconds"))
    assert not ann.transport.tcp.aborted, "its answer may be there, and nobody reads it"
    ann.resumeProducing()
    clock.advance(limit(classes, "beat_seconds", "ping_seconds"))
    assert not ann.transport.tcp.aborted
    clock.pump([limit(classes, "beat_seconds", "ping_seconds")] * 2)
    assert ann.transport.tcp.aborted


def test_who_has_begun_to_close_is_not_pinged(whole, clock, classes):
    ann = join(whole.factory, shown=ticket(clock))
    ann.transport.begin_to_close()
    clock.advance(limit(classes, "beat_seconds", "ping_seconds"))
    assert ann.transport.pings == 0
    ann.connectionLost(GONE)
