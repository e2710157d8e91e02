"""Exercise 8, many servers: one conversation, whichever of them a client comes to."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import datetime
from itertools import pairwise

import pytest

from tests.contract.test_9_persistence import AWAY_SECONDS, away
from tests.support.clients import SECONDS, Client
from tests.support.polling import Answer, Reply, ask, cursor_of, post, posting, settle
from tests.support.servers import USERS, comes_true, wait_until

SINCE_STAGE = 12
ANN, BOB, CY = "Ann", "Bob", "Cy"
OTHER_NAME, LEA = "Anna", "Lea"
# Where other things run beside a test, it has more patience, and all takes longer.
BUSY = max(1.0, SECONDS / 3)
BLOCKED = 2.0  # seconds; who looks for new rooms only now and then takes longer
SOON = 5.0 * BUSY  # seconds, within which a server finds an engine that is there again
MOVED = 10.0 * BUSY  # seconds, within which a message is in the database
GONE = 15.0 * BUSY  # seconds, within which a killed server's names are off the list
STAYS = 1.5  # seconds, for which the list is looked at
TRIES = 40  # to find it in vain: so many that waits which grow by half are long
APART = 5  # seconds, by which the clocks of two servers may differ
AT_ONCE = 50  # messages that one says without waiting
MANY_TEXTS = 250  # more than a server keeps for who comes back
LONG = 1000  # messages, of which an engine should not keep half
STRANGE = ["007", "1e5", "1.50", "-0", "+1", "0x10", "null", "true", '"7"', "[1]"]
FIELDS = ("text", "id")  # of a message


@pytest.fixture
def room(many, request) -> str:
    """The path of a room where nobody has said anything."""
    [room] = many[0].make_rooms(request.node.name[:100])
    return room


def said(many, room: str, *texts: str) -> tuple[str, int]:
    """Say these, each at the next server; returns the cursor behind the last.

    Raises AssertionError if one is not stored, or is not numbered after the one before.
    Nobody else may speak there meanwhile.
    """
    __tracebackhide__ = True
    before = None
    for number, text in enumerate(texts):
        chat = many[number % len(many)]
        answer = post(chat, text, room=room)
        assert answer.status == 200, (
            f"{text!r} was said at {chat.called}, and should be stored (200). It was "
            f"answered {answer.status}."
        )
        seq = answer.reply["seq"]
        assert before in (None, seq - 1), (
            f"All servers together should count without a gap. {text!r}, said at "
            f"{chat.called}, is number {seq}, and the one before it was {before}."
        )
        before = seq
    return cursor_of(answer.reply)


def look(chat, room: str, cursor=None) -> Reply:
    """What a poll is told that does not wait.

    A server that has just lost the engine has some seconds to find it again, and says
    503 meanwhile.
    """
    __tracebackhide__ = True
    answers = []

    def is_told() -> bool:
        answers.append(ask(chat, cursor, wait=0, room=room).answer())
        return answers[-1].status != 503

    until(is_told, SOON, f"{chat.called} should answer a poll, and not with 503,")
    return answers[-1].reply


def history(chat, room: str, cursor=None, last=None) -> list[dict]:
    """What a poll is told that does not wait, part after part, after `cursor`.

    `last` is the cursor of what was acknowledged last, at whichever server. Raises
    AssertionError if it is told that something may be missing.
    """
    __tracebackhide__ = True
    found = []
    if last:
        # Who brings no cursor may be told what this server has read until now.
        reply = look(chat, room, last)
        assert not reply["reset"], (
            f"{last} was acknowledged. Asked with that, {chat.called} answers {reply}."
        )
    while True:
        reply = look(chat, room, cursor)
        assert not (cursor and reply["reset"]), (
            f"{chat.called} should answer the cursor {cursor}, which another one has "
            f"given out, and says reset."
        )
        found += reply["data"]
        if not reply["data"] or cursor_of(reply) == cursor:
            return found
        cursor = cursor_of(reply)


def dense(messages: list[dict]) -> list[str]:
    """Their texts. Raises AssertionError if the numbers have a gap, or go back."""
    __tracebackhide__ = True
    numbers = [message["seq"] for message in messages]
    first = numbers[0] if numbers else 1
    assert numbers == list(range(first, first + len(numbers))), (
        f"All servers together should count without a gap. These are {numbers}."
    )
    return [message["text"] for message in messages]


def until(what: Callable[[], object], seconds: float, should: str) -> None:
    """Raise AssertionError unless this comes true in so many seconds."""
    __tracebackhide__ = True
    assert comes_true(what, seconds), f"{should} within {seconds:g} s."


def stored(many, room: str, text: str) -> tuple[str, int]:
    """Say something at the first server until it is acknowledged; returns the cursor.

    Raises AssertionError if that takes longer than SOON.
    """
    __tracebackhide__ = True
    until(
        lambda: patient_post(many[0], text, room).status == 200,
        SOON,
        "When the engine is there, what is said again and again should be stored",
    )
    return cursor_of(patient_post(many[0], text, room).reply)


def patient_post(chat, text: str, room: str) -> Answer:
    """Say something, always with the same id, where the engine may be away.

    A server may take its time until it says so.
    """
    __tracebackhide__ = True
    return post(chat, text, f"id of {text}", room=room, seconds=AWAY_SECONDS)


def page(chat, room: str, before: int) -> dict:
    """What Django tells of what was said before a number."""
    answer = chat.get(f"{room}earlier/?before={before}", user=ANN)
    assert answer.status == 200, f"{room}earlier/ was answered {answer.status}."
    return json.loads(answer.text, object_hook=Reply)


def pages(chat, room: str, last: int) -> list[str]:
    """The texts that Django tells page by page, up to the message `last`.

    Raises AssertionError if its numbers have a gap, or one stands there twice.
    """
    __tracebackhide__ = True
    found: list[dict] = []
    while not found or found[0]["seq"] > 1:
        before = found[0]["seq"] if found else last + 1
        earlier = page(chat, room, before)["data"]
        assert earlier and earlier[-1]["seq"] == before - 1, (
            f"Django is asked for what was said before number {before}, and its page "
            f"should end with number {before - 1}. It ends with {earlier[-1:]}."
        )
        found = earlier + found
    return dense(found)


def told_by(chat, room: str, wanted: list[str], because: str) -> None:
    """Raise AssertionError unless a server soon tells who comes anew just these."""
    __tracebackhide__ = True
    told: list[str] = []

    def is_told() -> bool:
        told[:] = dense(history(chat, room))
        return told == wanted

    assert comes_true(is_told, SOON), (
        f"{chat.called} should tell who comes anew {wanted}, because {because}. It "
        f"tells {told}."
    )


def say_all(client: Client, texts: list[str]) -> None:
    """Say these by a socket, some at once, and hear them."""
    __tracebackhide__ = True
    for first in range(0, len(texts), AT_ONCE):
        some = texts[first : first + AT_ONCE]
        for text in some:
            client.say(text)
        client.hears(*some, because="the engine has it")


def hears_all(client: Client, count: int) -> list[str]:
    """The next `count` texts that a client hears. Raises AssertionError if they end."""
    __tracebackhide__ = True
    heard: list[str] = []
    while len(heard) < count:
        try:
            heard.append(client.next())
        except AssertionError as error:
            raise AssertionError(
                f"{client.name} listens at {client.chat.called}, and should hear all "
                f"{count} messages. After {len(heard)} of them: {error}"
            ) from None
    return heard


# One conversation


def test_what_is_said_at_one_is_heard_at_all_by_sockets(many, room):
    with ExitStack() as stack:
        clients = [
            stack.enter_context(Client(chat, f"Client {number}", room))
            for number, chat in enumerate(many)
        ]
        for speaker in clients:
            speaker.say(f"from {speaker.name}")
            for client in clients:
                client.hears(
                    f"from {speaker.name}",
                    because=f"{speaker.name} has said it at another server",
                )


def test_what_is_said_at_one_is_heard_at_all_by_polls_that_wait(many, room):
    cursor = said(many, room, "first")
    polls = [ask(chat, cursor, room=room) for chat in many]
    post(many[1], "second", room=room)
    for chat, poll in zip(many, polls, strict=True):
        came = [message["text"] for message in poll.answer().reply["data"]]
        assert came == ["second"], (
            f"A poll that waits at {chat.called} should be answered with what was "
            f"said at another one. It heard {came}."
        )


def test_who_comes_to_a_quiet_server_is_heard_and_hears_at_once(many, room):
    # The server waits for news of other rooms already.
    with Client(many[1], "Bob", many[0].rooms()[0], user=BOB):
        for number in range(3):
            [new] = many[0].make_rooms(f"{room.strip('/')} {number}".replace("/", " "))
            with Client(many[1], "Cy", new) as cy:
                begun = time.monotonic()
                post(many[0], "here", room=new)
                try:
                    cy.hears("here", because="it was said at another server")
                finally:
                    took = time.monotonic() - begun
                    assert took < BLOCKED, (
                        f"Who comes to a new room hears at once what is said there at "
                        f"another server. It took {took:.1f} s: does the reader wait "
                        f"for other rooms first?"
                    )


def test_many_speak_at_all_servers_and_there_is_one_order(many, room):
    rounds, speakers = 15, 6

    def speak(number: int) -> None:
        for turn in range(rounds):
            chat = many[(number + turn) % len(many)]
            answer = post(chat, f"{number}: {turn}", room=room)
            assert answer.status == 200, (
                f"{speakers} speak at all servers at the same time, and each message "
                f"should be stored (200). One was answered {answer.status}."
            )

    cursor = said(many, room, "begin")
    with ExitStack() as stack:
        clients = [
            stack.enter_context(Client(chat, f"Client {number}", room))
            for number, chat in enumerate(many)
        ]
        with ThreadPoolExecutor(speakers) as pool:
            list(pool.map(speak, range(speakers)))
        heard = [hears_all(client, rounds * speakers) for client in clients]
    stored = dense(history(many[0], room, cursor))
    for chat, texts in zip(many, heard, strict=True):
        assert texts == stored, f"At {chat.called} the order should be that of all."
    for number in range(speakers):
        own = [text for text in stored if text.startswith(f"{number}:")]
        assert own == [f"{number}: {turn}" for turn in range(rounds)], (
            f"What one says comes in the order in which it was said: {own}."
        )


def test_what_is_said_again_at_another_server_is_one_message(many, room):
    for chat in many:
        answer = post(chat, "once", "the-same-id", room=room)
        assert answer.status == 200, f"{chat.called} answered {answer.status}."
        assert [message["seq"] for message in answer.reply["data"]] == [1], (
            f"The same message, with the same id, was said at one server after the "
            f"other. It is message 1, and {chat.called} answered {answer.reply}."
        )
        told = dense(history(chat, room, last=cursor_of(answer.reply)))
        assert told == ["once"], f"{chat.called} tells it more than once: {told}."


def test_what_is_said_again_much_later_is_one_message(many, room):
    said_first = post(many[0], "once", "the-same-id", room=room)
    texts = [f"{number}" for number in range(MANY_TEXTS)]
    with Client(many[0], "Ann", room) as ann:
        say_all(ann, texts)
    for chat in many:
        answer = post(chat, "once", "the-same-id", room=room)
        assert answer.status == 200, f"{chat.called} answered {answer.status}."
        found = [message["seq"] for message in answer.reply["data"]]
        assert found == [said_first.reply["seq"]], (
            f"A message was said again at {chat.called}, with the same id, after "
            f"{MANY_TEXTS} others. It is one message all the same, number 1. It was "
            f"answered as number {found}."
        )


def test_what_is_said_at_all_servers_in_one_moment_is_one_message(many, room):
    for number in range(10):
        requests = [
            posting(chat, f"{number}", f"id-{number}", room=room) for chat in many
        ]
        found = [request.answer().reply["data"][0]["seq"] for request in requests]
        assert found == [number + 1] * len(many), (
            f"The same id came to {len(many)} servers at once, and should have one "
            f"number. It has {found}."
        )


def test_what_looks_like_a_number_stays_a_text(many, room):
    cursor = said(many, room, "begin")
    with Client(many[1], "Cy", room) as cy:
        for text in STRANGE:
            reply = post(many[0], text, text, room=room).reply
            came = [
                cy.next(),
                *[one[field] for one in reply["data"] for field in FIELDS],
            ]
            assert came == [text] * 3, (
                f"The text {text!r}, and the same id, should come back as they were "
                f"said. They came back as {came}."
            )
    last = cursor_of(reply)
    for chat in many:
        told = dense(history(chat, room, cursor, last))
        assert told == STRANGE, f"{chat.called} tells who comes later {told}."


def test_each_clock_may_be_wrong(many, room):
    for number, chat in enumerate(many):
        chat.clock.set(time.time() + APART * (number - 1))
    texts = [f"{number}" for number in range(12)]
    cursor = said(many, room, "begin")
    with Client(many[2], "Cy", room) as cy:
        last = said(many, room, *texts)
        cy.hears(*texts, because="no clock of a server decides on the order")
    told = dense(history(many[1], room, cursor, last))
    assert told == texts, f"No clock decides on the order, and what is told is {told}."


# Any server answers any cursor


def test_each_poll_may_come_to_another_server(many, room):
    cursor = said(many, room, "begin")
    texts = [f"{number}" for number in range(40)]
    speaker = threading.Thread(target=said, args=(many, room, *texts))
    speaker.start()
    heard, turn = [], 0
    while len(heard) < len(texts):
        turn += 1
        reply = ask(many[turn % len(many)], cursor, room=room).answer().reply
        assert not reply["reset"], (
            f"The cursor {cursor} is of another server, and good."
        )
        heard += [message["text"] for message in reply["data"]]
        cursor = cursor_of(reply)
    speaker.join()
    assert heard == texts, (
        f"Who polls at another server each time hears all, in order: {heard}."
    )


def test_who_is_ahead_of_a_server_is_waited_for(many, room):
    # The next server may not have read yet what this one has acknowledged.
    for number in range(30):
        cursor = said(many, room, f"{number}")
        other = many[1 + number % (len(many) - 1)]
        reply = ask(other, cursor, wait=0, room=room).answer().reply
        assert not reply["reset"] and reply["data"] == [], (
            f"{other.called} is asked with {cursor}, which the first one has just "
            f"given out, and answers {reply}."
        )
        with Client(other, "Cy", room, cursor=cursor) as cy:
            assert not cy.first["reset"], (
                f"A socket comes with {cursor}, which is good."
            )


def test_a_server_that_is_late_does_not_call_who_is_ahead_a_liar(many, room):
    epoch, seq = said(many, room, "begin")
    for late in many[1], many[2]:
        # It has the room, has read all of it, and waits for news.
        history(late, room, last=(epoch, seq))
        # It has accepted our connection, and will see who asks before it sees the news.
        connection = http.client.HTTPConnection(
            "127.0.0.1", late.chat_port, timeout=SECONDS
        )
        connection.connect()
        port = connection.sock.getsockname()[1]
        wait_until(
            lambda late=late, port=port: port in late.twisted.peers(),
            lambda late=late: f"{late.called} accepts a connection",
        )
        late.pause()
        seq += 1
        asked = ask(late, (epoch, seq), wait=0, room=room, connection=connection)
        said(many, room, "ahead")
        late.resume()
        reply = asked.answer().reply
        assert not reply["reset"], (
            f"{late.called} is a bit late. It is asked with {(epoch, seq)}, which "
            f"another server has given out, and should wait until it has read so far. "
            f"It says reset."
        )
        assert reply["data"] == [] and cursor_of(reply) == (epoch, seq), reply


def test_a_cursor_that_nobody_gave_out_is_told_so(many, room):
    epoch, seq = said(many, room, "one")
    for chat in many:
        history(chat, room, last=(epoch, seq))  # From here on, all of them have it.
    for cursor in ((epoch, seq + 1000), ("another", seq), (epoch, -5)):
        for chat in many:
            reply = ask(chat, cursor, wait=0, room=room).answer().reply
            assert reply["reset"], f"No server has given out {cursor}: {reply}."
            assert cursor_of(reply) == (epoch, seq), (
                f"With reset comes the cursor of the room as it is: {reply}."
            )


def test_a_socket_comes_back_to_another_server_and_misses_nothing(many, room):
    with Client(many[0], "Cy", room) as cy:
        cursor = cy.cursor
    said(many, room, "one", "two", "three")
    with Client(many[2], "Cy", room, cursor=cursor) as cy:
        came = [message["text"] for message in cy.first["data"]]
        assert came == ["one", "two", "three"] and not cy.first["reset"], (
            f"A socket that comes back is told what it missed, and not {cy.first}."
        )


# What is acknowledged survives


def test_a_server_that_is_killed_takes_no_message_with_it(many, room):
    cursor = said(many, room, "begin")
    acknowledged = []

    def speak() -> None:
        number = 0
        while not done.is_set():
            number += 1
            if posting(many[1], f"{number}", room=room).answer().status == 200:
                acknowledged.append(f"{number}")

    done = threading.Event()
    speaker = ThreadPoolExecutor(1).submit(speak)
    try:
        until(lambda: len(acknowledged) > 20, SOON, "Messages should be acknowledged")
        many[1].crash()
        # Between two messages it may not have noticed yet. With the next one it does.
        assert isinstance(speaker.exception(SOON), AssertionError), "the server hung up"
    finally:
        done.set()
    after = post(many[2], "after", room=room)
    assert after.status == 200, "The others go on."
    told = dense(history(many[0], room, cursor, cursor_of(after.reply)))
    assert told[: len(acknowledged)] == acknowledged and told[-1] == "after", (
        f"Acknowledged were {acknowledged}, and told is {told}."
    )


def test_what_is_acknowledged_survives_the_end_of_the_engine(many, room):
    cursor = said(many, room, *(f"{number}" for number in range(30)))
    with Client(many[1], "Cy", room, cursor=cursor) as cy:
        poll = ask(many[2], cursor, room=room)
        many.engine.restart()
        last = stored(many, room, "after")
        cy.hears("after", because="the engine is there again")
        reply = poll.answer().reply
        assert [message["text"] for message in reply["data"]] == ["after"], reply
        assert reply["epoch"] == cursor[0] and not reply["reset"], (
            "The engine has kept all that it acknowledged, so the room goes on."
        )
    first = (cursor[0], 0)
    told = dense(history(many[0], room, first, last))
    assert told == [*(f"{number}" for number in range(30)), "after"], (
        f"What was acknowledged before the engine was killed is there after it: {told}."
    )


def test_nothing_is_acknowledged_while_the_engine_is_away(many, room):
    said(many, room, "before")
    many.engine.kill()
    answer = patient_post(many[0], "away", room)
    assert answer.status == 503 and answer.headers["Retry-After"], (
        f"While the engine is away, a POST should be answered with 503 and "
        f"Retry-After, and not with {answer.status}."
    )
    many.engine.start()
    last = stored(many, room, "away")
    told = dense(history(many[1], room, last=last))[1:]
    assert told == ["away"], f"It was said again, and is one message: {told}."


@pytest.mark.slow
def test_what_could_not_be_stored_is_not_counted_as_said(many, room):
    many[0].let_in([LEA], [room])  # of whom nobody has counted anything yet
    token = many[0].token(room, LEA)
    with many[0].beside(CHAT_MESSAGES="4/1000") as one:
        answer = post(one, "before", token=token)
        assert answer.status == 200, f"A first message is not too much: {answer.status}"
        many.engine.kill()

        def say() -> int:
            id, patience = f"id of {room}", AWAY_SECONDS
            return post(one, "again", id, token=token, seconds=patience).status

        statuses = [say() for _ in range(6)]
        assert {*statuses} == {503}, (
            "Four messages in a while are allowed, one was said, and the engine is "
            "away. A page says the second one again and again, and each time it should "
            f"be told 503: nothing was stored. It was told {statuses}."
        )
        many.engine.start()
        until(
            lambda: say() == 200,
            SOON,
            "What was said again and again without an engine was never stored, so it "
            "is not too much, and is stored when the engine is back",
        )


def test_a_socket_is_told_that_nothing_can_be_stored(many, room):
    with Client(many[0], "Ann", room) as ann:
        many.engine.kill()
        ann.say("lost?", "id of lost?")
        told = json.loads(ann.receive("be told that it was not stored", AWAY_SECONDS))
        assert (told["status"], told["id"]) == (0, "id of lost?"), told
        many.engine.start()
        stored(many, room, "lost?")
        ann.hears("lost?", because="it was said again, and stored")


@pytest.mark.slow
def test_an_engine_that_hangs_is_away_as_well(many, room):
    cursor = said(many, room, "before")
    with Client(many[1], "Cy", room, cursor=cursor) as cy:
        many.engine.pause()
        answer = patient_post(many[0], "hangs", room)
        assert answer.status == 503, (
            f"The engine does not answer, so nothing is acknowledged: {answer.status}."
        )
        many.engine.resume()
        last = stored(many, room, "hangs")
        cy.hears("hangs", because="the engine goes on")
    told = dense(history(many[2], room, cursor, last))
    assert told == ["hangs"], f"It was said again and again, and is one: {told}."


def test_connections_to_the_engine_that_are_cut_are_made_again(many, room):
    cursor = said(many, room, "before")
    texts = [f"{number}" for number in range(10)]
    with Client(many[1], "Cy", room, cursor=cursor) as cy:
        for text in texts:
            many.engine.cut()
            stored(many, room, text)
        cy.hears(*texts, because="what is read begins where it ended")


def test_an_engine_that_has_lost_something_is_noticed_by_all(many, room):
    many.engine.settings["appendonly"] = "no"
    many.engine.restart()
    cursor = stored(many, room, "kept?")
    with ExitStack() as stack:
        clients = [
            stack.enter_context(Client(chat, f"Client {number}", room, cursor=cursor))
            for number, chat in enumerate(many)
        ]
        polls = [ask(chat, cursor, room=room) for chat in many]
        many.engine.restart()
        for poll in polls:
            try:
                told = poll.answer().reply
            except AssertionError as error:
                told = Reply(reset=False, error=str(error))
            assert told["reset"] and told["epoch"] != cursor[0], (
                f"The engine has forgotten what it acknowledged. Who waits should be "
                f"told reset, in another epoch, and not {told}."
            )
        for client in clients:
            frame = client.batch(client.receive("be told that some may be missing"))
            assert frame["reset"] and frame["epoch"] == told["epoch"], (
                f"All sockets should be told reset, in the epoch of all: {frame}."
            )
        # Nobody is in a room, of which each server thinks otherwise.
        stored(many, room, "after")
        for client in clients:
            client.cursor = frame["epoch"], frame["seq"]
            client.hears("after", because="the room goes on in another epoch")
    late = look(many[1], room, cursor)
    assert late["reset"], f"A cursor of the epoch before is told so: {late}."


def test_an_engine_that_has_come_back_with_less_is_noticed(many, room):
    many.engine.settings["appendonly"] = "no"
    many.engine.restart()
    kept = stored(many, room, "kept")
    many.engine.ask("SAVE")
    with away(many[0], None):  # So nobody has what is lost.
        cursor = stored(many, room, "lost")
        many.engine.restart()
        for chat in many:
            until(
                lambda chat=chat: look(chat, room, cursor).get("reset"),
                SOON,
                f"The engine came back with what it had a while ago, up to message "
                f"{kept[1]}. {chat.called} should say reset to who has heard number "
                f"{cursor[1]}",
            )
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(chat, "Cy", room)) for chat in many]
        stored(many, room, "after")
        for client in clients:
            client.hears("after", because="the room goes on in another epoch")


@pytest.mark.slow
def test_an_engine_that_was_away_for_long_is_found_as_soon(many, room):
    said(many, room, "before")
    many.engine.kill()
    for _ in range(TRIES):
        for chat in many:
            chat.clock.pass_by(100)
            settle(chat)
    many.engine.start()
    for chat in many:
        until(
            lambda chat=chat: (
                patient_post(chat, f"{chat.called} is back", room).status == 200
            ),
            SOON,
            f"The engine was away for long, and is there again. {chat.called} should "
            f"store what is said there",
        )


# The database


def test_all_is_in_the_database_soon_and_once(many, room):
    texts = [f"{number}" for number in range(30)]
    _, last = said(many, room, *texts)
    many[0].moved(room, last)
    found = dense(page(many[0], room, last + 1)["data"])
    assert found == texts, f"In the database each message is there once: {found}."


@pytest.mark.slow
def test_another_server_moves_messages_when_one_is_killed(many, room):
    # Whoever moved messages until now: from here on the last one has to do it alone.
    for chat in many[0], many[1]:
        chat.end()
    _, seq = said([many[2]], room, "one")
    many[2].moved(room, seq)
    many[0].come_back()
    with Client(many[0], "Cy", room, user=CY) as cy:
        many[2].crash()
        _, seq = said([many[0]], room, "two")
        until(
            lambda: page(many[0], room, 1)["last"] == seq,
            MOVED,
            "The server that moved messages to the database was killed. Another one "
            "should do it",
        )
        _, seq = said([many[0]], room, "three")
        cy.hears("two", "three", because="it was said at her own server")
    many[0].moved(room, seq)
    found = pages(many[0], room, seq)
    assert found == ["one", "two", "three"], f"Each message is moved once: {found}."


@pytest.mark.slow
def test_many_messages_wait_for_a_database_that_is_away(many, room):
    _, seq = said(many, room, "before")
    texts = [f"{number}" for number in range(MANY_TEXTS)]
    with Client(many[1], "Ann", room) as ann, away(many[0], None):
        say_all(ann, texts)
        # Whoever moves messages has tried and failed, and again.
        for _ in range(3):
            give_up(many[0])
    seq += len(texts)
    many[0].moved(room, seq)
    found = pages(many[0], room, seq)
    assert found == ["before", *texts], f"All is moved, once and in order: {found}."


@pytest.mark.slow
def test_an_engine_that_ends_while_messages_are_moved(many, room):
    _, seq = said(many, room, "before")
    many[0].moved(room, seq)
    wanted, is_moved = ["before"], False
    while not is_moved and len(wanted) < 4:
        with away(many[0], None):
            _, seq = said(many, room, f"moved {len(wanted)}")
            give_up(many[0])  # Whoever moves messages waits for the database as well,
            many.engine.kill()
        # and stores them now, most often, when there is no engine.
        is_moved = comes_true(
            lambda seq=seq: page(many[0], room, 1)["last"] == seq, 1.0
        )
        after = f"after {len(wanted)}"
        answer = patient_post(many[0], after, room)
        assert answer.status == 503, f"Without an engine, it was {answer.status}."
        many.engine.start()
        _, seq = stored(many, room, after)
        wanted += [f"moved {len(wanted)}", after]
        until(
            lambda seq=seq: page(many[0], room, 1)["last"] == seq,
            MOVED,
            "The engine ended while messages were moved. Is it noted there how far "
            "that was, while the messages are in the database? What is said later "
            "should be moved, too,",
        )
    found = pages(many[0], room, seq)
    assert found == wanted, f"Each message is moved once, and in order: {found}."


@pytest.mark.slow
def test_what_is_moved_leaves_the_engine(many, room):
    texts = [f"{number}" for number in range(LONG)]
    with Client(many[0], "Ann", room) as ann:
        say_all(ann, texts)
    many[0].moved(room, LONG)
    ask = many.engine.ask

    def lengths() -> list[int]:
        streams = [key for key in ask("KEYS", "*") if ask("TYPE", key) == "stream"]
        return [int(ask("XLEN", key)) for key in streams]

    until(
        lambda: max(lengths(), default=0) < LONG // 2,
        MOVED,
        f"All of {LONG} messages are in the database, and memory is dear: the engine "
        f"should keep the newest of them only. Its longest stream should be shorter",
    )
    found = pages(many[0], room, LONG)
    assert found == texts, f"What left the engine is in the database: {found}."


def test_there_is_no_seam_between_the_engine_and_the_database(many, room):
    texts = [f"{number}" for number in range(260)]
    epoch, last = said(many, room, *texts)
    ask(many[0], (epoch, last), wait=0, room=room).answer()
    found = ask(many[0], wait=0, room=room).answer().reply["data"]
    assert found[-1]["seq"] == last, (
        f"Who is new is told the newest, up to {last}, and not up to {found[-1]}."
    )
    many[0].moved(room, last)
    first = found[0]["seq"]
    all_found = pages(many[0], room, first - 1) + dense(found)
    assert all_found == texts, f"Page by page all comes, once: {all_found}."
    times = [datetime.fromisoformat(message["said_at"]) for message in found]
    early = [one for one, time in enumerate(pairwise(times)) if time[1] < time[0]]
    assert not early, (
        "One message was said after the other, each when the one before was "
        f"acknowledged. {len(early)} of {len(found)} times do not say so: "
        f"{found[early[0]]['said_at']}, and then {found[early[0] + 1]['said_at']}."
    )


def test_how_far_the_database_is_does_not_depend_on_what_is_left(many, room):
    _, last = said(many, room, "one", "two", "three")
    many[0].moved(room, last)
    many[0].manage("prune_messages", "--keep-last", "0")
    told = page(many[0], room, last + 1)
    assert (told["last"], told["data"], told["more"]) == (last, [], False), (
        f"Messages up to {last} were in the database, and python manage.py "
        'prune_messages --keep-last 0 has deleted them. None is on its way, so "last" '
        f"should be {last}, or a page asks for ever. Django tells {dict(told)}."
    )


def test_an_engine_that_is_empty_goes_on_where_the_database_ends(many, room):
    _, last = said(many, room, "one", "two", "three")
    many[0].moved(room, last)
    many.engine.flush()
    many.engine.restart()
    stored(many, room, "four")
    for chat in many:
        told_by(
            chat,
            room,
            ["one", "two", "three", "four"],
            "the engine is empty, and the database has three messages, so the next one "
            "is number 4",
        )


@pytest.mark.slow
def test_what_an_engine_without_memory_takes_twice_is_there_twice(many, room):
    said(many, room, *(f"{number}" for number in range(MANY_TEXTS)))
    first = stored(many, room, "again")
    _, last = said(many, room, *(f"then {number}" for number in range(MANY_TEXTS)))
    many[0].moved(room, last)
    many.engine.flush()
    many.engine.restart()
    _, seq = stored(many, room, "again")
    if seq == first[1]:
        return  # It was looked up in the database, and is no other one.
    _, seq = said(many, room, "the end")
    many[0].moved(room, seq)
    found = pages(many[0], room, seq)
    assert found.count("again") == 2, (
        "Something was said again, with its id, to an engine that had lost all. It was "
        "acknowledged as another message, and should be in the database twice. It is "
        f"there {found.count('again')} times."
    )


def test_while_the_database_is_away_all_go_on(many, room):
    cursor = said(many, room, "before")
    with Client(many[1], "Cy", room, cursor=cursor) as cy:
        with away(many[0], None):
            _, last = said(many, room, "meanwhile", "and", "more")
            cy.hears("meanwhile", "and", "more", because="the engine has it")
        many[0].moved(room, last)
    found = dense(page(many[0], room, last + 1)["data"])[1:]
    assert found == ["meanwhile", "and", "more"], (
        f"When the database is back, what was said meanwhile is moved: {found}."
    )


# Who is here, and how much


def names(chat, room: str) -> set[str]:
    reply = look(chat, room)
    return {person["name"] for person in reply["here"]}


def give_up(chat) -> None:
    """Wait for a database that is away as long as whoever asks it waits."""
    with suppress(AssertionError):
        chat.make_rooms("There is no room")


def test_who_is_here_is_one_list(many, room):
    with (
        Client(many[0], "Ann", room, user=ANN),
        Client(many[1], "Bob", room, user=BOB),
    ):
        for chat in many:
            until(
                lambda chat=chat: names(chat, room) >= {ANN, BOB},
                SOON,
                f"{chat.called} should say that both are here, who are at others,",
            )
    with Client(many[2], "Ann", room, user=ANN):
        until(lambda: names(many[2], room) == {ANN}, SOON + 5, "Bob has gone")


def test_somebody_has_one_name_at_all_servers(many, room):
    first, rename = many[0], "users.filter(username={!r}).update(username={!r})"
    try:
        with Client(first, "Ann", room, user=ANN):
            first.shell(USERS + rename.format(ANN, OTHER_NAME))
            page = first.get(room, user=ANN).text
            token = first.token_in(page, room)
            with Client(many[1], "Ann, renamed", room, token=token):
                told: list[set[str]] = []

                def all_agree() -> bool:
                    told[:] = [names(chat, room) for chat in many]
                    return all(each == {OTHER_NAME} for each in told)

                assert comes_true(all_agree, SOON), (
                    f"Ann is at a server as {ANN}, was renamed then, and is at another "
                    f"one as {OTHER_NAME}. Her newest ticket has the right name, "
                    f"wherever somebody asks. The servers say {told}."
                )
    finally:
        first.shell(USERS + rename.format(OTHER_NAME, ANN))


def test_who_is_here_stays_on_the_list_whatever_the_clocks_say(many, room):
    for number, chat in enumerate(many):
        chat.clock.set(time.time() + APART * (number - 1))
    with ExitStack() as stack:
        # Ann is at whichever server is asked: it is she who asks.
        for chat, user in zip(many, (BOB, CY, ANN), strict=True):
            stack.enter_context(Client(chat, user, room, user=user))
        for chat in many:
            until(
                lambda chat=chat: names(chat, room) >= {ANN, BOB, CY},
                SOON,
                f"The servers' clocks differ by {APART} s. {chat.called} should say "
                f"who is here",
            )
        end, turn = time.monotonic() + STAYS, 0
        while time.monotonic() < end:
            turn += 1
            chat = many[turn % len(many)]
            here = names(chat, room)
            assert here >= {ANN, BOB, CY}, (
                f"The servers' clocks differ by {APART} s, and nobody has gone. "
                f"{chat.called} says that here are {sorted(here)}."
            )


@pytest.mark.slow
def test_a_server_that_is_killed_takes_its_names_with_it(many, room):
    with Client(many[0], "Ann", room, user=ANN):
        bob = Client(many[1], "Bob", room, user=BOB)
        with ExitStack() as stack:
            stack.enter_context(bob)
            until(lambda: BOB in names(many[0], room), SOON, "Bob should be here")
            many[1].crash()
        until(
            lambda: names(many[0], room) == {ANN},
            GONE,
            "Bob's server was killed, and his name should be off the list",
        )


def test_twenty_messages_are_twenty_over_all_servers(many, room):
    with many[0].beside() as one, many[0].beside() as other:
        one.clock.set(time.time() + APART)
        answers = [
            post((one, other)[number % 2], f"{number}", room=room)
            for number in range(30)
        ]
    passed = [*[answer.status for answer in answers], 429].index(429)
    assert 20 <= passed <= 24, (
        f"Twenty messages in ten seconds are what one user may say, at all servers "
        f"together, whatever their clocks say. {passed} of {len(answers)} came through."
    )
    later = answers[passed].headers["Retry-After"]
    assert int(later) >= 1, f"Retry-After says in how many seconds: {later}."


@pytest.mark.slow
def test_who_waits_as_told_may_speak_at_another_server(many, room):
    rate = {"CHAT_MESSAGES": "4/2"}
    with many[0].beside(**rate) as one, many[0].beside(**rate) as other:
        texts, answer = [], post(one, "first", room=room)
        while answer.status == 200 and len(texts) < 20:
            texts.append(f"{len(texts)}")
            answer = post(one, texts[-1], room=room)
        assert answer.status == 429, (
            f"Four messages in two seconds are allowed, and {len(texts)} came through."
        )
        seconds = int(answer.headers["Retry-After"])
        told = time.monotonic()
        until(lambda: time.monotonic() > told + seconds, seconds + 1, "Time passes")
        statuses = [post(other, f"patient {n}", room=room).status for n in range(2)]
    assert statuses == [200, 200], (
        f"Somebody was told to come again in {seconds} s, and came then, to another "
        f"server. Half of the limit should be there again, two messages. They were "
        f"answered {statuses}."
    )


# Without an engine


def test_one_server_goes_on_without_an_engine(many, room):
    with many[0].beside(REDIS_URL=None) as alone:
        [other] = many[0].make_rooms(f"alone {room.strip('/')}".replace("/", " "))
        with Client(alone, "Cy", other) as cy:
            answer = post(alone, "one", room=other)
            assert answer.status == 200, (
                f"Without REDIS_URL one server goes on, and answers {answer.status}."
            )
            cy.hears("one", because="it is one server, as in exercise 7")
        assert dense(page(alone, other, 2)["data"]) == ["one"], (
            "What is acknowledged is in the database at once, as in exercise 4."
        )
