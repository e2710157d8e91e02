"""What all tests share: which folders they judge, and how those are started."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.servers import Target, start_chat
from tutorial.stages import find_stage, load_stages


def pytest_addoption(parser):
    group = parser.getgroup("tutorial", "the tutorial's stages")
    group.addoption(
        "--stage",
        help="judge one stage only: its number (2) or its name (stage2_websocket)",
    )
    group.addoption(
        "--path",
        type=Path,
        metavar="DIR",
        help="judge the folder DIR, which should do what --stage does",
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "contract: a black-box test that judges any folder"
    )
    path, stage = config.getoption("path"), config.getoption("stage")
    if path and not stage:
        raise pytest.UsageError("--path needs --stage: which stage is it?")
    if path and not (path / "manage.py").is_file():
        raise pytest.UsageError(
            f"There is no manage.py in {path}. Name the folder that holds the project."
        )
    if stage:
        try:
            find_stage(stage)
        except LookupError as error:
            raise pytest.UsageError(str(error)) from error


def targets(config) -> list[Target]:
    """The folders that the contract tests judge in this run."""
    stages = load_stages()
    if config.getoption("stage"):
        stages = [find_stage(config.getoption("stage"))]
    path = config.getoption("path")
    return [Target(stage, (path or stage.folder).resolve()) for stage in stages]


def pytest_generate_tests(metafunc):
    # A contract of stage N holds for every later stage, too.
    if "chat" in metafunc.fixturenames:
        judged = [
            target
            for target in targets(metafunc.config)
            if target.stage.number >= metafunc.module.SINCE_STAGE
        ]
        ids = [target.stage.id for target in judged]
        metafunc.parametrize("chat", judged, ids=ids, indirect=True, scope="session")


def pytest_collection_modifyitems(config, items):
    stage, path = config.getoption("stage"), config.getoption("path")
    if not stage:
        return
    stage_tests = Path("tests", find_stage(stage).id).parts
    keep, drop = [], []
    for item in items:
        judges_any_folder = item.get_closest_marker("contract") is not None
        folder = item.path.relative_to(config.rootpath).parts[:2]
        belongs = judges_any_folder or (path is None and folder == stage_tests)
        (keep if belongs else drop).append(item)
    config.hook.pytest_deselected(items=drop)
    items[:] = keep


@pytest.fixture(scope="session")
def chat(request, tmp_path_factory):
    """The folder under test, copied and running."""
    target = request.param
    workspace = tmp_path_factory.mktemp(target.stage.id)
    chat = start_chat(target, workspace)
    yield chat
    chat.stack.close()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The path of a Chromium on this machine; CHROMIUM may name it.

    Without one the test is skipped, or fails where REQUIRE_BROWSER is set.
    """
    named = os.environ.get("CHROMIUM")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        message = (
            "no Chromium on PATH, so nothing was tested in a browser. "
            "On Debian and Ubuntu: apt install chromium. Elsewhere, set CHROMIUM."
        )
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    return path
