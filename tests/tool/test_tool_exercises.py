"""`check --exercise`: a right answer is not called wrong, nor a wrong one right."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tutorial.check.judge import Judge
from tutorial.check.lanes import lanes_for
from tutorial.check.limits import Limits
from tutorial.check.tasks import load_tasks, tasks_of
from tutorial.check.verdict import Kind
from tutorial.cli import main
from tutorial.stages import ROOT, find_stage, load_stages

SOLUTIONS = ROOT / "tests" / "chapters" / "solutions"
EXERCISES = [
    (find_stage(task.stage), task.exercise, task)
    for task in load_tasks()
    if task.exercise
]
IDS = [f"{stage.number}.{number}" for stage, number, _ in EXERCISES]
LIMITS = Limits().stretched(5)


def solved(stage, number, folder: Path) -> Path:
    stage.copy_to(folder)
    patch = SOLUTIONS / f"{stage.number}.{number}.patch"
    subprocess.run(["git", "apply", patch], cwd=folder, check=True)
    return folder


def test_each_exercise_that_is_judged_has_a_solution_and_no_other():
    assert sorted(path.stem for path in SOLUTIONS.glob("*.patch")) == sorted(IDS)
    assert len({*IDS}) == len(IDS), "one task each"


def test_each_exercise_is_one_of_its_chapter():
    for stage, number, task in EXERCISES:
        text = (ROOT / "docs" / stage.chapter).read_text("utf-8")
        text = text.partition("\n## Exercises")[2].partition("\n## ")[0]
        titles = re.findall(r"^### (.+?)(?: \{.*)?$|^\*\*\d\. (.+?)\*\*", text, re.M)
        title = (titles[number - 1][0] or titles[number - 1][1]).casefold()
        ours = task.title.casefold().partition(": ")
        assert title.rstrip(".")[:15] in (ours[2] or ours[0]) + ours[0], (title, task)


@pytest.mark.thorough  # It judges the tests, and no stage.
@pytest.mark.parametrize(("stage", "number", "task"), EXERCISES, ids=IDS)
def test_a_solution_is_right(tmp_path, stage, number, task):
    folder = solved(stage, number, tmp_path / "mychat")
    verdict = Judge(stage, folder, exercise=number, limits=LIMITS).run()
    assert verdict.kind is Kind.RIGHT, verdict.failure
    assert verdict.tasks[0].task == task
    assert len(verdict.tasks) == (1 if task.alone else len(verdict.tasks))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("stage", "number", "task"),
    [one for one in EXERCISES if one[2].id != "exercise-5-1"],  # it changes no answer
    ids=[one for one in IDS if one != "5.1"],
)
def test_who_has_not_done_it_is_told(tmp_path, stage, number, task):
    folder = stage.copy_to(tmp_path / "mychat")
    verdict = Judge(stage, folder, exercise=number, limits=LIMITS).run()
    assert (verdict.kind, verdict.task) == (Kind.WRONG, task), verdict.failure
    assert len(verdict.failure.says.split()) > 8, "a learner reads it"


def test_without_the_option_nobody_is_asked_for_an_exercise():
    for stage in load_stages():
        assert not [task for task in tasks_of(stage) if task.exercise]
        assert "chapters" not in str(lanes_for(stage, True))


@pytest.mark.parametrize("words", [["check", "2", "--path", "."], ["check-class", "."]])
def test_an_exercise_that_no_test_can_judge_is_a_sentence(words):
    words = [*words, "--exercise", "4"]
    words += ["--stage", "2"] if words[0] == "check-class" else []
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "No test judges exercise 4 of stage 2" in done.output
    assert "What is judged: 1, 2, 3." in done.output
