"""The commands: run, doctor, check, check-class, diff, steps, versions, site."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.text import Text

from tutorial import checks
from tutorial.checks import Finding, Ports
from tutorial.environment import read_group
from tutorial.limits import VARIABLE, Limits, limits_here, processors
from tutorial.mistakes import NO_TEXT, name_mistakes, shorten
from tutorial.processes import below, kill_all
from tutorial.settings import origins_of
from tutorial.stages import ROOT, Stage, find_stage, load_stages

DOCS_PORT = 8080  # of mkdocs.yml
COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main():
    """Run and compare the stages of this tutorial, and find what is in the way."""
    # What a console cannot show must not end the program.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")


class UnknownStage(click.ClickException):
    """There is no such stage. With code 1, `check` would judge the folder."""

    exit_code = 2


def known_stage(name: str) -> Stage:
    """The stage of that number or id. Raises UnknownStage."""
    try:
        return find_stage(name)
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


def read_ports() -> Ports:
    """The ports from the environment. Raises ClickException."""
    try:
        return Ports.read(os.environ)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def python_findings(group: str) -> list[Finding]:
    """Check this Python, and the packages that `group` of pyproject.toml asks for."""
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    packages = checks.check_packages(
        read_group(group),
        checks.installed_requires,
        checks.installed_version,
        checks.read_lock(lock),
        group,
    )
    environment = checks.check_environment(Path(sys.prefix), ROOT)
    if environment.level == "note" and any(p.level == "problem" for p in packages):
        # What is missing here is there.
        environment = replace(environment, level="problem")
    version = tuple(sys.version_info[:3])
    return [checks.check_python(version, sys.executable), environment, *packages]


def project_findings(folder: Path) -> list[Finding]:
    """Check what is in `folder`, without running it."""
    found = checks.check_stage(folder)
    if found.level == "problem":
        return [found]
    return [
        found,
        *checks.check_surroundings(os.environ, folder),
        *checks.check_pidfile(folder),
        *checks.check_database(folder, os.environ),
    ]


def problems_in(findings: list[Finding]) -> str:
    """The problems among `findings`, as text; empty if there are none."""
    problems = [finding for finding in findings if finding.level == "problem"]
    return "\nError: ".join(str(problem) for problem in problems)


@main.command()
@click.argument("stage", required=False)
def run(stage: str | None):
    """Start Django and Twisted for STAGE, and end both with Ctrl-C.

    STAGE is a number, a name, or the path of a folder of your own. Without it the
    newest stage runs. DJANGO_PORT and CHAT_PORT choose other ports than 8000 and
    1025.
    """
    # Here, because honcho is not needed for the other commands.
    from tutorial import runner

    folder, title = choose(stage)
    ports = read_ports()
    findings = [*project_findings(folder), *python_findings("run")]
    with_chat = checks.is_file(folder / "chatserver.py")
    findings += checks.look_at_ports(ports, ROOT, with_chat)
    findings.append(checks.check_origins(os.environ, ports))
    if text := problems_in(findings):
        raise click.ClickException(text)

    console = Console(highlight=False)
    for finding in checks.check_surroundings(os.environ, folder):
        show(console, finding)  # before the database is changed
    environ = dict(os.environ)
    try:
        with console.status(f"{title}: preparing the database", spinner="line"):
            output = runner.migrate(folder, runner.environment(ports, environ))
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    if output:
        inner = runner.environment(ports, environ)
        named = [str(one) for one in name_mistakes(output, folder, inner)]
        says = f"`manage.py migrate` in {folder} failed; its last lines are above."
        raise click.ClickException("\n".join([*shorten(output, folder), says, *named]))
    console.print(f"{title}: the database is ready, starting the servers.")
    address = f"Open {origins_of(ports.django)[0]}/"
    if sys.stdout.isatty():
        address = click.style(address, bold=True, fg="green")
    hint = (
        "After a change in chatserver.py, stop and start again; Django notices its own."
        if with_chat
        else "There is no chat server yet, so nothing can be sent."
    )
    ready = f"\n    {address}\n    {hint}\n    Press Ctrl-C to stop.\n"
    code, complaint = runner.run_servers(folder, ports, environ, ready)
    with suppress(OSError):  # the terminal may be gone
        click.echo(f"\nError: {complaint}" if complaint else "\nStopped.", err=True)
    sys.exit(code)


def clone_findings() -> list[Finding]:
    """Why git does not touch this clone, if so: as one that somebody else owns."""
    from tutorial.steps import StepsError, the_clone

    try:
        the_clone()
    except StepsError as error:
        cure = "Only `steps` needs it."
        return [Finding("note", f"git does not read this clone: {error}", cure)]
    return []


@main.command()
@click.argument("stage", required=False)
def doctor(stage: str | None):
    """Look for what may be in the way, and say what to do about it.

    With STAGE, a number, a name, or the path of a folder of your own, look into that
    folder, too.
    """
    folder, _ = choose(stage)
    findings = [
        *python_findings("run"),
        checks.check_folder(Path.cwd(), ROOT),
        *project_findings(folder),
    ]
    try:
        ports = Ports.read(os.environ)
        findings += checks.look_at_ports(ports, ROOT)
        findings.append(checks.check_origins(os.environ, ports))
    except ValueError as error:
        findings.append(Finding("problem", str(error)))
    findings += checks.check_leftovers(checks.running_servers(), ROOT)
    findings.append(checks.check_localhost(checks.localhost_addresses()))
    findings.append(checks.check_git(shutil.which("git")))
    findings += clone_findings()
    findings += checks.check_docs_port(checks.bind_error(DOCS_PORT), DOCS_PORT)
    findings.append(checks.check_browser(checks.find_browser()))
    console = Console(highlight=False)
    for finding in findings:
        show(console, finding)
    problems = sum(finding.level == "problem" for finding in findings)
    if problems:
        plural = "" if problems == 1 else "s"
        console.print(f"\n{problems} problem{plural}.", style=COLOURS["problem"])
        sys.exit(1)
    console.print("\nNothing is in the way.", style=COLOURS["ok"])


def show(console: Console, finding: Finding) -> None:
    """Print a finding, its cure on a line of its own."""
    level = Text(f"{finding.level:8}", COLOURS[finding.level])
    # Not wrapped, so that a command can be copied from the terminal.
    console.print(level, Text(finding.says), soft_wrap=True)
    if finding.cure:
        console.print(" " * 8, Text(finding.cure), soft_wrap=True)


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
            # Python would try once more at the end, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
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
    from tutorial.report import Report

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


@main.command(epilog=CODES)
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
@failing_as_a_tool
def check(
    stage: str,
    path: Path,
    hint: int,
    as_json: bool,
    junit: Path | None,
    no_browser: bool,
    thorough: bool,
):
    """Judge a folder of your own by the tests of STAGE, a number or a name.

    Starts a copy of what is in the folder and talks to it. The folder and its
    database stay as they are. A server has 12 seconds to start and 5 to react, a
    test has 20, on a busy machine more; then all is ended.
    """
    from tutorial import report
    from tutorial.judge import Judge

    chosen = known_stage(stage)
    [target] = open_reports(junit)
    if text := problems_in(python_findings("test")):
        fail(text)
    console = Pipe(highlight=False, stderr=as_json)
    browser = None if no_browser else checks.find_browser()
    judge = Judge(
        chosen,
        path.expanduser(),
        browser=bool(browser),
        thorough=thorough,
        limits=limits(),
    )
    title = f"{chosen.name}: {judge.verdict.folder}"
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


@main.command(
    epilog="Exit codes: 0 all are right, 1 some are not, 6 one could not be checked."
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--stage", required=True, help="By the tests of which: number or name.")
@click.option("--jobs", type=click.IntRange(1), help="How many at a time.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write a CSV.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page.")
@click.option("--browser", is_flag=True, help="With the tests that need a Chromium.")
@failing_as_a_tool
def check_class(
    folder: Path,
    stage: str,
    jobs: int | None,
    csv_file: Path | None,
    html: Path | None,
    browser: bool,
):
    """Check every sub-folder of FOLDER, several at a time.

    This runs the code in them as you. If you do not trust it, run this command where
    it can do no harm: in a container without network, as a user without rights.
    """
    from tutorial import many

    chosen = known_stage(stage)
    folder = folder.expanduser()
    if not folder.is_dir():
        fail(f"There is no folder {folder}.")
    try:
        folders = many.learners_in(folder)
    except OSError as error:
        fail(f"{folder} cannot be read: {error.strerror}.")
    if not folders:
        fail(f"There is no folder in {folder}: a class has one for each learner.")
    table, page = open_reports(csv_file, html)
    if text := problems_in(python_findings("test")):
        fail(text)
    if browser and not checks.find_browser():
        fail(str(checks.check_browser(None)))
    console = Pipe(highlight=False)
    jobs = jobs or max(1, int(processors()))
    whole = many.Class(chosen, folders, jobs, browser=browser, limits=limits())
    with ending_on_signals(), many.Screen(console, len(folders)) as screen:
        whole.run(screen.tell)
    console.print()
    console.print(many.table(whole.done))
    write_reports(
        (table, lambda: "\ufeff" + many.as_csv(whole.done)),
        (page, lambda: many.as_html(chosen, whole.done)),
    )
    codes = {verdict.kind.code for verdict in whole.done.values()}
    sys.exit(6 if 6 in codes else min(1, max(codes)))


def limits() -> Limits:
    """The limits of a check, from the environment; ends it where they make no sense."""
    try:
        return limits_here()
    except (ValueError, TypeError) as error:
        fail(f"{VARIABLE} cannot be read: {error}")


def fail(text: str) -> NoReturn:
    """End a check that could not be made."""
    click.echo(f"Error: {text}", err=True)
    sys.exit(6)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """End as by Ctrl-C, with all that was started, however the end is asked for."""

    def end(signum: int, frame: object) -> None:
        sys.exit(128 + signum)

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    finally:
        # Whoever lost its parent is ours now.
        kill_all(lambda: below(os.getpid()))


@main.command()
@click.argument("old")
@click.argument("new")
@click.option("--stat", is_flag=True, help="Show only which files changed.")
def diff(old: str, new: str, stat: bool):
    """Show the step from stage OLD to stage NEW: 1 2, for example.

    A moved file is shown as one.
    """
    from tutorial.stepdiff import NoGit, show_step

    first, second = known_stage(old), known_stage(new)
    if first == second:
        raise click.ClickException(f"Both are {first.id}. Give two stages: diff 1 2")
    # Of a file that is gone, its name says enough.
    options = ["--stat"] if stat else ["--stat", "--patch", "--irreversible-delete"]
    try:
        sys.exit(show_step(first.folder, second.folder, *options))
    except NoGit as error:
        raise click.ClickException(str(error)) from error


@main.command()
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
    from tutorial.stepdiff import NoGit
    from tutorial.steps import (
        StepsError,
        the_clone,
        uncommitted,
        write_green,
        write_here,
        write_into,
        write_zips,
    )

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

    try:
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
    except (StepsError, NoGit, OSError) as error:
        raise click.ClickException(str(error)) from error
    if into:
        folder = shlex.quote(str(into)) if os.name == "posix" else f'"{into}"'
        say_next(f"cd {folder}", "git diff stage1 stage2", "git merge stage2")
    elif not zips:
        say_next("git log --oneline steps", "git diff stage3 stage4")
    if refactoring:
        say("  git log --reverse --patch stage4..refactoring")


NO_CHANGE = "Nothing has changed since the last time:"


@main.command()
def versions():
    """Say which pins of requirements.lock are behind what the package index has.

    Of what is not installed, as that which only the benchmarks need, it says nothing.
    """
    from rich.table import Table

    from tutorial.versions import NoIndex, ask_pip, behind

    pins = checks.read_lock((ROOT / "requirements.lock").read_text("utf-8"))
    try:
        found = behind(pins, ask_pip())
    except NoIndex as error:
        raise click.ClickException(f"pip could not ask the index: {error}") from error
    if not found:
        click.echo("Every installed package that is pinned is the latest one.")
        return
    table = Table("Package", "Pinned", "Latest")
    for one in found:
        table.add_row(one.name, one.pinned, one.latest)
    Console().print(table)


@main.command()
def read():
    """Show the tutorial's pages, and follow what you change in them.

    Builds them first, which takes a while; Ctrl-C ends it.
    """
    if checks.bind_error(DOCS_PORT):
        [taken] = checks.check_docs_port(checks.bind_error(DOCS_PORT), DOCS_PORT)
        raise click.ClickException(str(taken))
    click.echo(
        "Building the pages: some 20 seconds the first time, on a busy machine more. "
        f"Then open http://127.0.0.1:{DOCS_PORT}/. Ctrl-C ends it."
    )
    # Material's word on a version that does not concern us.
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    words = [sys.executable, "-m", "mkdocs", "serve"]
    with suppress(KeyboardInterrupt):
        sys.exit(subprocess.run(words, cwd=ROOT, env=environ).returncode)
    sys.exit(130)


@main.group()
def site():
    """Keep the site true: what it shows is printed by programs."""


@site.command()
@click.argument("pages", nargs=-1, metavar="[PAGE]...")
def rewrite(pages: tuple[str, ...]):
    """Run the commands of each PAGE of docs/ and put in what they print now.

    Without a PAGE, of all. What [...] leaves out stays left out. Look at the
    difference before you commit it.
    """
    from tutorial.site.pages import DOCS, Page, PageError, all_pages
    from tutorial.site.story import StoryError, following
    from tutorial.site.story import rewrite as rewrite_page

    console = Console(highlight=False, stderr=True)
    names = [name.removeprefix("docs/") for name in pages]
    for name in names:
        if not (DOCS / name).is_file():
            raise click.ClickException(f"There is no docs/{name}.")
    chosen = [Page.read(name) for name in names] or all_pages()
    for page in chosen:
        with tempfile.TemporaryDirectory() as place, console.status(page.path):
            try:
                with following(page, Path(place)) as story:
                    said = list(story.tell())
            except (StoryError, PageError) as error:
                raise click.ClickException(str(error)) from error
        path = DOCS / page.path
        whole = path.read_text("utf-8")
        head = whole[: len(whole) - len(page.source)] if page.meta else ""

        def write(text: str, path=path, head=head) -> None:
            path.write_text(head + text.rstrip("\n") + "\n", "utf-8")

        count = rewrite_page(page, said, write)
        if said:
            console.print(f"{page.path}: {len(said)} outputs, {count} rewritten")


@site.command()
def measure():
    """Measure the figures that pages quote, and keep them in docs/measured.json.

    Takes some four minutes. Leave the machine alone meanwhile.
    """
    from tutorial.site.measure import keep, take

    console = Console(highlight=False, stderr=True)
    with console.status("measuring") as status:
        keep(take(status.update))


@site.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def pictures(names: tuple[str, ...]):
    """Take the pictures in docs/img anew, with the Chromium of this machine.

    NAME is what pages call it, two-windows for example; without one, all.
    """
    from tutorial.site.pictures import NoBrowser, take_all

    console = Console(highlight=False, stderr=True)
    try:
        with console.status("taking pictures") as status:
            take_all(names, status.update)
    except (NoBrowser, LookupError) as error:
        raise click.ClickException(str(error)) from error
