"""The tests are tested, too: each planted mistake is caught, and in these words.

A mutant is a patch to a stage. Its head names the contract test that has to fail and
the words that the failure has to say to whoever made that mistake.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.postgres import why_no_postgres
from tutorial.stages import ROOT, find_stage

MUTANTS = sorted(Path(__file__).parent.glob("*/*.patch"))


def name(patch: Path) -> str:
    return f"{patch.parent.name}-{patch.stem}"


def head(patch: Path) -> dict[str, str]:
    """The lines `Name: text` above the diff."""
    text, _, _ = patch.read_text("utf-8").partition("\n\n")
    return dict(re.findall(r"^([\w ]+): (.+)$", text, re.M))


def judge(patch: Path, folder: Path) -> subprocess.CompletedProcess:
    """Plant the mistake in a copy of its stage, and run the test that should fail."""
    stage = find_stage(patch.parent.name)
    stage.copy_to(folder)
    subprocess.run(["git", "apply", patch], cwd=folder, check=True)
    return subprocess.run(
        [
            *[sys.executable, "-m", "pytest", "-p", "pytest_twisted"],
            f"tests/{head(patch)['Caught by']}",
            *[f"--stage={stage.id}", f"--path={folder}", "--white-box"],
            *["-qx", "-p", "no:cacheprovider", f"--basetemp={folder}.tmp"],
        ],
        cwd=ROOT,
        # Loading the other plugins takes longer than most of these tests.
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TEST_PATIENCE": "3"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def verdicts(request, tmp_path_factory):
    """All mutants of this run, judged side by side: they mostly wait for a deadline."""
    patches = [
        item.callspec.params["patch"]
        for item in request.session.items
        if item.path == request.path and "verdicts" in item.fixturenames
    ]
    folder = tmp_path_factory.mktemp("mutants")
    pool = ThreadPoolExecutor((os.cpu_count() or 1) + 1)
    yield {patch: pool.submit(judge, patch, folder / name(patch)) for patch in patches}
    pool.shutdown(cancel_futures=True)


def test_each_mistake_names_a_test_that_there_is():
    tests = Path(__file__).parents[1]
    code = {file: file.read_text("utf-8") for file in tests.rglob("test_*.py")}
    gone = []
    for patch in MUTANTS:
        file, _, test = head(patch)["Caught by"].partition("::")
        found = code.get(tests / file, "")
        if f"def {test.partition('[')[0]}(" not in found:
            gone.append(f"{name(patch)}: {file}::{test}")
    assert not gone, gone


@pytest.mark.thorough  # It judges the tests, and no stage.
@pytest.mark.parametrize("patch", MUTANTS, ids=name)
def test_the_mistake_is_caught_and_named(
    patch, verdicts: dict[Path, Future[subprocess.CompletedProcess]], request
):
    if head(patch)["Caught by"].startswith("browser/"):
        request.getfixturevalue("chromium_path")
    if "test_two_writers" in head(patch)["Caught by"] and (why := why_no_postgres()):
        pytest.skip(why)
    result = verdicts[patch].result()
    assert result.returncode == 1, (
        f"{head(patch)['Caught by']} should fail on this mistake:\n{result.stdout}"
    )
    said = " ".join(re.findall(r"^E\s+(.*)$", result.stdout, re.M))
    says = head(patch)["Says"]
    assert says in said, f"It should say {says!r}, but said:\n{said}"
