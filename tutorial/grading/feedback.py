"""What a learner gets back: a page, and the same as Markdown.

What passed, what failed, where to read on. The same verdict gives the same bytes, so
that what differs from run to run has no place here: ports, times, tokens.
"""

from __future__ import annotations

import re
from pathlib import Path

from django.template import Context, Engine

from tutorial.check.report import WIRE, chapter, page
from tutorial.check.verdict import Kind
from tutorial.doctor.mistakes import printable
from tutorial.grading.points import Points, number
from tutorial.grading.tables import Row

TEMPLATES = Path(__file__).parent

VOLATILE = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[+-]\d\d:?\d\d|Z)?", "(time)"),
    (r"\d\d/[A-Z][a-z]{2}/\d{4}[: ]\d\d:\d\d:\d\d(?: [+-]\d{4})?", "(time)"),
    (r"[A-Z][a-z]+ \d\d?, \d{4} - \d\d:\d\d:\d\d", "(time)"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", "(time)"),
    (r"\b1[6-9]\d{8}(?:\.\d+)?", "(time)"),
    (r"(?<=127\.0\.0\.1[:,])( ?)\d+|(?<=localhost[:,])( ?)\d+", r"\1(port)"),
    (r"\bport[ =]\d{4,5}", "port (port)"),
    (r"(?:/[^\s/'\"]+)*/check-[\w]{8}(?=/)", "(copy)"),
    (r"\b0x[0-9a-f]{6,}", "(address)"),
    (r"\b[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\b", "(id)"),
    (r"(?=[\w:.~+/-]*\d)(?=[\w:.~+/-]*[A-Z])(?<![\w/])[\w:~+-]{24,}", "(token)"),
    (r"\bpid[ =]\d+", "pid (number)"),
    (r"\b(\d+[.,])\d+ s\b", r"\1x s"),
]


def steady(text: str) -> str:
    """Text without what differs from run to run."""
    for pattern, instead in VOLATILE:
        text = re.sub(pattern, instead, text)
    return printable(text)


def said(output: list[str]) -> list[str]:
    """What a server complained of; nothing if it did not.

    In which order requests came is no news, and not always the same.
    """
    lines = [steady(line) for line in output]
    lines = [line for line in lines if not re.search(r'\[\(time\)\] "[A-Z]+ ', line)]
    return lines if re.search(r"Traceback|Error|rror:", "\n".join(lines)) else []


def comment(row_says: str, title: str) -> str:
    """The verdict in one line, for a gradebook."""
    return f"{row_says} First: {title}." if title else row_says


def parts(row: Row, points: Points, hints: int) -> dict:
    """What there is to say to one learner, for both forms."""
    verdict, mark = row.verdict, row.mark
    found = {
        "title": points.title,
        "name": printable(row.learner.name or row.learner.key),
        "points": number(mark.points),
        "total": number(points.total),
        "says": [steady(verdict.says)] if verdict else [],
        "tasks": [],
    }
    found["says"] += [mark.says] if mark.says else []
    if verdict is None:
        return found
    found["says"] += [steady(note) for note in verdict.notes]
    if failure := verdict.failure:
        wire = failure.wire[-WIRE:] if verdict.kind is Kind.WRONG else []
        output = said(failure.output) if verdict.kind is not Kind.TOOL else []
        found["failure"] = {
            "title": verdict.task.title if verdict.task else "",
            "says": steady(failure.says).splitlines(),
            "wire": [steady(line) for line in wire],
            "server": failure.server,
            "output": output,
            "mistakes": [steady(one) for one in failure.mistakes],
            "read": page(verdict) if verdict.kind is not Kind.TOOL else "",
            "hints": verdict.task.hints[:hints] if verdict.task else (),
        }
    heading = ""
    for one in verdict.tasks:
        got, worth = mark.tasks.get(one.task.id, (None, None))
        first = chapter(one) if one.task.stage else "Besides"
        found["tasks"].append(
            {
                "heading": first if first != heading else "",
                "title": one.task.title,
                "status": one.status,
                "says": steady((one.says.splitlines() or [""])[0])
                if one.status == "failed"
                else steady(one.why),
                "points": f"{number(got) or 0} of {number(worth)}" if worth else "",
                "read": f"docs/{one.task.read}" if one.status == "failed" else "",
            }
        )
        heading = first
    return found


def as_html(row: Row, points: Points, hints: int = 0) -> str:
    """A page that loads nothing. All text is escaped."""
    engine = Engine(dirs=[TEMPLATES], autoescape=True)
    template = engine.get_template("feedback.html")
    context = Context(parts(row, points, hints), use_l10n=False, use_tz=False)
    return template.render(context)


def as_markdown(row: Row, points: Points, hints: int = 0) -> str:
    """The same as Markdown. What others have written stands in code blocks."""
    found = parts(row, points, hints)
    lines = [f"# {_plain(found['title'])}: {_plain(found['name'])}", ""]
    if found["points"]:
        lines += [f"**{found['points']} of {found['total']} points.**", ""]
    for says in found["says"]:
        lines += [_plain(says), ""]
    if failure := found.get("failure"):
        lines += [f"## {failure['title'] or 'What is wrong'}", ""]
        lines += _code(failure["says"])
        if failure["wire"]:
            lines += ["What was sent, and what came:", "", *_code(failure["wire"])]
        if failure["output"]:
            lines += [f"The last lines of {_plain(failure['server'])}:", ""]
            lines += _code(failure["output"])
        for says in failure["mistakes"]:
            lines += [f"Perhaps: {_plain(says)}", ""]
        for says in failure["hints"]:
            lines += [f"Hint: {_plain(says)}", ""]
        if failure["read"]:
            lines += [f"Read: `{failure['read']}`", ""]
    for task in found["tasks"]:
        if task["heading"]:
            lines += [*[""][: lines[-1] != ""], f"## {task['heading']}", ""]
        end = f" ({task['points']})" if task["points"] else ""
        why = f": {_plain(task['says'])}" if task["says"] else ""
        lines.append(f"- **{task['status']}**{end} {task['title']}{why}")
        if task["read"]:
            lines.append(f"  Read: `{task['read']}`")
    return "\n".join(lines).rstrip() + "\n"


def _code(lines: list[str]) -> list[str]:
    lines = "\n".join(lines).splitlines()
    return [*(f"    {line}".rstrip() for line in lines), ""]


def _plain(text: str) -> str:
    """Text of unknown origin, none of whose marks mean anything."""
    return re.sub(r"([\\`*_{}\[\]<>#|!&~])", r"\\\1", " ".join(text.split()))
