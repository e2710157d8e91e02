"""Exercises of chapter 4: a reader that leaves no gap behind it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tutorial.stages import find_stage

pytestmark = pytest.mark.stages(4, 4)
SECONDS = 60.0  # for all schedules of two writers and a reader

LIST = "import json; from lab.explore import DESIGNS; print(json.dumps([*DESIGNS]))"
SURVEY = (
    "import json; from lab.explore import DESIGNS, survey; "
    "found = survey(DESIGNS[{name!r}], {{'R': 1}}); "
    "print(json.dumps([found['schedules'], found['losing'], found['first']]))"
)


def ask_lab(chat, code: str):
    """What a line of Python prints beside the laboratory, as JSON."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command,
        cwd=chat.folder,
        env=chat.env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    says = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    assert done.returncode == 0, f"The laboratory should run. It said: {says}"
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.exercise(3)
def test_a_design_of_your_own_loses_nothing(chat):
    known = subprocess.run(
        [sys.executable, "-c", LIST],
        cwd=find_stage("4").folder,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    new = [name for name in ask_lab(chat, LIST) if name not in json.loads(known.stdout)]
    assert new, (
        "DESIGNS in lab/explore.py should have a design that is not the chapter's. "
        "It has those of the chapter, and no other."
    )
    for name in new:
        schedules, losing, first = ask_lab(chat, SURVEY.format(name=name))
        assert (schedules, losing) == (30, 0), (
            "With the steps AB there are 30 schedules of two writers and one poll, and "
            f"{name!r} should lose a message in none of them. It has {schedules}, and "
            f"loses one in {losing}, the first of them {first}."
        )
