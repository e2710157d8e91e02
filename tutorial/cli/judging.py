"""What `check`, `watch` and `check-class` share: codes, reports, limits, the end."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import NoReturn, TextIO

import click
from rich.console import Console

from tutorial.check.limits import VARIABLE, Limits, limits_here
from tutorial.cli.common import stopping
from tutorial.doctor.checks import problems_in, python_findings
from tutorial.processes import below, kill_all

CODES = """\b
Exit codes:
  0  All tasks passed, or those that could be judged.
  1  It runs, and behaves wrongly.
  2  The command line is wrong.
  3  There is nothing here that looks like the project.
  4  It did not start.
  5  It started, and stopped answering.
  6  The check itself failed, which says nothing about the work.
"""


class Pipe(Console):
    """A console that says so if nobody reads what it prints, and ends nothing."""

    def on_broken_pipe(self) -> None:
        """Rich would end the program, with a code that means another thing here."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def failing_as_a_tool(command: Callable) -> Callable:
    """Let a command that fails end with code 6: that says nothing about the work."""

    @wraps(command)
    def wrapped(*words, **options):
        try:
            try:
                command(*words, **options)
            finally:
                sys.stdout.flush()
        except OSError as error:
            let_go(sys.__stdout__)
            if error.errno == errno.EPIPE:
                fail("Nobody reads what is printed here: the pipe is closed.")
            what = f"{error.filename}: " if error.filename else ""
            fail(f"{what}{error.strerror or error}")
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:
            traceback.print_exc()
            fail("This is a fault of the check; please report it, with what is above.")

    return wrapped


def open_reports(*paths: Path | None) -> list:
    """Open a Report for each path; end the check before it begins where that fails."""
    from tutorial.check.report import Report

    named = [path.expanduser() for path in paths if path]
    if len({path.resolve() for path in named}) < len(named):
        fail(f"Two reports cannot go into one file, {named[0]}.")
    try:
        return [path and Report(path.expanduser()) for path in paths]
    except OSError as error:
        fail(f"The report {error.filename} cannot be written: {error.strerror}.")


def write_reports(*reports: tuple) -> None:
    """Write each text into its report, if there is one: all that can be written."""
    failed = ""
    for report, text in reports:
        try:
            if report:
                report.write(text())
        except OSError as error:
            failed = f"{error.filename} could not be written: {error.strerror}."
    if failed:
        fail(failed)


def limits() -> Limits:
    """The limits of a check, from the environment; ends it where they make no sense."""
    try:
        return limits_here()
    except (ValueError, TypeError) as error:
        fail(f"{VARIABLE} cannot be read: {error}")


def need_packages() -> None:
    """End a check for which a package is missing."""
    if text := problems_in(python_findings("test")):
        fail(text)


def let_go(stream: TextIO | None) -> None:
    """Print no more where nobody reads: at the end Python would, and complain."""
    try:
        if stream:
            stream.flush()
    except OSError:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())


def fail(text: str) -> NoReturn:
    """End a check that could not be made."""
    with suppress(OSError):  # Nobody may read that either.
        click.echo(f"Error: {text}", err=True)
    let_go(sys.__stderr__)
    sys.exit(6)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """End as by Ctrl-C, with all that was started, however the end is asked for."""

    def end(signum: int, frame: object) -> None:
        sys.exit(128 + signum)

    # Whoever uses this as a function may have started something before.
    theirs = below(os.getpid())
    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        with stopping():
            yield
    finally:
        # Whoever lost its parent is ours now.
        kill_all(lambda: below(os.getpid(), without=theirs))
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
