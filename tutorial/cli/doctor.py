"""`doctor` and `versions`: what is in the way, and which pins are behind."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click
from rich.console import Console

from tutorial.cli.common import COLOURS, DOCS_PORT, choose, show
from tutorial.doctor import checks
from tutorial.doctor.checks import Finding, Ports
from tutorial.run.engine import check_engine, shape_of
from tutorial.stages import ROOT


@click.command()
@click.argument("stage", required=False)
def doctor(stage: str | None):
    """Look for what may be in the way, and say what to do about it.

    With STAGE, a number, a name, or the path of a folder of your own, look into that
    folder, too.
    """
    folder, _ = choose(stage)
    servers, shares = shape_of(folder)
    about_engine = check_engine(os.environ, folder if shares else None)
    findings = [
        *checks.python_findings("run"),
        checks.check_folder(Path.cwd(), ROOT),
        *checks.project_findings(folder),
        *about_engine,
    ]
    if shares and about_engine[0].level != "ok":
        servers = 1  # without an engine they would hear nothing of each other
    try:
        ports = Ports.read(os.environ, servers)
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


def clone_findings() -> list[Finding]:
    """Why git does not touch this clone, if so: as one that somebody else owns."""
    from tutorial.steps.commits import StepsError, the_clone

    try:
        the_clone()
    except StepsError as error:
        cure = "Only `steps` needs it."
        return [Finding("note", f"git does not read this clone: {error}", cure)]
    return []


@click.command()
def versions():
    """Say which pins of requirements.lock are behind what the package index has.

    Of what is not installed, as that which only the benchmarks need, it says nothing.
    """
    from rich.table import Table

    from tutorial.setup.versions import NoIndex, ask_pip, behind

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


COMMANDS = (doctor, versions)
