"""Exercise 7, strangers: what is too slow, too large, or has no end; who is gone."""

from __future__ import annotations

import json

import pytest
from websockets.frames import Frame, Opcode

from tests.support.clients import Client
from tests.support.polling import settle
from tests.support.servers import new_id
from tests.support.strangers import (
    CLOSED,
    Line,
    Wire,
    bearer,
    later,
    polls_of,
    receive,
    request,
    say,
)

SINCE_STAGE = 11
ANN, BOB = "Ann", "Bob"
MOST_HEAD = 12_000  # bytes
HEAD_SECONDS = 10  # for a whole head, and as long again for the body
IDLE_SECONDS = 75  # without a request
BODY = 65_536  # bytes of a POST's body, and of a WebSocket message
MESSAGE_SECONDS = 10  # from the first frame of a message to its end
FRAMES = 60  # that end no message, at once
BEAT, MISSED = 20, 60  # seconds between two pings, and until who misses them is gone
GOODBYE = 5  # seconds for the answer to a close frame
LIMIT = 4096  # characters in one message


# --- Too slow -------------------------------------------------------------------------

# The beginnings of what strangers send, and never finish.
HALVES = {
    "half a request line": b"GET /?ep",
    "a head without its end": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    "half a handshake": b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: ",
}


@pytest.mark.parametrize("what", HALVES)
def test_a_head_that_does_not_end_is_given_up(usual, room, what):
    with Line(usual) as slow, Line(usual) as dribbles, Wire(usual, ANN, room) as ann:
        ann.is_in()
        for line in (slow, dribbles):
            line.send(HALVES[what])
        for _ in range(4):
            later(usual, HEAD_SECONDS / 4 + 0.25)
            dribbles.send(b"x")
            settle(usual)
        for line, how in ((slow, ""), (dribbles, ", however often a byte comes")):
            line.waits_no_longer()
            answer = line.answer(
                f"answer {what} with 408, {HEAD_SECONDS} seconds after it began{how}"
            )
            assert answer.status == 408, (
                f"{HEAD_SECONDS} seconds after it began, {what} should be answered "
                f"with 408{how}. It was {answer.status}."
            )
            line.is_ended(f"{what} was answered with 408")
        ann.text(usual.saying("I am quick"))
        ann.hears("I am quick", "who is slow is somebody else")


def test_who_connects_and_says_nothing_is_sent_away(usual):
    with Line(usual) as silent:
        later(usual, HEAD_SECONDS + 1)
        silent.is_ended(f"it has said nothing for {HEAD_SECONDS} seconds")


def post_begun(chat, room: str, user: str, length: int | None = None) -> bytes:
    """The head of a POST whose body has so many bytes, or comes in chunks."""
    size = {"Content_Length": None if length is None else str(length)}
    if length is None:
        size["Transfer_Encoding"] = "chunked"
    return request(chat, "POST", **bearer(chat.token(room, user)) | size)


def test_a_body_that_does_not_end_is_given_up(usual, room):
    with Line(usual) as slow, Line(usual) as dribbles:
        for line in (slow, dribbles):
            line.send(post_begun(usual, room, ANN, 100) + b"id=")
        for _ in range(4):
            later(usual, HEAD_SECONDS / 4 + 0.25)
            dribbles.send(b"x")
            settle(usual)
        for line, how in ((slow, ""), (dribbles, ", however often a byte comes")):
            line.waits_no_longer()
            answer = line.answer(
                f"answer a POST with half a body with 408, in {HEAD_SECONDS} s{how}"
            )
            assert answer.status == 408, (
                f"A POST whose body does not end in {HEAD_SECONDS} seconds should be "
                f"answered with 408{how}. It was {answer.status}."
            )
            line.is_ended("half a body was answered with 408")


def test_a_slow_line_is_no_fault(usual, room, honest):
    body = usual.form("by a slow line").encode()
    head = post_begun(usual, room, honest, len(body))
    with Line(usual) as line:
        for piece in (head[:50], head[50:] + body[:10], body[10:]):
            line.send(piece)
            if piece is not body[10:]:
                later(usual, HEAD_SECONDS - 3)
        answer = line.answer("answer a POST that comes slowly")
        assert answer.status == 200, (
            f"The head of a POST took {HEAD_SECONDS - 3} seconds, its body as long. "
            f"Each has {HEAD_SECONDS} seconds, so it should be taken (200). It was "
            f"{answer.status}."
        )


def test_who_has_no_request_keeps_the_connection_for_a_while(usual, room):
    with Line(usual) as line:
        token = usual.token(room)
        for seconds in (0, IDLE_SECONDS - 10):
            later(usual, seconds)
            answer = line.ask(**bearer(token))
            assert answer.status == 200, (
                f"A connection without a request is kept for {IDLE_SECONDS} s, so that "
                f"the next one is quick. After {seconds} s the next one was answered "
                f"{answer.status}."
            )
        later(usual, IDLE_SECONDS + 1)
        line.is_ended(f"it had no request for {IDLE_SECONDS} seconds")


def test_a_poll_that_waits_is_not_slow(usual, places, honest):
    with polls_of(usual, places[1], honest, 1) as [poll]:
        later(usual, HEAD_SECONDS * 2)
        assert not poll.is_answered(), (
            f"A poll may wait for 25 seconds. After {HEAD_SECONDS * 2} it was answered "
            f"{poll.answer()}."
        )


# --- Too large ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("POST", "/ws"), ("GET", "/")]
)
def test_a_body_that_is_too_large_is_refused_before_it_comes(
    usual, room, honest, method, path
):
    size = 300_000_000
    with Line(usual) as line:
        shown = bearer(usual.token(room, honest))
        line.send(request(usual, method, path, Content_Length=str(size), **shown))
        answer = line.answer(
            f"refuse {method} {path} with a body of {size} bytes before it comes: not "
            "one byte of it was sent"
        )
        assert answer.status == 413, (
            f"{method} {path} says that {size} bytes will follow. Not one was sent. "
            f"It should be answered with 413 at once. It was {answer.status}."
        )
        line.is_ended("what follows a head with such a body is not wanted")


def test_a_body_in_chunks_is_counted(usual, room, honest):
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    with Line(usual) as line:
        line.send(post_begun(usual, room, honest))
        for _ in range(BODY // 0x4000 + 1):
            line.send(chunk)
        answer = line.answer(
            f"refuse a body in chunks when more than {BODY} bytes of it have come, and "
            "not when it ends: it never does"
        )
        assert answer.status == 413, (
            f"A body that comes in chunks had more than {BODY} bytes, and went on. It "
            f"should be answered with 413. It was {answer.status}."
        )
        line.is_ended("its body was too large")


def test_the_longest_message_is_not_too_large(usual, room, honest):
    text = "\N{GRINNING FACE}" * LIMIT
    body = usual.form(text).encode()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with Wire(usual, honest, room) as wire, Line(usual) as line:
        wire.is_in()
        shown = bearer(usual.token(room, honest))
        answer = line.ask("POST", "/", body, **shown)
        assert answer.status == 200, (
            f"{LIMIT} emoji are a message, and {len(body)} bytes as a form. The POST "
            f"was answered {answer.status}."
        )
        body = usual.form("in one chunk").encode()
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        line.send(post_begun(usual, room, honest) + chunked)
        answer = line.answer("answer a POST whose body comes in chunks")
        assert answer.status == 200, (
            f"A body may come in chunks. The POST was answered {answer.status}."
        )
        said = json.dumps({"id": new_id(), "text": text})
        usual.said.add(text)
        size = len(said) // 12
        pieces = [said[at : at + size].encode() for at in range(0, len(said), size)]
        wire.frames(Frame(Opcode.TEXT, pieces[0], fin=False))
        for piece in pieces[1:-1]:
            wire.frames(
                Frame(Opcode.PING, b"still there?"),
                Frame(Opcode.CONT, piece, fin=False),
            )
        wire.frames(Frame(Opcode.CONT, pieces[-1]))
        before = wire.texts().count(text)
        while wire.texts().count(text) == before:
            event = wire.next(
                f"tell a message of {len(said)} bytes, in {len(pieces)} fragments with "
                "pings between them"
            )
            assert event, f"The longest message by socket: {CLOSED}."


@pytest.mark.parametrize(
    "what", ["one long header", "many headers", "a long address", "a little too long"]
)
def test_a_head_that_is_too_large_is_refused(usual, what):
    size = 40_000
    whole = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: %s\r\n\r\n"
    head = {
        "one long header": b"GET / HTTP/1.1\r\nX-Long: " + b"x" * size,
        "many headers": b"GET / HTTP/1.1\r\n" + b"X-Many: 1\r\n" * (size // 11),
        "a long address": b"GET /?" + b"x" * size,
        # It has its end, and comes all at once.
        "a little too long": whole % (b"x" * (MOST_HEAD + 100 - len(whole))),
    }[what]
    with Line(usual) as line:
        line.send(head)
        came = b""
        while data := receive(line):
            came += data
        status = came.split(maxsplit=2)[1:2]
        assert status in ([b"400"], [b"414"], [b"431"]), (
            f"A head may have {MOST_HEAD} bytes. One of {len(head)}, {what}, should be "
            "refused with 431, 414 or 400, and the connection closed. The server said "
            f"{came[:100]!r}."
        )


def test_a_large_cookie_is_not_too_large(usual, room):
    with Line(usual) as line:
        answer = line.ask(**bearer(usual.token(room)), Cookie="c=" + "x" * 8000)
    assert answer.status == 200, (
        "A browser sends all cookies of 127.0.0.1, whoever has set them. A head of "
        f"8 kB is usual. It was answered {answer.status}."
    )


# --- Messages that do not end, and what else a socket can do --------------------------


def piece(data: bytes, opcode: Opcode = Opcode.CONT) -> Frame:
    """A frame that ends no message."""
    return Frame(opcode, data, fin=False)


@pytest.mark.parametrize("between", [[], [Frame(Opcode.PING, b"?")]], ids=len)
def test_a_message_that_grows_too_large_is_ended(usual, room, eve, between):
    with Wire(usual, eve, room) as wire:
        wire.is_in().frames(piece(b"x" * 4096, Opcode.TEXT))
        for _ in range(BODY // 4096):
            wire.frames(*between, piece(b"x" * 4096))
        because = f"{BODY + 4096} bytes of a message have come, which has no end yet"
        wire.is_closed_with(1009, because=because)


@pytest.mark.parametrize("size", [BODY + 1, 2**40], ids=["65537", "a-terabyte"])
@pytest.mark.parametrize("said", [True, False], ids=["in-a-room", "without-a-token"])
def test_a_frame_that_is_too_large_is_ended_by_its_header(usual, room, eve, size, said):
    with Wire(usual, eve, room, said=said) as wire:
        if said:
            wire.is_in()
        wire.send(b"\x81\xff" + size.to_bytes(8, "big") + b"mask")
        because = f"a frame says that {size} bytes follow. Not one of them was sent"
        wire.is_closed_with(1009, because=because)


# Of 100 bytes, with a mask of zeros.
HALF_A_FRAME = b"\x81\xe4" + bytes(4) + b"x" * 10


@pytest.mark.parametrize(
    "what", ["a fragment", "a fragment and a ping", "half a frame", "half a header"]
)
def test_a_message_that_does_not_end_is_given_up(usual, room, eve, what):
    fragment = piece(b"x", Opcode.TEXT).serialize(mask=True)
    ping = Frame(Opcode.PING, b"").serialize(mask=True)
    begins = {
        "a fragment": fragment,
        "a fragment and a ping": fragment
        + Frame(Opcode.PING, b"").serialize(mask=True),
        "half a frame": HALF_A_FRAME,
        "half a header": b"\x81\xfe\x00",
    }[what]
    goes_on = piece(b"x").serialize(mask=True)
    more = {
        "a fragment": goes_on,
        "a fragment and a ping": goes_on + ping,
        "half a frame": b"x",
    }
    with Wire(usual, eve, room) as wire, Wire(usual, eve, room) as dribbles:
        for one in (wire, dribbles):
            one.is_in().send(begins)
        for _ in range(4):
            later(usual, MESSAGE_SECONDS / 4 + 0.25)
            dribbles.send(more.get(what, b""))
            settle(usual)
        for one, how in ((wire, ""), (dribbles, ", however often more comes")):
            one.waits_no_longer()
            because = f"{what} came, and no end in {MESSAGE_SECONDS} seconds{how}"
            one.is_closed_with(1008, because=because)


def test_a_message_may_take_its_time(usual, room, honest):
    whole = Frame(Opcode.TEXT, usual.saying("at last").encode()).serialize(mask=True)
    with Wire(usual, honest, room) as wire:
        wire.is_in().send(whole[:20])
        later(usual, MESSAGE_SECONDS - 3)
        wire.send(whole[20:])
        wire.hears("at last", f"a message may take {MESSAGE_SECONDS} seconds")
        later(usual, MESSAGE_SECONDS + 1)
        wire.text(usual.saying("and again"))
        wire.hears("and again", "the time of a message is over with its end")


def test_each_message_has_a_time_of_its_own(usual, room, honest):
    texts, rest = ["one by one", "two by two", "three"], b""
    with Wire(usual, honest, room) as wire:
        wire.is_in()
        for text in texts:
            frame = Frame(Opcode.TEXT, usual.saying(text).encode())
            whole = frame.serialize(mask=True)
            wire.send(rest + whole[:20])
            rest = whole[20:]
            settle(usual)
            later(usual, MESSAGE_SECONDS - 3)
        wire.send(rest)
        for text in texts:
            wire.hears(
                text,
                f"it was begun {MESSAGE_SECONDS - 3} seconds before its end, in one "
                "piece with the end of the one before",
            )


FLOODS = {
    "pings": [Frame(Opcode.PING, b"x")],
    "pongs": [Frame(Opcode.PONG, b"x")],
    "empty fragments": [piece(b"")],
    "fragments of one byte": [piece(b"x")],
}


@pytest.mark.parametrize("what", FLOODS)
@pytest.mark.parametrize("said", [True, False], ids=["in-a-room", "without-a-token"])
def test_a_flood_of_frames_is_ended(usual, room, eve, honest, what, said):
    with Wire(usual, eve, room, said=said) as wire, Wire(usual, honest, room) as other:
        other.is_in()
        if said:
            wire.is_in()
        if what not in ("pings", "pongs"):
            wire.frames(piece(b"", Opcode.TEXT))
        for _ in range(10):
            wire.frames(*FLOODS[what] * FRAMES)
        because = f"{10 * FRAMES} {what} came in a moment, and no message"
        wire.is_closed_with(1008, because=because)
        other.text(usual.saying("I do not flood"))
        other.hears("I do not flood", "somebody else has flooded")


def test_some_frames_between_messages_are_no_flood(usual, room, honest):
    half = FRAMES // 2
    with Wire(usual, honest, room) as wire:
        wire.is_in()
        for round_ in range(2):
            wire.frames(*[Frame(Opcode.PING, b"x")] * (half - 5))
            wire.frames(*[Frame(Opcode.PONG, b"x")] * 5)
            wire.text(usual.saying(f"round {round_}"))
            wire.hears(
                f"round {round_}", f"{half} pings and pongs at once are no flood"
            )
            later(usual, half)


def test_who_answers_no_ping_is_gone_within_a_minute(usual, room, eve, honest):
    with Wire(usual, eve, room) as dead, Wire(usual, honest, room) as lives:
        dead.is_in(), lives.is_in()
        for number in range(MISSED // BEAT):
            later(usual, BEAT)
            lives.pong(
                f"ping an idle socket every {BEAT} seconds. Here, after "
                f"{(number + 1) * BEAT} s"
            )
            settle(usual)
        dead.is_dropped(f"it has answered no ping for {MISSED} seconds")
        later(usual, 1)
        lives.text(usual.saying("I have answered"))
        lives.hears("I have answered", "it has answered each ping")


def test_who_does_not_answer_a_close_is_dropped(usual, room, eve):
    with Wire(usual, eve, room) as rude, Wire(usual, eve, room, said=False) as silent:
        rude.is_in().frames(Frame(Opcode.BINARY, b"x"))
        rude.is_closed_with(1003, because="a binary message is no chat")
        later(usual, GOODBYE + 1)
        silent.is_closed_with(4408, because="no token came in five seconds")
        later(usual, GOODBYE + 1)
        for wire in (rude, silent):
            wire.is_dropped(
                f"the server has sent a close frame, and {GOODBYE} seconds later there "
                "is no answer"
            )


def test_who_does_not_read_is_dropped_in_time(chat):
    [room] = chat.make_rooms("Where much is said")
    loud = new_id()[:8]  # Nobody has said anything as this one yet.
    chat.let_in([loud], [room])
    # In JSON an emoji takes twelve bytes. The systems hold some megabytes for a client.
    emoji, piece = "\N{GRINNING FACE}" * LIMIT, 50
    limits = {
        "CHAT_MESSAGES": "100000/1",
        "CHAT_MOST_BEHIND": "100000000",
        "CHAT_READING_SECONDS": "10",
    }
    with (
        chat.beside(**limits) as other,
        Wire(other, BOB, room, receive_buffer=4096) as stalled,
        Client(other, "Ann", room, user=loud) as ann,
    ):
        for _ in range(150 // piece):
            for _ in range(piece):
                ann.say(emoji)
            ann.hears(*[emoji] * piece, because="she said it")
        for _ in range(2):
            later(other, 6)
        stalled.is_dropped(
            "CHAT_READING_SECONDS is 10, and for 12 seconds a socket has read nothing "
            "of some megabytes that wait for it"
        )
        ann.say("I read")
        ann.hears("I read", because="who reads stays")


# --- The settings ---------------------------------------------------------------------

# All of them are less than usual.
MOVED = {
    "CHAT_HEAD_SECONDS": "5",
    "CHAT_IDLE_SECONDS": "30",
    "CHAT_BODY": "1000",
    "CHAT_MESSAGE_SECONDS": "5",
    "CHAT_FRAMES": "5/30",
    "CHAT_PING_SECONDS": "10",
    "CHAT_MESSAGES": "2/10",
}


def test_each_limit_is_moved_by_its_variable(chat, room, eve):
    with (
        chat.beside(**MOVED) as other,
        Wire(other, ANN, room) as floods,
        Wire(other, ANN, room) as quiet,
        Wire(other, ANN, room) as slow,
        Line(other) as idle,
        Line(other) as begun,
    ):
        shown = bearer(other.token(room))
        begun.send(HALVES["half a request line"])
        idle.ask(**shown)
        for wire in (slow, floods, quiet):
            wire.is_in()
        slow.frames(piece(b"x", Opcode.TEXT))
        floods.frames(*[Frame(Opcode.PONG, b"x")] * 6)
        floods.is_closed_with(1008, because="CHAT_FRAMES is 5/30, and six came")
        later(other, 6)
        status = begun.answer("end half a head: CHAT_HEAD_SECONDS is 5").status
        assert status == 408, f"Half a head should be answered with 408, not {status}."
        slow.is_closed_with(1008, because="CHAT_MESSAGE_SECONDS is 5")
        with Line(other) as line:
            answer = line.ask("POST", Content_Length="1001", **shown)
        assert answer.status == 413, f"CHAT_BODY is 1000, and 1001 come: {answer}."
        later(other, 6)
        quiet.pong("ping an idle socket, for CHAT_PING_SECONDS is 10")
        for number in range(3):
            with Line(other) as line:
                status = say(line, room, eve, f"number {number}").status
            wanted = 429 if number == 2 else 200
            assert status == wanted, (
                f"CHAT_MESSAGES is 2/10. Message {number + 1} should be answered "
                f"{wanted}. It was {status}."
            )
        later(other, 20)
        idle.is_ended("CHAT_IDLE_SECONDS is 30, and it had no request for longer")
