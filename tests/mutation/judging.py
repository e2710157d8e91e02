"""Give a mutant to the tests, as `check` gives them a learner's folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.mutation.edits import Mutant
from tests.mutation.snapshots import PAGES, SERVER, kind_of
from tutorial.check.judge import Judge
from tutorial.check.limits import Limits, limits_here
from tutorial.check.verdict import Cancelled, Kind
from tutorial.processes import below, kill_all
from tutorial.stages import ROOT, Stage


@dataclass(frozen=True)
class Outcome:
    """What the tests said of a folder: were they content, and if not, which was first?

    `says` is what it said. `broken` is true where the tests themselves did not run.
    """

    passed: bool
    test: str = ""
    says: str = ""
    broken: bool = False
    seconds: float = 0.0


def judge_mutant(
    stage: Stage, mutant: Mutant, browser: bool, thorough: bool, quick: bool
) -> Outcome:
    """Judge a mutant; first, or if it is to be `quick` only, by some of the tests."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as work:
        folder = stage.copy_to(Path(work, stage.id))
        (folder / mutant.file).write_text(mutant.mutated, "utf-8")
        began = time.monotonic()
        outcome = look_first(stage, folder, kind_of(mutant.file), browser)
        if outcome.passed and not quick:
            outcome = judge_folder(stage, folder, browser, thorough)
        return replace(outcome, seconds=round(time.monotonic() - began, 1))


def look_first(stage: Stage, folder: Path, kind: str, browser: bool) -> Outcome:
    """Run some of the tests that `check` runs: most mutants need no more.

    Without those in a browser, but for pages; for a chat server, without Django's.
    """
    tests = sorted((ROOT / "tests" / "contract").glob("test_*.py"))
    if kind == SERVER:
        tests = tests[1:]
    elif kind == PAGES and browser:
        pages = sorted((ROOT / "tests" / "browser").glob("test_*.py"))
        tests = [*pages, tests[2], tests[0]]
    limits = patient()
    with tempfile.TemporaryDirectory(prefix="mutant-") as work:
        command = [sys.executable, "-m", "pytest", *reversed(tests), "-x", "-q"]
        command += ["-p", "no:cacheprovider", "-m", "not thorough", "--tb=line"]
        command += [f"--stage={stage.id}", f"--path={folder}"]
        command += [f"--basetemp={Path(work, 'tmp')}"]
        outer = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        more = {
            "COLUMNS": "1000",  # of a failure, all that it says
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "TEST_PATIENCE": f"{limits.hear:g}",
        }
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=outer | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=limits.test * 6)
        except subprocess.TimeoutExpired:
            # Whatever hangs so long, `check` would have ended long ago.
            return Outcome(False, says="It hangs.")
        finally:
            kill_all(lambda: below(process.pid))
            process.kill()
            process.wait()
            process.stdout.close()
    if process.returncode == 0:
        return Outcome(True)
    test = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.M)
    says = re.search(r"^(?:FAILED|ERROR) \S+ - (.*)", output, re.M)
    return Outcome(
        False,
        test[1] if test else "",
        says[1] if says else output[-500:],
        # 1: a test failed. All else is no fault of the folder.
        process.returncode != 1,
    )


def judge_folder(
    stage: Stage, folder: Path, browser: bool, thorough: bool = False
) -> Outcome:
    """Judge a folder until the first test that fails."""

    def stop(judge: Judge) -> None:
        if judge.tally.failures:
            judge.cancelled.set()

    began = time.monotonic()
    judge = Judge(
        stage,
        folder,
        browser=browser,
        thorough=thorough,
        limits=patient(),
        tell=stop,
    )
    try:
        verdict = judge.run()
        failure = verdict.failure
        broken = verdict.kind is Kind.TOOL
        passed = verdict.kind is Kind.RIGHT
    except Cancelled:
        failure, passed, broken = judge.tally.failures[0], False, False
    return Outcome(
        passed,
        failure.test if failure else "",
        failure.says if failure else "",
        broken,
        round(time.monotonic() - began, 1),
    )


def patient() -> Limits:
    """The limits of `check` on this machine, at least twice the usual.

    Several are judged side by side, and no mutant shall be caught by its slowness.
    """
    return max(limits_here(), Limits().stretched(2), key=lambda limits: limits.start)
