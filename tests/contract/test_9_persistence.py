"""Exercise 4, persistence: what is acknowledged survives whatever ends the server."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.contract.test_8_history import KEPT, come_back, is_reset, numbers
from tests.exercise3_history.test_faults import EACH, members_of, talk
from tests.stage5_refactor.test_crowd import run
from tests.support.clients import Client, short
from tests.support.ledger import Ledger
from tests.support.polling import ask, numbered, post, posting, settle, texts
from tests.support.servers import MANY, MOVED_SECONDS, comes_true, new_id

SINCE_STAGE = 9
SEEDS = [0, *[pytest.param(n, marks=pytest.mark.thorough) for n in range(1, 20)]]
PAGE = 50  # messages that one page of the history may bring
PATIENCE = 30  # seconds for a burst with a crash in it
AWAY_SECONDS = 10.0  # in which somebody has to be told that the database is away
AWAY = "A database that is away can be away for long, and the server has to say so: "


@pytest.fixture
def room(kept) -> str:
    """The path of a room."""
    return kept.rooms()[1]


@pytest.fixture(autouse=True)
def _runs(request, chat):
    """Whatever became of the chat server, the next test finds one."""
    yield
    kept = request.node.funcargs.get("kept", chat)
    if kept.twisted.process is None:
        kept.come_back()
    if kept is not chat:  # for which somebody else looks
        says = kept.twisted.output()
        assert "Traceback" not in says, f"The server logged a traceback:\n{says}"


HOW = pytest.mark.parametrize("how", ["socket", "poll"])


def acknowledged(
    kept, how: str, room: str, text: str, id: str, crash: bool = False
) -> dict:
    """Say something; return the batch that acknowledges it, after a `crash` or not."""
    if how == "poll":
        answer = post(kept, text, id, room=room)
        assert answer.status == 200, (
            f"A POST should be stored, but it was {answer.status} {answer.reply}."
        )
        if crash:
            kept.crash()
        return answer.reply
    with Client(kept, "Ann", room) as ann:
        ann.say(text, id)
        batch = ann.batch(ann.receive(f"be told that {short(text)} is stored"))
        if crash:  # now, and not after a goodbye, which takes time
            kept.crash()
        return batch


@HOW
def test_what_is_acknowledged_survives_a_crash(kept, room, how):
    said = [f"{how} {new_id()}" for _ in range(3)]
    for text in said:
        acknowledged(kept, how, room, text, new_id(), crash=True)
        kept.come_back()
    told = texts(come_back(kept, "poll", room, None))
    assert told[-3:] == said, (
        f"Three messages were said, by {how}, and as soon as each was acknowledged the "
        "server was killed (kill -9) and started again. What is acknowledged has to be "
        "in the database before. Who comes now should be told all three. It is told "
        f"{told[-3:]}."
    )


@HOW
def test_a_cursor_goes_on_after_a_restart(kept, room, how):
    at = numbered(post(kept, "before the crash", room=room).reply)
    post(kept, "missed", room=room)
    kept.crash()
    kept.come_back()
    batch = come_back(kept, how, room, at)
    assert not is_reset(batch), (
        f"Somebody stood at {at} when the server was killed, and comes back by {how}. "
        "The messages are in the database, so it is the same log, with the same epoch: "
        f"why should it be a reset? The batch was {batch}."
    )
    assert texts(batch) == ["missed"], f"One message was missed. It was told {batch}."


def test_the_numbers_go_on_after_a_restart(kept, room):
    epoch, seq = numbered(post(kept, "before", room=room).reply)
    for number in range(2):
        kept.crash()
        kept.come_back()
        came = numbered(post(kept, "after", room=room).reply)
        assert came == (epoch, seq + number + 1), (
            f"Before the restart, {seq} was the newest number of the log {epoch!r}. "
            f"The next should be {seq + number + 1}, without a gap, and never one that "
            f"was given out before. It was {came}."
        )


@pytest.mark.parametrize(("first", "again"), [("poll", "socket"), ("socket", "poll")])
def test_who_says_it_again_after_a_crash_has_said_it_once(kept, room, first, again):
    id, text = new_id(), f"said once by {first}"
    before = acknowledged(kept, first, room, text, id)
    kept.crash()
    kept.come_back()
    after = acknowledged(kept, again, room, text, id)
    assert numbers(after) == numbers(before), (
        "The server was killed after it had stored a message, and before its sender "
        "heard of it. So the sender says it again, with the same id. The database has "
        f"to know that id: the message has the number {numbers(before)} already. It "
        f"was given {numbers(after)}."
    )
    told = texts(come_back(kept, "poll", room, None))
    assert told[-1:] == [text], (
        f"{text!r} was acknowledged, so whoever comes should be told it last. It was "
        f"told {told[-3:]}."
    )
    assert numbered(come_back(kept, "poll", room, None))[1] == numbers(before)[0], (
        "A message that is said again is no second message, in the database neither."
    )


def test_an_id_that_is_older_than_what_memory_holds_is_known(kept, room):
    id = new_id()
    first = acknowledged(kept, "poll", room, "long ago", id)
    with Client(kept, "Ann", room) as ann:
        for _ in range(KEPT // 100 + 1):
            for number in range(100):
                ann.say(f"{number}")
            ann.hears(*map(str, range(100)), because="she said it")
    for how in ("poll", "socket"):
        again = acknowledged(kept, how, room, "long ago", id)
        assert numbers(again) == numbers(first), (
            f"{KEPT + 100} messages after it, a message is said again with its id, by "
            f"{how}. No memory has to hold it any more, but the database does: its "
            f"number is {numbers(first)}. It was given {numbers(again)}."
        )
    kept.crash()
    kept.come_back()
    told = len(texts(come_back(kept, "poll", room, None)))
    assert told == KEPT, (
        f"After a restart who is new should be told the newest {KEPT} messages, as "
        f"before it. It was told {told}."
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_burst_that_a_crash_cuts_short(kept, seed):
    ledger, chance = Ledger(), random.Random(seed)
    members = members_of(kept, kept.chat_port, ledger)
    for member in members:
        member.cursor = numbered(come_back(kept, "poll", kept.rooms()[0], None))
    crash_at = chance.randrange(1, len(members) * EACH - 1)

    async def disturb(number: int) -> None:
        if number == crash_at:
            await asyncio.to_thread(kept.crash)
            await asyncio.to_thread(kept.come_back)

    late = []
    try:
        run(asyncio.wait_for(talk(members, chance, disturb), PATIENCE))
    except TimeoutError:
        late = [f"after {PATIENCE:g} s not everybody had heard everything"]
    problems = ledger.problems() + late
    assert not problems, (
        f"The server was killed after message {crash_at} of a burst (seed {seed}) and "
        "started again; its clients came back with their cursors, and said again what "
        "had not been acknowledged. Then " + "; ".join(problems[:3])
    )
    resets = [member.resets for member in members]
    assert not any(resets), f"The log is kept, and {resets} resets were told."


def earlier(kept, room: str, before) -> tuple[int, dict]:
    """Ask the page's own server for a page of what was said before a number."""
    response = kept.get(f"{room}earlier/?before={before}")
    try:
        reply = json.loads(response.text)
    except ValueError:
        reply = {}
    return response.status, reply


def test_earlier_messages_come_page_by_page(kept):
    room = kept.rooms()[2]
    for number in range(3):
        with Client(kept, "Ann", room) as ann:
            said = [f"{number} {which}" for which in range(60)]
            for text in said:
                ann.say(text)
            ann.hears(*said, because="she said it")
    epoch, before = ann.cursor
    kept.moved(room, before)
    found, pages, more = [], 0, True
    while more:
        status, page = earlier(kept, room, before)
        assert status == 200 and {"more", "data"} <= {*page}, (
            f"GET {room}earlier/?before={before} should bring a page of the messages "
            f'before number {before}: {{"status": 1, "more": true, "data": [...]}}. '
            f"It brought {status} {short(str(page))}."
        )
        got, more = numbers(page), page["more"]
        assert got == sorted(got) and len(got) <= PAGE, (
            f"A page should bring at most {PAGE} messages, the lowest number first. It "
            f"brought the numbers {got}."
        )
        assert got or not more, "It says that there is more, and brings nothing."
        found, before, pages = got + found, (got or [0])[0], pages + 1
    assert found == list(range(1, ann.cursor[1])), (
        f"The messages before number {ann.cursor[1]} were asked for page by page, each "
        "time with the lowest number so far. All should come, and none twice. The "
        f"{pages} pages brought {found}."
    )
    assert pages > 1, f"{len(found)} messages came on one page. It should be bounded."


@pytest.mark.parametrize("before", ["", "x", "1.5", "9" * 5000])
def test_what_is_no_number_brings_no_page(chat, before):
    room = chat.rooms()[1]
    status, _ = earlier(chat, room, before)
    assert status == 400, (
        f"GET {room}earlier/?before={before[:9]} should be refused with 400, as this "
        f"is no number. The status was {status}."
    )


@pytest.mark.parametrize("before", ["0", "1", "-1", "9" * 30])
def test_a_number_of_nothing_brings_what_there_is(chat, before):
    room = chat.rooms()[1]
    status, page = earlier(chat, room, before)
    assert status == 200, f"{before} is a number, and the status was {status}."
    assert before[0] == "9" or (page["data"], page["more"]) == ([], False), (
        f"There is nothing before number {before}: no data, and no more. It was {page}."
    )
    assert earlier(chat, "/chats/987654/", "1")[0] == 404, "There is no such room."


@contextmanager
def away(kept, postgres, readable: bool = True) -> Iterator[None]:
    """Take the database away: nobody can write to it.

    Where it is SQLite, whether it is `readable`, is the caller's choice.
    """
    if postgres is not None:
        postgres.stop()
        try:
            yield
        finally:
            postgres.start()
        return
    code = "from django.db import connection; from chat.models import ChatRoom; "
    code += "print(connection.settings_dict['NAME'], ChatRoom._meta.db_table, sep='|')"
    file, _, rooms = kept.shell(code).splitlines()[-1].partition("|")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        if readable:
            other.execute("BEGIN IMMEDIATE")
            yield
            return
        # Who has the file open can read, whatever becomes of it, but not what is gone.
        other.execute(f'ALTER TABLE "{rooms}" RENAME TO "is_away"')
        try:
            yield
        finally:
            other.execute(f'ALTER TABLE "is_away" RENAME TO "{rooms}"')


@pytest.fixture
def no_database(request, kept):
    """A context manager that takes the database away."""
    is_sqlite = "DATABASE_URL" not in kept.env
    postgres = None if is_sqlite else request.getfixturevalue("postgres")
    return lambda **how: away(kept, postgres, **how)


# From exercise 8 on it is the engine that has to be there.
@pytest.mark.stages(9, 11)
def test_without_a_database_nothing_is_acknowledged(kept, room, no_database):
    by_post, by_socket = new_id(), new_id()
    _, seq = numbered(post(kept, "all is well", room=room).reply)
    with Client(kept, "Ann", room) as ann, Client(kept, "Bob", room) as bob:
        with no_database():
            ann.say("by socket", by_socket)
            posted = posting(kept, "by POST", by_post, room=room, seconds=AWAY_SECONDS)
            should = "be told that her message is not stored"
            frame = json.loads(ann.receive(should, AWAY_SECONDS))
            assert frame.get("status") == 0 and frame.get("id") == by_socket, (
                f"{AWAY}a socket should be told by a frame "
                f'{{"status": 0, "id": "{by_socket}", "error": "..."}} that this '
                f"message is not stored. It was told {frame}."
            )
            answer = posted.answer()
            assert answer.status == 503 and answer.reply.get("status") == 0, (
                f"{AWAY}a POST should be answered with 503, and not with "
                f"{answer.status} {answer.reply}."
            )
            assert answer.headers.get("Retry-After"), (
                "A 503 should say in Retry-After when to come again. Its headers are "
                f"{answer.headers.items()}."
            )
        # It is back, and nobody has to start the chat server anew.
        for id, text, how in [
            (by_socket, "by socket", "poll"),
            (by_post, "by POST", "socket"),
        ]:
            for _ in range(20):
                if how == "poll":
                    answer = post(kept, text, id, room=room)
                    stored = answer.status == 200 and answer.reply
                else:
                    ann.say(text, id)
                    while (stored := json.loads(ann.receive())).get("id") is None:
                        if id in [message["id"] for message in stored["data"]]:
                            break
                    stored = stored["status"] and stored
                if stored:
                    break
            assert stored, (
                "The database is back, and the same message is said again and again, "
                f"by {how}. It should be stored now: the server has to open a new "
                "connection in the place of the broken one."
            )
            seq += 1
            ids = [message["id"] for message in stored["data"]]
            assert (ids, numbers(stored)) == ([id], [seq]), (
                f"What was refused is not stored; said again, it is number {seq}. It "
                f"is {stored}."
            )
        bob.hears("by socket", "by POST", because="they are stored now, once")


@pytest.mark.stages(9, 11)
def test_who_listens_stays_while_the_database_is_away(kept, room, no_database):
    at = numbered(post(kept, "the newest", room=room).reply)
    parked = ask(kept, at, room=room)
    with closing(parked.connection), Client(kept, "Bob", room) as bob:
        with no_database():
            answer = post(kept, "not stored", room=room, seconds=AWAY_SECONDS)
            assert answer.status == 503, f"{AWAY}503, and not {answer.status}."
            assert texts(come_back(kept, "poll", room, None))[-1] == "the newest", (
                "The newest messages are in memory. To read them needs no database."
            )
        for _ in range(20):
            if post(kept, "again", "again", room=room).status == 200:
                break
        bob.hears("again", because="it was said when the database was back")
        told = texts(parked.answer().reply)
        assert told == ["again"], (
            "A poll waited while the database was away. When it was back, 'again' was "
            f"said. The poll should be told that, and was told {told}."
        )


@pytest.mark.stages(9, 11)
def test_a_room_that_could_not_be_loaded_is_loaded_later(kept, no_database):
    [fresh] = kept.make_rooms("Nobody was here")
    kept.token(fresh)
    with no_database(readable=False):
        ask(kept, room=fresh, seconds=AWAY_SECONDS).answer()
    answers = []

    def is_told() -> bool:
        answers.append(ask(kept, room=fresh, seconds=AWAY_SECONDS).answer().status)
        return answers[-1] == 200

    assert comes_true(is_told, AWAY_SECONDS), (
        "Somebody came to a room where nobody was before, while the database was away. "
        "When it was back, who came to that room should be told what was said there, "
        f"and nobody has to do anything. The answers were {answers[:5]}."
    )


def test_nobody_waits_for_what_somebody_else_stores(chat):
    at = numbered(post(chat, "the newest").reply)
    with away(chat, None):
        stored = posting(chat, "when it is back")
        before = time.monotonic()
        reply = ask(chat, at, wait=0).answer().reply
        took, waits = time.monotonic() - before, not stored.is_answered()
    stored.leave()
    assert waits or took < 0.5, (
        "Somebody's message waits for the database, which is slow, and somebody else "
        f"only asks what is new. That took {took:.1f} s, as long as the database did: "
        "the thread that answers everybody should not be the one that waits for it."
    )
    assert reply["data"] == [], f"Nothing was stored meanwhile, but it told {reply}."


def test_what_is_stored_at_once_in_two_rooms_is_two_messages(chat, room):
    elsewhere = chat.rooms()[2]
    for _ in range(3):  # By one commit, unless the first of them begins one.
        id = new_id()
        with away(chat, None):
            # What is stored while the others come.
            waiting = {"before": posting(chat, "before", room=room)}
            settle(chat)
            for path, text in ((room, "in one room"), (elsewhere, "in another")):
                waiting[text] = posting(chat, text, id, room=path)
            settle(chat)
        answers = {text: one.answer() for text, one in waiting.items()}
        for text, answer in answers.items():
            if answer.status == 503:  # as somebody may be who does not wait for it
                continue
            reply = answer.reply
            assert texts(reply) == [text], (
                "Two clients in two rooms happen to choose the same id, while the "
                "database is slow, so that both are stored at once. Who said "
                f"{text!r} was answered {reply}."
            )


@pytest.mark.stages(9, 11)
def test_a_deleted_room_hurts_no_other_that_is_stored_with_it(chat):
    for _ in range(2):  # By one commit, unless the first of them begins one.
        rooms = chat.make_rooms(*(f"{which} {new_id()}" for which in ("1", "2", "3")))
        for path in rooms:
            status = post(chat, "while it is there", room=path).status
            assert status == 200, f"A POST to {path} should be answered with 200."
        gone = rooms[1]
        key = gone.strip("/").split("/")[-1]
        chat.shell(f"from chat.models import ChatRoom; ChatRoom(pk={key}).delete()")
        with away(chat, None):
            # What is stored while the others come, to be stored together.
            before = posting(chat, "before", room=rooms[0])
            settle(chat)
            waiting = {path: posting(chat, "now", room=path) for path in rooms}
            settle(chat)
        given_up = before.answer().status == 503  # by who does not wait for it
        for path, one in waiting.items():
            status = one.answer().status
            wanted = 404 if path == gone else 200
            assert status == wanted or (given_up and status == 503), (
                "While the database is slow, somebody speaks in each of three rooms, "
                f"of which {gone} was deleted. A POST to it should be answered with "
                "404 when the database is back, and the others with 200. The one to "
                f"{path} was answered with {status}."
            )


def stored_in(chat, room: str) -> list[int]:
    """The numbers of the messages in the database, at most one page of them."""
    status, page = earlier(chat, room, 10**9)
    assert status == 200, f"GET {room}earlier/?before={10**9} was {status}."
    return numbers(page)


def test_what_is_old_is_deleted_on_purpose(chat):
    room, other = chat.make_rooms("Pruned", "Pruned as well")
    for path in (room, other):
        for number in range(5):
            post(chat, f"{number}", room=path)
        chat.moved(path, 5)
    for words, left in [
        ("--keep-last 2 --dry-run", [1, 2, 3, 4, 5]),
        ("--keep-last 2", [4, 5]),
        ("--keep-days 1", [4, 5]),
        ("--keep-days 0 --keep-last 1", [5]),
    ]:
        chat.manage("prune_messages", *words.split())
        found = [stored_in(chat, path) for path in (room, other)]
        assert found == [left, left], (
            "Five messages were said just now in each of two rooms. After python "
            f"manage.py prune_messages {words}, the numbers {left} should be left in "
            f"each. There are {found}."
        )
        _, page = earlier(chat, room, 10**9)
        assert page["more"] is False, (
            f"The numbers {left} are left of a room, and were told. Nothing is before "
            f'them, so it should be "more": false, and not {page["more"]}.'
        )


# Makes messages of a room older. Whatever the table is called: it has a time.
MAKE_OLDER = """
from datetime import timedelta
from django.apps import apps
from django.db.models import DateTimeField, F
from chat.models import ChatRoom
def fields(model, kind):
    return [one.name for one in model._meta.fields if kind(one)]
found = 0
for model in apps.get_app_config("chat").get_models():
    times = fields(model, lambda one: isinstance(one, DateTimeField))
    rooms = fields(model, lambda one: one.related_model is ChatRoom)
    for room in rooms if times else []:
        rows = model.objects.filter(**{room: ROOM}).order_by("pk")
        if rows.count() == len(HOURS):
            for row, hours in zip(list(rows), HOURS):
                older = {one: F(one) - timedelta(hours=hours) for one in times}
                found += model.objects.filter(pk=row.pk).update(**older)
print(found)
"""


def test_how_old_a_message_is_is_counted_in_hours(chat):
    [room] = chat.make_rooms("Of yesterday")
    hours = [49, 47, 25, 23]
    for number in hours:
        post(chat, f"{number} hours ago", room=room)
    chat.moved(room, len(hours))
    key = int(room.strip("/").rpartition("/")[2])
    output = chat.shell(f"ROOM, HOURS = {key}, {hours}\n{MAKE_OLDER}")
    if int(output.split()[-1]) != len(hours):
        pytest.skip("no table of the folder says when a message was said")
    for days, left in [(2, [2, 3, 4]), (1, [4])]:
        chat.manage("prune_messages", "--keep-days", f"{days}")
        assert (found := stored_in(chat, room)) == left, (
            "Four messages were said, 49, 47, 25 and 23 hours ago. After python "
            f"manage.py prune_messages --keep-days {days}, those that are younger than "
            f"{days * 24} hours should be left, {left}. There are {found}."
        )


@pytest.mark.stages(9, 11)  # From exercise 8 on the engine has the newest ones still.
@HOW
def test_who_stands_before_what_was_deleted_is_told_so(chat, how):
    [room] = chat.make_rooms("Where something was deleted")
    for number in range(5):
        epoch, seq = numbered(post(chat, f"{number}", room=room).reply)
    chat.crash()
    chat.manage("prune_messages", "--keep-last", "2")
    chat.come_back()
    for missed, resets in ((2, False), (3, True)):
        batch = come_back(chat, how, room, (epoch, seq - missed))
        assert (is_reset(batch), numbers(batch)) == (resets, [seq - 1, seq]), (
            f"Of five messages, the newest with the number {seq}, two were kept by "
            f"prune_messages. Who comes back by {how} and has heard number "
            f"{seq - missed} should be told these two, and "
            f"{'that something may be missing' if resets else 'of no reset'}: {batch}."
        )


def test_no_number_is_given_out_twice(chat):
    [room] = chat.make_rooms("Emptied")
    for number in range(3):
        epoch, seq = numbered(post(chat, f"{number}", room=room).reply)
    chat.crash()
    chat.manage("prune_messages", "--keep-last", "0")
    assert stored_in(chat, room) == [], "--keep-last 0 should keep no message."
    chat.come_back()
    batch = come_back(chat, "socket", room, (epoch, seq))
    assert not is_reset(batch) and numbered(batch) == (epoch, seq), (
        f"Three messages were said and deleted, the last with the number {seq}, and "
        "the server was started again. Who has heard them all has missed nothing, and "
        f"is told of no reset: {batch}."
    )
    came = numbered(post(chat, "after", room=room).reply)
    assert came == (epoch, seq + 1), (
        f"Three messages were said and deleted, the last with the number {seq}, and "
        "the server was started again. Somebody may stand there still, so the next "
        f"number of the log {epoch!r} is {seq + 1}. It was {came}."
    )


@pytest.mark.parametrize("text", ["null \0", "half \ud83d"], ids=["null", "half"])
def test_what_a_database_does_not_take_hurts_nobody(kept, text):
    # Of its own: what Ann says may come after Bob's "hello", when he is gone.
    [room] = kept.make_rooms("Odd")
    with Client(kept, "Ann", room) as ann, Client(kept, "Bob", room) as bob:
        ann.say(text)
        bob.say("hello")
        heard = bob.next()
        if heard != "hello":  # Hers was changed, so that it could be stored.
            heard = bob.next()
        assert heard == "hello", (
            f"Ann said {text!r}, which not every database takes, and Bob said 'hello'. "
            "If her message cannot be stored, his has to be, even if both come "
            f"together. He heard {heard!r}."
        )


def test_a_room_that_was_deleted_refuses_and_hurts_no_other(kept, room):
    [gone] = kept.make_rooms("Gone")
    with Client(kept, "Ann", gone) as ann, Client(kept, "Bob", room) as bob:
        key = gone.strip("/").split("/")[-1]
        code = f"from chat.models import ChatRoom; ChatRoom(pk={key}).delete()"
        kept.shell(code)
        answer = post(kept, "into the void", room=gone)
        if kept.target.stage.number >= MANY:
            # Who appends asks no database. It is noticed a moment later.
            comes_true(
                lambda: post(kept, "into the void", room=gone).status == 404,
                MOVED_SECONDS,
            )
            answer = post(kept, "into the void", room=gone)
        assert answer.status == 404, (
            "A room was deleted, and somebody speaks in it. That cannot be stored, now "
            f"or later, so a POST should be answered with 404, not {answer.status}."
        )
        ann.say("into the void")
        ann.is_closed_with(4404, because="her room was deleted")
        bob.say("hello")
        bob.hears("hello", because="his room was not")


@pytest.mark.parametrize("path", ["/chats/", "/nothing/"])
def test_under_another_name_nobody_is_told_the_environment(chat, path):
    response = chat.get(path, host="stranger.example")
    assert response.status >= 400 and "PYTHONUNBUFFERED" not in response.text, (
        f"Somebody asked for {path} under the name stranger.example, as a site can "
        "that lets its name lead to 127.0.0.1. Django should refuse, and show nothing "
        "of the environment, in which DATABASE_URL has a password. It answered "
        f"{response.status} {response.text[:200]!r}."
    )
