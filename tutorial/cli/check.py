"""`check` and `watch`: judge a folder, once or at each save."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
from rich.text import Text

from tutorial.cli.common import asked_exercise, known_stage
from tutorial.cli.judging import (
    CODES,
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
from tutorial.doctor.mistakes import NO_TEXT


@click.command(epilog=CODES)
@click.argument("stage")
@click.option(
    "--path",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder to check: the one with manage.py.",
)
@click.option("--hint", count=True, help="Give a hint; twice, give a plainer one.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--junit", type=click.Path(path_type=Path), help="Write the result as JUnit's XML."
)
@click.option("--no-browser", is_flag=True, help="Leave out what needs a Chromium.")
@click.option("--all", "thorough", is_flag=True, help="Also run what takes long.")
@click.option("--exercise", default=0, help="It has that exercise of the chapter, too.")
@failing_as_a_tool
def check(
    stage: str,
    path: Path,
    hint: int,
    as_json: bool,
    junit: Path | None,
    no_browser: bool,
    thorough: bool,
    exercise: int,
):
    """Judge a folder of your own by the tests of STAGE, a number or a name.

    Starts a copy of what is in the folder and talks to it. The folder and its
    database stay as they are. A server has 12 seconds to start and 5 to react, a
    test has 20, on a busy machine more; then all is ended.
    """
    from tutorial.check import report
    from tutorial.check.judge import Judge

    chosen = known_stage(stage)
    exercise = asked_exercise(chosen, exercise)
    [target] = open_reports(junit)
    need_packages()
    console = Pipe(highlight=False, stderr=as_json)
    browser = None if no_browser else checks.find_browser()
    judge = Judge(
        chosen,
        path.expanduser(),
        browser=bool(browser),
        thorough=thorough,
        exercise=exercise,
        limits=limits(),
    )
    also = f", exercise {exercise}" if exercise else ""
    title = f"{chosen.name}{also}: {judge.verdict.folder}"
    console.print(Text(title), soft_wrap=True)
    if not browser:
        why = "As you wish" if no_browser else checks.why_no_browser()
        console.print(Text(f"{why}: without the tests in a browser."), soft_wrap=True)
    with ending_on_signals(), report.Progress(console, judge.verdict) as progress:
        judge.tell = progress.tell
        verdict = judge.run()
        progress.finish()
    report.show(console, verdict, hint)
    if as_json:
        text = json.dumps(report.as_json(verdict), ensure_ascii=False)
        click.echo(json.dumps(json.loads(NO_TEXT.sub("?", text)), indent=1))
    write_reports((target, lambda: report.junit(verdict)))
    sys.exit(verdict.kind.code)


@click.command()
@click.argument("stage")
@click.option(
    "--path",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder to watch: the one with manage.py, or where that will be.",
)
@click.option("--no-browser", is_flag=True, help="Leave out what needs a Chromium.")
@failing_as_a_tool
def watch(stage: str, path: Path, no_browser: bool):
    """Judge a folder of your own by the tests of STAGE at each save, until you end it.

    It is `check` while you type: the same tests, on a copy. On a terminal it is one
    screen with keys, and elsewhere a line for each state.
    """
    from tutorial.watch.app import watch as watch_folder

    chosen = known_stage(stage)
    folder = Path(os.path.realpath(path.expanduser()))
    if not os.path.isdir(folder):  # noqa: PTH112
        fail(f"There is no folder {folder}.")
    need_packages()
    browser = None if no_browser else checks.find_browser()
    limits()
    console = Pipe(highlight=False)
    if not browser and not no_browser:
        why = checks.why_no_browser()
        console.print(Text(f"{why}: without the tests in a browser."), soft_wrap=True)
    sys.exit(watch_folder(console, chosen, folder, bool(browser)))


COMMANDS = (check, watch)
