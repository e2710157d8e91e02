"""What is asked of the database, by the functions that ask it, in a file of our own."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import pytest_twisted
from twisted.internet import reactor

SINCE_STAGE = 9


@pytest.fixture(autouse=True)
def _own_file(monkeypatch, tmp_path):
    # Before the classes are loaded: Django reads its settings once.
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/chat.sqlite3")


@pytest.fixture
def storage(classes):
    """The functions, and a database with the demo rooms."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    return WithTickets(classes) if hasattr(classes, "Presence") else classes.storage


class WithTickets:
    """The functions of a snapshot where each text has the ticket of who says it."""

    def __init__(self, classes):
        from django.contrib.auth import get_user_model

        self.models, self.load = classes.storage.models, classes.storage.load
        self._store = classes.storage.store
        self._user = get_user_model().objects.create_user("Ann").pk

    def store(self, batch: dict) -> dict:
        ticket = SimpleNamespace(user=self._user, name="Ann")
        return self._store(
            {
                room: (seq, {id: (text, ticket) for id, text in said.items()})
                for room, (seq, said) in batch.items()
            }
        )


def said(count: int, first: int = 0) -> dict[str, str]:
    """So many messages: texts by id."""
    return {f"id{n}": f"text {n}" for n in range(first, first + count)}


def test_what_is_stored_is_loaded(storage):
    epoch, seq, messages = storage.load(1, 200)
    assert (seq, messages) == (0, [])
    stored = storage.store({1: (0, said(3)), 2: (0, said(1))})
    news, by_id = stored[1]
    assert [(m.seq, m.id, m.text) for m in news] == [
        (n + 1, f"id{n}", f"text {n}") for n in range(3)
    ]
    assert [*by_id.values()] == news
    assert storage.load(1, 200) == (epoch, 3, news)
    assert storage.load(1, 2) == (epoch, 3, news[1:])
    assert storage.load(2, 2)[0] != epoch, "each room has its own log"


def test_what_is_said_again_has_its_old_number(storage):
    storage.store({1: (0, said(3))})
    stored = storage.store({1: (3, said(3, first=2))})
    news, by_id = stored[1]
    assert [message.seq for message in news] == [4, 5]
    assert {id: message.seq for id, message in by_id.items()} == {
        "id2": 3,
        "id3": 4,
        "id4": 5,
    }


def test_a_number_is_never_given_out_again(storage):
    storage.store({1: (0, said(3))})
    storage.models.Message.objects.all().delete()
    stored = storage.store({1: (3, said(1, first=3))})
    numbers = [message.seq for message in stored[1][0]]
    assert numbers == [4], "a number that was given out is not given out again"
    storage.models.Message.objects.all().delete()
    stored = storage.store({1: (1, said(1, first=4))})
    numbers = [message.seq for message in stored[1][0]]
    assert numbers == [5], "nor is it where we are behind"


def test_who_is_behind_is_told_all(storage):
    storage.store({1: (0, said(3))})
    stored = storage.store({1: (1, said(1, first=3))})
    numbers = [message.seq for message in stored[1][0]]
    assert numbers == [2, 3, 4], "what was stored, and nobody heard of it, is news"


def test_a_room_that_is_gone_is_left_out(storage):
    assert storage.load(999, 200) is None
    assert {*storage.store({1: (0, said(1)), 999: (0, said(1))})} == {1}
    assert storage.load(1, 200)[1] == 1


def test_a_log_that_is_shorter_than_we_know_is_another_one(storage):
    assert storage.store({1: (5, said(1))}) == {}
    assert storage.load(1, 200)[1:] == (0, [])


def test_all_or_nothing(storage):
    from django.db import IntegrityError

    with pytest.raises(IntegrityError):
        storage.store({1: (0, said(1)), 2: (0, {"id": None})})
    assert storage.load(1, 200)[1:] == (0, [])


def queries(storage, batch: dict) -> int:
    """How many questions storing a batch takes."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as asked:
        storage.store(batch)
    return len(asked)


def test_a_hundred_messages_take_as_many_questions_as_one(storage):
    one = queries(storage, {1: (0, said(1))})
    many = queries(storage, {1: (1, said(100, first=1))})
    assert many == one == 6, (
        "BEGIN, the room, the ids, the messages, the number, COMMIT"
    )
    rooms = {1: (101, said(10, first=101)), 2: (0, said(10))}
    assert queries(storage, rooms) == 10


def test_to_be_behind_takes_one_question_more(storage):
    storage.store({1: (0, said(3))})
    many = queries(storage, {1: (1, said(101, first=2))})
    assert many == 7, (
        "BEGIN, the room, the ids, the messages, what we missed, the number, COMMIT"
    )


def test_the_ids_are_looked_up_in_their_index(storage):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    storage.store({1: (0, said(10))})
    with CaptureQueriesContext(connection) as asked:
        storage.store({1: (10, said(10))})
    [looked_up] = [q["sql"] for q in asked if "IN (" in q["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {looked_up}")
        plan = " ".join(str(row) for row in cursor.fetchall())
    assert "client_id=?" in plan, f"or else all messages of the room are read: {plan}"


@pytest.fixture
def database(classes, storage):
    """A function that starts the thread with its database, and ends it."""
    database = classes.Database(reactor)
    database.startService()
    yield database
    pytest_twisted.blockon(database.stopService())


@pytest_twisted.ensureDeferred
async def test_results_come_in_the_order_of_the_calls(database):
    came = []
    calls = [database.run(lambda n=n: (n, threading.get_ident())) for n in range(50)]
    for call in calls:
        call.addCallback(came.append)
    await calls[-1]
    assert [number for number, _ in came] == [*range(50)]
    [thread] = {thread for _, thread in came}
    assert thread != threading.get_ident()


@pytest_twisted.ensureDeferred
async def test_no_query_is_kept(database, storage):
    from django.db import connection

    for first in range(0, 50, 5):
        await database.run(storage.store, {1: (first, said(5, first))})
    kept = await database.run(lambda: len(connection.queries))
    assert kept < 10, "Django keeps them for its debug page, and nobody looks at it"


@pytest_twisted.ensureDeferred
async def test_after_an_error_there_is_a_new_connection(database, storage, classes):
    from django.db import OperationalError, connection

    def break_off():
        raise OperationalError("the line broke")

    def current():
        connection.ensure_connection()
        return connection.connection

    before = await database.run(current)
    with pytest.raises(classes.NotNow):
        await database.run(break_off)
    after = await database.run(current)
    assert after is not before, "who goes on with a broken connection never heals"


@pytest_twisted.ensureDeferred
async def test_what_is_said_is_not_written_into_a_deleted_file(
    database, storage, tmp_path
):
    from django.core.management import call_command
    from django.db import connection

    epoch, *_ = await database.run(storage.load, 1, 200)
    await database.run(storage.store, {1: (0, said(1))})
    connection.close()
    for file in tmp_path.glob("chat.sqlite3*"):
        file.unlink()
    call_command("migrate", verbosity=0)
    refused = await database.run(storage.store, {1: (1, said(1, first=1))})
    assert refused == {}, "it would be acknowledged, and be nowhere"
    another, seq, messages = await database.run(storage.load, 1, 200)
    assert another != epoch and (seq, messages) == (0, [])


@pytest_twisted.ensureDeferred
async def test_in_the_end_the_connection_is_closed(storage, classes):
    from django.db import connections

    def current():
        connections["default"].ensure_connection()
        return connections["default"]

    database = classes.Database(reactor)
    database.startService()
    its_own = await database.run(current)
    assert its_own.connection is not None
    await database.stopService()
    assert its_own.connection is None
    with pytest.raises(classes.NotNow):
        await database.run(current)
    assert its_own.connection is None, "nobody opens it again"
