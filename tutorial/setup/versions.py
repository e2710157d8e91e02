"""Which of the pinned versions are behind what the package index has.

For whoever keeps this project: a learner gets what requirements.lock pins.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Behind:
    """A package of which the index has a later version than the lock file pins."""

    name: str
    pinned: str
    latest: str


class NoIndex(Exception):
    """pip could not ask. The text is what it said."""


def ask_pip() -> list[dict[str, str]]:
    """What pip says of installed packages with a later version. Raises NoIndex."""
    command = [sys.executable, "-m", "pip", "list", "--outdated", "--format=json"]
    command += ["--disable-pip-version-check", "--no-input"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise NoIndex(done.stderr.strip())
    return json.loads(done.stdout)


def behind(pins: dict[str, str], found: list[dict[str, str]]) -> list[Behind]:
    """Those of `found`, pip's answer, that `pins` hold back, by name."""
    named = {canonicalize_name(one["name"]): one["latest_version"] for one in found}
    return [
        Behind(name, pinned, named[name])
        for name, pinned in sorted(pins.items())
        if named.get(name, pinned) != pinned
    ]
