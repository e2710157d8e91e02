"""What the laboratory's free threads lost on Pythons with a GIL and without one.

Measured once, on interpreters that few machines have, and kept in a file: it names
them, the machine's cores and the day.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import site
import subprocess
from collections.abc import Callable
from pathlib import Path

from tutorial.site.pages import DOCS
from tutorial.site.render import wide
from tutorial.stages import find_stage

FILE = DOCS / "free_threads.json"
SECONDS = 3  # for each design: more than `lab stress` takes, so that more is seen
COLUMNS = ("posts", "overwritten", "skipped", "errors")
# Run by an interpreter that has none of our packages: it gets those of this one.
PROBE = """
import json, sys
from lab import explore, stress
found = explore.report()
lost = {
    name: {
        column: f"{row['losing']}/{row['schedules']}"
        for column, row in {**design["table"], **design["clocks"]}.items()
    }
    for name, design in found["designs"].items()
}
seconds = float(sys.argv[1])
free = {d.id: vars(stress.run(d.store, seconds)) for d in stress.designs()}
print(json.dumps(found["interpreter"] | {"lost": lost, "free": free}))
"""


def take(
    pythons: list[str], progress: Callable[[str], None] = lambda text: None
) -> dict:
    """Explore every order and let the threads go, on each of `pythons`: some minutes.

    Twisted is Python only, and zope.interface does without its C part, so that our
    packages serve another Python as well. Raises CalledProcessError.
    """
    runs = []
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(site.getsitepackages()),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for python in pythons:
        progress(python)
        # It runs elsewhere.
        python = Path(shutil.which(python) or python).absolute()
        done = subprocess.run(
            [python, "-c", PROBE, str(SECONDS)],
            cwd=find_stage("stage4_locking_gil").folder,
            env=environ,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=True,
        )
        runs.append(json.loads(done.stdout))
    today = datetime.date.today().isoformat()
    found = {"when": today, "cores": os.cpu_count(), "seconds": SECONDS}
    return found | {"runs": runs}


def keep(found: dict) -> None:
    """Write it where the page finds it."""
    FILE.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def kept() -> dict:
    """What was measured last."""
    return json.loads(FILE.read_text("utf-8"))


def named(run: dict) -> str:
    """The interpreter of one run, in words."""
    gil = "with" if run["gil"] else "without"
    return f"{run['implementation']} {run['version']} {gil} a GIL"


def html_table(found: dict) -> str:
    """What each design lost on each interpreter."""
    runs = found["runs"]
    over = "".join(
        f'<th scope="colgroup" colspan="{len(COLUMNS)}">{named(run)}</th>'
        for run in runs
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS) * len(runs)
    rows = []
    for design in dict.fromkeys(name for run in runs for name in run["free"]):
        cells = ""
        for run in runs:
            tally = run["free"].get(design, {})
            figures = (f"{tally[name]:,}" if tally else "–" for name in COLUMNS)
            cells += "".join(f'<td class="number">{text}</td>' for text in figures)
        rows.append(f'<tr><th scope="row"><code>{design}</code></th>{cells}</tr>')
    return wide(
        "What free threads lost",
        f'<table class="outcomes"><caption>Measured on {found["when"]}, on '
        f"{found['cores']} cores, {found['seconds']} seconds for each design.</caption>"
        f'<thead><tr><th rowspan="2" scope="col">Design</th>{over}</tr>'
        f"<tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>",
    )
