"""An engine of our own that a test may treat badly, in a folder of the test."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from tutorial.processes import below, free_ports
from tutorial.run import engine
from tutorial.run.engine import find_binary, why_no_binary


class Engine(engine.Engine):
    """An engine that keeps what it is told in `folder`. Use it in a `with` block.

    Its port is its own for as long as these tests run, also while it does not. See the
    class that it is made of for `password` and `settings`, such as appendonly="no"; and
    for ask(), which sends it a command. What it is killed for, is gone at once.
    """

    def __init__(self, folder: Path, password: str = "", **settings: str):
        binary = find_binary()
        assert binary, why_no_binary()
        super().__init__(binary, folder, *free_ports(1), password, **settings)
        self.usual = self.settings.copy()
        self.paused = False

    def stop(self) -> None:
        """End it in order, also one that is paused."""
        self.resume()
        super().stop()

    def kill(self) -> None:
        """End it as kill -9 does, and what it has started to write a file anew."""
        if self.process is None:
            return
        children = below(self.process.pid)
        super().kill()
        self.paused = False
        for child in children:
            with suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=5)

    def restart(self) -> None:
        """Kill it, if it runs, and start it again: same port, same folder."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Have it do nothing any more, with all its connections open (SIGSTOP)."""
        psutil.Process(self.process.pid).suspend()
        self.paused = True

    def resume(self) -> None:
        """Have a paused one go on (SIGCONT)."""
        if self.paused:
            psutil.Process(self.process.pid).resume()
        self.paused = False

    @property
    def is_well(self) -> bool:
        """Whether it runs, and as it did at first."""
        runs = self.process is not None and not self.has_ended()
        return runs and not self.paused and self.settings == self.usual

    def mend(self) -> None:
        """Have it run as at first, with what it has kept."""
        if not self.is_well:
            self.settings = self.usual.copy()
            self.restart()

    def flush(self) -> None:
        """Have it forget all that it was told."""
        self.ask("FLUSHALL")

    def cut(self) -> None:
        """Close the connections of all clients. It goes on, and they may come back."""
        for kind in ("normal", "pubsub"):
            self.ask("CLIENT", "KILL", "TYPE", kind)
