"""How long, and how much, a program under check may take."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

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
    processes: int = 40  # at one time

    def stretched(self, load: float) -> Limits:
        """The limits on a machine that does the work of `load` such machines."""
        factor = min(max(load, 1.0), 10.0)
        times = {
            name: round(value * factor, 1)
            for name, value in asdict(self).items()
            if isinstance(value, float)
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


def limits_here() -> Limits:
    """The limits from the environment, or those that fit how busy this machine is.

    Raises ValueError or TypeError.
    """
    busy = psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
    return Limits.read(os.environ) or Limits().stretched(busy)
