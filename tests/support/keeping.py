"""Keep a folder as it is while programs run that may know of it.

tests/support/injected/tutorial_guard.py refuses in words what Python would do to it.
What gets past that, another program or a library in C, meets the system: where Linux
lets us, the folder is mounted for them once more, to be read only.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

INJECTED = Path(__file__).parent / "injected"

# $0 is the folder; what follows it is the program.
MOUNT = 'mount --rbind "$0" "$0" && mount -o remount,bind,ro "$0" && '


def guarded(kept: Path, free: Path) -> dict[str, str]:
    """What the environment of such programs needs.

    Nothing in `kept` may change, and databases have to be in `free`.
    """
    return {
        "PYTHONPATH": str(INJECTED),
        "TUTORIAL_KEPT": str(kept),
        "TUTORIAL_FREE": str(free),
    }


def guard(kept: Path, free: Path) -> None:
    """Let this process, too, and all that it starts from now on, be such a program."""
    os.environ.update(guarded(kept, free))
    if str(INJECTED) not in sys.path:
        sys.path.append(str(INJECTED))
    importlib.import_module("tutorial_guard")


@cache
def read_only(folder: Path) -> tuple[str, ...]:
    """The words before a command to which `folder` is read-only; none if that fails."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        return ()
    if os.geteuid() == 0:
        words = ("unshare", "--mount", "sh", "-c", MOUNT + 'exec "$@"', str(folder))
    else:
        # Whoever may mount is root there; the program shall be who it is here.
        who = f"--map-user={os.geteuid()} --map-group={os.getegid()}"
        script = f'{MOUNT}exec unshare --user {who} "$@"'
        words = ("unshare", "--user", "--map-root-user", "--mount")
        words += ("sh", "-c", script, str(folder))
    tried = subprocess.run([*words, "true"], capture_output=True)
    return words if tried.returncode == 0 else ()
