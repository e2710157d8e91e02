"""What a server says when something is wrong, made short, and the usual cause named.

Used where the tutorial shows a learner's own output: by run and by check.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tutorial.doctor.checks import Finding

# What twistd puts before each line, once its log has begun.
LOG_PREFIX = re.compile(r"^\d{4}-\d\d-\d\dT[\d:+-]+ \[[^]]*\] ?")
FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line \d+')
# Of colours, of the cursor, and whatever else only a terminal understands.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

MISSING = re.compile(r"No module named '([\w.]+)'")
TABLE = re.compile(r"no such table: (\w+)")
UNAPPLIED = re.compile(r"You have \d+ unapplied migration")
TAG = re.compile(r"Invalid block tag on line \d+: '(\w+)'")
LISTEN = re.compile(r"Couldn't listen on [^:\s]*:(\d+): .*")
IN_USE = re.compile(r"port is already in use|Address already in use|WinError 10048")
REFUSED = re.compile(r"(http://(?:localhost|127\.0\.0\.1)(?::\d+)?)'? may not speak")

# What Python makes of bytes in a file's name that are no text. No report can hold it.
NO_TEXT = re.compile("[\ud800-\udfff]")

OTHER_NAME = {"localhost": "127.0.0.1", "127.0.0.1": "localhost"}


def printable(text: str) -> str:
    """`text` without what could steer a terminal, or is no text."""
    return NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", CONTROL.sub("", text))


def shorten(text: str, folder: Path, most: int = 15) -> list[str]:
    """The last lines of a server's output; of a traceback only what lies in `folder`.

    The folder's own path is left out, too.
    """
    kept: list[str] = []
    foreign = False  # are we below a frame of somebody else's code?
    for line in printable(text).splitlines():
        line = LOG_PREFIX.sub("", line.rstrip())
        frame = FRAME.match(line)
        if frame:
            file = Path(folder, frame["file"])
            foreign = not file.is_relative_to(folder) or frame["file"].startswith("<")
        elif foreign and not line.startswith("    "):
            foreign = False
        if line.strip() and not foreign:
            kept.append(line.replace(f"{folder}/", "").replace(f"{folder}\\", ""))
    return [line[:300] for line in kept[-most:]]


def name_mistakes(
    output: str, folder: Path, environ: Mapping[str, str]
) -> list[Finding]:
    """The usual mistakes of which `output` is the trace.

    It is that of a server in `folder`, which was started with `environ`.
    """
    return [
        *_tags(output),
        *_modules(output, folder),
        *_tables(output, folder),
        *_ports(output, environ["CHAT_PORT"]),
        *_origins(output, environ["CHAT_ORIGINS"].split(",")),
    ]


def _tags(output: str) -> Iterable[Finding]:
    for tag in dict.fromkeys(TAG.findall(output)):
        says = f"A template uses {{% {tag} %}}, and Django does not know this tag."
        cure = f"Is it spelled so? A template that uses it begins: {{% load {tag} %}}"
        if tag != "static":
            cure = "Look at its spelling, and for the {% load %} that it needs."
        yield Finding("problem", says, cure)


def _modules(output: str, folder: Path) -> Iterable[Finding]:
    for name in dict.fromkeys(MISSING.findall(output)):
        top = name.partition(".")[0]
        if name.startswith("twisted.web.websocket") or top in ("wsproto", "h11"):
            says = f"This Twisted cannot do WebSockets: {name} is missing."
            cure = 'Install it with its extra: pip install "twisted[websocket]>=26.10"'
        elif (folder / f"{top}.py").exists() or (folder / top).is_dir():
            says = f"{name} is not found, although there is a {top} in the folder."
            cure = (
                "Look at the spelling, and for an __init__.py. twistd, unlike python, "
                "does not look beside the file that it runs: chatserver.py has to put "
                "its folder on sys.path."
            )
        else:
            says = f"The package of {name} is not installed for {sys.executable}."
            cure = (
                "Is it in another environment, which this command does not use? "
                f"Install it here: {Path(sys.executable).name} -m pip install ..."
            )
        yield Finding("problem", says, cure)


def _tables(output: str, folder: Path) -> Iterable[Finding]:
    found = TABLE.search(output)
    if found or UNAPPLIED.search(output):
        table = f"no table {found[1]}" if found else "not all of its tables"
        cure = (
            "In the folder: python manage.py makemigrations; python manage.py migrate"
        )
        for migrations in folder.glob("*/migrations"):
            if not (migrations / "__init__.py").exists():
                cure = f"Make an empty file {migrations.parent.name}/migrations/"
                cure += "__init__.py: without it, Django finds no migrations there."
        says = f"The database has {table}: a migration was not made, or was not run."
        yield Finding("problem", says, cure)


def _ports(output: str, chat_port: str) -> Iterable[Finding]:
    listen = LISTEN.search(output)
    if listen and listen[1] != chat_port:
        yield Finding(
            "problem",
            f"The chat server wants port {listen[1]}, although CHAT_PORT is "
            f"{chat_port}.",
            'Have it read the port: PORT = os.environ.get("CHAT_PORT") or "1025"',
        )
    elif listen or IN_USE.search(output):
        yield Finding(
            "problem",
            "Another program has the port, perhaps a server that was left over.",
            "To see which, and how to end it: python -m tutorial doctor",
        )


def _origins(output: str, named: list[str]) -> Iterable[Finding]:
    for origin in dict.fromkeys(REFUSED.findall(output)):
        host = origin.removeprefix("http://").partition(":")[0]
        other = origin.replace(host, OTHER_NAME[host])
        if origin in named:
            yield Finding(
                "problem",
                f"The chat server refuses the page's own origin, {origin}.",
                "Have it read CHAT_ORIGINS, which names it.",
            )
        elif other in named:
            yield Finding(
                "problem",
                f"The page was opened as {origin}/, and the chat server lets in "
                f"{other}. To a browser, localhost and 127.0.0.1 are two sites.",
                f"Open {other}/, or name both in CHAT_ORIGINS.",
            )
