"""The laboratory on a Python without a GIL, where this machine has one."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig

import pytest

from tutorial.stages import find_stage, load_snapshots

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


# What twistd and manage.py load, and then whether the GIL is on.
SERVERS = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "django_twisted_chat.settings"
import django
django.setup()
import django.core.management.commands.runserver, twisted.scripts.twistd
from twisted.application.service import loadApplication
if os.path.exists("chatserver.py"):
    loadApplication("chatserver.py", "python")
print(sys._is_gil_enabled())
"""


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL"
)
@pytest.mark.parametrize("stage", load_snapshots(), ids=lambda stage: stage.id)
def test_no_package_of_the_servers_turns_the_gil_on(stage, tmp_path):
    folder = stage.copy_to(tmp_path / "mychat")
    # Python warns of the package that does.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SERVERS],
        cwd=folder,
        env={name: text for name, text in os.environ.items() if name != "PYTHON_GIL"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
