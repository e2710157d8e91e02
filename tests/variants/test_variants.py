"""No false alarm: right solutions that are made otherwise pass, as `check` judges them.

A folder `<variant>/<snapshot>` holds the files that this stage or exercise adds to the
variant, or changes in it. Where a stage has no folder, the variant does already what it
asks for. Our own snapshots, with other names and without comments, are judged, too.

The last snapshot of a variant is judged by all that `check` asks; the others, to
save minutes, by the tests of their own chapters.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from itertools import chain, pairwise
from pathlib import Path

import pytest
from django.db.models import QuerySet
from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool
from twisted.web.server import Request, Site
from wsproto.connection import Connection

from tutorial.check.judge import Judge
from tutorial.check.limits import Limits
from tutorial.check.verdict import Kind
from tutorial.doctor.checks import find_browser
from tutorial.settings import plain
from tutorial.stages import LEFT_BEHIND, ROOT, Stage, load_snapshots, load_stages

HERE = Path(__file__).parent
STAGES, SNAPSHOTS = load_stages(), load_snapshots()
VARIANTS = sorted(folder.parent.name for folder in HERE.glob(f"*/{STAGES[0].id}"))
REWORDED = "reworded"
# No machine is so busy that a right solution is called slow.
PATIENT = Limits().stretched(6)


def snapshots_of(variant: str) -> list[Stage]:
    """The stages, and as many exercises as there are of this variant."""
    if variant == REWORDED:
        return SNAPSHOTS
    number = max(one.number for one in SNAPSHOTS if (HERE / variant / one.id).is_dir())
    return SNAPSHOTS[: max(number, len(STAGES))]


def cases(variant: str) -> Iterator[tuple[str, Stage]]:
    """The variant with each snapshot that has to be judged.

    Of the stages that one folder serves, the last asks all that the others ask. Stage 1
    has no code that `reword` changes.
    """
    for stage, after in pairwise([*snapshots_of(variant), None]):
        if variant == REWORDED:
            differs = stage.number > 1
        else:
            differs = after is None or (HERE / variant / after.id).is_dir()
        if differs:
            yield variant, stage


CASES = [case for variant in [*VARIANTS, REWORDED] for case in cases(variant)]


def name(value) -> str:
    return value.id if isinstance(value, Stage) else str(value)


def compose(variant: str, stage: Stage, folder: Path) -> Path:
    """Put a variant of a stage together, in `folder`, which must not exist yet."""
    if variant == REWORDED:
        return reword(stage.copy_to(folder))
    for step in SNAPSHOTS[: stage.number]:
        overlay = HERE / variant / step.id
        if overlay.is_dir():
            shutil.copytree(overlay, folder, ignore=LEFT_BEHIND, dirs_exist_ok=True)
    return folder


# What these have is not ours alone.
OTHERS = [
    *vars(builtins).values(),
    deque,
    json,
    Deferred,
    Request,
    Site,
    ThreadPool,
    Connection,
    QuerySet,
    BytesIO,
]


def is_ours(module: str) -> bool:
    """Is this a module of a snapshot, and none of a library?"""
    return module.partition(".")[0] in ("chat", "twisted_chat")


def reword(folder: Path) -> Path:
    """Give our classes and their methods other names, and all code another layout."""
    files = [folder / "chatserver.py", *folder.glob("twisted_chat/*.py")]
    code = {file: ast.parse(file.read_text("utf-8")) for file in files}
    djangos = [ast.parse(file.read_text("utf-8")) for file in folder.glob("chat/*.py")]
    nodes = [*chain(*map(ast.walk, code.values()))]
    ours = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    methods = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    # Those of Twisted have capitals inside, or begin with what it looks for.
    ours |= {method for method in methods if re.match("(?!render|_)[a-z_]+$", method)}
    ours -= {attribute for one in OTHERS for attribute in dir(one)}
    # What the chat server imports from Django's side keeps its name.
    ours -= {getattr(node, "name", "") for node in chain(*map(ast.walk, djangos))}
    # So does what it imports from a library, where something of ours is called alike.
    imported = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    libraries = [one for one in imported if not (one.level or is_ours(one.module))]
    ours -= {alias.name for one in libraries for alias in one.names}
    # And what Python's own functions are told by name: sorted(..., key=...).
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    python = [one for one in calls if getattr(one.func, "id", "") in vars(builtins)]
    ours -= {word.arg for one in python for word in one.keywords}
    for file, tree in code.items():
        for node in ast.walk(tree):
            for place in ("name", "id", "attr", "arg"):
                if getattr(node, place, None) in ours:
                    setattr(node, place, getattr(node, place) + "_of_ours")
        file.write_text(ast.unparse(tree), "utf-8")
    return folder


def find_fault(folder: Path, variant: str, stage: Stage) -> str:
    """What is found wrong with a variant of a stage; nothing if all is well."""
    composed = compose(variant, stage, folder / f"{variant}-{stage.id}")
    if stage != snapshots_of(variant)[-1]:
        return run_own_tests(composed, stage)
    # What is thorough measures the machine as well, and this one is busy.
    options = {"browser": bool(find_browser()), "limits": PATIENT}
    verdict = Judge(stage, composed, **options).run()
    # What looks inside knows the chapter's own names, and no others.
    passed = all(
        result.status == "passed"
        or (result.task.inside and result.status == "not judged")
        for result in verdict.tasks
    )
    if verdict.kind is Kind.RIGHT and passed:
        return ""
    return f"{verdict.says} {verdict.failure}"


def run_own_tests(folder: Path, stage: Stage) -> str:
    """Judge `folder` by the tests of the stage's own chapter alone."""
    tests = sorted(
        str(file)
        for where in ("contract", "browser")
        for file in (ROOT / "tests" / where).glob(f"test_{stage.number}_*.py")
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "no:twisted", "-m", "not thorough"]
    command += [f"--stage={stage.id}", f"--path={folder}", *tests]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={
            **plain(os.environ),
            **PATIENT.write(),
            "TEST_PATIENCE": f"{PATIENT.hear:g}",
        },
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    return "" if ended.returncode == 0 else ended.stdout[-6000:] + ended.stderr[-2000:]


@pytest.fixture(scope="module")
def faults(request, tmp_path_factory):
    """What this run's tests want to know, by their ids; found out side by side."""
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    found: dict[str, Future[str]] = {}
    for item in request.session.items:
        if item.path == request.path and "fault" in item.fixturenames:
            case = item.callspec.params["variant"], item.callspec.params["stage"]
            folder = tmp_path_factory.mktemp(case[0])
            found[item.nodeid] = pool.submit(find_fault, folder, *case)
    yield found
    pool.shutdown(cancel_futures=True)


@pytest.fixture
def fault(request, faults) -> str:
    """What is found wrong with the `variant` of the `stage` of this test."""
    return faults[request.node.nodeid].result()


@pytest.mark.thorough
@pytest.mark.parametrize(("variant", "stage"), CASES, ids=name)
def test_every_variant_of_every_stage_passes(variant, stage, fault, chromium_path):
    assert not fault, f"A false alarm: {fault}"


def test_each_stage_and_exercise_has_three_variants():
    lines = [*VARIANTS, REWORDED]
    made = Counter(stage.id for line in lines for stage in snapshots_of(line))
    made.update(patch.parent.name for patch in HERE.glob("patches/*/*.patch"))
    few = [stage.id for stage in SNAPSHOTS if made[stage.id] < 3]
    assert not few


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_of_a_stage_is_ahead_of_no_chapter(variant, tmp_path):
    first, second = (compose(variant, one, tmp_path / one.id) for one in STAGES[:2])
    assert not (first / "chatserver.py").exists()
    assert not [*second.rglob("*poll*")], "long polling is a matter of stage 3"


def test_other_words_are_other_words(tmp_path):
    stage = STAGES[-1]
    ours = stage.folder / "twisted_chat" / "resources.py"
    folder = compose(REWORDED, stage, tmp_path / "reworded")
    text = (folder / "twisted_chat" / "resources.py").read_text("utf-8")
    assert "class HttpChat(" in ours.read_text("utf-8")
    assert "class HttpChat_of_ours(" in text
    assert "# " not in text
