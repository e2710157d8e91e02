"""The laboratory on a Python without a GIL, where this machine has one."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess

import pytest

from tutorial.stages import find_stage

NAMES = [f"python3.{minor}t" for minor in range(13, 20)]
FOUND = [name for name in NAMES if shutil.which(name)]
NONE = pytest.param(None, marks=pytest.mark.skip(reason="no python3.13t or newer here"))


@pytest.mark.parametrize("python", FOUND or [NONE])
def test_the_laboratory_counts_the_same_without_a_gil(python, tmp_path):
    # What we have installed serves there, too: Twisted is Python only, and
    # zope.interface does without its C part.
    result = subprocess.run(
        [python, "-m", "lab", "--json", tmp_path / "lab.json"],
        cwd=find_stage("stage4_locking_gil").folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(site.getsitepackages()),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads((tmp_path / "lab.json").read_text("utf-8"))
    assert found["interpreter"]["gil"] is False
    losing = {
        design["id"]: design["table"]["r1p1"]["losing"] for design in found["designs"]
    }
    assert losing["sorted"] == losing["setitem-lock"] == losing["counter-outside"] == 2
    assert losing["unsorted"] == 10
    assert losing["lock"] == losing["append"] == losing["reactor"] == 0
