"""A check blames the right task, in the first lines of its report.

`tests/blame.toml` says for a choice of mutants which task, and which words.
"""

from __future__ import annotations

import io
import os
import subprocess
import tomllib
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from rich.console import Console

from tutorial.check.judge import Judge
from tutorial.check.limits import Limits
from tutorial.check.report import show
from tutorial.check.tasks import load_tasks
from tutorial.check.verdict import Verdict
from tutorial.stages import ROOT, find_stage

pytestmark = pytest.mark.thorough  # It judges the check, and no stage.
FAULTS = tomllib.loads((ROOT / "tests" / "blame.toml").read_text("utf-8"))["fault"]
LINES = 10  # of the report, in which the words have to stand
# A right answer may be slow where other checks run; a wrong one is waited for.
PATIENT = Limits(start=60, manage=60, answer=15, hear=5, stop=5, test=60, silence=120)


def name(fault: dict) -> str:
    return fault["mutant"].replace("/", "-")


def judge(fault: dict, folder) -> Verdict:
    """Plant the mistake in a copy of its snapshot, and check that."""
    stage = find_stage(fault["mutant"].partition("/")[0])
    stage.copy_to(folder)
    patch = ROOT / "tests" / "mutants" / f"{fault['mutant']}.patch"
    subprocess.run(["git", "apply", patch], cwd=folder, check=True)
    [task] = [task for task in load_tasks() if task.id == fault["task"]]
    return Judge(stage, folder, browser=task.in_browser, limits=PATIENT).run()


@pytest.fixture(scope="module")
def verdicts(request, tmp_path_factory):
    """The verdicts that the tests of this run want, made side by side."""
    faults = [
        item.callspec.params["fault"]
        for item in request.session.items
        if item.path == request.path
    ]
    folder = tmp_path_factory.mktemp("blame")
    pool = ThreadPoolExecutor((os.cpu_count() or 1) + 1)
    yield {name(f): pool.submit(judge, f, folder / name(f)) for f in faults}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("fault", FAULTS, ids=name)
def test_the_first_lines_lead_to_the_fault(
    fault, verdicts: dict[str, Future[Verdict]], request
):
    [task] = [task for task in load_tasks() if task.id == fault["task"]]
    if task.in_browser:
        request.getfixturevalue("chromium_path")
    verdict = verdicts[name(fault)].result()
    screen = io.StringIO()
    show(Console(file=screen, width=200), verdict, hints=0)
    first = "\n".join(screen.getvalue().strip().splitlines()[:LINES])
    assert verdict.task == task, f"It blames {verdict.task}:\n{first}"
    for words in fault["says"]:
        assert words in first, f"It should say {words!r}:\n{first}"
    hints = [hint for hint in verdict.failure.mistakes if "no table" in hint]
    assert not hints, f"Its database has all tables, and it is told: {hints}"
    failed = [one.task.id for one in verdict.tasks if one.status == "failed"]
    assert failed == [task.id], f"One fault, one task, but these failed: {failed}"
