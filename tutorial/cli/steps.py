"""`diff` and `steps`: from stage to stage."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from tutorial.cli.common import COLOURS, as_a_sentence, known_stage

NO_CHANGE = "Nothing has changed since the last time:"


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--stat", is_flag=True, help="Show only which files changed.")
def diff(old: str, new: str, stat: bool):
    """Show the step from stage OLD to stage NEW: 1 2, for example.

    A moved file is shown as one.
    """
    from tutorial.steps.diff import NoGit, show_step

    first, second = known_stage(old), known_stage(new)
    if first == second:
        raise click.ClickException(f"Both are {first.id}. Give two stages: diff 1 2")
    # Of a file that is gone, its name says enough.
    options = ["--stat"] if stat else ["--stat", "--patch", "--irreversible-delete"]
    with as_a_sentence(NoGit):
        sys.exit(show_step(first.folder, second.folder, *options))


@click.command()
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Make a fresh repository there instead: a folder that is new or empty.",
)
@click.option(
    "--zip",
    "zips",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Put an archive of each stage there instead.",
)
@click.option(
    "--refactoring",
    is_flag=True,
    help="Also write the branch `refactoring`: chapter 5, one commit a step.",
)
def steps(into: Path | None, zips: Path | None, refactoring: bool):
    """Write the stages as commits: a branch `steps`, and tags `stage1` to `stage5`.

    In this clone, whose work tree stays as it is, or in a fresh repository. There,
    `git diff stage3 stage4` shows a lesson, and `git merge stage4` carries your own
    changes on. Equal stages give equal hashes, on every machine.
    """
    from tutorial.steps.commits import (
        StepsError,
        the_clone,
        uncommitted,
        write_green,
        write_here,
        write_into,
        write_zips,
    )
    from tutorial.steps.diff import NoGit

    console = Console(highlight=False)

    def say(text: str = "", style: str = "") -> None:
        # Not wrapped, so that a command can be copied from the terminal.
        console.print(Text(text, style), soft_wrap=True)

    def say_next(*commands: str) -> None:
        say("\nNext:")
        for command in commands:
            say(f"  {command}")

    def tags(written) -> None:
        for one in written:
            say(f"  {one.tag}  {one.commit[:10]}  {one.stage.title}")

    with as_a_sentence(StepsError, NoGit, OSError):
        if into:
            into = into.expanduser().resolve()
            written = write_into(into)
            say(f"A new repository, {into}")
            tags(written)
            say("You are on the branch main, at stage1. The branch steps has all.")
        if zips:
            found = write_zips(zips.expanduser().resolve())
            new = sum(found.values())
            say(f"{len(found)} archives, {new} of them new" if new else NO_CHANGE)
            for path in found:
                say(f"  {path}")
        if not (into or zips):
            written, changed = write_here()
            say("The branch steps, with these tags:" if changed else NO_CHANGE)
            tags(written)
        if refactoring:
            if zips and not into:
                raise click.UsageError("--refactoring needs a repository, not --zip.")
            found = write_green(into, written)
            say(f"The branch refactoring leads from stage4 to stage5 in {len(found)}:")
            for step in found:
                say(f"  {step.subject}")
        for path in uncommitted(the_clone()):
            say(f"Not committed here, and in it as it is: {path}", COLOURS["note"])
    if into:
        folder = shlex.quote(str(into)) if os.name == "posix" else f'"{into}"'
        say_next(f"cd {folder}", "git diff stage1 stage2", "git merge stage2")
    elif not zips:
        say_next("git log --oneline steps", "git diff stage3 stage4")
    if refactoring:
        say("  git log --reverse --patch stage4..refactoring")


COMMANDS = (diff, steps)
