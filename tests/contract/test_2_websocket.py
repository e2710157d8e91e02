"""Stage 2: over a WebSocket, what one client says, every client hears."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import connect
from websockets.frames import Opcode

from tests.support.clients import (
    GREETING,
    Client,
    RawClient,
    answer_to,
    handshake,
)

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
    ],
    ids=["spaces", "markup", "scripts", "emoji", "null"],
)
def test_the_text_arrives_as_it_was_sent(chat, text):
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        ann.say(text)
        bob.hears(text, because="the server passes on text unchanged")


def test_fifty_clients_hear_all_messages_in_one_order(chat):
    clients, each = 50, 40

    async def everybody() -> list[list[str]]:
        async with AsyncExitStack() as stack:
            sockets = []
            for _ in range(clients):
                opening = connect(
                    chat.ws_url, origin=chat.origin, proxy=None, compression=None
                )
                socket = await stack.enter_async_context(opening)
                assert await socket.recv() == GREETING
                sockets.append(socket)

            async def speak(number: int) -> None:
                for count in range(each):
                    await sockets[number].send(f"{number}:{count}")

            async def listen(number: int) -> list[str]:
                return [await sockets[number].recv() for _ in range(clients * each)]

            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                for number in range(clients):
                    group.create_task(speak(number))
                tasks = [group.create_task(listen(n)) for n in range(clients)]
            return [task.result() for task in tasks]

    heard = asyncio.run(everybody())
    sent = {f"{number}:{count}" for number in range(clients) for count in range(each)}
    for number, messages in enumerate(heard):
        assert len(messages) == len(set(messages)), f"Client {number} heard some twice."
        assert set(messages) == sent, f"Client {number} did not hear everything."
        assert messages == heard[0], f"Clients 0 and {number} heard different orders."
    for number in range(clients):
        own = [text for text in heard[0] if text.startswith(f"{number}:")]
        assert own == [f"{number}:{count}" for count in range(each)], (
            f"What client {number} said came in another order than it was said."
        )


def test_a_client_that_leaves_is_forgotten(chat):
    clients, least = 2000, 1000  # least: bytes that one kept client must cost
    come_and_go(chat, 200)  # whatever is allocated once
    before = chat.twisted.memory()
    come_and_go(chat, clients)
    grown = chat.twisted.memory() - before
    assert grown < clients * least, (
        f"{clients} clients came and left, and the server grew by {grown / 1e6:.1f} MB:"
        " it keeps clients that have left. Take them off the list in connectionLost."
    )


def come_and_go(chat, count: int) -> None:
    """Let `count` clients join and leave, and return when the server has seen it."""
    for _ in range(count):
        with RawClient(chat) as client:
            client.send_frame(Opcode.CLOSE, b"")
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
    """A client that has begun to close, but is too slow to finish.

    It reads nothing. More is waiting for it than the sockets' buffers hold (8 MB),
    so the server's answer to its close has to wait as well.
    """
    with RawClient(chat, receive_buffer=4096) as client, Client(chat, "Cara") as cara:
        for _ in range(20):
            for _ in range(100):
                cara.say("x" * LIMIT)
            cara.hears(*["x" * LIMIT] * 100, because="she said it")
        client.send_frame(Opcode.CLOSE, b"")
        yield client


def test_the_speaker_does_not_pay_for_a_client_that_is_closing(chat, closing):
    with Client(chat, "Ann") as ann, Client(chat, "Bob") as bob:
        for text in ("one", "two", "three"):
            ann.say(text)
            ann.hears(text, because="she said it, and only another client is closing")
            bob.hears(text, because="Ann said it, and only another client is closing")


def test_a_slow_client_can_close(chat, closing):
    try:
        while closing.socket.recv(65536):
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
        ("{ours}/", "what is no origin at all"),
        ("\xff\xfe", "bytes that are no text"),
    ],
    ids=["foreign", "null", "suffix", "other-port", "slash", "bytes"],
)
def test_a_foreign_origin_is_refused(chat, origin, who):
    origin = origin.format(ours=chat.origin)
    with Client(chat, "Ann") as ann:
        status, _ = answer_to(chat, handshake(chat, Origin=origin))
        assert status == 403, (
            f"A handshake from {who} (Origin: {origin!r}) should be refused (403), "
            f"or any site can listen in. The answer was {status}."
        )
        ann.say("hello")
        ann.hears("hello", because="a refused client is nothing to her")


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
    status, _ = answer_to(chat, handshake(chat, **changes))
    assert 400 <= status < 500, (
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
        raw.send_frame(Opcode.TEXT, b"\xff\xfe")
        raw.read_until((1007).to_bytes(2, "big"))
        bob.say("hello")
        bob.hears("hello", because="only the other client sent what is no UTF-8")
