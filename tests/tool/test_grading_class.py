"""A class as an LMS hands it over, with liars in it: one command, and nobody pays.

Each attack is what the page for instructors says may happen. It runs only where
something shuts a folder in, for otherwise it would succeed.
"""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import zipfile

import psutil
import pytest
import yaml
from click.testing import CliRunner

from tests.support.servers import free_ports, wait_until
from tutorial.check import fence, judge
from tutorial.check.fence import Bubblewrap, Unshare, find_fence
from tutorial.check.judge import Judge
from tutorial.check.limits import Limits
from tutorial.check.report import as_json
from tutorial.check.tasks import load_tasks
from tutorial.check.verdict import Kind, Result, Verdict
from tutorial.cli import main
from tutorial.cli.check import check
from tutorial.cli.grading import LMS
from tutorial.grading import tables
from tutorial.stages import ROOT, find_stage

PATIENCE = 900  # seconds for thirty folders, twice; the machine may be busy
MUTANTS = ROOT / "tests" / "mutants" / "stage1_django_ui"
LIMITS = Limits().stretched(5)

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="makes links, and forks"
)


def project(folder, patch=None, settings=""):
    """A copy of stage 1: with a mistake, or with more in its settings."""
    find_stage("1").copy_to(folder)
    if patch:
        file = MUTANTS / f"{patch}.patch"
        subprocess.run(["git", "apply", file], cwd=folder, check=True)
    if settings:
        with (folder / "django_twisted_chat" / "settings.py").open("a") as file:
            file.write(textwrap.dedent(settings))
    return folder


def packed(folder, archive):
    """Pack a project as learners do: the folder, in a zip or a tar."""
    kind = "zip" if archive.suffix == ".zip" else "gztar"
    archive.parent.mkdir(parents=True, exist_ok=True)
    made = shutil.make_archive(
        folder.parent / "packed", kind, folder.parent, folder.name
    )
    shutil.move(made, archive)


# --- The command ------------------------------------------------------------


@pytest.fixture
def graded(monkeypatch, tmp_path):
    """Run check-class on a class of which nobody really is judged."""
    seen = []

    def run(one):
        seen.append(one.verdict.folder)
        one.verdict.kind = Kind.RIGHT
        for result in one.verdict.tasks:
            result.tests, result.results = 1, [Result("", "passed", 0.1, "")]
        return one.verdict

    monkeypatch.setattr(judge.Judge, "run", run)
    monkeypatch.setattr("tutorial.cli.judging.python_findings", lambda group: [])
    (tmp_path / "points.toml").write_text("total = 10\n")
    for name in ("Ann_1_assignsubmission_file", "Bo_2_assignsubmission_file"):
        project(tmp_path / "class" / name)

    def command(*words):
        seen.clear()
        words = ["check-class", tmp_path / "class", "--stage", "1", *words]
        done = CliRunner().invoke(main, [*map(str, words)])
        return done.exit_code, done.output, len(seen)

    return command


def test_marks_go_beside_the_class(graded, tmp_path):
    code, output, _ = graded("--points", tmp_path / "points.toml")
    assert code == 0, output
    with (tmp_path / "class-grades" / "grades.csv").open() as file:
        rows = [(row["Identifier"], row["Grade"]) for row in csv.DictReader(file)]
    assert rows == [("Participant 1", "10"), ("Participant 2", "10")]
    names = {path.name for path in (tmp_path / "class-grades" / "feedback").iterdir()}
    assert "Ann_1_assignsubmission_file_feedback.html" in names
    assert "Bo_2_assignsubmission_file_feedback.md" in names
    assert "2 of 2 learners, for moodle-worksheet" in output


def test_again_judges_what_has_changed(graded, tmp_path):
    words = ["--points", tmp_path / "points.toml", "--again"]
    words += ["--html", tmp_path / "c.html", "--csv", tmp_path / "c.csv"]
    written = []
    for expected in (2, 0):
        code, output, judged = graded(*words)
        assert (code, judged) == (0, expected), output
        places = [*(tmp_path / "class-grades").rglob("*"), *tmp_path.glob("c.*")]
        written.append({one: one.read_bytes() for one in places if one.is_file()})
    assert written[0] == written[1]
    manage = tmp_path / "class" / "Bo_2_assignsubmission_file" / "manage.py"
    manage.write_text("# changed\n")
    assert graded(*words)[2] == 1


@pytest.mark.parametrize(
    ("points", "roster", "says"),
    [
        ("[tasks]\nreading = 2", "", "gives points for reading, which is not judged"),
        ("", "x,y\n1,2\n", "needs a column of one of these names"),
        (None, "", "points.toml cannot be read: No such file"),
    ],
)
def test_what_cannot_be_graded_is_said_before_anybody_is_judged(
    graded, tmp_path, points, roster, says
):
    if points is None:
        (tmp_path / "points.toml").unlink()
    else:
        (tmp_path / "points.toml").write_text(points)
    words = ["--points", tmp_path / "points.toml"]
    if roster:
        (tmp_path / "roster.csv").write_text(roster)
        words += ["--roster", tmp_path / "roster.csv"]
    code, output, judged = graded(*words)
    assert (code, judged) == (6, 0)
    assert says in output


# --- The fence --------------------------------------------------------------


@pytest.fixture(params=[Bubblewrap, Unshare], ids=["bubblewrap", "unshare"])
def one_fence(request):
    """Each fence that this system has."""
    found = request.param()
    if not shutil.which(found.words(ROOT)[0]) or not found.holds():
        pytest.skip(f"{found.name} is not here, or not allowed")
    return found


def within(one_fence, tmp_path, script):
    """What a line of Python prints in a fence whose folder is `work`."""
    work = tmp_path / "work"
    (work / "tmp").mkdir(parents=True, exist_ok=True)
    words = [*one_fence.words(work), sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_in_a_fence_nobody_else_is_seen(one_fence, tmp_path):
    script = "import psutil, os; print(len(psutil.pids()), os.getppid())"
    count, parent = map(int, within(one_fence, tmp_path, script).split())
    assert count <= 3
    assert parent <= 2


def test_in_a_fence_there_is_no_network_but_its_own(one_fence, tmp_path):
    script = """
        import psutil, socket
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0)); server.listen()
            socket.create_connection(server.getsockname()).close()
        print(*psutil.net_if_addrs())
    """
    assert within(one_fence, tmp_path, script) == "lo"


def test_what_stays_behind_ends_with_the_fence(one_fence, tmp_path):
    sign = f"left-{tmp_path.name}"
    script = f"""
        import subprocess, sys
        subprocess.Popen(
            [sys.executable, "-c", "import signal; signal.pause()", {sign!r}],
            env={{}}, start_new_session=True)
    """
    within(one_fence, tmp_path, script)
    wait_until(lambda: not carriers(sign), lambda: "the end of it", 10)


def carriers(sign):
    """The processes that have `sign` in their command."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if sign in (process.info["cmdline"] or []):
            found.append(process)
    return found


def test_bubblewrap_hides_what_is_not_needed(tmp_path):
    one_fence = Bubblewrap()
    if not shutil.which("bwrap") or not one_fence.holds():
        pytest.skip("bubblewrap is not here, or not allowed")
    (tmp_path / "secret").write_text("a secret")
    script = f"""
        import os, pathlib
        print(os.path.exists({str(tmp_path / "secret")!r}), os.access("work", os.R_OK))
        for place in ({str(ROOT / "tests" / "x")!r}, "/usr/x", "/etc/x", "/x"):
            try:
                pathlib.Path(place).touch()
                if not place.startswith(("/etc", "/x")):
                    print("wrote", place)
            except OSError as error:
                pass
        pathlib.Path({str(tmp_path / "work" / "x")!r}).touch()
    """
    assert within(one_fence, tmp_path, script) == "False False"
    assert not (ROOT / "tests" / "x").exists()
    assert (tmp_path / "work" / "x").exists()


def test_without_a_fence_it_says_so(monkeypatch):
    monkeypatch.setattr(fence.shutil, "which", lambda name: None)
    assert find_fence.__wrapped__() is None
    assert "runs as you" in fence.how_shut_in(None)


# --- Forging ----------------------------------------------------------------

EVENT = '{"event": "result", "test": "%s", "outcome": "passed", "seconds": 0.1}'


@pytest.mark.thorough
def test_who_prints_results_passes_nothing_by_it(one_fence, tmp_path):
    """Into its own output, and into whatever any process has open."""
    test = "tests/contract/test_1_django_ui.py::test_an_unknown_room_is_not_found"
    forge = f"""
        import glob
        LINE = {EVENT!r} % {test!r} + "\\n"
        print(LINE)
        for place in glob.glob("/proc/[0-9]*/fd/*"):
            try:
                with open(place, "w") as file:
                    file.write(LINE)
            except (OSError, ValueError):
                pass
    """
    folder = project(tmp_path / "x", "unknown_room_crashes", forge)
    options = {"fence": one_fence, "to_the_end": True, "limits": LIMITS}
    verdict = Judge(find_stage("1"), folder, **options).run()
    assert verdict.kind is Kind.WRONG, verdict.failure
    assert verdict.task.id == "room"


@pytest.mark.thorough
def test_who_prints_results_from_inside_passes_nothing_else(tmp_path):
    """The tests that load a folder have its code in their process."""
    forge = """
        import json, os
        for number in range(3, 64):
            for event in (
                b"no json", b"[1]", b'{"event": 1, "self": 2}',
                b'{"event": "collected", "tests": 3, "left_out": []}',
                b'{"event": "result", "test": 7}',
                b'{"event": "collected", "left_out": 0, "tests": ['
                b'"tests/contract/test_4_order.py::test_x"]}',
                b'{"event": "result", "test": "tests/contract/test_4_order.py::test_x",'
                b'"outcome": "failed", "seconds": 1, "failure": {"says": "forged"}}',
            ):
                try:
                    os.write(number, event + b"\\n")
                except OSError:
                    break
    """
    folder = find_stage("4").copy_to(tmp_path / "x")
    with (folder / "chatserver.py").open("a") as file:
        file.write("\nif 'pytest' in __import__('sys').modules:\n")
        file.write(textwrap.indent(textwrap.dedent(forge), "    "))
    options = {"fence": find_fence(), "to_the_end": True, "limits": LIMITS}
    verdict = Judge(find_stage("4"), folder, **options).run()
    others = [one for one in verdict.tasks if not one.task.inside]
    assert {one.status for one in others} == {"passed"}, verdict.failure
    assert "forged" not in str(verdict)


# --- A whole class ----------------------------------------------------------


@pytest.fixture
def thirty(tmp_path):
    """Thirty archives, five of them hostile; and what would show that one succeeded."""
    room, made = tmp_path / "class", tmp_path / "made"
    sign = f"left-{tmp_path.name}"
    grades, other = tmp_path / "class-grades", ROOT / "tests" / "forged.py"
    victim = "Learner 00_1000_assignsubmission_file_"
    end = """
        import os, signal
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open(f"/proc/{pid}/cmdline").read()
                if "check-class" in words or "pytest" in words:
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass
    """
    stay = f"""
        import os, subprocess, sys
        if os.fork() == 0:
            os.setsid()
            subprocess.Popen(
                [sys.executable, "-c", "import signal; signal.pause()", {sign!r}],
                env={{}}, start_new_session=True)
            os._exit(0)
    """
    write = f"""
        import pathlib
        for place in ({str(room / victim / "manage.py")!r}, {str(other)!r},
                      {str(grades / "grades.csv")!r}, {str(tmp_path / "outside")!r}):
            try:
                pathlib.Path(place).parent.mkdir(parents=True, exist_ok=True)
                pathlib.Path(place).write_text("forged")
            except OSError:
                pass
    """
    read = f"""
        import pathlib
        try:
            theirs = pathlib.Path({str(room / victim)!r})
            raise SystemExit("stolen " + str([*theirs.iterdir()]))
        except OSError:
            pass
    """
    hostile = {"ends the judge": end, "stays": stay, "writes": write, "reads": read}
    mistakes = ["unknown_room_crashes", "name_as_markup", "model_without_migration"]
    for number in range(30):
        name = f"Learner {number:02}_{1000 + number}_assignsubmission_file_"
        folder = made / f"{number}" / "my chat"
        suffix = ".tar.gz" if number % 3 == 1 else ".zip"
        archive = room / name / f"chat{suffix}"
        if number >= 26:
            settings = [*hostile.values()][number - 26]
            packed(project(folder, settings=settings), archive)
        elif number == 25:
            (room / name).mkdir()
            with zipfile.ZipFile(room / name / "chat.zip", "w") as file:
                file.writestr("../../Learner 00_1000_assignsubmission_file_/x", "bad")
                file.writestr("zeros", bytes(150_000_000), zipfile.ZIP_DEFLATED)
        else:
            patch = mistakes[number - 20] if 20 <= number < 23 else None
            packed(project(folder, patch), archive)
    return room, sign, [other, tmp_path / "outside", room / victim / "x"]


@pytest.mark.thorough
def test_thirty_archives_with_five_liars_are_graded_twice_alike(
    thirty, answer, environment, tmp_path
):
    found = find_fence()
    if not found or not found.hides_files:
        pytest.skip("nothing here keeps a folder from the files of others")
    room, sign, traces = thirty
    (tmp_path / "points.toml").write_text("total = 20\npart = 0.5\n[tasks]\nroom = 3\n")
    into = tmp_path / "grades"
    written = []
    for run in ("all of them", "some of them"):
        words = ["check-class", room, "--stage", "1", "--grades", into, "--again"]
        code, output, errors = answer(
            *("-m", "tutorial", *words, "--points", tmp_path / "points.toml"),
            env=environment(*free_ports(2), **LIMITS.write()),
            patience=PATIENCE,
        )
        assert code == 1, (run, errors)
        with (into / "grades.csv").open(encoding="utf-8", newline="") as file:
            marks = read_worksheet(file)
        kept = {
            path.relative_to(into): path.read_bytes()
            for path in into.rglob("*")
            if path.is_file() and path.parent.name != "verdicts"
        }
        written.append((marks, kept, output))
        # Those who have failed, and the hostile, are judged a second time.
        for number in range(20, 30):
            for path in (into / "verdicts").glob(f"*_{1000 + number}_*"):
                path.unlink()
    (marks, kept, output), (_, again, _) = written
    honest = {number: marks.get(f"{1000 + number}") for number in range(25)}
    wrong = {20: 15.78, 21: 15.78, 22: 18.13}
    assert honest == {number: wrong.get(number, 20.0) for number in range(25)}, output
    assert marks["1025"] == 0
    # What they did besides was in vain.
    assert [marks[f"{number}"] for number in range(1026, 1030)] == [20] * 4, output
    assert not carriers(sign)
    assert not [trace for trace in traces if trace.exists()]
    assert b"stolen" not in b"".join(kept.values())
    assert b"forged" not in b"".join(kept.values())
    assert kept == again


def read_worksheet(file):
    """The marks as Moodle reads them: by participant, as importgradeslib.php does.

    It wants these three columns, strips the word before the number, and skips a grade
    that is no number or more than the assignment's maximum.
    """
    rows = [*csv.reader(file)]
    head = rows[0]
    id, grade = head.index("Identifier"), head.index("Grade")
    assert "Last modified (grade)" in head
    assert {len(row) for row in rows} == {len(head)}
    marks = {}
    for row in rows[1:]:
        assert row[id].startswith("Participant ")
        number = row[id].removeprefix("Participant ")
        assert number.isdigit() and number not in marks
        assert 0 <= float(row[grade]) <= 20
        marks[number] = float(row[grade])
    return marks


# --- What the page says ------------------------------------------------------

PAGE = (ROOT / "docs" / "grading.md").read_text("utf-8")


def recipe(tool, tmp_path):
    """The line of the page that begins with a tool, for a class of one."""
    [line] = re.findall(rf"^\$ ({tool} .*\\\n.*)$", PAGE, re.M)
    (tmp_path / "class" / "ann").mkdir(parents=True)
    (tmp_path / "class-grades").mkdir()
    for name in ("class-grades", "class"):
        line = line.replace(f"~/{name}", str(tmp_path / name))
    return line.replace(".venv/bin/python", sys.executable)


@pytest.mark.parametrize("tool", ["bwrap", "podman"])
def test_the_whole_command_is_shut_in(tool, tmp_path):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not here")
    words = {
        "bwrap": ["bwrap", "--ro-bind", "/", "/", "--unshare-net", "true"],
        "podman": [
            "podman",
            "run",
            "--rm",
            "--network",
            "none",
            "--rootfs",
            "/:O",
            "true",
        ],
    }
    tried = subprocess.run(words[tool], capture_output=True, timeout=60)
    if tried.returncode:
        pytest.skip(f"{tool} does not run here: {tried.stderr.decode()[-200:]}")
    line = recipe(tool, tmp_path)
    if tool == "bwrap":  # what is in /tmp, where this class is, is hidden else
        line = line.replace(
            "--bind", f"--ro-bind {tmp_path}/class {tmp_path}/class --bind"
        )
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert re.search(r"ann +no project", done.stdout), done.stdout
    assert "ann" in (tmp_path / "class-grades" / "grades.csv").read_text()


def test_the_files_for_a_hosted_classroom_call_what_there_is():
    blocks = dict(
        re.findall(r'^```\w+ title="\.github/(.*?)".*?\n(.*?)^```$', PAGE, re.M | re.S)
    )
    workflow = yaml.safe_load(blocks["workflows/classroom.yml"])
    [job] = workflow["jobs"].values()
    steps = {step.get("name", step.get("uses")): step for step in job["steps"]}
    lines = [steps["Judge the folder"]["run"]]
    [test] = json.loads(blocks["classroom/autograding.json"])["tests"]
    assert test["comparison"] == "included"
    lines.append(test["run"])
    for line in lines:
        [words] = re.findall(r"-m tutorial check (.*?)(?: >|$)", line, re.M)
        given = shlex.split(words.replace("$GITHUB_WORKSPACE", "."))
        context = check.make_context("check", given)
        assert context.params["as_json"]
        assert find_stage(context.params["stage"])
    # One step for a task: it looks for the task's id in what was printed.
    command = steps["Say it to everyone"]["with"]["command"]
    [id] = re.findall(r'\.id == "(\w+)"', command)
    assert id in {task.id for task in load_tasks()}
    verdict = Verdict(find_stage("1"), ROOT, Kind.RIGHT, [])
    assert test["output"] in json.dumps(as_json(verdict), indent=1)
    for reporter in job["steps"][-1]["with"]["runners"].split(","):
        assert reporter in {step.get("id") for step in job["steps"]}


def test_the_page_knows_every_template():
    rows = re.findall(r"^\| `(\w[\w-]*)` \|", PAGE, re.M)
    assert {*rows} == {*tables.TEMPLATES} == {*LMS}
