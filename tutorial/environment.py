"""The environment in .venv: made when it is missing, left alone when it is complete.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import argparse
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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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


def read_group(name: str, root: Path = ROOT) -> list[str]:
    """The requirements of dependency group `name` of pyproject.toml."""
    text = (root / "pyproject.toml").read_text("utf-8")
    return group(name, tomllib.loads(text)["dependency-groups"])


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


def install(venv: Path, requirements: list[str], lock: Path) -> None:
    """Install `requirements` into an environment, at the lock's versions.

    Raises SetupError, with the last lines of pip's output.
    """
    progress = Progress("Installing packages")
    command = [str(python_of(venv)), "-m", "pip", "install", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off"]
    command += ["-c", str(lock), *requirements]
    # A learner's own pip settings may send packages elsewhere.
    environ = {**os.environ, "PIP_USER": "0"}
    last: deque[str] = deque(maxlen=12)
    unreachable = ""
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
            verb, _, rest = line.partition(" ")
            if verb == "Collecting":
                count += 1
                progress.show(f"{count}, {re.match('[^<>=~! []*', rest)[0]}")
            elif line.startswith("Installing collected"):
                progress.show(f"{count} are here, putting them in place")
            elif "Retrying" in line:
                progress.show("no answer, trying again")
                unreachable = line.strip()
    if pip.returncode:
        progress.failed()
        # Without an index pip speaks of conflicts, as every pin then is unknown.
        shown = [unreachable] if unreachable else [line for line in last if line]
        words = "\n".join(f"    {line[:300]}" for line in shown)
        cure = (
            "The package index does not answer. Check this machine's network (and "
            "HTTPS_PROXY, if it needs one), then start again."
            if unreachable
            else "pip could not install the packages; its last words are above. "
            "If this machine is offline, that is why. Mend it, then start again."
        )
        raise SetupError(f"{words}\n{cure}")
    progress.done()


@contextmanager
def alone() -> Iterator[None]:
    """Hold a lock, so that two set-ups in one clone wait for each other."""
    folder = ROOT / "tutorial" / "__pycache__"  # ignored by git, and in the clone
    folder.mkdir(exist_ok=True)
    with (folder / "setup.lock").open("a+") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
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
                print(f"Making .venv anew: {why}.", file=sys.stderr)
                shutil.rmtree(VENV)
        if not VENV.exists():
            stamp = None
            make_venv(VENV)
        if again or not (stamp and stamp.covers(wanted)):
            # Without a stamp nobody takes a half-filled environment for a full one.
            (VENV / "tutorial.json").unlink(missing_ok=True)
            install(VENV, requirements, lock)
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
    except PermissionError as error:
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
