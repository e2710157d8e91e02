"""Names, points, tables and feedback, without judging anybody."""

import csv
import io
import json
from dataclasses import replace

import pytest

from tutorial.check.tasks import tasks_of
from tutorial.check.verdict import Failure, Kind, Result, TaskResult, Verdict
from tutorial.grading import feedback, names, points, records, tables
from tutorial.grading.gradebook import Gradebook
from tutorial.grading.points import Points, PointsError
from tutorial.stages import find_stage

STAGE = find_stage("1")
TASKS = [task for task in tasks_of(STAGE) if not task.in_browser]


def made_up(*outcomes, kind=Kind.WRONG):
    """A verdict: for each task how its tests ended, one letter each."""
    words = {"p": "passed", "f": "failed", "n": "not judged", "s": "skipped"}
    tasks = []
    for task, letters in zip(TASKS, outcomes, strict=False):
        results = [
            Result("", words[one], 0.1, "why") for one in letters if one in words
        ]
        tasks.append(TaskResult(task, len(letters), results))
    verdict = Verdict(STAGE, STAGE.folder, kind, tasks)
    if kind is not Kind.RIGHT:
        verdict.conclude(
            kind, Failure("It is wrong."), tasks[0].task if tasks else None
        )
    return verdict


# --- Whose it is ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "id", "who", "lms"),
    [
        ("Ann Doe_657737_assignsubmission_file_", "657737", "Ann Doe", "moodle"),
        ("Ann Doe_657737_assignsubmission_file", "657737", "Ann Doe", "moodle"),
        ("Bo Öz_1_assignsubmission_file_chat.zip", "1", "Bo Öz", "moodle"),
        ("Participant_7_assignsubmission_file", "7", "Participant", "moodle"),
        ("doeann_1234_5678_mychat.zip", "1234", "doeann", "canvas"),
        ("doeann_LATE_1234_5678_my_chat-2.tar.gz", "1234", "doeann", "canvas"),
        ("s1234567", "s1234567", "s1234567", ""),
        ("s1234567.tar.gz", "s1234567", "s1234567", ""),
        ("ann.doe", "ann.doe", "ann.doe", ""),
    ],
)
def test_the_name_of_a_hand_in_says_whose_it_is(tmp_path, name, id, who, lms):
    (tmp_path / name).touch() if "." in name else (tmp_path / name).mkdir()
    one = names.who(tmp_path / name)
    assert (one.id, one.name, one.lms, one.problem) == (id, who, lms, "")


def test_a_hidden_name_and_a_second_hand_in_are_said(tmp_path):
    files = ["anon_xY1z2_77_a.zip", "doeann_12_34_a.zip", "doeann_12_35_b.zip"]
    found = names.learners([tmp_path / name for name in files])
    assert "hide the names" in found[0].problem
    for one in found[1:]:
        assert "12 has handed in twice" in one.problem


def test_the_keys_of_files_differ(tmp_path):
    found = names.learners([tmp_path / name for name in ("a:b", "a_b", "A_b", "../x")])
    keys = [one.key for one in found]
    assert len({key.casefold() for key in keys}) == 4
    assert not [key for key in keys if "/" in key or ":" in key or key.startswith(".")]


def roster_of(tmp_path, text):
    (tmp_path / "roster.csv").write_text(text, "utf-8-sig")
    return names.read_roster(tmp_path / "roster.csv")


CANVAS_EXPORT = """\
Student,ID,SIS User ID,SIS Login ID,Section,Old (12)
    Points Possible,,,,,10
"Doe, Ann",1234,A77,ann@x.org,Section 1,7
"Öz, Bo",1235,A78,bo@x.org,Section 2,
"""


def test_a_roster_fills_in_what_the_name_does_not_say(tmp_path):
    roster = roster_of(tmp_path, CANVAS_EXPORT)
    files = ["doeann_1234_1_a.zip", "strangercy_99_2_b.zip"]
    found = names.learners([tmp_path / name for name in files], roster)
    by_name = {one.name: one for one in found}
    assert by_name["Doe, Ann"].row["sis user id"] == "A77"
    assert by_name["strangercy"].problem == "strangercy is not in the roster."
    assert by_name["Öz, Bo"].handin is None


@pytest.mark.parametrize(
    ("roster", "who"),
    [
        ("First name;Surname;ID number\nBo;Öz;A78\nAnn;Doe;A77\n", "Ann Doe"),
        ("Full name,ID number\nDOE Ann,A77\nBo Öz,657737\n", "DOE Ann"),
        ("Identifier,Full name\nParticipant 657737,Ann Doe\n", "Ann Doe"),
    ],
)
def test_a_participant_of_moodle_is_found_by_name_or_worksheet(tmp_path, roster, who):
    handin = tmp_path / "Ann Doe_657737_assignsubmission_file_"
    found = names.learners([handin], roster_of(tmp_path, roster))
    assert [one.name for one in found if one.handin] == [who]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "id,name\n,\n"])
def test_a_roster_that_names_nobody_is_a_sentence(tmp_path, text):
    with pytest.raises(names.RosterError, match=r"roster\.csv"):
        roster_of(tmp_path, text)


# --- Points -----------------------------------------------------------------


def read(tmp_path, text):
    (tmp_path / "points.toml").write_text(text)
    return points.read_points(tmp_path / "points.toml", TASKS)


def test_the_template_can_be_read(tmp_path):
    found = read(tmp_path, points.template(STAGE, TASKS))
    assert found.total == 100
    assert {*found.tasks} == {task.id for task in TASKS}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("total = 'x'", "total cannot be 'x'"),
        ("total = -1", "should be a number, 0 or more"),
        ("part = 2", "a share, from 0 to 1"),
        ("weights = 1", "names 'weights'; it may name title, total"),
        ("[tasks]\nromo = 1", "gives points for romo, which is not judged here.*room"),
        ("[tasks]\nroom = true", "room should be a number"),
        ("each = 0", "nothing is worth anything"),
        ("a = ", "cannot be read"),
    ],
)
def test_points_without_sense_are_a_sentence(tmp_path, text, says):
    with pytest.raises(PointsError, match=says):
        read(tmp_path, text)


def test_a_mark_is_what_the_tasks_earn():
    weights = Points(total=20, part=0.5, tasks={"room": 3}, each=1)
    # project, model, admin, list, room, style: the room passes 3 of 4 tests
    verdict = made_up("p", "p", "p", "p", "pppf", "p")
    found = points.mark(verdict, weights)
    assert found.points == round(20 * (5 + 0.5 * 0.75 * 3) / 8, 2) == 15.31
    assert found.tasks["room"] == (1.13, 3)
    assert points.mark(verdict, replace(weights, part=0)).points == 12.5
    everything = made_up(*["p"] * 6, kind=Kind.RIGHT)
    assert points.mark(everything, weights).points == 20


def test_what_is_not_judged_does_not_count_and_what_is_not_reached_does():
    weights = Points(total=10)
    found = points.mark(made_up("p", "p", "p", "p", "p", "n"), weights)
    assert found.points == 10
    assert "Not counted, since not judged: " in found.says
    assert points.mark(made_up("p", "p", "p", "-", "-", "-"), weights).points == 5


def test_what_failed_because_of_another_earns_its_part_only():
    verdict = made_up("p", "p", "p", "f", "pf", "p")
    verdict.tasks[4].cause = TASKS[3]
    assert verdict.tasks[4].status == "not judged"
    assert points.mark(verdict, Points(total=6, part=0.5)).points == 4.25


def test_who_could_not_be_checked_has_no_mark():
    found = points.mark(made_up(kind=Kind.TOOL), Points())
    assert found.points is None
    assert "look at it yourself" in found.says


@pytest.mark.parametrize(
    ("value", "text"), [(7.5, "7.5"), (10.0, "10"), (0.0, "0"), (15.31, "15.31")]
)
def test_numbers_are_as_short_as_they_can_be(value, text):
    assert points.number(value) == text


# --- The tables -------------------------------------------------------------


def rows_for(book, *verdicts):
    handed_in = [one.handin for one in book.learners if one.handin]
    words = {kind: kind.value for kind in Kind}
    return book.rows(dict(zip(handed_in, verdicts, strict=True)), words)


def gradebook(tmp_path, files, lms, roster=None, **more):
    learners = names.learners([tmp_path / name for name in files], roster)
    weights = Points(title="Chat (77)", total=20, **more)
    kept = records.Records(tmp_path / "out" / "verdicts", STAGE, "")
    return Gradebook(tmp_path / "out", learners, weights, kept, lms)


def cells(book, rows):
    text = tables.write(rows, book.lms, book.points)
    assert not text.startswith("\ufeff")
    return [*csv.reader(io.StringIO(text, newline=""))]


RIGHT = made_up(*["p"] * 6, kind=Kind.RIGHT)
HALF = made_up("p", "p", "p", "f", "f", "f")


def read_by_canvas(rows):
    """The marks by ID and the title, as gradebook_importer.rb of Canvas reads a CSV.

    The first two titles tell that it is a gradebook, the next say which columns are
    about the student, up to Section. A row of points is told by its first cell.
    """
    head, *rest = rows
    assert len(head) > 3 and "Student" in head[0] and "ID" in head[1]
    assert (head[2], head[3]) == ("SIS User ID", "SIS Login ID")
    own = head.index("Section") + 1
    assert own == 5, "no other column stands among them"
    [title] = head[own:]
    [possible] = [float(row[own]) for row in rest if "Points Possible" in row[0]]
    students = [row for row in rest if "Points Possible" not in row[0]]
    marks = {int(row[1]): float(row[own]) for row in students}
    assert all(mark <= possible for mark in marks.values())
    return title, marks


def test_canvas_gets_back_the_columns_that_it_gave(tmp_path):
    files = ["doeann_1234_1_a.zip", "özbo_1235_2_b.zip"]
    roster = roster_of(tmp_path, CANVAS_EXPORT)
    book = gradebook(tmp_path, files, "canvas", roster)
    rows = cells(book, rows_for(book, RIGHT, HALF))
    assert read_by_canvas(rows) == ("Chat (77)", {1234: 20, 1235: 10})
    assert rows == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Chat (77)"],
        ["    Points Possible", "", "", "", "", "20"],
        ["Doe, Ann", "1234", "A77", "ann@x.org", "Section 1", "20"],
        ["Öz, Bo", "1235", "A78", "bo@x.org", "Section 2", "10"],
    ]


def test_moodle_gets_a_worksheet_and_keeps_its_dates(tmp_path):
    roster = roster_of(
        tmp_path,
        "Identifier,Full name,Email address,Grade,Last modified (grade)\n"
        'Participant 7,Ann Doe,ann@x.org,,"Sunday, 29 November 2026, 6:00 AM"\n'
        "Participant 8,Bo Öz,bo@x.org,,-\n",
    )
    files = ["Ann Doe_7_assignsubmission_file_", "Bo Öz_8_assignsubmission_file_"]
    book = gradebook(tmp_path, files, "moodle-worksheet", roster)
    head, ann, bo = cells(book, rows_for(book, RIGHT, HALF))
    assert {"Identifier", "Grade", "Last modified (grade)"} <= {*head}
    ann, bo = (dict(zip(head, row, strict=True)) for row in (ann, bo))
    assert (ann["Identifier"], ann["Grade"]) == ("Participant 7", "20")
    assert ann["Last modified (grade)"].startswith("Sunday")
    assert (bo["Grade"], bo["Last modified (grade)"]) == ("10", "-")


def test_whoever_moodle_could_not_find_stays_out_and_is_named(tmp_path):
    roster = roster_of(tmp_path, "Full name,ID number\nAnn Doe,A77\nBo Öz,\n")
    files = ["Ann Doe_7_assignsubmission_file_", "Bo Öz_8_assignsubmission_file_"]
    book = gradebook(tmp_path, files, "moodle", roster)
    rows = rows_for(book, RIGHT, HALF)
    head, *rest = cells(book, rows)
    assert head == ["Full name", "ID number", "Email address", "Chat (77)"] + [
        "Chat (77) (feedback)"
    ]
    assert [row[:4] for row in rest] == [["Ann Doe", "A77", "", "20"]]
    [out] = book.write(rows)
    assert out.startswith("Bo Öz_8_assignsubmission_file_: moodle finds nobody without")


def test_columns_of_ones_own_and_who_has_handed_in_nothing(tmp_path):
    columns = {"OrgDefinedId": "#{student id}", "Chat Points Grade": "{points}"}
    roster = roster_of(tmp_path, "student id,name\ns1,Ann\ns2,Bo\n")
    book = gradebook(tmp_path, ["s1"], "plain", roster, columns=columns, missing=0)
    assert cells(book, rows_for(book, HALF)) == [
        ["OrgDefinedId", "Chat Points Grade"],
        ["#s2", "0"],
        ["#s1", "10"],
    ]


def test_who_has_no_mark_is_in_no_gradebook(tmp_path):
    book = gradebook(tmp_path, ["s1", "s2"], "plain")
    rows = rows_for(book, RIGHT, made_up(kind=Kind.TOOL))
    assert [row[0] for row in cells(book, rows)] == ["id", "s1"]
    assert book.write(rows) == ["s2: It could not be checked: look at it yourself."]


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@x", " =1"])
def test_no_cell_is_a_formula(text):
    assert tables.safe(text) == f"'{text}"
    assert [tables.safe(one) for one in ("-", "-3.5", "12")] == ["-", "-3.5", "12"]


def test_the_template_is_that_of_the_names(tmp_path):
    def found(roster, *files):
        learners = names.learners([tmp_path / name for name in files])
        return tables.template_for(learners, roster)

    moodle, canvas = "A_1_assignsubmission_file", "a_1_2_b.zip"
    assert found(False, moodle) == "moodle-worksheet"
    assert found(True, moodle) == "moodle"
    assert found(False, canvas) == "canvas"
    assert found(False, moodle, canvas) == found(False, "ann") == "plain"


# --- Feedback ---------------------------------------------------------------


NASTY = "<img src=x onerror=alert(1)>"


def test_feedback_says_what_failed_and_where_to_read_and_no_hint(tmp_path):
    book = gradebook(tmp_path, ["s1"], "plain")
    [row] = rows_for(book, HALF)
    for form in (feedback.as_html, feedback.as_markdown):
        text = form(row, book.points)
        assert "10 of 20 points" in text
        assert "docs/1_django_ui.md#list-the-rooms" in text
        assert "1.67 of" not in text
        hint = HALF.task.hints[0].split(",")[0]
        assert hint not in text
        assert hint in form(row, book.points, 1)


def test_what_a_program_says_is_text(tmp_path):
    (tmp_path / "x").mkdir()
    book = gradebook(tmp_path, ["x"], "plain")
    book.learners[0].name = NASTY
    verdict = made_up("f")
    says = f"</pre>{NASTY}\n```\n# {NASTY}\x1b[31m {{{{ 1 }}}}"
    failure = Failure(says, says, [says], "It", [f"Error: {says}"], [says])
    verdict.conclude(Kind.WRONG, failure, TASKS[0])
    [row] = rows_for(book, verdict)
    page = feedback.as_html(row, book.points)
    assert "<img" not in page and "\x1b" not in page
    for line in feedback.as_markdown(row, book.points).splitlines():
        assert line.startswith("    ") or "<img" not in line.replace("\\<", "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://127.0.0.1:20341/ws", "http://127.0.0.1:31007/ws"),
        ("[29/Nov/2026 06:17:03] x", "[30/Nov/2026 16:17:03] x"),
        ("2026-11-29T06:17:03+0000 [-] x", "2026-12-01T06:17:03+0000 [-] x"),
        ("/tmp/check-abcd1234/theirs/x.py", "/var/t/check-zzzz1234/theirs/x.py"),
        ("at 0x7fe92381e160>", "at 0x7fe923812222>"),
        ('"timestamp": 1764400000.25', '"timestamp": 1764400777.125'),
        (
            "id 0b9b9a14-4b0c-4f0c-8a3e-0a0a0a0a0a0a",
            "id 6fa459ea-ee8a-4ca4-894e-db77e160355e",
        ),
    ],
)
def test_what_differs_from_run_to_run_is_left_out(one, other):
    assert feedback.steady(one) == feedback.steady(other)


def test_what_does_not_differ_stays():
    for text in ("GET /chats/4/ from Django: 404", 'File "chat/views.py", line 11'):
        assert feedback.steady(text) == text


# --- Again ------------------------------------------------------------------


def test_a_verdict_comes_back_as_it_was(tmp_path):
    verdict = made_up("p", "pf", "n", "s", "-", "p")
    verdict.tasks[2].cause = TASKS[1]
    verdict.notes.append("a note")
    text = json.dumps(records.write(verdict))
    again = records.read(json.loads(text), STAGE, verdict.folder)
    assert records.write(again) == records.write(verdict)
    assert [one.status for one in again.tasks] == [one.status for one in verdict.tasks]


def test_only_what_has_not_changed_is_known(tmp_path):
    (tmp_path / "s1" / ".venv").mkdir(parents=True)
    (tmp_path / "s1" / "a.py").write_text("1")
    (tmp_path / "s2").mkdir()
    book = gradebook(tmp_path, ["s1", "s2"], "plain")
    book.keep({tmp_path / "s1": HALF, tmp_path / "s2": made_up(kind=Kind.TOOL)})
    assert [*book.known()] == [tmp_path / "s1"], "what could not be checked is tried"
    (tmp_path / "s1" / ".venv" / "x").touch()
    assert book.known(), "an environment is not judged"
    (tmp_path / "s1" / "a.py").write_text("2")
    assert not book.known()
    (tmp_path / "s1" / "a.py").write_text("1")
    assert book.known()
    book.records.how += " otherwise"
    assert not book.known()


def test_the_same_verdicts_give_the_same_bytes(tmp_path):
    book = gradebook(tmp_path, ["s1", "s2"], "plain")
    written = []
    for seconds in (1.0, 2.0):
        rows = rows_for(book, replace(RIGHT, seconds=seconds), HALF)
        book.write(rows)
        written.append(
            {
                path.name: path.read_bytes()
                for path in (tmp_path / "out").rglob("*")
                if path.is_file()
            }
        )
    assert written[0] == written[1]
    assert len(written[0]) == 5
