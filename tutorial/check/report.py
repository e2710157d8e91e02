"""Show what a check came to: on the terminal, as JSON, as JUnit's XML."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tutorial.check.judge import Judge
from tutorial.check.tasks import OTHER
from tutorial.check.verdict import Kind, TaskResult, Verdict
from tutorial.doctor.mistakes import printable
from tutorial.stages import find_stage

COLOURS = {
    "passed": "green",
    "failed": "bold red",
    "not judged": "yellow",
    "not reached": "dim",
}
SITE = "http://127.0.0.1:8080/"  # dev_addr of mkdocs.yml
WIRE = 12  # lines of what was sent and came, on the terminal

# What no XML 1.0 may hold, not even as an entity.
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Report:
    """A file for a report. That it can be written is known before there is one.

    Its folder is made. What is there already, is gone at once: an old report shall
    not be taken for the new one. Raises OSError.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_fifo():
            return  # whoever reads there wants nothing but the report
        # A disk that is full does not take it, nor does a device that is.
        self.write("\n" if path.is_char_device() else "\n" * 4096)
        if path.is_file():
            os.truncate(path, 0)

    def write(self, text: str) -> None:
        """Write the report. Raises OSError."""
        try:
            self.path.write_bytes(text.encode("utf-8", "replace"))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


class Progress:
    """The tasks of a check, each printed when it and all before it are decided."""

    def __init__(self, console: Console, verdict: Verdict):
        self.console, self.verdict = console, verdict
        self.printed = 0
        self.heading = self.why = ""
        self.status = console.status("starting what is in the folder", spinner="line")

    def __enter__(self) -> Progress:
        self.status.start()
        return self

    def __exit__(self, *exc) -> None:
        self.status.stop()

    def tell(self, judge: Judge) -> None:
        """Bring the screen up to date."""
        for result in self.verdict.tasks[self.printed :]:
            decided = result.status in ("passed", "failed") or result.task.inside
            if not result.tests or result.status == "not reached" or not decided:
                break
            self._print(result)
        if judge.tally.at:
            self.status.update(Text(judge.tally.doing))

    def finish(self) -> None:
        """Print the tasks that are left."""
        if self.verdict.kind is Kind.NOTHING:
            return
        for result in self.verdict.tasks[self.printed :]:
            self._print(result)

    def _print(self, result: TaskResult) -> None:
        self.printed += 1
        heading = chapter(result)
        if heading != self.heading:
            self.heading = heading
            self.console.print(Text(f"\n{heading}", "bold"))
        status = Text(f"  {result.status:13}", COLOURS[result.status])
        # The same reason, line by line, would say no more.
        why = f" ({result.why})" if result.why not in ("", self.why) else ""
        self.why = result.why
        self.console.print(
            status, Text(result.task.title), Text(why, "dim"), sep="", soft_wrap=True
        )


def chapter(result: TaskResult) -> str:
    """The heading under which a task stands."""
    if result.task == OTHER:
        return "Besides"
    stage = find_stage(result.task.stage)
    where = ", in a browser" if result.task.in_browser else ""
    if stage.is_exercise:
        return f"{stage.name}{where}"
    return f"Chapter {stage.number}, {stage.title}{where}"


def page(verdict: Verdict) -> str:
    """Where to read about what failed: a page in docs/, and an anchor."""
    read = verdict.task.read if verdict.task else verdict.stage.chapter
    return f"docs/{read}"


def show(console: Console, verdict: Verdict, hints: int) -> None:
    """Print what the check came to, with so many hints."""

    def line(text: str, style: str = "") -> None:
        # Not wrapped, so that what is a command or a path can be copied.
        console.print(Text(text, style), soft_wrap=True)

    line(
        f"\n{verdict.says} ({verdict.seconds:.0f} s)",
        COLOURS["passed" if verdict.kind is Kind.RIGHT else "failed"],
    )
    if verdict.left_out:
        more = _option("--all")
        line(
            f"Left out: {verdict.left_out} of the tests, because it takes long. To "
            f"have all of them, add {more}"
        )
    for note in verdict.notes:
        line(note)
    failure = verdict.failure
    if failure is None:
        return
    if verdict.task:
        line(f"\n{verdict.task.title}", "bold")
    line(f"\n{failure.says}")
    blocks = [
        ("What was sent, and what came:", failure.wire[-WIRE:]),
        (f"The last lines of {failure.server}:", failure.output),
    ]
    for title, lines in blocks:
        if lines:
            line(f"\n{title}", "bold")
            for text in lines:
                line(f"    {text}", "dim")
    for mistake in failure.mistakes:
        line(f"\nPerhaps: {mistake}")
    if verdict.kind in (Kind.NOTHING, Kind.TOOL):
        return
    others = [
        result
        for result in verdict.tasks
        if result.status == "failed" and result.task != verdict.task
    ]
    if others:
        line("\nAlso failed:", "bold")
        for result in others:
            says = (result.says.splitlines() or [""])[0]
            line(f"    {result.task.title}: {says}")
    line("")
    given = verdict.task.hints[:hints] if verdict.task else ()
    for hint in given:
        line(f"Hint: {hint}")
    shown = page(verdict).removeprefix("docs/").replace(".md", ".html")
    line(f"Read, while make read runs: {SITE}{shown}")
    if verdict.task and len(given) < len(verdict.task.hints):
        more = _option(" ".join(["--hint"] * (len(given) + 1)))
        line(f"For {'another' if given else 'a'} hint, add {more}")


def _option(words: str) -> str:
    return f'{words}, or with make ARGS="{words}"'


def as_json(verdict: Verdict) -> dict:
    """All of a verdict, for programs."""
    failure = verdict.failure
    return {
        "stage": verdict.stage.id,
        "folder": printable(str(verdict.folder)),
        "verdict": verdict.kind.value,
        "exit_code": verdict.kind.code,
        "says": verdict.says,
        "seconds": round(verdict.seconds, 1),
        "left_out": verdict.left_out,
        "notes": verdict.notes,
        "tasks": [
            {
                "chapter": result.task.stage,
                "id": result.task.id,
                "title": result.task.title,
                "in_browser": result.task.in_browser,
                "read": f"docs/{result.task.read}",
                "status": result.status,
                "why": result.why,
                "tests": [vars(one) for one in result.results],
            }
            for result in verdict.tasks
        ],
        "failure": failure
        and {
            **vars(failure),
            "task": verdict.task and verdict.task.id,
            "read": page(verdict),
            "hints": [*verdict.task.hints] if verdict.task else [],
        },
    }


def junit(verdict: Verdict) -> str:
    """A verdict as JUnit's XML: a case for each task, and one for the start."""
    suite = ET.Element("testsuite", name=_xml(verdict.folder.name))
    suite.set("time", f"{verdict.seconds:.1f}")
    counts = {"tests": 1, "failures": 0, "skipped": 0, "errors": 0}
    start = ET.SubElement(suite, "testcase", classname="start", name="start")
    for result in verdict.tasks:
        counts["tests"] += 1
        task, seconds = result.task, sum(one.seconds for one in result.results)
        case = ET.SubElement(suite, "testcase", classname=task.stage, name=task.title)
        case.set("time", f"{seconds:.1f}")
        if result.status == "failed":
            counts["failures"] += 1
            says = result.says
            ET.SubElement(case, "failure", message=_xml(says))
        elif result.why:
            counts["skipped"] += 1
            why = f"{result.status}: {result.why}"
            ET.SubElement(case, "skipped", message=_xml(why))
    if verdict.failure and not counts["failures"]:
        # No task is to blame.
        counts["errors"] = 1
        error = ET.SubElement(start, "error", message=_xml(verdict.says))
        error.text = _xml("\n".join([verdict.failure.says, *verdict.failure.output]))
    for name, count in counts.items():
        suite.set(name, str(count))
    ET.indent(suite)
    return ET.tostring(suite, "unicode", xml_declaration=True)


def _xml(text: str) -> str:
    return NO_XML.sub("?", text)
