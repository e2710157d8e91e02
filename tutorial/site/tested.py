"""On what the whole suite was green last: kept in a file, and shown by a page."""

from __future__ import annotations

import datetime
import json
import platform
import sys
from html import escape
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from tutorial.site.pages import DOCS

FILE = DOCS / "tested.json"
# The packages that a reader meets.
NAMES = ("Django", "Twisted", "wsproto", "pytest", "pytest-twisted", "mkdocs")
# A run of a few tests says nothing.
WHOLE = 1000


class NotGreen(Exception):
    """The report is not that of a whole run in which nothing failed."""


def note(report: Path) -> str:
    """Keep that all tests of `report`, a JUnit file, were green on this Python.

    Returns a line about it. Raises NotGreen.
    """
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    counts = [
        {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
        for suite in suites
    ]
    ran, failures, errors, skipped = (
        sum(count[key] for count in counts)
        for key in ("tests", "failures", "errors", "skipped")
    )
    if failures or errors or ran < WHOLE:
        raise NotGreen(f"{ran} tests, {failures} failures, {errors} errors")
    run = {
        "python": platform.python_version(),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "system": _system(),
        "when": datetime.date.today().isoformat(),
        "passed": ran - skipped,
        "skipped": skipped,
        "packages": {name: version(name) for name in NAMES},
    }
    others = [one for one in kept() if _series(one) != _series(run)]
    found = sorted([*others, run], key=_series)
    FILE.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return f"Python {run['python']}: {run['passed']} passed, {skipped} skipped"


def _series(run: dict) -> tuple:
    """What the next run on the like takes the place of."""
    return (*map(int, run["python"].split(".")[:2]), not run["gil"])


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return f"{platform.system()} {platform.release()}"


def kept() -> list[dict]:
    """The last whole run on each Python."""
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else []


def html_table(found: list[dict]) -> str:
    """Which Python, where and when."""
    rows = "".join(
        f"<tr><td>{run['python']}{'' if run['gil'] else ', free-threaded'}</td>"
        f'<td class="no-spelling">{escape(run["system"])}</td><td>{run["when"]}</td>'
        f"<td>{run['passed']:,} passed, {run['skipped']} skipped</td></tr>"
        for run in found
    )
    head = "".join(f"<th>{name}</th>" for name in ("Python", "System", "Day", "Tests"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
