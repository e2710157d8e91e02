"""`python -m tutorial check`: the right kind of answer, and nothing left behind."""

import ast
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import urlsplit

import psutil
import pytest
from click.testing import CliRunner
from markdown.extensions.toc import slugify

from tests.support.servers import free_ports, wait_until
from tutorial.check.copies import Unfit, take_copy, workspace
from tutorial.check.judge import Judge
from tutorial.check.limits import Limits
from tutorial.check.report import SITE
from tutorial.check.tasks import load_tasks, tasks_of
from tutorial.check.verdict import Kind, Result, TaskResult
from tutorial.cli import main
from tutorial.processes import is_gone
from tutorial.stages import ROOT, find_stage, load_exercises, load_snapshots

PATIENCE = 240  # seconds until a test gives up; the machine may be busy
THOROUGH = pytest.mark.thorough
# Enough on a busy machine, except where a test waits for one of them to pass.
LONG = Limits().stretched(5)
SHORT = replace(LONG, answer=3.0, hear=3.0, output=1_000_000, processes=15)

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the programs under check fork"
)


@pytest.fixture
def check(answer, environment):
    """Check a folder; return the exit code, and the report as it was in the JSON."""

    def run(stage, folder, *words, limits=SHORT, browser=False):
        env = environment(*free_ports(2), **limits.write())
        words = ["check", stage, "--path", folder, "--json", *words]
        words += [] if browser else ["--no-browser"]
        code, output, errors = answer(
            "-m", "tutorial", *words, env=env, patience=PATIENCE
        )
        assert output, errors
        report = json.loads(output)
        assert report["exit_code"] == code
        return code, report

    return run


@pytest.fixture
def mine(tmp_path):
    """A learner's folder: a copy of a stage. What is changed in it is a text each."""

    def make(stage, **changes):
        folder = find_stage(stage).copy_to(tmp_path / "my chat")
        for name, text in changes.items():
            [file] = folder.rglob(f"{name}.*")
            file.write_text(text(file.read_text()) if callable(text) else text)
        return folder

    return make


@pytest.fixture
def program(tmp_path):
    """A program that notes the pids of all its processes, and whether one is left."""
    return Program(tmp_path / "pids")


class Program:
    def __init__(self, file):
        self.file = file
        self.prelude = (
            "import os, sys, threading\n"
            f"def note(): open({str(file)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
            "def wait(): threading.Event().wait()\n"
            "note()\n"
        )

    def left(self):
        return [pid for pid in self.pids() if not is_gone(pid)]

    def pids(self):
        return [*map(int, self.file.read_text().split())] if self.file.exists() else []


def statuses(report):
    return [task["status"] for task in report["tasks"]]


# --- What is no project, or does not start ----------------------------------


def test_an_empty_folder(check, tmp_path):
    code, report = check("1", tmp_path)
    assert code == Kind.NOTHING.code
    assert "holds no manage.py" in report["failure"]["says"]
    assert {*statuses(report)} == {"not reached"}


def test_a_folder_too_high_or_too_low(check, mine):
    folder = mine("1")
    for wrong in (folder.parent, folder / "chat"):
        code, report = check("1", wrong)
        assert code == Kind.NOTHING.code
        assert f"Do you mean {folder}?" in report["failure"]["says"]


def test_a_folder_that_is_not_there(check, tmp_path):
    code, report = check("1", tmp_path / "nowhere")
    assert code == Kind.NOTHING.code
    assert "There is no folder" in report["failure"]["says"]


# Of no parent, no session and no environment that anybody knows.
HIDES = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", PRELUDE + "wait()"], {})
    os._exit(0)
os.wait()
os._exit(4)
"""
FORKS_MANY = """
for _ in range(100):
    if os.fork() == 0:
        note()
        wait()
wait()
"""
# A chat server, and what the check says about it.
DO_NOT_START = {
    "syntax-error": ("def (", "ended with exit code 1"),
    "exits-at-once": ("os._exit(0)", "ended with exit code 0"),
    "never-listens": ("wait()", "It listens nowhere."),
    "forks-and-dies": (
        "if os.fork() == 0:\n    note(); wait()\nos._exit(3)",
        "ended with exit code 3",
    ),
    "hides-and-dies": (HIDES, "ended with exit code 4"),
    "forks-many": (FORKS_MANY, "more than 15 processes"),
    "floods": ("while True: print('flood ' * 1000)", "more than 1 MB of output"),
}


# Others do the same and more.
FOR_THE_THOROUGH = {"exits-at-once", "forks-and-dies", "forks-many", "hides-and-dies"}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("server", "says"),
    [
        pytest.param(*case, id=name, marks=[THOROUGH] * (name in FOR_THE_THOROUGH))
        for name, case in DO_NOT_START.items()
    ],
)
def test_a_server_that_does_not_start(check, mine, program, server, says):
    prelude = f"{program.prelude}PRELUDE = {program.prelude!r}\n"
    folder = mine("2", chatserver=prelude + server)
    limits = replace(SHORT, start=5.0) if "nowhere" in says else SHORT
    code, report = check("2", folder, limits=limits)
    assert (code, report["verdict"]) == (Kind.NOT_STARTED.code, "not-started"), report
    assert says in report["failure"]["says"]
    assert {*statuses(report)} == {"not reached"}
    assert not program.left()
    assert bool(program.pids()) == (server != "def (")
    assert not any("site-packages" in line for line in report["failure"]["output"])


@pytest.mark.thorough
def test_the_traceback_of_a_syntax_error_is_short(check, mine):
    folder = mine("1", views=lambda text: text + "\ndef (\n")
    code, report = check("1", folder)
    assert code == Kind.NOT_STARTED.code
    output = "\n".join(report["failure"]["output"])
    assert 'File "chat/views.py", line' in output
    assert "SyntaxError" in output
    assert "site-packages" not in output
    assert report["failure"]["read"] == "docs/1_django_ui.md"


@pytest.mark.thorough
def test_a_chat_server_on_the_wrong_port(check, mine, program):
    [port] = free_ports(1)
    read = 'os.environ.get("CHAT_PORT") or "1025"'
    folder = mine(
        "2", chatserver=lambda text: program.prelude + text.replace(read, f"'{port}'")
    )
    code, report = check("2", folder, limits=replace(SHORT, start=6.0))
    assert code == Kind.NOT_STARTED.code
    assert f"It listens on 127.0.0.1:{port}." in report["failure"]["says"]
    assert not program.left()

    with socket.create_server(("127.0.0.1", port)):
        code, report = check("2", folder)
    assert code == Kind.NOT_STARTED.code
    [mistake] = report["failure"]["mistakes"]
    assert f"The chat server wants port {port}, although CHAT_PORT is" in mistake


@pytest.mark.thorough
def test_a_folder_in_the_middle_of_the_tutorial(check, mine):
    code, report = check("2", mine("1"), limits=LONG)
    assert code == Kind.NOT_STARTED.code
    assert "There is no chatserver.py beside manage.py." in report["failure"]["says"]
    done = {task["chapter"]: task["status"] for task in report["tasks"]}
    assert done == {"stage1_django_ui": "passed", "stage2_websocket": "not reached"}


# --- What stops answering ---------------------------------------------------


@THOROUGH  # The next one hangs, too.
def test_a_server_that_hangs_when_it_has_started(check, mine, program):
    hang = "\nfrom twisted.internet import reactor\nreactor.callLater(0, wait)\n"
    folder = mine("2", chatserver=lambda text: program.prelude + text + hang)
    code, report = check("2", folder)
    assert (code, report["verdict"]) == (Kind.STOPPED.code, "stopped"), report
    assert "does not react to a request within 3 s" in report["failure"]["says"]
    assert "passed" not in statuses(report)
    assert not program.left()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("wait()", "does not react to a request within 3 s"),
        ("os._exit(7)", "Then it ended with exit code 7."),
    ],
    ids=["hangs", "dies"],
)
def test_a_server_that_fails_at_the_first_message(check, mine, program, what, says):
    line = "for client in self.factory.clients:"

    def plant(text):
        assert text.count(line) == 1
        return program.prelude + text.replace(line, f"{what}\n            {line}")

    code, report = check("2", mine("2", chatserver=plant))
    assert code == Kind.STOPPED.code
    assert says in report["failure"]["says"]
    assert report["failure"]["task"] == "say"
    assert "Ann says 'hello'" in report["failure"]["wire"]
    assert not program.left()


# --- What runs --------------------------------------------------------------


def listing(folder):
    stats = {path: path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def test_a_right_folder_passes_and_stays_as_it_is(check, mine):
    folder = mine("1")
    (folder / "db.sqlite3").write_bytes(b"my own rooms")
    (folder / "venv").mkdir()
    before = listing(folder)
    code, report = check("1", folder, limits=LONG)
    assert (code, report["verdict"], report["failure"]) == (0, "right", None)
    assert {*statuses(report)} == {"passed"}
    assert report["says"] == f"All {len(report['tasks'])} tasks passed."
    assert listing(folder) == before


@pytest.mark.thorough
def test_a_mistake_is_told_with_all_that_helps(check, mine, tmp_path):
    escape = "\x1b]0;title\x07\x1b[31m<b>red</b>"

    def plant(text):
        text = text.replace("in self.factory.clients:", "in [self]:")
        return text.replace(
            'log.info("Got', f'print({escape!r})\n        log.info("Got'
        )

    folder = mine("2", chatserver=plant)
    junit = tmp_path / "result.xml"
    limits = replace(LONG, hear=3.0)
    code, report = check("2", folder, "--junit", junit, limits=limits)
    assert (code, report["verdict"]) == (Kind.WRONG.code, "wrong")
    failure = report["failure"]
    assert "Bob should hear 'hello', because Ann said it." in failure["says"]
    assert (failure["task"], failure["read"]) == (
        "say",
        "docs/2_websocket.md#say-it-to-everyone",
    )
    assert len(failure["hints"]) == 2
    assert "Ann says 'hello'" in failure["wire"]
    assert "Bob hears nothing in 3 s" in failure["wire"]
    assert "<b>red</b>" in "\n".join(failure["output"])
    assert "\x1b" not in json.dumps(report)
    by_id = {task["id"]: task["status"] for task in report["tasks"]}
    assert (by_id["say"], by_id["list"]) == ("failed", "passed")
    why = {task["id"]: task["why"] for task in report["tasks"]}
    assert (by_id["origin"], why["origin"]) == (
        "not judged",
        "Say it to everyone fails",
    )

    suite = ET.parse(junit).getroot()
    assert suite.get("tests") == str(len(report["tasks"]) + 1)
    failed = [case.get("name") for case in suite.findall("testcase[failure]")]
    assert failed[0] == "Say it to everyone"
    assert len(failed) == statuses(report).count("failed")


@pytest.mark.thorough
def test_what_a_person_reads(answer, environment, mine):
    folder = mine("1", chat_room=lambda text: text.replace('role="log"', ""))
    words = ["check", "1", "--path", folder, "--hint"]
    env = environment(*free_ports(2), CHROMIUM="/nowhere/chromium")
    code, output, errors = answer("-m", "tutorial", *words, env=env, patience=PATIENCE)
    assert (code, errors) == (Kind.WRONG.code, "")
    for text in [
        "CHROMIUM names '/nowhere/chromium', and there is no such program: "
        "without the tests in a browser.",
        "Chapter 1, Django UI",
        "  passed       Describe a room",
        "  failed       Give each room a page",
        "It runs, and behaves wrongly. Of 6 tasks, 1 failed.",
        'should have a list with role="log"',
        "What was sent, and what came:\n    GET /chats/4/ from Django: 200 OK",
        "The last lines of Django (manage.py runserver):",
        "Hint: The page needs a heading, a box with a label",
        "read runs: http://127.0.0.1:8080/1_django_ui.html#give-each-room-a-page\n",
        'For another hint, add --hint --hint, or with make ARGS="--hint --hint"\n',
    ]:
        assert text in output, output


def test_the_address_of_the_pages_is_that_of_mkdocs_serve():
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert f"dev_addr: {urlsplit(SITE).netloc} " in settings


@pytest.mark.thorough
def test_where_there_is_a_browser_it_looks_at_the_pages(check, mine, chromium_path):
    narrow = "\nbody { min-width: 900px; }\n"
    folder = mine("1", chat=lambda text: text + narrow)
    code, report = check("1", folder, limits=LONG, browser=True)
    assert code == Kind.WRONG.code
    by_id = {task["id"]: task["status"] for task in report["tasks"]}
    assert by_id.pop("reading") == "failed"
    assert {*by_id.values()} == {"passed"}
    assert "it scrolls sideways" in report["failure"]["says"]
    assert any("A window opens /chats/" in line for line in report["failure"]["wire"])


@THOROUGH
def test_what_the_browser_says_of_a_script_is_told(check, mine, chromium_path):
    script = """<script src="{% static 'broken.js' %}"></script></head>"""
    folder = mine("1", base=lambda text: text.replace("</head>", script))
    (folder / "chat" / "static" / "broken.js").write_text("nowhere()")
    code, report = check("1", folder, limits=LONG, browser=True)
    assert code == Kind.WRONG.code
    console = "The browser's console shows: nowhere is not defined"
    assert console in report["failure"]["wire"]


@THOROUGH
def test_tests_that_are_left_out_cost_no_other_task_its_result(check, mine):
    folder = mine("4_persistence")
    mutant = ROOT / "tests/mutants/4_persistence/told_before_it_is_stored.patch"
    subprocess.run(["git", "apply", mutant], cwd=folder, check=True)
    limits = replace(LONG, after_failure=10.0)  # enough for the next file
    code, report = check("4_persistence", folder, limits=limits)
    assert code == Kind.WRONG.code
    said = [test["says"] for task in report["tasks"] for test in task["tests"]]
    assert any(said), "each failure says something"
    assert not [says for says in said if "not torn down" in says]


# --- What only the inside shows ----------------------------------------------


@pytest.mark.thorough
def test_a_lock_that_is_forgotten_is_seen(check, mine):
    folder = mine(
        "4", chatserver=lambda text: text.replace("with self.write_lock:", "if True:")
    )
    code, report = check("4", folder, limits=LONG)
    assert (code, report["failure"]["task"]) == (Kind.WRONG.code, "lock")
    assert (
        "in the middle of a POST, at chatserver.py, line" in report["failure"]["says"]
    )
    failed = [task["id"] for task in report["tasks"] if task["status"] == "failed"]
    assert failed == ["lock"]


@THOROUGH
def test_other_names_are_not_judged_and_not_wrong(check, mine):
    folder = mine("5")
    for file in folder.rglob("*.py"):
        file.write_text(file.read_text().replace("MessageStore", "Log"))
    code, report = check("5", folder, limits=LONG)
    assert (code, report["verdict"]) == (0, "right")
    why = {task["id"]: task["why"] for task in report["tasks"] if task["why"]}
    calls = "the chapter calls it MessageStore in twisted_chat/messages.py"
    assert why == dict.fromkeys(("own-clients", "given", "apart-from-the-web"), calls)
    assert report["says"] == f"{len(report['tasks']) - 3} tasks passed, 3 not judged."


@THOROUGH
@pytest.mark.parametrize(
    "act", ["os._exit(0)", "wait()", "raise SystemExit"], ids=["ends", "hangs", "exits"]
)
def test_what_the_folder_does_to_who_looks_inside_is_no_fault(
    check, mine, program, act
):
    seen = f"\nif 'pytest' in sys.modules: {act}\n"
    folder = mine("4", chatserver=lambda text: program.prelude + seen + text)
    limits = replace(LONG, test=60.0) if act == "wait()" else LONG
    code, report = check("4", folder, limits=limits)
    assert (code, report["verdict"]) == (0, "right"), report["failure"]
    [lock] = [task for task in report["tasks"] if task["id"] == "lock"]
    assert lock["status"] == "not judged" and lock["why"]
    assert not program.left()


# --- When it is not the folder's fault --------------------------------------


def test_what_cannot_be_tried_on_this_machine_is_not_asked_for():
    def status(*outcomes):
        results = [Result("a test", outcome, 0.0, "") for outcome in outcomes]
        return TaskResult(load_tasks()[0], tests=2, results=results).status

    assert status("passed", "skipped") == "passed"
    assert status("skipped", "skipped") == status("passed") == "not reached"
    assert status("failed", "skipped") == "failed"


@pytest.mark.parametrize("wrong", [False, True])
def test_a_tool_that_fails_hides_no_fault_of_the_folder(tmp_path, wrong):
    judge, lane = (
        Judge(find_stage("2"), tmp_path),
        SimpleNamespace(started=True, inside=False),
    )
    one, other = (min(task.tests) for task in tasks_of(find_stage("2"))[:2])
    judge.tally.collect(lane, [one, other], left_out=[])
    if wrong:
        failure = {"kind": "wrong", "says": "404 is missing"}
        judge.tally.take(lane, one, "failed", 0.0, failure)
    failure = {"kind": "tool", "says": "PostgreSQL did not start."}
    judge.tally.take(lane, other, "failed", 0.0, failure)
    judge.tally.sum_up(whole=True)
    verdict = judge.verdict
    assert verdict.kind is (Kind.WRONG if wrong else Kind.TOOL)
    assert verdict.failure.says == (
        "404 is missing" if wrong else "PostgreSQL did not start."
    )
    assert [task.status for task in verdict.tasks if task.tests][1] == "not reached"


def test_what_takes_an_engine_is_not_judged_where_there_is_none(tmp_path):
    judge, lane = (
        Judge(find_stage("2"), tmp_path),
        SimpleNamespace(started=True, inside=False),
    )
    one, other = (min(task.tests) for task in tasks_of(find_stage("2"))[:2])
    judge.tally.collect(lane, [one, other], left_out=[])
    judge.tally.take(lane, one, "passed", 0.0, None)
    judge.tally.take(lane, other, "not judged", 0.0, None, "there is no engine here.")
    judge.tally.sum_up(whole=True)
    assert judge.verdict.kind is Kind.RIGHT
    assert judge.verdict.says == "1 tasks passed, 1 not judged."
    [task] = [one for one in judge.verdict.tasks if one.status == "not judged"]
    assert task.why == "there is no engine here."


def test_when_the_tool_fails_it_says_so(check, mine):
    code, report = check("1", mine("1"), limits=Limits(silence=0.0))
    assert code == Kind.TOOL.code
    assert "says nothing about the work" in report["says"]


@THOROUGH
def test_a_browser_that_does_not_start_is_no_fault_of_the_folder(
    check, mine, monkeypatch
):
    monkeypatch.setenv("CHROMIUM", "false")  # a program that ends at once
    code, report = check("1", mine("1"), limits=LONG, browser=True)
    assert code == Kind.TOOL.code
    says = report["failure"]["says"]
    assert says.startswith("Chromium did not start.") and "--no-browser" in says
    assert report["failure"]["output"]
    assert {*statuses(report)} == {"passed", "not reached"}


def test_limits_that_cannot_be_read_are_one_sentence(answer, environment, mine):
    env = environment(*free_ports(2), TUTORIAL_LIMITS="{")
    words = ["check", "1", "--path", mine("1"), "--no-browser"]
    code, output, errors = answer("-m", "tutorial", *words, env=env)
    assert code == Kind.TOOL.code
    assert "TUTORIAL_LIMITS cannot be read" in errors


@pytest.mark.parametrize("command", ["check 9 --path .", "check-class . --stage 9"])
def test_an_unknown_stage_is_no_verdict(answer, command):
    code, output, errors = answer("-m", "tutorial", *command.split())
    assert code == 2
    assert "There is no stage '9'" in errors


@pytest.mark.parametrize(("words", "wanted"), [((), False), (("--all",), True)])
def test_all_asks_for_what_takes_long(monkeypatch, words, wanted):
    asked = []

    def judge(*_, **options):
        asked.append(options["thorough"])
        raise SystemExit

    monkeypatch.setattr("tutorial.check.judge.Judge", judge)
    CliRunner().invoke(main, ["check", "1", "--path", ".", *words])
    assert asked == [wanted]


SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]
# It starts a child when it is told to, and says its number.
STARTS = "import subprocess, sys; input(); child = subprocess.Popen(sys.argv[1:]); "
STARTS += "print(child.pid, flush=True); child.wait()"


def test_what_was_there_before_a_check_stays(monkeypatch, tmp_path):
    def run(judge):
        started.append(subprocess.Popen(SLEEPS))
        ours.stdin.write("\n")
        ours.stdin.flush()
        children.append(psutil.Process(int(ours.stdout.readline())))
        raise SystemExit

    monkeypatch.setattr("tutorial.cli.judging.python_findings", lambda group: [])
    monkeypatch.setattr("tutorial.check.judge.Judge.run", run)
    started, children, pipe = [], [], subprocess.PIPE
    handler = signal.getsignal(signal.SIGTERM)
    words = [sys.executable, "-c", STARTS, *SLEEPS]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as ours:
        try:
            CliRunner().invoke(main, ["check", "1", "--path", f"{tmp_path}"])
            started[0].wait(10)  # It has been killed, and waited for.
            alive = ours.poll() is None and children[0].is_running()
            assert alive, "a test that calls the tool loses its browser"
            assert signal.getsignal(signal.SIGTERM) == handler
        finally:
            for process in (*started, *children, ours):
                process.kill()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "signum",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=THOROUGH),
        pytest.param(signal.SIGKILL, marks=THOROUGH),
    ],
)
def test_whoever_ends_the_check_ends_all(tool, ports, mine, program, signum):
    folder = mine("2", chatserver=lambda text: program.prelude + text)
    django, chat = ports
    run = tool("check", "2", "--path", folder, "--no-browser", django=django, chat=chat)
    run.wait_for("passed       Describe a room")
    run.process.send_signal(signum)
    assert run.end() in (130, 128 + signum, -signum)
    assert "Traceback" not in run.output
    if signum == signal.SIGKILL:
        # Nobody is there to end the tests, so they end as nobody listens to them.
        wait_until(lambda: not run.family(), lambda: "the end of all", 60)
    assert not run.family()
    assert not program.left()


# --- The copy ---------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("judge", ["check", pytest.param("pytest", marks=THOROUGH)])
def test_settings_that_lead_to_the_original_change_nothing_there(
    answer, environment, mine, tmp_path, judge
):
    """Neither by a link nor by a name that only a running program knows."""
    folder = mine("1")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mychat").symlink_to(folder)
    settings = folder / "django_twisted_chat" / "settings.py"
    own, theirs = 'BASE_DIR / "db.sqlite3"', 'Path.home() / "mychat" / "db.sqlite3"'
    text = settings.read_text()
    assert text.count(own) == 1
    settings.write_text(text.replace(own, theirs))
    before = listing(folder)
    env = environment(*free_ports(2), HOME=str(tmp_path / "home"), **SHORT.write())
    path = tmp_path / "home" / "mychat"
    words = ["tutorial", "check", "1", "--no-browser", "--path", path]
    if judge == "pytest":
        words = ["pytest", "-x", "--stage=1", f"--path={path}", "tests/contract"]
    code, output, errors = answer("-m", *words, env=env, patience=PATIENCE)
    assert code == (Kind.NOT_STARTED.code if judge == "check" else 1), output + errors
    assert f"The database '{path}/db.sqlite3' is not in the copy" in output
    assert 'write BASE_DIR / "db.sqlite3"' in output
    assert listing(folder) == before


@THOROUGH
def test_a_path_that_is_a_word_in_the_code_is_no_matter(check, mine, tmp_path):
    folder = mine("1").rename(tmp_path / "chats")
    views = folder / "chat" / "views.py"
    views.write_text(f"# not {folder}, as in {folder}/\n{views.read_text()}")
    assert check("1", folder, limits=LONG)[0] == 0


@pytest.mark.thorough
def test_a_server_that_fills_the_disk_is_ended(check, mine):
    fill = """
import threading

def fill():
    with open("x.log", "a") as file:
        for _ in range(100):
            file.write("x" * 1_000_000)

threading.Thread(target=fill, daemon=True).start()
threading.Event().wait()
"""
    limits = replace(SHORT, disk=20_000_000)
    code, report = check("2", mine("2", chatserver=fill), limits=limits)
    assert code == Kind.NOT_STARTED.code
    says = "It wrote more than 20 MB into files, the most into x.log, and was ended."
    assert report["failure"]["says"] == says


def test_the_copy_takes_what_is_the_projects_and_no_more(mine, tmp_path):
    folder = mine("1").resolve()
    (tmp_path / "secret").write_text("not for the tests")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "own link").symlink_to(folder / "manage.py")
    (folder / "around").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    for name in ("my env/lib", "node_modules", ".git"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").touch()
    (folder / "my env" / "pyvenv.cfg").touch()
    copy = tmp_path / "copy"
    says = take_copy(folder, copy)
    names = {path.name for path in copy.iterdir()}
    assert {"manage.py", "chat", "own link"} <= names
    assert not names & {"link", "around", "pipe", "my env", "node_modules", ".git"}
    assert sorted(says) == [
        "around is not in the copy: it is a link that leads round in a circle.",
        "link is not in the copy: it is a link that leads out of the folder.",
        "pipe is not in the copy: it is no file.",
    ]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root is two users"
)
def test_another_user_gets_through_the_workspace_to_its_tmp():
    with workspace() as work:
        assert stat.S_IMODE(work.stat().st_mode) == 0o711, "to be passed, not read"
        ours = ["ls", work / "tmp"]
        assert subprocess.run(ours, user="nobody", cwd="/").returncode == 0


def test_a_folder_that_is_too_large_is_no_project(tmp_path):
    for number in range(5001):
        (tmp_path / "many" / f"{number}").mkdir(parents=True)
    folder = tmp_path / "large"
    folder.mkdir()
    with (folder / "film").open("wb") as file:
        file.truncate(100_000_001)
    with pytest.raises(Unfit, match="more than 100 MB. .* Most of it is film."):
        take_copy(folder, tmp_path / "copy")


@pytest.mark.thorough
@pytest.mark.parametrize("exercise", load_exercises(), ids=lambda stage: stage.id)
def test_who_has_not_begun_an_exercise_is_led_to_its_first_task(check, exercise):
    """And not to a chapter's, whose tests need what the exercise asks for."""
    before = find_stage(exercise.builds_on).folder
    code, report = check(exercise.id, before, limits=LONG)
    assert code == Kind.WRONG.code
    assert report["failure"]["task"] in {
        task.id for task in load_tasks() if task.stage == exercise.id and task.first
    }


# --- The tasks --------------------------------------------------------------


def test_each_test_of_a_stage_belongs_to_one_task():
    judging = [
        file
        for kind in ("contract", "browser")
        for file in (ROOT / "tests" / kind).glob("test_*.py")
    ]
    judging += [
        ROOT / "tests" / file
        for file in {min(task.tests).partition("::")[0] for task in load_tasks()}
        if not file.startswith(("contract/", "browser/"))
    ]
    tests = [
        f"{file.parent.name}/{file.name}::{node.name}"
        for file in judging
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    named = [test for task in load_tasks() for test in task.tests]
    assert sorted(named) == sorted(tests)


@pytest.mark.parametrize("kind", ["contract", "browser"])
def test_each_assertion_says_a_sentence(kind):
    bare = [
        f"{file.name}, line {node.lineno}"
        for file in (ROOT / "tests" / kind).glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Assert) and node.msg is None
    ]
    assert not bare, "a learner reads what they say"


def test_the_tasks_are_fit_to_be_shown():
    tasks = load_tasks()
    assert len({task.id for task in tasks}) == len(tasks)
    chapters = {stage.id: stage.chapter for stage in load_snapshots()}
    for task in tasks:
        file, _, anchor = task.read.partition("#")
        assert file == chapters[task.stage], task
        assert anchor, task
        assert len(task.hints) == 2, task
        text = (ROOT / "docs" / file).read_text("utf-8")
        headings = re.findall(r"^#+ (.*?)(?: *\{#(.*)\})?$", text, re.M)
        anchors = {given or slugify(title, "-") for title, given in headings}
        if "## " in text:  # it is written
            assert anchor in anchors, f"{task.read} is not there"
    for stage in load_snapshots():
        kinds = [(task.in_browser, not task.first) for task in tasks_of(stage)]
        assert kinds == sorted(kinds), "those in a browser come last"


@pytest.mark.parametrize("stage", load_snapshots(), ids=lambda stage: stage.id)
def test_what_a_task_needs_is_judged_before_it(stage):
    known = {task.id for task in load_tasks()}
    order = [task.id for task in tasks_of(stage)]
    for place, task in enumerate(tasks_of(stage)):
        assert task.needs <= known, task
        assert not task.needs & {*order[place:]}, (
            f"{task.id} comes before what it needs"
        )
