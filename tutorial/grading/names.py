"""Who has handed in what: by the names that an LMS gives its downloads, and a roster.

Moodle, "Download all submissions": a folder `Ann Doe_1234_assignsubmission_file` for
each learner (up to 3.11 with one more `_`), or a file whose name begins so. The number
is the participant's in this assignment, as in its grading worksheet, and no ID number.
https://docs.moodle.org/en/Using_Assignment, and mod/assign/classes/downloader.php of
https://github.com/moodle/moodle

Canvas, "Download Submissions": a file `doeann_LATE_1234_5678_chat.zip`, where 1234 is
the learner's ID in the gradebook, 5678 that of the file, and LATE is there if it was.
Without names it is `anon_x1Y2z_5678_chat.zip`, by which nobody is known.
The instructor's guide has it under "How do I download all student submissions for an
assignment?"; lib/content_zipper.rb of https://github.com/instructure/canvas-lms
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from tutorial.doctor.mistakes import printable
from tutorial.grading.unpack import STREAMS

MOODLE = re.compile(r"(?P<name>[^_]*)_(?P<id>\d+)_assignsubmission_file_?")
CANVAS = re.compile(r"(?P<name>[^\W_]+(?:_[^\W_]+)*?)(?:_LATE)?_(?P<id>\d+)_\d+_.")
NAMELESS = re.compile(r"anon_\w+?_\d+_.")

# What a roster may call its columns, in small letters. `id` is what a folder is named
# by; what a learner is called, and by which address known, some LMSs want as well.
TITLES = {
    "id": ("id", "student id", "id number", "sis user id", "username", "identifier"),
    "name": ("name", "full name", "student", "student name"),
    "first": ("first name", "firstname"),
    "last": ("last name", "lastname", "surname"),
    "email": ("email", "email address", "e-mail"),
    "folder": ("folder", "handin", "hand-in", "repository", "github_username"),
}


class RosterError(Exception):
    """The roster cannot be used; a sentence."""


@dataclass
class Learner:
    """Somebody who has handed in, or who should have.

    `key` is a name for files that nobody else has. `row` is the roster's, as it is.
    """

    key: str
    id: str = ""
    name: str = ""
    email: str = ""
    lms: str = ""  # whose naming it is: moodle or canvas
    row: dict[str, str] = field(default_factory=dict)
    handin: Path | None = None
    problem: str = ""  # why it cannot be said whose this is


def stem(path: Path) -> str:
    """The name of what was handed in, without the ending of an archive."""
    if path.is_dir():
        return path.name
    endings = (".zip", *(ending for group in STREAMS for ending in group))
    low = path.name.lower()
    long = max((one for one in endings if low.endswith(one)), key=len, default="")
    return path.name[: len(path.name) - len(long)] if long else path.name


def who(handin: Path) -> Learner:
    """Whose hand-in this is, as far as its name says."""
    name = printable(stem(handin))
    if found := MOODLE.match(name):
        # A file of this name goes back to Moodle in a zip of feedback files.
        key = name if found.end() < len(name) else f"{name.rstrip('_')}_feedback"
        return Learner(key, found["id"], found["name"], lms="moodle", handin=handin)
    if NAMELESS.match(printable(handin.name)):
        says = "Its name says not whose it is: Canvas was told to hide the names."
        return Learner(name, lms="canvas", handin=handin, problem=says)
    if found := CANVAS.match(printable(handin.name)):
        return Learner(name, found["id"], found["name"], lms="canvas", handin=handin)
    return Learner(name, id=name, name=name, handin=handin)


def learners(handins: list[Path], roster: list[Learner] | None = None) -> list[Learner]:
    """All of a class, sorted: whoever has handed in, and the rest of the roster.

    Whose cannot be told, and what is handed in twice, has a `problem`.
    """
    found = []
    for handin in handins:
        one = who(handin)
        if roster is not None and not one.problem:
            one = _in_roster(one, roster)
        found.append(one)
    for one in found:
        others = [other for other in found if one.id and other.id == one.id]
        if len(others) > 1 and not one.problem:
            names = " and ".join(printable(other.handin.name) for other in others)
            one.problem = f"{one.id} has handed in twice: {names}. Leave one of them."
    known = {id(one.row) for one in found}
    found += [one for one in roster or [] if id(one.row) not in known]
    found.sort(key=lambda one: (one.key.casefold(), one.key))
    _make_keys_differ(found)
    return found


def _make_keys_differ(found: list[Learner]) -> None:
    """Keys that every system can write, and none of them twice."""
    taken: set[str] = set()
    for one in found:
        plain = re.sub(r"[^\w .+@()-]", "_", one.key).strip(" .") or "_"
        changed = plain != one.key or plain.casefold() in taken or len(plain) > 120
        if changed:
            text = (one.handin.name if one.handin else one.key).encode(
                "utf-8", "surrogateescape"
            )
            plain = f"{plain[:100]}-{hashlib.sha256(text).hexdigest()[:8]}"
        taken.add(plain.casefold())
        one.key = plain


def _folded(name: str) -> tuple[str, ...]:
    """A name whatever its case, order and accents: "Doe, Änn" is "ann doe"."""
    flat = unicodedata.normalize("NFKD", name.casefold())
    flat = "".join(letter for letter in flat if not unicodedata.combining(letter))
    return tuple(sorted(re.findall(r"\w+", flat)))


def _in_roster(one: Learner, roster: list[Learner]) -> Learner:
    """Who of the roster this is: by folder, by id, or else by name."""
    handed = printable(stem(one.handin)).casefold()
    joined = "".join(_folded(one.name))
    ways = (
        lambda other: other.row.get("folder", "").casefold() == handed,
        lambda other: one.id and one.id in _ids(other, one.lms),
        lambda other: one.name and _folded(other.name) == _folded(one.name),
        # Canvas writes a name in one word.
        lambda other: joined and _one_word(other.name) == one.name.casefold(),
    )
    for way in ways:
        found = [other for other in roster if way(other)]
        if len(found) == 1:
            [other] = found
            return Learner(
                one.key,
                one.id if one.lms else other.id,
                other.name or one.name,
                other.email,
                one.lms,
                other.row,
                one.handin,
            )
        if found:
            one.problem = f"{len(found)} in the roster could be {one.name}."
            return one
    one.problem = f"{one.name or one.key} is not in the roster."
    return one


def _one_word(name: str) -> str:
    last, _, first = name.partition(",")
    words = (
        f"{last} {first}" if first else " ".join([*name.split()[1:], *name.split()[:1]])
    )
    return re.sub(r"\W", "", words).casefold()


def _ids(learner: Learner, lms: str) -> set[str]:
    """What a row of the roster may be known by, in the names of hand-ins from `lms`.

    The number of a participant may be the ID number of somebody else.
    """
    titles = {"moodle": ["identifier"], "canvas": ["id"]}.get(lms, TITLES["id"])
    known = [text for title, text in learner.row.items() if title in titles]
    # A grading worksheet of Moodle writes "Participant 1234".
    return {text.rpartition("Participant ")[2] for text in known if text}


def read_roster(path: Path) -> list[Learner]:
    """The learners of a course, from a CSV with a row of titles.

    Takes what Moodle and Canvas export, and any CSV with a column for an id or a name;
    the separator is found. Raises RosterError, and OSError.
    """
    text = path.read_text("utf-8-sig", "replace")
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    rows = [*csv.reader(io.StringIO(text, newline=""), delimiter=separator)]
    if not rows:
        raise RosterError(f"{path} is empty.")
    titles = [title.strip() for title in rows[0]]
    low = [title.casefold() for title in titles]
    if not {*low} & {*TITLES["id"], *TITLES["name"], *TITLES["last"]}:
        known = ", ".join(TITLES["id"][:3] + TITLES["name"][:2])
        raise RosterError(f"{path} needs a column of one of these names: {known}.")
    found = []
    for cells in rows[1:]:
        row = dict(zip(low, (cell.strip() for cell in cells), strict=False))
        one = _of_row(row, dict(zip(titles, row.values(), strict=False)))
        # Canvas says in a row of its own how many points there are.
        if (one.id or one.name) and one.name != "Points Possible":
            found.append(one)
    if not found:
        raise RosterError(f"{path} names nobody.")
    return found


def _of_row(row: dict[str, str], shown: dict[str, str]) -> Learner:
    def first(kind: str) -> str:
        return next((row[title] for title in TITLES[kind] if row.get(title)), "")

    name = first("name") or f"{first('first')} {first('last')}".strip()
    id = first("id").rpartition("Participant ")[2]
    one = Learner("", id, name, first("email"), row={**shown, **row})
    one.row["folder"] = first("folder")
    one.key = one.name or one.id
    return one
