"""What the README says to type does what it says."""

from __future__ import annotations

import re
import subprocess
import sys

from tutorial.stages import ROOT, find_stage

README = (ROOT / "README.md").read_text("utf-8")


def test_the_contract_judges_a_folder_elsewhere(tmp_path):
    [line] = re.findall(r"^\.venv/bin/python (-m pytest -x .*)$", README, re.M)
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


def test_every_make_target_is_there():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"`make (\w+)", README)) | {"run"}
    assert named <= set(re.findall(r"^(\w+):", makefile, re.M))


def test_the_laboratory_has_as_many_designs_as_it_says():
    result = subprocess.run(
        [sys.executable, "-c", "from lab.explore import DESIGNS; print(len(DESIGNS))"],
        cwd=find_stage("4").folder,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert "twelve designs" in README
    assert result.stdout.strip() == "12"
