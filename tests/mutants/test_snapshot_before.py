"""Who has not begun an exercise yet is told what is missing, in sentences."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tutorial.stages import ROOT, find_stage, load_exercises

# What the first failures say about the snapshot that an exercise builds on.
MISSING = {
    "1_rooms": [
        "should carry the token that opens its room",
        "GET without a token should be refused with 401",
        "should say yes in Access-Control-Allow-Headers",
    ],
    "2_no_delays": [
        'An answer should bring all that is new: "data" should be a list of texts',
        "should be answered at once, and not by a sweep",
        "it keeps everything for each of them",
    ],
    "3_history": [
        "should be let in, when it says first",
        "an answer should say which log it is from and the number of its last message",
        "A POST with the id '' should be refused with 400",
    ],
    "4_persistence": [
        "What is acknowledged has to be in the database before",
        "it is the same log, with the same epoch",
        "The database has to know that id",
        "should bring a page of the messages before number",
        "a socket should be told by a frame",
    ],
}


@pytest.mark.thorough
@pytest.mark.parametrize("exercise", load_exercises(), ids=lambda stage: stage.id)
def test_the_snapshot_before_fails_and_says_what_is_missing(exercise, tmp_path):
    before = find_stage(exercise.builds_on).folder
    [file] = (ROOT / "tests" / "contract").glob(f"test_?{exercise.id[1:]}.py")
    result = subprocess.run(
        [
            *[sys.executable, "-m", "pytest", "-p", "pytest_twisted", str(file)],
            *[f"--stage={exercise.id}", f"--path={before}"],
            *["-q", "-p", "no:cacheprovider", "-m", "not thorough"],
            f"--basetemp={tmp_path / 'run'}",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1, result.stdout
    said = " ".join(re.findall(r"^E\s+(.*)$", result.stdout, re.M))
    for sentence in MISSING[exercise.id]:
        assert sentence in said, f"It should say {sentence!r}, but said:\n{said}"
