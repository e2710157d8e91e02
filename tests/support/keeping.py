"""Keep a folder as it is while programs run that may know of it.

tests/support/injected/tutorial_guard.py refuses in words what Python would do to it.
What gets past that, another program or a library in C, meets the system: read_only() of
tutorial/check/fence.py.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

INJECTED = Path(__file__).parent / "injected"


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
