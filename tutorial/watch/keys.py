"""Single keys of a terminal, as they are pressed, and news from other threads."""

from __future__ import annotations

import os
import select
import sys
import threading
from contextlib import ExitStack, suppress

WINDOWS = sys.platform == "win32"
LOOK = 0.1  # seconds between two looks at the keyboard, on Windows


class Keys:
    """The keyboard, in a `with` statement; without `terminal`, news only."""

    def __init__(self, terminal: bool):
        self.terminal = terminal
        self.news = threading.Event()
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)

    def __enter__(self) -> Keys:
        with ExitStack() as stack:
            stack.callback(os.close, self.reading)
            stack.callback(os.close, self.writing)
            if self.terminal and not WINDOWS:
                import termios
                import tty

                file = sys.stdin.fileno()
                usual = termios.tcgetattr(file)
                stack.callback(self._put_back, file, usual)
                tty.setcbreak(file)  # Ctrl-C stays a signal
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exc) -> None:
        self.stack.close()

    def _put_back(self, file: int, usual: list) -> None:
        import termios

        with suppress(OSError, termios.error):  # the terminal may be gone
            termios.tcsetattr(file, termios.TCSADRAIN, usual)

    def tell(self) -> None:
        """Have wait() return. Called from any thread."""
        self.news.set()
        with suppress(OSError):  # It is full, or closed.
            os.write(self.writing, b".")

    def wait(self, seconds: float) -> str:
        """Wait for a key or for news. Returns the key, or an empty string.

        Raises EOFError when the terminal has gone.
        """
        if WINDOWS:
            return self._wait_on_windows(seconds)
        files = [self.reading] + [sys.stdin.fileno()] * self.terminal
        ready, _, _ = select.select(files, [], [], seconds)
        self.news.clear()
        if self.reading in ready:
            os.read(self.reading, 4096)
        if self.terminal and sys.stdin.fileno() in ready:
            try:
                key = os.read(sys.stdin.fileno(), 1)
            except OSError as error:
                raise EOFError from error
            if not key:
                raise EOFError
            return key.decode("ascii", "replace")
        return ""

    def _wait_on_windows(self, seconds: float) -> str:
        import msvcrt

        waited = 0.0
        while waited < seconds and not self.news.wait(LOOK):
            waited += LOOK
            if self.terminal and msvcrt.kbhit():
                return msvcrt.getwch()
        self.news.clear()
        return ""
