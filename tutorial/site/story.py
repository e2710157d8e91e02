"""Does what a page says, in the page's order: applies its steps, runs its commands.

The reader's home is a passing folder. Ports are free ones; what is printed is put back
to what the page says.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from tutorial.processes import end, free_ports
from tutorial.site.edits import Change, EditError, put_in, read_lines
from tutorial.site.pages import RUN, Directive, Edits, Fence, Page
from tutorial.stages import ROOT, find_stage

PATIENCE = 30.0  # seconds for what a server prints
# seconds: what is saved while Django begins to watch its files, it takes for old
SAVE_AGAIN = 5.0
TIMEOUT = 300.0  # seconds for one command: nothing here hangs for that long
GAP = "[...]"

# What differs from run to run, and stands in the place of it when two are compared.
VOLATILE = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[+-]\d{4}|Z)?", "<time>"),
    (r"\d\d/[A-Z][a-z]{2}/\d{4}[: ]\d\d:\d\d:\d\d( [+-]\d{4})?", "<time>"),
    (r"[A-Z][a-z]+ \d\d?, \d{4} - \d\d:\d\d:\d\d", "<time>"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", "<time>"),
    (r"\b1[6-9]\d{8}\.\d+", "<stamp>"),
    (
        r"\bin \d+(?:\.\d+)? ?s(?:econds?)?\b(?: \(\d+:\d\d:\d\d\))?",
        "in <duration>",
    ),
    (r"\b0x[0-9a-f]{6,}", "<address>"),
    (r"\b(PoolThread-[\w.]+)-\d+", r"\1-<number>"),
    # All that is promised is so on two Djangos, and a page shows one.
    (r"^(?:5\.2|6\.1)(?:\.\d+)?$", "<Django>"),
    # Django 6.1 says which kind of server it is.
    (r"^Starting WSGI development server", "Starting development server"),
]

# What a shell keeps from one line to the next: its folder, its variables.
KEEP = "python -c 'import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))'"

# One prompt a page, which keeps its names: reads {"source": ...}, says {"output": ...}.
PROMPT = """
import code, contextlib, io, json, sys
console = code.InteractiveConsole({"__name__": "__main__", "__doc__": None})
for line in sys.stdin:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        for part in json.loads(line)["source"]:
            more = console.push(part)
        if more:
            console.push("")
    print(json.dumps({"output": said.getvalue()}), flush=True)
"""


class StoryError(Exception):
    """A page cannot be followed. The text says where and why."""


@dataclass(frozen=True)
class Said:
    """One command or prompt of a block: where, what is shown, what was printed."""

    block: Fence
    first: int  # of the shown lines in the block's body, counted from 0
    expected: tuple[str, ...]
    actual: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the page shows what was printed."""
        return matches(self.expected, self.actual)


def normalised(line: str) -> str:
    """A line without what differs from run to run."""
    for pattern, instead in VOLATILE:
        line = re.sub(pattern, instead, line)
    return line.rstrip()


def matches(expected: tuple[str, ...], actual: tuple[str, ...]) -> bool:
    """Whether two outputs agree, but for volatile parts and what [...] leaves out.

    On a line of its own it leaves out lines, within a line a part of it.
    """
    pattern = ""
    for line in expected:
        if line.strip() == GAP:
            pattern += r"(?:.*\n)*?"
        else:
            parts = normalised(line).split(GAP)
            pattern += ".*?".join(map(re.escape, parts)) + r"\n"
    text = "".join(f"{normalised(line)}\n" for line in actual)
    return re.fullmatch(pattern, text) is not None


def fitted(expected: tuple[str, ...], actual: tuple[str, ...]) -> list[str]:
    """What the page should show of `actual`: as much of it as it showed before."""
    if GAP not in {line.strip() for line in expected}:
        return _with_gaps(expected, actual)
    kept: list[str] = []
    rest = list(actual)
    segment: list[str] = []
    for line in [*expected, GAP]:
        if line.strip() != GAP:
            segment.append(line)
            continue
        at = _best(segment, rest)
        kept += _with_gaps(segment, rest[at : at + len(segment)])
        rest = rest[at + len(segment) :]
        kept.append(GAP)
        segment = []
    return kept if expected[-1].strip() == GAP else kept[:-1]


def _with_gaps(expected, actual) -> list[str]:
    """The actual lines, but those of the expected ones that still agree."""
    if len(expected) != len(actual):
        return list(actual)
    pairs = zip(expected, actual, strict=True)
    return [old if matches((old,), (new,)) else new for old, new in pairs]


def _best(segment: list[str], lines: list[str]) -> int:
    """Where in `lines` the segment fits best."""
    wanted = "\n".join(map(normalised, segment))
    scores = []
    for at in range(max(1, len(lines) - len(segment) + 1)):
        found = "\n".join(map(normalised, lines[at : at + len(segment)]))
        scores.append((SequenceMatcher(None, wanted, found).ratio(), -at))
    return -max(scores)[1]


def take_step(edits: Edits, block: Directive | Fence, folder: Path) -> Change:
    """Do in a folder what a step of a chapter says; what is copied, a command does."""
    change = edits.apply(block)
    path = folder / change.path
    if change.kind == "delete":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif change.kind != "copy":
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{line}\n" for line in edits.files[change.path].text())
        path.write_bytes(text.encode())  # the same line ends on every system
    return change


@dataclass
class Terminal:
    """One of the reader's terminals: where it is, what it has set, what runs in it."""

    folder: Path
    environ: dict[str, str]
    running: subprocess.Popen | None = None
    log: Path | None = None
    read: int = 0  # characters of the log that were compared

    def unread(self) -> str:
        """What the running command has printed since."""
        return self.log.read_text("utf-8", "replace")[self.read :]


@dataclass
class Story:
    """A page and the reader who follows it, in the folder `place`."""

    page: Page
    place: Path
    terminals: dict[str, Terminal] = field(default_factory=dict)
    prompt: subprocess.Popen | None = None
    saved: list[Path] = field(default_factory=list)  # since a server said something

    def __post_init__(self):
        self.home = self.place / "home"
        self.home.mkdir()
        self.clone = self.home / "chat"
        copy_clone(self.clone)
        self.mychat = self.home / "mychat"
        self.ports = dict(zip(("8000", "1025"), free_ports(2), strict=True))
        self.edits = self.page.edits() if self.page.stage else None
        if starts := self.page.meta.get("starts"):
            find_stage(starts).copy_to(self.mychat)
            self._migrate()
        elif self.page.stage:
            self.mychat.mkdir()

    def _migrate(self) -> None:
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity=0"],
            cwd=self.mychat,
            env=self.environ(),
            check=True,
            stdin=subprocess.DEVNULL,
        )

    def environ(self) -> dict[str, str]:
        """The environment of a new terminal."""
        kept = ("LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR")
        binaries = str(Path(sys.executable).parent)
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PATH": os.pathsep.join([binaries, os.environ.get("PATH", os.defpath)]),
            "HOME": str(self.home),
            "VIRTUAL_ENV": sys.prefix,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "80",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PAGER": "cat",
            "CHAT_PORT": str(self.ports["1025"]),
            "DJANGO_PORT": str(self.ports["8000"]),
            "CHAT_ORIGINS": f"http://127.0.0.1:{self.ports['8000']}",
        }

    def tell(self) -> Iterator[Said]:
        """Follow the page. Yields what each command printed. Raises StoryError."""
        try:
            for block in self.page.blocks:
                if isinstance(block, Directive):
                    if block.is_step:
                        self._step(block)
                elif block.notrun is None and block.language in RUN:
                    yield from getattr(self, f"_{block.language}")(block)
            self._look_at_the_rest()
        finally:
            self.close()

    def close(self) -> None:
        """End all that still runs."""
        for terminal in self.terminals.values():
            if terminal.running:
                end(terminal.running)
        if self.prompt:
            end(self.prompt)

    def _look_at_the_rest(self) -> None:
        """What no block shows may not be a traceback. Raises StoryError."""
        for name, terminal in self.terminals.items():
            rest = terminal.unread() if terminal.log else ""
            if re.search(r"^.*Traceback|Unhandled", rest, re.MULTILINE):
                raise StoryError(f"{self.page.path}: terminal {name} prints\n{rest}")

    # Steps.

    def _step(self, block: Directive | Fence) -> None:
        change = take_step(self.edits, block, self.mychat)
        if change.kind == "copy" and not (self.mychat / change.path).is_dir():
            raise self._error(block, f"no command has copied {change.path}")
        self.saved.append(self.mychat / change.path)

    def _diff(self, block: Fence) -> Iterator[Said]:
        """Do in the reader's folder what a block says to do in an editor."""
        if not block.edits:
            raise self._error(block, 'a diff needs edits="the path of a file"')
        if block.is_step:
            self._step(block)
            return
        path = self.mychat / block.edits
        try:
            lines = put_in(block.hunk, read_lines(path))
        except EditError as error:
            raise self._error(block, f"{block.edits}: {error}") from error
        path.write_bytes("".join(f"{line}\n" for line in lines).encode())
        self.saved.append(path)
        yield from ()

    # Commands.

    def _console(self, block: Fence) -> Iterator[Said]:
        name = block.attributes.get("terminal", "1")
        if name not in self.terminals:
            self.terminals[name] = Terminal(self.clone, self.environ())
        terminal = self.terminals[name]
        found = list(commands(block))
        for first, command, expected in found:
            last = first == found[-1][0]
            if command is None:
                self._need_running(block, terminal)
                actual = self._until(terminal, expected)
            elif command == "^C":
                self._need_running(block, terminal)
                self._wait_for_servers()
                interrupt(terminal.running)
                terminal.running = None
                actual = self._shown(terminal.unread())
            elif terminal.running:
                raise self._error(block, f"terminal {name} still runs something")
            elif last and "stays" in block.attributes:
                self._start(terminal, command)
                actual = self._until(terminal, expected)
            else:
                actual = self._run(block, terminal, command)
                if command.startswith("kill "):
                    self._notice_who_ended()
            yield Said(block, first, expected, actual)

    def _wait_for_servers(self) -> None:
        """Wait until who listens on the page's ports also looks who comes.

        A server prints that it is ready a moment before it can be stopped politely. It
        closes a connection on which nothing is sent, and logs no line about it.
        """
        for port in self.ports.values():
            address = "127.0.0.1", port
            # Else nobody listens there, or time is up.
            with suppress(OSError), socket.create_connection(address, PATIENCE) as line:
                line.shutdown(socket.SHUT_WR)
                line.recv(1)

    def _notice_who_ended(self) -> None:
        """Wait for the servers that a command has killed, as their shells do."""
        for terminal in self.terminals.values():
            if terminal.running:
                with suppress(subprocess.TimeoutExpired):
                    terminal.running.wait(1)
                    terminal.running = None

    def _need_running(self, block: Fence, terminal: Terminal) -> None:
        if terminal.running is None:
            raise self._error(block, "nothing runs in this terminal")

    def _error(self, block: Fence, text: str) -> StoryError:
        return StoryError(str(self.page.error(block.line, text)))

    def _run(self, block: Fence, terminal: Terminal, command: str) -> tuple[str, ...]:
        state = self.place / "state"
        script = self._real(command)
        if re.search(r"\b(cd|export)\b", script):
            script += f"\nstatus=$?\n{KEEP} > {shlex.quote(str(state))}\nexit $status"
        process = self._sh(terminal, script, subprocess.PIPE)
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            end(process)
            raise self._error(block, f"this does not end: {command}") from None
        wanted = int(block.attributes.get("exit", "0"))
        if process.returncode != wanted:
            raise self._error(
                block,
                f"{command} ends with {process.returncode}, not {wanted}:\n{output}",
            )
        if state.exists():
            folder, terminal.environ = json.loads(state.read_text("utf-8"))
            terminal.folder = Path(folder)
            state.unlink()
        return self._shown(output)

    def _start(self, terminal: Terminal, command: str) -> None:
        terminal.log = self.place / f"log{len(list(self.place.glob('log*')))}"
        terminal.read = 0
        with terminal.log.open("wb") as output:
            script = f"exec {self._real(command)}"
            terminal.running = self._sh(terminal, script, output)

    def _sh(self, terminal: Terminal, script: str, output) -> subprocess.Popen:
        return subprocess.Popen(
            ["sh", "-c", script],
            cwd=terminal.folder,
            env=terminal.environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def _until(self, terminal: Terminal, expected: tuple[str, ...]) -> tuple[str, ...]:
        """What was printed by the time when it agrees, or when time is up.

        Who waits for long saves once more what was saved last, as a reader would.
        """
        deadline = time.monotonic() + PATIENCE
        again = time.monotonic() + SAVE_AGAIN
        while True:
            ended = terminal.running.poll() is not None
            unread = terminal.unread()
            actual = self._shown(unread)
            if matches(expected, actual) or ended or time.monotonic() > deadline:
                terminal.read += len(unread)
                if ended:
                    terminal.running = None
                self.saved.clear()
                return actual
            if time.monotonic() > again:
                again += SAVE_AGAIN
                for path in filter(Path.is_file, self.saved):
                    path.touch()
            time.sleep(0.02)

    def _pycon(self, block: Fence) -> Iterator[Said]:
        if self.prompt is None:
            folder = self.mychat if self.mychat.exists() else self.clone
            self.prompt = subprocess.Popen(
                [sys.executable, "-u", "-c", PROMPT],
                cwd=folder,
                env=self.environ(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        for first, source, expected in prompts(block):
            lines = [self._real(line) for line in source]
            self.prompt.stdin.write(json.dumps({"source": lines}) + "\n")
            self.prompt.stdin.flush()
            guard = threading.Timer(TIMEOUT, self.prompt.kill)
            guard.start()
            answer = self.prompt.stdout.readline()
            guard.cancel()
            if not answer:
                raise self._error(block, f"the prompt ended at {source[0]}")
            actual = self._shown(json.loads(answer)["output"])
            yield Said(block, first, expected, actual)

    # What the page says, and what is so here.

    def _real(self, command: str) -> str:
        for shown, real in self.ports.items():
            command = re.sub(rf"\b{shown}\b", str(real), command)
        port = self.ports["8000"]
        return re.sub(r"(manage\.py runserver)(?! *\d)", rf"\1 {port}", command)

    def _shown(self, output: str) -> tuple[str, ...]:
        for shown, real in self.ports.items():
            output = re.sub(rf"\b{real}\b", shown, output)
        # On a Mac one of them begins with the other.
        for path in sorted({str(self.home), str(self.home.resolve())}, key=len)[::-1]:
            output = output.replace(path, "~")
        lines = output.rstrip("\n").split("\n")
        return tuple(line.rstrip() for line in lines) if output.strip() else ()


def commands(block: Fence) -> Iterator[tuple[int, str | None, tuple[str, ...]]]:
    """The commands of a console block: (first line of output, command, output).

    Without a command it is what a running one prints; "^C" ends that.
    """
    body, at = block.body, 0
    while at < len(body):
        command = None
        if body[at].startswith("$ "):
            command = body[at][2:]
            while command.endswith("\\") or _open_quote(command):
                at += 1
                command += "\n" + body[at]
            at += 1
        elif body[at] == "^C":
            command = "^C"
            at += 1
        first = at
        while at < len(body) and not body[at].startswith("$ ") and body[at] != "^C":
            at += 1
        yield first, command, _trimmed(body[first:at])


def _open_quote(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return True
    return False


def prompts(block: Fence) -> Iterator[tuple[int, list[str], tuple[str, ...]]]:
    """The entries at a Python prompt: (first line of output, source, output)."""
    body, at = block.body, 0
    while at < len(body):
        source = []
        while at < len(body) and body[at].startswith((">>>", "...")):
            if source and body[at].startswith(">>>"):
                break
            source.append(body[at][4:])
            at += 1
        first = at
        while at < len(body) and not body[at].startswith(">>>"):
            at += 1
        if source:
            yield first, source, _trimmed(body[first:at])


def _trimmed(lines: tuple[str, ...]) -> tuple[str, ...]:
    kept = [line.rstrip() for line in lines]
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)


def copy_clone(target: Path) -> None:
    """Copy the project to `target` as a clone has it; .venv is a link to this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path)
    (target / ".venv").symlink_to(sys.prefix)


def interrupt(process: subprocess.Popen) -> None:
    """Press Ctrl-C, and wait for the end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    end(process)


@contextmanager
def following(page: Page, place: Path) -> Iterator[Story]:
    """A story that is surely closed."""
    story = Story(page, place)
    try:
        yield story
    finally:
        story.close()


def rewrite(page: Page, said: list[Said], write: Callable[[str], None]) -> int:
    """Give the page's new source, with what was printed, to `write`.

    Returns how many outputs changed; without any, `write` is not called.
    """
    wrong = [one for one in said if not one.agrees]
    lines = page.source.split("\n")
    for one in sorted(wrong, key=lambda o: (o.block.line, o.first), reverse=True):
        start = one.block.line + one.first
        shown = fitted(one.expected, one.actual)
        lines[start : start + len(one.expected)] = [
            f"{one.block.indent}{line}".rstrip() for line in shown
        ]
    if wrong:
        write("\n".join(lines))
    return len(wrong)
