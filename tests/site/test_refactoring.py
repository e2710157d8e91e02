"""Chapter 5 mends first and moves then, in steps each of which works."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tutorial.stages import ROOT, find_stage
from tutorial.steps.commits import Step, green_steps, the_clone

STEPS = green_steps(the_clone())
MENDED = "The resources are handed the origins"  # the last step that is no move
CONTRACT = ["tests/contract/test_3_longpoll.py", "tests/contract/test_4_order.py"]
WAKES_ALL = "tests/contract/test_5_refactor.py"

each_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.subject)


def laid_out(step: Step, folder: Path) -> Path:
    for file in step.files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    return folder


def classes_in(sources: list[str]) -> dict[str, str]:
    found = {}
    for source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = ast.get_source_segment(source, node)
    return found


def test_the_steps_are_many_and_their_names_differ():
    assert len(STEPS) >= 8
    assert len({step.subject for step in STEPS}) == len(STEPS)


def test_what_is_moved_was_mended_before():
    """From the last mend on no line of a class changes: it is cut and pasted."""
    [mended] = [step for step in STEPS if step.subject == MENDED]
    sources = {file.path: file.content.decode() for file in mended.files}
    package = find_stage("5").folder / "twisted_chat"
    now = classes_in([path.read_text("utf-8") for path in package.glob("*.py")])
    before = classes_in([sources["chatserver.py"], sources["twisted_chat/messages.py"]])
    assert before == now


@pytest.mark.thorough
@each_step
def test_each_step_can_be_loaded(step, tmp_path):
    result = subprocess.run(
        [sys.executable, "chatserver.py"],
        cwd=laid_out(step, tmp_path),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.thorough
@each_step
def test_each_step_keeps_the_contract(step, tmp_path):
    folder = laid_out(step, tmp_path / "mychat")
    # The first step mends what this asks for; the laboratory's stage does not.
    for stage, files in (("4", CONTRACT), ("5", [WAKES_ALL])):
        judge = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        result = subprocess.run(
            [*judge, f"--stage={stage}", f"--path={folder}", *files],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_steps_are_written_as_commits_the_same_ones_everywhere(tmp_path):
    hashes = set()
    for zone in ("Asia/Tokyo", "America/St_Johns"):
        folder = tmp_path / zone.replace("/", "-")
        command = ["steps", "--into", folder, "--refactoring"]
        said = run([sys.executable, "-m", "tutorial", *command], ROOT, TZ=zone)
        assert "leads from stage4 to stage5" in said
        assert not run(["git", "diff", "refactoring", "stage5"], folder)
        log = ["git", "log", "--reverse", "--format=%s", "stage4..refactoring"]
        assert run(log, folder).splitlines() == [step.subject for step in STEPS]
        hashes.add(run(["git", "rev-parse", "stage5", "refactoring"], folder))
    assert len(hashes) == 1


def run(command: list, folder: Path, **more: str) -> str:
    """What a command prints. Fails where the command does."""
    result = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
