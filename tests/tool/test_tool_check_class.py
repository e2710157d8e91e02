"""`python -m tutorial check-class`: nobody spoils what becomes of another."""

import csv
import re
import signal
import socket
import sys
import uuid
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.support.servers import free_ports, wait_until
from tutorial.check.limits import Limits
from tutorial.check.tasks import tasks_of
from tutorial.check.verdict import Failure, Kind, TaskResult, Verdict
from tutorial.grading import many
from tutorial.stages import find_stage

PATIENCE = 400  # seconds until a test gives up; the machine may be busy
LIMITS = replace(Limits().stretched(5), manage=12.0, start=25.0, output=1_000_000)

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the programs under check fork"
)

# What a learner may call a folder, and what a program may print.
NASTY = "<img src=x onerror=alert(1)>"
FORMULA = "=1+cmd"


@pytest.fixture
def folders(tmp_path):
    """A class: a folder each, copies of stage 1; and the port that two of them take."""
    [port] = free_ports(1)
    wrong_port = f"import sys\nif 'runserver' in sys.argv: sys.argv[-1] = '{port}'\n"
    forks = (
        "import os, signal\nfor _ in range(200):\n    if os.fork() == 0:\n        "
        "signal.pause()\nsignal.pause()\n"
    )
    changes = {
        "ann": {},
        "bob hangs": {"settings": "while True: pass\n"},
        "cara floods": {"settings": "while True: print('x' * 10_000)\n"},
        "dora forks": {"settings": forks},
        "emil": {"manage": wrong_port},
        "fred": {"manage": wrong_port},
        "gina": None,
        NASTY: {"settings": f"raise SystemExit('</pre>{NASTY}')"},
        FORMULA: {},
    }
    whole = tmp_path / "class"
    whole.mkdir()
    (whole / "a file").touch()
    (whole / ".hidden").mkdir()
    for name, files in changes.items():
        if files is None:
            (whole / name).mkdir()
            continue
        # As an archive often unpacks.
        at = whole / name / "mychat" if name == "ann" else whole / name
        find_stage("1").copy_to(at)
        for stem, text in files.items():
            [file] = at.rglob(f"{stem}.py")
            kept = file.read_text() if stem == "manage" else ""
            file.write_text(text + kept)
    return whole, port


def carriers(token):
    """The processes that have the token in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("TEST_TOKEN") == token:
                found.append(process)
    return found


@pytest.mark.thorough
def test_each_folder_gets_its_own_verdict(answer, environment, folders, tmp_path):
    whole, port = folders
    token = uuid.uuid4().hex  # whatever is started inherits it
    table, page = tmp_path / "class.csv", tmp_path / "class.html"
    words = ["check-class", whole, "--stage", "1", "--jobs", "3"]
    code, output, errors = answer(
        *("-m", "tutorial", *words, "--csv", table, "--html", page),
        env=environment(*free_ports(2), TEST_TOKEN=token, **LIMITS.write()),
        patience=PATIENCE,
    )
    assert (code, errors) == (1, ""), errors
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = {row["folder"]: row for row in csv.DictReader(file)}
    says = {name: row["first failure"] for name, row in rows.items()}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "ann": "right",
        "bob hangs": "did not start",
        "cara floods": "did not start",
        "dora forks": "did not start",
        "emil": "did not start",
        "fred": "did not start",
        "gina": "no project",
        NASTY: "did not start",
        f"'{FORMULA}": "right",
    }, says
    assert "was not done after 12 s" in says["bob hangs"]
    assert "more than 1 MB of output" in says["cara floods"]
    assert "processes" in says["dora forks"]
    assert (rows["ann"]["passed"], rows["gina"]["passed"]) == ("6", "0")
    assert rows["ann"]["List the rooms"] == "passed"
    for name in rows:
        assert name.removeprefix("'")[:20] in output
    assert not carriers(token)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
    assert_harmless(page.read_text("utf-8"))


class Tags(HTMLParser):
    """The tags and addresses of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [text for name, text in attrs if name in ("src", "href")]


def assert_harmless(text):
    """The page loads nothing, runs nothing, and shows text of others as text."""
    found = Tags(text)
    assert not found.tags & {"script", "img", "link", "iframe", "object", "base"}
    assert not found.addresses
    [style] = re.findall(r"<style>(.*)</style>", text, re.S)
    assert not re.search(r"url\(|@import", style)
    assert "default-src 'none'" in text
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def made_up(says, kind=Kind.WRONG):
    """A verdict whose every text is `says`."""
    stage = find_stage("1")
    tasks = [TaskResult(task) for task in tasks_of(stage)]
    verdict = Verdict(stage, stage.folder, kind, tasks)
    failure = Failure(says, says, [says], says, [says], [says])
    verdict.conclude(kind, failure, tasks[0].task)
    return verdict


def test_whatever_a_program_says_is_text(tmp_path):
    for says in (f"</pre>{NASTY}", "{{ 1 }}{% load x %}", "\x1b[31m=1", "\0"):
        done = {tmp_path / "one": made_up(f"{says} {NASTY}")}
        assert_harmless(many.as_html(find_stage("1"), done))
        assert "\x1b" not in many.as_csv(done)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", " =1", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text):
    assert many.cell(text).startswith("'")
    assert many.cell("plain = text") == "plain = text"


@pytest.mark.thorough
def test_the_page_fits_a_phone_and_the_dark(tmp_path, chromium):
    done = {tmp_path / (name * 60): made_up(f"{name} " * 200) for name in "ab"}
    file = tmp_path / "class.html"
    file.write_text(many.as_html(find_stage("1"), done), "utf-8")
    asked = []
    phone = {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark"}
    with chromium.new_context(**phone) as window:
        page = window.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        page.locator("summary").first.click()
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
        assert not found.response["violations"], found.generate_report()
        width = page.evaluate("document.documentElement.scrollWidth")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert width <= 320
    assert paper == "rgb(18, 18, 18)"
    assert asked == [file.as_uri()]


def test_a_folder_without_folders_is_a_sentence(answer, tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        words = ["check-class", folder, "--stage", "1"]
        code, output, errors = answer("-m", "tutorial", *words)
        assert (code, output) == (6, "")
        assert len(errors.strip().splitlines()) == 1


@pytest.mark.thorough
def test_ctrl_c_ends_them_all(tool, ports, folders):
    whole, _ = folders
    django, chat = ports
    run = tool("check-class", whole, "--stage", "1", django=django, chat=chat)
    run.wait_for("1 of 9")
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130
    assert "Traceback" not in run.output
    wait_until(lambda: not run.family(), lambda: "the end of all", 5)
