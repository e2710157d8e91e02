"""Processes that go on in copies of themselves (tests/support/injected).

To load Django or Twisted takes longer than most of what is asked of them then.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from contextlib import suppress

from tests.support.injected.tutorial_forks import SIZE

CAN_FORK = hasattr(os, "fork")


class Fork:
    """A process that another one has made of itself, by the names that Popen has."""

    def __init__(self, line: socket.socket, pid: int):
        self.line, self.pid = line, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises TimeoutExpired after `timeout`."""
        if self.returncode is None:
            closed = self.line.fileno() < 0
            if not closed and not select.select([self.line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout)
            code = None if closed else hear(self.line)
            if code is None:
                # Who would tell has ended, and nobody else knows of this one.
                with suppress(OSError):
                    os.kill(self.pid, signal.SIGKILL)
            self.returncode = -signal.SIGKILL if code is None else code
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def fork_of(line: socket.socket, *words: str) -> Fork | None:
    """Have the process behind `line` go on in a copy, with `words` to act by.

    Returns None if it has ended, or makes none. Raises TimeoutError as `line` does.
    """
    try:
        line.sendall(json.dumps(words).encode() + b"\n")
    except ConnectionError:
        return None
    pid = hear(line)
    return Fork(line, pid) if pid else None


def hear(line: socket.socket) -> int | None:
    """The number that the process behind `line` says next; None if it has ended."""
    try:
        said = line.recv(SIZE, socket.MSG_WAITALL)
    except ConnectionError:
        return None
    return int.from_bytes(said, "big", signed=True) if said else None
