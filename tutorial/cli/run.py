"""`run`: start what is in a folder."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console

from tutorial.cli.common import as_a_sentence, choose, show, stopping
from tutorial.doctor import checks
from tutorial.doctor.checks import Ports
from tutorial.doctor.mistakes import name_mistakes, shorten
from tutorial.run.engine import (
    FIRST_PORT,
    FOLDER,
    Engine,
    EngineError,
    Found,
    check_engine,
    find_engine,
    shape_of,
)
from tutorial.settings import origins_of
from tutorial.stages import ROOT


@click.command()
@click.argument("stage", required=False)
def run(stage: str | None):
    """Start Django and Twisted for STAGE, and end both with Ctrl-C.

    STAGE is a number, a name, or the path of a folder of your own. Without it the
    newest stage runs. DJANGO_PORT and CHAT_PORT choose other ports than 8000 and
    1025. Where several chat servers share an engine, it is started as well, unless
    REDIS_URL names one.
    """
    # Here, because honcho is not needed for the other commands.
    from tutorial.run import runner

    folder, title = choose(stage)
    servers, shares = shape_of(folder)
    about_engine = check_engine(os.environ, folder) if shares else []
    findings = [
        *checks.project_findings(folder),
        *checks.python_findings("run"),
        *about_engine,
    ]
    found = None
    if shares and about_engine[0].level == "ok":
        found = find_engine(os.environ)
    with as_a_sentence(ValueError):
        ports = Ports.read(os.environ, servers if found or not shares else 1)
    with_chat = checks.is_file(folder / "chatserver.py")
    findings += checks.look_at_ports(ports, ROOT, with_chat)
    findings.append(checks.check_origins(os.environ, ports))
    if text := checks.problems_in(findings):
        raise click.ClickException(text)

    console = Console(highlight=False)
    for finding in checks.check_surroundings(os.environ, folder):
        show(console, finding)  # before the database is changed
    for finding in about_engine:
        show(console, finding)
    environ = dict(os.environ)
    engine = engine_for(folder, found, ports)
    if engine:
        environ["REDIS_URL"] = engine.url
    preparing = console.status(f"{title}: preparing the database", spinner="line")
    with stopping(), preparing:
        output = runner.migrate(folder, runner.environment(ports, environ))
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
    if ports.servers > 1:
        numbers = checks.listed(map(str, ports.chats))
        hint += f"\n    The chat servers are on ports {numbers}."
    if engine:
        hint += f"\n    What their engine keeps is in {engine.folder}"
    ready = f"\n    {address}\n    {hint}\n    Press Ctrl-C to stop.\n"
    with stopping(), as_a_sentence(EngineError):
        code, complaint = runner.run_servers(folder, ports, environ, ready, engine)
    with suppress(OSError):  # the terminal may be gone
        click.echo(f"\nError: {complaint}" if complaint else "\nStopped.", err=True)
    sys.exit(code)


def engine_for(folder: Path, found: Found | None, ports: Ports) -> Engine | None:
    """The engine to start for what is in `folder`, if it is one that has to be."""
    if not (found and found.binary):
        return None
    port = checks.free_port(FIRST_PORT, (ports.django, *ports.chats))
    return Engine(found.binary, folder / FOLDER, port, secrets.token_urlsafe(24))


COMMANDS = (run,)
