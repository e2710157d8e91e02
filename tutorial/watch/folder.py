"""Tells when something stirs in a folder."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from tutorial.check.copies import differences, look

QUIET = 0.03  # seconds without news after which a save is over
LONGEST = 0.5  # seconds that a save may take, of many files
LOOK = 2.0  # seconds between two looks of our own: not every disk tells


class Folder:
    """A folder that is watched, from a `with` statement on. It need not exist."""

    def __init__(self, path: Path):
        self.path = path
        self.stirred = threading.Event()
        self.over = threading.Event()
        self.observer = None
        self.seen: dict[str, tuple] = {}
        self.place: tuple | None = None  # what the system calls the folder

    def __enter__(self) -> Folder:
        self.looker = threading.Thread(target=self._look_again, daemon=True)
        self._attend()
        self.seen = look(self.path)
        self.looker.start()
        return self

    def __exit__(self, *exc) -> None:
        self.over.set()
        self.stirred.set()
        self.looker.join()
        self._leave()

    def wait(self, seconds: float) -> bool:
        """Return when something has stirred and is quiet again, or time is up.

        Returns whether something has.
        """
        if not self.stirred.wait(seconds):
            return False
        for _ in range(int(LONGEST / QUIET)):
            self.stirred.clear()
            if self.over.is_set() or not self.stirred.wait(QUIET):
                break
        return True

    def _attend(self) -> None:
        """Have the system tell, where it can."""
        self._leave()
        self.place = place(self.path)
        if self.place is None:
            return
        observer = Observer()
        try:
            observer.schedule(Stir(self.stirred), str(self.path), recursive=True)
            observer.start()
        except OSError:  # It has no more watches to give. We look ourselves.
            return
        self.observer = observer

    def _leave(self) -> None:
        if self.observer:
            self.observer.stop()
            self.observer.join()
            self.observer = None

    def _look_again(self) -> None:
        """See what nobody tells: on a disk of another machine, in a new folder."""
        while not self.over.wait(LOOK):
            if place(self.path) != self.place:
                self._attend()
                self.stirred.set()
            found = look(self.path)
            if differences(self.seen, found):
                self.seen = found
                self.stirred.set()


class Stir(FileSystemEventHandler):
    """Sets an event when something has changed, and not when it was only read."""

    def __init__(self, stirred: threading.Event):
        self.stirred = stirred

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog."""
        if event.event_type not in ("opened", "closed_no_write"):
            self.stirred.set()


def place(path: Path) -> tuple | None:
    """What tells a folder from another one of its name; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_dev, found.st_ino
