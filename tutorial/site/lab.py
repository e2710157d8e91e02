"""What the laboratory of stage 4 finds, for the site: run at build time, and kept.

Every figure comes from the real classes. The second build of unchanged classes on the
same Python takes what the first one found.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
from functools import cached_property
from html import escape
from pathlib import Path

from tutorial.site.render import wide
from tutorial.stages import ROOT, find_stage

CACHE = ROOT / ".cache"
PARTS = ("quick", "slow")
SLOW = ("r2p2",)  # some ten thousand schedules: half of the time

TITLES = {
    "r1p0": "no poll",
    "r1p1": "1 reader, 1 poll",
    "r1p2": "1 reader, 2 polls",
    "r2p1": "2 readers, 1 poll each",
    "r2p2": "2 readers, 2 polls each",
}


class LabError(Exception):
    """The laboratory did not run. The text ends with what it printed."""


def explore(part: str) -> dict:
    """Run one part of the exploration in this process.

    "quick" has the shape of `lab --json`; "slow" is {design: {set-up: survey}}.
    """
    sys.path.insert(0, str(find_stage("stage4_locking_gil").folder))
    lab = importlib.import_module("lab.explore")
    if part == "slow":
        return {
            design.id: {name: lab.survey(design, lab.SETUPS[name]) for name in SLOW}
            for design in lab.DESIGNS.values()
        }
    lab.SETUPS = {n: polls for n, polls in lab.SETUPS.items() if n not in SLOW}
    return lab.to_json(lab.report())


class Lab:
    """What the laboratory found, in two parts that run beside each other."""

    def __init__(self):
        self.processes: dict[str, subprocess.Popen] = {}
        for part in PARTS:
            if not self._kept(part).exists():
                self.processes[part] = self._start(part)

    def _kept(self, part: str) -> Path:
        sources = [*(find_stage("stage4_locking_gil").folder / "lab").glob("*.py")]
        digest = hashlib.sha256(sys.version.encode())
        for path in sorted([*sources, Path(__file__)]):
            digest.update(path.read_bytes())
        return CACHE / f"lab-{part}-{digest.hexdigest()[:16]}.json"

    def _start(self, part: str) -> subprocess.Popen:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tutorial.site.lab", part]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def _part(self, part: str) -> dict:
        kept = self._kept(part)
        if part in self.processes:
            process = self.processes.pop(part)
            output, complaint = process.communicate()
            if process.returncode:
                text = complaint[-2000:]
                raise LabError(f"The laboratory of stage 4 failed:\n{text}")
            found = json.loads(output)
            CACHE.mkdir(exist_ok=True)
            for old in CACHE.glob(f"lab-{part}-*"):
                old.unlink(missing_ok=True)
            # A build that is stopped here must not leave half a file.
            passing = CACHE / f"{os.getpid()}-{kept.name}"
            passing.write_text(output, "utf-8")
            passing.replace(kept)
            return found
        return json.loads(kept.read_text("utf-8"))

    @cached_property
    def quick(self) -> dict:
        """All but the slow columns, with the trees of schedules."""
        return self._part("quick")

    @cached_property
    def table(self) -> dict[str, dict[str, dict]]:
        """Design, then set-up: {"schedules", "losing", "first"}; all columns."""
        slow = self._part("slow")
        return {d["id"]: d["table"] | slow[d["id"]] for d in self.quick["designs"]}

    def cell(self, design: str, cell: str) -> str:
        """Losing and all schedules, as in "2/30". `cell` is a set-up or a clock.

        Raises LookupError for a design or cell that is not there.
        """
        for found in self.quick["designs"]:
            if found["id"] == design:
                row = {**found["table"], **found["clocks"]}.get(cell)
                row = row or (self.table[design].get(cell) if cell in SLOW else None)
                if row is None:
                    break
                return f"{row['losing']}/{row['schedules']}"
        raise LookupError(f"the laboratory has no {design} {cell}")

    def html_table(self) -> str:
        """The outcome of every schedule, as a table."""
        heads = "".join(f'<th scope="col">{title}</th>' for title in TITLES.values())
        rows = []
        for design in self.quick["designs"]:
            row = self.table[design["id"]]
            cells = "".join(_cell(row[setup]) for setup in TITLES)
            first = row["r1p1"]["first"]
            shown = f"<code>{first}</code>" if first else "none"
            title = f"{escape(design['title'])} <code>{design['id']}</code>"
            rows.append(f'<tr><th scope="row">{title}</th>{cells}<td>{shown}</td></tr>')
        head = f'<tr><th scope="col">Design</th>{heads}<th scope="col">First losing'
        return wide(
            "Table of outcomes",
            '<table class="outcomes">'
            "<caption>Losing schedules / all schedules</caption><thead>"
            f"{head} schedule, 1 reader, 1 poll</th></tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table>",
        )

    def json(self) -> str:
        """What the interactive page loads."""
        return json.dumps(self.quick, separators=(",", ":"))

    def close(self) -> None:
        """End what still runs."""
        for process in self.processes.values():
            process.kill()
            process.communicate()
        self.processes.clear()


def _cell(row: dict) -> str:
    kind = "loses" if row["losing"] else "holds"
    return f'<td class="{kind}">{row["losing"]}/{row["schedules"]}</td>'


if __name__ == "__main__":
    json.dump(explore(sys.argv[1]), sys.stdout)
