"""The designs: how a server takes a message in, and how it hears of all others.

Each has a writer and a reader, which every server runs. Both are generators, and each
`yield` is one command to the engine; its value is the answer. Between two commands, and
nowhere else, another server's command may come.

A writer acknowledges a message when it is where all will find it. A reader tells the
listener of its server what it finds. Each design but ours is wrong in one thing only.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from .engine import Command, Script


class Cut(Exception):
    """The connection broke; the reader has a new one by now."""


@dataclass(frozen=True)
class Message:
    """What a client says.  Said again, it has the same id."""

    id: str
    text: str


@dataclass
class Server:
    """One server: its clock, whom it acknowledged to, and what its listener was told.

    A listener is told (text, number), where the design has numbers.
    """

    name: str
    clock: int
    acknowledged: list[Message] = field(default_factory=list)
    told: list[tuple[str, int | None]] = field(default_factory=list)

    def acknowledge(self, message: Message) -> None:
        self.acknowledged.append(message)

    def tell(self, text: str, number: int | None = None) -> None:
        self.told.append((text, number))


Steps = Generator[Command, Any, None]


def entries(reply: list) -> Iterator[tuple[str, dict[str, str]]]:
    """What XRANGE answers: the id and the fields of each entry."""
    for entry_id, fields in reply:
        yield entry_id, dict(zip(fields[::2], fields[1::2], strict=True))


def pairs(reply: list[str]) -> Iterator[tuple[str, str]]:
    """What ZRANGEBYSCORE answers: each member and its score."""
    return zip(reply[::2], reply[1::2], strict=True)


# What several designs have in common: right in itself.


def append(server: Server, message: Message) -> Steps:
    yield "XADD", "log", "*", "text", message.text
    server.acknowledge(message)


def go_on(server: Server) -> Steps:
    """Ask a stream for what comes after the last id that was seen."""
    last = "0-0"
    while True:
        [[_, found]] = yield "XREAD", "BLOCK", "0", "STREAMS", "log", last
        for entry_id, fields in entries(found):
            server.tell(fields["text"])
            last = entry_id


def by_score(server: Server) -> Steps:
    """Ask a sorted set for what has a higher score than the last one that was seen."""
    last = "0"
    while True:
        found = yield "ZRANGEBYSCORE", "log", f"({last}", "+inf", "WITHSCORES"
        for text, score in pairs(found):
            server.tell(text)
            last = score


# The server's clock is the score.


def clock_writer(server: Server, message: Message) -> Steps:
    yield "ZADD", "log", f"{server.clock}", message.text
    server.acknowledge(message)


# The number is taken and used in one step. But the text is the member, and a set has
# each member once.


def _add_with_number(call, keys, args):
    number = call("INCR", keys[1])
    call("ZADD", keys[0], f"{number}", args[0])
    return number


ADD_WITH_NUMBER = Script(
    "add_with_number",
    """
    local number = redis.call('INCR', KEYS[2])
    redis.call('ZADD', KEYS[1], number, ARGV[1])
    return number
    """,
    _add_with_number,
)


def member_writer(server: Server, message: Message) -> Steps:
    yield "EVAL", ADD_WITH_NUMBER, "2", "log", "seq", message.text
    server.acknowledge(message)


# As channels_redis has it: a sorted set for each server, to all of which the sender
# adds in one step, with its own clock. (There, random bytes make each member another.)


def _add_to_all(call, keys, args):
    for key in keys:
        call("ZADD", key, args[0], args[1])


ADD_TO_ALL = Script(
    "add_to_all",
    """
    for _, key in ipairs(KEYS) do
        redis.call('ZADD', key, ARGV[1], ARGV[2])
    end
    """,
    _add_to_all,
)


def sender_time_writer(server: Server, message: Message) -> Steps:
    time = f"{server.clock}"
    yield "EVAL", ADD_TO_ALL, "2", "inbox:1", "inbox:2", time, message.text
    server.acknowledge(message)


def inbox_reader(server: Server) -> Steps:
    while True:
        _, text, _ = yield "BZPOPMIN", f"inbox:{server.name}", "0"
        server.tell(text)


# A perfect counter, and then a second command.


def incr_zadd_writer(server: Server, message: Message) -> Steps:
    number = yield "INCR", "seq"
    yield "ZADD", "log", f"{number}", message.text
    server.acknowledge(message)


def incr_xadd_writer(server: Server, message: Message) -> Steps:
    number = yield "INCR", "seq"
    yield "XADD", "log", "*", "seq", f"{number}", "text", message.text
    server.acknowledge(message)


def incr_xadd_reader(server: Server) -> Steps:
    """Miss nothing of the stream; but the listener's cursor is the number."""
    last, cursor = "0-0", 0
    while True:
        [[_, found]] = yield "XREAD", "BLOCK", "0", "STREAMS", "log", last
        for entry_id, fields in entries(found):
            last = entry_id
            if int(fields["seq"]) > cursor:
                cursor = int(fields["seq"])
                server.tell(fields["text"], cursor)


def patient_reader(server: Server) -> Steps:
    """Wait for each number, whatever is there beyond it."""
    number = 1
    while True:
        [text, _] = yield "ZRANGEBYSCORE", "log", f"{number}", f"{number}", "WITHSCORES"
        server.tell(text, number)
        number += 1


# Pub/Sub brings the data. One script appends and publishes, so that much is right.


def _append_and_publish(call, keys, args):
    entry_id = call("XADD", keys[0], "*", "text", args[0])
    call("PUBLISH", "room", f"{entry_id} {args[0]}")
    return entry_id


APPEND_AND_PUBLISH = Script(
    "append_and_publish",
    """
    local id = redis.call('XADD', KEYS[1], '*', 'text', ARGV[1])
    redis.call('PUBLISH', 'room', id .. ' ' .. ARGV[1])
    return id
    """,
    _append_and_publish,
)


def publishing_writer(server: Server, message: Message) -> Steps:
    yield "EVAL", APPEND_AND_PUBLISH, "1", "log", message.text
    server.acknowledge(message)


def pushed_to(server: Server, seen: set[str]) -> Steps:
    """Tell what is pushed, but for what was seen."""
    while True:
        for pushed in (yield ("LISTEN",)):
            entry_id, _, text = pushed.partition(" ")
            if entry_id not in seen:
                server.tell(text)


def read_subscribe_reader(server: Server) -> Steps:
    for _, fields in entries((yield "XRANGE", "log", "-", "+")):
        server.tell(fields["text"])
    yield "SUBSCRIBE", "room"
    yield from pushed_to(server, set())


def subscribe_read_reader(server: Server) -> Steps:
    yield "SUBSCRIBE", "room"
    for _, fields in entries((yield "XRANGE", "log", "-", "+")):
        server.tell(fields["text"])
    yield from pushed_to(server, set())


def pubsub_reader(server: Server) -> Steps:
    """Subscribe, then read, and drop what came twice; subscribe again after a break."""
    seen = None
    while True:
        try:
            yield "SUBSCRIBE", "room"
            if seen is None:
                found = dict(entries((yield "XRANGE", "log", "-", "+")))
                seen = set(found)
                for fields in found.values():
                    server.tell(fields["text"])
            yield from pushed_to(server, seen)
        except Cut:
            continue


# `$` is whatever is the newest when it is asked.


def dollar_reader(server: Server) -> Steps:
    last = "0-0"
    while True:
        [[_, found]] = yield "XREAD", "BLOCK", "0", "STREAMS", "log", last
        for _, fields in entries(found):
            server.tell(fields["text"])
        last = "$"


# A message that is said again has the same id. Look whether it is there, then append.


def check_append_writer(server: Server, message: Message) -> Steps:
    known = yield "GET", f"id:{message.id}"
    if not known:
        yield "XADD", "log", "*", "text", message.text
        yield "SET", f"id:{message.id}", "known"
    server.acknowledge(message)


def claim_append_writer(server: Server, message: Message) -> Steps:
    """Who sets the id is the one to append, and there is but one."""
    if (yield "SET", f"id:{message.id}", "known", "NX"):
        yield "XADD", "log", "*", "text", message.text
    server.acknowledge(message)


# Ours: the id is looked up, the number taken and the message appended in one step.


def _append_once(call, keys, args):
    known = call("GET", keys[2])
    if known:
        return int(known)
    number = call("INCR", keys[1])
    call("XADD", keys[0], f"1-{number}", "text", args[0])
    call("SET", keys[2], f"{number}")
    return number


APPEND_ONCE = Script(
    "append_once",
    """
    local known = redis.call('GET', KEYS[3])
    if known then
        return tonumber(known)
    end
    local number = redis.call('INCR', KEYS[2])
    redis.call('XADD', KEYS[1], '1-' .. number, 'text', ARGV[1])
    redis.call('SET', KEYS[3], number)
    return number
    """,
    _append_once,
)


def our_writer(server: Server, message: Message) -> Steps:
    keys = "log", "seq", f"id:{message.id}"
    yield "EVAL", APPEND_ONCE, "3", *keys, message.text
    server.acknowledge(message)


def our_reader(server: Server) -> Steps:
    """Go on from the last id that was seen, on whichever connection."""
    last = "0-0"
    while True:
        try:
            [[_, found]] = yield "XREAD", "BLOCK", "0", "STREAMS", "log", last
        except Cut:
            continue
        for entry_id, fields in entries(found):
            server.tell(fields["text"], int(entry_id.partition("-")[2]))
            last = entry_id


@dataclass(frozen=True)
class Case:
    """What happens to the two servers.

    `says` has what a client says to server 1, and what one says to server 2.  `event`
    is X1 where server 1 dies at some time, and C2 where the connection of server 2's
    reader breaks.  `fast` is what the clock of server 1 reads, `slow` that of server 2.
    """

    id: str
    title: str
    says: tuple[tuple[Message, ...], tuple[Message, ...]]
    event: str = ""
    fast: int = 15
    slow: int = 10


M1, M2, M3, M4 = (Message(f"c{n}", f"m{n}") for n in range(1, 5))
YES, YES_AS_WELL = Message("c1", "yes"), Message("c2", "yes")

CASES = {
    case.id: case
    for case in [
        Case("two", "two clients, a message each", ((M1,), (M2,))),
        Case("alike", "two clients, who say the same word", ((YES,), (YES_AS_WELL,))),
        Case("again", "a client hears nothing, and tries server 2", ((M1,), (M1,))),
        Case("dies", "as two; server 1 dies at some time", ((M1,), (M2,)), "X1"),
        Case("again-dies", "as again; server 1 dies", ((M1,), (M1,)), "X1"),
        Case("cut", "as two; the connection of reader 2 breaks", ((M1,), (M2,)), "C2"),
        Case("more", "two clients, two messages each", ((M1, M3), (M2, M4))),
    ]
}


@dataclass(frozen=True)
class Design:
    """`id` is permanent.  `cases` are those in which it is tried."""

    id: str
    title: str
    writer: Callable[[Server, Message], Steps]
    reader: Callable[[Server], Steps]
    cases: tuple[str, ...] = ("two",)
    numbered: bool = False


DESIGNS = {
    design.id: design
    for design in [
        Design("clock", "the server's clock is the score", clock_writer, by_score),
        Design(
            "sender-time",
            "an inbox each, by the sender's clock",
            sender_time_writer,
            inbox_reader,
        ),
        Design(
            "member",
            "the text is a sorted set's member",
            member_writer,
            by_score,
            ("alike",),
        ),
        Design("incr-zadd", "INCR, then ZADD", incr_zadd_writer, by_score),
        Design(
            "incr-xadd",
            "INCR, then XADD; cursors are numbers",
            incr_xadd_writer,
            incr_xadd_reader,
            numbered=True,
        ),
        Design(
            "incr-wait",
            "INCR, then ZADD; no number is skipped",
            incr_zadd_writer,
            patient_reader,
            ("dies",),
            numbered=True,
        ),
        Design(
            "read-subscribe",
            "the log is read, then Pub/Sub",
            publishing_writer,
            read_subscribe_reader,
        ),
        Design(
            "subscribe-read",
            "Pub/Sub, then the log is read",
            publishing_writer,
            subscribe_read_reader,
        ),
        Design(
            "pubsub",
            "the same, and drops what comes twice",
            publishing_writer,
            pubsub_reader,
            ("cut",),
        ),
        Design("dollar", "XREAD with $ in a loop", append, dollar_reader),
        Design(
            "check-append",
            "is the id there? then XADD",
            check_append_writer,
            go_on,
            ("again",),
        ),
        Design(
            "claim-append",
            "SET NX of the id, then XADD",
            claim_append_writer,
            go_on,
            ("again-dies",),
        ),
        Design(
            "ours",
            "one script; from the last id on",
            our_writer,
            our_reader,
            tuple(CASES),
            numbered=True,
        ),
    ]
}
