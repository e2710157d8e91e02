"""Exercise 1, rooms: what is said in a room stays there, and a token opens it."""

from __future__ import annotations

import json
import re
import select
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count, islice, product
from statistics import median

import pytest
from django.core.signing import TimestampSigner
from websockets.frames import Opcode

from tests.contract.test_3_longpoll import says_why
from tests.support.clients import SECONDS, Client, RawClient
from tests.support.memory import kept_for_each
from tests.support.polling import (
    Request,
    ask,
    cursor_of,
    newcomer,
    post,
    settle,
    texts,
)
from tests.support.servers import new_id, wait_until

SINCE_STAGE = 6
LONGEST_SILENCE = 5.0  # seconds that a socket may be open without a token
HOUR = 60 * 60
ALLOWED = 24  # hours that a token is good for


@pytest.fixture
def rooms(chat) -> list[str]:
    """The paths of three rooms."""
    found = chat.rooms()
    assert len(found) >= 3, f"/chats/ should link to the demo rooms. It has {found}."
    return found[:3]


def test_each_page_of_a_room_carries_its_token(chat, rooms):
    for room in rooms:
        chat.token(room)
        chat.token(room.replace("/chats/", "/chats/long_poll/"))
    assert len({*map(chat.token, rooms)}) == len(rooms), (
        "A token opens one room, so those of two rooms differ. The pages of "
        f"{' and '.join(rooms)} carry {[chat.token(room) for room in rooms]}."
    )


def test_who_asks_in_a_new_room_behind_a_poll_stops_nobody_else(chat, rooms):
    here, [new] = rooms[0], chat.make_rooms(new_id())
    paul = newcomer(chat, "Paul", room=here)
    head = "GET /{} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\r\n"
    poll = head.format(chat.query(paul.lastupdate), chat.token(here))
    behind = head.format("", chat.token(new))
    with (
        socket.create_connection(("127.0.0.1", chat.chat_port), SECONDS) as raw,
        Client(chat, "Ann", here) as ann,
    ):
        raw.sendall((poll + behind).encode())
        chat.note("On one connection: a poll that has to wait, and one in a new room")
        for text in ("the first", "the second"):
            parked = ask(chat, paul.lastupdate, room=here)
            settle(chat)
            ann.say(text)
            paul.take(parked.answer().reply)
            paul.hears(text, because="it was said by a socket while he waited")


def test_what_is_said_in_a_room_stays_there(chat, rooms):
    here, there, _ = rooms
    with (
        Client(chat, "Ann", here) as ann,
        Client(chat, "Bob", here) as bob,
        Client(chat, "Eve", there) as eve,
    ):
        ann.say("among us")
        bob.hears("among us", because="Ann said it in his room")
        eve.say("elsewhere")
        eve.hears("elsewhere", because=f"nothing of {here} is for {there}")
        ann.hears("among us", because="she said it")
        ann.say("still among us")
        ann.hears("still among us", because=f"nothing of {there} is for {here}")


def test_a_token_opens_a_room_whatever_that_is_called(chat):
    name = new_id()[:8]
    [first] = chat.make_rooms(name)
    token = chat.token(first)
    number = int(first.strip("/").rpartition("/")[2])
    rename = f"ChatRoom.objects.filter(pk={number}).update(name='{new_id()[:8]}')"
    chat.shell(f"from chat.models import ChatRoom; {rename}")
    [second] = chat.make_rooms(name)
    chat.note(f"{first} was called {name!r}, and now another one is: {second}")
    with (
        Client(chat, "Ann", first, token=token) as ann,
        Client(chat, "Eve", second) as eve,
    ):
        ann.say("among us")
        ann.hears("among us", because="she said it")
        eve.say("elsewhere")
        eve.hears("elsewhere", because=f"the token of {first} is for that room alone")


@pytest.mark.stages(6, 7)
def test_what_was_said_is_there_when_all_have_left(chat, rooms):
    room = rooms[2]
    paul = newcomer(chat, "Paul", room)
    with Client(chat, "Ann", room) as ann:
        ann.say("goodbye")
        ann.hears("goodbye", because="she said it")
    settle(chat)
    paul.hears("goodbye", because="a room stays when all have left, and he asks then")


def test_the_rooms_are_apart_for_pollers_too(chat, rooms):
    here, there, _ = rooms
    paul, quinn = newcomer(chat, "Paul", here), newcomer(chat, "Quinn", there)
    with Client(chat, "Ann", here) as ann:
        ann.say("by socket")
        ann.hears("by socket", because=f"it was said in {here}")
        post(chat, "by POST", room=here)
        post(chat, "elsewhere", room=there)
        paul.hears("by socket", "by POST", because=f"it was said in {here}")
        quinn.hears("elsewhere", because=f"nothing of {here} is for {there}")
        ann.hears("by POST", because=f"it was said in {here}")


def test_a_message_wakes_nobody_in_another_room(chat, rooms):
    here, there, _ = rooms
    paul, quinn = newcomer(chat, "Paul", here), newcomer(chat, "Quinn", there)
    parked = ask(chat, quinn.lastupdate, room=there)
    settle(chat)
    post(chat, "among us", room=here)
    paul.hears("among us", because="it was said in his room")
    settle(chat)
    assert not parked.is_answered(), (
        f"Somebody spoke in {here}, and a poll that waits in {there} was answered: "
        f"{parked.answer()}."
    )
    parked.leave()


def test_what_sockets_say_in_all_rooms_at_once_reaches_all(chat, rooms):
    cursors = {room: newcomer(chat, "Paul", room).lastupdate for room in rooms}
    with ExitStack() as stack:
        speakers = {
            room: stack.enter_context(Client(chat, "Ann", room)) for room in rooms
        }
        for _ in range(2):  # A sweep may come between them.
            parked = {room: ask(chat, cursors[room], room=room) for room in rooms}
            for request in parked.values():
                stack.callback(request.leave)
            settle(chat)
            for room, ann in speakers.items():
                ann.say(f"here is {room}")
            for room in rooms:
                reply = parked[room].answer().reply
                assert texts(reply) == [f"here is {room}"], (
                    "In each of three rooms somebody waits, and a socket speaks, in "
                    f"the same moment. The answer in {room} was {reply}."
                )
                cursors[room] = cursor_of(reply)


def test_both_pages_of_a_room_open_the_same_room(chat, rooms):
    here = rooms[0]
    with Client(chat, "Ann", here) as ann:
        post(chat, "hello", room=here.replace("/chats/", "/chats/long_poll/"))
        ann.hears("hello", because="it was posted from the other page of her room")


def test_a_socket_hears_nothing_before_its_token(chat, rooms):
    with knocking(chat) as silent:
        post(chat, "among us", room=rooms[0])
        settle(chat)
        silent.socket.setblocking(False)
        with suppress(BlockingIOError):  # Nothing more is there.
            silent.came += silent.socket.recv(65536)
    assert not silent.came, (
        "A socket that has not yet said its token should hear nothing, not even a "
        f"greeting. It heard {silent.came!r}."
    )


@contextmanager
def knocking(chat) -> Iterator[RawClient]:
    """A socket that is open and has not yet said its token."""
    raw = RawClient(chat)
    with closing(raw.socket):
        raw.came = raw.read_until(b"\r\n\r\n", "answer a handshake")
        yield raw


def code(number: int) -> bytes:
    """A close code as it stands in a close frame."""
    return number.to_bytes(2, "big")


def altered(token: str, other: str) -> dict[str, str]:
    """Tokens that open no room, made from those of two rooms, whatever their form."""
    # What no base64 has, stands between two parts.
    parts, others = (re.split(r"([^\w+/=-]+)", one) for one in (token, other))
    pairs = enumerate(zip(parts, others, strict=False))
    first = next(n for n, (one, two) in pairs if one != two)
    named = "".join([*parts[:first], others[first], *parts[first + 1 :]])
    if named == other:  # It is in one part, with its signature.
        named = other[:-10] + token[-10:]
    return {
        "empty": "",
        "words": "let me in",
        "a number": "1",
        "a room's path": "/chats/1/",
        "long": "1:" * 1500,
        "bytes": "\N{GRINNING FACE}:\N{GRINNING FACE}:\N{GRINNING FACE}",
        "unsigned": "".join(parts[:-2]),
        "half": token[: len(token) // 2],
        "cut": token[:-1],
        "longer": token + "x",
        "another room's beginning": other[: len(token) // 2] + token[len(token) // 2 :],
        "another room's name": named,
        "changed in front": changed(token, 0),
        "changed in the middle": changed(token, len("".join(parts[:-2]) or token) - 1),
        "changed behind": changed(token, -10),
    }


def changed(token: str, place: int) -> str:
    """A token in which one character is another."""
    letters = [*token]
    letters[place] = "B" if letters[place] != "B" else "C"
    return "".join(letters)


KINDS = list(altered("1:a-time:its-signature", "2:a-time:its-signature"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_socket_with_a_bad_token_is_closed_and_told_why(chat, rooms, kind):
    token = altered(chat.token(rooms[0]), chat.token(rooms[1]))[kind]
    with Client(chat, "Ann", rooms[0]) as ann, Client(chat, "Bob", rooms[1]) as bob:
        with knocking(chat) as raw:
            # What comes behind it is there before the server can close.
            behind = (Opcode.TEXT, chat.saying("and another thing").encode())
            raw.send_frames((Opcode.TEXT, chat.hello(token).encode()), behind)
            what = f"close with code 4401 when a socket says first {token[:80]!r}"
            raw.read_until(code(4401), what)
        for client in (ann, bob):
            client.say("hello")
            client.hears("hello", because="who was refused says nothing in any room")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_request_with_a_bad_token_is_refused_and_told_why(chat, rooms, kind, method):
    tokens = altered(chat.token(rooms[0]), chat.token(rooms[1]))
    # No header holds those, but any byte: here are some that are no UTF-8.
    token = (tokens | {"bytes": "\xff\xfe:\xff:\xff"})[kind]
    headers = {
        "Origin": chat.origin,
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    with Client(chat, "Ann", rooms[0]) as ann, Client(chat, "Bob", rooms[1]) as bob:
        path = "/?lastupdate=-1" if method == "GET" else "/"
        body = "new_message=x" if method == "POST" else None
        answer = Request(chat, method, path, body, headers, token="").answer()
        says_why(answer, 401, f"{method} with the token {token[:80]!r}")
        for client in (ann, bob):
            client.say("hello")
            client.hears("hello", because="who was refused says nothing in any room")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_without_a_token_is_refused(chat, method):
    answer = Request(chat, method, "/?lastupdate=-1", token="").answer()
    says_why(answer, 401, f"{method} without a token")
    allowed = answer.headers.get("Access-Control-Allow-Origin")
    assert allowed == chat.origin, (
        "The page has to be able to read why it was refused, so a 401 needs "
        f"Access-Control-Allow-Origin: {chat.origin}. It has {allowed}."
    )
    asks_for = answer.headers.get("WWW-Authenticate", "")
    assert asks_for.lower().startswith("bearer"), (
        "A 401 has to say in WWW-Authenticate what it asks for: Bearer. It says "
        f"{asks_for!r}."
    )


def test_a_token_in_the_address_opens_nothing(chat, rooms):
    # Not the first room's: another test looks for that one in the log.
    address = f"/?lastupdate=-1&token={chat.token(rooms[1])}"
    answer = Request(chat, "GET", address, token="").answer()
    says_why(answer, 401, "GET with its token in the address, which logs keep,")


def test_a_preflight_needs_no_token_and_allows_it(chat):
    ask_first = {
        "Origin": chat.origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = Request(chat, "OPTIONS", "/", headers=ask_first, token="").answer()
    allowed = answer.headers.get("Access-Control-Allow-Headers", "").lower()
    assert answer.status in (200, 204) and "authorization" in allowed, (
        "Before a request with a token a browser asks by OPTIONS, without one, whether "
        "its page may send the header Authorization. The server should say yes in "
        f"Access-Control-Allow-Headers. It said {answer.status}, {allowed!r}."
    )


@contextmanager
def hours_later(chat, hours: float) -> Iterator[None]:
    """A block in which the server's clock shows so many hours more."""
    chat.clock.set(time.time() + hours * HOUR)
    try:
        yield
    finally:
        chat.clock.release()


@pytest.mark.stages(6, 9)  # In exercise 6, it is good for minutes.
def test_a_token_is_good_for_a_day_and_no_longer(chat, rooms):
    token = chat.token(rooms[0])
    with Client(chat, "Ann", rooms[0]) as ann:
        with hours_later(chat, ALLOWED - 1), Client(chat, "Bob", rooms[0]) as bob:
            ann.say("23 hours later")
            bob.hears("23 hours later", because="a token is good for a day")
            ann.hears("23 hours later", because="she said it")
        with hours_later(chat, ALLOWED + 1):
            with knocking(chat) as raw:
                raw.send_frames((Opcode.TEXT, chat.hello(token).encode()))
                what = "close with code 4410 when a token is 25 hours old"
                raw.read_until(code(4410), what)
            answer = ask(chat, -1, token=token).answer()
            says_why(answer, 401, "GET with a token that is 25 hours old")
            altered = ask(chat, -1, token=f"{token}x").answer()
            assert altered.reply["error"] != answer.reply["error"], (
                "Somebody comes with a token that is 25 hours old. The error should "
                "say so, and is the same as that for a token that is none of ours: "
                f"{answer.reply['error']!r}."
            )
            answer = post(chat, "too late", token=token)
            says_why(answer, 401, "POST with a token that is 25 hours old")
            because = "she was let in when her token was good, and stays in"
            for _ in range(2):
                ann.say("25 hours later")
                ann.hears("25 hours later", because=because)
        chat.clock.pass_by((ALLOWED + 1) * HOUR)
        for _ in range(2):  # What was due has been done when she speaks again.
            settle(chat)
            ann.say("and later")
            ann.hears("and later", because=because)
    chat.come_back()  # with the right clock


# A page of now, and one of a day later; or the second one alone, with `early` False.
A_DAY_LATER = """
import time
from django.urls import get_resolver
get_resolver().url_patterns  # All that there is, has been imported.
{me}
real, monotonic = time.time, time.monotonic
if {early}:
    me.get({room!r})
time.time = lambda: real() + {seconds}
time.monotonic = lambda: monotonic() + {seconds}
print(me.get({room!r}).content.decode())
"""


@pytest.mark.stages(6, 9)  # Later, pages ask for another one every few minutes.
def test_a_page_has_a_token_of_its_own_day(chat, rooms):
    room = rooms[0]
    seconds = (ALLOWED + 1) * HOUR

    def is_good(early: bool) -> bool:
        code = A_DAY_LATER.format(me=chat.me, early=early, room=room, seconds=seconds)
        token = chat.token_in(chat.shell(code), room)
        with hours_later(chat, ALLOWED + 1):
            return ask(chat, -1, token=token).answer().status == 200

    # Who takes the time from elsewhere, cannot be asked.
    assert is_good(early=True) or not is_good(early=False), (
        "Django has shown the page of a room, and shows it again 25 hours later. The "
        "token of the second page should open the room, then. It does where Django was "
        "not asked for the first one."
    )


def test_what_the_key_signs_for_another_purpose_opens_no_room(chat, rooms):
    key = "a key of this test, for CHAT_KEY"
    page = chat.token_under(rooms[0], {"CHAT_KEY": key})
    before = chat.token(rooms[0])
    chat.come_back(CHAT_KEY=key)
    try:
        good = ask(chat, -1, token=page).answer()
        assert good.status == 200, (
            "Both servers were given one key in CHAT_KEY, and the token of a page was "
            f"refused: {good.status} {good.reply}."
        )
        says_why(
            ask(chat, -1, token=before).answer(),
            401,
            "GET with a token that was signed by another key than that in CHAT_KEY",
        )
        room = rooms[0].strip("/").split("/")[-1]
        written = page.rsplit(":", 2)[0]  # a token, less its time and its signature
        others = (
            TimestampSigner(key=key, fallback_keys=[]),
            TimestampSigner(key=key, salt="password reset", fallback_keys=[]),
        )
        for signer, value in product(others, (room, written)):
            signed = signer.sign(value)
            says_why(
                ask(chat, -1, token=signed).answer(),
                401,
                f"GET with {signed!r}, which the key has signed for another purpose "
                f"(with the salt {signer.salt!r}),",
            )
    finally:
        chat.come_back()


def test_who_never_says_a_token_is_closed(chat):
    with (
        Client(chat, "Ann") as ann,
        knocking(chat) as silent,
        knocking(chat) as pings,
        knocking(chat) as pongs,
    ):
        chat.clock.pass_by(LONGEST_SILENCE - 3)
        settle(chat)
        early = select.select([silent.socket], [], [], 0)[0]
        assert not early, (
            "A slow phone needs time to say its token. Two seconds after the handshake "
            f"the server sent {silent.socket.recv(1000)!r}."
        )
        pings.send_frames((Opcode.PING, b""))
        pongs.send_frames((Opcode.PONG, b""))
        settle(chat)
        chat.clock.pass_by(2)
        pings.send_frames((Opcode.PING, b""))
        pongs.send_frames((Opcode.PONG, b""))
        settle(chat)
        chat.clock.pass_by(2)
        settle(chat)
        what = "close with code 4408 when a socket says no token in five seconds"
        # To whom five more were given at the second one, three of them are left.
        for raw, seconds, how in (
            (silent, 3 * LONGEST_SILENCE, what),
            (pings, LONGEST_SILENCE / 2, f"{what}, but pings"),
            (pongs, LONGEST_SILENCE / 2, f"{what}, but sends a pong now and then"),
        ):
            raw.socket.settimeout(seconds)
            raw.read_until(code(4408), how)
        ann.say("hello")
        ann.hears("hello", because="she has said her token and may be silent then")


def test_no_token_stands_in_the_log(chat, rooms):
    token = chat.token(rooms[0])
    newcomer(chat, "Paul", rooms[0])
    with Client(chat, "Ann", rooms[0]) as ann:
        ann.say("hello")
        ann.hears("hello", because="she said it")
    ask(chat, -1, token=token[:-1]).answer()
    assert token[-20:-1] not in chat.twisted.output(), (
        "Whoever reads the log could come in with the token that stands there."
    )


@pytest.mark.parametrize("how", ["socket", "request"])
def test_refused_clients_are_not_remembered(chat, how):
    # A request may say more than a socket.
    come, length = {"socket": (by_socket, 4000), "request": (by_request, 11_000)}[how]
    numbers = count()
    kept = kept_for_each(
        chat, lambda many: come(chat, islice(numbers, many), length), 150, length // 2
    )
    assert kept < length / 2, (
        f"Clients come by {how}, by the hundred, with invented tokens of {length} "
        f"characters, and the server grows by {kept:.0f} bytes for each. Only a good "
        "token makes a room."
    )


def invented(number: int, length: int) -> str:
    """A token that nobody has signed, and nobody else invents."""
    return f"{number}{'x' * (length - 30)}:invented:signature"


def by_socket(chat, numbers: Iterable[int], length: int) -> None:
    """Come by socket, each with a token of its own invention."""
    for number in numbers:
        hello = chat.hello(invented(number, length))
        with knocking(chat) as raw:
            raw.send_frames((Opcode.TEXT, hello.encode()))
            raw.read_until(code(4401), "close with code 4401")


def by_request(chat, numbers: Iterable[int], length: int) -> None:
    """Come by request, each with a token of its own invention."""
    with socket.create_connection(("127.0.0.1", chat.chat_port)) as polls:
        answers = polls.makefile("rb")
        for number in numbers:
            token = invented(number, length)
            head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            polls.sendall(f"GET / HTTP/1.1\r\n{head}\r\n".encode())
            assert b"401" in answers.readline(), "An invented token should be 401."
            size = 0
            while (line := answers.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                size = int(value) if name.lower() == b"content-length" else size
            json.loads(answers.read(size))


def test_a_room_stays_as_long_as_somebody_is_in_it(chat, rooms):
    here = rooms[2]
    paul = newcomer(chat, "Paul", here)
    with Client(chat, "Ann", here) as ann:
        for _ in range(4):
            chat.clock.pass_by(5)
            parked = ask(chat, paul.lastupdate, room=here)
            settle(chat)
            chat.clock.pass_by(70)
            settle(chat)
            parked.leave()
        post(chat, "still here?", room=here)
        ann.hears("still here?", because="she was in the room for five quiet minutes")
        paul.hears("still here?", because="he was polling for five quiet minutes")
    chat.come_back()  # with the right clock


def test_a_room_stays_as_long_as_somebody_waits_in_it(chat, rooms):
    here = rooms[2]
    cursor = newcomer(chat, "Paul", here).lastupdate
    for seconds in range(20, 100, 20):  # Whatever happens once a minute, happens.
        parked = ask(chat, cursor, room=here)
        settle(chat)
        chat.clock.pass_by(20)
        settle(chat)
        text = f"after {seconds} seconds, {new_id()}"
        post(chat, text, room=here)
        what = (
            f"nobody but one who polls is in a room. After {seconds} seconds in all, "
            f"and 20 of this poll, somebody says {text!r}, and that is the answer to it"
        )
        wait_until(parked.is_answered, lambda what=what: what)
        reply = parked.answer().reply
        assert text in texts(reply), f"It should be so that {what}. It was {reply}."
        cursor = cursor_of(reply)
    chat.come_back()  # with the right clock


def test_a_room_whose_clients_stall_delays_no_other(chat, rooms):
    loud, quiet, _ = rooms
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(RawClient(chat, receive_buffer=4096, room=loud))
        speaker = stack.enter_context(RawClient(chat, room=loud))
        ann = stack.enter_context(Client(chat, "Ann", quiet))
        times = []
        for number in range(50):
            # 8 MB in all for each of those who do not read.
            speaker.send_frames(*long_messages(chat, 40))
            before = time.perf_counter()
            ann.say(f"message {number}")
            ann.hears(
                f"message {number}",
                because="what is the matter in another room is nothing to hers",
            )
            times.append(time.perf_counter() - before)
            # All of it: else it would be one of those who do not read.
            speaker.read(40 * 4096, "let a speaker hear what it says")
    assert median(times) < 0.2, (
        "In one room somebody talks, and twenty clients do not read. In another, a "
        f"message took {median(times):.2f} s at the median, {max(times):.2f} at worst."
    )


def long_messages(chat, count: int) -> list[tuple[Opcode, bytes]]:
    """So many frames that say as much as is allowed."""
    return [(Opcode.TEXT, chat.saying("x" * 4096).encode()) for _ in range(count)]


def test_twenty_rooms_at_once(chat):
    names = [f"room {number}" for number in range(20)]
    code = "from chat.models import ChatRoom; print([ChatRoom.objects.create("
    made = chat.shell(f"{code}name=name).pk for name in {names}])").splitlines()[-1]
    paths = [f"/chats/{key}/" for key in json.loads(made)]
    with ExitStack() as stack:
        pairs = [
            [stack.enter_context(Client(chat, name, path)) for name in ("Ann", "Bob")]
            for path in paths
        ]
        for count in range(5):
            for path, (ann, _) in zip(paths, pairs, strict=True):
                ann.say(f"{path} {count}")
        for path, pair in zip(paths, pairs, strict=True):
            for client in pair:
                client.hears(
                    *[f"{path} {count}" for count in range(5)],
                    because=f"only that was said in {path}",
                )
