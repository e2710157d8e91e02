"""Machines that lack something, or differ: it works, or a sentence says why."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import free_ports
from tutorial.setup import environment
from tutorial.setup.environment import SetupError
from tutorial.site.story import copy_clone
from tutorial.stages import find_stage

SECONDS = 120
# A name that wants quoting, in every language that is spoken here.
ODD = "Ann's Übung & more (50 %)"
NO_LANGUAGE = dict.fromkeys(("LANG", "LC_ALL"), "C")

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A clone in a folder of an odd name; its .venv is a link to this one."""
    clone = tmp_path_factory.mktemp("odd") / ODD / "chat"
    copy_clone(clone)
    return clone


@pytest.fixture
def bare(tmp_path, clone):
    """Run the clone's tool with nothing on the PATH, a home that cannot be written,
    and no language. Returns exit code and what was said."""
    empty, home = tmp_path / "bin", tmp_path / "home"
    empty.mkdir()
    # root may write everywhere, but not below what is no folder.
    home.touch()

    def run(*words, path=empty, **more):
        django, chat = map(str, free_ports(2))
        plain = ("SYSTEMROOT", "TMPDIR", "TEMP")
        env = {name: os.environ[name] for name in plain if name in os.environ}
        env |= {"PATH": str(path), "HOME": str(home), "DJANGO_PORT": django}
        env |= {"CHAT_PORT": chat, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=clone,
            env=env | NO_LANGUAGE | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
        )
        return done.returncode, done.stdout

    return run


@needs_posix
@pytest.mark.thorough
def test_a_folder_is_judged_without_git_make_home_or_language(bare, clone):
    folder = find_stage("stage2_websocket").copy_to(clone.parent / "mein Chät's")
    code, said = bare("-m", "tutorial", "check", "2", "--path", folder)
    assert code == 0, said
    assert re.search(r"All \d+ tasks passed", said), said


@needs_posix
def test_what_git_does_is_said_to_need_it(bare, clone):
    for words in (["diff", "1", "2"], ["steps", "--into", clone.parent / "steps"]):
        code, said = bare("-m", "tutorial", *words)
        assert (code, "git is missing" in said) == (1, True), said
        assert "Traceback" not in said


@needs_posix
def test_the_doctor_looks_without_git_make_home_or_language(bare):
    code, said = bare("-m", "tutorial", "doctor")
    assert "git is missing; diff needs it." in said
    assert "Traceback" not in said
    assert code in (0, 1)


@needs_posix
def test_with_git_the_steps_are_written_in_an_odd_place(bare, clone):
    folder = Path(shutil.which("git")).parent
    into = clone.parent / "Schritte & more"
    code, said = bare("-m", "tutorial", "steps", "--into", into, path=folder)
    assert code == 0, said
    tags = subprocess.run(
        ["git", "tag"], cwd=into, capture_output=True, text=True, check=True
    )
    assert "stage5" in tags.stdout.split()


@needs_posix
@pytest.mark.parametrize("stage", ["stage1_django_ui", "6_names"])
def test_a_snapshot_is_migrated_in_an_odd_place(bare, clone, stage):
    folder = find_stage(stage).copy_to(clone.parent / f"über {stage}")
    code, said = bare(folder / "manage.py", "migrate", "--verbosity=0")
    assert (code, said) == (0, "")


def test_a_python_that_makes_no_environments_says_which_package_does(monkeypatch):
    found = environment.importlib.util.find_spec
    monkeypatch.setattr(
        environment.importlib.util,
        "find_spec",
        lambda name: None if name == "ensurepip" else found(name),
    )
    with pytest.raises(SetupError) as error:
        environment.make_venv(Path("nowhere"))
    series = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"install the package python{series}-venv or python3-venv" in str(
        error.value
    )
    assert "make run PYTHON=" in str(error.value)


def test_an_environment_of_another_program_is_taken(tmp_path):
    # uv makes one without a stamp, and with pip where `--seed` is said.
    of_uv = {"version": [3, 14], "packages": ["pip"]}
    assert environment.why_anew(tmp_path, of_uv, None, [3, 14]) == ""
    of_uv["packages"] = []
    assert "has no pip" in environment.why_anew(tmp_path, of_uv, None, [3, 14])


def test_the_page_says_how_uv_installs_what_setting_up_does():
    text = (environment.ROOT / "docs" / "commands.md").read_text("utf-8")
    line = re.search(r"`(uv pip install[^`]*)`", text)[1]
    groups = set(re.findall(r"--group\s+(\w+)", line))
    assert groups == {"test", "engine", "postgres"}
    assert "--constraint requirements.lock" in line
