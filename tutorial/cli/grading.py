"""`check-class` and `points`: judge a class, and give marks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from tutorial.check.limits import processors
from tutorial.cli.common import COLOURS, asked_exercise, known_stage
from tutorial.cli.judging import (
    Pipe,
    ending_on_signals,
    fail,
    failing_as_a_tool,
    limits,
    need_packages,
    open_reports,
    write_reports,
)
from tutorial.doctor import checks
from tutorial.stages import Stage

LMS = ("plain", "canvas", "moodle", "moodle-worksheet")


@click.command(
    epilog="Exit codes: 0 all are right, 1 some are not, 6 one could not be checked."
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--stage", required=True, help="By the tests of which: number or name.")
@click.option("--jobs", type=click.IntRange(1), help="How many at a time.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write a CSV.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page.")
@click.option("--browser", is_flag=True, help="With the tests that need a Chromium.")
@click.option("--points", type=click.Path(path_type=Path), help="What each task earns.")
@click.option("--roster", type=click.Path(path_type=Path), help="A CSV of the course.")
@click.option("--lms", type=click.Choice(LMS), help="For whose gradebook.")
@click.option(
    "--grades",
    "into",
    type=click.Path(path_type=Path),
    help="Where marks and feedback go; with --points it is FOLDER-grades.",
)
@click.option("--hint", count=True, help="Put a hint into the feedback; or two.")
@click.option("--again", is_flag=True, help="Judge only what has changed since.")
@click.option("--exercise", default=0, help="They have that exercise, too.")
@failing_as_a_tool
def check_class(
    folder: Path,
    stage: str,
    jobs: int | None,
    csv_file: Path | None,
    html: Path | None,
    browser: bool,
    exercise: int,
    **grading,
):
    """Check every sub-folder and archive of FOLDER, several at a time.

    This runs the code in them as you. If you do not trust it, run this command where
    it can do no harm: in a container without network, as a user without rights.
    """
    from tutorial.check.fence import find_fence, how_shut_in
    from tutorial.grading import many
    from tutorial.grading.handins import learners_in

    chosen = known_stage(stage)
    exercise = asked_exercise(chosen, exercise)
    folder = folder.expanduser()
    if not folder.is_dir():
        fail(f"There is no folder {folder}.")
    try:
        folders = learners_in(folder)
    except OSError as error:
        fail(f"{folder} cannot be read: {error.strerror}.")
    if not folders:
        fail(f"There is no folder in {folder}: a class has one for each learner.")
    table, page = open_reports(csv_file, html)
    need_packages()
    if browser and not checks.find_browser():
        fail(str(checks.check_browser(None)))
    console = Pipe(highlight=False)
    book = open_gradebook(folder, folders, chosen, browser, exercise, **grading)
    options = {"browser": browser, "exercise": exercise, "limits": limits()}
    options["to_the_end"] = bool(book)
    options["known"] = book.known() if book and grading["again"] else {}
    options["fence"] = fence = find_fence()
    says = Text(how_shut_in(fence), COLOURS["ok" if fence else "note"])
    console.print(says, soft_wrap=True)
    jobs = jobs or max(1, int(processors()))
    whole = many.Class(chosen, folders, jobs, **options)

    def tell(whole: many.Class) -> None:
        screen.tell(whole)
        if book:  # whoever stops it goes on with --again
            book.keep(whole.done)

    with (
        ending_on_signals(),
        writing(),
        many.Screen(console, len(folders)) as screen,
    ):
        whole.run(tell)
    console.print()
    console.print(many.table(whole.done))
    if book:
        write_grades(console, book, whole)
    write_reports(
        (table, lambda: "\ufeff" + many.as_csv(whole.done)),
        (page, lambda: many.as_html(chosen, whole.done)),
    )
    codes = {verdict.kind.code for verdict in whole.done.values()}
    sys.exit(6 if 6 in codes else min(1, max(codes)))


@click.command()
@click.argument("stage")
@click.option("--browser", is_flag=True, help="With the tasks that need a Chromium.")
@click.option("--exercise", default=0, help="With that exercise of the chapter.")
def points(stage: str, browser: bool, exercise: int):
    """Print a points.toml for STAGE: its tasks, each worth the same.

    What you make of it, check-class --points reads.
    """
    from tutorial.check.tasks import tasks_of
    from tutorial.grading.points import template

    chosen = known_stage(stage)
    tasks = tasks_of(chosen, asked_exercise(chosen, exercise))
    tasks = [one for one in tasks if browser or not one.in_browser]
    click.echo(template(chosen, tasks), nl=False)


def open_gradebook(
    folder: Path,
    handins: list[Path],
    stage: Stage,
    browser: bool,
    exercise: int,
    *,
    points: Path | None,
    roster: Path | None,
    lms: str | None,
    into: Path | None,
    hint: int,
    again: bool,
):
    """Where the marks of a class go, if there are any; ends a check without sense."""
    if not (points or roster or lms or into or again):
        return None
    from tutorial.check.tasks import tasks_of
    from tutorial.grading import names, tables
    from tutorial.grading.gradebook import Gradebook
    from tutorial.grading.points import Points, PointsError, read_points
    from tutorial.grading.records import Records

    tasks = tasks_of(stage, exercise)
    tasks = [one for one in tasks if browser or not one.in_browser]
    try:
        weights = read_points(points.expanduser(), tasks) if points else Points()
        known = roster and names.read_roster(roster.expanduser())
    except (PointsError, names.RosterError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}.")
    weights = replace(weights, title=weights.title or stage.name)
    found = names.learners(handins, known)
    # Not resolved: a class's folder may be a link, and lie where nobody may write.
    into = into.expanduser() if into else Path(f"{folder.absolute()}-grades")
    records = Records(
        into / "verdicts", stage, f"browser={browser} exercise={exercise}"
    )
    lms = lms or tables.template_for(found, bool(known))
    open_reports(into / "grades.csv")
    return Gradebook(into, found, weights, records, lms, hint)


@contextmanager
def writing() -> Iterator[None]:
    """End a check whose results cannot be written."""
    try:
        yield
    except OSError as error:
        fail(f"{error.filename} could not be written: {error.strerror}.")


def write_grades(console: Console, book, whole) -> None:
    """Write marks and feedback, and say who got none."""
    from tutorial.grading import many

    rows = book.rows(whole.done, many.KINDS)
    with writing():
        book.keep(whole.done)
        out = book.write(rows)
    marked = len(rows) - len(out)
    says = f"\n{book.table}: {marked} of {len(rows)} learners, for {book.lms}."
    console.print(Text(says), soft_wrap=True)
    says = f"Feedback for each: {book.table.parent / 'feedback'}"
    console.print(Text(says), soft_wrap=True)
    for line in out:
        console.print(Text(f"Not in it: {line}", COLOURS["note"]), soft_wrap=True)


COMMANDS = (check_class, points)
