"""What strangers can do to a chat server, and what honest clients notice of it.

By itself: python -m benchmarks strangers --help
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tutorial.stages import ROOT

from .hostile import doors, protocol
from .hostile.attacks import AT_LEAST, ATTACKS
from .hostile.line import look_in
from .hostile.site import FULL_ROOM, Site, plainly, sizes
from .reports import last_of, leave, numbers, part_table, short, shown
from .servers import Failed, allow_many_sockets

SUBJECT, BEFORE = "7_strangers", "4_persistence"
PAIRS = [[1, 1, 2], [2, 3, 4]]  # (room, user of the socket, user of the poller)
PAUSE = 0.7  # seconds between two messages of one honest client
READY_SECONDS = 90.0
MOST_SECONDS = 600.0
MOST_FILES = 20_000  # that a process may have open
SPARE = 1_000  # files that a process has open beside the sockets of a crowd


@contextmanager
def site(name: str, **settings: str) -> Iterator[Site]:
    """A snapshot's chat server that runs, with a database of its own."""
    with (
        tempfile.TemporaryDirectory() as workspace,
        Site(name, Path(workspace), **settings) as found,
    ):
        yield found


def start(module: str, **load) -> subprocess.Popen:
    """Start one of the programs in hostile/."""
    return subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.hostile.{module}", json.dumps(load)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen) -> dict:
    """Tell a program that it is time, and return what it found. Raises Failed."""
    try:
        output, _ = process.communicate("\n", MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failed(f"{process.args} was not done.") from None
    if process.returncode:
        raise Failed(f"{process.args} failed, with code {process.returncode}.")
    return json.loads(output.splitlines()[-1])


def program(module: str, **load) -> dict:
    """Run one of the programs in hostile/. Returns what it found. Raises Failed."""
    return result(start(module, **load))


def beside_honest(
    site: Site, act: Callable[[], dict], pairs: list = PAIRS, pause: float = PAUSE
) -> tuple[dict, dict]:
    """Do something while honest pairs talk.

    Returns what `act` returned, and what they found. Raises Failed.
    """
    honest = start("honest", where=plainly(site.where), pairs=pairs, pause=pause)
    try:
        if honest.stdout.readline() != "ready\n":
            raise Failed("The honest clients were not let in.")
        acted = act()
        return acted, result(honest)
    finally:
        if honest.poll() is None:
            honest.kill()
            honest.communicate()


def latencies(samples: list, begun: float, ended: float) -> dict:
    """How long messages took that were said meanwhile, in ms."""
    took = sorted(1000 * took for said, took, _ in samples if begun <= said <= ended)
    if not took:
        return {"p50": None, "p99": None, "worst": None, "heard": 0}
    return {
        "p50": statistics.median(took),
        "p99": took[min(len(took) - 1, int(0.99 * len(took)))],
        "worst": took[-1],
        "heard": len(took),
    }


def attack(
    site: Site,
    name: str,
    small: bool = False,
    at_least: float = AT_LEAST,
    patience: float | None = None,
) -> dict:
    """Attack a site beside two honest pairs.

    Returns their "p50", "p99" and "worst" in ms, what they have "lost" and the like,
    how much "memory" the server took at most, in MB more than before, when the last
    attacker was "off", in seconds, and how many of them are "left".
    """
    kind = ATTACKS[name]
    seconds = min(kind.lasts or kind.patience, patience or kind.patience)
    # Whoever opens the full room first has its history loaded, and that is no harm.
    look_in(site.where, FULL_ROOM)
    tracebacks, before = site.tracebacks(), site.memory()

    def act() -> dict:
        with sizes(site.process.pid) as found:
            done = program(
                "attacks",
                where=plainly(site.where),
                name=name,
                sizes=kind.small if small else {},
                seconds=seconds,
                at_least=at_least,
            )
        return done | {"memory": max(found) - found[0], "peak": max(found)}

    done, honest = beside_honest(site, act)
    ended = time.monotonic()
    samples = honest.pop("samples")
    honest.pop("acknowledged")
    return {
        **honest,
        **latencies(samples, done["begun"], done["ended"]),
        **done,
        "before": before,
        "tracebacks": site.tracebacks() - tracebacks,
        "seconds": ended - done["begun"],
    }


def fuzz(site: Site, count: int = 10_000, rounds: int = 10, seed: int = 1) -> dict:
    """Send a site what is wrong by a lot, beside two honest pairs.

    That is `count` requests and as many sequences of frames, in rounds, and as many as
    one round has before: whatever a server allocates once, it has then. Returns how
    many "tracebacks" it wrote, what honest clients "lost" and what came "late", and by
    how much "memory" (in MB) and "descriptors" have grown at the end.
    """
    where, each, tracebacks = plainly(site.where), count // rounds, site.tracebacks()
    said: dict[str, dict[str, int]] = {"requests": {}, "frames": {}}

    def send(number: int) -> None:
        for kind, answers in said.items():
            load = {"kind": kind, "count": each, "seed": seed * 1000 + number}
            for how, many in program("fuzz", where=where, **load)["said"].items():
                answers[how] = answers.get(how, 0) + many

    def act() -> dict:
        memory, descriptors = [], []
        for number in range(rounds + 1):
            send(number)
            descriptors.append(settled(site.descriptors))
            memory.append(site.memory())
        return {"memory": memory, "descriptors": descriptors[-1] - descriptors[0]}

    begun = time.monotonic()
    done, honest = beside_honest(site, act)
    grown = done["memory"]
    return {
        **{
            key: honest[key] for key in ("lost", "doubled", "late", "problems", "codes")
        },
        **latencies(honest["samples"], begun, time.monotonic()),
        "requests": each * rounds,
        "sequences": each * rounds,
        "tracebacks": site.tracebacks() - tracebacks,
        "memory": grown[-1] - grown[0],
        "memory_by_round": grown,
        "descriptors": done["descriptors"],
        "answers": said,
    }


def settled(figure: Callable[[], float], seconds: float = 6.0) -> float:
    """The least that a figure is for some seconds: what is over, is gone by then."""
    ends, least = time.monotonic() + seconds, figure()
    while time.monotonic() < ends:
        time.sleep(0.1)  # how often to look
        least = min(least, figure())
    return least


def crowd(site: Site, count: int = 10_000, seconds: float = 70.0) -> dict:
    """Have thousands of sockets idle, and two of them talk in a room of their own.

    Returns how large the server is in MB ("memory"), how much of that is for them, and
    how long a message takes among them, in ms. `seconds` is how long they stay: longer
    than a socket may that answers no pings. The server has to be started when this
    process may have as many files open. Raises Failed if it may not, or if a socket is
    not let in.
    """
    before, may = site.memory(), allow_many_sockets()
    if may is not None and may < count + SPARE:
        raise Failed(
            f"{count:,} sockets need more open files than {may:,}: ulimit -Hn is less."
        )
    idle = start("idle", where=plainly(site.where), count=count)
    try:
        first = idle.stdout.readline()
        if not first:
            raise Failed("The idle sockets were not let in.")
        came = json.loads(first)

        def act() -> dict:
            ends = time.monotonic() + seconds
            begun, most = time.monotonic(), 0.0
            while time.monotonic() < ends:
                most = max(most, site.memory())
                time.sleep(0.2)  # how often to look
            return {"begun": begun, "ended": time.monotonic(), "memory": most}

        done, honest = beside_honest(site, act, [[1, 1, 2]])
        there = result(idle)
    finally:
        if idle.poll() is None:
            idle.kill()
            idle.communicate()
    return {
        **latencies(honest["samples"], done["begun"], done["ended"]),
        "lost": honest["lost"],
        "sockets": count,
        "there": there["there"],
        "pings": there["pings"],
        "came_in": came["seconds"],
        "memory": done["memory"],
        "each_kb": 1000 * (done["memory"] - before) / count,
    }


def doors_of(site: Site) -> dict:
    """Knock at both doors of a site in every wrong way."""
    where = site.where
    return doors.try_all(f"http://{where.host}", where.origin, where.token(1, 1))


def rules(site: Site) -> dict:
    """Try what RFC 6455 asks of a server, through all limits."""
    return protocol.try_all(site.where)


def restarts(
    site: Site, times: int = 10, clients: int = 20, pause: float = 0.7, seconds=5.0
) -> dict:
    """Tell a server to end while honest clients talk, start it again, and so on.

    Half of the `clients` are sockets. Returns how many acknowledged messages are
    "missing" in the database, how many are there twice, what clients have "lost" or
    heard twice, the longest time that the server took to "exit", with which "codes"
    its sockets were closed, and until all were "back", in seconds from the signal.
    """
    pairs = [
        [1 + number // 5, 2 * number + 1, 2 * number + 2]
        for number in range(clients // 2)
    ]
    exits, signals, tracebacks = [], [], site.tracebacks()

    def act() -> dict:
        for _ in range(times):
            time.sleep(seconds)  # This is the load, and waits for nothing.
            signals.append(time.monotonic())
            exits.append(site.stop())
            site.start()
        time.sleep(seconds)
        return {}

    _, honest = beside_honest(site, act, pairs, pause)
    acknowledged = {(room, text) for room, text in honest["acknowledged"]}

    def missing() -> int:
        return len(acknowledged - {(f"{room}", text) for room, text in site.stored()})

    # From exercise 8 on, it is moved to the database when it has been acknowledged.
    settled(missing)
    stored = Counter((f"{room}", text) for room, text in site.stored())
    closed = {
        how.removeprefix("socket "): count
        for how, count in honest["codes"].items()
        if how.startswith("socket ")
    }
    return {
        **{
            key: honest[key]
            for key in ("said", "lost", "doubled", "unstored", "resets")
        },
        "times": times,
        "clients": len(pairs) * 2,
        "acknowledged": len(acknowledged),
        "missing": len(acknowledged - {*stored}),
        "stored_twice": sum(stored[message] > 1 for message in acknowledged),
        "exit": max(exits),
        "exits": exits,
        "closed": closed,
        "others": {how: n for how, n in honest["codes"].items() if how[:4] != "sock"},
        "back": honest["last_back"] - signals[-1],
        "away": honest["away"],
        "problems": honest["problems"],
        "tracebacks": site.tracebacks() - tracebacks,
    }


def upgrade(site: Site, clients: int = 200) -> dict:
    """Restart the server once while many are there, half of them sockets."""
    return restarts(site, times=1, clients=clients, pause=5.0, seconds=20.0)


WITHIN = {"p99": 250.0, "memory": 20.0}  # ms, MB: what an attack may do
NOTICED = 1.0  # seconds until somebody has noticed that it is off
TARGETS = {  # what has to hold, by part: a figure, and the most that it may be
    "fuzz": {
        "tracebacks": 0,
        "lost": 0,
        "doubled": 0,
        "late": 0,
        "memory": 5.0,
        "descriptors": 0,
    },
    "crowd": {"memory": 512.0, "p50": 50.0, "lost": 0, "missing": 0},
    "doors": {"let_in": 0, "kept_out": 0},
    "rules": {"failed": 0},
    "restarts": {
        "missing": 0,
        "stored_twice": 0,
        "lost": 0,
        "doubled": 0,
        "exit": 10.0,
    },
    "upgrade": {"missing": 0, "lost": 0, "doubled": 0, "exit": 10.0, "back": 15.0},
}
PARTS = {
    "fuzz": fuzz,
    "crowd": crowd,
    "doors": doors_of,
    "rules": rules,
    "restarts": restarts,
    "upgrade": upgrade,
}


ALL = ("attacks", *PARTS)


def faults(name: str, found: dict) -> list[str]:
    """What an attack on the subject did that it may not do, in words."""
    kind, wrong = ATTACKS[name], []
    for figure, most in WITHIN.items():
        if found[figure] is not None and found[figure] > most:
            wrong.append(f"{figure} {shown(found[figure])}, at most {most:g}")
    if found["left"] > kind.left:
        wrong.append(f"{found['left']} are there still after {found['seconds']:.0f} s")
    elif found["off"] is not None and found["off"] > kind.within + NOTICED:
        wrong.append(f"off after {found['off']:.1f} s, at most {kind.within:g}")
    for figure in ("lost", "doubled", "tracebacks"):
        if found[figure]:
            wrong.append(f"{found[figure]} {figure}")
    return wrong + [f"no answer to {what}" for what in found.get("unanswered", [])]


def faults_of(part: str, found: dict) -> list[str]:
    """What another part found that has to be otherwise, in words."""
    wrong = []
    for figure, most in TARGETS[part].items():
        value = found.get(figure)
        if part == "crowd" and figure == "missing":
            value = found["sockets"] - found["there"]
        if figure == "kept_out":
            value = 0 if found["gets_in"] else 1
        value = len(value) if isinstance(value, list | dict) else value
        if value is None or value > most:
            wrong.append(f"{figure} {value}, at most {most:g}")
    return wrong + found.get("problems", []) + found.get("away", [])


def figures(report: dict) -> dict:
    """What pages may quote of a report: numbers by dotted keys, to three digits.

    Such as attacks.form.p99, and before.form.p99 for the snapshot without limits.
    """
    kept = ("p50", "p99", "worst", "memory", "off", "left", "late", "lost")
    found: dict = {"python": report["python"]}
    for key in ("attacks", "before"):
        found[key] = {
            name: {figure: short(row[figure]) for figure in kept}
            for name, row in report.get(key, {}).items()
        }
    for part in PARTS:
        if row := report.get(part):
            found[part] = numbers(row)
    return found


def attack_table(subject: str, report: dict) -> Table:
    """All attacks, on the subject and on what has no limits."""
    table = Table(title=f"Attacks on {subject}, beside two honest pairs")
    table.add_column("attack")
    before = bool(report.get("before"))
    for whose in ("", *([f"{BEFORE}: "] if before else [])):
        for heading in ("p50, ms", "p99, ms", "late", "MB", "off, s"):
            table.add_column(whose + heading, justify="right")
    table.add_column("check")
    for name, row in report["attacks"].items():
        cells = []
        for one in (row, *([report["before"].get(name)] if before else [])):
            if one is None:
                cells += [""] * 5
                continue
            off = shown(one["off"]) if one["left"] <= ATTACKS[name].left else "never"
            cells += [shown(one["p50"]), shown(one["p99"]), shown(one["late"])]
            cells += [f"{one['memory']:+.0f}", off]
        table.add_row(name, *cells, "failed" if faults(name, row) else "ok")
    return table


@click.command("strangers")
@click.argument("parts", nargs=-1, type=click.Choice(ALL))
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write it here.")
@click.option("--only", help="These attacks, for example form,pings.")
@click.option("--subject", default=SUBJECT, show_default=True, help="Which snapshot.")
@click.option("--before/--no-before", default=True, help="Attack 4_persistence, too.")
@click.option("--small", is_flag=True, help="Small attacks, as the tests have them.")
@click.option(
    "--base", help="Knock at this address only, such as https://127.0.0.1:8443."
)
@click.option("--origin", help="With --base: the origin that is right there.")
@click.option("--poll-path", default="/", help="With --base: the address of polls.")
@click.option("--token", default="", help="With --base: a token that is good.")
def main(parts, file, only, subject, before, small, base, origin, poll_path, token):
    """Attack a chat server, and measure what its honest clients notice.

    All PARTS take some forty minutes. Exit code 1 if anything is not as it has to be.
    """
    console = Console()
    if base:
        found = doors.try_all(base, origin or base, token, poll_path=poll_path)
        console.print_json(json.dumps(found))
        sys.exit(found["refused"] < found["of"] or not found["gets_in"])
    names = only.split(",") if only else [*ATTACKS]
    if unknown := ", ".join({*names} - {*ATTACKS}):
        raise click.UsageError(
            f"{unknown}: no such attack. Known: {', '.join(ATTACKS)}."
        )
    about = parts or [*ALL], names, subject, before, small, console.print
    report = last_of(measured(*about), figures, file)
    if "attacks" in report:
        console.print(attack_table(subject, report))
    if {*PARTS} & {*report}:
        title = "And what else has to hold"
        console.print(part_table(title, PARTS, report, faults_of))
    leave(report["wrong"])


def measured(
    parts: Iterable[str] = ALL,
    names: Iterable[str] = ATTACKS,
    subject: str = SUBJECT,
    before: bool = True,
    small: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[dict]:
    """Measure these parts, with these attacks on `subject`.

    And `before`, the same attacks on a snapshot that has no limits. Gives the report
    after each part, with all before it; under "wrong" is what is not as it has to be.
    Raises Failed.
    """
    allow_many_sockets(MOST_FILES)
    report: dict = {"of": subject, "python": platform.python_version(), "wrong": []}

    def attack_all(name: str) -> dict:
        found = {}
        for number, each in enumerate(names, 1):
            progress(f"{name}, {each}, {number} of {len([*names])}")
            # Each has a server of its own: what one leaves behind would be in the
            # figures of the next.
            with site(name) as running:
                found[each] = attack(running, each, small)
        return found

    for part in parts:
        if part == "attacks":
            report["attacks"] = attack_all(subject)
            if before:
                report["before"] = attack_all(BEFORE)
            for name, row in report["attacks"].items():
                report["wrong"] += [f"{name}: {what}" for what in faults(name, row)]
        else:
            progress(f"{subject}, {part}")
            with site(subject) as running:
                report[part] = PARTS[part](running)
            wrong = faults_of(part, report[part])
            report["wrong"] += [f"{part}: {what}" for what in wrong]
        yield report
