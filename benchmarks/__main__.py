"""The command: python -m benchmarks fanout|...|history|all, strangers, many or keep."""

from __future__ import annotations

import json
import platform
import signal
import statistics
import sys
from collections import defaultdict
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .history import SIZES
from .keep import main as keep
from .many import main as many
from .programs import PROGRAMS, Program, measure
from .reports import leave
from .servers import PEERS, Failed, Server, allow_many_sockets, servers
from .strangers import main as strangers
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


OPTIONS = [
    click.Option(
        ["--json", "file"], type=click.Path(path_type=Path), help="Write it here."
    ),
    click.Option(["--clients"], type=click.IntRange(1, 5000), help="How many hear."),
    click.Option(
        ["--in-flight"], type=click.IntRange(1, 1000), help="Messages under way."
    ),
    click.Option(["--seconds"], type=float, help="How long to speak, in each round."),
    click.Option(
        ["--messages"], type=click.IntRange(SIZES[0]), help="Longest history."
    ),
    click.Option(["--only"], help="These servers, for example stage5,aiohttp."),
    click.Option(
        ["--rounds"], default=5, show_default=True, type=click.IntRange(1, 100)
    ),
]


def compare(what, file, only, rounds, **load):
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
    leave(wrong)


main = click.Group(
    help="Measure the stages, their peers, and what is done to them.",
    commands=[
        *[
            click.Command(
                what,
                callback=partial(compare, what),
                params=OPTIONS,
                help=PROGRAMS[what].title if what in PROGRAMS else "All of these.",
            )
            for what in [*PROGRAMS, "all"]
        ],
        strangers,
        many,
        keep,
    ],
)

if __name__ == "__main__":
    main()
