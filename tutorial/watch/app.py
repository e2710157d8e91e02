"""The command: a session after the other, each on a screen with keys, or in lines."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live

from tutorial.check.verdict import Kind
from tutorial.processes import below, kill_all
from tutorial.stages import Stage, load_snapshots
from tutorial.watch.keys import Keys
from tutorial.watch.reading import Reading
from tutorial.watch.screen import Screen, address, line
from tutorial.watch.session import Session

TICK = 1.0  # seconds between two looks at who has started us
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGHUP", "SIGINT")
    if hasattr(signal, name)
]


class Ended(BaseException):
    """Somebody asked for the end. `code` is that of the command."""

    def __init__(self, code: int):
        super().__init__(code)
        self.code = code


@contextmanager
def ending() -> Iterator[None]:
    """Turn signals into Ended, once: what clears up then is not to be disturbed."""

    def end(signum: int, frame: object) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise Ended(128 + signum)

    usual = {one: signal.signal(one, end) for one in SIGNALS}
    try:
        yield
    finally:
        for one, handler in usual.items():
            signal.signal(one, handler)


def watch(console: Console, stage: Stage, folder: Path, browser: bool) -> int:
    """Watch a folder until somebody ends it. Returns the exit code."""
    terminal = console.is_terminal and sys.stdin.isatty()
    parent = os.getppid()
    spared: list[Reading] = []
    try:
        with ending():
            try:
                while stage:
                    stage = one_stage(
                        console, stage, folder, browser, terminal, parent, spared
                    )
            finally:
                for one in SIGNALS:
                    signal.signal(one, signal.SIG_IGN)
                kill_all(
                    lambda: [
                        process
                        for process in below(os.getpid())
                        if not any(one.has_opened(process) for one in spared)
                    ]
                )
    except Ended as end:
        return end.code
    return 0


def one_stage(
    console: Console,
    stage: Stage,
    folder: Path,
    browser: bool,
    terminal: bool,
    parent: int,
    spared: list[Reading],
) -> Stage | None:
    """Watch by the tasks of a stage. Returns the stage to go on with, if any."""
    with (
        Keys(terminal) as keys,
        Session(stage, folder, browser=browser, tell=keys.tell) as session,
    ):
        screen = Screen(console, session)
        reading = Reading(session.mark, session.work / "tmp")
        spared.append(reading)
        lines = Lines(console, session)
        with shown(console, terminal) as live:
            while True:
                key = keys.wait(TICK)
                if os.getppid() != parent:
                    raise Ended(129)  # as a closed terminal does
                if session.fault:
                    raise session.fault
                screen.says = reading.look() or screen.says
                if key:
                    screen.says = ""
                if key == "q":
                    return None
                if key == "n" and (following := after(session)):
                    return following
                press(key, screen, reading)
                if live:
                    live.update(screen.render(), refresh=True)
                else:
                    lines.tell()


def after(session: Session) -> Stage | None:
    """The stage after that of a session, if all of it is done."""
    save = session.save
    if save is None or save.kind is not Kind.RIGHT:
        return None
    known = load_snapshots()
    return next((one for one in known if one.builds_on == session.stage.id), None)


def press(key: str, screen: Screen, reading: Reading) -> None:
    """Do what a key stands for, as far as it is about the screen."""
    if key == "a":
        screen.all_tasks = not screen.all_tasks
    elif key == "h":
        screen.give_hint()
    elif key == "o":
        task = screen.task
        screen.says = reading.open(address(screen.session.stage, task))
    elif key == "n":
        screen.says = (
            "All tasks have to be passed first, or there is no stage after it."
        )


@contextmanager
def shown(console: Console, terminal: bool) -> Iterator[Live | None]:
    """The screen, if there is a terminal. What stood on it comes back in the end."""
    if not terminal:
        yield None
        return
    live = Live(console=console, screen=True, auto_refresh=False)
    try:
        live.start()
        yield live
    finally:
        with suppress(OSError):  # the terminal may be gone
            live.stop()


class Lines:
    """Where there is no terminal: a line when a save has an answer, and its verdict."""

    def __init__(self, console: Console, session: Session):
        self.console, self.session = console, session
        self.said: tuple = ()

    def tell(self) -> None:
        """Print what is new."""
        save = self.session.save
        if save is None or save.seconds is None:
            return
        state = save.number, not save.doing
        if state != self.said:
            self.said = state
            self.console.print(line(self.session, save), soft_wrap=True, markup=False)
