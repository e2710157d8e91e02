"""What is stored, and when it is told, with a database that answers when we let it."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.support.polling import cursor_of, texts
from tests.support.requests import get, post, token
from tests.support.storage import Database
from tests.support.transport import batches, connect, join, say, sent, show

SINCE_STAGE = 9
GONE = Failure(Exception("gone"))
LINGERING = 5  # seconds; from exercise 6 on who has left is counted for some of them


@pytest.fixture
def database(whole) -> Database:
    """The database of `whole`: room 1 is loaded, and from now on it takes its time."""
    get(whole.http_chat)
    database = whole.factory.database
    database.prompt = False
    database.calls.clear()
    return database


def answer_all(database) -> None:
    while database.asked:
        database.answer()


def test_what_comes_during_one_commit_is_stored_by_the_next(whole, database):
    requests = [post(whole.http_chat, f"{number}") for number in range(50)]
    assert database.calls == ["store"], "one commit at a time"
    database.answer()
    assert [request.reply is not None for request in requests] == [True, *[False] * 49]
    database.answer()
    assert database.calls == ["store", "store"], "49 messages need one commit"
    assert [texts(request.reply) for request in requests] == [
        [f"{number}"] for number in range(50)
    ]


def test_what_is_read_in_one_turn_is_stored_by_one_commit(whole, database):
    whole.reactor.next_turn = {"commit"}
    requests = [post(whole.http_chat, f"{number}") for number in range(50)]
    whole.reactor.turn()
    assert database.calls == ["store"]
    database.answer()
    told = [request.reply and texts(request.reply) for request in requests]
    assert told == [[f"{number}"] for number in range(50)], (
        "50 messages that come together need one commit"
    )


def test_nobody_hears_of_it_before_it_is_stored(whole, database):
    ann, bob = join(whole.factory), join(whole.factory)
    parked = get(whole.http_chat, ("epoch1", 0))
    say(ann, "hello")
    posted = post(whole.http_chat, "hi")
    heard = sent(ann), sent(bob), parked.reply, posted.reply
    assert heard == ([], [], None, None), "what is not stored yet, nobody may hear"
    assert len(whole.messages) == 0
    answer_all(database)
    assert sent(ann) == sent(bob) == ["hello", "hi"]
    assert texts(parked.reply) == ["hello"] and texts(posted.reply) == ["hi"]


def test_the_order_of_the_log_is_the_order_of_telling(whole, database):
    ann = join(whole.factory)
    for number in range(10):
        post(whole.http_chat, f"{number}")
        if number % 3 == 0:
            database.answer()
    answer_all(database)
    assert sent(ann) == [f"{number}" for number in range(10)]
    assert [batch["seq"] for batch in batches(ann)[1:]] == [*range(1, 11)]


def test_one_id_in_one_commit_is_one_message(whole, database):
    post(whole.http_chat, "first")
    twice = [post(whole.http_chat, "twice", id="a") for _ in range(2)]
    bob = join(whole.factory)
    answer_all(database)
    assert twice[0].reply == twice[1].reply
    assert sent(bob) == ["first", "twice"]


def test_a_commit_holds_all_rooms(whole, database):
    database.prompt = True
    get(whole.http_chat, room=2)
    database.prompt = False
    database.calls.clear()
    here, there = join(whole.factory), join(whole.factory, 2)
    post(whole.http_chat, "first")
    for room in (1, 2, 1, 2):
        post(whole.http_chat, f"in {room}", room)
    answer_all(database)
    assert database.calls == ["store", "store"]
    assert sent(here) == ["first", "in 1", "in 1"]
    assert sent(there) == ["in 2", "in 2"]


def test_no_more_wait_than_fit(whole, database, classes):
    most = classes.Writer.most_waiting
    posted = [post(whole.http_chat, "x") for _ in range(most + 1)]
    assert {request.responseCode for request in posted} == {None}
    ann = join(whole.factory)
    say(ann, "too much", "a")
    late = post(whole.http_chat, "too much")
    assert late.responseCode == 503, f"{most} wait already, and no more should"
    assert late.reply["status"] == 0
    assert [(b["status"], b["id"]) for b in batches(ann)[1:]] == [(0, "a")]
    answer_all(database)
    assert posted[-1].reply["seq"] == most + 1
    assert post(whole.http_chat, "now there is room").responseCode is None
    answer_all(database)


def test_what_waits_behind_a_failed_commit_fails_with_it(whole, database):
    ann = join(whole.factory)
    say(ann, "one", "a")
    say(ann, "two", "b")
    say(ann, "three", "c")
    database.is_away = True
    database.answer()
    database.is_away = False
    assert database.asked == [], "or else her second would be stored before her first"
    assert [(b["status"], b["id"]) for b in batches(ann)[1:]] == [
        (0, "a"),
        (0, "b"),
        (0, "c"),
    ]
    for text, id in [("one", "a"), ("two", "b"), ("three", "c")]:
        say(ann, text, id)
    answer_all(database)
    told = batches(ann)[4:]
    assert [(batch["seq"], texts(batch)) for batch in told] == [
        (1, ["one"]),
        (2, ["two"]),
        (3, ["three"]),
    ]


@pytest.mark.parametrize("other_first", [False, True])
def test_a_commit_whose_answer_was_lost_leaves_no_gap(whole, database, other_first):
    bob = join(whole.factory)
    lost = post(whole.http_chat, "stored, and nobody knows", id="a")
    row = database.rooms[1]
    row.messages.append(database.message(1, "a", "stored, and nobody knows"))
    row.last_seq, database.is_away = 1, True
    database.answer()
    assert lost.responseCode == 503
    database.is_away = False
    if other_first:
        post(whole.http_chat, "another")
    again = post(whole.http_chat, "stored, and nobody knows", id="a")
    answer_all(database)
    assert again.reply["seq"] == 1
    told = ["stored, and nobody knows", *["another"] * other_first]
    assert sent(bob) == told
    assert texts(get(whole.http_chat, ("epoch1", 0)).reply) == told


def test_who_leaves_while_its_message_is_stored_has_said_it(whole, database):
    bob, ann = join(whole.factory), join(whole.factory)
    post(whole.http_chat, "first").leave()
    say(ann, "second", "a")
    say(ann, "second", "a")
    ann.connectionLost(GONE)
    answer_all(database)
    assert sent(bob) == ["first", "second"]


def test_a_thousand_who_come_at_once_ask_the_database_once(whole, database):
    cursor = ("epoch2", 0)
    sockets = [join(whole.factory, 2, cursor) for _ in range(500)]
    polls = [get(whole.http_chat, cursor, room=2) for _ in range(500)]
    said = post(whole.http_chat, "hello", room=2)
    assert database.calls == ["load"], "what many want is loaded once"
    answer_all(database)
    assert database.calls == ["load", "store"]
    assert said.reply["seq"] == 1
    assert all(sent(socket) == ["hello"] for socket in sockets)
    assert all(texts(poll.reply) == ["hello"] for poll in polls)


def test_what_cannot_be_loaded_is_loaded_for_the_next_who_comes(whole, database):
    poll, ann = get(whole.http_chat, room=2), join(whole.factory, 2)
    database.is_away = True
    database.answer()
    assert (poll.responseCode, ann.transport.closed) == (503, 1013)
    database.is_away = False
    bob = join(whole.factory, 2)
    answer_all(database)
    assert len(batches(bob)) == 1
    ann.connectionLost(GONE)


def test_who_leaves_meanwhile_is_not_let_in(whole, database):
    ann, poll = join(whole.factory, 2), get(whole.http_chat, room=2)
    ann.connectionLost(GONE)
    poll.leave()
    answer_all(database)
    assert whole.factory.rooms[2].clients == []


def test_who_speaks_before_it_is_let_in_is_refused(whole, database):
    ann = connect(whole.factory)
    show(ann, token(2))
    say(ann, "too early")
    assert ann.transport.closed == 4400
    answer_all(database)
    assert whole.factory.rooms[2].clients == []
    ann.connectionLost(GONE)


def test_a_room_that_was_deleted_refuses_and_no_other(whole, database):
    database.prompt = True
    ann, bob = join(whole.factory), join(whole.factory, 2)
    database.prompt = False
    database.deleted = {1}
    post(whole.http_chat, "first", 2)
    here, there = post(whole.http_chat, "here"), post(whole.http_chat, "there", 2)
    say(ann, "here")
    answer_all(database)
    assert (here.responseCode, ann.transport.closed) == (404, 4404)
    assert texts(there.reply) == ["there"] and sent(bob) == ["first", "there"]
    database.deleted = {3}
    cara, poll = join(whole.factory, 3), get(whole.http_chat, room=3)
    answer_all(database)
    assert (poll.responseCode, cara.transport.closed) == (404, 4404)
    for client in (ann, cara):
        client.connectionLost(GONE)


def test_who_floods_one_room_has_what_is_said_in_others_refused(whole, classes):
    whole.factory.database.prompt = False
    get(whole.http_chat, room=1), get(whole.http_chat, room=2)
    answer_all(whole.factory.database)
    for number in range(classes.Writer.most_waiting + 1):
        post(whole.http_chat, f"{number}")
    assert post(whole.http_chat, "honest", 2).responseCode == 503
    answer_all(whole.factory.database)


def forget(whole) -> None:
    """Have the empty rooms forgotten, when those who left are gone for good."""
    whole.reactor.advance(LINGERING)
    whole.factory.forget_empty_rooms()


def test_a_room_is_not_forgotten_while_something_is_under_way(whole, database):
    post(whole.http_chat, "hello").leave()
    get(whole.http_chat, room=2)
    whole.factory.forget_empty_rooms()
    assert {*whole.factory.rooms} == {1, 2}
    answer_all(database)
    forget(whole)
    assert whole.factory.rooms == {}


def test_a_room_is_kept_while_somebody_is_in_it(whole, database):
    database.prompt = True
    ann = join(whole.factory)
    poll = get(whole.http_chat, cursor_of(post(whole.http_chat, "hello", 2).reply), 2)
    whole.factory.forget_empty_rooms()
    assert {*whole.factory.rooms} == {1, 2}
    ann.connectionLost(GONE)
    poll.leave()
    forget(whole)
    assert whole.factory.rooms == {}, "nobody is there any more, and it is still kept"


def test_somebody_looks_for_empty_rooms_now_and_then(classes):
    clock, looks = Clock(), []
    assert classes.forgetting.call[0] == classes.factory.forget_empty_rooms
    classes.forgetting.clock = clock
    classes.forgetting.call = (lambda: looks.append(clock.seconds()), (), {})
    classes.forgetting.startService()
    clock.advance(classes.ChatFactory.patience)
    classes.forgetting.stopService()
    assert looks == [0.0, classes.ChatFactory.patience]


def test_a_room_that_was_forgotten_has_the_same_log(whole, database):
    database.prompt = True
    at = cursor_of(post(whole.http_chat, "hello").reply)
    post(whole.http_chat, "missed")
    forget(whole)
    batch = get(whole.http_chat, at).reply
    assert (batch["reset"], texts(batch)) == (False, ["missed"])
    assert database.calls == ["store", "store", "load"]


def test_what_no_database_takes_is_replaced(whole, classes):
    ann = join(whole.factory)
    say(ann, "half \ud83d, and \0, and \N{GRINNING FACE}")
    assert sent(ann) == ["half \ufffd, and \ufffd, and \N{GRINNING FACE}"]
    say(ann, "an id", "half \ud83d")
    assert ann.transport.closed == 4400
    ann.connectionLost(GONE)
    assert post(whole.http_chat, "an id", id="\0").responseCode == 400
