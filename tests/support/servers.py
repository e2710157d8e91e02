"""Start what is in a folder, as its chapter does, and end all of it again."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlencode, urljoin

import psutil
from bs4 import BeautifulSoup

from tutorial.mistakes import shorten
from tutorial.processes import below, free_ports, how, is_gone, kill_all
from tutorial.stages import Stage, copy_stage

# From these snapshots on, by number, the wire format is another: a client says first
# which room it is for, an answer to a poll brings all that is new, and messages have
# numbers, in JSON on a socket, too. In the last one they outlive the server.
ROOMS, BATCHES, HISTORY, PERSISTENCE = 6, 7, 8, 9
START_SECONDS = 20.0  # that a server has until it listens
STOP_SECONDS = 5.0  # that it has to end by itself
MANAGE_SECONDS = 60.0  # that manage.py has for a command
MOST_OUTPUT = 1_000_000  # bytes of what a server writes that are looked at
SCRIPTED = Path(__file__).parent / "scripted_clock"


@dataclass(frozen=True)
class Target:
    """A folder under test, and the stage that it claims to be."""

    stage: Stage
    folder: Path


class NotStarted(AssertionError):
    """What is in the folder does not start. `server` is the one that does not.

    `says` is the sentence alone; the text of the exception has the output as well.
    """

    def __init__(self, says: str, server: Server):
        super().__init__(f"{says} Its output ends:\n{server.tail()}")
        self.says, self.server = says, server


def comes_true(fact: Callable[[], bool], seconds: float) -> bool:
    """Wait until `fact()` is true. Returns whether it was within `seconds`."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            return False
        # How often to look, not a guess at how long it takes.
        time.sleep(0.01)
    return True


def wait_until(
    fact: Callable[[], bool], what: Callable[[], str], seconds: float = 5.0
) -> None:
    """Return as soon as `fact()` is true.

    Raises AssertionError after `seconds`, with `what()`: what did not come true.
    """
    __tracebackhide__ = True
    if not comes_true(fact, seconds):
        raise AssertionError(f"Not true in {seconds:g} s: {what()}")


class Server:
    """One process of the folder under test. Its output goes to `log`, a file."""

    def __init__(self, name: str, command: list[str], cwd: Path, env: dict, log: Path):
        self.name, self.log, self.cwd, self.env = name, log, cwd, env
        self.command = command
        self.process: subprocess.Popen | None = None

    def start(self, port: int) -> None:
        """Start, and return once `port` accepts connections.

        Raises NotStarted if it does not in START_SECONDS. Then nothing of it is left.
        """
        self.port = port
        self._launch()
        try:
            # Who listens elsewhere by then, will not come here any more.
            if not comes_true(self._accepts, START_SECONDS / 3) and (
                self._addresses()
                or not comes_true(self._accepts, START_SECONDS * 2 / 3)
            ):
                raise NotStarted(self._why_not(), self)
        except BaseException:
            self.kill()  # Nobody else would: who starts it has nothing to stop yet.
            raise

    def run(self, seconds: float) -> str:
        """Start what ends by itself. Returns in words how it failed, if it did."""
        self._launch()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"was not done after {seconds:g} s"
        finally:
            self.kill()
        return how(code) if code else ""

    def _launch(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _accepts(self) -> bool:
        if self.process.poll() is not None:
            ended = how(self.process.returncode)
            says = f"{self.name} should start, but it {ended}.{self.last_words()}"
            raise NotStarted(says, self)
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _why_not(self) -> str:
        by = " by CHAT_PORT" if self.env.get("CHAT_PORT") == str(self.port) else ""
        says = (
            f"{self.name} was told{by} to use port {self.port}, but nothing listens on"
        )
        there = " and on ".join(sorted(self._addresses()))
        listens = f"It listens on {there}." if there else "It listens nowhere."
        return f"{says} 127.0.0.1:{self.port}. {listens}"

    def _addresses(self) -> set[str]:
        """Where it listens: addresses with ports."""
        return {
            f"{connection.laddr.ip}:{connection.laddr.port}"
            for process in self._family()
            for connection in listening(process)
        }

    def answers(self, seconds: float) -> bool:
        """Does it react to a request in so many seconds, if only to refuse it?"""
        # Not even a chat server that takes every path for a poll lets this one wait.
        request = (
            "GET /is-anybody-there?lastupdate=-1 HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n"
        )
        try:
            address = ("127.0.0.1", self.port)
            with socket.create_connection(address, timeout=seconds) as connection:
                connection.sendall(request.encode())
                connection.recv(1)
        except ConnectionResetError:
            return True
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End the process and all that it started."""
        if self.process is None:
            return
        family = self._family()
        for process in family:
            with suppress(psutil.Error):
                process.terminate()
        psutil.wait_procs(family, timeout=STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the process as a power cut would."""
        kill_all(self._family)
        self.process.wait(STOP_SECONDS)
        self.process = None

    def _family(self) -> list[psutil.Process]:
        """The process and all that it started, as long as they run."""
        own = self.process.pid
        ended = self.process.poll() is not None
        if ended and psutil.pid_exists(own):
            return []  # The number is somebody else's by now.
        # A child may have lost its parent, but it is still in the session.
        pids = {pid for pid in psutil.pids() if session(pid) == own}
        if not ended:
            pids |= {own, *(process.pid for process in below(own))}
        found = []
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return [process for process in found if not is_gone(process.pid)]

    def listens_on(self) -> set[str]:
        """The IP addresses on which the process listens."""
        return {c.laddr.ip for c in listening(psutil.Process(self.process.pid))}

    def memory(self) -> int:
        """Resident memory of the process, in bytes."""
        return psutil.Process(self.process.pid).memory_info().rss

    def written(self) -> int:
        """How many bytes the process has written so far."""
        return self.log.stat().st_size if self.log.exists() else 0

    def output(self, start: int = 0) -> str:
        """What the process has written from byte `start` on, or the end of it."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(start, self.written() - MOST_OUTPUT))
            return log.read(MOST_OUTPUT).decode("utf-8", "replace")

    def last_words(self) -> str:
        """The last line of the output, as a sentence; empty if there is none."""
        return "".join(
            f" It said: {line}" for line in shorten(self.output(), self.cwd, 1)
        )

    def tail(self, lines: int = 15) -> str:
        """The last lines of the output."""
        return "\n".join(self.output().splitlines()[-lines:])


def session(pid: int) -> int | None:
    """The session of process `pid`, where there are any."""
    try:
        return os.getsid(pid)
    except (AttributeError, OSError):
        return None


def listening(process: psutil.Process) -> list:
    """The TCP sockets on which a process listens, as far as can be seen."""
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return []
    return [c for c in connections if c.status == psutil.CONN_LISTEN]


@dataclass(frozen=True)
class Clock:
    """What `time.time()` returns to the chat server under test, while it is set."""

    file: Path

    def set(self, reading: float) -> None:
        """From now on the clock stands at `reading`, in seconds since the epoch."""
        # Moved into place, so that nobody reads half a number.
        new = self.file.with_suffix(".new")
        new.write_text(repr(reading))
        new.replace(self.file)

    def release(self) -> None:
        """Give the server the real clock again."""
        self.file.unlink(missing_ok=True)


class Chat:
    """A running copy of a target: Twisted from stage 2 on, and Django when needed.

    The folder itself is never written to, and its database is never opened: `folder`
    is a copy in `workspace`. With a `database_url` it is told to use that one. Use it
    in a `with` block. Raises NotStarted where a server does not start.
    """

    def __init__(self, target: Target, workspace: Path, database_url: str = ""):
        self.target, self.workspace = target, workspace
        self.folder = copy_stage(target.folder, workspace / "copy")
        self.django_port, self.chat_port = free_ports(2)
        self.clock = Clock(workspace / "clock")
        self.wire: deque[str] = deque(maxlen=60)
        self.env = {
            **os.environ,
            "CHAT_PORT": str(self.chat_port),
            "CHAT_ORIGINS": self.origin,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self.env.pop("DJANGO_SETTINGS_MODULE", None)
        self.env.pop("CHAT_KEY", None)
        self.env.pop("DATABASE_URL", None)
        if database_url:
            self.env["DATABASE_URL"] = database_url
        self._tokens: dict[str, str] = {}
        self._manage = Server(
            "manage.py", [], self.folder, self.env, workspace / "manage.log"
        )
        runserver = [sys.executable, "manage.py", "runserver", "--noreload"]
        self._django = Server(
            "Django (manage.py runserver)",
            [*runserver, f"127.0.0.1:{self.django_port}"],
            self.folder,
            self.env,
            workspace / "django.log",
        )
        script = {"PYTHONPATH": str(SCRIPTED), "SCRIPTED_CLOCK": str(self.clock.file)}
        self.twisted = Server(
            "Twisted (twistd -n -y chatserver.py)",
            [twistd(), "-n", "--pidfile=", "-y", "chatserver.py"],
            self.folder,
            self.env | script,
            workspace / "twisted.log",
        )
        self.servers = [self._django, self.twisted]

    def __enter__(self) -> Chat:
        if self.target.stage.number >= 2:
            self.twisted.start(self.chat_port)
        return self

    def __exit__(self, *exc) -> None:
        for server in self.servers:
            server.stop()

    @cached_property
    def django(self) -> Server:
        """Django, with its database; started when first asked for."""
        try:
            self.manage("migrate", "--verbosity", "0")
        except AssertionError as error:
            says, _, _ = str(error).partition(" It said:")
            says += self._manage.last_words()
            raise NotStarted(says, self._manage) from None
        for file in self.folder.glob("*.sqlite3*"):
            shutil.copy(file, self.workspace)
        self._django.start(self.django_port)
        return self._django

    def token(self, room: str | None = None) -> str | None:
        """What the page of a room gives its client to say first, None before rooms.

        `room` is a path; without it, it is the first room. Raises AssertionError if
        the page has no token.
        """
        __tracebackhide__ = True
        if self.target.stage.number < ROOMS:
            return None
        if room not in self._tokens:
            path = room or self.rooms()[0]
            page = BeautifulSoup(self.get(path).text, "html.parser")
            script = page.find("script", id="chat-token")
            assert script is not None, (
                f"{path} should carry the token that opens its room, in a json_script "
                'with the id "chat-token". It has none.'
            )
            self._tokens[room] = json.loads(script.string)
        return self._tokens[room]

    def data(self, text: str) -> str | list[str]:
        """What an answer that brings `text` has in its "data"."""
        return [text] if self.target.stage.number >= BATCHES else text

    @property
    def has_history(self) -> bool:
        """Are messages numbered, and does who comes back hear what was missed?"""
        return self.target.stage.number >= HISTORY

    @property
    def is_persistent(self) -> bool:
        """Does what was said outlive the server?"""
        return self.target.stage.number >= PERSISTENCE

    def hello(self, token: str | None, cursor: tuple | None = None) -> str | None:
        """What a socket says first, None for nothing. `cursor` is (epoch, seq)."""
        if not self.has_history:
            return token
        epoch, seq = cursor or (None, None)
        place = {} if cursor is None else {"epoch": epoch, "seq": seq}
        return json.dumps({"token": token, **place})

    @property
    def nothing_missed(self) -> dict:
        """What a poll or a socket of exercise 3 is told that has missed nothing."""
        return {"status": 1, "epoch": "c0ffee", "seq": 0, "reset": False, "data": []}

    def saying(self, text: str, id: str | None = None) -> str:
        """What a socket sends to say `text`; with an `id` of its own, or a new one."""
        if not self.has_history:
            return text
        return json.dumps({"id": id or new_id(), "text": text})

    def texts_in(self, frame: str) -> list[str]:
        """What a socket hears by one frame."""
        if not self.has_history:
            return [frame]
        return [message["text"] for message in json.loads(frame)["data"]]

    def form(self, text: str | bytes, id: str | None = None) -> str:
        """The body of a POST that says `text`."""
        fields = {"new_message": text}
        if self.has_history:
            fields["id"] = id or new_id()
        return urlencode(fields)

    def query(self, cursor: float | str | tuple | None = None) -> str:
        """How a poll says where it stands; it is new with None, -1 or 0."""
        if not self.has_history:
            return "" if cursor is None else "?" + urlencode({"lastupdate": cursor})
        if cursor in (None, -1, 0):
            return ""
        epoch, seq = cursor if isinstance(cursor, tuple) else ("epoch", cursor)
        return "?" + urlencode({"epoch": epoch, "seq": seq})

    @property
    def origin(self) -> str:
        """What a browser says in the Origin header when it shows our page."""
        return f"http://127.0.0.1:{self.django_port}"

    def note(self, what: str) -> None:
        """Take down what was sent, or what came, for who reads of a failure."""
        self.wire.append(what)

    def restart(self) -> None:
        """Start the chat server anew. It remembers nothing, as on its first day."""
        self.twisted.stop()
        if self.is_persistent:
            for file in self.folder.glob("*.sqlite3*"):
                file.unlink()
            for file in self.workspace.glob("*.sqlite3*"):
                shutil.copy(file, self.folder)
        self.twisted.start(self.chat_port)

    def come_back(self) -> None:
        """Start the chat server again, after a crash or not, with what is stored."""
        self.note("The chat server is started again")
        if self.twisted.process is not None:
            self.twisted.stop()
        self.twisted.start(self.chat_port)

    def crash(self) -> None:
        """End the chat server as a power cut would: kill -9."""
        self.note("The chat server is killed")
        self.twisted.kill()

    @property
    def ws_url(self) -> str:
        """Where the WebSocket chat is."""
        return f"ws://127.0.0.1:{self.chat_port}/ws"

    def get(self, path: str) -> http.client.HTTPResponse:
        """GET `path` from Django, without following redirects; the body is read."""
        assert self.django
        port = self.django_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.text = response.read(MOST_OUTPUT).decode("utf-8", "replace")
            self.note(f"GET {path} from Django: {response.status} {response.reason}")
            return response
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(
                f"GET {path} should be answered by Django within 5 s. Instead: {error}."
            ) from None
        finally:
            connection.close()

    def manage(self, *words: str) -> str:
        """Run `python manage.py *words` in the copy; returns its output.

        Raises AssertionError, with the output, if it fails.
        """
        line = "python manage.py " + " ".join(words)
        self.note(line)
        manage = self._manage
        manage.command, start = [sys.executable, "manage.py", *words], manage.written()
        says = manage.run(MANAGE_SECONDS)
        output = manage.output(start)
        assert not says, f"{line} should succeed, but it {says}. It said:\n{output}"
        return output

    def make_rooms(self, *names: str) -> list[str]:
        """Add rooms of these names. Returns their paths."""
        code = "from chat.models import ChatRoom; "
        code += f"print([ChatRoom.objects.create(name=n).pk for n in {[*names]!r}])"
        keys = json.loads(self.shell(code).splitlines()[-1])
        return [f"/chats/{key}/" for key in keys]

    def rooms(self, below: str = "/chats/") -> list[str]:
        """The paths of rooms, `below` and a number, to which /chats/ links.

        A folder need not come with rooms: where there is none yet, one is made.
        Raises AssertionError if no such room is linked.
        """
        links = self._links()
        if not any(re.search(r"/\d+/$", path) for path in links):
            self.make_rooms("Lobby")
            links = self._links()
        paths = [path for path in links if re.fullmatch(rf"{below}\d+/", path)]
        assert paths, f"/chats/ should link to a room below {below}. It links {links}."
        return paths

    def _links(self) -> list[str]:
        soup = BeautifulSoup(self.get("/chats/").text, "html.parser")
        return [urljoin("/chats/", link["href"]) for link in soup("a", href=True)]

    def shell(self, code: str) -> str:
        """Run `code` in the Django shell of the copy; returns what it printed."""
        assert self.django
        return self.manage("shell", "--verbosity", "0", "--command", code)


def new_id() -> str:
    """What no other message is called."""
    return uuid.uuid4().hex


def twistd() -> str:
    """The twistd of this environment.

    Not `python -m twisted`: that would put the current directory on sys.path,
    which the chapter's command does not.
    """
    name = "twistd.exe" if os.name == "nt" else "twistd"
    return str(Path(sys.executable).with_name(name))
