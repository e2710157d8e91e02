"""Stage 2: over a WebSocket, what one client says, every client hears."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager, suppress
from itertools import product

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from tests.support.clients import (
    SECONDS,
    Client,
    RawClient,
    handshake,
    status_of,
)
from tests.support.memory import kept_for_each
from tests.support.servers import Server
from tutorial.processes import free_ports

SINCE_STAGE = 2
LIMIT = 4096  # characters in one message, as the wire format says


def test_the_speaker_hears_what_was_said(chat):
    with Client(chat, "Ann") as ann:
        ann.say("hello")
        ann.hears("hello", because="what one client says, all hear, the speaker too")


def test_everybody_else_hears_it_too(chat):
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        ann.say("hello")
        bob.hears("hello", because="Ann said it")
        bob.say("hi Ann")
        ann.hears("hello", "hi Ann", because="Ann said one and Bob the other")


@pytest.mark.parametrize(
    "text",
    [
        "  two spaces before, a line break after\n",
        "<img src=x onerror=alert(1)>",
        "Grüße, 你好, שלום \u202e",
        "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}",
        "null\0byte",
        # From 126 on, a frame tells its length in another way.
        *("x" * size for size in (125, 126, 127)),
    ],
    ids=["spaces", "markup", "scripts", "emoji", "null", "125", "126", "127"],
)
def test_the_text_arrives_as_it_was_sent(chat, text):
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        ann.say(text)
        if "\0" in text and chat.is_persistent:
            heard = bob.next()
            # Not every database takes the character 0.
            assert heard in (text, text.replace("\0", "\ufffd")), f"It was {heard!r}."
            return
        bob.hears(text, because="the server passes on text unchanged")


def test_fifty_clients_hear_all_messages_in_one_order(chat):
    clients, each = 50, 20
    # In a thread: a browser test may have left an event loop in this one.
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(asyncio.run, talk(chat, clients, each)).result()
    sent = {f"{number}:{count}" for number in range(clients) for count in range(each)}
    for number, messages in enumerate(heard):
        missing = sorted(sent - {*messages})
        assert not missing, (
            f"{clients} clients said {each} messages each. Client {number} should hear "
            f"all {len(sent)}, but misses {len(missing)}, {missing[0]} among them."
        )
        assert len(messages) == len(set(messages)), f"Client {number} heard some twice."
        assert messages == heard[0], f"Clients 0 and {number} heard different orders."
    for number in range(clients):
        own = [text for text in heard[0] if text.startswith(f"{number}:")]
        assert own == [f"{number}:{count}" for count in range(each)], (
            f"What client {number} said came in another order than it was said."
        )


async def talk(chat, clients: int, each: int) -> list[list[str]]:
    """Let so many clients say `each` messages at once; returns what each heard."""
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(
                connect(
                    chat.ws_url,
                    origin=chat.origin,
                    proxy=None,
                    compression=None,
                    max_size=None,
                )
            )
            for _ in range(clients)
        ]
        for socket_ in sockets:
            if hello := chat.hello(chat.token()):
                await socket_.send(hello)
            async with asyncio.timeout(SECONDS):
                await socket_.recv()  # the greeting

        async def speak(number: int) -> None:
            for count in range(each):
                await sockets[number].send(chat.saying(f"{number}:{count}"))

        latest = 0.0  # when somebody heard something

        async def listen(number: int) -> list[str]:
            nonlocal latest
            heard = []
            try:
                while len(heard) < clients * each:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(SECONDS):
                            came = chat.texts_in(await sockets[number].recv())
                        heard += [text for text in came if text in chat.said]
                        latest = time.monotonic()
                    # On a busy machine the others may be what one waits for.
                    if time.monotonic() - latest > SECONDS:
                        break
            except ConnectionClosed:
                pass  # What is missing is for the test to say.
            return heard

        speaking = [speak(number) for number in range(clients)]
        listening = [listen(number) for number in range(clients)]
        results = await asyncio.gather(*listening, *speaking)
        return results[:clients]


def test_a_client_that_leaves_is_forgotten(chat):
    least = 2500  # bytes that one kept client must cost; 3000 were seen
    kept = kept_for_each(chat, lambda count: come_and_go(chat, count), 500, least)
    assert kept < least, (
        f"Clients come and leave by the thousand, and the server grows by {kept:.0f} "
        "bytes for each: it keeps clients that have left. Take them off the list in "
        "connectionLost."
    )


def come_and_go(chat, count: int) -> None:
    """Let `count` clients join and leave, and return when the server has seen it."""
    for _ in range(count):
        with RawClient(chat) as client:
            client.send_frames((Opcode.CLOSE, b""))
            while client.socket.recv(4096):
                pass


def test_who_vanishes_without_a_goodbye_disturbs_nobody(chat):
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        for _ in range(3):
            with RawClient(chat) as other:
                other.reset()
            ann.say("still there?")
            ann.hears("still there?", because="another client's cable is not her fault")
            bob.hears("still there?", because="another client's cable is not his fault")


@pytest.fixture
def closing(chat):
    """A client that has begun to close, but is too slow to finish; and Cara.

    She has joined right behind it. It reads nothing. More is waiting for it than the
    sockets' buffers hold (8 MB), so the server's answer to its close has to wait, too.
    """
    with RawClient(chat, receive_buffer=4096) as client, Client(chat, "Cara") as cara:
        for _ in range(20):
            for _ in range(100):
                cara.say("x" * LIMIT)
            cara.hears(*["x" * LIMIT] * 100, because="she said it")
        # A server that has dropped so slow a client already does well, too.
        with suppress(ConnectionError):
            client.send_frames((Opcode.CLOSE, b""))
        yield client, cara


def test_the_speaker_does_not_pay_for_a_client_that_is_closing(chat, closing):
    _, cara = closing
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        for text in ("one", "two", "three"):
            ann.say(text)
            ann.hears(text, because="she said it, and only another client is closing")
            bob.hears(text, because="Ann said it, and only another client is closing")
            cara.hears(
                text, because="Ann said it, and only Cara's neighbour is closing"
            )


def test_a_slow_client_can_close(chat, closing):
    client, _ = closing
    try:
        while client.socket.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        raise AssertionError(
            "A client read slowly, closed, and then read everything that was waiting. "
            "The server should end the connection, but keeps it: the transport waits "
            "for a producer. Call detachProducer in negotiationFinished."
        ) from None


@pytest.mark.parametrize(
    ("origin", "who"),
    [
        ("http://evil.example", "another site"),
        ("null", "a page without an origin"),
        ("{ours}.evil.example", "a site whose name begins like ours"),
        ("http://127.0.0.1:1", "another port of this machine"),
        ("http://127.0.0.1:8000", "a page that CHAT_ORIGINS does not name any more"),
        ("{ours}/", "what is no origin at all"),
        ("\xff\xfe", "bytes that are no text"),
    ],
    ids=["foreign", "null", "suffix", "other-port", "usual-port", "slash", "bytes"],
)
def test_a_foreign_origin_is_refused(chat, origin, who):
    origin = origin.format(ours=chat.origin)
    with Client(chat, "Ann") as ann:
        status = status_of(chat, handshake(chat, Origin=origin))
        assert status == 403, (
            f"A handshake from {who} (Origin: {origin!r}) should be refused (403), "
            f"or any site can listen in. The answer was {status}."
        )
        ann.say("hello")
        ann.hears("hello", because="a refused client is nothing to her")


def test_each_origin_in_the_list_is_let_in(chat):
    for origin in (chat.origin, chat.second_origin):
        status = status_of(chat, handshake(chat, Origin=origin))
        assert status == 101, (
            f"CHAT_ORIGINS is {chat.env['CHAT_ORIGINS']}. A page of {origin} should be "
            f"let in (101). The answer was {status}."
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"Connection": "keep-alive, Upgrade"},  # Firefox
        {"Connection": "upgrade", "Upgrade": "WebSocket"},
        {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"},
    ],
    ids=["firefox", "other-letters", "compression"],
)
def test_each_browser_is_let_in(chat, changes):
    status = status_of(chat, handshake(chat, **changes))
    assert status == 101, (
        f"Browsers shake hands in slightly different words. One says {changes}, and "
        f"should be let in (101). The answer was {status}."
    )


@contextmanager
def beside(chat, **env: str | None) -> Iterator[int]:
    """Run a second chat server of this folder, with `env`; gives its port."""
    [port] = free_ports(1)
    env = chat.twisted.env | {"CHAT_PORT": str(port)} | env
    env = {name: value for name, value in env.items() if value is not None}
    log = chat.workspace / "beside.log"
    server = Server(chat.twisted.name, chat.twisted.command, chat.folder, env, log)
    server.start(port)
    try:
        yield port
    finally:
        server.stop()


def test_the_pages_are_there_by_both_names_of_this_machine(chat):
    paths = ("/chats/", chat.rooms()[0])
    for name, path in product(("127.0.0.1", "localhost"), paths):
        status = chat.get(path, host=f"{name}:{chat.django_port}").status
        assert status == 200, (
            f"Who asks for http://{name}:{chat.django_port}{path} should be shown the "
            f"page (200): it is this machine by another name. The answer was {status}."
        )


@pytest.mark.stages(2, 10)
def test_without_a_list_the_usual_pages_are_let_in(chat):
    with beside(chat, CHAT_ORIGINS=None) as port:
        for origin in ("http://127.0.0.1:8000", "http://localhost:8000"):
            status = status_of(chat, handshake(chat, Origin=origin), port)
            assert status == 101, (
                f"Without CHAT_ORIGINS, a page of {origin} should be let in (101). The "
                f"answer was {status}."
            )
        status = status_of(chat, handshake(chat), port)
        assert status == 403, (
            "Without CHAT_ORIGINS, only pages of port 8000 should be let in. A page of "
            f"{chat.origin} was answered {status}."
        )


@pytest.mark.stages(2, 10)
def test_origins_may_be_typed_as_people_type(chat):
    typed = " http://Chat.example:80/ , HTTP://localhost:8123, http://[::1]:8000 "
    typed += ",http://192.168.0.80:80,https://10.0.0.34:443"
    pages = ("http://chat.example", "http://localhost:8123", "http://[::1]:8000")
    pages += ("http://192.168.0.80", "https://10.0.0.34")
    with beside(chat, CHAT_ORIGINS=typed) as port:
        for origin in pages:
            status = status_of(chat, handshake(chat, Origin=origin), port)
            assert status == 101, (
                f"Somebody sets CHAT_ORIGINS to {typed!r}. A browser sends {origin} "
                "for such a page: a blank, a capital, a slash at the end or the usual "
                f"port should shut nobody out. The answer was {status}."
            )
        for origin in ("http://192.168.0", "https://10.0.0.3", "https://10.0.0"):
            status = status_of(chat, handshake(chat, Origin=origin), port)
            assert status == 403, (
                f"CHAT_ORIGINS is {typed!r}, and a page of {origin} should be refused "
                f"(403). The answer was {status}."
            )


def test_what_people_say_is_not_in_the_log(chat):
    with Client(chat, "Ann") as ann:
        ann.say("between you and me")
        ann.hears("between you and me", because="she said it")
    assert "between you and me" not in chat.twisted.output(), (
        "What people say to each other is none of the log's business, and it stands "
        "there."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": None},
        {"Connection": "keep-alive"},
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Version": "12"},
        {"Sec_WebSocket_Extensions": "\xff"},
        {"Sec_WebSocket_Protocol": "\xff"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_half_a_handshake_is_refused(chat, changes):
    status = status_of(chat, handshake(chat, **changes))
    refused = status is not None and 400 <= status < 500
    # A server that offers none of these need not read what it is asked for.
    unread = {*changes} <= {"Sec_WebSocket_Extensions", "Sec_WebSocket_Protocol"}
    assert refused or (unread and status == 101), (
        f"A handshake with {changes} is the client's mistake and should be refused "
        f"(400 or its like). The answer was {status}."
    )


def test_a_handshake_that_never_ends_disturbs_nobody(chat):
    half = handshake(chat)[:40]
    address = ("127.0.0.1", chat.chat_port)
    with socket.create_connection(address) as slow, Client(chat, "Ann") as ann:
        slow.sendall(half)
        ann.say("hello")
        ann.hears("hello", because="another client's half a request is nothing to her")


def test_a_message_that_is_too_long_ends_only_its_speaker(chat):
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        ann.say("x" * LIMIT)
        bob.hears("x" * LIMIT, because=f"{LIMIT} characters are allowed")
        ann.say("x" * (LIMIT + 1))
        ann.is_closed_with(
            1009, because=f"a message of {LIMIT + 1} characters is too long"
        )
        bob.say("hello")
        bob.hears("hello", because="Ann's message was refused, and his was not")


def test_who_only_listens_stays_for_minutes(chat):
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        try:
            for seconds in range(10, 130, 10):
                chat.clock.pass_by(10)
                bob.say(f"after {seconds} s")
                listened = f"she is connected, and has listened for {seconds} s"
                ann.hears(f"after {seconds} s", because=listened)
        finally:
            chat.come_back()  # with the right clock


def test_length_is_counted_in_characters(chat):
    text = "\N{GRINNING FACE}" * LIMIT
    with Client(chat, "Ann") as ann:
        ann.say(text)
        ann.hears(text, because=f"{LIMIT} emoji are {LIMIT} characters")


def test_a_binary_message_ends_only_its_speaker(chat):
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        ann.say(b"\x00\x01")
        ann.is_closed_with(1003, because="a binary message is no chat")
        bob.say("hello")
        bob.hears("hello", because="Ann's message was refused, and his was not")


def test_bytes_that_are_no_text_end_only_their_speaker(chat):
    with RawClient(chat) as raw, Client(chat, "Bob") as bob:
        raw.send_frames((Opcode.TEXT, b"\xff\xfe"))
        what = "close with code 1007 when a text message is no UTF-8"
        raw.read_until((1007).to_bytes(2, "big"), what)
        bob.say("hello")
        bob.hears("hello", because="only the other client sent what is no UTF-8")


@pytest.mark.parametrize(
    ("bad", "code"),
    [(Opcode.BINARY, 1003), (Opcode.TEXT, 1009)],
    ids=["binary", "too-long"],
)
def test_who_was_refused_says_no_more(chat, bad, code):
    with RawClient(chat) as raw, Client(chat, "Bob") as bob:
        too_long = (bad, chat.saying("x" * (LIMIT + 1)).encode())
        more = (Opcode.TEXT, chat.saying("and another thing").encode())
        # All in one piece, so the rest is there before the server can close.
        raw.send_frames(too_long, too_long, more)
        raw.read_until(code.to_bytes(2, "big"), f"close with code {code}")
        bob.say("hello")
        bob.hears("hello", because="the server was closing on the other one already")


def test_a_pong_is_taken_without_a_word(chat):
    with RawClient(chat) as raw, Client(chat, "Bob") as bob:
        after = chat.saying("after the pong")
        raw.send_frames((Opcode.PONG, b""), (Opcode.TEXT, after.encode()))
        bob.hears("after the pong", because="a pong disturbs nobody")


def test_the_servers_listen_on_this_machine_only(chat):
    for server in (chat.django, chat.twisted):
        addresses = server.listens_on()
        assert addresses == {"127.0.0.1"}, (
            f"{server.name} should listen on 127.0.0.1 only, or anybody in the same "
            f"network can join. It listens on {addresses}."
        )
