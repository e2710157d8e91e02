"""Make an environment as .venv is, with the other Django that the stages promise.

    .venv/bin/python -m tests.systems.other_django

requirements.lock pins one of the two, django.lock beside this file the other. The tests
here use the environment, and do not make it: nothing is installed while they run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tutorial.setup.environment import (
    SetupError,
    install,
    install_more,
    make_venv,
    python_of,
    read_group,
)
from tutorial.stages import ROOT

PIN = Path(__file__).with_name("django.lock").read_text("utf-8").strip()
VERSION = PIN.partition("==")[2]
VENV = ROOT / ".cache" / f"django-{VERSION}"
OLDEST = (3, 12)  # that Django 6.0 and 6.1 run on


def why_not() -> str:
    """Why there is no such environment for this Python; empty if there is one."""
    if sys.version_info[:2] < OLDEST:
        return f"Django {VERSION} needs Python 3.12 or newer"
    asks = "import sys, django; print(*sys.version_info[:2], django.__version__)"
    wanted = f"{sys.version_info[0]} {sys.version_info[1]} {VERSION}\n"
    with suppress(OSError):
        said = subprocess.run([python_of(VENV), "-c", asks], capture_output=True)
        if said.stdout.decode() == wanted:
            return ""
    return f"`{sys.executable} -m {__spec__.name}` installs it"


def main() -> int:
    """Make the environment. Returns the exit code."""
    if sys.version_info[:2] < OLDEST:
        print(why_not(), file=sys.stderr)
        return 1
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    other = VENV.with_suffix(".lock")
    VENV.parent.mkdir(exist_ok=True)
    other.write_text(re.sub("^django==.*", PIN, lock, flags=re.MULTILINE), "utf-8")
    try:
        if not python_of(VENV).exists():
            make_venv(VENV)
        install(VENV, read_group("test"), other)
        install_more(VENV, read_group("engine"), other)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
