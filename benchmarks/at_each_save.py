"""How long a learner waits for `tutorial watch`: python -m benchmarks.at_each_save

Types the steps of a chapter into a folder, one after the other, each as soon as the
save before it has an answer. Takes the time from a save to the first line about it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tutorial.site.pages import Page, chapters
from tutorial.site.story import take_step
from tutorial.stages import ROOT, find_stage, load_stages

PATIENCE = 120.0  # seconds for the first answer, of all
SAVE = re.compile(r"save (\d+), [\d:]+: (.*)")


class NoAnswer(Exception):
    """The watch has ended, or says nothing."""


class Watch:
    """A `tutorial watch` without a terminal, whose lines are read as they come."""

    def __init__(self, stage: str, folder: Path, words: list[str]):
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tutorial",
                "watch",
                stage,
                "--path",
                folder,
                *words,
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self, after: int) -> tuple[int, str, float]:
        """The first line about a save after number `after`: its number, what it says.

        And when it came, by time.monotonic(). Raises NoAnswer.
        """
        for line in self.process.stdout:
            found = SAVE.match(line)
            if found and int(found[1]) > after:
                return int(found[1]), found[2], time.monotonic()
        raise NoAnswer(f"it ended with exit code {self.process.wait()}")

    def all_tried(self) -> float:
        """Wait for the verdict on the newest save. Returns when it came."""
        for line in self.process.stdout:
            if "so far" not in line:
                break
        return time.monotonic()


@contextmanager
def watching(stage: str, folder: Path, words: list[str]) -> Iterator[Watch]:
    """A watch of a folder; it is ended with the block."""
    watch = Watch(stage, folder, words)
    try:
        yield watch
    finally:
        watch.process.send_signal(signal.SIGTERM)
        watch.process.wait(60)


def saves(page: Page, folder: Path) -> Iterator[str]:
    """Do one step of a chapter after the other. Yields the path that it changed."""
    edits = page.edits()
    for block in page.blocks:
        if not block.is_step:
            continue
        change = take_step(edits, block, folder)
        if change.kind == "copy":
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(
                page.stage.folder / change.path, folder / change.path, ignore=ignored
            )
        yield change.path


def type_chapter(
    page: Page, folder: Path, words: list[str], patient: bool, tell
) -> list[dict]:
    """Type a chapter under a watch. Returns what came of each save.

    Who is `patient` reads the verdict on a save, and not only the first answer.
    """
    if page.before:
        page.before.copy_to(folder)
    else:
        folder.mkdir()
    name = page.stage.id
    found = []
    with watching(name, folder, words) as watch:
        number, says, _ = watch.answer(0)
        if "so far" in says:
            watch.all_tried()
        steps = saves(page, folder)
        while True:
            began = time.monotonic()
            path = next(steps, None)
            if path is None:
                return found
            number, says, when = watch.answer(number)
            seconds = round(when - began, 2)
            one = {"save": path, "seconds": seconds, "says": says}
            if patient and "so far" in says:
                one["all"] = round(watch.all_tried() - began, 2)
            found.append(one)
            tell(f"{name}: {seconds:5.2f} s  {path}: {says}")


@click.command()
@click.argument("stages", nargs=-1, metavar="[STAGE]...")
@click.option("--no-browser", is_flag=True, help="Leave out what needs a Chromium.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write it here.")
@click.option("--patient", is_flag=True, help="Let all of a save be tried.")
@click.option("--verbose", is_flag=True, help="Show each save and its answer.")
def main(stages, no_browser, file, patient, verbose):
    """Type the chapters of these STAGEs, or of all five, under `tutorial watch`."""
    chosen = [find_stage(name) for name in stages] or load_stages()
    pages = {page.stage.id: page for page in chapters()}
    words = ["--no-browser"] if no_browser else []
    console = Console(highlight=False)
    table = Table("chapter", "saves", "median, s", "worst, s", "load", box=None)
    report, everything = {}, []

    def tell(text: str) -> None:
        if verbose:
            console.print(Text(text), soft_wrap=True)

    for stage in chosen:
        with tempfile.TemporaryDirectory() as place:
            found = type_chapter(
                pages[stage.id], Path(place, "mychat"), words, patient, tell
            )
        times = [one["seconds"] for one in found]
        everything += times
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        report[stage.id] = {"load": round(load, 1), "saves": found}
        table.add_row(stage.name, *figures(times), f"{load:.1f}")
    table.add_row("All", *figures(everything))
    console.print(table)
    if file:
        file.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def figures(times: list[float]) -> list[str]:
    """How many there are, their median and the longest."""
    return [f"{len(times)}", f"{statistics.median(times):.2f}", f"{max(times):.2f}"]


if __name__ == "__main__":
    main()
