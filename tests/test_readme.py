"""What the README and the page about the commands say to type does what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tutorial.check.verdict import Kind
from tutorial.cli.judging import CODES
from tutorial.stages import ROOT, find_stage

README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")
TWO_SCREENS = 4000  # characters


@pytest.mark.thorough
def test_the_contract_judges_a_folder_elsewhere(tmp_path):
    [line] = re.findall(r"`\.venv/bin/python (-m pytest -x [^`]*)`", COMMANDS)
    folder = find_stage("stage2_websocket").copy_to(tmp_path / "mychat")
    words = line.replace("~/mychat", str(folder)).split()
    result = subprocess.run(
        [sys.executable, *words, "-p", "no:cacheprovider", "-k", "front_page or hears"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\b3 passed", result.stdout), result.stdout
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in find_stage("2").copy_to(tmp_path / "fresh").iterdir()
    ), "the folder under test was written to"


def test_a_newcomer_reads_two_screens():
    assert len(README) <= TWO_SCREENS


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r'\]\(([^)#:]+)(?:#[\w-]+)?\)|(?:src|srcset)="([^"]+)"', README)
    paths = {path for pair in links for path in pair if path}
    assert len(paths) > 15
    assert not [path for path in sorted(paths) if not (ROOT / path).exists()]


def test_every_make_target_is_there():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    both = README + COMMANDS
    named = set(re.findall(r"^make ([\w-]+)|`make ([\w-]+)|&& make (\w+)", both, re.M))
    names = {name for pair in named for name in pair if name}
    assert {"run", "check", "watch", "check-class"} <= names
    assert names <= set(re.findall(r"^([\w-]+):", makefile, re.M))


def test_the_exit_codes_of_check_are_those_of_the_program():
    rows = re.findall(r"^\| (\d) \| (.*) \|$", COMMANDS, re.M)
    codes = {str(kind.code): kind.says for kind in Kind if kind is not Kind.RIGHT}
    right = "All tasks passed, or those that could be judged."
    others = {"0": right, "2": "The command line is wrong."}
    assert dict(rows) == others | codes
    for code, says in rows:
        assert f"  {code}  {says}\n" in CODES


@pytest.mark.skipif(not shutil.which("unshare"), reason="only Linux can do this")
def test_a_class_is_shut_in(tmp_path):
    [line] = re.findall(r"^\$ (unshare .*\\\n.*)$", COMMANDS, re.M)
    (tmp_path / "class" / "ann").mkdir(parents=True)
    line = line.replace("~/class", str(tmp_path / "class"))
    line = line.replace(".venv/bin/python", sys.executable)
    can = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "true"]
    if subprocess.run(can, capture_output=True).returncode:
        pytest.skip("this system does not let a user unshare")
    result = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert re.search(r"ann +no project", result.stdout), result.stdout


def test_the_laboratory_has_as_many_designs_as_it_says():
    result = subprocess.run(
        [sys.executable, "-c", "from lab.explore import DESIGNS; print(len(DESIGNS))"],
        cwd=find_stage("4").folder,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert "twelve designs" in COMMANDS
    assert result.stdout.strip() == "12"
