"""What holds on the Django that the lock file pins holds on the other one, too."""

from __future__ import annotations

import re
import subprocess

import pytest
from packaging.requirements import Requirement

from tests.systems import other_django
from tutorial.doctor.checks import read_lock
from tutorial.setup.environment import python_of, read_group
from tutorial.stages import ROOT, load_snapshots

SNAPSHOTS = load_snapshots()
PYTHON = python_of(other_django.VENV)
thorough = pytest.mark.thorough


def series(version: str) -> str:
    """5.2 of 5.2.19."""
    return ".".join(version.split(".")[:2])


def test_the_two_django_are_the_ends_of_what_is_promised():
    pinned = read_lock((ROOT / "requirements.lock").read_text("utf-8"))["django"]
    [text] = [entry for entry in read_group("run") if entry.startswith("Django")]
    both = sorted([pinned, other_django.VERSION])
    assert text == f"Django>={series(both[0])},<6.2"
    assert all(Requirement(text).specifier.contains(version) for version in both)
    assert series(both[0]) != series(both[1])


@pytest.fixture
def told():
    """Runs a command in the environment of the other Django."""
    if why := other_django.why_not():
        pytest.skip(f"NOT CHECKED with Django {other_django.VERSION}: {why}.")

    def run(*words, cwd=ROOT):
        done = subprocess.run(
            [PYTHON, *words],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        return done.returncode, done.stdout[-6000:]

    return run


# In a run of its own, a snapshot is asked for all that the chapters before it ask, too.
@thorough
@pytest.mark.parametrize("stage", SNAPSHOTS, ids=lambda stage: stage.id)
def test_a_snapshot_keeps_its_contract(told, stage):
    words = ["-q", "-p", "no:cacheprovider", "-m", "not thorough"]
    words += ["-n", "auto", "--dist", "loadscope", f"--stage={stage.id}"]
    code, said = told("-m", "pytest", *words, "tests/contract")
    assert code == 0, said
    counts = {
        how: int(many) for many, how in re.findall(r"(\d+) (passed|skipped)", said)
    }
    # It was asked, and not left out for want of something.
    assert counts["passed"] > counts.get("skipped", 0), said


@thorough
@pytest.mark.parametrize("stage", SNAPSHOTS, ids=lambda stage: stage.id)
def test_a_snapshots_own_tests_pass(told, stage, tmp_path):
    folder = stage.copy_to(tmp_path / stage.id)
    code, said = told("-W", "error", "manage.py", "test", cwd=folder)
    assert code == 0, said
    assert re.search(r"Ran [1-9]\d* test", said)


@thorough
@pytest.mark.parametrize("chapter", ["1_django_ui", "exercises_6_names"])
def test_what_a_page_prints_does_not_depend_on_it(told, chapter):
    words = ["-q", "-p", "no:cacheprovider", "-k", f"Test_{chapter}"]
    code, said = told("-m", "pytest", *words, "tests/site/test_stories.py")
    assert code == 0, said
    assert "1 passed" in said
