"""The environment in .venv: made when it is missing, left alone when it is complete.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"

# What an environment's own Python says about itself.
PROBE = """
import importlib.metadata, json, sys
names = [d.metadata["Name"] for d in importlib.metadata.distributions()]
print(json.dumps({"version": list(sys.version_info[:2]), "packages": names}))
"""


class SetupError(Exception):
    """Setting up cannot go on. The text tells the learner what to do."""


@dataclass(frozen=True)
class Stamp:
    """What was installed into .venv, and for whom. Kept in it as a file."""

    place: str  # scripts in an environment hold its path, so it cannot be moved
    version: list[int]
    lock: str
    requirements: list[str]

    def covers(self, wanted: Stamp) -> bool:
        """Whether an environment with this stamp needs nothing more for `wanted`."""
        same = (self.place, self.version, self.lock)
        return same == (wanted.place, wanted.version, wanted.lock) and (
            set(wanted.requirements) <= set(self.requirements)
        )


def group(name: str, groups: dict[str, list], outer: tuple[str, ...] = ()) -> list[str]:
    """The requirements of dependency group `name`, with those it includes.

    `groups` is the table of that name in pyproject.toml. Raises SetupError for a
    group that is not there or includes itself.
    """
    if name not in groups or name in outer:
        path = " > ".join([*outer, name])
        known = ", ".join(sorted(groups))
        raise SetupError(f"No dependency group {path!r} can be read. There is {known}.")
    found: list[str] = []
    for entry in groups[name]:
        if isinstance(entry, str):
            found.append(entry)
        else:
            found += group(entry["include-group"], groups, (*outer, name))
    return sorted(set(found))


def read_groups(root: Path = ROOT) -> dict[str, list]:
    """The dependency groups of pyproject.toml."""
    text = (root / "pyproject.toml").read_text("utf-8")
    return tomllib.loads(text)["dependency-groups"]


def read_group(name: str, root: Path = ROOT) -> list[str]:
    """The requirements of dependency group `name` of pyproject.toml."""
    return group(name, read_groups(root))


def python_of(venv: Path) -> Path:
    """The path of the Python in an environment."""
    if sys.platform == "win32":
        return venv / "Scripts" / "python.exe"
    return venv / "bin" / "python"


def probe(venv: Path) -> dict:
    """What the environment's Python says about itself; empty if it does not run."""
    command = [str(python_of(venv)), "-I", "-c", PROBE]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
        return json.loads(done.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return {}


def read_stamp(venv: Path) -> Stamp | None:
    """The stamp of an environment, or None if it has none that can be read."""
    try:
        return Stamp(**json.loads((venv / "tutorial.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def why_anew(venv: Path, found: dict, stamp: Stamp | None, version: list[int]) -> str:
    """Why an existing environment has to be made anew; empty if it is fit for use.

    `found` is what its Python says, `version` that of the Python asked for.
    """
    if not found:
        return "its Python does not start any more"
    if found["version"] != version or (stamp and stamp.version != version):
        return f"it is not for Python {version[0]}.{version[1]}"
    if "pip" not in found["packages"]:
        return "it has no pip"
    if stamp and stamp.place != str(venv):
        return "its folder was moved"
    return ""


class Progress:
    """One line on stderr that says how far a step is."""

    def __init__(self, title: str):
        self.title = title
        self.live = sys.stderr.isatty()
        self.started = time.monotonic()
        if not self.live:
            print(f"{title} ...", file=sys.stderr, flush=True)

    def show(self, what: str) -> None:
        """Replace the line, where the terminal can."""
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            line = f"{self.title}: {what}"[:width]
            print(f"\r{line:{width}}", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        """Leave a last word, with the seconds it took."""
        seconds = time.monotonic() - self.started
        if self.live:
            self.show(f"done in {seconds:.0f} s")
            print(file=sys.stderr)
        else:
            print(f"{self.title}: done in {seconds:.0f} s", file=sys.stderr)

    def failed(self) -> None:
        """Leave the line as it is, so that what follows has a line of its own."""
        if self.live:
            print(file=sys.stderr)


def base_python() -> str:
    """The Python to make an environment with: never the one inside it."""
    if Path(sys.prefix).resolve() == VENV:
        return getattr(sys, "_base_executable", sys.executable)
    return sys.executable


def make_venv(venv: Path) -> None:
    """Make an environment at `venv`. Raises SetupError."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise SetupError(
            f"{sys.executable} cannot make environments. On Debian or Ubuntu install "
            f"the package python{version}-venv or python3-venv; elsewhere name another "
            "Python: make run PYTHON=python3.12"
        )
    progress = Progress(f"Making .venv with Python {version}")
    progress.show("...")
    done = subprocess.run(
        [base_python(), "-m", "venv", str(venv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        progress.failed()
        last = "\n".join(done.stdout.strip().splitlines()[-5:])
        raise SetupError(
            f"{last}\nPython could not make the environment {venv}; its last words are "
            "above. Mend that, or name another Python: make run PYTHON=python3.12"
        )
    progress.done()


def install(
    venv: Path, requirements: list[str], lock: Path, options: tuple[str, ...] = ()
) -> None:
    """Install `requirements` into an environment, at the lock's versions.

    `options` are more of pip's. Raises SetupError, with the last lines of its output.
    """
    progress = Progress("Installing packages")
    command = [str(python_of(venv)), "-m", "pip", "install", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off"]
    command += [*options, "-c", str(lock), *requirements]
    # A learner's own pip settings may send packages elsewhere.
    environ = {**os.environ, "PIP_USER": "0"}
    last: deque[str] = deque(maxlen=12)
    unreachable, certificate, got = "", False, 0
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environ,
    ) as pip:
        count = 0
        for line in pip.stdout:
            last.append(line.rstrip())
            verb, _, rest = line.strip().partition(" ")
            if verb == "Collecting":
                count += 1
                progress.show(f"{count}, {re.match('[^<>=~! []*', rest)[0]}")
            elif line.startswith("Installing collected"):
                progress.show(f"{count} are here, putting them in place")
            elif "Retrying" in line:
                progress.show("no answer, trying again")
                unreachable = line.strip()
            certificate |= "CERTIFICATE_VERIFY_FAILED" in line
            got += verb.strip() in ("Downloading", "Using", "Requirement")
    if pip.returncode:
        progress.failed()
        # Without an index pip speaks of conflicts, as every pin then is unknown.
        shown = [unreachable] if unreachable else [line for line in last if line]
        words = "\n".join(f"    {line[:300]}" for line in shown)
        raise SetupError(f"{words}\n{why_not_installed(unreachable, certificate, got)}")
    progress.done()


def install_more(venv: Path, requirements: list[str], lock: Path) -> None:
    """Install what is not there for every Python, and go on without it where it is not.

    What needs it, is skipped then, and says so. Nothing is built: one of them would
    fetch a server and compile it.
    """
    if not requirements:
        return
    try:
        install(venv, requirements, lock, ("--only-binary=:all:",))
    except SetupError:
        names = ", ".join(text.partition(";")[0] for text in requirements)
        print(f"Going on without {names}: not for this Python.", file=sys.stderr)


def why_not_installed(unreachable: str, certificate: bool, got: int) -> str:
    """What to do when pip has failed.

    `unreachable` is what it said of an index that gave no answer, `certificate` whether
    it did not believe in one; `got` counts what it had by then.
    """
    if certificate:
        return (
            "pip does not know who vouches for the package index. A school or a firm "
            "often puts a certificate of its own in between: ask for its file, and "
            "name it: PIP_CERT=/path/to/it.pem make setup"
        )
    if unreachable and not got:
        return (
            "The package index does not answer. Check this machine's network (and "
            "HTTPS_PROXY, if it needs one), then start again."
        )
    says = "pip could not install the packages; its last words are above. "
    if not got:
        says += "If this machine is offline, that is why. "
    return f"{says}Mend it, then start again."


def runs_in(venv: Path) -> bool:
    """Does another process run by the Python of this environment?

    Where there is no /proc, nobody can say, and the answer is no.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            program = os.fsdecode((process / "cmdline").read_bytes().split(b"\0")[0])
            environ = (process / "environ").read_bytes().split(b"\0")
            active = b"VIRTUAL_ENV=" + os.fsencode(venv) in environ
            by_name = active and re.fullmatch(r"python[\d.]*", program)
            # As it may have been typed: .venv/bin/python
            path = (process / "cwd").readlink() / program
            own = "/" in program and path.parent == python_of(venv).parent
            ours = int(process.name) in (os.getpid(), os.getppid())
            if (own or by_name) and not ours:
                return True
    return False


def clear(venv: Path, why: str) -> None:
    """Remove an environment that is not fit for use. Raises SetupError.

    One that is in use stays: a command that runs in it holds the lock of `hold`. What
    somebody has started by hand, as the chapters say, is seen where there is /proc.
    """
    if venv.is_symlink():
        raise SetupError(
            f"{venv} is a link, and {why}. Remove the link, and start again: rm {venv}"
        )
    config = venv / "pyvenv.cfg"
    try:
        # Standard library only: Windows removes nothing that is in use, anyhow.
        if config.is_file() and sys.platform != "win32":
            import fcntl

            with config.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if runs_in(venv):
            raise BlockingIOError
    except BlockingIOError:
        raise SetupError(
            f"{venv} has to be made anew ({why}), but something still runs in it. End "
            "that first. If this clone is mounted elsewhere, too, as in a container, "
            "take a clone for each: an environment works in one place only."
        ) from None
    print(f"Making .venv anew: {why}.", file=sys.stderr)
    try:
        shutil.rmtree(venv)
    except OSError as error:
        raise SetupError(
            f"{error.filename} cannot be removed: {error.strerror}. Does something "
            "still run in .venv? End that, and start again."
        ) from error


@contextmanager
def alone() -> Iterator[None]:
    """Hold a lock, so that two set-ups in one clone wait for each other.

    In a clone that cannot be written nobody sets anything up, so there is none.
    """
    folder = ROOT / "tutorial" / "__pycache__"  # ignored by git, and in the clone
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / "setup.lock").open("ab+")
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        yield
        return
    with file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            locked = False
            while not locked:
                with suppress(OSError):  # it gives up after ten seconds
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    locked = True
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file gives the lock back, on every system


def set_up(name: str, again: bool = False) -> Path:
    """Bring .venv to the state that group `name` needs; return its Python.

    `again` installs even where the stamp says that all is there.
    Raises SetupError.
    """
    lock = ROOT / "requirements.lock"
    version = list(sys.version_info[:2])
    requirements = read_group(name)
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    wanted = Stamp(str(VENV), version, digest, requirements)
    with alone():
        stamp = read_stamp(VENV)
        if VENV.exists():
            why = why_anew(VENV, probe(VENV), stamp, version)
            if why:
                clear(VENV, why)
        if not VENV.exists():
            stamp = None
            make_venv(VENV)
        if again or not (stamp and stamp.covers(wanted)):
            # Without a stamp nobody takes a half-filled environment for a full one.
            (VENV / "tutorial.json").unlink(missing_ok=True)
            install(VENV, requirements, lock)
            for more in ["engine", *(["postgres"] if name == "test" else [])]:
                install_more(VENV, read_groups().get(more, []), lock)
            if stamp and stamp.lock == digest:
                both = sorted({*requirements, *stamp.requirements})
                wanted = Stamp(str(VENV), version, digest, both)
            text = json.dumps(asdict(wanted), indent=1)
            (VENV / "tutorial.json").write_text(text, "utf-8")
    return python_of(VENV)


def main(arguments: list[str]) -> int:
    """The command line of bootstrap.py. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="bootstrap.py", description="Make .venv and install what a command needs."
    )
    parser.add_argument("group", help="a dependency group of pyproject.toml: run, test")
    parser.add_argument(
        "--again", action="store_true", help="install even if it was done before"
    )
    parser.add_argument(
        "--python", action="store_true", help="print the path of the Python in .venv"
    )
    options = parser.parse_args(arguments)
    try:
        python = set_up(options.group, options.again)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        print(
            f"{error.filename} cannot be written. Clone into a folder of your own.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next start goes on from here.", file=sys.stderr)
        return 130
    if options.python:
        print(python)
    return 0
