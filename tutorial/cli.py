"""The commands: run, doctor, diff, site."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from tutorial import checks
from tutorial.checks import Finding, Ports
from tutorial.environment import read_group
from tutorial.mistakes import name_mistakes, shorten
from tutorial.stages import ROOT, Stage, find_stage, load_stages

COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main():
    """Run and compare the stages of this tutorial, and find what is in the way."""
    # What a console cannot show must not end the program.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")


def known_stage(name: str) -> Stage:
    """The stage of that number or id. Raises ClickException."""
    try:
        return find_stage(name)
    except LookupError as error:
        raise click.ClickException(str(error)) from error


def choose(name: str | None) -> tuple[Path, str]:
    """The folder and the title of what is to be run.

    `name` is a stage or the path of a folder; without it, it is the newest stage.
    Raises ClickException.
    """
    if name is None:
        stage = load_stages()[-1]
    elif (path := Path(name).expanduser()).is_dir() and path.resolve().parent != ROOT:
        return path.resolve(), path.resolve().name
    else:
        try:
            stage = find_stage(name.rstrip("/\\"))
        except LookupError as error:
            if path.is_dir():
                return path.resolve(), path.resolve().name
            if len(path.parts) > 1:
                raise click.ClickException(f"There is no folder {path}.") from error
            raise click.ClickException(
                f"{error} You can also give the path of a folder of your own."
            ) from error
    return stage.folder, f"Stage {stage.number}, {stage.title}"


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
    return [found, *checks.check_database(folder)]


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
    with_chat = (folder / "chatserver.py").is_file()
    findings += checks.look_at_ports(ports, ROOT, with_chat)
    findings.append(checks.check_origins(os.environ, ports))
    if text := problems_in(findings):
        raise click.ClickException(text)

    console = Console(highlight=False)
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
    address = f"Open http://127.0.0.1:{ports.django}/"
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

    Takes some two minutes. Leave the machine alone meanwhile.
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
