"""A PostgreSQL of our own, in a folder that goes away with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.support.servers import wait_until
from tutorial.check.copies import workspace
from tutorial.processes import free_ports
from tutorial.settings import plain

SERVICE = "postgres"  # the user of whom PostgreSQL makes one, if we are root


def find_postgres() -> Path | None:
    """The folder of initdb and postgres, the newest there is; None if there is none."""
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    folders = sorted(installed, key=lambda folder: float(folder.parent.name))
    if folders and (folders[-1] / "initdb").exists():
        return folders[-1]
    found = shutil.which("initdb")
    return found and Path(found).resolve().parent


class Postgres:
    """A cluster that makes empty databases. Use it in a `with` block.

    Within it, it can be ended and started again.
    """

    def __init__(self, programs: Path):
        self.programs = programs
        self.user = SERVICE if os.geteuid() == 0 else None
        [self.port] = free_ports(1)
        self.process: subprocess.Popen | None = None
        self.where = ["-h", "127.0.0.1", "-p", f"{self.port}"]

    def __enter__(self) -> Postgres:
        self.places = ExitStack()
        self.folder = self.places.enter_context(workspace()) / "postgres"
        self.folder.mkdir(mode=0o755)
        self.log = (self.folder / "log").open("wb")
        if self.user:
            shutil.chown(self.folder, self.user)
        self.data = self.folder / "data"
        how = ["--auth=trust", f"--username={SERVICE}", "--encoding=UTF8", "--no-sync"]
        how += ["--no-locale"]
        try:
            code = self._popen("initdb", *how, "-D", self.data).wait(60)
            assert code == 0, self._why_not()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc) -> None:
        self.stop()
        self.log.close()
        self.places.close()

    def _popen(self, program: str, *words) -> subprocess.Popen:
        return subprocess.Popen(
            [self.programs / program, *words],
            stdout=self.log,
            stderr=self.log,
            cwd=self.folder,
            env=plain(os.environ),
            user=self.user,
            umask=0o077,
        )

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.process = self._popen("postgres", "-D", self.data, *self.where, "-k", "")
        wait_until(self._answers, self._why_not, 30)

    def database(self, name: str) -> str:
        """Make an empty database. Returns its address."""
        made = self._popen("createdb", *self.where, "-U", SERVICE, name).wait(30)
        assert made == 0, self._why_not()
        return f"postgres://{SERVICE}@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End it at once, and with it all connections."""
        if self.process:
            self.process.send_signal(signal.SIGINT)  # "fast": it waits for nobody
            self.process.wait(30)

    def _answers(self) -> bool:
        return self._popen("pg_isready", *self.where).wait(10) == 0

    def _why_not(self) -> str:
        return (self.folder / "log").read_text("utf-8")[-2000:]


def why_no_postgres() -> str:
    """Why there can be no PostgreSQL here; empty if there can."""
    if os.name == "nt":
        return "PostgreSQL is not tried on Windows"
    if find_postgres() is None:
        return "no PostgreSQL found: neither below /usr/lib/postgresql nor on PATH"
    if os.geteuid() == 0:
        import pwd  # which Windows has not

        try:
            pwd.getpwnam(SERVICE)
        except KeyError:
            return f"root may not start PostgreSQL, and there is no user {SERVICE}"
    return ""
