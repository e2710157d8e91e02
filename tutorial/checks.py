"""What may stand in the way of a learner, and the cure. Used by run and doctor.

A check takes what it judges, so that it can be tried with any world; the functions
at the end look at this one.
"""

from __future__ import annotations

import errno
import importlib.metadata
import os
import shlex
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tutorial.bootstrap import too_old
from tutorial.environment import python_of

WINDOWS = sys.platform == "win32"
USUAL_PORTS = {"DJANGO_PORT": 8000, "CHAT_PORT": 1025}
# It runs as root in a container, too, and asks for nothing from outside.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MARK = "TUTORIAL_RUN"  # a variable in the environment of each server of a run


@dataclass(frozen=True)
class Finding:
    """What a check found. `cure` says what to do about it."""

    level: Literal["ok", "note", "problem"]
    says: str
    cure: str = ""

    def __str__(self):
        return f"{self.says} {self.cure}".strip()


@dataclass(frozen=True)
class Program:
    """A running process. What is secret of `command`, `folder` and `run` is empty."""

    pid: int
    command: tuple[str, ...] = ()
    folder: str = ""
    run: str = ""  # the mark that the runner puts on its servers

    @property
    def words(self) -> list[str]:
        """Its command, without the folders of its parts."""
        return [Path(word).name for word in self.command]

    @property
    def is_chat(self) -> bool:
        """Whether this is a chat server of the tutorial, in whatever folder."""
        twistd = any("twistd" in word for word in self.command)
        return twistd and "chatserver.py" in self.words

    @property
    def is_ours(self) -> bool:
        """Whether this is a server of the tutorial, in whatever folder."""
        # Every Django project has a manage.py.
        package = Path(self.folder or "/", "django_twisted_chat")
        is_django = {"manage.py", "runserver"} <= set(self.words) and package.is_dir()
        return self.is_chat or is_django

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        line = "chatserver.py" if self.is_chat else " ".join(self.words)
        if len(line) > 70:
            line = line[:67] + "..."
        return f"{line} (pid {self.pid})" if line else f"pid {self.pid}"

    def is_below(self, root: Path) -> bool:
        """Whether it runs in `root` or a folder in it, as far as can be seen."""
        return bool(self.folder) and Path(self.folder).is_relative_to(root)

    def belongs_with(self, other: Program) -> bool:
        """Whether both were started together, so that one ends both."""
        if self.run or other.run:
            return self.run == other.run
        # runserver starts itself again, as a child with the same command.
        return (self.folder, self.command) == (other.folder, other.command)


@dataclass(frozen=True)
class Ports:
    """The ports on which Django and the chat server listen."""

    django: int
    chat: int

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Ports:
        """Take the ports from DJANGO_PORT and CHAT_PORT.

        Raises ValueError, with a sentence, for what is no port or is there twice.
        """
        found = []
        for name, usual in USUAL_PORTS.items():
            text = environ.get(name) or str(usual)
            if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
                raise ValueError(
                    f"{name} is {text!r}, which is no port. Set it to a number from "
                    f"1024 to 65535, or unset it for the usual {usual}."
                )
            found.append(int(text))
        if found[0] == found[1]:
            raise ValueError(
                f"DJANGO_PORT and CHAT_PORT are both {found[0]}. "
                "Django and the chat server need a port each."
            )
        return cls(*found)


def end_command(pids: Iterable[int], windows: bool = WINDOWS) -> str:
    """The command that ends the processes `pids`."""
    if windows:
        return "taskkill /F " + " ".join(f"/PID {pid}" for pid in pids)
    return "kill " + " ".join(str(pid) for pid in pids)


def family(one: Program, servers: Iterable[Program]) -> list[Program]:
    """`one` and those of `servers` that were started together with it.

    Nothing else: on a shared machine other learners' servers run, too.
    """
    others = [other for other in servers if other.pid != one.pid]
    return [one, *(other for other in others if one.belongs_with(other))]


def check_python(version: tuple[int, ...], executable: str) -> Finding:
    """Whether this Python is new enough."""
    complaint = too_old(version, executable)
    if complaint:
        return Finding("problem", complaint)
    return Finding("ok", f"Python {'.'.join(str(part) for part in version[:3])}")


def check_environment(prefix: Path, root: Path) -> Finding:
    """Whether this Python is the one in the clone's .venv."""
    venv = root / ".venv"
    if prefix.resolve() == venv.resolve():
        return Finding("ok", "This is the Python in .venv.")
    python = python_of(venv)
    if not python.exists():
        return Finding("note", "There is no .venv yet.", "To make it: make setup")
    return Finding(
        "note",
        f"This is a Python outside .venv: {prefix}",
        f"To use the one inside: {python.relative_to(root)} -m tutorial",
    )


def needed(
    requirements: Iterable[str], requires: Callable[[str], list[str] | None]
) -> list[tuple[Requirement, str]]:
    """Every requirement of `requirements`, direct or not, with who asks for it.

    `requires` gives a package's own requirements, or None if it is not there. What
    is for another system is left out; extras count where they are asked for.
    """
    found: list[tuple[Requirement, str]] = []
    waiting = [(Requirement(text), "", "") for text in requirements]
    seen = set()
    while waiting:
        requirement, asker, extra = waiting.pop(0)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        found.append((requirement, f"{asker}[{extra}]" if extra else asker))
        name = canonicalize_name(requirement.name)
        for wanted in ("", *sorted(requirement.extras)):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [
                    (Requirement(text), requirement.name, wanted)
                    for text in requires(name) or []
                    # Without an extra, only what needs none; with one, only its own.
                    if ("extra ==" in text) == bool(wanted)
                ]
    return found


def check_packages(
    requirements: Iterable[str],
    requires: Callable[[str], list[str] | None],
    version: Callable[[str], str | None],
    locked: Mapping[str, str],
    group: str = "run",
) -> list[Finding]:
    """Whether all packages are there, in a fit version.

    `version` gives a package's version or None; `locked` the tested versions. `group`
    is the name of what is asked for.
    """
    problems: dict[str, Finding] = {}
    others: dict[str, str] = {}
    cure = f"Run: {Path(sys.executable).name} {Path('tutorial', 'bootstrap.py')}"
    cure += f" {group}"
    for requirement, asker in needed(requirements, requires):
        name = canonicalize_name(requirement.name)
        here = version(name)
        why = f", which {asker} needs" if asker else ""
        if here is None:
            says = f"The package {name} is missing{why}."
            problems[name] = Finding("problem", says, f"{cure} --again")
        elif not requirement.specifier.contains(here, prereleases=True):
            says = f"{name} is {here}, but {requirement.specifier} is needed."
            problems[name] = Finding("problem", says, f"{cure} --again")
        elif locked.get(name, here) != here:
            others[name] = f"{name} {here} (tested: {locked[name]})"
    notes = []
    if others:
        says = "Other versions than the tested ones: " + ", ".join(others.values())
        notes = [Finding("note", says, f"For the tested ones, {cure.lower()} --again")]
    if problems:
        return [*problems.values(), *notes]
    names = [Requirement(text).name for text in requirements]
    here = {name: version(canonicalize_name(name)) for name in names}
    text = ", ".join(f"{name} {found}" for name, found in here.items() if found)
    return [Finding("ok", f"All packages are there: {text}"), *notes]


@dataclass(frozen=True)
class Port:
    """A port that a server is to have."""

    server: str
    variable: str
    number: int
    error: OSError | None = None  # what binding to it raised
    holder: Program | None = None  # who has it, as far as can be seen
    other: int = 0  # one that is free


def check_ports(ports: list[Port], servers: list[Program], root: Path) -> list[Finding]:
    """Whether each port can be used. `servers` are the tutorial's that run.

    The command that ends one is given only for what is surely the learner's own: in
    the clone at `root`, or started by the runner.
    """
    findings = []
    left = list(ports)
    while left:
        port = left.pop(0)
        if port.holder is None or not port.holder.is_ours:
            findings.append(check_port(port, ports))
            continue
        # One forgotten server usually has both ports: that is one thing to say.
        kin = family(port.holder, servers)
        pids = {program.pid for program in kin}
        both = [port, *(p for p in left if p.holder and p.holder.pid in pids)]
        left = [p for p in left if p not in both]
        numbers = " and ".join(str(p.number) for p in both)
        start = f"Ports {numbers} are" if len(both) > 1 else f"Port {numbers} is"
        cure = f"or {take_another(both, ports)}"
        # The mark of a run can be read only where the run is one's own.
        if port.holder.run or port.holder.is_below(root):
            cure = f"or with `{end_command(sorted(pids))}`; {cure}"
        findings.append(
            Finding(
                "problem",
                f"{start} in use by a server of this tutorial that runs in "
                f"{port.holder.folder or 'some folder'}: {port.holder.name}.",
                f"Stop it with Ctrl-C where you started it, {cure}",
            )
        )
    return findings


def check_port(port: Port, ports: list[Port]) -> Finding:
    """Whether a port can be used that no server of the tutorial has.

    `ports` are all that are wanted.
    """
    wanted = f"Port {port.number}, for {port.server},"
    another = take_another([port], ports)
    if port.error is None:
        return Finding("ok", f"Port {port.number} is free for {port.server}.")
    if port.error.errno == errno.EACCES:
        says = f"{wanted} is one that the system does not let you use."
        return Finding("problem", says, another.capitalize())
    if port.holder is None:
        look = f"lsof -i :{port.number}"
        if WINDOWS:
            look = f"netstat -ano | findstr :{port.number}"
        return Finding(
            "problem",
            f"{wanted} is in use by a program of another user.",
            f"Look with `{look}` as administrator, or {another}",
        )
    says = f"{wanted} is in use by {port.holder.name}."
    return Finding("problem", says, f"End that program, or {another}")


def take_another(taken: list[Port], ports: list[Port], windows: bool = WINDOWS) -> str:
    """The advice to take other ports than those `taken`.

    Of `ports`, all that are wanted, the others stay as they were chosen.
    """
    words = [
        f"{port.variable}={port.other if port in taken else port.number}"
        for port in ports
        if port in taken or port.number != USUAL_PORTS[port.variable]
    ]
    if windows:
        return f"take another: set {'& set '.join(words)}, then start again"
    return f"take another: {' '.join(words)} make run"


def check_leftovers(servers: list[Program], root: Path) -> list[Finding]:
    """Which servers of the tutorial run. Those of the clone at `root` are a problem."""
    findings = []
    left = list(servers)
    while left:
        kin = family(left[0], left)
        left = [one for one in left if one not in kin]
        here = kin[0].is_below(root)
        where = f" in {kin[0].folder}" if kin[0].folder else ""
        findings.append(
            Finding(
                "problem" if here else "note",
                f"A server of this tutorial runs{where}: {kin[0].name}.",
                "If it is yours, stop it with Ctrl-C where you started it, or with: "
                + end_command(sorted(one.pid for one in kin)),
            )
        )
    return findings or [Finding("ok", "No server of this tutorial is running.")]


def check_folder(here: Path, root: Path) -> Finding:
    """Whether the commands work from the current folder."""
    if here == root:
        return Finding("ok", f"This is the tutorial's folder: {root}")
    return Finding(
        "problem",
        f"The commands work in {root}, and you are in {here}.",
        f"Go there: cd {shlex.quote(str(root)) if not WINDOWS else root}",
    )


def nearby_projects(folder: Path) -> list[Path]:
    """Folders with a manage.py a little below `folder`, or above it."""
    below = [*folder.glob("*/manage.py"), *folder.glob("*/*/manage.py")]
    above = [parent / "manage.py" for parent in folder.parents[:2]]
    return [file.parent for file in (*sorted(below), *above) if file.is_file()]


def check_stage(folder: Path) -> Finding:
    """Whether a folder holds a stage that can be run."""
    if not folder.is_dir():
        return Finding("problem", f"There is no folder {folder}.", "Look at its name.")
    if not (folder / "manage.py").is_file():
        near = " or ".join(map(str, nearby_projects(folder)[:3]))
        return Finding(
            "problem",
            f"{folder} holds no manage.py, so it is no Django project.",
            f"Do you mean {near}?" if near else "Give the folder that manage.py is in.",
        )
    return Finding("ok", f"{folder.name} can be run.")


def check_git(git: str | None) -> Finding:
    """Whether git is there. `git` is its path."""
    if git:
        return Finding("ok", "git is there.")
    return Finding("problem", "git is missing; diff needs it.", "Install git.")


def check_database(folder: Path) -> list[Finding]:
    """Whether a stage has migrations, and a database that has seen them.

    The runner brings a database up to date, so that is no problem. Nothing in
    `folder` is imported, and its database is only read.
    """
    made = {
        (models.parent.name, file.stem)
        for models in folder.glob("*/models.py")
        for file in models.parent.glob("migrations/[0-9]*.py")
    }
    without = [
        models.parent.name
        for models in folder.glob("*/models.py")
        if "models.Model" in models.read_text("utf-8", "replace")
        and models.parent.name not in {app for app, _ in made}
    ]
    found = [
        Finding(
            "problem",
            f"The app {app} of {folder.name} has models, but no migration makes "
            "their tables.",
            f"In that folder: python manage.py makemigrations {app}",
        )
        for app in without
    ]
    file = folder / "db.sqlite3"
    if not file.is_file():
        says = f"{folder.name} has no database yet; `run` makes it."
        return [*found, Finding("note", says)]
    missing = sorted(made - applied_migrations(file))
    if missing:
        names = ", ".join(f"{app}.{name}" for app, name in missing)
        found.append(
            Finding(
                "note",
                f"The database of {folder.name} has not seen {names}; `run` brings it.",
                "By hand, in that folder: python manage.py migrate",
            )
        )
    return found or [Finding("ok", f"{folder.name} has its database.")]


def applied_migrations(file: Path) -> set[tuple[str, str]]:
    """The migrations, as (app, name), that a database says it has seen."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            return set(database.execute("SELECT app, name FROM django_migrations"))
    except sqlite3.Error:
        return set()


def check_origins(environ: Mapping[str, str], ports: Ports) -> Finding:
    """Whether the chat server will let in the page that `run` says to open."""
    page = f"http://127.0.0.1:{ports.django}"
    named = [origin.strip() for origin in environ.get("CHAT_ORIGINS", "").split(",")]
    if page in named or not any(named):
        return Finding("ok", f"The chat server lets in {page}.")
    why = "Unset it, or name that one as well."
    if f"http://localhost:{ports.django}" in named:
        why = f"To a browser, localhost and 127.0.0.1 are two sites. {why}"
    says = f"CHAT_ORIGINS is {environ['CHAT_ORIGINS']}, without {page}."
    return Finding("problem", says, why)


def check_localhost(addresses: Iterable[str]) -> Finding:
    """Whether `localhost`, with its `addresses`, is where the servers listen."""
    found = list(dict.fromkeys(addresses))
    if "127.0.0.1" in found:
        return Finding("ok", "localhost is this machine.")
    there = " and ".join(found) or "nothing"
    says = f"Here localhost is {there}, and the servers listen on 127.0.0.1."
    return Finding("note", says, "Open http://127.0.0.1:8000/, as `run` says.")


def check_browser(path: str | None) -> Finding:
    """Whether there is a browser for the browser tests. `path` is the browser's."""
    if path:
        return Finding("ok", f"The browser tests use {path}.")
    return Finding(
        "note",
        f"{why_no_browser()}, so the browser tests are skipped.",
        "Only they need it. On Debian it is the package chromium. Elsewhere, name one "
        "in CHROMIUM.",
    )


# --- Looking at this machine ------------------------------------------------


def bind_error(port: int) -> OSError | None:
    """What stands against listening on `port` of 127.0.0.1, or None."""
    with socket.socket() as sock:
        # As the servers do: what a connection of the last run left does not count.
        option = "SO_EXCLUSIVEADDRUSE" if WINDOWS else "SO_REUSEADDR"
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen(1)
        except OSError as error:
            return error
    return None


def free_port(start: int, taken: Iterable[int] = ()) -> int:
    """The first free port from `start` on, without those in `taken`."""
    avoid = set(taken)
    return next(
        port
        for port in range(max(start, 1024), 65536)
        if port not in avoid and bind_error(port) is None
    )


def listeners() -> dict[int, int]:
    """The pid that listens on each TCP port, as far as this user may see it."""
    found = {}
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:  # macOS shows a user only their own processes
        connections = []
        for process in psutil.process_iter():
            try:
                found |= {
                    c.laddr.port: process.pid
                    for c in process.net_connections("tcp")
                    if c.status == psutil.CONN_LISTEN
                }
            except psutil.Error:
                continue
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.pid:
            found.setdefault(connection.laddr.port, connection.pid)
    return found


def program(pid: int) -> Program:
    """The process `pid`, as far as this user may see it."""
    found = {}
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        found["command"] = tuple(process.cmdline())
        found["folder"] = process.cwd() or ""
        found["run"] = process.environ().get(MARK, "")
    return Program(pid, **found)


def running_servers() -> list[Program]:
    """Every running server of this tutorial, in whatever folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if "chatserver.py" in words or "manage.py" in words:
            found.append(program(process.pid))
    return [one for one in found if one.is_ours]


def look_at_ports(ports: Ports, root: Path, with_chat: bool = True) -> list[Finding]:
    """Check the ports of this machine. Without a chat server only Django's.

    `root` is the clone, whose own servers may be ended.
    """
    wanted = [Port("Django", "DJANGO_PORT", ports.django)]
    if with_chat:
        wanted.append(Port("the chat server", "CHAT_PORT", ports.chat))
    found = []
    holders = None
    for port in wanted:
        if error := bind_error(port.number):
            holders = listeners() if holders is None else holders
            pid = holders.get(port.number)
            other = free_port(port.number + 1, (ports.django, ports.chat))
            holder = program(pid) if pid else None
            port = replace(port, error=error, holder=holder, other=other)
        found.append(port)
    return check_ports(found, running_servers() if holders else [], root)


def localhost_addresses() -> list[str]:
    """What `localhost` means on this machine, in the order in which it is tried."""
    try:
        found = socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [entry[4][0] for entry in found]


def find_browser() -> str | None:
    """The path of a Chromium on this machine; CHROMIUM may name it."""
    named = os.environ.get("CHROMIUM")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    return next(filter(None, map(shutil.which, names)), None)


def why_no_browser() -> str:
    """Why find_browser() finds none, if so."""
    named = os.environ.get("CHROMIUM")
    if named:
        return f"CHROMIUM names {named!r}, and there is no such program"
    return "There is no Chromium here"


def installed_version(name: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def installed_requires(name: str) -> list[str] | None:
    """What an installed package requires, or None if it is not there."""
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return None


def read_lock(text: str) -> dict[str, str]:
    """The version that a lock file pins for each package, on this Python and system."""
    pins = {}
    for line in text.splitlines():
        if pin := line.partition("#")[0].strip():
            found = Requirement(pin)
            if not found.marker or found.marker.evaluate():
                version = str(found.specifier).removeprefix("==")
                pins[canonicalize_name(found.name)] = version
    return pins
