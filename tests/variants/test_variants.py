"""No false alarm: right solutions that are made otherwise pass, as `check` judges them.

A folder `<variant>/<stage>` holds the files that this stage adds to the variant, or
changes in it. Where a stage has no folder, the variant does already what it asks for.
Our own newest stage, with other names and without its comments, is judged, too.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from tutorial.checks import find_browser
from tutorial.judge import Judge, Kind, Verdict
from tutorial.limits import Limits
from tutorial.stages import LEFT_BEHIND, Stage, load_stages

HERE = Path(__file__).parent
STAGES = load_stages()
VARIANTS = sorted(folder.parent.name for folder in HERE.glob(f"*/{STAGES[0].id}"))
REWORDED = "reworded"
# Of the stages that one folder serves, the last asks all that the others ask.
CASES = [
    (variant, stage)
    for variant in VARIANTS
    for stage, after in pairwise([*STAGES, None])
    if after is None or (HERE / variant / after.id).is_dir()
]
CASES.append((REWORDED, STAGES[-1]))
# No machine is so busy that a right solution is called slow.
PATIENT = Limits().stretched(6)


def name(value) -> str:
    return value.id if isinstance(value, Stage) else str(value)


def compose(variant: str, stage: Stage, folder: Path) -> Path:
    """Put a variant of a stage together, in `folder`, which must not exist yet."""
    if variant == REWORDED:
        return reword(stage.copy_to(folder))
    for step in STAGES[: stage.number]:
        overlay = HERE / variant / step.id
        if overlay.is_dir():
            shutil.copytree(overlay, folder, ignore=LEFT_BEHIND, dirs_exist_ok=True)
    return folder


def reword(folder: Path) -> Path:
    """Give our classes and their methods other names, and all code another layout."""
    files = [folder / "chatserver.py", *folder.glob("twisted_chat/*.py")]
    code = {file: ast.unparse(ast.parse(file.read_text("utf-8"))) for file in files}
    ours = set()
    for text in code.values():
        ours |= set(re.findall(r"class (\w+)", text))
        # Those of Twisted have capitals inside, or begin with what it looks for.
        ours |= set(re.findall(r"def (?!render|_)([a-z_]+)\(", text))
    words = re.compile(rf"\b({'|'.join(sorted(ours))})\b")
    for file, text in code.items():
        file.write_text(words.sub(r"\1_of_ours", text), "utf-8")
    return folder


def judge(folder: Path, variant: str, stage: Stage) -> Verdict:
    """What `check --all` comes to for a variant of a stage."""
    composed = compose(variant, stage, folder / f"{variant}-{stage.id}")
    options = {"browser": bool(find_browser()), "thorough": True, "limits": PATIENT}
    return Judge(stage, composed, **options).run()


@pytest.fixture(scope="module")
def verdicts(request, tmp_path_factory):
    """The verdicts that the tests of this run want, by their ids; made side by side."""
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    found: dict[str, Future[Verdict]] = {}
    for item in request.session.items:
        if item.path == request.path and "verdict" in item.fixturenames:
            case = item.callspec.params["variant"], item.callspec.params["stage"]
            folder = tmp_path_factory.mktemp(case[0])
            found[item.nodeid] = pool.submit(judge, folder, *case)
    yield found
    pool.shutdown(cancel_futures=True)


@pytest.fixture
def verdict(request, verdicts) -> Verdict:
    """What `check` comes to for the `variant` of the `stage` of this test."""
    return verdicts[request.node.nodeid].result()


@pytest.mark.thorough
@pytest.mark.parametrize(("variant", "stage"), CASES, ids=name)
def test_every_variant_of_every_stage_passes_all_tests(
    variant, stage, verdict, chromium_path
):
    assert verdict.kind is Kind.RIGHT, f"A false alarm: {verdict.failure}"
    assert {result.status for result in verdict.tasks} == {"passed"}
    assert verdict.left_out == 0


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
    assert "#" not in text
