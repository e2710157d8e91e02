"""The guard before each connection: what it counts, whom it ends, and when."""

from __future__ import annotations

import gc
import json
import weakref

import pytest
from wsproto.events import BytesMessage, Ping, TextMessage

from tests.support.reactor import log_events
from tests.support.requests import ORIGIN, token
from tests.support.wire import Wire, connected, frames

SINCE_STAGE = 11
LIMITS = {
    "head_seconds": 10,
    "idle_seconds": 75,
    "message_seconds": 10,
    "body": 1000,
    "most_per_address": 2,
    "most": 4,
}


def form() -> dict[str, str]:
    """What is said before a message."""
    kind = "application/x-www-form-urlencoded"
    return {"Content_Type": kind, "Authorization": f"Bearer {token()}"}


@pytest.fixture
def guarded(classes):
    """A chat with small limits."""
    frames = classes.Rate(10, 10)
    return classes.build([ORIGIN], **LIMITS, frames=frames)


@pytest.fixture(autouse=True)
def quiet():
    """Refusals are logged; nobody minds."""
    with log_events() as events:
        yield events


def status(wire) -> bytes:
    """The codes of all answers so far."""
    lines = wire.came.split(b"\r\n")
    return b" ".join(line[9:12] for line in lines if line.startswith(b"HTTP/1.1 "))


def code_of(wire) -> int:
    """The code with which a WebSocket was closed."""
    close = wire.came.rindex(b"\x88\x02")
    return int.from_bytes(wire.came[close + 2 : close + 4], "big")


def test_a_head_has_its_time_however_it_trickles(guarded):
    with connected(guarded) as slow, connected(guarded) as silent:
        slow.send(b"GET / HTTP/1.1\r\n")
        for _ in range(9):
            guarded.reactor.advance(1)
            slow.send(b"X: x\r\n")
        assert not slow.is_closed()
        guarded.reactor.advance(1)
        assert status(slow) == b"408" and slow.is_closed()
        assert silent.came == b"" and silent.is_closed()


def test_a_body_has_its_time(guarded):
    with connected(guarded) as wire:
        wire.request("POST /", b"a", **form(), Content_Length="3")
        guarded.reactor.advance(5)
        wire.send(b"=")
        guarded.reactor.advance(5)
        assert status(wire) == b"408" and wire.is_closed()


def test_who_asks_nothing_more_is_let_go(guarded):
    with connected(guarded) as wire:
        wire.request("OPTIONS /")
        guarded.reactor.advance(74)
        assert not wire.is_closed()
        wire.request("OPTIONS /")
        guarded.reactor.advance(74)
        assert not wire.is_closed() and status(wire) == b"200 200"
        guarded.reactor.advance(1)
        assert wire.is_closed()


def test_who_waits_for_an_answer_has_all_the_time_there_is(guarded):
    with connected(guarded) as wire:
        epoch = guarded.factory.enter(ticket()).ready().result.messages.epoch
        wire.request(f"GET /?epoch={epoch}&seq=0", **form())
        guarded.reactor.advance(24)
        assert not wire.came and not wire.is_closed()


def ticket():
    """Something with the number of a room."""
    return type("Ticket", (), {"room": 1, "user": 1})


@pytest.mark.parametrize("length", ["1001", "300000000", "9" * 30])
def test_a_body_that_is_too_long_is_not_waited_for(guarded, length):
    with connected(guarded) as wire:
        wire.request("POST /", **form(), Content_Length=length)
        assert status(wire) == b"413" and wire.is_closed()
        wire.send(b"a=1&" * 300)
        assert status(wire) == b"413", "nobody listens any more"


def test_a_body_in_pieces_is_counted(guarded):
    with connected(guarded) as wire:
        wire.request("POST /", **form(), Transfer_Encoding="chunked")
        for _ in range(3):
            wire.send(b"190\r\n" + b"x" * 400 + b"\r\n")
        assert status(wire) == b"413" and wire.is_closed()


def test_who_is_refused_may_not_send_without_end(guarded):
    with connected(guarded) as wire:
        wire.request("POST /", **form(), Content_Length="300000000")
        for _ in range(80):
            wire.send(b"x" * 64_000)
        assert wire.transport.disconnecting, "closed at once, without more words"


def test_who_is_refused_has_some_seconds_to_read_why(guarded):
    with connected(guarded) as wire:
        wire.request("POST /", **form(), Content_Length="1001")
        guarded.reactor.advance(4.9)
        assert not wire.transport.disconnecting
        guarded.reactor.advance(0.1)
        assert wire.transport.disconnecting


@pytest.mark.parametrize(
    "head",
    [
        b"GET /?" + b"x" * 40_000,
        b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000,
        b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 6000,
    ],
)
def test_a_head_that_is_too_long_is_refused(guarded, head):
    with connected(guarded) as wire:
        wire.send(head)
        assert status(wire) in (b"400", b"431") and wire.is_closed()


def test_a_message_that_is_begun_has_to_be_finished(guarded):
    with connected(guarded) as wire:
        wire.open_socket()
        whole = frames(TextMessage(json.dumps({"token": token()})))
        wire.send(whole)
        said = frames(TextMessage("x" * 100))
        for byte in said[:10]:
            wire.send(bytes([byte]))
            guarded.reactor.advance(0.9)
        assert not wire.is_closed()
        guarded.reactor.advance(1)
        assert wire.is_closed() and code_of(wire) == 1008


@pytest.mark.parametrize("again", [1, 2])
def test_a_message_that_is_finished_in_time_starts_no_clock(guarded, again):
    with connected(guarded) as wire:
        wire.open_socket()
        wire.send(frames(TextMessage(json.dumps({"token": token()}))))
        for _ in range(again):
            wire.send(frames(TextMessage('{"he', message_finished=False)))
            guarded.reactor.advance(9)
            # The rest of the same message, as a continuation.
            rest = frames(TextMessage('re": true}'))
            wire.send(bytes([0x80]) + rest[1:])
        guarded.reactor.advance(11)
        assert not wire.is_closed()


def test_a_clock_is_of_one_message_however_the_reads_cut_them(guarded):
    with connected(guarded) as wire:
        wire.open_socket()
        wire.send(frames(TextMessage(json.dumps({"token": token()}))))
        said = frames(TextMessage('{"here": true}'))
        wire.send(said[:5])
        for _ in range(20):  # Each read ends one and begins another.
            guarded.reactor.advance(1)
            wire.send(said[5:] + said[:5])
        assert not wire.is_closed()


def test_who_reads_the_last_answer_slowly_has_time_for_it(guarded):
    with connected(guarded) as wire:
        wire.request("GET /", **form(), Connection="close")
        assert status(wire) == b"200" and wire.is_closed()
        guarded.reactor.advance(59)
        assert not wire.transport.disconnecting
        guarded.reactor.advance(1)
        assert wire.transport.disconnecting


def test_what_is_refused_again_and_again_is_counted(classes):
    guarded = classes.build([ORIGIN], knocks=classes.Rate(5, 60))
    answers = []
    for line, headers in [
        ("GET /nothing", {}),
        ("GET /", {"Host": "attacker.example"}),
        ("GET /", {"Origin": "http://attacker.example"}),
        ("GET /", {"Authorization": "Bearer x"}),
        ("GET /?epoch=x&seq=x", form()),
        ("GET /nothing", {}),
        ("GET /", form()),
    ]:
        with connected(guarded) as wire:
            wire.request(line, **headers)
            answers.append(status(wire).decode())
    assert answers == ["404", "400", "403", "401", "400", "429", "200"]


def test_pings_are_answered_until_there_are_too_many(guarded):
    with connected(guarded) as wire:
        wire.open_socket()
        wire.send(frames(*[Ping(b"hi")] * 10))
        assert wire.came.count(b"\x8a\x02hi") == 10 and not wire.is_closed()
        wire.send(frames(Ping(b"hi")))
        assert code_of(wire) == 1008 and wire.is_closed()


def test_what_comes_behind_what_was_refused_is_no_error(guarded, quiet):
    with connected(guarded) as wire:
        wire.open_socket()
        wire.send(frames(BytesMessage(b"\0"), Ping(), TextMessage("x")))
        assert code_of(wire) == 1003
    assert not [event for event in quiet if "log_failure" in event]


def test_of_one_address_so_many_and_no_more(guarded):
    here = [Wire(guarded, "192.0.2.1") for _ in range(3)]
    other = Wire(guarded, "192.0.2.2")
    for wire in [*here, other]:
        wire.request("OPTIONS /")
    assert [status(wire) for wire in [*here, other]] == [b"200", b"200", b"503", b"200"]
    assert b"Retry-After: " in here[2].came and here[2].is_closed()
    here[0].leave()
    with connected(guarded, "192.0.2.1") as again:
        again.request("OPTIONS /")
        assert status(again) == b"200"
    for wire in [*here[1:], other]:
        wire.leave()


def test_who_is_refused_takes_no_connection_from_others(guarded, classes):
    guarded = classes.build([ORIGIN], most=1000, most_per_address=20)
    many = [Wire(guarded, "192.0.2.1") for _ in range(100)]
    alive = [wire for wire in many if wire.channel]
    assert 20 < len(alive) <= 70
    with connected(guarded, "192.0.2.2") as other:
        other.request("OPTIONS /")
        assert status(other) == b"200"
    for wire in alive:
        wire.leave()
    assert not alive[0].channel.factory.connected


def test_in_all_so_many_and_no_more(guarded):
    wires = [Wire(guarded, f"192.0.2.{number}") for number in range(5)]
    for wire in wires:
        wire.request("OPTIONS /")
    assert [status(wire) for wire in wires] == [b"200"] * 4 + [b"503"]
    for wire in wires:
        wire.leave()


def test_of_who_is_gone_nothing_is_kept(guarded):
    def come_and_go(kind) -> list:
        wire = Wire(guarded)
        if kind == "socket":
            wire.open_socket()
            wire.send(frames(TextMessage(json.dumps({"token": token()}))))
            kept = [weakref.ref(guarded.clients[0])]
        else:
            epoch = guarded.messages.epoch
            wire.request(f"GET /?epoch={epoch}&seq=0", **form())
            kept = []
        kept.append(weakref.ref(wire.channel))
        wire.leave()
        return kept

    gc.collect()
    gc.disable()
    try:
        for kind in ("socket", "poll", "socket"):
            left = [ref for ref in come_and_go(kind) if ref()]
            assert not left, f"of a {kind}, {left} waits for Python's collector"
    finally:
        gc.enable()
