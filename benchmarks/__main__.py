"""The command: python -m benchmarks fanout|memory|longpoll|parked|history|all."""

from __future__ import annotations

import json
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tutorial.stages import ROOT

from .history import SIZES
from .servers import PEERS, Failed, Server, running, servers
from .wire import LENGTH

PACKAGES = {"twisted", "wsproto", "django"}.union(
    *[needs for needs, _ in PEERS.values()]
)
HEADINGS = {
    "rate": "deliveries/s",
    "last": "last, s",
    "generator": "generator",
    "memory": "MB",
}


@dataclass(frozen=True)
class Program:
    """One measurement: a load generator, its load, and what of its result is shown.

    `ratio` is the figure that is compared, with the `best` peer or the server `to`.
    """

    title: str
    module: str
    load: dict
    columns: tuple[str, ...]
    ratio: str
    to: str = "best peer"
    best: Callable = max


LONGPOLL = Program(
    "Long poll: one posts, all get it and wait again",
    "longpoll",
    {"clients": 100, "seconds": 2.0},
    ("rate", "last", "generator"),
    ratio="rate",
    to="stage3",
)
PROGRAMS = {
    "fanout": Program(
        "Fan-out: one speaks, all hear",
        "fanout",
        {"clients": 100, "in_flight": 10, "seconds": 2.0},
        ("rate", "generator"),
        ratio="rate",
    ),
    "memory": Program(
        "Memory when all have joined",
        "fanout",
        {"clients": 1000, "seconds": 0.0},
        ("memory",),
        ratio="memory",
        best=min,
    ),
    "longpoll": LONGPOLL,
    "parked": replace(
        LONGPOLL,
        title="Long poll with many who wait",
        load={"clients": 1000, "seconds": 2.0},
        ratio="last",
    ),
    "history": Program(
        "Price of one poll in µs against the length of the history",
        "history",
        {"messages": SIZES[-1]},
        (*[f"{size:,}" for size in SIZES], "growth"),
        ratio="longest",
        to="stage3",
    ),
}


def measure(program: Program, server: Server, load: dict) -> dict:
    """Let the load generator at `server`, each in a process of its own.

    Returns its result. Raises Failed, with what both wrote.
    """

    def generate(**where) -> dict:
        words = [f"benchmarks.{program.module}", json.dumps(load | where)]
        try:
            done = subprocess.run(
                [sys.executable, "-m", *words],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
                timeout=300,
            )
        except subprocess.SubprocessError as error:
            raise Failed(f"{error}\n{error.stderr}") from error
        return json.loads(done.stdout)

    if program.module == "history":
        return generate(folder=str(server.folder))
    with (
        tempfile.TemporaryDirectory() as workspace,
        running(server, Path(workspace)) as where,
    ):
        return generate(**where)


def run(
    program: Program, chosen: list[Server], rounds: int, load: dict, progress: Progress
) -> dict:
    """Measure every server once in each round; returns medians, ratios, problems."""
    chosen = [server for server in chosen if program.module in server.bears]
    installed = [server for server in chosen if server.is_installed]
    results, problems = defaultdict(list), defaultdict(list)
    task = progress.add_task(program.title, total=rounds * len(installed))
    # Round by round, so that a machine that slows down does so for all of them.
    for number in range(1, rounds + 1):
        for server in installed:
            try:
                result = measure(program, server, load)
                results[server.name].append(result)
                found = result["problems"]
            except Failed as failed:
                found = [str(failed)]
            problems[server.name] += [f"round {number}: {what}" for what in found]
            progress.advance(task)
    medians = {
        name: {
            key: float(f"{statistics.median(result[key] for result in of_one):.3g}")
            for key in {*program.columns, program.ratio} & of_one[0].keys()
        }
        for name, of_one in results.items()
    }
    peers = [server.name for server in installed if server.needs]
    names = peers if program.to == "best peer" else [program.to]
    found = [medians[name][program.ratio] for name in names if name in medians]
    return {
        "title": program.title,
        "load": load,
        "rounds": rounds,
        "ratio": {"of": program.ratio, "to": program.to},
        "servers": {
            server.name: {
                "median": (median := medians.get(server.name, {})),
                "ratio": (
                    float(f"{median[program.ratio] / program.best(found):.3g}")
                    if found and median
                    else None
                ),
                "problems": problems[server.name],
            }
            for server in installed
        },
        "not_installed": [server.name for server in chosen if server not in installed],
    }


def table(program: Program, report: dict) -> Table:
    """The report of one program, to be read."""
    load = ", ".join(f"{key} {value}" for key, value in report["load"].items())
    table = Table(title=f"{program.title}\n({load}; median of {report['rounds']})")
    table.add_column("server")
    headings = [HEADINGS.get(key, key) for key in program.columns]
    for heading in [*headings, f"ratio to {program.to}", "check"]:
        table.add_column(heading, justify="right")
    for name, row in report["servers"].items():
        figures = [row["median"].get(key) for key in program.columns] + [row["ratio"]]
        check = "failed" if row["problems"] else "ok"
        table.add_row(name, *map(shown, figures), check)
    for name in report["not_installed"]:
        table.add_row(f"{name}: not installed: make bench-setup")
    return table


def shown(figure: float | None) -> str:
    """A figure with three digits; a dash for none."""
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def versions() -> dict[str, str]:
    """What was measured: the versions of Python and of the libraries."""
    found = {each.name.lower(): each.version for each in distributions()}
    libraries = {name: found[name] for name in sorted(PACKAGES & found.keys())}
    return {"python": platform.python_version(), **libraries}


def allow_many_sockets() -> None:
    """Raise this process's limit on open files, for itself and what it starts."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if most == resource.RLIM_INFINITY else min(8192, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@click.command()
@click.argument("what", type=click.Choice([*PROGRAMS, "all"]))
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write it here.")
@click.option("--clients", type=click.IntRange(1, 5000), help="How many hear.")
@click.option("--in-flight", type=click.IntRange(1, 1000), help="Messages under way.")
@click.option("--seconds", type=float, help="How long to speak, in each round.")
@click.option("--messages", type=click.IntRange(SIZES[0]), help="Longest history.")
@click.option("--only", help="These servers, for example stage5,aiohttp.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100))
def main(what, file, only, rounds, **load):
    """Measure the stages and their peers. Exit code 1 if anything was lost."""
    known = {server.name: server for server in servers()}
    names = only.split(",") if only else known
    if unknown := ", ".join(set(names) - set(known)):
        raise click.UsageError(f"{unknown}: no such server. Known: {', '.join(known)}.")
    chosen = [server for server in known.values() if server.name in names]
    allow_many_sockets()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the servers, too
    reports = {}
    console = Console()
    with Progress(console=console) as progress:
        for name in PROGRAMS if what == "all" else [what]:
            usual = PROGRAMS[name].load
            wanted = {key: load[key] or value for key, value in usual.items()}
            reports[name] = run(PROGRAMS[name], chosen, rounds, wanted, progress)
    wrong = []
    for name, report in reports.items():
        console.print(table(PROGRAMS[name], report))
        for server, row in report["servers"].items():
            wrong += [f"{name}, {server}, {what}" for what in row["problems"]]
    if file:
        report = {"versions": versions(), "message_bytes": LENGTH, **reports}
        file.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    click.echo("\n".join(wrong), err=True, nl=bool(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
