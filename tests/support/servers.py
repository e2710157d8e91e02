"""Start what is in a folder, as its chapter does, and end all of it again."""

from __future__ import annotations

import copy
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from http.cookies import SimpleCookie
from itertools import count
from pathlib import Path
from urllib.parse import urlencode, urljoin

import psutil

from tests.support.engine import Engine
from tests.support.forms import sending
from tests.support.html import forms_in, parse
from tests.support.keeping import guarded
from tests.support.standby import CAN_FORK, Fork, fork_of, hear
from tutorial.check.copies import take_copy
from tutorial.check.fence import read_only
from tutorial.doctor.mistakes import shorten
from tutorial.processes import below, free_ports, how, is_gone, kill_all, no_pidfile
from tutorial.run.engine import why_no_engine
from tutorial.settings import KEPT, plain
from tutorial.stages import Stage

# From these snapshots on, by number, the wire format is another: a client says first
# which room it is for, an answer to a poll brings all that is new, and messages have
# numbers, in JSON on a socket, too. Then they outlive the server, only who is logged in
# finds a room, and a token is somebody's.
ROOMS, BATCHES, HISTORY, PERSISTENCE, NAMES = 6, 7, 8, 9, 10
STRANGERS = 11  # From here on a page says in a header with whom it may speak.
MANY = 12  # From here on several chat servers have one conversation, by an engine.
# How long a client waits for what it should hear. A machine may be busy with other
# tests; those of planted mistakes, where waiting is the rule, ask for less.
SECONDS = float(os.environ.get("TEST_PATIENCE", "10"))
PATIENCE = max(5.0, SECONDS)  # until what should come true in moments is given up
START_SECONDS = 20.0  # that a server has until it listens
MOVED_SECONDS = 10.0  # within which what is acknowledged is in the database
STOP_SECONDS = 5.0  # that it has to end by itself
ANSWER_SECONDS = 15.0  # that Django has: to look at a password is work, on purpose
MANAGE_SECONDS = 60.0  # that manage.py has for a command
MOST_IN_A_FILE: int | None = None  # bytes that a server may write into one
STUCK = 5.0  # that a server has to react when it has all the time there is
LOOK = 0.2  # between two looks at what it does meanwhile
MOST_OUTPUT = 1_000_000  # bytes of what a server writes that are looked at
DEMO_ROOMS = ("Kitchen", "Lobby", "Workshop")
# Who has an account from the beginning, and by which password; `get` is the first one
# if nobody else is named.
PEOPLE = ("Ann", "Bob", "Cy")
PASSWORD = "a password of the tests"
# In the Django shell: the accounts, whichever model they are of.
USERS = "from django.contrib.auth import get_user_model as model; "
USERS += "users = model().objects; "
DAY = 24 * 60 * 60
SHORT_LIFE = 4  # seconds that a token lives in a test that waits for its end
# From `7_strangers` on a client may do only so much, and most tests are one client that
# does a lot. What is about a limit sets it.
WITHOUT_LIMITS = {
    **dict.fromkeys(("CHAT_KNOCKS", "CHAT_ASKS"), "1000000/1"),
    # Over more time than a test's own limit: what that has used up stays stored, in the
    # database or in an engine, and counts at each server that shares it.
    **dict.fromkeys(("CHAT_LOGINS", "CHAT_MESSAGES"), "1000000/1000"),
    **dict.fromkeys(("CHAT_MOST_PER_USER", "CHAT_MOST_PER_ADDRESS"), "10000"),
}

_numbers = count(1)  # of what runs beside another one


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
    while True:
        begun = time.monotonic()
        if fact():
            return True
        now = time.monotonic()
        if now > deadline:
            return False
        # How often to look, not a guess at how long it takes. Whoever looks should cost
        # less than what is waited for.
        time.sleep(max(0.01, 2 * (now - begun)))


def wait_until(
    fact: Callable[[], bool], what: Callable[[], str], seconds: float = PATIENCE
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
        self.prefix: tuple[str, ...] = ()  # what starts it
        self.process: subprocess.Popen | Fork | None = None
        self.paused = False

    def start(self, port: int) -> None:
        """Start, and return once `port` accepts connections.

        Raises NotStarted if it does not in START_SECONDS. Then nothing of it is left.
        """
        self.begin(port)
        self.wait()

    def begin(self, port: int) -> None:
        """Start, and return at once."""
        self.port = port
        self._launch()

    def wait(self) -> None:
        """Return once it accepts connections. Raises as start() does."""
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

    def start_fork(self, of: Original, port: int) -> None:
        """Start, as a copy of what has loaded already what this one would.

        Returns and raises as start() does.
        """
        self.port, start = port, self.written()
        with suppress(TimeoutError):
            self.process = of.fork()
        if self.process is None:
            if self.log.exists():  # What the other one failed at is no fault of this.
                os.truncate(self.log, start)
            self.begin(port)
        self.wait()

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

    def _launch(self, stdin: int | socket.socket = subprocess.DEVNULL) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*self.prefix, *self.command],
                cwd=self.cwd,
                env=self.env,
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if MOST_IN_A_FILE and hasattr(psutil, "RLIMIT_FSIZE"):
            # Wherever that file is, and whether it still has a name.
            with suppress(psutil.Error, OSError):
                both = (MOST_IN_A_FILE, MOST_IN_A_FILE)
                psutil.Process(self.process.pid).rlimit(psutil.RLIMIT_FSIZE, both)

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
        """Does it react to a request in so many seconds, if only to refuse it?

        Less will do where it is certain that it never will.
        """
        # Not even a chat server that takes every path for a poll lets this one wait.
        request = (
            "GET /is-anybody-there?lastupdate=-1 HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n"
        )
        try:
            address = ("127.0.0.1", self.port)
            with socket.create_connection(address, timeout=seconds) as connection:
                connection.sendall(request.encode())
                connection.settimeout(LOOK)
                idle, deadline = Idle(self.process.pid), time.monotonic() + seconds
                while not idle.is_stuck() and time.monotonic() < deadline:
                    with suppress(TimeoutError):
                        connection.recv(1)
                        return True
                return False
        except ConnectionResetError:
            return True
        except (OSError, psutil.Error):
            return False

    def has_read(self) -> set[str]:
        """Which files of its folder it has read, where it was told to note them."""
        notes = self.notes
        return {*notes.read_text("utf-8").splitlines()} if notes.exists() else set()

    @property
    def notes(self) -> Path:
        """Where it notes what it reads (tests/support/injected/tutorial_reads.py)."""
        return Path(self.env["TUTORIAL_READS"], str(self.process.pid))

    def pause(self) -> None:
        """Have the process and all that it started do nothing (SIGSTOP)."""
        self.paused = True
        for process in self._family():
            with suppress(psutil.Error):
                process.suspend()

    def resume(self) -> None:
        """Have them go on, where they were paused."""
        for process in self._family() if self.paused else []:
            with suppress(psutil.Error):
                process.resume()
        self.paused = False

    def stop(self) -> None:
        """End the process and all that it started."""
        if self.process is None:
            return
        self.resume()
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
        self.paused = False

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

    @property
    def is_well(self) -> bool:
        """Whether the process runs, and is not paused."""
        runs = self.process is not None and self.process.poll() is None
        return runs and not self.paused

    def listens_on(self) -> set[str]:
        """The IP addresses on which the process listens."""
        return {c.laddr.ip for c in listening(psutil.Process(self.process.pid))}

    def peers(self) -> set[int]:
        """The ports of the clients on this machine that it is connected with."""
        connections = psutil.Process(self.process.pid).net_connections("tcp")
        return {c.raddr.port for c in connections if c.raddr}

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


class Original(Server):
    """A process that does what there is to do in copies of itself, one by one."""

    line: socket.socket | None = None

    def prepare(self) -> None:
        """Have it, so that it gets ready while others do something else."""
        if self.process is None and CAN_FORK:
            self.line, theirs = socket.socketpair()
            with theirs:
                self._launch(theirs)

    def fork(self, *words: str, seconds: float | None = None) -> Fork | None:
        """A copy of it, with `words` to act by; None where there can be none.

        Raises TimeoutError after `seconds`, without them after START_SECONDS. Whatever
        breaks it off, nothing of it is left: no copy that comes too late.
        """
        self.prepare()
        if self.line is None:
            return None
        self.line.settimeout(START_SECONDS if seconds is None else seconds)
        try:
            return fork_of(self.line, *words)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it, and its copy, with whatever that does."""
        if self.process is not None:
            super().kill()
        if self.line:
            self.line.close()


class Manage(Original):
    """`python manage.py`, for one command after another.

    Where a process can be copied, one that has Django set up runs them all
    (tests/support/injected/tutorial_manage.py).
    """

    busy = False  # has it been told to run a command, and not said yet that it has?

    def __init__(self, cwd: Path, env: dict, log: Path):
        shell = [sys.executable, "manage.py", "shell", "--verbosity", "0"]
        shell += ["--command", "import tutorial_manage"]
        super().__init__("manage.py", shell, cwd, env, log)

    def say(self, words: tuple[str, ...], env: dict[str, str] | None = None) -> str:
        """Run `manage.py *words`. Returns in words how it failed, if it did.

        With `env` in that environment, and in a process of its own.
        """
        code = None
        if env is None and CAN_FORK:
            start = self.written()
            try:
                code = self._tell(words)
            except TimeoutError:
                self.kill()
                return f"was not done after {MANAGE_SECONDS:g} s"
            if code is None:  # It does not start: the command says why.
                os.truncate(self.log, start)
        if code is not None:
            return how(code) if code else ""
        words = (sys.executable, "manage.py", *words)
        once = Server(self.name, [*words], self.cwd, env or self.env, self.log)
        once.prefix = self.prefix
        return once.run(MANAGE_SECONDS)

    def _tell(self, words: tuple[str, ...]) -> int | None:
        """Have the one process run a command. Returns its exit code, or None."""
        self.busy = True
        copied = self.fork(*words, seconds=MANAGE_SECONDS)
        code = hear(self.line) if copied else None
        self.busy = False
        if code is None:
            self.kill()
        return code

    def kill(self) -> None:
        self.busy = False
        super().kill()


class Idle:
    """Watches whether a process that has something to do will ever do it.

    On a busy machine everything takes long. But who sleeps on although there is work,
    or has computed for STUCK seconds without a word, is not slow.
    """

    def __init__(self, pid: int):
        self.process = psutil.Process(pid)
        self.began = self.used = self._used()
        self.since = time.monotonic()  # when it was last seen to do anything

    def _used(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def is_stuck(self) -> bool:
        """To be asked again and again."""
        try:
            used, status = self._used(), self.process.status()
        except psutil.Error:
            return False
        if used > self.used or status != psutil.STATUS_SLEEPING:
            self.since = time.monotonic()
        self.used = used
        asleep = time.monotonic() - self.since
        return asleep > STUCK or used - self.began > STUCK


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
    """What `time.time()` returns to the chat server under test, while it is set.

    And how far its clocks are ahead of ours, because a test has let time pass.
    """

    file: Path

    def set(self, reading: float) -> None:
        """From now on the clock stands at `reading`, in seconds since the epoch."""
        self._write(self.file, reading)

    def set_right(self) -> None:
        """Give a server that does not run yet the real clock."""
        self.release()
        self._passed.unlink(missing_ok=True)

    @property
    def is_moved(self) -> bool:
        """Has a test set it, or let time pass?"""
        return self.file.exists() or self._passed.exists()

    @property
    def _passed(self) -> Path:
        return self.file.with_name(self.file.name + ".passed")

    def pass_by(self, seconds: float) -> None:
        """Let so many seconds go by for the server, in no time.

        Its timers are due then, and called as soon as something wakes it. No clock
        goes back, ever: a timer that waits already would wait for longer.
        """
        before = (
            float(self._passed.read_text("utf-8")) if self._passed.exists() else 0.0
        )
        self._write(self._passed, before + seconds)

    def _write(self, file: Path, number: float) -> None:
        # Moved into place, so that nobody reads half a number.
        new = file.with_suffix(".new")
        new.write_text(repr(number), "utf-8")
        new.replace(file)

    def release(self) -> None:
        """Give the server the real clock again."""
        self.file.unlink(missing_ok=True)


class Chat:
    """A running copy of a target: Twisted from stage 2 on, and Django when needed.

    The folder itself is never written to, and its database is never opened: `folder`
    is a copy in `workspace`. With a `database_url` it is told to use that one. Where
    there are accounts, a token lives for `token_seconds`. Variables of `env` are set
    for both servers. Use it in a `with` block. Raises NotStarted where a server does
    not start.
    """

    address = ""  # of who visits Django, if it is another one than usual
    called = "The chat server"  # in the notes of what happened

    def __init__(
        self,
        target: Target,
        workspace: Path,
        database_url: str = "",
        token_seconds: int = DAY,
        env: dict[str, str] | None = None,
        engine: bool = True,
    ):
        self.target, self.workspace = target, workspace
        self.folder = workspace / "copy"
        self.left_behind = take_copy(target.folder, self.folder)
        # Of what is a copy already, `check` names the original.
        self.original = Path(os.environ.get(KEPT) or target.folder)
        self.django_port, self.chat_port = free_ports(2)
        self.clock = Clock(workspace / "clock")
        self.wire: deque[str] = deque(maxlen=60)
        self.said: set[str] = set()  # by the tests, through either door
        (workspace / "tmp").mkdir()
        # During this test: which server failed at what, and what scripts failed at, as
        # (error, file, line, path of the page).
        self.erred: tuple[Server, str] | None = None
        self.script_errors: list[tuple[str, str, int, str]] = []
        self.env = {
            **plain(os.environ),
            **guarded(self.original, workspace),
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(workspace / "tmp")),
            "CHAT_PORT": str(self.chat_port),
            "CHAT_ORIGINS": f"{self.origin},{self.second_origin}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            **WITHOUT_LIMITS,
        }
        if database_url:
            self.env["DATABASE_URL"] = database_url
        self.engine: Engine | None = None
        if engine and target.stage.engine and not why_no_engine(target.folder):
            self.engine = Engine(workspace / "engine")
            self.env["REDIS_URL"] = self.engine.url
        self.env |= env or {}
        if self.has_names:
            # What is older than these takes its time; what is about the life of a
            # token starts the server with another one.
            self.env["CHAT_TOKEN_SECONDS"] = str(token_seconds)
        self._tokens: dict[tuple, str] = {}
        self._cookies: dict[str, dict[str, str]] = {}
        self.users: dict[str, int] = {}  # the ids of all who have an account
        self.manager = Manage(self.folder, self.env, workspace / "manage.log")
        runserver = [sys.executable, "manage.py", "runserver", "--noreload"]
        self._django = Server(
            "Django (manage.py runserver)",
            [*runserver, f"127.0.0.1:{self.django_port}"],
            self.folder,
            self.env,
            workspace / "django.log",
        )
        script = {"SCRIPTED_CLOCK": str(self.clock.file)}
        self.twisted = Server(
            "Twisted (twistd -n -y chatserver.py)",
            [twistd(), "-n", *no_pidfile(), "-y", "chatserver.py"],
            self.folder,
            self.env | script,
            workspace / "twisted.log",
        )
        ours = self.original == target.stage.folder
        if not ours and not workspace.resolve().is_relative_to(self.original):
            # Ours have been looked at: there the guard will do.
            for server in (self.manager, self._django, self.twisted):
                server.prefix = read_only(self.original)
        self.servers = [self._django, self.twisted]
        self.others: list[Server] = []  # that ran beside these, for a while

    def __enter__(self) -> Chat:
        if self.engine:
            self.engine.start()
        try:
            if self.target.stage.number >= 2:
                self.twisted.start(self.chat_port)
        except BaseException:
            self._end_engine()
            raise
        return self

    def __exit__(self, *exc) -> None:
        standby = [self.standby] if "standby" in vars(self) else []
        with ExitStack() as stack:  # Each is ended, also where another one fails.
            stack.callback(self._end_engine)
            for server in (self.manager, *standby, *self.servers[::-1]):
                stack.callback(server.stop)

    def _end_engine(self) -> None:
        if self.engine:
            self.engine.stop()

    @cached_property
    def django(self) -> Server:
        """Django, with its database; started when first asked for."""
        self.migrate()
        if self.has_names:
            self._make_users(*PEOPLE)
        for file in self.folder.glob("*.sqlite3*"):
            shutil.copy(file, self.workspace)
        self._django.start(self.django_port)
        return self._django

    @cached_property
    def standby(self) -> Original:
        """What has loaded all that the chat server loads but the folder itself.

        tests/support/injected/tutorial_twistd.py has it copy itself.
        """
        usual = self.twisted
        env = usual.env | {"TUTORIAL_FORKS": "yes"}
        standby = Original(usual.name, usual.command, usual.cwd, env, usual.log)
        standby.prefix = usual.prefix
        return standby

    def migrate(self) -> None:
        """Bring the database up to date. Raises NotStarted if that fails."""
        try:
            self.manage("migrate", "--verbosity", "0")
        except AssertionError as error:
            says, _, _ = str(error).partition(" It said:")
            says += self.manager.last_words()
            raise NotStarted(says, self.manager) from None

    def forget(self) -> None:
        """Put the database back to what it was when Django had made it.

        An engine knows nothing then, either.
        """
        if self.engine:
            self.engine.flush()
        for file in self.folder.glob("*.sqlite3*"):
            file.unlink()
        for file in self.workspace.glob("*.sqlite3*"):
            shutil.copy(file, self.folder)
        self._cookies.clear()
        self._tokens.clear()  # Their rooms may be gone.
        self.users = {n: key for n, key in self.users.items() if n in PEOPLE}

    def token(self, room: str | None = None, user: str = PEOPLE[0]) -> str | None:
        """What the page of a room gives its client to say first, None before rooms.

        `room` is a path; without it, it is the first room. Where there are accounts,
        it is the token of `user`. Raises AssertionError if the page has none.
        """
        __tracebackhide__ = True
        if self.target.stage.number < ROOMS:
            return None
        if (room, user) not in self._tokens:
            path = room or self.rooms()[0]
            page = self.get(path, user=user).text
            self._tokens[room, user] = self.token_in(page, path)
        return self._tokens[room, user]

    def token_in(self, page: str, path: str) -> str:
        """The token in the HTML of the page at `path`. Raises as `token` does."""
        __tracebackhide__ = True
        script = parse(page).find("script", id="chat-token")
        assert script is not None, (
            f"{path} should carry the token that opens its room, in a json_script "
            'with the id "chat-token". It has none.'
        )
        return json.loads(script.string)

    @property
    def me(self) -> str:
        """In the Django shell: a client `me`, that says Host as a browser does."""
        host = f"127.0.0.1:{self.django_port}"
        return f"from django.test import Client; me = Client(HTTP_HOST={host!r})"

    def token_under(self, room: str, env: dict[str, str], user: str = PEOPLE[0]) -> str:
        """What the page of a room gives its client where Django runs with `env`."""
        __tracebackhide__ = True
        code = f"{self.me}; "
        if self.has_names:
            code += f"{USERS}me.force_login(users.get(username={user!r})); "
        code += f"print(me.get({room!r}).content.decode())"
        return self.token_in(self.shell(code, self.env | env), room)

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

    @property
    def has_names(self) -> bool:
        """Does a room open for accounts only, and does a token say whose it is?"""
        return self.target.stage.number >= NAMES

    @contextmanager
    def beside(self, **env: str | None) -> Iterator[Chat]:
        """Run a second chat server of this folder, with `env` and a clock of its own.

        It has the same database, and the usual limits, if `env` says nothing else; None
        takes a variable away. What is given is this chat, as seen by who talks to that
        server.
        """
        number = next(_numbers)
        usual = dict.fromkeys(WITHOUT_LIMITS)
        other = self.twin(*free_ports(1), f"beside-{number}", **(usual | env))
        self.others.append(other.twisted)
        other.twisted.start(other.chat_port)
        try:
            yield other
        finally:
            other.twisted.stop()

    def twin(self, port: int, name: str, **env: str | None) -> Chat:
        """This chat, as seen by who talks to another server of it, on `port`.

        That has a clock of its own, and the environment of this one, but for `env`,
        where None takes a variable away. Its log and its clock have this `name`. It is
        not started.
        """
        assert self.django
        other = copy.copy(self)
        vars(other).pop("standby", None)
        other.chat_port = port
        other.clock = Clock(self.workspace / f"clock-{name}")
        script = {"SCRIPTED_CLOCK": str(other.clock.file)}
        env = self.twisted.env | script | env | {"CHAT_PORT": str(port)}
        other.twisted = Server(
            self.twisted.name,
            self.twisted.command,
            self.folder,
            {name: value for name, value in env.items() if value is not None},
            self.workspace / f"{name}.log",
        )
        other.twisted.prefix = self.twisted.prefix
        return other

    def let_in(self, names: Sequence[str], rooms: Sequence[str]) -> None:
        """Make accounts without a password, and fetch their tokens for some rooms.

        That spares what to look at a password costs, on purpose.
        """
        __tracebackhide__ = True
        # Of each page one line: what it holds may look like anything.
        code = f"""
import json
{USERS}
told = []
for name in {[*names]!r}:
    user = users.create_user(name)
    {self.me}
    me.force_login(user)
    told.append([user.pk, [me.get(room).content.decode() for room in {[*rooms]!r}]])
print(json.dumps(told))
"""
        told = json.loads(self.shell(code).splitlines()[-1])
        for name, (key, pages) in zip(names, told, strict=True):
            self.users[name] = key
            for room, page in zip(rooms, pages, strict=True):
                self._tokens[room, name] = self.token_in(page, room)

    def hello(self, token: str | None, cursor: tuple | None = None) -> str | None:
        """What a socket says first, None for nothing. `cursor` is (epoch, seq)."""
        if not self.has_history:
            return token
        epoch, seq = cursor or (None, None)
        place = {} if cursor is None else {"epoch": epoch, "seq": seq}
        return json.dumps({"token": token, **place})

    @property
    def nothing_missed(self) -> dict:
        """What a socket is told, from exercise 3 on, that has missed nothing."""
        return {"status": 1, "epoch": "c0ffee", "seq": 0, "reset": False, "data": []}

    @property
    def nothing_new(self) -> dict:
        """The same for a poll: where there are names, it is told who is here, too."""
        here = [{"id": self.users[PEOPLE[0]], "name": PEOPLE[0]}] if self.users else []
        names = {"here": here, "here_version": "1"} if self.has_names else {}
        return self.nothing_missed | names

    def saying(self, text: str, id: str | None = None) -> str:
        """What a socket sends to say `text`; with an `id` of its own, or a new one."""
        self.said.add(text)
        if not self.has_history:
            return text
        return json.dumps({"id": id or new_id(), "text": text})

    def texts_in(self, frame: str) -> list[str]:
        """What a socket hears by one frame."""
        if not self.has_history:
            return [frame]
        # Who is here, is told by another frame.
        said = json.loads(frame)
        return [message["text"] for message in said["data"]] if "data" in said else []

    def form(self, text: str | bytes, id: str | None = None) -> str:
        """The body of a POST that says `text`."""
        self.said.add(
            text if isinstance(text, str) else text.decode("utf-8", "replace")
        )
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

    @property
    def second_origin(self) -> str:
        """The same page by its other name, which to a browser is another site."""
        return f"http://localhost:{self.django_port}"

    def moved(self, room: str, seq: int, user: str = PEOPLE[0]) -> None:
        """Wait until the message with this number is in Django's database.

        Until exercise 7 it is, when it is acknowledged. From then on it is moved there
        a moment later, and the answer about earlier messages says how far that is.
        Raises AssertionError.
        """
        __tracebackhide__ = True
        if self.target.stage.number < MANY:
            return

        def is_there() -> bool:
            told = json.loads(self.get(f"{room}earlier/?before=1", user=user).text)
            return told.get("last", 0) >= seq

        assert comes_true(is_there, MOVED_SECONDS), (
            f"Message {seq} was acknowledged, and should be in Django's database soon: "
            f'GET {room}earlier/ should say in "last" how far that is. It was not '
            f"there after {MOVED_SECONDS:g} s."
        )

    def note(self, what: str) -> None:
        """Take down what was sent, or what came, for who reads of a failure."""
        self.wire.append(what)

    def note_status(self, port: int, what: str, status: int) -> None:
        """Remember of an answer whether the server on `port` failed at it."""
        if status == 500 and not self.erred:
            server = self._django if port == self.django_port else self.twisted
            self.erred = server, what

    def restart(self) -> None:
        """Start the chat server anew. It remembers nothing, as on its first day."""
        self.twisted.stop()
        self.clock.set_right()
        if self.is_persistent:
            self.forget()
            self.rooms()  # Whoever comes back at once finds the room there.
        self._start_again()

    def come_back(self, **env: str) -> None:
        """Start the chat server again, after a crash or not, with what is stored.

        The clock is right again, and the variables of `env` are set, this time.
        """
        self.note(f"{self.called} is started again")
        if self.twisted.process is not None:
            self.twisted.stop()
        self.clock.set_right()
        usual = self.twisted.env
        self.twisted.env = usual | env
        try:
            self._start_again(anew=bool(env))
        finally:
            self.twisted.env = usual

    def _start_again(self, anew: bool = False) -> None:
        """Start the chat server once more, where it may be as a copy, if not `anew`."""
        # Who remembers, says at each start that it is another one, by what may be
        # the process's own: by an address in its memory, by a seed. Copies share these.
        if anew or self.has_history:
            self.twisted.start(self.chat_port)
        else:
            self.twisted.start_fork(self.standby, self.chat_port)

    def end(self) -> None:
        """End the chat server in order, as Ctrl-C or a new version would."""
        self.note(f"{self.called} is ended")
        self.twisted.stop()

    def pause(self) -> None:
        """Have the chat server do nothing, with all its connections open: SIGSTOP."""
        self.note(f"{self.called} is paused")
        self.twisted.pause()

    def resume(self) -> None:
        """Have the chat server go on that was paused."""
        self.note(f"{self.called} goes on")
        self.twisted.resume()

    def crash(self) -> None:
        """End the chat server as a power cut would: kill -9."""
        self.note(f"{self.called} is killed")
        self.twisted.kill()

    @property
    def ws_url(self) -> str:
        """Where the WebSocket chat is."""
        return f"ws://127.0.0.1:{self.chat_port}/ws"

    def get(
        self, path: str, host: str | None = None, user: str | None = PEOPLE[0]
    ) -> http.client.HTTPResponse:
        """GET `path` from Django, without following redirects; the body is read.

        `host` is the Host header of somebody who knows Django under another name. Where
        there are accounts, it is `user` who asks, or with None nobody.
        """
        cookies = self.cookies(user) if user and self.has_names else {}
        return self.visit("GET", path, cookies, **({"Host": host} if host else {}))

    def visit(
        self,
        method: str,
        path: str,
        cookies: dict[str, str],
        form: dict[str, str] | None = None,
        **headers: str,
    ) -> http.client.HTTPResponse:
        """Ask Django for `path` with these cookies, and take those that it sets.

        With a `form` its fields are the body. Redirects are not followed; the body is
        read. Raises AssertionError if there is no answer.
        """
        assert self.django
        port, what = self.django_port, f"{method} {path}"
        connection = http.client.HTTPConnection(
            "127.0.0.1",
            port,
            timeout=ANSWER_SECONDS,
            source_address=(self.address, 0) if self.address else None,
        )
        headers |= cookie_header(cookies)
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            body = None if form is None else urlencode(form)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            response.text = response.read(MOST_OUTPUT).decode("utf-8", "replace")
            self.note(f"{what} from Django: {response.status} {response.reason}")
            self.note_status(self.django_port, what, response.status)
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(
                f"{what} should be answered by Django within {ANSWER_SECONDS:g} s. "
                f"Instead: {error}."
            ) from None
        finally:
            connection.close()
        for line in response.headers.get_all("Set-Cookie", []):
            for name, cookie in SimpleCookie(line).items():
                cookies[name] = cookie.value
        return response

    def cookies(self, user: str = PEOPLE[0]) -> dict[str, str]:
        """What the browser of `user` sends to Django, who has logged in by its form.

        Whoever has no account yet is given one.
        """
        __tracebackhide__ = True
        if user not in self._cookies:
            self.make_users(user)
            self._cookies[user] = self.log_in(user)
        return self._cookies[user]

    def log_in(self, user: str, password: str = PASSWORD) -> dict[str, str]:
        """Log in by the form to which Django sends who is nobody.

        Returns the cookies. Raises AssertionError if that does not let somebody in.
        """
        __tracebackhide__ = True
        cookies: dict[str, str] = {}
        response = self.visit("GET", "/chats/", cookies)
        path = urljoin("/chats/", response.headers.get("Location", ""))
        assert response.status == 302, (
            "GET /chats/ without a login should lead to the form for it, by a redirect "
            f"(302). It was answered {response.status}."
        )
        forms = [
            form
            for form in forms_in(self.visit("GET", path, cookies).text)
            if form.find("input", type="password")
        ]
        assert len(forms) == 1, (
            f"{path} should have one form with a field for a password. It has "
            f"{len(forms)}."
        )
        [form] = forms
        target, fields = sending(form, path)
        fields |= {"username": user, "password": password}
        response = self.visit("POST", target, cookies, fields)
        assert response.status == 302, (
            f"{user} has an account. POST {target} with the username and the password "
            f"should log in, and lead on by a redirect. It was {response.status}."
        )
        return cookies

    def make_users(self, *names: str) -> None:
        """Make accounts of these names, with PASSWORD, for those who have none."""
        assert self.django  # which makes those of PEOPLE
        if missing := [name for name in names if name not in self.users]:
            self._make_users(*missing)

    def _make_users(self, *names: str) -> None:
        code = f"print([users.create_user(name, password={PASSWORD!r}).pk "
        code = f"{USERS}{code}for name in {[*names]!r}])"
        output = self.manage("shell", "--verbosity", "0", "--command", code)
        keys = json.loads(output.splitlines()[-1])
        self.users.update(zip(names, keys, strict=True))

    def change_user(self, name: str, **fields: str | bool) -> None:
        """Have an account otherwise, as the admin may; no form is asked."""
        self.shell(f"{USERS}users.filter(username={name!r}).update(**{fields!r})")

    def delete_user(self, name: str) -> None:
        """Delete an account, as the admin may."""
        self.shell(f"{USERS}users.get(username={name!r}).delete()")

    def manage(self, *words: str, env: dict[str, str] | None = None) -> str:
        """Run `python manage.py *words` in the copy; returns its output.

        With `env` in that environment. Raises AssertionError, with the output, if it
        fails.
        """
        line = "python manage.py " + " ".join(words)
        self.note(line)
        start = self.manager.written()
        says = self.manager.say(words, env)
        output = self.manager.output(start)
        assert not says, f"{line} should succeed, but it {says}. It said:\n{output}"
        return output

    def make_rooms(self, *names: str) -> list[str]:
        """Add rooms of these names. Returns their paths.

        Where a name may be there once only, and is, its room is that one.
        """
        try:
            output = self._make_each(names, "create(name=n)")
        except AssertionError as error:
            if not re.search("unique|already exists", str(error), re.I):
                raise
            output = self._make_each(names, "get_or_create(name=n)[0]")
        keys = json.loads(output.splitlines()[-1])
        return [f"/chats/{key}/" for key in keys]

    def _make_each(self, names: Iterable[str], how: str) -> str:
        code = "from chat.models import ChatRoom; "
        code += f"print([ChatRoom.objects.{how}.pk for n in {[*names]!r}])"
        return self.shell(code)

    def rooms(self, below: str = "/chats/", user: str = PEOPLE[0]) -> list[str]:
        """The paths of rooms, `below` and a number, to which /chats/ links for `user`.

        By their numbers: a room that a test makes comes after all others, and the first
        one, whose token() is kept, stays the first. A folder need not come with rooms:
        where there are less than three, some are made. Raises AssertionError if no such
        room is linked.
        """
        links = self._links(user)
        there = {found[0] for path in links if (found := re.search(r"/\d+/$", path))}
        if missing := DEMO_ROOMS[len(there) :]:
            self.make_rooms(*missing)
            links = self._links(user)
        paths = [path for path in links if re.fullmatch(rf"{below}\d+/", path)]
        assert paths, f"/chats/ should link to a room below {below}. It links {links}."
        return sorted(paths, key=lambda path: int(path.strip("/").rpartition("/")[2]))

    def _links(self, user: str) -> list[str]:
        soup = parse(self.get("/chats/", user=user).text)
        return [urljoin("/chats/", link["href"]) for link in soup("a", href=True)]

    def shell(self, code: str, env: dict[str, str] | None = None) -> str:
        """Run `code` in the Django shell of the copy; returns what it printed."""
        assert self.django
        return self.manage("shell", "--verbosity", "0", "--command", code, env=env)


class ManyChats:
    """Several chat servers of one folder, on one database and with one engine.

    `many[0]`, `many[1]` and so on are the Chat as seen by who talks to that server, so
    that whatever takes a Chat can ask each of them; each of these can end(), crash(),
    pause(), resume() and come_back(), and its clock can be set. They share Django,
    which runs, and knows all servers, accounts, tokens and the notes of the wire.
    `engine` is theirs. Use it in a `with` block. Raises as Chat does.

    There are so many `servers` as the snapshot has, or as are asked for, up to ten.
    What else is given, Chat takes.
    """

    def __init__(self, target: Target, workspace: Path, servers: int = 0, **more):
        first = Chat(target, workspace, **more)
        self.chats = [first]
        count = servers or target.stage.servers
        self.ports = [first.chat_port, *(free_ports(count - 1) if count > 1 else [])]
        named = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        for env in (first.env, first.twisted.env):
            env["CHAT_SERVERS"] = named

    def __enter__(self) -> ManyChats:
        first = self.chats[0]
        with ExitStack() as stack:
            stack.enter_context(first)
            for number, port in enumerate(self.ports[1:], start=1):
                self.chats.append(first.twin(port, f"twisted-{number}"))
            for number, chat in enumerate(self):
                chat.called = f"Chat server {number}"
                chat.twisted.name = f"{chat.called} (twistd -n -y chatserver.py)"
            others = self.chats[1:]
            for chat in others:
                stack.callback(chat.twisted.stop)
                chat.twisted.begin(chat.chat_port)
            for chat in others:
                chat.twisted.wait()
            self._places = stack.pop_all()
        return self

    def __exit__(self, *exc) -> None:
        self._places.close()

    def __len__(self) -> int:
        return len(self.chats)

    def __getitem__(self, number: int) -> Chat:
        return self.chats[number]

    def __iter__(self) -> Iterator[Chat]:
        return iter(self.chats)

    @property
    def engine(self) -> Engine | None:
        """The engine that they share."""
        return self.chats[0].engine

    @property
    def servers(self) -> list[Server]:
        """Django, and each chat server."""
        return [self.chats[0].django, *(chat.twisted for chat in self)]

    def mend(self) -> None:
        """Have all run as at first, whatever a test has done to them.

        What was said stays. Who has lost the engine for a while is started anew: how
        soon it finds it by itself, is for a test to say.
        """
        stale = [chat for chat in self if not chat.twisted.is_well]
        stale += [chat for chat in self if chat.clock.is_moved and chat not in stale]
        if self.engine and not self.engine.is_well:
            self.engine.mend()
            stale = self.chats
        for chat in stale:
            chat.come_back()


def cookie_header(cookies: dict[str, str]) -> dict[str, str]:
    """The header by which a browser sends these cookies, if there are any."""
    said = "; ".join(f"{name}={cookie}" for name, cookie in cookies.items())
    return {"Cookie": said} if said else {}


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
