"""A folder is judged until the first test that fails."""

from __future__ import annotations

from tests.mutation.judging import judge_folder
from tutorial.stages import find_stage


def test_the_first_test_that_fails_is_named_with_what_it_says(tmp_path):
    stage = find_stage("1")
    folder = stage.copy_to(tmp_path / "mychat")
    page = folder / "chat/templates/chats/index.html"
    page.write_text("<!doctype html>", "utf-8")
    outcome = judge_folder(stage, folder, browser=False)
    assert not outcome.passed and not outcome.broken
    assert outcome.test.startswith("tests/contract/test_1_django_ui.py::")
    assert "/chats/" in outcome.says
