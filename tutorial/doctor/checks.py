"""What may stand in the way of a learner, and the cure. Used by run and doctor.

A check takes what it judges, so that it can be tried with any world; the functions
at the end look at this one.
"""

from __future__ import annotations

import errno
import importlib.metadata
import os
import re
import shlex
import shutil
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tutorial.bootstrap import too_old
from tutorial.settings import (
    BAD_PORTS,
    KEPT,
    MARK,
    USUAL_PORTS,
    is_debug,
    origins_of,
    read_origins,
)
from tutorial.setup.environment import python_of, read_group
from tutorial.stages import ROOT

WINDOWS = sys.platform == "win32"
# It runs as root in a container, too, and asks for nothing from outside.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


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
        is_django = {"manage.py", "runserver"} <= set(self.words)
        return self.is_chat or (is_django and os.path.isdir(package))  # noqa: PTH112

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
        same = (self.folder, self.command) == (other.folder, other.command)
        return bool(self.folder) and same


@dataclass(frozen=True)
class Ports:
    """The ports on which Django and the chat servers listen.

    The first of so many `servers` listens on `chat`, the others on the ports after it.
    """

    django: int
    chat: int
    servers: int = 1

    @property
    def chats(self) -> range:
        """The ports of all chat servers."""
        return range(self.chat, self.chat + self.servers)

    @classmethod
    def read(cls, environ: Mapping[str, str], servers: int = 1) -> Ports:
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
            if int(text) in BAD_PORTS:
                raise ValueError(
                    f"{name} is {text}, and browsers open nothing on that port, which "
                    f"is another protocol's. Take another, as {usual + 1}."
                )
            found.append(int(text))
        if found[0] == found[1]:
            raise ValueError(
                f"DJANGO_PORT and CHAT_PORT are both {found[0]}. "
                "Django and the chat server need a port each."
            )
        ports = cls(*found, servers)
        wanted = listed(map(str, ports.chats))
        if ports.django in ports.chats:
            raise ValueError(
                f"DJANGO_PORT is {ports.django}, and the {servers} chat servers need "
                f"{wanted}. Take another for either."
            )
        if {*ports.chats} & BAD_PORTS or ports.chats[-1] > 65535:
            raise ValueError(
                f"CHAT_PORT is {ports.chat}, so that the {servers} chat servers need "
                f"{wanted}, and not all of these can be used. Take another."
            )
        return ports


def listed(words: Iterable[str]) -> str:
    """Words as a sentence lists them: one, two and three."""
    *most, end = words
    return f"{', '.join(most)} and {end}" if most else end


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
        numbers = listed(str(p.number) for p in both)
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

    Of `ports`, all that are wanted, the others stay as they were chosen. One variable
    stands for the ports of all chat servers: for the first, and it comes first.
    """
    others = {port.variable: port.other for port in taken}
    firsts = {port.variable: port.number for port in reversed(ports)}
    words = [
        f"{variable}={others.get(variable, firsts[variable])}"
        for variable in USUAL_PORTS
        if variable in others
        or firsts.get(variable, USUAL_PORTS[variable]) != USUAL_PORTS[variable]
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


# os.path says of what may not be looked at that it is not there. Path.is_file raises.
def is_file(path: Path) -> bool:
    """Whether there is a file, as far as this user may see."""
    return os.path.isfile(path)  # noqa: PTH113


def folders_below(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without what is hidden or made by a system."""
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        one
        for one in found
        if os.path.isdir(one)  # noqa: PTH112
        and not one.name.startswith((".", "__"))
    ]


def nearby_projects(folder: Path) -> list[Path]:
    """Folders with a manage.py a little below `folder`, or above it."""
    below = folders_below(folder)
    below += [inner for one in below for inner in folders_below(one)]
    above = folder.parents[:2]
    found = (*sorted(below), *above)
    return [one for one in found if is_file(one / "manage.py")]


def why_shut(folder: Path) -> str:
    """Why a folder cannot be read; empty if it can, or is none."""
    if os.path.isdir(folder):  # noqa: PTH112
        try:
            next(folder.iterdir(), None)
            (folder / "manage.py").exists()
        except OSError as error:
            return f"{folder} cannot be read: {error.strerror}."
    return ""


def archives_in(folder: Path) -> list[Path]:
    """The archives in a folder, sorted."""
    with suppress(OSError):
        return sorted(one for one in folder.iterdir() if is_archive(one))
    return []


def is_archive(path: Path) -> bool:
    """Whether this is a file that something has to be unpacked from."""
    names = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
    return path.suffix.lower() in names and is_file(path) and path.name[0] != "."


def check_stage(folder: Path) -> Finding:
    """Whether a folder holds a stage that can be run."""
    if is_archive(folder):
        return Finding("problem", f"{folder} is an archive.", "Unpack it first.")
    if is_file(folder):
        cure = "Give the folder that manage.py is in."
        return Finding("problem", f"{folder} is a file.", cure)
    if shut := why_shut(folder):
        cure = "Give yourself the right to read it, or take a copy that is yours."
        return Finding("problem", shut, cure)
    if not folder.is_dir():
        if folder.is_symlink():
            says = f"{folder} is a link that leads to no folder."
            return Finding("problem", says, "Give the folder itself.")
        return Finding("problem", f"There is no folder {folder}.", "Look at its name.")
    if not is_file(folder / "manage.py"):
        says = f"{folder} holds no manage.py, so it is no Django project."
        near = " or ".join(map(str, nearby_projects(folder)[:3]))
        cure = f"Do you mean {near}?" if near else ""
        if not near and (found := archives_in(folder)):
            cure = f"It holds {found[0].name}: unpack it first."
        return Finding("problem", says, cure or "Give the folder that manage.py is in.")
    return Finding("ok", f"{folder.name} can be run.")


def check_git(git: str | None) -> Finding:
    """Whether git is there. `git` is its path."""
    if git:
        return Finding("ok", "git is there.")
    return Finding("problem", "git is missing; diff needs it.", "Install git.")


def check_docs_port(error: OSError | None, port: int) -> list[Finding]:
    """Whether the pages of the tutorial can be shown on their port."""
    if error is None:
        return []
    says = f"Port {port}, where the tutorial's pages are shown, is in use."
    cure = "If they are shown already, read on there. Else end that program, or: "
    cure += f"python -m mkdocs serve -a 127.0.0.1:{port + 1}"
    return [Finding("note", says, cure)]


def check_database(
    folder: Path, environ: Mapping[str, str] | None = None
) -> list[Finding]:
    """Whether a stage has migrations, and a database that has seen them.

    The runner brings a database up to date, so that is no problem. Nothing in
    `folder` is imported, and its database is only read.
    """
    apps = [one for one in folders_below(folder) if is_file(one / "models.py")]
    made = {
        (app.name, file.stem)
        for app in apps
        for file in app.glob("migrations/[0-9]*.py")
    }
    found = []
    for app in apps:
        try:
            models = (app / "models.py").read_text("utf-8", "replace")
        except OSError as error:
            says = f"{app / 'models.py'} cannot be read: {error.strerror}."
            found.append(
                Finding("problem", says, "Give yourself the right to read it.")
            )
            continue
        if any(name == app.name for name, _ in made) and not is_file(
            app / "migrations" / "__init__.py"
        ):
            says = f"{app.name}/migrations of {folder.name} has no __init__.py, so"
            cure = f"Make an empty file {app / 'migrations' / '__init__.py'}."
            found.append(Finding("problem", f"{says} Django sees no migration.", cure))
        if "models.Model" in models and app.name not in {name for name, _ in made}:
            says = f"The app {app.name} of {folder.name} has models, but no migration"
            cure = f"In that folder: python manage.py makemigrations {app.name}"
            found.append(Finding("problem", f"{says} makes their tables.", cure))
    if environ and has_other_database(environ, folder):
        return found  # what lies in the folder is not used
    file = folder / "db.sqlite3"
    if not is_file(file):
        if not os.access(folder, os.W_OK):
            says = f"You may not write into {folder}, so there can be no database."
            cure = "Take a copy of it that is yours."
            return [*found, Finding("problem", says, cure)]
        says = f"{folder.name} has no database yet; `run` makes it."
        return [*found, Finding("note", says)]
    if not all(os.access(one, os.W_OK) for one in (file, folder)):
        says = f"You may not write the database of {folder.name}, {file}."
        cure = "Was something run there as root? Give the folder back to yourself: "
        cure += f"sudo chown -R $USER {shlex.quote(str(folder))}"
        found.append(Finding("problem", says, cure))
    try:
        missing = sorted(made - applied_migrations(file))
    except (OSError, sqlite3.Error) as error:
        says = f"The database of {folder.name} cannot be read: {error}."
        return [*found, Finding("note", says)]
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
    """The migrations, as (app, name), that a database says it has seen.

    Raises OSError, and sqlite3.Error.
    """
    # SQLite leaves files beside a database that it reads, so it reads a copy. What was
    # written last may be in the log beside it.
    with tempfile.TemporaryDirectory(prefix="doctor-") as place:
        copy = Path(shutil.copyfile(file, Path(place, "db.sqlite3")))
        if is_file(log := file.with_name(f"{file.name}-wal")):
            shutil.copyfile(log, copy.with_name(f"{copy.name}-wal"))
        with closing(sqlite3.connect(copy)) as database:
            if not database.execute("PRAGMA table_info(django_migrations)").fetchall():
                return set()
            return set(database.execute("SELECT app, name FROM django_migrations"))


def check_pidfile(folder: Path) -> list[Finding]:
    """Whether a file in `folder` keeps twistd from starting there."""
    file = folder / "twistd.pid"
    if not is_file(file):
        return []
    text = ""
    with suppress(OSError):
        text = file.read_text("utf-8", "replace").strip()
    cure = f"By hand, remove the file: rm {shlex.quote(str(file))}"
    if not re.fullmatch("[0-9]{1,9}", text):  # No process has a longer number.
        says = f"{file} does not hold the number of a process, and twistd then stops."
        return [Finding("note", says, cure)]
    if int(text) and not psutil.pid_exists(int(text)):
        return []  # twistd notices, and goes on
    one = program(int(text))
    where = one.folder or folder  # Of somebody else's process, nothing is told.
    if one.is_chat and Path(where).resolve() == folder.resolve():
        return []  # It runs, which is said elsewhere.
    says = f"{file} is left over: process {text} is another program. Until you remove"
    says += ' it, twistd says "Another twistd server is running", and stops.'
    return [Finding("note", says, cure)]


def check_origins(environ: Mapping[str, str], ports: Ports) -> Finding:
    """Whether the chat server will let in the page that `run` says to open."""
    page, other = origins_of(ports.django)
    named = read_origins(environ)
    if page in named or not named:
        return Finding("ok", f"The chat server lets in {page}.")
    why = "Unset it, or name that one as well."
    if other in named:
        why = f"To a browser, localhost and 127.0.0.1 are two sites. {why}"
    says = f"CHAT_ORIGINS is {environ['CHAT_ORIGINS']}, without {page}."
    return Finding("problem", says, why)


def check_surroundings(environ: Mapping[str, str], folder: Path) -> list[Finding]:
    """What the environment changes in the project in `folder`, if that reads it."""
    found = []
    if environ.get("PYTHONSAFEPATH"):
        says = "PYTHONSAFEPATH is set: python then finds no module beside manage.py."
        found.append(Finding("note", says, "By hand, first: unset PYTHONSAFEPATH"))
    if environ.get("PYTHONOPTIMIZE"):
        says = "PYTHONOPTIMIZE is set: Python then leaves out what `assert` says."
        found.append(Finding("note", says, "For the tests: unset PYTHONOPTIMIZE"))
    read = settings_text(folder)
    if "DJANGO_DEBUG" in read and not is_debug(environ):
        says = (
            f"DJANGO_DEBUG is {environ['DJANGO_DEBUG']!r}, so DEBUG is off, and Django"
        )
        says += " serves no styles and no scripts: the page will be dead."
        found.append(Finding("problem", says, "Unset it, or set it to 1."))
    if has_other_database(environ, folder):
        says = f"DATABASE_URL names another database: {without_password(environ)}"
        cure = "`run` migrates it, and what is said goes there. For the folder's own: "
        found.append(Finding("note", says, f"{cure}unset DATABASE_URL"))
    return found


def settings_text(folder: Path) -> str:
    """The text of a project's settings, as far as they can be read."""
    text = ""
    for file in (*folder.glob("*/settings.py"), *folder.glob("*/settings/*.py")):
        with suppress(OSError):
            text += file.read_text("utf-8", "replace") if is_file(file) else ""
    return text


def has_other_database(environ: Mapping[str, str], folder: Path) -> bool:
    """Whether the environment names a database, and the settings heed that."""
    heeded = re.search("DATABASE_URL|dj_database_url", settings_text(folder))
    return bool(environ.get("DATABASE_URL") and heeded)


def without_password(environ: Mapping[str, str]) -> str:
    """DATABASE_URL as it may be shown. What comes behind a `?` may be one, too."""
    shown = re.sub(r"(://[^:/@?]*):.*@", r"\1:...@", environ["DATABASE_URL"])
    return re.sub(r"\?.+", "?...", shown)


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


def free_port(start: int, taken: Iterable[int] = (), row: int = 1) -> int:
    """The first free port from `start` on, without those in `taken`.

    Of a `row` of so many, one after the other, it is the first.
    """
    avoid = BAD_PORTS | {*taken}
    return next(
        first
        for first in range(max(start, 1024), 65537 - row)
        if not avoid & {*range(first, first + row)}
        and not any(map(bind_error, range(first, first + row)))
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
    """Every running server of this tutorial and this user, in whatever folder.

    Those under check are none to speak of: whoever checks them ends them.
    """
    found = []
    me = psutil.Process().username()
    for process in psutil.process_iter(["cmdline", "username"]):
        words = " ".join(process.info["cmdline"] or [])
        mine = process.info["username"] == me
        if mine and ("chatserver.py" in words or "manage.py" in words):
            environ = {}
            with suppress(psutil.Error, OSError):
                environ = process.environ()
            if KEPT not in environ:
                found.append(program(process.pid))
    return [one for one in found if one.is_ours]


def look_at_ports(ports: Ports, root: Path, with_chat: bool = True) -> list[Finding]:
    """Check the ports of this machine. Without a chat server only Django's.

    `root` is the clone, whose own servers may be ended.
    """
    wanted = [Port("Django", "DJANGO_PORT", ports.django)]
    if with_chat:
        for number, port in enumerate(ports.chats, start=1):
            name = f"chat server {number}" if ports.servers > 1 else "the chat server"
            wanted.append(Port(name, "CHAT_PORT", port))
    all_wanted = {ports.django, *ports.chats}
    found = []
    holders = None
    for port in wanted:
        if error := bind_error(port.number):
            holders = listeners() if holders is None else holders
            pid = holders.get(port.number)
            row = ports.servers if port.variable == "CHAT_PORT" else 1
            other = free_port(port.number + 1, all_wanted, row)
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


# --- Several of these at once ----------------------------------------------


def python_findings(group: str) -> list[Finding]:
    """Check this Python, and the packages that `group` of pyproject.toml asks for."""
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    packages = check_packages(
        read_group(group),
        installed_requires,
        installed_version,
        read_lock(lock),
        group,
    )
    environment = check_environment(Path(sys.prefix), ROOT)
    if environment.level == "note" and any(p.level == "problem" for p in packages):
        # What is missing here is there.
        environment = replace(environment, level="problem")
    version = tuple(sys.version_info[:3])
    return [check_python(version, sys.executable), environment, *packages]


def project_findings(folder: Path) -> list[Finding]:
    """Check what is in `folder`, without running it."""
    found = check_stage(folder)
    if found.level == "problem":
        return [found]
    return [
        found,
        *check_surroundings(os.environ, folder),
        *check_pidfile(folder),
        *check_database(folder, os.environ),
    ]


def problems_in(findings: list[Finding]) -> str:
    """The problems among `findings`, as text; empty if there are none."""
    problems = [finding for finding in findings if finding.level == "problem"]
    return "\nError: ".join(str(problem) for problem in problems)
