"""What is measured beside the peers: each program, its load, and how it is run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tutorial.stages import ROOT

from .history import SIZES
from .servers import Failed, Server, running


@dataclass(frozen=True)
class Program:
    """One measurement: a load generator, its load, and what of its result is shown.

    `ratio` is the figure that is compared, with the `best` peer or the server `to`.
    """

    title: str
    module: str
    load: dict
    columns: tuple[str, ...]
    ratio: str
    to: str = "best peer"
    best: Callable = max


LONGPOLL = Program(
    "Long poll: one posts, all get it and wait again",
    "longpoll",
    {"clients": 100, "seconds": 2.0},
    ("rate", "last", "generator"),
    ratio="rate",
    to="stage3",
)
PROGRAMS = {
    "fanout": Program(
        "Fan-out: one speaks, all hear",
        "fanout",
        {"clients": 100, "in_flight": 10, "seconds": 2.0},
        ("rate", "generator"),
        ratio="rate",
    ),
    "memory": Program(
        "Memory when all have joined",
        "fanout",
        {"clients": 1000, "seconds": 0.0},
        ("memory",),
        ratio="memory",
        best=min,
    ),
    "longpoll": LONGPOLL,
    "parked": replace(
        LONGPOLL,
        title="Long poll with many who wait",
        load={"clients": 1000, "seconds": 2.0},
        ratio="last",
    ),
    "history": Program(
        "Price of one poll in µs against the length of the history",
        "history",
        {"messages": SIZES[-1]},
        (*[f"{size:,}" for size in SIZES], "growth"),
        ratio="longest",
        to="stage3",
    ),
}


def measure(program: Program, server: Server, load: dict) -> dict:
    """Let the load generator at `server`, each in a process of its own.

    Returns its result. Raises Failed, with what both wrote.
    """

    def generate(**where) -> dict:
        words = [f"benchmarks.{program.module}", json.dumps(load | where)]
        try:
            done = subprocess.run(
                [sys.executable, "-m", *words],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
                timeout=300,
            )
        except subprocess.SubprocessError as error:
            raise Failed(f"{error}\n{error.stderr}") from error
        return json.loads(done.stdout)

    if program.module == "history":
        return generate(folder=str(server.folder))
    with (
        tempfile.TemporaryDirectory() as workspace,
        running(server, Path(workspace)) as where,
    ):
        return generate(**where)
