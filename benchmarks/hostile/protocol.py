"""What RFC 6455 asks of a server, tried through all limits.

Each case is bytes behind a good token, and what has to come back: the texts of messages
that were said and are told, pongs, and the code with which the server closes. They are
of the kinds that Autobahn's test suite has (its numbers are in the names), in our own
words and for a server that is no echo: a text is a message, and is told to who said it.
(The suite itself, autobahntestsuite 25.10.1, does not start on Python 3: it imports its
own modules as Python 2 did.)
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from .line import BINARY, CLOSE, PING, PONG, TEXT, frame, frames, open_socket
from .site import Where

SECONDS = 10.0  # that an answer may take
ROOM, USER = 850, 150
A_USER_MAY = 10  # cases for each user: less than the messages that one may say


@dataclass(frozen=True)
class Case:
    """`parts` are sent each in a segment of its own.

    `told` are texts, `pongs` payloads; `code` is that of the close, None for a socket
    that has to be open. Where `codes` has several, each of them is right.
    """

    name: str
    parts: list[bytes]
    told: tuple[str, ...] = ()
    pongs: tuple[bytes, ...] = ()
    code: int | tuple[int, ...] | None = None


def said(text: str) -> bytes:
    """The payload by which a text is said; never twice the same."""
    id = f"{random.randrange(1 << 60)}"
    return json.dumps({"id": id, "text": text}, ensure_ascii=False).encode()


def text(said_text: str, **options) -> bytes:
    """The frame of a message."""
    return frame(TEXT, said(said_text), **options)


def fragments(payload: bytes, sizes: list[int], between: bytes = b"") -> list[bytes]:
    """A text message in fragments of these sizes and the rest, and frames between."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(payload[at : at + size])
        at += size
    pieces.append(payload[at:])
    found = []
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        found.append(frame(TEXT if number == 0 else 0, piece, fin=last))
        if not last and between:
            found.append(between)
    return found


def in_fragments(payload: bytes, size: int) -> list[bytes]:
    """A text message in fragments of this size."""
    return fragments(payload, [size] * ((len(payload) - 1) // size))


def segments(data: bytes, size: int) -> list[bytes]:
    """The same bytes in pieces."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def wide(payload: bytes) -> bytes:
    """A text frame that writes its length in eight bytes."""
    return b"\x81\xff" + len(payload).to_bytes(8, "big") + b"\0\0\0\0" + payload


def masked(payload: bytes, mask: bytes) -> bytes:
    """A short text frame with this mask."""
    mixed = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    return bytes([0x81, 0x80 | len(payload)]) + mask + mixed


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def bad_utf8() -> Iterator[tuple[str, bytes]]:
    """Kinds of bytes that are no UTF-8, as RFC 3629 lists them."""
    yield "a continuation byte alone", b"\x80"
    yield "a beginning without its rest", b"\xce"
    yield "an overlong slash", b"\xc0\xaf"
    yield "an overlong zero", b"\xe0\x80\x80"
    yield "half of a pair", b"\xed\xa0\x80"
    yield "behind the last character", b"\xf4\x90\x80\x80"
    yield "five bytes", b"\xf8\x88\x80\x80\x80"
    yield "a byte that is never there", b"\xff"


def cases() -> list[Case]:
    """All of them, made anew: what is said has ids of its own."""
    long, most = "é" * 4096, "\U0001f600" * 4096
    return [
        Case("1.1 a short text", [text("hello")], told=("hello",)),
        Case("1.1 a text of 125 bytes", [text("x" * 80)], told=("x" * 80,)),
        Case("1.1 a length in two bytes", [text("y" * 300)], told=("y" * 300,)),
        Case("1.1 the longest text", [text(most)], told=(most,)),
        Case(
            "1.1 a length in eight bytes, though it is short",
            [wide(said("wide"))],
            code=1002,
        ),
        Case(
            "1.1 byte by byte",
            [bytes([byte]) for byte in text("in bytes")],
            told=("in bytes",),
        ),
        Case("1.2 binary", [frame(BINARY, b"x")], code=1003),
        Case("1.2 an empty binary", [frame(BINARY)], code=1003),
        Case("2.1 an empty ping", [frame(PING)], pongs=(b"",)),
        Case("2.2 a ping with a payload", [frame(PING, b"p")], pongs=(b"p",)),
        Case("2.3 a ping of bytes", [frame(PING, b"\0\xff")], pongs=(b"\0\xff",)),
        Case("2.4 the longest ping", [frame(PING, b"p" * 125)], pongs=(b"p" * 125,)),
        Case("2.5 a ping that is too long", [frame(PING, b"p" * 126)], code=1002),
        Case(
            "2.6 a ping byte by byte",
            [bytes([byte]) for byte in frame(PING, b"slow")],
            pongs=(b"slow",),
        ),
        Case("2.7 a pong that nobody wants", [frame(PONG), text("on")], told=("on",)),
        Case(
            "2.8 a pong with a payload", [frame(PONG, b"x"), text("on")], told=("on",)
        ),
        Case(
            "2.9 a pong, and a ping",
            [frame(PONG, b"x") + frame(PING, b"y")],
            pongs=(b"y",),
        ),
        Case(
            "2.10 ten pings at once",
            [b"".join(frame(PING, b"%d" % n) for n in range(10))],
            pongs=tuple(b"%d" % n for n in range(10)),
        ),
        Case(
            "2.11 ten pings byte by byte",
            [bytes([b]) for n in range(10) for b in frame(PING, b"%d" % n)],
            pongs=tuple(b"%d" % n for n in range(10)),
        ),
        *[
            Case(f"3 reserved bits {bits}", [text("x", reserved=bits)], code=1002)
            for bits in range(1, 8)
        ],
        Case(
            "3 reserved bits behind a text",
            [text("before") + text("x", reserved=4)],
            code=1002,
        ),
        Case("3 a ping with a reserved bit", [frame(PING, reserved=2)], code=1002),
        *[
            Case(f"4 opcode {opcode}", [frame(opcode, b"x")], code=1002)
            for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        ],
        Case("5.1 a ping in fragments", [frame(PING, fin=False)], code=1002),
        Case("5.2 a pong in fragments", [frame(PONG, fin=False)], code=1002),
        Case("5.3 two fragments", fragments(said("two"), [5]), told=("two",)),
        Case(
            "5.4 two fragments at once",
            [b"".join(fragments(said("two"), [5]))],
            told=("two",),
        ),
        Case(
            "5.5 fragments byte by byte",
            [bytes([b]) for piece in fragments(said("two"), [5]) for b in piece],
            told=("two",),
        ),
        Case(
            "5.6 a ping between fragments",
            fragments(said("between"), [5], frame(PING, b"!")),
            told=("between",),
            pongs=(b"!",),
        ),
        Case(
            "5.8 pings between many fragments",
            fragments(said("x" * 100), [9] * 10, frame(PING, b"!")),
            told=("x" * 100,),
            pongs=(b"!",) * 10,
        ),
        Case("5.9 a continuation of nothing", [frame(0, b"x")], code=1002),
        Case("5.10 one that does not end", [frame(0, b"x", fin=False)], code=1002),
        Case(
            "5.15 a continuation behind a message",
            [*fragments(said("done"), [3]), frame(0, b"x")],
            code=1002,
        ),
        Case(
            "5.18 a text in a text",
            [frame(TEXT, b"a", fin=False), frame(TEXT, b"b")],
            code=1002,
        ),
        Case(
            "5.19 fragments, pongs and pings between them",
            fragments(said("z" * 60), [9] * 5, frame(PONG) + frame(PING, b"?")),
            told=("z" * 60,),
            pongs=(b"?",) * 5,
        ),
        Case(
            "6.1 empty fragments around a text",
            fragments(said("inside"), [0, 7, 0]),
            told=("inside",),
        ),
        Case(
            "6.2 letters in UTF-8",
            [text("κόσμε ß 語 \U0001f600")],
            told=("κόσμε ß 語 \U0001f600",),
        ),
        Case(
            "6.2 a letter in two fragments",
            fragments(said("κόσμε"), [len(said("")) - 2 + 1]),
            told=("κόσμε",),
        ),
        Case(
            "6.2 each byte a fragment",
            in_fragments(said("ö語"), 1),
            told=("ö語",),
        ),
        *[
            Case(f"6.3 {what}", [frame(TEXT, b'{"id": "' + b + b'"}')], code=1007)
            for what, b in bad_utf8()
        ],
        Case(
            "6.4 no UTF-8, in the second fragment",
            [frame(TEXT, b'{"id": "', fin=False), frame(0, b"\xff", fin=False)],
            code=1007,
        ),
        Case(
            "6.4 no UTF-8, with the end of a letter missing",
            [frame(TEXT, b'{"id": "\xce', fin=False), frame(0, b'"}')],
            code=1007,
        ),
        Case("7.1 a close, and a text behind it", [close(1000) + text("x")], code=1000),
        Case(
            "7.1 a close, and a ping behind it", [close(1000), frame(PING)], code=1000
        ),
        Case("7.1 two closes", [close(1000), close(1000)], code=1000),
        Case(
            "7.1 a close between fragments",
            [frame(TEXT, b"a", fin=False), close(1000)],
            code=1000,
        ),
        Case("7.3 a close with no code", [close()], code=(1000, 1005)),
        Case("7.3 a close of one byte", [frame(CLOSE, b"\3")], code=1002),
        Case("7.3 a close with a reason", [close(1000, b"bye")], code=1000),
        Case("7.3 the longest reason", [close(1000, b"b" * 123)], code=1000),
        Case(
            "7.3 a reason that is too long",
            [frame(CLOSE, b"\3\xe8" + b"b" * 124)],
            code=1002,
        ),
        Case("7.5 a reason that is no UTF-8", [close(1000, b"\xff")], code=1007),
        *[
            Case(f"7.7 a close with {code}", [close(code)], code=code)
            for code in (
                1000,
                1001,
                1002,
                1003,
                1007,
                1008,
                1009,
                1010,
                1011,
                3000,
                4999,
            )
        ],
        *[
            Case(f"7.9 a close with {code}", [close(code)], code=1002)
            for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000)
        ],
        Case("9 4,096 letters of two bytes", [text(long)], told=(long,)),
        *[
            Case(
                f"9 the longest text in fragments of {size:,} bytes",
                in_fragments(said(most), size),
                told=(most,),
            )
            for size in (1_000, 4_000, 16_000)
        ],
        *[
            Case(
                f"9 the longest text in segments of {size:,} bytes",
                segments(text(most), size),
                told=(most,),
            )
            for size in (100, 1_000, 4_000)
        ],
        Case("10 no mask", [text("x", masked=False)], code=1002),
        Case(
            "10 another mask",
            [masked(said("masked"), b"\1\2\xff\0")],
            told=("masked",),
        ),
        Case("ours: 20 frames and more", [frame(PING)] * 50, pongs=(b"",) * 50),
        Case(
            "ours: a message that is too long", [frame(TEXT, claims=65_537)], code=1009
        ),
        Case(
            "ours: too long in fragments",
            [frame(TEXT, b"x" * 60_000, fin=False), frame(0, b"x" * 6_000)],
            code=1009,
        ),
    ]


def run(where: Where, case: Case, user: int) -> str:
    """Try one case. Returns in words what is wrong, and nothing if all is right."""
    told, pongs, code, came = [], [], None, b""
    try:
        connection = open_socket(where, ROOM, user)
    except OSError as error:
        return f"was not let in: {error}"
    wanted = case.code if isinstance(case.code, tuple) else (case.code,)
    with connection:
        connection.settimeout(0.05)
        deadline = time.monotonic() + SECONDS

        def look() -> bool:
            nonlocal came, code
            try:
                data = connection.recv(1 << 18)
            except TimeoutError:
                return True
            except OSError:
                return False
            came += data
            told.clear(), pongs.clear()
            for opcode, payload, _ in frames(came):
                if opcode == CLOSE:
                    code = int.from_bytes(payload[:2], "big") if payload else 1005
                elif opcode == PONG:
                    pongs.append(payload)
                elif opcode == TEXT:
                    batch = json.loads(payload)
                    texts = [message["text"] for message in batch.get("data", [])]
                    # In the room, others have spoken before.
                    told.extend(text for text in texts if text in case.told)
            return bool(data)

        def is_done() -> bool:
            enough = len(told) >= len(case.told) and len(pongs) >= len(case.pongs)
            return enough and (case.code is None or code is not None)

        for part in case.parts:
            with suppress(OSError):
                connection.setblocking(True)
                connection.sendall(part)
                connection.settimeout(0.05)
            if len(case.parts) > 1:
                # A segment of its own, as far as we can see to it.
                time.sleep(0.0005)
        while not is_done() and time.monotonic() < deadline and look():
            pass
        if case.code is None and code is None:
            # Is it open? A ping of our own is answered.
            with suppress(OSError):
                connection.sendall(frame(PING, b"open?"))
            while b"open?" not in pongs and time.monotonic() < deadline and look():
                pass
            if b"open?" not in pongs:
                return f"should be open, and is not: {came[-100:]!r}"
            pongs.remove(b"open?")
    if tuple(told) != case.told:
        return f"should be told {shown(case.told)}, and was told {shown(told)}"
    if tuple(pongs) != case.pongs:
        return f"should have the pongs {case.pongs}, and had {pongs}"
    if code not in wanted:
        return f"should be closed with {case.code}, and was with {code}"
    return ""


def shown(texts) -> str:
    """Texts as they fit into a sentence."""
    return f"{[text if len(text) < 30 else f'{len(text)} letters' for text in texts]}"


def try_all(where: Where, names: str = "") -> dict:
    """Try all cases, or those with `names` in their name.

    Returns how many "passed" "of" how many, and what "failed".
    """
    failed, chosen = {}, [case for case in cases() if names in case.name]
    for number, case in enumerate(chosen):
        # Each user may say so much only, and each address knock so often.
        user = USER + number // A_USER_MAY
        if problem := run(where.of(5000 + number // 50), case, user):
            failed[case.name] = problem
    return {"passed": len(chosen) - len(failed), "of": len(chosen), "failed": failed}
