"""How the long measurements, `strangers` and `many`, are written down and shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import click
from rich.table import Table

from .servers import Failed


def is_number(value: object) -> bool:
    """Is it a figure, and no yes or no?"""
    return isinstance(value, int | float) and not isinstance(value, bool)


def short(value: float | None) -> float | int | None:
    """A figure to three digits, if it is not whole."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def numbers(row: dict) -> dict:
    """The figures among what a part found, to three digits."""
    found = {}
    for key, value in row.items():
        if key == "ways" and isinstance(value, dict):
            found[key] = {way: numbers(each) for way, each in value.items()}
        elif is_number(value):
            found[key] = short(value)
    return found


def shown(value: float | None) -> str:
    """A figure as a table shows it."""
    if value is None:
        return "never"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def part_table(
    title: str, parts: Iterable[str], report: dict, faults: Callable
) -> Table:
    """What those of the `parts` found that were measured."""
    table = Table(title=title)
    for heading in ("part", "figures", "check"):
        table.add_column(heading)
    for part in [part for part in parts if part in report]:
        row = report[part]
        words = [f"{key} {shown(row[key])}" for key in row if is_number(row[key])]
        check = "failed" if faults(part, row) else "ok"
        table.add_row(part, ", ".join(words), check)
    return table


def last_of(
    reports: Iterable[dict], figures: Callable[[dict], dict], file: Path | None
) -> dict:
    """The last of the reports; each is written to `file` as soon as it is there."""
    report: dict = {}
    try:
        for report in reports:
            if file:
                kept = {"figures": figures(report), **report}
                file.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    except Failed as failed:
        raise click.ClickException(str(failed)) from failed
    return report


def leave(wrong: list[str]) -> NoReturn:
    """Say what is wrong, and end."""
    click.echo("\n".join(wrong), err=True, nl=bool(wrong))
    sys.exit(bool(wrong))
