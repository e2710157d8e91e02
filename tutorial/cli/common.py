"""What the commands share: which stage is meant, and how a finding is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from tutorial.doctor import checks
from tutorial.doctor.checks import Finding
from tutorial.stages import ROOT, Stage, find_stage, load_stages

DOCS_PORT = 8080  # of mkdocs.yml
COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


@contextmanager
def as_a_sentence(*errors: type[Exception]) -> Iterator[None]:
    """End the command where one of these is raised, and say what it says."""
    try:
        yield
    except errors as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def stopping() -> Iterator[None]:
    """End the command at Ctrl-C, as one that was told to."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
        sys.exit(130)


class UnknownStage(click.ClickException):
    """There is no such stage. With code 1, `check` would judge the folder."""

    exit_code = 2


def known_stage(name: str) -> Stage:
    """The stage of that number or id. Raises UnknownStage."""
    try:
        return find_stage(name)
    except LookupError as error:
        raise UnknownStage(str(error)) from error


def asked_exercise(stage: Stage, exercise: int) -> int:
    """The exercise of a chapter that is to be judged, or 0. Raises UnknownStage."""
    from tutorial.check.tasks import known_exercise

    try:
        return known_exercise(stage, exercise)
    except LookupError as error:
        raise UnknownStage(str(error)) from error


def choose(name: str | None) -> tuple[Path, str]:
    """The folder and the title of what is to be run.

    `name` is a stage or the path of a folder; without it, it is the newest stage.
    Raises ClickException.
    """
    if name is None:
        stage = load_stages()[-1]
        return stage.folder, stage.name
    path = Path(name).expanduser()
    real = Path(os.path.realpath(path))
    # os.path, unlike Path, takes what may not be looked at for what is not there.
    is_folder = os.path.isdir(path)  # noqa: PTH112
    if is_folder and real.parent != ROOT:
        return real, real.name
    try:
        stage = find_stage(name.rstrip("/\\"))
    except LookupError as error:
        if is_folder:
            return real, real.name
        if len(path.parts) > 1 or os.path.lexists(path):
            raise click.ClickException(str(checks.check_stage(path))) from error
        raise click.ClickException(
            f"{error} You can also give the path of a folder of your own."
        ) from error
    return stage.folder, stage.name


def show(console: Console, finding: Finding) -> None:
    """Print a finding, its cure on a line of its own."""
    level = Text(f"{finding.level:8}", COLOURS[finding.level])
    # Not wrapped, so that a command can be copied from the terminal.
    console.print(level, Text(finding.says), soft_wrap=True)
    if finding.cure:
        console.print(" " * 8, Text(finding.cure), soft_wrap=True)
