"""The servers that are measured: how each one starts, and how it is ended again."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tutorial.processes import end, no_pidfile
from tutorial.stages import copy_stage, find_stage, load_snapshots

FIRST_WITH_HISTORY = 8  # of the stages and exercises: 3_history
FIRST_WITH_NAMES = 10  # 6_names
AUTHOR = "Speaker"  # who says all there is, where messages have authors
# Done to exercise 2: it writes to the kernel at once, where nothing waits.
PAST_THE_BUFFER = Path(__file__).parent / "past_the_buffer.patch"
# All who are here come from one address, and many or all of them are one user.
NO_LIMITS = {
    **dict.fromkeys(("CHAT_MESSAGES", "CHAT_KNOCKS", "CHAT_ASKS"), "1000000/1"),
    **dict.fromkeys(("CHAT_MOST_PER_USER", "CHAT_MOST_PER_ADDRESS"), "10000"),
}
START_SECONDS = 20.0
PEERS = {  # name -> the libraries it needs, and the load generators it bears
    "aiohttp": (["aiohttp"], ["fanout", "longpoll"]),
    "websockets": (["websockets"], ["fanout"]),
    "tornado": (["tornado"], ["fanout", "longpoll"]),
    "channels": (["channels", "daphne"], ["fanout"]),
}


class Failed(Exception):
    """A server or a load generator did not do its work; says what it wrote."""


@dataclass(frozen=True)
class Server:
    """A server under test: its folder, and the command that starts it in a copy.

    A peer `needs` libraries of its own; a stage needs none. A `patch` is done to the
    copy first.
    """

    name: str
    folder: Path
    command: list[str]
    bears: list[str]
    needs: list[str] = field(default_factory=list)
    history: bool = False  # Is what it tells numbered, and in JSON?
    names: bool = False  # Has each message an author, and a time?
    patch: Path | None = None

    @property
    def is_installed(self) -> bool:
        """Are its libraries there?"""
        return is_installed(*self.needs)


def is_installed(*libraries: str) -> bool:
    """Can all of these be imported?"""
    return all(importlib.util.find_spec(library) for library in libraries)


def servers() -> list[Server]:
    """Every stage and exercise that has a chat server, and every peer."""
    # As the chapters start it, not as `python -m twisted`, which differs.
    twistd = Path(sys.executable).with_name(
        "twistd.exe" if os.name == "nt" else "twistd"
    )
    command = [str(twistd), "-n", *no_pidfile(), "-y", "chatserver.py"]
    stages = [
        Server(
            stage.id if stage.is_exercise else stage.id.partition("_")[0],
            stage.folder,
            command,
            ["fanout"]
            + ["longpoll"] * (stage.number > 2)
            + ["history"] * (stage.number > 2 and not stage.is_exercise),
            history=stage.number >= FIRST_WITH_HISTORY,
            names=stage.number >= FIRST_WITH_NAMES,
        )
        for stage in load_snapshots()
        if (stage.folder / "chatserver.py").exists()
    ]
    past_the_buffer = Server(
        "past_the_buffer",
        find_stage("2_no_delays").folder,
        command,
        ["fanout"],
        patch=PAST_THE_BUFFER,
    )
    folder = Path(__file__).parent / "peers"
    return [*stages, past_the_buffer] + [
        Server(name, folder, [sys.executable, f"{name}_chat.py"], bears, needs)
        for name, (needs, bears) in PEERS.items()
    ]


@contextmanager
def running(server: Server, workspace: Path, **settings: str) -> Iterator[dict]:
    """Run a copy of `server` in `workspace`; gives what a load generator has to know.

    That is its "port", its process id ("pid") and, where it has rooms, a "token"; and
    whether it has a "history"; and the "author" of all messages, if they have one.
    `settings` are variables of its environment.
    Raises Failed, with all that the server wrote, if it does not start, or if what is
    done with it raises Failed.
    """
    folder = copy_stage(server.folder, workspace / "copy")
    if server.patch:
        subprocess.run(["git", "apply", server.patch], cwd=folder, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "CHAT_PORT": str(port),
        "CHAT_ORIGINS": f"http://127.0.0.1:{port}",
        "PYTHONDONTWRITEBYTECODE": "1",
        **NO_LIMITS,
        **settings,
    }
    log = workspace / "output"
    if (folder / "manage.py").exists():  # Some keep what is said in a database.
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=folder, env=environment, check=True)
    process = started(server.command, folder, environment, log)
    try:
        wait_for(process, port)
        where = {"port": port, "pid": process.pid}
        if server.names:
            where |= named_token(folder, environment)
        else:
            where["token"] = token(folder)
        yield where | ({"history": True} if server.history else {})
    except Failed as failed:
        wrote = log.read_text("utf-8", "replace")
        raise Failed(f"{failed}\n{server.name} wrote:\n{wrote}") from failed
    finally:
        end(process)


def started(
    command: list[str], folder: Path, environment: dict[str, str], log: Path
) -> subprocess.Popen:
    """A server that begins now, in `folder`; what it writes is added to its log."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def named_token(folder: Path, environment: dict[str, str]) -> dict:
    """What opens a room for a new user, and the author that its messages have."""
    code = (
        "from chat.tokens import make_token; "
        "from django.contrib.auth import get_user_model as users; "
        f"user = users().objects.create_user({AUTHOR!r}); "
        "print(user.pk, make_token(1, user))"
    )
    words = [sys.executable, "manage.py", "shell", "-v", "0", "--command", code]
    done = subprocess.run(
        words,
        cwd=folder,
        # The load may take longer than a token lives.
        env=environment | {"CHAT_TOKEN_SECONDS": "86400"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    key, opens = done.stdout.split()
    return {"token": opens, "author": {"id": int(key), "name": AUTHOR}}


def token(folder: Path) -> str:
    """What opens a room of the exercise in `folder`, and "" where there are none."""
    if not (folder / "chat" / "tokens.py").exists():
        return ""
    code = "from chat.tokens import make_token; print(make_token(1), end='')"
    words = [sys.executable, "-c", code]
    done = subprocess.run(
        words, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def wait_for(process: subprocess.Popen, port: int) -> None:
    """Return when `port` accepts connections.

    Raises Failed if the process ends, or START_SECONDS are over.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed("The server did not start.")
        time.sleep(0.01)


def allow_many_sockets(wanted: int = 8192) -> int | None:
    """Raise this process's limit on open files, for itself and what it starts.

    Returns what it is now, which may be less; None where there is no such limit.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    wanted = max(wanted, least)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return wanted
