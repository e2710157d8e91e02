"""Three chat servers and an engine, as deploy/ says, and what is done to them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time
from contextlib import ExitStack, contextmanager

import pytest
import yaml
from playwright.sync_api import expect

from tests.support.crowd import Crowd
from tests.support.deployed import (
    TEMPLATE,
    Deployed,
    read_env,
    unit_value,
    why_not_deployed,
    windows_of,
)
from tests.support.engine import Engine
from tests.support.proxy import Proxy
from tests.support.servers import Target, comes_true, wait_until
from tutorial.run.engine import why_no_binary
from tutorial.stages import find_stage

STAGE = find_stage("8_many_servers")
DEPLOY = STAGE.folder / "deploy"
NOBODY_WAITS = 5.0  # seconds, while servers are started anew
HEALS = 5.0  # seconds after the engine's return
BACK = 20_000  # milliseconds until a page has tried again
PEOPLE = 30
FAIL = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
CREATE TRIGGER fail BEFORE INSERT ON chat_message EXECUTE FUNCTION fail();
"""


# --- Files -------------------------------------------------------------------


def upstream() -> list[str]:
    """The ports of the chat servers that nginx knows."""
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    [servers] = re.findall(r"upstream chat \{(.*?)\}", text, re.S)
    return re.findall(r"server 127\.0\.0\.1:(\d+)", servers)


def test_what_is_of_one_server_does_not_stand_with_what_is_of_all():
    # systemd has the file win over the unit: all would have the same port.
    own = " ".join(unit_value(DEPLOY / TEMPLATE, "Environment"))
    names = {word.partition("=")[0] for word in own.split()}
    assert names == {"CHAT_PORT", "CHAT_WATCH_PORT"}
    assert not names & {*read_env(DEPLOY / "env.example")}


def test_each_server_of_the_containers_is_one_that_nginx_knows():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    services = compose["services"]
    chats = [one for name, one in services.items() if name.startswith("chat-")]
    assert [one["environment"]["CHAT_PORT"] for one in chats] == upstream()
    watched = {one["environment"]["CHAT_WATCH_PORT"] for one in chats}
    assert len(watched) == len(chats)
    [engine] = {one["environment"]["REDIS_URL"] for one in chats}
    words = settings_of_the_container()
    assert engine == f"redis://127.0.0.1:{words.pop('port')}/0"
    assert words.pop("bind") == "127.0.0.1"
    assert services["engine"]["read_only"]
    [volume] = services["engine"]["volumes"]
    assert volume.partition(":")[0] in compose["volumes"]
    # All else is as on a server without containers.
    lines = (DEPLOY / "valkey.conf").read_text("utf-8").splitlines()
    said = dict(line.split() for line in lines if line and not line.startswith("#"))
    said["save"] = said["save"].strip('"')
    for name in ("port", "unixsocket", "unixsocketperm", "dir"):
        del said[name]
    assert words == said


def settings_of_the_container() -> dict[str, str]:
    """By which settings the engine is started in its container."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    _, *words = shlex.split(compose["services"]["engine"]["command"])
    names = [name.removeprefix("--") for name in words[::2]]
    return dict(zip(names, words[1::2], strict=True))


def test_the_engine_takes_the_words_of_its_container(tmp_path):
    if why := why_no_binary():
        pytest.skip(why)
    named = {n.replace("-", "_"): s for n, s in settings_of_the_container().items()}
    del named["port"], named["bind"]
    with Engine(tmp_path, **named) as engine:
        assert engine.ask("CONFIG", "GET", "maxmemory-policy")[1] == "noeviction"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The chat on a server. Skipped where a program is missing, but never by CI."""
    if why := why_not_deployed(STAGE):
        if os.environ.get("REQUIRE_NGINX"):
            pytest.fail(why)
        pytest.skip(why)
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    workspace = tmp_path_factory.mktemp("many")
    with Deployed(Target(STAGE, STAGE.folder), workspace) as server:
        yield server
        for name, log in server.written().items():
            assert "Traceback" not in log, f"In {name}:\n{log[-3000:]}"


@pytest.fixture
def room(server, request) -> str:
    """The path of a room where nobody has said anything."""
    [room] = server.make_rooms(request.node.name[:100])
    return room


@pytest.fixture
def windows(server, chromium, chromium_path):
    """A function that opens a window of a user, by the name of the server."""
    with windows_of(server, chromium, chromium_path) as window:
        yield window


def counts(server, name: str) -> list[float]:
    """What each of the chat servers counts under this name."""
    return [chat.metrics().get(name, 0) for chat in server.chats]


# --- Anybody comes to any of them --------------------------------------------


@pytest.mark.thorough
def test_each_request_of_one_client_goes_to_the_next_server(server):
    refused = 'chat_refusals_total{reason="token"}'
    before = counts(server, refused)
    for _ in range(9):
        cookie = {"Cookie": "sessionid=the-same", "Authorization": "Bearer x"}
        assert server.ask("GET", "/poll?wait=0", headers=cookie).status == 401
    came = [a - b for a, b in zip(counts(server, refused), before, strict=True)]
    assert sum(came) == 9 and min(came) >= 2, f"The servers were asked {came} times."


@pytest.mark.thorough
def test_each_socket_and_each_poll_goes_to_the_next_server(server, room):
    token = server.token(room)
    cursor = json.loads(server.post("hello", token).text)
    sockets, polls = (f'chat_connections{{kind="{k}"}}' for k in ("socket", "poll"))
    with Crowd(server, room, 12) as crowd, ExitStack() as opened:
        # Each process of nginx has a next one of its own, and what else the crowd asks
        # for is in between: so as many come as it takes.
        for _ in range(20):
            if min(counts(server, sockets)) >= 1:
                break
            socket = opened.enter_context(server.open_socket())
            socket.send(server.hello(token))
            socket.recv(timeout=10)
        assert min(counts(server, sockets)) >= 1, counts(server, sockets)
        # Polls are answered all the time, so look until the moment is right.
        wait_until(
            lambda: min(counts(server, polls)) >= 1,
            lambda: f"polls: {counts(server, polls)}",
        )
        crowd.talks(20)
    for _ in range(6):  # Whoever is asked knows all of it.
        path = f"/poll?wait=0&epoch={cursor['epoch']}&seq={cursor['seq']}"
        bearer = {"Authorization": f"Bearer {token}"}
        reply = json.loads(server.ask("GET", path, headers=bearer).text)
        assert not reply["reset"] and reply["data"][0]["seq"] == cursor["seq"] + 1


def shown(window, crowd) -> list[str]:
    """What a window shows of what a crowd has said, in its order, newest above."""
    text = window.log.inner_text()
    names = "|".join(crowd.names)
    return re.findall(rf"\b(?:{names})-\d+\b", text)[::-1]


def shows_all(window, crowd) -> None:
    """Raise AssertionError unless a window shows it once, and in the one order."""
    __tracebackhide__ = True
    wait_until(
        lambda: shown(window, crowd)[-1:] == crowd.order[-1:],
        lambda: f"the last one shown is {shown(window, crowd)[-1:]}",
        15,
    )
    told = shown(window, crowd)
    assert told == crowd.order[-len(told) :]


# --- Servers that go and come ------------------------------------------------


@pytest.mark.thorough
def test_all_are_started_anew_and_nobody_waits(server, windows, room):
    ann, bob = windows("Ann"), windows("Bob")
    ann.join(room=room)
    bob.join(rooms="/chats/long_poll/", room=room)
    with Crowd(server, room, PEOPLE) as crowd:
        crowd.talks()
        for number, chat in enumerate(server.chats):
            ann.say(f"Ann, {number}")
            took = server.end(chat, 15)
            assert took < 10, f"It took {took:.1f} s to stop."
            bob.say(f"Bob, {number}")
            for window in (ann, bob):
                for name in ("Ann", "Bob"):
                    line = window.log.get_by_text(f"{name}, {number}", exact=True)
                    expect(line).to_have_count(1, timeout=1000 * NOBODY_WAITS)
            chat.start(chat.port)
            # Only then may the next one end, as the chapter says.
            is_back = lambda chat=chat: chat.metrics()["chat_engine_up"]  # noqa: E731
            wait_until(is_back, chat.tail)
            crowd.talks()
        crowd.settle()
        for window in (ann, bob):
            shows_all(window, crowd)
    assert crowd.longest < NOBODY_WAITS, f"Somebody has waited {crowd.longest:.1f} s."


@pytest.mark.thorough
def test_a_message_on_its_way_to_a_server_that_is_killed_is_one(server, windows, room):
    ann, bob = windows("Ann"), windows("Bob")
    ann.join(room=room)
    bob.join(rooms="/chats/long_poll/", room=room)
    victim = server.chats[1]
    victim.pause()
    texts: list[str] = []
    pending = bob.page.locator('[data-state="pending"]')
    while not texts or comes_true(lambda: pending.count() == 0, 2):
        texts.append(f"Bob, {len(texts)}")
        assert len(texts) < 10, "one of them goes to the one that hangs"
        bob.say(texts[-1])
    victim.kill()
    for window in (ann, bob):
        for text in texts:
            line = window.log.get_by_text(text, exact=True)
            expect(line).to_have_count(1, timeout=BACK)
        window.forgive("502")  # Chromium says so itself.
    # While it is away, nginx asks the next one.
    token = server.token(room)
    bearer = {"Authorization": f"Bearer {token}"}
    for number in range(9):
        assert server.ask("GET", "/poll?wait=0", headers=bearer).status == 200
        said = server.post(f"without it, {number}", token)
        assert said.status == 200
    assert json.loads(said.text)["seq"] == len(texts) + 9
    victim.start(victim.port)


@pytest.mark.thorough
def test_servers_that_are_killed_take_nothing_with_them(server, room):
    with Crowd(server, room, PEOPLE) as crowd:
        for chat in server.chats:
            crowd.talks()
            chat.kill()
            crowd.talks()
            chat.start(chat.port)


@contextmanager
def added(server, port: str):
    """One more chat server: its unit is started, nginx is told, and all undone."""
    chat = server.add_chat(port)
    known = re.findall(r"( +server 127\.0\.0\.1:)\d+(.*\n)", server.site)[-1]
    line = known[0] + port + known[1]
    last = known[0] + upstream()[-1] + known[1]
    try:
        server.write_site(server.site.replace(last, last + line))
        server.nginx.process.send_signal(signal.SIGHUP)
        yield chat
    finally:
        server.write_site(server.site)
        server.nginx.process.send_signal(signal.SIGHUP)
        server.end(chat, 15)
        server.chats.remove(chat)
        server.servers.remove(chat)


@pytest.mark.thorough
def test_a_server_more_takes_part(server, room):
    with Crowd(server, room, 12) as crowd:
        crowd.talks(20)
        with added(server, "1028") as chat:
            # Sockets that are open stay where they are, and polls come to it at once.
            polls = 'chat_connections{kind="poll"}'
            comes = lambda: chat.metrics().get(polls, 0) >= 1  # noqa: E731
            wait_until(comes, lambda: "polls come to it, too", 20)
            heard = chat.metrics()["chat_messages_total"]
            crowd.talks(20)
            assert chat.metrics()["chat_messages_total"] > heard
        crowd.talks(20)  # It has gone again.


# --- The engine --------------------------------------------------------------


@pytest.mark.thorough
def test_an_engine_that_is_killed_has_lost_nothing(server, windows, room):
    ann = windows("Ann").join(room=room)
    with Crowd(server, room, PEOPLE) as crowd:
        crowd.talks()
        server.engine.kill()
        up = "chat_engine_up"
        wait_until(lambda: counts(server, up) == [0] * 3, lambda: "they know", 10)
        ann.say("Is anybody there?")
        server.engine.start()
        began = time.monotonic()
        wait_until(lambda: counts(server, up) == [1] * 3, lambda: "it is back", HEALS)
        crowd.talks(1)
        assert time.monotonic() - began < HEALS + 1
        crowd.talks()
        crowd.settle()
        shows_all(ann, crowd)
        line = ann.log.get_by_text("Is anybody there?", exact=True)
        expect(line).to_have_count(1, timeout=BACK)


@pytest.mark.thorough
def test_servers_stop_in_time_when_the_engine_is_away(server, room):
    assert server.post("kept", server.token(room)).status == 200
    server.engine.kill()
    assert server.end_chat() < 10.5  # CHAT_STOP_SECONDS, and to notice it
    server.engine.start()
    server.start_chat()
    server.moved(room, 1)


# --- A fail-over -------------------------------------------------------------


@pytest.fixture
def pair(server, tmp_path):
    """Two engines of which one copies the other, and the line that leads to one.

    All chat servers are at the other end of that. Afterwards they are at theirs again.
    """
    usual = server.env["REDIS_URL"]
    with Engine(tmp_path / "first") as first:
        copies = f"127.0.0.1 {first.port}"
        with (
            Engine(tmp_path / "copy", replicaof=copies) as copy,
            Proxy(first.port) as line,
        ):
            up = "master_link_status:up"
            wait_until(
                lambda: up in copy.ask("INFO", "replication"), lambda: "it copies", 20
            )
            server.env["REDIS_URL"] = f"redis://127.0.0.1:{line.port}/0"
            server.restart_chat()
            try:
                yield first, copy, line
            finally:
                server.env["REDIS_URL"] = usual
                server.restart_chat()


def asked(server, token: str, cursor: tuple) -> dict:
    """What a poll is told that does not wait."""
    bearer = {"Authorization": f"Bearer {token}"}
    path = f"/poll{server.query(cursor)}&wait=0"
    answer = server.ask("GET", path, headers=bearer)
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def heard_reset(socket) -> dict:
    """The frame by which a socket is told reset."""
    while True:
        said = json.loads(socket.recv(timeout=15))
        if said.get("reset"):
            return said


@pytest.mark.thorough
def test_what_a_fail_over_loses_is_noticed(server, windows, pair, room):
    first, copy, line = pair
    token = server.token(room)
    say = lambda text: server.post(text, token)  # noqa: E731
    cursors = [json.loads(say(f"copied {n}").text) for n in range(3)]
    kept = cursors[-1]["epoch"], cursors[-1]["seq"]
    wait_until(
        lambda: copy.ask("XLEN", f"chat:{{{room.strip('/').split('/')[-1]}}}:log") > 3,
        lambda: "the copy has them",
    )
    ann = windows("Ann").join(room=room)
    with server.open_socket() as socket:
        socket.send(server.hello(token, kept))
        assert not json.loads(socket.recv(timeout=10))["reset"]

        # From here on the copy goes its own way, and nobody has told the servers.
        copy.ask("REPLICAOF", "NO", "ONE")
        assert say("moved in time").status == 200
        server.moved(room, 4)
        server.sql("chat", "--command", FAIL, user="chat")
        try:
            assert say("lost").status == 200
            expect(ann.log.get_by_text("lost", exact=True)).to_have_count(1)
            before = asked(server, token, kept)
            assert [one["text"] for one in before["data"]] == ["moved in time", "lost"]
            first.kill()
            line.target = copy.port
            line.cut()
            told = heard_reset(socket)
        finally:
            server.sql("chat", "--command", "DROP FUNCTION fail CASCADE", user="chat")
    # Who was told of it, is told that it may be missing, and so is who comes later.
    assert told["epoch"] != before["epoch"]
    late = asked(server, token, (before["epoch"], before["seq"]))
    assert late["reset"] and late["epoch"] == told["epoch"]
    expect(ann.log).to_contain_text("missing", timeout=BACK)
    # The room goes on, behind all that the database has.
    after = comes_true(lambda: say("goes on").status == 200, HEALS)
    assert after
    server.moved(room, 5)
    page = json.loads(server.get(f"{room}earlier/?before=1000").text)
    assert [(one["seq"], one["text"]) for one in page["data"]] == [
        *((number + 1, f"copied {number}") for number in range(3)),
        (4, "moved in time"),
        (5, "goes on"),
    ]
    expect(ann.log.get_by_text("goes on", exact=True)).to_have_count(1, timeout=BACK)
    # Whoever comes finds all that is left, whichever server it is.
    for _ in server.chats:
        fresh = asked(server, token, (told["epoch"], 0))
        assert [one["seq"] for one in fresh["data"]][-5:] == [1, 2, 3, 4, 5]
