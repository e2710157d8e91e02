"""Django's own tests of each stage, run as the chapter runs them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tutorial.stages import load_snapshots

CASES = [
    pytest.param(one, id=one.id, marks=[pytest.mark.thorough] * one.is_exercise)
    for one in load_snapshots()
]


@pytest.mark.parametrize("stage", CASES)
def test_the_stages_own_django_tests_pass(stage, tmp_path):
    folder = stage.copy_to(tmp_path / stage.id)
    result = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "test"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert "Ran 0 tests" not in result.stderr
    assert not list(folder.glob("*.sqlite3")), "the tests made a database file"
