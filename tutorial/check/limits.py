"""How long, and how much, a program under check may take."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

VARIABLE = "TUTORIAL_LIMITS"  # by which the limits reach the tests' process


@dataclass(frozen=True)
class Limits:
    """Seconds, unless it says otherwise."""

    start: float = 12.0  # until a server listens
    manage: float = 12.0  # until a command of manage.py is done
    answer: float = 5.0  # until a server that listens reacts to a request
    hear: float = 3.0  # until a client gives up waiting for a message
    stop: float = 2.0  # that a server has to end when it is told to
    test: float = 20.0  # that one test may take
    silence: float = 40.0  # without news from the tests' process
    after_failure: float = 10.0  # in which tests still begin when one has failed
    output: int = 64_000_000  # bytes that the servers may write
    disk: int = 400_000_000  # bytes that its files may have, the copy's included
    processes: int = 40  # at one time

    def stretched(self, load: float) -> Limits:
        """The limits on a machine that does the work of `load` such machines.

        Whoever waits for the verdict on a failure waits no longer there.
        """
        factor = min(max(load, 1.0), 10.0)
        times = {
            name: round(value * factor, 1)
            for name, value in asdict(self).items()
            if isinstance(value, float) and name != "after_failure"
        }
        return replace(self, **times)

    def write(self) -> dict[str, str]:
        """The limits as a variable of the environment."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Limits | None:
        """What write() wrote, or somebody by hand; None if nobody did.

        Raises ValueError or TypeError for what are no limits.
        """
        text = environ.get(VARIABLE)
        return cls(**json.loads(text)) if text else None


def processors() -> float:
    """How many processors this process may use; a container may have a part of one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return min(count or os.cpu_count() or 1, quota(Path("/sys/fs/cgroup")))


def quota(root: Path) -> float:
    """How many processors a cgroup of Linux allows, of `root` and of this process."""
    groups = [root]
    with suppress(OSError):
        own = Path("/proc/self/cgroup").read_text("utf-8").rpartition("::/")[2].strip()
        groups += [Path(root, own), *Path(root, own).parents]
    allowed = [math.inf]
    for group in groups:
        with suppress(OSError, ValueError):
            most, period = (group / "cpu.max").read_text("utf-8").split()
            allowed.append(float(most) / float(period))  # "max" is no number
        with suppress(OSError, ValueError):  # the older way
            most = float((group / "cpu" / "cpu.cfs_quota_us").read_text("utf-8"))
            period = float((group / "cpu" / "cpu.cfs_period_us").read_text("utf-8"))
            allowed += [most / period] if most > 0 else []
    return min(allowed)


def limits_here() -> Limits:
    """The limits from the environment, or those that fit how busy this machine is.

    Raises ValueError or TypeError.
    """
    here = processors()
    # With a part of one, all takes longer, however little there is to do.
    load = max(psutil.getloadavg()[0] / here, 1 / here)
    return Limits.read(os.environ) or Limits().stretched(load)
