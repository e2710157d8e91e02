"""The lanes of a check: processes that run its tests, and what they may take.

Nothing of the folder is imported here. They start the servers, and report by lines of
JSON (tests/support/events.py).
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from tutorial.check.copies import take_copy, weigh
from tutorial.check.fence import Fence, read_only
from tutorial.check.limits import Limits
from tutorial.check.tasks import Task, tasks_of
from tutorial.doctor.mistakes import shorten
from tutorial.processes import below, kill_all
from tutorial.settings import KEPT, MARK, plain
from tutorial.stages import ROOT, Stage


def lanes_for(
    stage: Stage, browser: bool, exercise: int = 0, browsers: int = 1
) -> dict[str, list[str]]:
    """Which tests run one after the other: a name for each lane, and what is in it.

    What says most plainly what is wrong comes first. Where tests load what is in the
    folder, they have a process of their own. Of so many `browsers`, each is given all
    tests of pages, and takes those that no other has taken.
    """
    tasks = tasks_of(stage, exercise)
    own = [f"tests/{test}" for one in tasks if one.exercise for test in one.tests]
    if own and tasks[0].alone:
        return {"contract": sorted(own)}
    lanes = {"contract": [*sorted(own), *contract_of(stage)]}
    if inside := [test for one in tasks if one.inside for test in sorted(one.tests)]:
        lanes["inside"] = [f"tests/{test}" for test in inside]
    files = files_in_browser(tasks) if browser else []
    names = (f"browser-{number}" for number in range(browsers))
    return lanes | (dict.fromkeys(names, files) if files else {})


def contract_of(stage: Stage) -> list[str]:
    """The files with the tests of what `stage` has to do, and those before it."""
    files = (ROOT / "tests" / "contract").glob("test_*.py")
    names = (file.relative_to(ROOT).as_posix() for file in files)
    return sorted(name for name in names if _number(name) <= stage.number)


def files_in_browser(tasks: list[Task]) -> list[str]:
    """The files with the tests of `tasks` in a browser."""
    tests = (test for one in tasks if one.in_browser for test in one.tests)
    return sorted({f"tests/{test.partition('::')[0]}" for test in tests}, key=_number)


def _number(file: str) -> int:
    """The number in a file's name: browser/test_10_names.py is number 10."""
    return int(Path(file).name.split("_")[1])


def environment(
    limits: Limits, original: Path, work: Path, mark: str
) -> dict[str, str]:
    """The environment of the lanes that judge a copy of `original` in `work`."""
    return {
        **plain(os.environ),
        **limits.write(),
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(work / "tmp")),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "TEST_PATIENCE": f"{limits.hear:g}",
        KEPT: str(original),
        MARK: mark,
    }


class Lane:
    """One process that runs `tests`, paths. Its events go to `events`, with itself."""

    def __init__(
        self,
        name: str,
        tests: list[str],
        thorough: bool,
        stage: Stage,
        original: Path,
        work: Path,
        environ: dict[str, str],
        events: queue.Queue,
        fence: Fence | None = None,
        options: Iterable[str] = (),
        plugins: tuple[str, ...] = ("tests.support.events",),
        stdin: int = subprocess.DEVNULL,
    ):
        self.name, self.log = name, work / f"{name}.log"
        self.inside = name == "inside"  # does their code run in this process?
        self.started = False  # do its servers run?
        self.over = False  # has it said that it has come to its end?
        self.heard = time.monotonic()  # when it last said something
        command = [sys.executable, "-m", "pytest", *tests]
        for plugin in (*plugins, "no:cacheprovider"):
            command += ["-p", plugin]
        command += ["-q"]
        command += [] if thorough else ["-m", "not thorough"]
        folder = work / "theirs"
        if self.inside:
            # What it writes beside itself, the others
            # shall not read, and the original it may not change.
            folder = work / "theirs-inside"
            take_copy(work / "theirs", folder)
            # A warning of theirs is no failure.
            command += ["--white-box", "-W", "ignore"]
            hidden = fence and fence.hides_files
            command = [*([] if hidden else read_only(original)), *command]
        command += [f"--stage={stage.id}", f"--path={folder}", *options]
        command += [f"--basetemp={work / name}"]
        if fence:
            command = [*fence.words(work), *command]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environ,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C is for us alone
                umask=0o022 if os.name == "posix" else -1,
            )
        self.reader = threading.Thread(target=self._read, args=[events], daemon=True)
        self.reader.start()

    def _read(self, events: queue.Queue) -> None:
        for line in self.process.stdout:
            with suppress(ValueError):  # where their code runs, it may print, too
                events.put((self, json.loads(line)))
        events.put((self, None))

    def end(self) -> None:
        """End it and all that it started, whatever of that runs."""
        with suppress(psutil.Error):
            # So that it starts nothing new meanwhile.
            psutil.Process(self.process.pid).suspend()
        kill_all(lambda: below(self.process.pid))
        self.process.kill()
        self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()


def too_much(
    lane: Lane, lanes: list[Lane], limits: Limits, work: Path
) -> tuple[str, list[str]] | None:
    """What a lane takes more of than it may, in words, and the last of its output."""
    sizes = {}
    for one in lanes:
        # Not all of `work`: what a browser keeps there comes and goes meanwhile.
        for log in (work / one.name).glob("*/*.log"):
            sizes[log] = log.stat().st_size
    if sum(sizes.values()) > limits.output:
        log = max(sizes, key=sizes.get)
        with log.open("rb") as file:
            file.seek(-4000, os.SEEK_END)
            tail = file.read().decode("utf-8", "replace")
        says = f"{log.stem} wrote more than {limits.output / 1e6:g} MB of output"
        return says, shorten(tail, work)
    if (found := weigh(work / lane.name))[0] > limits.disk:
        says = f"It wrote more than {limits.disk / 1e6:g} MB into files, the most "
        return f"{says}into {found[1].name}", []
    if len(below(lane.process.pid)) > limits.processes:
        return f"It had more than {limits.processes} processes", []
    return None
