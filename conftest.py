"""What all tests share: which folders they judge, and how those are started.

It stands here, and not in tests/, because pytest has to know the options before it
knows which tests to run.
"""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path

import pytest

from tests.support.chromium import FLAGS
from tests.support.keeping import guard
from tests.support.notjudged import NotJudged
from tests.support.postgres import Postgres, find_postgres, why_no_postgres
from tests.support.servers import SHORT_LIFE, Chat, ManyChats, Target
from tutorial.check.copies import differences, look, meddled
from tutorial.check.limits import processors
from tutorial.doctor.checks import check_stage, find_browser
from tutorial.run.engine import why_no_engine
from tutorial.settings import KEPT, plain
from tutorial.stages import Stage, find_stage, load_snapshots, load_stages

BEFORE = pytest.StashKey()  # how the files were in the folder of --path
TELLS = pytest.StashKey()  # whether to tell of both at the end
NOTES = pytest.StashKey()  # what is not in the copy of it


def pytest_addoption(parser):
    group = parser.getgroup("tutorial", "the tutorial's stages")
    group.addoption(
        "--stage",
        help="judge one stage only: its number (2) or its name (stage2_websocket), "
        "or an exercise (1_rooms)",
    )
    group.addoption(
        "--path",
        type=Path,
        metavar="DIR",
        help="judge the folder DIR, which should do what --stage does",
    )
    group.addoption(
        "--exercise",
        type=int,
        default=0,
        metavar="NUMBER",
        help="with --stage: the folder has that exercise of the chapter, too",
    )
    group.addoption(
        "--white-box",
        action="store_true",
        help="judge the classes in DIR as well, which have to be named as ours",
    )
    group.addoption(
        "--lot",
        type=float,
        metavar="SHARE",
        help="of each test that tests the tests, take so many cases by lot: 0.2",
    )
    group.addoption(
        "--lot-seed", type=int, default=1, help="of that lot; the same gives the same"
    )


def pytest_report_header(config):
    if lot := config.getoption("lot"):
        seed = config.getoption("lot_seed")
        return f"tests of the tests: {lot:.0%} of each, by lot (--lot-seed={seed})"
    return None


# Tests of the tests: each judges a whole folder, and there are hundreds.
JUDGES = (
    "tests/mutants/test_",
    "tests/variants/test_",
    "tests/tool/test_tool_exercises",
)

OWED = 4  # by how much what they show is more than what those do

# Chapters and whole servers take longest. Begun last, they would keep one worker busy
# when all others have nothing to do any more. And before them, one builds the site: all
# others would wait for it.
FIRST = "tests/site/test_site.py"
LONG = (
    "tests/site/test_stories.py",
    "tests/tool",
    "tests/mutants",
    "tests/contract/test_12_many_servers.py",
    "tests/contract/test_10_names.py",
    "tests/browser",
    "tests/exercise7_strangers/test_attacks.py",
    "tests/exercise7_strangers/test_deploy.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: most tests wait for a server, a browser, a deadline."""
    return 2 * max(1, round(processors()))


def pytest_configure(config):
    # xdist would begin with the files that hold the most tests, not the longest ones.
    config.option.loadscopereorder = False
    for marker in [
        "stages(first, last): this test is about these stages only, by number",
        "slow: of a test that judges a folder: `check` asks it, `make test` does not",
        "thorough: takes long, or says as much about the machine as about the folder; "
        "`check` and `make test` leave it out",
        "not_judged: this test is not about the stage of this run",
        "exercise(number): this test is about that exercise of the chapter",
    ]:
        config.addinivalue_line("markers", marker)
    path, stage = config.getoption("path"), config.getoption("stage")
    if path and not stage:
        raise pytest.UsageError("--path needs --stage: which stage is it?")
    if sys.flags.optimize:
        raise pytest.UsageError(
            "Python leaves out assertions, and no test can fail: unset PYTHONOPTIMIZE"
        )
    if path:
        path = config.option.path = Path(os.path.realpath(path.expanduser()))
        found = check_stage(path)
        if found.level == "problem":
            raise pytest.UsageError(str(found))
        config.stash[BEFORE], config.stash[NOTES] = look(path), []
        original = os.environ.get(KEPT)  # by `check`, which says itself what it sees
        config.stash[TELLS] = not original
    runs = not path or config.getoption("white_box")
    if runs or config.pluginmanager.hasplugin("twisted"):
        # Twisted takes a quarter of the time in which a lane of `check` is ready, which
        # judges from outside, and has no reactor.
        config.pluginmanager.import_plugin("tests.support.in_process")
    # What is meant for the shell only reaches no server, no client and no browser.
    for name in os.environ.keys() - plain(os.environ).keys():
        if not name.startswith("PYTEST"):
            del os.environ[name]
    if path:
        # Some tests load what is in the folder here, and not in a server.
        # (pytest makes that of --basetemp anew, so its parent is what can be known.)
        base = config.option.basetemp
        free = Path(base).absolute().parent if base else Path(tempfile.gettempdir())
        guard(Path(original or path), free)
    if stage:
        try:
            find_stage(stage)
        except LookupError as error:
            raise pytest.UsageError(str(error)) from error


def pytest_terminal_summary(terminalreporter, config):
    path = config.getoption("path")
    if path and config.stash[TELLS]:
        changed = differences(config.stash[BEFORE], look(path))
        for says in [*config.stash[NOTES], *([meddled(changed)] if changed else [])]:
            terminalreporter.write_line(says)


def pytest_sessionstart(session):
    # SIGTERM, by default, would end us and leave the servers running.
    def end(signum, frame):
        session.shouldstop = "a signal"
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, end)


# Fixtures that are about a folder under test, and how long each is kept.
TARGETED = {"chat": "session", "classes": "function", "theirs": "function"}


@cache
def targets(config) -> list[Target]:
    """The folders that the contract tests judge in this run."""
    stages = load_snapshots()
    if config.getoption("stage"):
        stages = [find_stage(config.getoption("stage"))]
    path = config.getoption("path")
    return [Target(stage, (path or stage.folder).resolve()) for stage in stages]


def marks_of(
    stage: Stage, first: int, found: list[Stage], browser: bool, slow: bool
) -> list:
    """The marks of a test that holds since stage `first`, when it judges `stage`.

    `found` are all that this run judges. What a stage or an exercise owes to the
    chapters before it, takes long: the last stage shows it, and of the exercises the
    newest shows the most. A browser looks at each page of a stage where it is new.
    And what is `slow`, is thorough.
    """
    if len(found) == 1:
        return []
    last = not stage.is_exercise and stage.number == len(load_stages())
    shown_before = first < stage.number and not last
    if browser:
        touched = "".join([*stage.adds, *stage.changes])
        new = not stage.builds_on or "static" in touched or "templates" in touched
        shown_before |= stage.is_exercise or not new
    by_lot = shown_before and stage.is_exercise and stage != found[-1]
    return [pytest.mark.thorough(owed=by_lot)] if shown_before or slow else []


def pytest_generate_tests(metafunc):
    if "kept" in metafunc.fixturenames:
        # Where many folders are judged, the one database shows what the other does.
        alone = len(targets(metafunc.config)) == 1
        other = pytest.param("postgresql", marks=[] if alone else pytest.mark.thorough)
        metafunc.parametrize("kept", ["sqlite", other], indirect=True)
    # What holds for stage N holds for every later stage, and for the exercises, too.
    marker = metafunc.definition.get_closest_marker("stages")
    for fixture, scope in TARGETED.items():
        if fixture in metafunc.fixturenames:
            first, last = marker.args if marker else (metafunc.module.SINCE_STAGE, 99)
            judged = targets(metafunc.config)
            found = [target.stage for target in judged]
            browser = metafunc.definition.path.parent.name == "browser"
            slow = bool(metafunc.definition.get_closest_marker("slow"))
            cases = [
                pytest.param(
                    target,
                    id=stage.id,
                    marks=marks_of(stage, first, found, browser, slow),
                )
                for target, stage in zip(judged, found, strict=True)
                if first <= stage.number <= last
            ]
            # An empty list would be reported as a skipped test.
            cases = cases or [pytest.param(None, marks=pytest.mark.not_judged)]
            metafunc.parametrize(fixture, cases, indirect=True, scope=scope)


def pytest_collection_modifyitems(config, items):
    stage, path = config.getoption("stage"), config.getoption("path")
    # Another folder may be made otherwise inside, and has not to have our bugs.
    black_box_only = path and not config.getoption("white_box")
    keep, drop = [], []
    for item in items:
        wanted = not item.get_closest_marker("not_judged")
        if stage and not {*TARGETED} & {*item.fixturenames}:
            wanted = False
        folder = item.path.parent.name
        if black_box_only and folder not in ("contract", "browser", "chapters"):
            wanted = False
        exercise = item.get_closest_marker("exercise")
        if exercise and exercise.args != (config.getoption("exercise"),):
            wanted = False
        (keep if wanted else drop).append(item)
    keep, left = draw(keep, config.getoption("lot"), config.getoption("lot_seed"))
    config.hook.pytest_deselected(items=drop + left)
    # In a check, first what says most plainly what is wrong; a page shows only that it
    # is. Where tests run side by side, what takes longest.
    keep.sort(key=lambda item: item.path.parent.name == "browser")
    if config.getoption("numprocesses", None) or "PYTEST_XDIST_WORKER" in os.environ:
        keep.sort(key=lambda item: not item.nodeid.startswith(LONG))
        keep.sort(key=lambda item: not item.nodeid.startswith(FIRST))
    items[:] = keep


def draw(items: list, lot: float | None, seed: int) -> tuple[list, list]:
    """Of each test that tests the tests, the share `lot` of its cases, and the rest.

    And of what an older snapshot owes to the chapters before it, OWED times as much.
    """
    cases: dict[tuple[str, float], list] = {}
    for item in items:
        thorough = item.get_closest_marker("thorough")
        if not thorough or lot is None:
            continue
        test = item.nodeid.partition("[")[0]
        if item.nodeid.startswith(JUDGES):
            cases.setdefault((test, lot), []).append(item)
        elif thorough.kwargs.get("owed"):
            cases.setdefault((test, min(1.0, OWED * lot)), []).append(item)
    left = {
        item
        for (_, share), found in cases.items()
        for item in {*found}
        - {*random.Random(seed).sample(found, math.ceil(share * len(found)))}
    }
    return [item for item in items if item not in left], [*left]


@pytest.fixture(scope="session")
def chat(request, tmp_path_factory):
    """The folder under test, copied and running."""
    workspace = tmp_path_factory.mktemp(request.param.stage.id)
    with Chat(request.param, workspace) as chat:
        request.config.stash.setdefault(NOTES, []).extend(chat.left_behind)
        yield chat


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL that runs, with an empty database. Skips where there is none."""
    if why := why_no_postgres():
        pytest.skip(why)
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with Postgres(find_postgres()) as postgres:
        yield postgres


@pytest.fixture(scope="session")
def on_postgres(chat, postgres, tmp_path_factory):
    """The folder of `chat`, copied once more, and running with PostgreSQL."""
    workspace = tmp_path_factory.mktemp(f"{chat.target.stage.id}-postgres")
    # One of its own: another snapshot has other tables. And `chat` may be made anew.
    with Chat(chat.target, workspace, postgres.database(workspace.name)) as copy:
        yield copy


@pytest.fixture(scope="session")
def short_lived(chat, tmp_path_factory):
    """The folder of `chat`, copied once more, where tokens live for SHORT_LIFE."""
    workspace = tmp_path_factory.mktemp(f"{chat.target.stage.id}-short")
    with Chat(chat.target, workspace, token_seconds=SHORT_LIFE) as copy:
        yield copy


@pytest.fixture(scope="session")
def many_servers(chat, tmp_path_factory):
    """The folder of `chat`, copied once more: several chat servers share an engine.

    Without an engine the test judges nothing, or fails where REQUIRE_ENGINE is set.
    """
    if why := why_no_engine(chat.target.folder):
        if os.environ.get("REQUIRE_ENGINE"):
            pytest.fail(why)
        raise NotJudged(f"several servers share no engine here. {why}")
    workspace = tmp_path_factory.mktemp(f"{chat.target.stage.id}-many")
    many = ManyChats(chat.target, workspace)
    many[0].wire = chat.wire  # from which `check` tells what was sent, and what came
    with many:
        yield many


@pytest.fixture
def kept(request, chat) -> Chat:
    """The folder of `chat`, running with one database or the other."""
    if request.param == "sqlite":
        return chat
    return request.getfixturevalue("on_postgres")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The path of a Chromium on this machine; CHROMIUM may name it.

    Without one the test is skipped, or fails where REQUIRE_BROWSER is set.
    """
    path = find_browser()
    if path is None:
        message = (
            "no Chromium on PATH, so nothing was tested in a browser. "
            "On Debian and Ubuntu: apt install chromium. Elsewhere, set CHROMIUM."
        )
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def chromium(chromium_path):
    """A browser, shared: each test opens windows of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser
        browser.close()
