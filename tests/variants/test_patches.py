"""No false alarm: what is right, and made otherwise inside than our stage, passes.

Each patch makes such a folder of one of our stages. Its head says what is other in it.
"""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tutorial.check.judge import Judge
from tutorial.check.limits import Limits
from tutorial.check.verdict import Kind, Verdict
from tutorial.doctor.checks import find_browser
from tutorial.stages import find_stage

pytestmark = pytest.mark.thorough  # It judges the tests, and no stage.
PATCHES = sorted((Path(__file__).parent / "patches").glob("*/*.patch"))
# The tasks that nobody can judge where the chapter's names are not kept.
BY_NAME = {"own-clients", "given", "apart-from-the-web"}


def name(patch: Path) -> str:
    return f"{patch.parent.name}-{patch.stem}"


def judge(patch: Path, folder: Path) -> Verdict:
    """Make the folder of a patch, and check it."""
    stage = find_stage(patch.parent.name)
    stage.copy_to(folder)
    subprocess.run(["git", "apply", patch], cwd=folder, check=True)
    shown = (
        "/chat/static/" in (text := patch.read_text("utf-8")) or "/templates/" in text
    )
    browser = shown and bool(find_browser())
    return Judge(stage, folder, browser=browser, limits=Limits().stretched(6)).run()


@pytest.fixture(scope="module")
def verdicts(request, tmp_path_factory):
    """The verdicts that the tests of this run want, made side by side."""
    patches = [
        item.callspec.params["patch"]
        for item in request.session.items
        if item.path == request.path
    ]
    folder = tmp_path_factory.mktemp("patches")
    pool = ThreadPoolExecutor(os.cpu_count())
    yield {patch: pool.submit(judge, patch, folder / name(patch)) for patch in patches}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("patch", PATCHES, ids=name)
def test_what_is_made_otherwise_is_right(patch, verdicts: dict[Path, Future[Verdict]]):
    verdict = verdicts[patch].result()
    assert verdict.kind is Kind.RIGHT, verdict.failure
    why = {one.task.id: one.why for one in verdict.tasks if one.status != "passed"}
    expected = BY_NAME if patch.stem == "names_of_ones_own" else set()
    assert why.keys() == expected, why
    assert all(says.startswith("the chapter calls it") for says in why.values())
