"""The log as an interface: the database and the engine pass the same tests."""

from __future__ import annotations

import shutil
from contextlib import suppress
from types import SimpleNamespace

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    ensureDeferred,
    fail,
    inlineCallbacks,
    succeed,
)
from twisted.internet.task import Clock

from tests.support.engine import Engine
from tests.support.reactor import until
from tutorial.run.engine import why_no_binary

SINCE_STAGE = 12
ROOM, OTHER, NO_ROOM = 1, 2, 999
BOTH = pytest.mark.parametrize("kind", ["database", "streams"])


@pytest.fixture(autouse=True)
def _own_file(monkeypatch, tmp_path):
    # Before the classes are loaded: Django reads its settings once.
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/chat.sqlite3")


@pytest.fixture(scope="module")
def one_engine(tmp_path_factory):
    if why := why_no_binary():
        pytest.skip(why)
    with Engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture
def engine(one_engine):
    """An engine that knows nothing, and runs as usual."""
    one_engine.mend()
    one_engine.flush()
    return one_engine


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """Where the database is kept that the first test has made: it takes long."""
    return tmp_path_factory.mktemp("migrated") / "chat.sqlite3"


@pytest.fixture
def tables(classes, migrated, tmp_path):
    """A database with the demo rooms, and the ticket of an account."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection

    if migrated.exists():
        shutil.copy(migrated, tmp_path / "chat.sqlite3")
    else:
        call_command("migrate", verbosity=0)
        get_user_model().objects.create_user("Ann")
        connection.close()
        shutil.copy(tmp_path / "chat.sqlite3", migrated)
    user = get_user_model().objects.get()
    return SimpleNamespace(user=user.pk, name="Ann")


class Shared:
    """What chatserver.py makes for a server with an engine."""

    def __init__(self, classes, engine):
        self.database = classes.Database(reactor)
        self.engine = classes.Engine(reactor, engine.url)
        self.reader = classes.Reader(reactor, self.engine)
        self.log = classes.StreamLog(reactor, self.engine, self.reader, self.database)
        self.archiver = classes.Archiver(reactor, self.engine, self.database)
        self.services = [self.database, self.engine, self.reader]

    @inlineCallbacks
    def start(self):
        for service in self.services:
            service.startService()
        connected = until(
            lambda: self.engine.protocol and self.reader.protocol, "there is an engine"
        )
        yield ensureDeferred(connected)

    @inlineCallbacks
    def stop(self):
        for service in reversed(self.services):
            yield service.stopService()


@pytest.fixture
def log(kind, request, classes, tables):
    """A log of one kind, that runs."""
    if kind == "database":
        database = classes.Database(reactor)
        database.startService()
        yield classes.DatabaseLog(reactor, database)
        pytest_twisted.blockon(database.stopService())
        return
    shared = Shared(classes, request.getfixturevalue("engine"))
    pytest_twisted.blockon(shared.start())
    yield shared.log
    pytest_twisted.blockon(shared.stop())


@pytest.fixture
def shared(classes, tables, engine):
    """A server's part in an engine, and another server's."""
    both = [Shared(classes, engine), Shared(classes, engine)]
    for one in both:
        pytest_twisted.blockon(one.start())
    yield both
    for one in both:
        pytest_twisted.blockon(one.stop())


def texts(messages) -> list[tuple[int, str]]:
    return [(message.seq, message.text) for message in messages]


@BOTH
@pytest_twisted.inlineCallbacks
def test_what_is_appended_is_loaded_in_its_order(log, tables):
    epoch, seq, messages = yield log.load(ROOM)
    assert (seq, messages) == (0, [])
    for number in range(3):
        message = yield log.append(ROOM, f"text {number}", f"id{number}", tables)
        assert (message.seq, message.text) == (number + 1, f"text {number}")
        assert message.author == {"id": tables.user, "name": "Ann"}
    again = yield log.load(ROOM)
    assert again[:2] == (epoch, 3)
    assert texts(again[2]) == [(1, "text 0"), (2, "text 1"), (3, "text 2")]
    assert (yield log.load(ROOM, 2))[2] == again[2][1:], "the newest"
    other, seq, _ = yield log.load(OTHER)
    assert seq == 0, "each room counts for itself"


@BOTH
@pytest_twisted.inlineCallbacks
def test_the_head_is_where_the_newest_message_is(log, tables):
    epoch, seq = yield log.head(ROOM)
    assert seq == 0
    yield log.append(ROOM, "text", "id", tables)
    assert (yield log.head(ROOM)) == (epoch, 1)


@BOTH
@pytest_twisted.inlineCallbacks
def test_an_id_is_one_message(log, tables):
    first = yield log.append(ROOM, "text", "id", tables)
    second = yield log.append(ROOM, "another", "id", tables)
    assert second == first
    assert (yield log.head(ROOM))[1] == 1
    both = yield DeferredList(
        [log.append(ROOM, "new", "new id", tables) for _ in range(2)]
    )
    assert [message.seq for _, message in both] == [2, 2]


@BOTH
@pytest_twisted.inlineCallbacks
def test_whatever_is_said_comes_back_as_it_was(log, tables):
    strange = [
        "007",
        "1e5",
        "null",
        "a\r\nb",
        "*3\r\n",
        "\u2028 \U0001f600 \0x"[:-2],
        " ",
    ]
    for number, text in enumerate(strange):
        yield log.append(ROOM, text, f"{number}", tables)
    _, _, messages = yield log.load(ROOM)
    assert [message.text for message in messages] == strange
    assert [message.id for message in messages] == [f"{n}" for n in range(len(strange))]


@BOTH
@pytest_twisted.inlineCallbacks
def test_who_waits_is_told_what_comes_after(log, tables):
    cursor = (yield log.load(ROOM))[:2]
    news = log.wait(ROOM, cursor)
    assert not news.called
    message = yield log.append(ROOM, "text", "id", tables)
    told = yield news
    assert told.whole and told.messages == [message] and told.epoch == cursor[0]


@BOTH
@pytest_twisted.inlineCallbacks
def test_who_is_behind_is_told_at_once(log, tables):
    cursor = (yield log.load(ROOM))[:2]
    for number in range(3):
        yield log.append(ROOM, f"{number}", f"{number}", tables)
    told = yield log.wait(ROOM, (cursor[0], 1))
    assert told.whole and texts(told.messages) == [(2, "1"), (3, "2")]


@BOTH
@pytest_twisted.inlineCallbacks
def test_who_waits_no_more_is_told_nothing(log, tables):
    cursor = (yield log.load(ROOM))[:2]
    news = log.wait(ROOM, cursor)
    news.addErrback(lambda failure: failure.trap(CancelledError) and "cancelled")
    news.cancel()
    assert (yield news) == "cancelled"
    yield log.append(ROOM, "text", "id", tables)
    told = yield log.wait(ROOM, cursor)
    assert texts(told.messages) == [(1, "text")]


@BOTH
@pytest_twisted.inlineCallbacks
def test_a_room_that_is_gone_is_said_so(log, classes, tables):
    for call in (log.load, log.head):
        with pytest.raises(classes.NoSuchRoom):
            yield call(NO_ROOM)
    with pytest.raises(classes.NoSuchRoom):
        yield log.append(NO_ROOM, "text", "id", tables)


# What only many servers have


@pytest_twisted.inlineCallbacks
def test_servers_share_one_row_of_numbers(shared, tables):
    one, other = (server.log for server in shared)
    cursor = (yield other.load(ROOM))[:2]
    news = other.wait(ROOM, cursor)
    for number in range(4):
        log = (one, other)[number % 2]
        message = yield log.append(ROOM, f"{number}", f"{number}", tables)
        assert message.seq == number + 1
    told = yield news
    assert texts(told.messages)[0] == (1, "0") and told.whole
    assert (yield one.append(ROOM, "again", "1", tables)).text == "1"


@pytest_twisted.inlineCallbacks
def test_messages_are_moved_once_however_many_move_them(shared, tables, classes):
    log, database = shared[0].log, shared[0].database
    for number in range(10):
        yield log.append(ROOM, f"{number}", f"{number}", tables)
    yield DeferredList([server.archiver.move(ROOM) for server in shared * 2])
    stored = yield database.run(classes.storage.before, ROOM, 100, 100)
    assert texts(stored) == [(n + 1, f"{n}") for n in range(10)]
    assert (yield log.load(ROOM))[2] == stored, "the same, with the same time"


@pytest_twisted.inlineCallbacks
def test_a_stream_keeps_the_newest_only_when_they_are_stored(
    shared, tables, engine, classes
):
    log = shared[0].log
    most = classes.MessageStore.most
    sent = [
        log.append(ROOM, f"{number}", f"{number}", tables)
        for number in range(most + 50)
    ]
    yield DeferredList(sent, fireOnOneErrback=True)
    key = classes.key(ROOM, "log")
    assert engine.ask("XLEN", key) == most + 51, "and where the epoch begins"
    yield shared[0].archiver.move(ROOM)
    assert engine.ask("XLEN", key) == most + 1
    _, seq, messages = yield shared[1].log.load(ROOM, most + 40)
    assert [message.seq for message in messages] == list(
        range(seq - most - 39, seq + 1)
    )
    told = yield shared[1].log.wait(ROOM, (log.seen[ROOM][0], 3))
    assert not told.whole, "what is missing in between, has to be loaded"


@pytest_twisted.inlineCallbacks
def test_nothing_leaves_a_stream_before_it_is_stored(
    shared, tables, engine, classes, monkeypatch
):
    one, other = shared
    most = classes.MessageStore.most
    sent = [
        one.log.append(ROOM, f"{number}", f"{number}", tables)
        for number in range(most + 50)
    ]
    yield DeferredList(sent, fireOnOneErrback=True)
    key = classes.key(ROOM, "log")
    before = engine.ask("XLEN", key)
    monkeypatch.setattr(
        one.archiver, "database", SimpleNamespace(run=lambda *_: fail(classes.NotNow()))
    )
    with pytest.raises(classes.NotNow):
        yield one.archiver.move(ROOM)
    left = engine.ask("XLEN", key)
    assert left == before, "nothing was stored, and it is in the stream"
    yield other.archiver.move(ROOM)
    stored = yield other.database.run(classes.storage.before, ROOM, 1000, 1000)
    assert [message.seq for message in stored] == list(range(1, most + 51))


@pytest_twisted.inlineCallbacks
def test_what_was_moved_is_not_moved_again_when_the_engine_ends_meanwhile(
    shared, tables, classes, monkeypatch
):
    one, other = shared
    for number in range(3):
        yield one.log.append(ROOM, f"{number}", f"{number}", tables)
    run = one.database.run

    def run_and_lose(*args):
        # Stored it is, and from here on the engine says nothing.
        gone = SimpleNamespace(call=lose, script=lose)
        monkeypatch.setattr(one.archiver, "engine", gone)
        return run(*args)

    def lose(*_):
        return fail(classes.NotNow())

    monkeypatch.setattr(one.archiver, "database", SimpleNamespace(run=run_and_lose))
    with suppress(classes.NotNow):
        yield one.archiver.move(ROOM)
    yield other.archiver.move(ROOM)
    stored = yield other.database.run(classes.storage.before, ROOM, 100, 100)
    assert texts(stored) == [(1, "0"), (2, "1"), (3, "2")]


@pytest_twisted.inlineCallbacks
def test_what_was_said_again_after_a_day_is_moved_all_the_same(
    shared, tables, engine, classes
):
    log, database = shared[0].log, shared[0].database
    yield log.append(ROOM, "one", "id", tables)
    yield shared[0].archiver.move(ROOM)
    engine.ask("DEL", classes.key(ROOM, "said:id"))  # as if a day had passed
    yield log.append(ROOM, "two", "id", tables)
    yield log.append(ROOM, "three", "other", tables)
    yield shared[0].archiver.move(ROOM)
    stored = yield database.run(classes.storage.before, ROOM, 100, 100)
    assert texts(stored) == [(1, "one"), (2, "two"), (3, "three")]


@pytest_twisted.inlineCallbacks
def test_who_is_deleted_meanwhile_has_said_it_all_the_same(shared, tables, classes):
    log, database = shared[0].log, shared[0].database
    gone = SimpleNamespace(user=tables.user + 1000, name="Gone")
    yield log.append(ROOM, "one", "1", gone)
    yield log.append(ROOM, "two", "2", tables)
    yield shared[0].archiver.move(ROOM)
    stored = yield database.run(classes.storage.before, ROOM, 100, 100)
    assert [message.author["id"] for message in stored] == [None, tables.user]


@pytest_twisted.inlineCallbacks
def test_of_a_deleted_room_nothing_is_kept(shared, tables, engine, classes):
    log = shared[0].log
    yield log.append(ROOM, "one", "1", tables)
    rooms = classes.storage.models.ChatRoom.objects
    yield shared[0].database.run(lambda: rooms.filter(pk=ROOM).delete())
    yield shared[0].archiver.move(ROOM)
    assert not engine.ask("EXISTS", classes.key(ROOM, "log"))
    with pytest.raises(classes.NoSuchRoom):
        yield log.append(ROOM, "two", "2", tables)


@pytest_twisted.inlineCallbacks
def test_a_shared_bucket_is_one_bucket(shared, classes):
    rate = classes.Rate(5, 1000)
    buckets = [classes.SharedBucket(server.engine, "test", rate) for server in shared]
    waits = []
    for number in range(7):
        waits.append((yield buckets[number % 2].take("Ann")))
    assert waits[:5] == [0] * 5 and waits[5] > 0 and waits[6] > 0
    assert waits[5] == pytest.approx(500, abs=5), "until half of it is there again"
    assert (yield buckets[0].take("Bob")) == 0


def test_a_flood_is_no_flood_of_questions(classes):
    asked: list[Deferred] = []

    def script(*_):
        asked.append(Deferred())
        return asked[-1]

    bucket = classes.SharedBucket(
        SimpleNamespace(script=script), "x", classes.Rate(5, 1000)
    )
    answers = [bucket.take("Ann") for _ in range(100)]
    assert len(asked) == 5, f"the engine was asked {len(asked)} times"
    assert all(answer.result > 0 for answer in answers[5:]), "it may be asked later"
    # What other servers have let in, is not known here.
    for question in asked[:4]:
        question.callback("10")
    asked[4].errback(classes.NotNow())
    answers[4].addErrback(lambda failure: failure.trap(classes.NotNow))
    again = [bucket.take("Ann") for _ in range(100)]
    assert len(asked) == 10, "what was refused is not counted"
    assert again[5].result > 0


def test_what_is_said_again_before_it_is_heard_costs_nothing(classes):
    ticket = SimpleNamespace(room=ROOM, user=1, name="Ann")
    said = classes.Message(1, "a", "hello", {"id": 1, "name": "Ann"}, "now", "1")
    news, asked = Deferred(), []
    log = SimpleNamespace(
        load=lambda room: succeed(("1", 0, [])),
        wait=lambda room, cursor: news if cursor == ("1", 0) else Deferred(),
        append=lambda *_: succeed(said),
    )
    speech = SimpleNamespace(take=lambda user: asked.append(user) or succeed(0))
    limits = classes.Limits()
    factory = classes.ChatFactory(Clock(), log, classes.NoRoll(), speech, limits)
    room = factory.enter(ticket)
    room.ready()
    for _ in range(2):  # It is acknowledged, and the reader has not brought it.
        assert room.say("hello", "a", ticket).result == said
    assert len(asked) == 1, f"asked for a token {len(asked)} times"
    news.callback(classes.News("1", [said]))
    assert room.say("hello", "a", ticket).result == said
    assert len(asked) == 1 and not room.unheard, "it is among the newest now"


@pytest_twisted.inlineCallbacks
def test_a_copy_that_became_the_engine_is_not_believed(shared, tables, engine):
    one = shared[0]
    yield one.log.append(ROOM, "one", "1", tables)
    epoch, _ = yield one.log.head(ROOM)
    one.engine.run, one.engine.proven = "another", False
    assert (yield one.log.open(ROOM))[0] != epoch


@pytest_twisted.inlineCallbacks
def test_an_engine_that_has_less_than_we_have_seen_is_not_believed(shared, tables):
    one = shared[0]
    yield one.log.append(ROOM, "one", "1", tables)
    epoch, seq = yield one.log.head(ROOM)
    one.log.seen[ROOM] = epoch, seq + 1
    another, _ = yield one.log.open(ROOM)
    assert int(another) > int(epoch)


@pytest_twisted.inlineCallbacks
def test_who_writes_nothing_down_is_not_believed(shared, engine):
    one = shared[0].engine
    assert one.proven, "ours writes down what it acknowledges"
    run = one.run
    engine.settings["appendonly"] = "no"
    engine.restart()
    yield ensureDeferred(until(lambda: one.run != run, "it was found again"))
    assert not one.proven, "it writes nothing down, and forgets what it acknowledged"


@pytest_twisted.inlineCallbacks
def test_a_copy_is_no_engine_and_was_one_when_it_becomes_it(
    shared, engine, classes, tmp_path
):
    with Engine(tmp_path / "copy") as copy:
        engine.ask("CONFIG", "SET", "repl-diskless-sync-delay", 0)
        copy.ask("REPLICAOF", "127.0.0.1", engine.port)
        copied = until(
            lambda: "master_link_status:up" in copy.ask("INFO", "replication"),
            "there is a copy",
            20,
        )
        yield ensureDeferred(copied)
        follows = classes.Engine(reactor, copy.url)
        greeted = []
        follows.greeted.append(lambda: greeted.append(follows.proven))
        follows.startService()
        try:
            with pytest.raises(classes.NotNow):
                yield follows.call("PING")
            assert greeted == [], "who may not be written to is no engine"
            copy.ask("REPLICAOF", "NO", "ONE")
            yield ensureDeferred(until(lambda: greeted, "it was promoted", 10))
            assert greeted == [False], "a copy may lack what was acknowledged last"
        finally:
            yield follows.stopService()


@pytest_twisted.inlineCallbacks
def test_what_was_written_past_the_engine_is_noticed(shared, tables):
    """As when somebody goes back to one server for a day, and forward again."""
    one, other = shared
    epoch, _, _ = yield one.log.load(ROOM)
    yield one.log.append(ROOM, "text", "id", tables)

    def write():
        from chat.models import ChatRoom

        ChatRoom.objects.filter(pk=ROOM).update(last_seq=7)

    yield one.database.run(write)
    told = yield other.log.load(ROOM)
    assert told[0] != epoch and told[1] == 7, "No number is given out twice."


@pytest_twisted.inlineCallbacks
def test_when_the_last_one_goes_all_servers_hear_that_nobody_is_here(classes, shared):
    one, other = (classes.Roll(reactor, each.engine, each.reader) for each in shared)
    heard = []
    presence = SimpleNamespace(hear_of_others=heard.append)
    other.follow(SimpleNamespace(id=ROOM, presence=presence))
    for count, said in enumerate(('[[1, "Ann", 9]]', ""), start=1):
        yield one.tell(ROOM, said)
        heard_it = until(lambda count=count: len(heard) == count, "the other hears it")
        yield ensureDeferred(heard_it)
    assert heard == [[[[1, "Ann", 9]]], []]
    other.forget(ROOM)
