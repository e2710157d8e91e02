"""What an engine that acknowledged something has kept of it, and what that costs.

It is told in several ways to keep it, and killed while it is spoken to. A killed
process loses what it had told nobody but itself. What the system was to write still is
written: a power cut is another thing, and is not tried here.
"""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType

from tutorial.run.engine import EngineError

from .engine import Engine, Wire

ROOM = 1
AT_ONCE = 100  # messages that are under way, where they are sent one behind the other
ALIVE = 1.0, 2.0  # seconds after which the engine is killed
TEXT = "." * 64


@dataclass(frozen=True)
class Way:
    """What an engine is told, whether it has a copy, and for how many is waited."""

    words: str
    keeps: str
    has_copy: bool = False
    waits: int = 0


WAYS = {
    "no": Way("appendonly no", "no"),
    "everysec": Way("appendfsync everysec", "everysec"),
    "always": Way("appendfsync always", "always"),
    "copy": Way("everysec, a replica takes over", "everysec", True),
    "wait": Way("everysec, a replica takes over, WAIT 1", "everysec", True, 1),
}


def scripts_of(folder: Path) -> ModuleType:
    """The scripts that a snapshot has its engine run."""
    file = folder / "twisted_chat" / "scripts.py"
    spec = importlib.util.spec_from_file_location("scripts_of_a_snapshot", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Room:
    """A room in an engine, to which a snapshot's own script appends."""

    engine: Engine
    wire: Wire
    scripts: ModuleType
    waits: int  # for so many copies

    def __post_init__(self):
        self.run = self.engine.now()
        self.keys = [f"chat:{{{ROOM}}}:room", f"chat:{{{ROOM}}}:log"]
        opened = self.wire.call(
            *("EVAL", self.scripts.OPEN, 2, *self.keys),
            *(self.run, 1, int(time.time() * 1000), 0, "0", 0),
        )
        self.epoch = opened[0]
        self.append = self.wire.call("SCRIPT", "LOAD", self.scripts.APPEND)

    def command(self, id: str) -> tuple:
        """What appends a message."""
        said = {"id": id, "text": TEXT, "author": {"id": 1, "name": "user1"}}
        return (
            *("EVALSHA", self.append, 3, *self.keys, f"chat:{{{ROOM}}}:said:{id}"),
            *(self.run, self.epoch, 86400, json.dumps(said)),
        )

    def add(self, ids: list[str]) -> None:
        """Append messages, and return when all of them are acknowledged.

        Raises OSError or EngineError when the engine is gone.
        """
        commands = [self.command(id) for id in ids]
        if self.waits:
            commands.append(("WAIT", self.waits, 5000))
        self.wire.send(commands)
        for _ in ids:
            self.wire.answer()
        if self.waits and self.wire.answer() < self.waits:
            raise ConnectionError("A copy did not answer.")


def ids(wire: Wire, log: str) -> set[str]:
    """Those of all messages that are in a stream."""
    entries = wire.call("XRANGE", log, "-", "+")
    words = [fields[1] for _, fields in entries if fields[0] == "said"]
    return {json.loads(each.partition(" ")[2])["id"] for each in words}


@contextmanager
def engines(way: str, folder: Path, program: Path | None) -> Iterator[list[Engine]]:
    """An engine that is told to keep things in this way, and its copy if it has one."""
    keeps = WAYS[way].keeps
    with ExitStack() as stack:
        first = stack.enter_context(Engine(folder / "first", keeps, program))
        found = [first]
        if WAYS[way].has_copy:
            copy = Engine(folder / "copy", keeps, program, copy_of=first)
            found.append(stack.enter_context(copy))
        yield found


def rate(room: Room, at_once: int, seconds: float, name: str) -> float:
    """How many messages are acknowledged in a second, with so many under way."""
    begun, done = time.perf_counter(), 0
    while (took := time.perf_counter() - begun) < seconds:
        room.add([f"{name}-{done + number}" for number in range(at_once)])
        done += at_once
    return done / took


def kill_while_it_appends(
    first: Engine, room: Room, at_once: int, after: float, name: str
) -> list[str]:
    """Append until the engine is killed. Returns the ids that it acknowledged."""
    acknowledged: list[str] = []
    killing = threading.Timer(after, first.kill)
    killing.start()
    with suppress(OSError, EngineError):
        while True:
            number = len(acknowledged)
            ids = [f"{name}-{number + each}" for each in range(at_once)]
            room.add(ids)
            acknowledged += ids
    killing.join()
    return acknowledged


def measure(
    way: str,
    folder: Path,
    snapshot: Path,
    rounds: int = 5,
    seconds: float = 2.0,
    program: Path | None = None,
) -> dict:
    """Try one of WAYS, each time with an engine in a folder of its own.

    Returns the rates "one" at a time and with "many" under way, per second; and how
    many of the messages that were acknowledged are "lost" when the engine has been
    killed, and started again; or when its copy has taken its place.
    """
    scripts, waits, lot = scripts_of(snapshot), WAYS[way].waits, Random(way)
    lost = acknowledged = 0
    with engines(way, folder / "rate", program) as found, Wire(found[0].url) as wire:
        room = Room(found[0], wire, scripts, waits)
        one = rate(room, 1, seconds, "one")
        many = rate(room, AT_ONCE, seconds, "many")
    for number in range(rounds):
        at_once = AT_ONCE if number % 2 else 1
        with engines(way, folder / f"round-{number}", program) as found:
            with Wire(found[0].url) as wire:
                room = Room(found[0], wire, scripts, waits)
                sure = kill_while_it_appends(
                    found[0], room, at_once, lot.uniform(*ALIVE), f"{number}"
                )
            if len(found) > 1:
                found[1].ask("REPLICAOF", "NO", "ONE")
            else:
                found[0].start()
            with Wire(found[-1].url) as wire:
                kept = ids(wire, room.keys[1])
        lost += len({*sure} - kept)
        acknowledged += len(sure)
    return {"one": one, "many": many, "lost": lost, "acknowledged": acknowledged}
