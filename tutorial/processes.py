"""Find and end processes, also those that somebody hid; ports and locks for them.

A program under check may fork, start a session of its own, forget its environment and
let its parent die. So a process counts as ours by either of two signs: the mark that
all we start inherit, and its place below us in the tree of processes.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil

from tutorial.settings import MARK

SET_CHILD_SUBREAPER, SET_DUMPABLE = 36, 4  # of prctl(2)

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


def keep_to_itself() -> None:
    """From now on, nobody looks into this process or writes to what it has open.

    Otherwise a program of the same user may, by /proc. Only Linux has this, and root
    who may trace others is not bound by it. Programs that are started are free of it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_DUMPABLE, 0, 0, 0, 0)


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started within may use this processor only, where a system has that."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)  # of this thread
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def marked(mark: str, variable: str = MARK) -> list[psutil.Process]:
    """The running processes that carry `mark` in that variable of their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def below(pid: int, without: Collection[psutil.Process] = ()) -> list[psutil.Process]:
    """The descendants of process `pid`, the dead that nobody waited for included.

    Those of `without`, and what they have started, are left out. They are told by the
    time of their birth, and not by their number only.
    """
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    spared = {*without}
    for process in without:
        with suppress(psutil.Error):
            spared.update(process.children(recursive=True))
    return [process for process in found if process not in spared]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, even if nobody has asked for its exit code."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def end(process: subprocess.Popen) -> None:
    """End a process and all that it started."""
    family = []
    # Of one that has ended, the number may be somebody else's by now.
    if process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            family = [*parent.children(recursive=True), parent]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    for member in psutil.wait_procs(family, timeout=5)[1]:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


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


def lock(file) -> bool:
    """Lock an open file, unless somebody else has. The system unlocks it at the end."""
    if os.name == "nt":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


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
