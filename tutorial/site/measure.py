"""The figures that pages quote: measured by benchmarks/, kept in docs/measured.json."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import statistics
from collections.abc import Callable

from tutorial.site.pages import DOCS
from tutorial.stages import load_stages

MEASURED = DOCS / "measured.json"
STAGES = ("stage3", "stage5")
ROUNDS = 5


def take(progress: Callable[[str], None] = lambda text: None) -> dict:
    """Measure anew; takes some two minutes. The figures are medians of ROUNDS.

    Rates are deliveries per second, "last" and "arrivals" seconds, "poll" microseconds
    by length of the history. Raises what benchmarks/ raises when a message is lost.
    """
    from benchmarks.__main__ import PROGRAMS, measure
    from benchmarks.servers import Failed, servers

    chosen = {s.name: s for s in servers() if s.name in STAGES}
    found: dict = {
        "of": measured_code(),
        "when": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "clients": PROGRAMS["longpoll"].load["clients"],
    }
    for name, server in chosen.items():
        results = []
        for number in range(1, ROUNDS + 1):
            progress(f"long poll, {name}, {number} of {ROUNDS}")
            program = PROGRAMS["longpoll"]
            results.append(measure(program, server, program.load))
            if results[-1]["problems"]:
                raise Failed(str(results[-1]["problems"]))
        results.sort(key=lambda result: result["arrivals"][-1])
        typical = results[ROUNDS // 2]
        progress(f"a poll against a long history, {name}")
        history = measure(PROGRAMS["history"], server, PROGRAMS["history"].load)
        found[name] = {
            "rate": _short(statistics.median(r["rate"] for r in results)),
            "last": _short(statistics.median(r["last"] for r in results)),
            "arrivals": [_short(seconds) for seconds in typical["arrivals"]],
            "poll": {k: _short(v) for k, v in history.items() if k[0].isdigit()},
            "growth": _short(history["growth"]),
        }
    found["times"] = _short(found["stage5"]["rate"] / found["stage3"]["rate"])
    return found


def measured_code() -> dict[str, str]:
    """A digest of each measured server's code, as it is now."""
    found = {}
    for stage in load_stages():
        name = stage.id.partition("_")[0]
        if name in STAGES:
            digest = hashlib.sha256((stage.folder / "chatserver.py").read_bytes())
            for path in sorted((stage.folder / "twisted_chat").glob("*.py")):
                digest.update(path.read_bytes())
            found[name] = digest.hexdigest()[:16]
    return found


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def keep(found: dict) -> None:
    """Write the figures where the pages find them."""
    MEASURED.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def kept() -> dict:
    """The figures that were measured last."""
    return json.loads(MEASURED.read_text("utf-8"))


def value(key: str) -> str:
    """One figure by its dotted key, as a page prints it.

    Raises LookupError for a key that is not there.
    """
    found = kept()
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            raise LookupError(f"docs/measured.json has no {key}")
        found = found[part]
    if isinstance(found, float) and found >= 100:
        return f"{found:,.0f}"
    return f"{found:g}" if isinstance(found, float) else str(found)
