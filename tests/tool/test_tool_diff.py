"""`python -m tutorial diff`: the step between two stages."""

import pytest

from tutorial.steps import diff as stepdiff
from tutorial.steps.diff import NoGit, show_step

LINES = "".join(f"line {number}\n" for number in range(30))


@pytest.fixture
def two_stages(tmp_path):
    old, new = tmp_path / "old", tmp_path / "my new"
    for folder in (old, new):
        (folder / "chat").mkdir(parents=True)
        (folder / "same.py").write_text(LINES)
        (folder / "db.sqlite3").write_text(f"the database of {folder.name}")
    (old / "chatserver.py").write_text(LINES)
    (new / "chat" / "protocols.py").write_text(LINES + "one more\n")
    (new / "kept.sqlite3.txt").write_text("")
    (new / ".gitignore").write_text("*\n")
    return old, new


@pytest.fixture
def step_diff(capfd):
    """What git says about a step."""

    def said(*folders):
        assert show_step(*folders) == 0
        return capfd.readouterr().out

    return said


def test_a_moved_file_is_shown_as_moved(two_stages, step_diff):
    text = step_diff(*two_stages)
    assert "rename from chatserver.py" in text
    assert "rename to chat/protocols.py" in text
    assert "+one more" in text
    assert "-line 7" not in text
    assert "same.py" not in text
    assert "sqlite3" not in text


def test_a_step_to_itself_is_empty(two_stages, step_diff):
    assert step_diff(two_stages[0], two_stages[0]) == ""


def test_it_works_inside_a_git_hook(two_stages, step_diff, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other-index"))
    assert "rename from chatserver.py" in step_diff(*two_stages)
    assert not (tmp_path / "other-index").exists()


def test_the_step_from_1_to_2(answer):
    code, output, errors = answer("-m", "tutorial", "diff", "1", "2")
    assert (code, errors) == (0, "")
    assert "diff --git a/chatserver.py b/chatserver.py\nnew file mode" in output
    assert " chat/views.py " in output
    code, output, errors = answer("-m", "tutorial", "diff", "1", "2", "--stat")
    assert (code, errors) == (0, "")
    assert " chatserver.py " in output
    assert "diff --git" not in output


def test_git_is_missing(two_stages, monkeypatch):
    monkeypatch.setattr(stepdiff.shutil, "which", lambda name: None)
    with pytest.raises(NoGit, match="git is missing"):
        show_step(*two_stages)
