"""What cannot be written, is known before the first test, and is nobody's fault."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from click.testing import CliRunner

from tests.support.servers import free_ports
from tutorial.check import judge
from tutorial.check.judge import Judge
from tutorial.check.report import Report, as_json, junit
from tutorial.check.verdict import Failure, Kind, Verdict
from tutorial.cli import main
from tutorial.doctor.checks import Finding
from tutorial.grading import handins
from tutorial.stages import ROOT, find_stage

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
MULLER = os.fsdecode(b"M\xfcller")


@pytest.fixture
def judged(monkeypatch):
    """Who was judged by then; nobody really is, and everybody is right."""
    folders = []

    def run(one):
        folders.append(one.verdict.folder.name)
        one.verdict.kind = Kind.RIGHT
        return one.verdict

    monkeypatch.setattr(judge.Judge, "run", run)
    return folders


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    """Run a command here; return its exit code and what it said."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("tutorial.cli.judging.python_findings", lambda group: [])

    def run(*words):
        done = CliRunner().invoke(main, [*map(str, words)])
        return done.exit_code, done.output

    return run


@pytest.fixture
def classroom(tmp_path):
    """A class of two, one of whom has a name that is no UTF-8."""
    for name in ("ann", MULLER):
        (tmp_path / "class" / name).mkdir(parents=True)
    return tmp_path / "class"


@pytest.mark.parametrize("name", ["build/deep/r.xml", "~/home/r.xml", "r.xml"])
def test_a_folder_for_a_report_is_made(invoke, judged, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    code, output = invoke("check", "1", "--path", ".", f"--junit={name}")
    assert (code, len(judged)) == (0, 1), output
    path = tmp_path / name.replace("~/", "")
    assert ET.parse(path).getroot().get("failures") == "0"


@pytest.mark.parametrize(
    "path",
    [
        ".",
        "a file/r.xml",
        "shut/r.xml",
        pytest.param("/dev/full", marks=FULL),
        "x" * 300,
    ],
)
def test_a_report_that_cannot_be_written_is_said_first(
    invoke, judged, classroom, tmp_path, monkeypatch, path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    (tmp_path / "shut").touch()  # root may write into what is shut: so no folder
    for words in (
        ["check", "1", "--path", ".", "--junit", path],
        ["check-class", "class", "--stage", "1", "--csv", path],
        ["check-class", "class", "--stage", "1", "--html", path, "--csv", "good.csv"],
    ):
        code, output = invoke(*words)
        assert code == Kind.TOOL.code
        assert "cannot be written: " in output
        assert "Traceback" not in output
    assert judged == []


def test_two_reports_do_not_share_a_file(invoke, judged, classroom, tmp_path):
    file = tmp_path / "both"
    words = ["check-class", classroom, "--stage", "1", "--csv", file, "--html", file]
    code, output = invoke(*words)
    assert (code, judged) == (6, [])
    assert "cannot go into one file" in output


def test_a_report_that_fails_at_last_costs_no_other(
    invoke, judged, classroom, tmp_path, monkeypatch
):
    write = Report.write

    def fail(report, text):
        if report.path.suffix == ".csv" and text.strip():
            raise OSError(28, "No space left on device", str(report.path))
        write(report, text)

    monkeypatch.setattr(Report, "write", fail)
    table, page = tmp_path / "c.csv", tmp_path / "c.html"
    words = ["check-class", classroom, "--stage", "1", "--csv", table, "--html", page]
    code, output = invoke(*words)
    assert code == 6
    assert f"{table} could not be written: No space left on device." in output
    assert "2 of 2 right" in page.read_text("utf-8")


def test_everybody_is_in_the_reports_however_they_are_called(
    invoke, judged, classroom, tmp_path
):
    table, page = tmp_path / "c.csv", tmp_path / "c.html"
    words = ["check-class", classroom, "--stage", "1", "--csv", table, "--html", page]
    code, output = invoke(*words)
    assert code == 0, output
    for file in (table, page):
        text = file.read_text("utf-8-sig")
        assert "ann" in text and "M\N{REPLACEMENT CHARACTER}ller" in text

    verdict = Verdict(find_stage("1"), classroom / MULLER, Kind.WRONG, [])
    verdict.conclude(Kind.WRONG, Failure(f"{MULLER} is not there"))
    ET.fromstring(junit(verdict).encode())
    json.dumps(as_json(verdict)["folder"], ensure_ascii=False).encode()


def test_an_old_report_is_gone_before_the_new_one_is_there(tmp_path):
    file = tmp_path / "r.xml"
    file.write_text("old " * 5000)
    report = Report(file)
    assert file.read_bytes() == b""
    report.write("new")
    assert file.read_text() == "new"


# --- Nobody reads it, or the tool fails -------------------------------------


def check(environment, *words, **options):
    words = [sys.executable, "-m", "tutorial", "check", "1", *words, "--no-browser"]
    return subprocess.run(
        words,
        cwd=ROOT,
        env=environment(*free_ports(2)),
        text=True,
        timeout=60,
        **{"stderr": subprocess.PIPE} | options,
    )


@pytest.mark.parametrize("words", [["--json"], []])
def test_a_closed_pipe_is_not_the_folders_fault(environment, tmp_path, words):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = check(environment, "--path", tmp_path, *words, stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode == Kind.TOOL.code, done.stderr
    assert done.stderr.splitlines()[-1].endswith("the pipe is closed.")
    assert "Traceback" not in done.stderr


def test_nobody_reads_what_goes_wrong_either(environment, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = check(environment, "--path", tmp_path, stdout=writing, stderr=writing)
    finally:
        os.close(writing)
    assert done.returncode == Kind.TOOL.code


@pytest.mark.skipif(os.name != "posix", reason="a shell closes it")
def test_who_closes_what_is_printed_is_told_by_the_code(environment, tmp_path):
    # As `check ... >&-` in a shell. There is nothing in the folder.
    done = check(environment, "--path", tmp_path, preexec_fn=lambda: os.close(1))
    assert (done.returncode, "Traceback" in done.stderr) == (Kind.NOTHING.code, False)


@FULL
@pytest.mark.parametrize("words", [["--json"], []])
def test_a_full_disk_is_not_the_folders_fault(environment, tmp_path, words):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = check(environment, "--path", tmp_path, *words, stdout=full)
    assert done.returncode == Kind.TOOL.code, done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["check", "1", "--path", "."], ["check-class", "."]])
def test_a_fault_of_the_tool_is_none_of_the_work(invoke, monkeypatch, words):
    def fail(*_, **__):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(judge, "Judge", fail)
    monkeypatch.setattr(handins, "learners_in", fail)
    words += ["--stage", "1"] if words[0] == "check-class" else []
    code, output = invoke(*words)
    assert code == Kind.TOOL.code
    assert "a fault of ours" in output
    assert "This is a fault of the check" in output


# --- What stands for a learner ----------------------------------------------


def test_nobody_is_left_out_without_a_word(tmp_path):
    room = tmp_path / "class"
    for name in ("ann", "__MACOSX/ann", ".git"):
        (room / name).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (room / "bob").symlink_to(tmp_path / "elsewhere")
    (room / "cara").symlink_to("nowhere")
    (room / "dora").symlink_to("dora")
    for name in ("emil.zip", "fred.tar.gz", "notes.txt", ".hidden.zip"):
        (room / name).touch()
    names = [path.name for path in handins.learners_in(room)]
    assert names == ["ann", "bob", "cara", "dora", "emil.zip", "fred.tar.gz"]
    says = {}
    for name in names:
        verdict = Judge(find_stage("1"), handins.project_in(room / name)).run()
        says[name] = verdict.failure.says
        assert verdict.kind is Kind.NOTHING
    assert "is a link that leads to no folder" in says["cara"]
    assert "is a link that leads to no folder" in says["dora"]
    assert says["emil.zip"].endswith("emil.zip is an archive. Unpack it first.")
    (room / "ann" / "mychat.ZIP").touch()
    found = Judge(find_stage("1"), room / "ann").run().failure.says
    assert found.endswith("It holds mychat.ZIP: unpack it first.")


def test_a_folder_that_cannot_be_read_is_not_called_wrong(tmp_path, monkeypatch):
    (tmp_path / "bob").mkdir()
    says = f"{tmp_path / 'bob'} cannot be read: Permission denied."
    for module in ("tutorial.doctor.checks", "tutorial.check.judge"):
        monkeypatch.setattr(f"{module}.why_shut", lambda folder: says)
    verdict = Judge(find_stage("1"), tmp_path / "bob").run()
    assert verdict.kind is Kind.TOOL
    assert verdict.failure.says.startswith(says)


@pytest.mark.parametrize("kind", [Kind.WRONG, Kind.NOT_STARTED, Kind.RIGHT])
@pytest.mark.parametrize("what", ["chat/views.py", "chat/static", "notes.txt"])
def test_what_cannot_be_read_is_no_fault_of_the_work(tmp_path, monkeypatch, kind, what):
    (tmp_path / "manage.py").touch()
    note = f"{what} is not in the copy: it cannot be read (Permission denied)."

    def judged(one):
        one.verdict.notes.append(note)
        one.verdict.conclude(kind, Failure("It is wrong."))

    monkeypatch.setattr(Judge, "_judge", judged)
    monkeypatch.setattr(judge, "check_stage", lambda folder: Finding("ok", "all well"))
    verdict = Judge(find_stage("1"), tmp_path).run()
    stays = kind is Kind.RIGHT or what == "notes.txt"
    assert verdict.kind is (kind if stays else Kind.TOOL)
    assert stays or note in verdict.failure.says
