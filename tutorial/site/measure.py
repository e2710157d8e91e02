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
from tutorial.stages import load_snapshots

MEASURED = DOCS / "measured.json"
# What is measured of which server, as benchmarks/ names both.
WANTED = {
    "stage3": ("longpoll", "history"),
    "stage5": ("longpoll", "history"),
    "1_rooms": ("longpoll", "fanout"),
    "2_no_delays": ("longpoll", "fanout"),
    "3_history": ("fanout", "single"),
    "4_persistence": ("fanout", "single"),
}
# A fan-out of ten messages under way, and of one at a time.
FANOUTS = {"fanout": {}, "single": {"in_flight": 1}}
ROUNDS = 5


def take(progress: Callable[[str], None] = lambda text: None) -> dict:
    """Measure anew; takes some four minutes. The figures are medians of ROUNDS.

    Rates and fan-outs are deliveries per second, "last" and "arrivals" seconds, "half"
    and "all" milliseconds until so many have a message, "each" and "storing" what one
    takes, "poll" microseconds by length of the history. Raises what benchmarks/ raises
    when a message is lost.
    """
    from benchmarks.__main__ import PROGRAMS, measure
    from benchmarks.servers import Failed, servers

    chosen = {s.name: s for s in servers() if s.name in WANTED}
    found: dict = {
        "of": measured_code(),
        "when": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "clients": PROGRAMS["longpoll"].load["clients"],
    }

    def rounds(name: str, kind: str, **load) -> list[dict]:
        results, program = [], PROGRAMS[kind]
        for number in range(1, ROUNDS + 1):
            progress(f"{kind}, {name}, {number} of {ROUNDS}")
            results.append(measure(program, chosen[name], program.load | load))
            if results[-1]["problems"]:
                raise Failed(str(results[-1]["problems"]))
        return results

    for name, kinds in WANTED.items():
        found[name] = {}
        if "longpoll" in kinds:
            found[name] |= _long_poll(rounds(name, "longpoll"))
        for kind in [kind for kind in FANOUTS if kind in kinds]:
            rates = [r["rate"] for r in rounds(name, "fanout", **FANOUTS[kind])]
            found[name][kind] = _short(statistics.median(rates))
        if "single" in kinds:
            each = {k: 1e3 * found["clients"] / found[name][k] for k in FANOUTS}
            found[name]["each"] = {k: _short(each[k]) for k in FANOUTS}
        if "history" in kinds:
            progress(f"history, {name}")
            program = PROGRAMS["history"]
            history = measure(program, chosen[name], program.load)
            found[name] |= {
                "poll": {k: _short(v) for k, v in history.items() if k[0].isdigit()},
                "growth": _short(history["growth"]),
            }
    found["times"] = _short(found["stage5"]["rate"] / found["stage3"]["rate"])
    before, after = found["1_rooms"]["fanout"], found["2_no_delays"]["fanout"]
    found["fanout_times"] = _short(after / before)
    before, after = found["3_history"]["each"], found["4_persistence"]["each"]
    found["storing"] = {kind: _short(after[kind] - before[kind]) for kind in FANOUTS}
    return found


def _long_poll(results: list[dict]) -> dict:
    results.sort(key=lambda result: result["arrivals"][-1])
    arrivals = results[len(results) // 2]["arrivals"]
    return {
        "rate": _short(statistics.median(r["rate"] for r in results)),
        "last": _short(statistics.median(r["last"] for r in results)),
        "half": _short(1000 * statistics.median(arrivals)),
        "all": _short(1000 * arrivals[-1]),
        "arrivals": [_short(seconds) for seconds in arrivals],
    }


def measured_code() -> dict[str, str]:
    """A digest of each measured server's code, as it is now."""
    found = {}
    for stage in load_snapshots():
        name = stage.id if stage.is_exercise else stage.id.partition("_")[0]
        if name in WANTED:
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

    What was measured is kept, and printed, to three significant digits.

    Raises LookupError for a key that is not there.
    """
    found = kept()
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            raise LookupError(f"docs/measured.json has no {key}")
        found = found[part]
    if isinstance(found, float) and found >= 100:
        return f"{found:,.0f}"
    return f"{found:#.3g}" if isinstance(found, float) else str(found)
