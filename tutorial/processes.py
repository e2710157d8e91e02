"""Find and end processes, also those that somebody hid; and ports for them.

A program under check may fork, start a session of its own, forget its environment and
let its parent die. So a process counts as ours by either of two signs: the mark that
all we start inherit, and its place below us in the tree of processes.
"""

from __future__ import annotations

import atexit
import ctypes
import random
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress

import psutil

from tutorial.checks import MARK

SET_CHILD_SUBREAPER = 36  # of prctl(2)

_guards = ExitStack()  # of the ports that this process was given
atexit.register(_guards.close)


def free_ports(count: int) -> list[int]:
    """Different TCP ports of 127.0.0.1 that nobody else uses, one to nine of them.

    They stay ours until this process ends, also between a server's end and the next
    one's start: each ten of ports has a guard, which this process binds and keeps, and
    whoever asks here binds the guard first. They lie below those that a system hands
    out by itself, to any client. Raises OSError when there are none.
    """
    assert 1 <= count <= 9
    for _ in range(1_000):
        guarded = random.randrange(20_000, 32_000, 10)
        ports = [guarded + 1 + number for number in range(count)]
        with ExitStack() as stack:
            guard = stack.enter_context(socket.socket())
            try:
                guard.bind(("127.0.0.1", guarded))
                for port in ports:
                    with socket.socket() as probe:
                        probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _guards.push(stack.pop_all())
            return ports
    raise OSError("no free ports between 20000 and 32000")


def adopt_orphans() -> None:
    """From now on, an orphan among our descendants becomes our child, not init's.

    Only Linux has this. Elsewhere the mark has to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def marked(mark: str) -> list[psutil.Process]:
    """The running processes that carry `mark` in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def below(pid: int) -> list[psutil.Process]:
    """The descendants of process `pid`, the dead that nobody waited for included."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def is_gone(pid: int) -> bool:
    """Whether a process has ended, even if nobody has asked for its exit code."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def kill_all(find: Callable[[], list[psutil.Process]], rounds: int = 20) -> None:
    """Kill what `find` finds, until that is nothing: it may be forking meanwhile."""
    for _ in range(rounds):
        found = find()
        alive = [process for process in found if not is_gone(process.pid)]
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=2)
        for process in found:
            # Who has become our child by adoption stays a zombie until we ask.
            with suppress(psutil.Error):
                process.wait(0)
        if not alive:
            return


def no_pidfile(windows: bool = sys.platform == "win32") -> list[str]:
    """What has twistd write no file with its pid; on Windows it never does.

    A server that is killed leaves that file, and the next one refuses to start.
    """
    return [] if windows else ["--pidfile="]


def how(code: int | None) -> str:
    """In words, how a server ended."""
    if code is None:
        return "ended"
    if code < 0:
        try:
            return f"was killed by signal {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}"
