"""The CSV that a gradebook imports as it is: its columns, by a template for each LMS.

A column is a title, and what stands below it: text, in which {id}, {name}, {email},
{points}, {total}, {percent}, {verdict}, {comment}, {folder} and any title of the roster
are filled in.

moodle-worksheet: "Upload grading worksheet" of an assignment. It needs the columns
    Identifier, Grade and "Last modified (grade)", and finds the participant by the
    number in the first. What was changed in Moodle since then it skips, unless told
    otherwise; so the last is the worksheet's, if that is the roster.
    https://docs.moodle.org/en/Using_Assignment; next() and init() in
    mod/assign/feedback/offline/importgradeslib.php of https://github.com/moodle/moodle
moodle: "Import > CSV file" of the gradebook, where columns are mapped by hand: a
    learner by "Email address" or "ID number", a grade, and the feedback to it. A row
    that names nobody it knows ends the import, and so does a grade that is no number.
    https://docs.moodle.org/en/Grade_import; grade/import/csv/classes/load_data.php
canvas: "Import" of the gradebook. The first five titles have to be these, and the
    second row says how many points there are. A learner is found by ID, or else by SIS
    User ID or SIS Login ID; an assignment by its title, with its number in brackets.
    https://community.canvaslms.com/t5/Instructor-Guide/How-do-I-import-grades-in-the-Gradebook/ta-p/807;
    lib/gradebook_importer.rb of https://github.com/instructure/canvas-lms
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from tutorial.check.verdict import Verdict
from tutorial.doctor.mistakes import printable
from tutorial.grading.names import Learner
from tutorial.grading.points import Mark, Points, number

PLAIN = {
    "id": "{id}",
    "name": "{name}",
    "points": "{points}",
    "total": "{total}",
    "verdict": "{verdict}",
    "comment": "{comment}",
    "folder": "{folder}",
}
TEMPLATES = {
    "plain": PLAIN,
    "moodle-worksheet": {
        "Identifier": "Participant {id}",
        "Full name": "{name}",
        "Email address": "{email}",
        "Grade": "{points}",
        "Maximum grade": "{total}",
        "Last modified (grade)": "{last modified (grade)}",
        "Feedback comments": "{comment}",
    },
    "moodle": {
        "Full name": "{name}",
        "ID number": "{id number}",
        "Email address": "{email}",
        "{title}": "{points}",
        "{title} (feedback)": "{comment}",
    },
    "canvas": {
        "Student": "{name}",
        "ID": "{id}",
        "SIS User ID": "{sis user id}",
        "SIS Login ID": "{sis login id}",
        "Section": "{section}",
        "{title}": "{points}",
    },
}
# By one of these it has to be known who is meant, or the row stays out.
BY = {
    "moodle-worksheet": ("{id}",),
    "moodle": ("{id number}", "{email}"),
    "canvas": ("{id}", "{sis user id}", "{sis login id}"),
}
# A name of a gradebook's, and the one that Moodle uses where nothing is known.
DEFAULTS = {"last modified (grade)": "-"}


@dataclass(frozen=True)
class Row:
    """One learner, and what became of what they have handed in."""

    learner: Learner
    mark: Mark
    verdict: Verdict | None = None
    word: str = ""  # of the verdict
    comment: str = ""

    def fields(self, points: Points) -> dict[str, str]:
        """What can be filled in, by its name in small letters."""
        learner, mark = self.learner, self.mark.points
        percent = mark and points.total and 100 * mark / points.total
        return {
            **DEFAULTS,
            **{title.casefold(): text for title, text in learner.row.items() if text},
            "id": learner.id,
            "name": learner.name,
            "email": learner.email,
            "points": number(mark),
            "total": number(points.total),
            "percent": number(percent),
            "verdict": self.word,
            "comment": self.comment,
            "folder": learner.handin.name if learner.handin else "",
        }


def template_for(learners: list[Learner], roster: bool) -> str:
    """The template that fits how the hand-ins are called."""
    kinds = {one.lms for one in learners if one.handin}
    if kinds == {"canvas"}:
        return "canvas"
    if kinds == {"moodle"}:
        worksheet = any("identifier" in one.row for one in learners)
        return "moodle" if roster and not worksheet else "moodle-worksheet"
    return "plain"


def left_out(row: Row, name: str, points: Points) -> str:
    """Why a row does not go into the gradebook; empty if it does."""
    if row.learner.problem:
        return row.learner.problem
    if row.mark.points is None:
        return row.mark.says
    fields = row.fields(points)
    wanted = () if points.columns else BY.get(name, ())
    if wanted and not any(_filled(one, fields) for one in wanted):
        names = " or ".join(one.strip("{}") for one in wanted)
        return f"{name} finds nobody without {names}: give a roster that has it."
    return ""


def write(rows: list[Row], name: str, points: Points) -> str:
    """The gradebook of a class, by that template, or by columns of one's own."""
    columns = points.columns or TEMPLATES[name]
    title = {"title": points.title}
    target = io.StringIO(newline="")
    writer = csv.writer(target)
    writer.writerow([_filled(one, title) for one in columns])
    if name == "canvas" and not points.columns:
        writer.writerow(["    Points Possible", "", "", "", "", number(points.total)])
    for row in rows:
        if not left_out(row, name, points):
            fields = row.fields(points)
            writer.writerow([safe(_filled(one, fields)) for one in columns.values()])
    return target.getvalue()


def _filled(text: str, fields: dict[str, str]) -> str:
    return re.sub(
        r"\{([^{}]+)\}", lambda found: fields.get(found[1].casefold(), ""), text
    ).strip()


def safe(text: str) -> str:
    """Text of unknown origin as a cell that no spreadsheet takes for a formula."""
    text = printable(text)
    plain = text == "-" or re.fullmatch(r"[+-]?\d+(\.\d+)?", text)
    return f"'{text}" if re.match(r"\s*[=+@-]", text) and not plain else text
