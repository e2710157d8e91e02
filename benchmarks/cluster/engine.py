"""An engine for benchmarks, which is spoken to with many commands under way."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from tests.support import engine
from tutorial.run.engine import (
    EngineError,
    Reply,
    about,
    connect,
    find_binary,
    look_at,
    read_reply,
    read_url,
    why_no_binary,
    written,
)

from ..servers import Failed

ANSWER_SECONDS = 10.0
COPIED_SECONDS = 30.0  # until a copy has all of what it copies


class Wire:
    """A connection that blocks. Use it in a `with` block.

    What it does raises OSError or EngineError when the engine is gone, or does not
    answer within ANSWER_SECONDS, and Refused for an error that it answers.
    """

    def __init__(self, url: str):
        self.socket = connect(read_url(url), ANSWER_SECONDS)
        self.answers = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc) -> None:
        self.answers.close()
        self.socket.close()

    def call(self, *words: str | int) -> Reply:
        """Have a command done. Returns its answer."""
        self.send([words])
        return self.answer()

    def send(self, commands: Iterable[tuple]) -> None:
        """Send commands, and wait for nothing."""
        self.socket.sendall(b"".join(map(written, commands)))

    def answer(self) -> Reply:
        """The answer to the first command that has none yet."""
        return read_reply(self.answers)


class Engine(engine.Engine):
    """An engine with a folder of its own. Use it in a `with` block.

    `keeps` says when what it is told is on the disk: "no" for never, "everysec" or
    "always". With `copy_of` it is a replica of another one. Raises Failed.
    """

    def __init__(
        self,
        folder: Path,
        keeps: str = "everysec",
        program: Path | None = None,
        copy_of: Engine | None = None,
    ):
        binary = look_at(program) if program else find_binary()
        if binary is None:
            raise Failed(f"{program} is no engine." if program else why_no_binary())
        settings = {"appendonly": "no" if keeps == "no" else "yes"}
        if keeps != "no":
            settings["appendfsync"] = keeps
        if copy_of:
            settings["replicaof"] = f"127.0.0.1 {copy_of.port}"
        super().__init__(folder, **settings)
        self.binary, self.copy_of = binary, copy_of

    def start(self) -> None:
        """Start it, and return when it answers, and has all of what it copies."""
        try:
            super().start()
        except EngineError as error:
            raise Failed(f"{error}") from error
        deadline = time.monotonic() + COPIED_SECONDS
        while self.copy_of and "master_link_status:up" not in self.ask("INFO"):
            if time.monotonic() > deadline:
                raise Failed("An engine does not copy another one.")
            time.sleep(0.01)  # how often to look

    def cut_readers(self) -> int:
        """Kill the connections that read a stream. Returns how many there were."""
        cut = 0
        for line in self.ask("CLIENT", "LIST").splitlines():
            client = dict(each.partition("=")[::2] for each in line.split())
            # What hears of messages by Pub/Sub is a reader, too.
            if client.get("cmd", "").startswith(("xread", "subscribe")):
                cut += self.ask("CLIENT", "KILL", "ID", client["id"])
        return cut

    def now(self) -> str:
        """Which start of it this is: each has another name."""
        return about(self.url)["run_id"]
