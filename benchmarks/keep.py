"""Measure the figures that pages quote, and keep them in docs/measured.json."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import statistics
from collections.abc import Callable

import click
from rich.console import Console

from tutorial.run.engine import find_engine
from tutorial.site.measured import MEASURED, kept
from tutorial.stages import load_snapshots

from . import many, strangers
from .cluster import spread
from .cluster.chats import folder_of
from .programs import PROGRAMS, measure
from .servers import Failed, servers

# What is measured of which server.
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
LONG = "strangers", "many"  # what is measured by itself


def take(progress: Callable[[str], None] = lambda text: None) -> dict:
    """Measure anew; takes some four minutes. The figures are medians of ROUNDS.

    Rates and fan-outs are deliveries per second, "last" and "arrivals" seconds, "half"
    and "all" milliseconds until so many have a message, "each" and "storing" what one
    takes, "poll" microseconds by length of the history. Raises Failed when a message is
    lost.
    """
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
    earlier = kept()
    return found | {key: earlier[key] for key in LONG if key in earlier}


def take_strangers(progress: Callable[[str], None] = lambda text: None) -> dict:
    """Measure anew what strangers can do to exercise 7, and could before it.

    Takes some forty minutes. Returns the figures that were kept, with these under
    "strangers". Raises Failed if anything is not as it has to be.
    """
    *_, report = strangers.measured(progress=progress)
    return _with("strangers", strangers, report)


def take_many(progress: Callable[[str], None] = lambda text: None) -> dict:
    """Measure anew what holds when the servers and the engine of exercise 8 are killed.

    Takes half an hour. Returns the figures that were kept, with these under "many".
    Raises Failed if anything is not as it has to be.
    """
    run = many.Run(folder_of(many.SUBJECT), progress=progress)
    *_, report = many.measured(run)
    name = find_engine({}).name
    return _with("many", many, report, engine=name, spread=spread.figures())


def _with(key: str, module, report: dict, **more) -> dict:
    if report["wrong"]:
        raise Failed("\n".join(report["wrong"]))
    of = {name: digest(name) for name in (module.SUBJECT, module.BEFORE)}
    when = datetime.date.today().isoformat()
    found = {"of": of, "when": when, "cores": os.cpu_count(), **more}
    return kept() | {key: found | module.figures(report)}


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
    return {name: digest(name) for name in WANTED}


def digest(name: str) -> str:
    """A digest of the code of a chat server, by its name here."""
    [stage] = [
        stage
        for stage in load_snapshots()
        if name == (stage.id if stage.is_exercise else stage.id.partition("_")[0])
    ]
    found = hashlib.sha256((stage.folder / "chatserver.py").read_bytes())
    for path in sorted((stage.folder / "twisted_chat").glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _short(value: float) -> float:
    return float(f"{value:.3g}")


@click.command("keep")
@click.option("--strangers", "of", flag_value="strangers", help="Those of exercise 7.")
@click.option("--many", "of", flag_value="many", help="Those of exercise 8.")
def main(of: str | None):
    """Measure the figures that pages quote, and keep them in docs/measured.json.

    Takes some four minutes, with --strangers forty, with --many thirty. Leave the
    machine alone meanwhile.
    """
    taking = {"strangers": take_strangers, "many": take_many}.get(of, take)
    with Console(highlight=False, stderr=True).status("measuring") as status:
        found = taking(status.update)
    MEASURED.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
