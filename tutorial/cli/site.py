"""`read` and `site`: show the pages, and keep them true."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console

from tutorial.cli.common import DOCS_PORT, as_a_sentence
from tutorial.doctor import checks
from tutorial.stages import ROOT


@click.command()
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


@click.group()
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
        with (
            as_a_sentence(StoryError, PageError),
            tempfile.TemporaryDirectory() as place,
            console.status(page.path),
            following(page, Path(place)) as story,
        ):
            said = list(story.tell())
        path = DOCS / page.path
        whole = path.read_text("utf-8")
        head = whole[: len(whole) - len(page.source)] if page.meta else ""

        def write(text: str, path=path, head=head) -> None:
            path.write_text(head + text.rstrip("\n") + "\n", "utf-8")

        count = rewrite_page(page, said, write)
        if said:
            console.print(f"{page.path}: {len(said)} outputs, {count} rewritten")


@site.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def expand(folder: Path):
    """Write the site into DIR as plain Markdown, for another generator or theme.

    What pages show by naming it, and the pages that are made of the stages, is all in
    it. `mkdocs build -f DIR/mkdocs.yml` builds it with the theme that mkdocs brings.
    """
    from tutorial.site.edits import EditError
    from tutorial.site.lab import LabError
    from tutorial.site.pages import PageError
    from tutorial.site.portable import export

    with as_a_sentence(EditError, LabError, OSError, PageError):
        export(folder.expanduser())


@site.command()
@click.argument("pythons", nargs=-1, required=True, metavar="PYTHON...")
def threads(pythons: tuple[str, ...]):
    """Let the laboratory's threads go on each PYTHON, for the table of chapter 4.

    One of them with a GIL, and one without. Keeps it in docs/free_threads.json.
    """
    from tutorial.site.free_threads import keep, take

    console = Console(highlight=False, stderr=True)
    failed = as_a_sentence(OSError, subprocess.CalledProcessError)
    with failed, console.status("measuring") as status:
        keep(take([*pythons], status.update))


@site.command()
@click.argument("report", type=click.Path(exists=True, path_type=Path))
def tested(report: Path):
    """Note that the whole suite was green here, by the REPORT that pytest wrote.

    `make test ARGS=--junit-xml=REPORT` writes it. Keeps it in docs/tested.json.
    """
    from tutorial.site.tested import NotGreen, note

    with as_a_sentence(NotGreen):
        click.echo(note(report))


@site.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def pictures(names: tuple[str, ...]):
    """Take the pictures in docs/img anew, with the Chromium of this machine.

    NAME is what pages call it, two-windows for example; without one, all.
    """
    from tutorial.site.pictures import NoBrowser, take_all

    console = Console(highlight=False, stderr=True)
    failed = as_a_sentence(NoBrowser, LookupError)
    with failed, console.status("taking pictures") as status:
        take_all(names, status.update)


COMMANDS = (read, site)
