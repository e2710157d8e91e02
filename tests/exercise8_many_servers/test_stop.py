"""How a server stops that has an engine: also without it, and in time all the same."""

from __future__ import annotations

import json
import signal
import time

import pytest
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.contract.test_9_persistence import away
from tests.support.clients import Client
from tests.support.polling import ask, cursor_of, post, posting
from tests.support.servers import ManyChats, Target, comes_true
from tutorial.run.engine import why_no_engine
from tutorial.stages import find_stage

SINCE_STAGE = 12
STOP = 5  # CHAT_STOP_SECONDS of these servers
NOTICED = 1.0  # seconds, within which it is seen that something has ended
ROOMS = 12  # in which somebody is


@pytest.fixture(scope="module")
def two_servers(tmp_path_factory):
    """Two servers, an engine, and Django."""
    stage = find_stage("8_many_servers")
    if why := why_no_engine(stage.folder):
        pytest.skip(why)
    workspace = tmp_path_factory.mktemp("stop")
    env = {"CHAT_STOP_SECONDS": f"{STOP}"}
    with ManyChats(Target(stage, stage.folder), workspace, 2, env=env) as many:
        yield many


@pytest.fixture
def many(two_servers):
    """The same. Afterwards all of them run again."""
    yield two_servers
    two_servers.mend()


@pytest.fixture
def rooms(many, request) -> list[str]:
    """The paths of rooms where nobody has said anything."""
    name = request.node.name[:80]
    return many[0].make_rooms(*(f"{name} {number}" for number in range(ROOMS)))


def ends(chat) -> float:
    """Send a server SIGTERM; returns how many seconds it took to end."""
    began = time.monotonic()
    chat.twisted.process.send_signal(signal.SIGTERM)
    limit = STOP + NOTICED
    ended = comes_true(lambda: chat.twisted.process.poll() is not None, limit)
    took = time.monotonic() - began
    assert ended, (
        f"It was told to stop within {STOP} s, and still runs after {took:.1f} s:\n"
        f"{chat.twisted.tail()}"
    )
    return took


def status_of(posted) -> int | None:
    """How a POST was answered; None if it was dropped, as time was up."""
    try:
        return posted.answer().status
    except AssertionError as error:
        assert "hung up" in str(error)
        return None


def told(chat, room: str) -> list[str]:
    """All that Django's database has of a room."""
    return [
        message["text"]
        for message in json.loads(chat.get(f"{room}earlier/?before=1000").text)["data"]
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["kill", "pause"])
@pytest.mark.parametrize("under_way", [True, False], ids=["under-way", "idle"])
def test_a_server_stops_in_time_without_an_engine(many, rooms, how, under_way):
    before = many[0].twisted.written()
    cursors = [cursor_of(post(many[0], "kept", room=room).reply) for room in rooms]
    places = list(zip(rooms, cursors, strict=True))

    def settle() -> None:
        for room, cursor in places:
            ask(many[0], cursor, wait=0, room=room).answer()

    settle()  # until it has read what it has acknowledged
    with Client(many[0], "Ann", rooms[0]) as ann:
        polls = [ask(many[0], cursor, room=room) for room, cursor in places]
        settle()
        getattr(many.engine, how)()
        posts = []
        if under_way:
            posts = [posting(many[0], "lost?", "the id", room=room) for room in rooms]
            ann.say("lost? too", "another id")
        ends(many[0])
        assert all(poll.answer().status == 200 for poll in polls)
        assert {status_of(posted) for posted in posts} <= {503, None}
    written = many[0].twisted.output(before)
    assert "Traceback" not in written, written
    many.mend()
    for room, cursor in places:
        reply = ask(many[0], (cursor[0], 0), wait=0, room=room).answer().reply
        assert not reply["reset"] and reply["data"][0]["text"] == "kept"
        # What was not acknowledged may be there, and once.
        assert len(reply["data"]) <= 2 + (room == rooms[0])


@pytest.mark.thorough
def test_a_server_that_was_just_started_without_an_engine_stops_in_time(many):
    many.engine.kill()
    many[0].come_back()
    ends(many[0])


@pytest.mark.thorough
def test_who_stops_moves_to_the_database_what_was_acknowledged(many, rooms):
    many[1].end()
    many[0].come_back()  # and is the archiver
    texts = [f"{number}" for number in range(ROOMS)]
    for text in texts:
        assert post(many[0], text, room=rooms[0]).status == 200
    ends(many[0])
    assert told(many[0], rooms[0]) == texts


@pytest.mark.thorough
def test_the_next_one_moves_messages_when_the_archiver_has_stopped(many, rooms):
    many[0].end()
    many[1].come_back()  # which is the archiver now
    post(many[1], "before", room=rooms[0])
    many[0].moved(rooms[0], 1)
    many[0].come_back()
    ends(many[1])
    begun = time.monotonic()
    _, seq = cursor_of(post(many[0], "after", room=rooms[0]).reply)
    many[0].moved(rooms[0], seq)
    assert time.monotonic() - begun < 3, "It gave back what it held for five seconds."


@pytest.mark.thorough
def test_a_server_stops_in_time_while_the_database_is_away(many, rooms):
    with away(many[0], None):
        assert post(many[0], "kept", room=rooms[0]).status == 200
        ends(many[0])
    many[0].moved(rooms[0], 1)
    assert told(many[0], rooms[0]) == ["kept"]


@pytest.mark.thorough
def test_an_engine_that_is_full_goes_on_when_the_database_is_there(many, rooms):
    with away(many[0], None):
        assert post(many[0], "kept", room=rooms[0]).status == 200
        many.engine.ask("CONFIG", "SET", "maxmemory", "1mb")
        # The lease ends meanwhile, so somebody has to take it where nothing fits.
        many.engine.ask("DEL", "chat:archiver")
        answer = post(many[0], "too much", "its id", room=rooms[0])
        assert answer.status == 503 and answer.headers["Retry-After"]
    try:
        many[0].moved(rooms[0], 1)
    finally:
        many.engine.ask("CONFIG", "SET", "maxmemory", "0")
    assert comes_true(
        lambda: post(many[0], "too much", "its id", room=rooms[0]).status == 200, 5
    )
    many[0].moved(rooms[0], 2)
    assert told(many[0], rooms[0]) == ["kept", "too much"]


class Stuck(Service):
    """What never ends by itself."""

    def stopService(self):
        super().stopService()
        return Deferred()


class Quick(Service):
    """What ends at once, and says so."""

    def __init__(self, log: list):
        self.log = log

    def stopService(self):
        super().stopService()
        self.log.append(self)


@pytest.mark.stages(12, 99)
def test_services_stop_in_turn_and_who_does_not_is_left(classes):
    clock, log, ended = Clock(), [], []
    services = classes.InTurn(clock, 10)
    first, last = Quick(log), Quick(log)
    for service in (first, Stuck(), Stuck(), last):
        service.setServiceParent(services)
    services.startService()
    services.stopService().addCallback(ended.append)
    assert log == [last] and not ended, "the last one first"
    clock.advance(9)
    assert log == [last] and not ended
    clock.advance(1)
    clock.advance(0)
    assert log == [last, first] and ended == [None], "each is told to stop"
