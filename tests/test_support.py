"""What the tests stand on leaves nothing behind, whatever happens."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import Context
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from django.db import connections
from playwright.sync_api import Error

from tests.browser.conftest import Window, profile
from tests.support import servers, standby
from tests.support.chromium import PLAYWRIGHT_LEAVES_OUT
from tests.support.clients import Client
from tests.support.engine import Engine
from tests.support.html import forms_in, parse
from tests.support.keeping import guarded
from tests.support.pages import top
from tests.support.polling import Poller, post
from tests.support.postgres import Postgres, why_no_postgres
from tests.support.servers import (
    Chat,
    Idle,
    Manage,
    ManyChats,
    NotStarted,
    Original,
    Server,
    Target,
    comes_true,
    free_ports,
    wait_until,
)
from tests.support.standby import CAN_FORK
from tests.support.whitebox import chat_classes
from tests.support.wording import plainly
from tutorial.processes import below, end, is_gone, kill_all
from tutorial.run.engine import EngineError, ask, find_binary, why_no_binary
from tutorial.stages import ROOT, copy_stage, find_stage


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import threading; threading.Event().wait()", "listens on"),
        ("raise SystemExit(3)", "should start, but it ended"),
    ],
    ids=["never-listens", "ends-at-once"],
)
def test_a_server_that_does_not_start_is_ended_and_quoted(
    code, says, tmp_path, monkeypatch
):
    monkeypatch.setattr(servers, "START_SECONDS", 1.0)
    code = f"import os; print('here: process', os.getpid(), flush=True); {code}"
    command = [sys.executable, "-c", code]
    server = Server("It", command, tmp_path, {}, tmp_path / "log")
    with pytest.raises(AssertionError, match=says) as failed:
        server.start(*free_ports(1))
    quoted = re.search(r"here: process (\d+)", str(failed.value))
    assert quoted, f"Its output is quoted, but the message is: {failed.value}"
    assert not psutil.pid_exists(int(quoted[1]))


def test_what_a_test_opens_is_closed_where_an_event_loop_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/chat.sqlite3")

    def opened():
        connections["default"].ensure_connection()
        return connections["default"]

    async def after_a_browser_was_used():
        loop = asyncio.get_running_loop()
        with chat_classes(find_stage("4_persistence").folder):
            # pytest-twisted gives each test a context of its own.
            its_own = Context().run(opened)
            assert its_own.connection is not None
        assert its_own.connection is None
        assert asyncio._get_running_loop() is loop, "the browser needs it again"

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, after_a_browser_was_used()).result()


WAITING = """
from pathlib import Path
from threading import Event

import pytest_twisted
from twisted.internet.defer import Deferred

SINCE_STAGE = 1


def note(chat):
    assert chat.django
    pids = [server.process.pid for server in chat.servers]
    Path(__file__).with_name("pids").write_text(" ".join(map(str, pids)))


def test_that_waits(chat):
    note(chat)
    Event().wait()


@pytest_twisted.ensureDeferred
async def test_that_awaits(chat):
    note(chat)
    await Deferred()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no signal for that")
@pytest.mark.thorough
@pytest.mark.parametrize("which", ["waits", "awaits"])
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_terminating_the_tests_ends_their_servers(workers, which, tmp_path):
    waiting, pids, log = (tmp_path / name for name in ("test_it.py", "pids", "log"))
    waiting.write_text(WAITING)
    words = [workers, "--stage=5", f"--basetemp={tmp_path}/base"]
    words += ["-cpyproject.toml", "-pconftest", "-pno:cacheprovider"]
    outer = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    with log.open("w") as output:
        tests = subprocess.Popen(
            [sys.executable, "-m", "pytest", *words, f"{waiting}::test_that_{which}"],
            cwd=ROOT,
            env=outer,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    family = []
    try:
        wait_until(lambda: pids.exists() and pids.read_text(), log.read_text, 60)
        family = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
        os.killpg(tests.pid, signal.SIGTERM)
        tests.wait(10)
        assert not [one for one in family if not is_gone(one.pid)], log.read_text()
    finally:
        kill_all(lambda: [*below(tests.pid), *family])
        tests.kill()
        tests.wait()


@pytest.mark.parametrize("autoload", ["", "1"], ids=["pytest", "check"])
def test_where_a_reactor_may_run_it_ends_with_the_tests(autoload, tmp_path):
    # By hand the plugin is there that runs tests in a reactor, which takes SIGTERM.
    words = ["--stage=1", f"--path={find_stage('1').folder}", "--trace-config", "--co"]
    words += ["tests/contract/test_1_django_ui.py", f"--basetemp={tmp_path}/base"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": autoload} if autoload else {}
    command = [sys.executable, "-m", "pytest", *words, "-pno:cacheprovider"]
    told = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert ("tests.support.in_process" in told.stdout) == (not autoload)


@pytest.mark.skipif(bool(why_no_postgres()), reason=why_no_postgres() or "it is there")
def test_a_postgresql_that_cannot_be_made_is_quoted_and_leaves_nothing(monkeypatch):
    with tempfile.TemporaryDirectory() as name:
        initdb = Path(name, "initdb")
        initdb.write_text("#!/bin/sh\necho the disk is full\nexit 1\n")
        # PostgreSQL is another user, if we are root.
        initdb.chmod(0o755)
        initdb.parent.chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", name)
        with (
            pytest.raises(AssertionError, match="the disk is full"),
            Postgres(initdb.parent),
        ):
            pass
        assert [*initdb.parent.iterdir()] == [initdb]


PLAYWRIGHT = {
    "Locator expected not to contain text 'Connected.'\nActual value: Connected. \n"
    'Call log:\n  - Expect "not_to_contain_text" get_by_role("status") with timeout': (
        'The line that says how things are, role="status", should no longer show '
        "'Connected.'. It still shows 'Connected.'."
    ),
    "Bob sees it\nExpected value: 'hello'\nActual value: None\n"
    "Error: element(s) not found \n"
    'Call log:\n  - Expect "to_contain_text" get_by_role("log") with timeout 5000ms': (
        "Bob sees it: the list of messages, role=\"log\", should show 'hello', but it "
        "is not on the page."
    ),
    "It is greeted\nExpected value: re.compile('connected ?\\\\.', re.IGNORECASE)\n"
    "Actual value: \n"
    'Call log:\n  - Expect "to_contain_text" get_by_role("log") with timeout 5000ms': (
        'It is greeted: the list of messages, role="log", should show what fits the '
        "pattern 'connected ?\\.'. It shows ''."
    ),
    "Locator.fill: Timeout 8000ms exceeded.\nCall log:\n"
    '  - waiting for get_by_role("textbox")\n': (
        "The page should have the input box to work with, but it was not there, or "
        "could not be used, within 8 s."
    ),
    "Locator.click: Timeout 8000ms exceeded.\nCall log:\n"
    '  - waiting for locator("[data-state]").filter(has_text="not this one")'
    '.get_by_role("button", name=re.compile(r"remove", re.IGNORECASE))\n': (
        "The page should have a button like 'remove' to work with, but it was not "
        "there, or could not be used, within 8 s."
    ),
    "Locator.click: Timeout 8000ms exceeded.\nCall log:\n"
    '  - waiting for get_by_role("button", name="Send")\n': (
        "The page should have the button 'Send' to work with, but it was not "
        "there, or could not be used, within 8 s."
    ),
    "Page.wait_for_function: Timeout 8000ms exceeded.": (
        "The page should have come further within 8 s (wait_for_function)."
    ),
    "Ann should hear it.": "Ann should hear it.",
}


@pytest.mark.parametrize(("text", "says"), PLAYWRIGHT.items())
def test_what_playwright_says_is_said_in_a_sentence(text, says):
    assert plainly(text) == says


@pytest.mark.parametrize("code", ["input()", "while True: pass"])
def test_who_sleeps_or_computes_on_is_stuck(monkeypatch, code):
    monkeypatch.setattr("tests.support.servers.STUCK", 0.3)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as one:
        try:
            idle = Idle(one.pid)
            wait_until(idle.is_stuck, lambda: "it is seen to be stuck")
        finally:
            one.kill()


@pytest.fixture
def manage(tmp_path):
    """The manage.py of a copy of stage 1, and what it has printed."""
    folder = tmp_path / "copy"
    copy_stage(find_stage("1").folder, folder)
    env = os.environ | guarded(find_stage("1").folder, tmp_path)
    with ExitStack() as stack:
        manage = Manage(folder, env, tmp_path / "log")
        stack.callback(manage.stop)
        yield manage


def test_one_process_runs_what_manage_py_is_told(manage):
    code = "import os; os.getpid() == os.getppid() or print(os.getppid(), A)"
    pids = set()
    for number in range(2):
        assert not manage.say(("shell", "--command", f"A = {number}; {code}"))
        parent, said = manage.output().splitlines()[-1].split()
        assert said == f"{number}"
        pids.add(parent)
    assert len(pids) == 1, "each command should run in a copy of one process"
    assert not manage.say(("migrate", "--verbosity", "0"))
    says = manage.say(("shell", "--command", "assert False, 'no'"))
    assert says == "ended with exit code 1" and "AssertionError: no" in manage.output()
    says = manage.say(("shell", "--command", "import os; os.kill(os.getpid(), 9)"))
    assert "SIGKILL" in says, "a command that is killed is no command that fails"
    assert manage.say(("nonsense",)) and "Unknown command: 'nonsense'" in manage.tail()
    with_env = manage.env | {"A": "b"}
    assert not manage.say(
        ("shell", "-c", "import os; print(os.environ['A'])"), with_env
    )
    assert manage.output().endswith("b\n")


@pytest.mark.thorough
def test_what_hangs_or_does_not_start_says_what_it_would_by_itself(manage, monkeypatch):
    monkeypatch.setattr(servers, "MANAGE_SECONDS", 3.0)
    code = "import threading; threading.Event().wait()"
    assert manage.say(("shell", "--command", code)) == "was not done after 3 s"
    monkeypatch.undo()
    assert not manage.say(("check",)), "after that another one does its work"
    manage.stop()
    before = manage.written()
    (manage.cwd / "chat" / "models.py").write_text("class ChatRoom(:")
    assert manage.say(("check",)) == "ended with exit code 1"
    assert manage.output(before).count("SyntaxError") == 1, (
        "said once, as one would see"
    )


def test_a_window_is_as_new_for_the_next_test(chromium):
    chat = SimpleNamespace(
        origin="http://127.0.0.1:1",
        chat_port=2,
        django=None,
        has_names=False,
        rooms=lambda **_: ["/chats/1/"],
        note=lambda what: None,
        note_status=lambda *_: None,
    )
    heard = []

    def show(window) -> Window:
        window.page.route("**/*", lambda route: route.fulfill(body="a room"))
        return window.open()

    with profile(chromium) as pages:
        with pages.windows(chat) as new_window:
            first = new_window()
            first.begin_with("window.left = true")
            first.listen("request", lambda request: heard.append(request))
            show(first).page.evaluate("""() => {
                sessionStorage.draft = "one";
                addEventListener("pagehide", () => { sessionStorage.draft = "two"; });
                addEventListener("beforeunload", (event) => event.preventDefault());
            }""")
            assert first.page.evaluate("left") and len(heard) == 1
        with pages.windows(chat) as new_window:
            second = show(new_window())
            assert second.page is first.page, "a new one costs more than all the rest"
            assert second.page.evaluate("typeof left") == "undefined"
            assert second.page.evaluate("sessionStorage.length") == 0
            assert len(heard) == 1
            second.take_clock()
        with pages.windows(chat) as new_window:
            assert new_window().page is not second.page, "its clock stays another one"


def test_what_playwright_leaves_out_of_chromium_is_left_out_still(chromium):
    with pytest.raises(Error) as failed:  # It quotes how it has tried.
        chromium.browser_type.launch(executable_path=sys.executable, timeout=5_000)
    [features] = re.findall(r"--disable-features=(\S+)", str(failed.value))[:1]
    assert sorted(features.split(",")) == sorted(PLAYWRIGHT_LEAVES_OUT)


def test_what_a_page_replaces_is_looked_for_again():
    boxes = iter([None, None, {"x": 0, "y": 7}])
    assert top(SimpleNamespace(bounding_box=lambda: next(boxes))) == 7


@pytest.mark.thorough
def test_where_python_leaves_out_assertions_no_test_is_run():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", __file__]
    env = os.environ | {"PYTHONOPTIMIZE": "1"}
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "unset PYTHONOPTIMIZE" in result.stderr
    assert "Traceback" not in result.stderr


def test_whose_number_is_given_out_again_is_not_ended_for_another():
    # The system counts to 32,768, which a busy hour does often.
    waits = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    with subprocess.Popen(waits) as other:
        try:
            ended = subprocess.Popen([sys.executable, "-c", ""])
            ended.wait()
            ended.pid = other.pid
            end(ended)
            assert other.poll() is None
        finally:
            other.kill()


needs_engine = pytest.mark.skipif(
    not find_binary(), reason=why_no_binary() or "it is there"
)


@pytest.fixture
def engine(tmp_path):
    with Engine(tmp_path / "engine") as engine:
        yield engine


def say_three(engine: Engine) -> None:
    for text in ("one", "two", "three"):
        engine.ask("XADD", "log", "1-*", "text", text)


@needs_engine
def test_an_engine_that_is_killed_comes_back_with_what_it_acknowledged(engine):
    url, pid = engine.url, engine.process.pid
    say_three(engine)
    engine.kill()
    assert is_gone(pid)
    with pytest.raises(ConnectionRefusedError):
        ask(url, "PING")
    engine.start()
    assert engine.url == url and engine.process.pid != pid
    said = engine.ask("XRANGE", "log", "-", "+")
    assert said == [
        [f"1-{n}", ["text", text]] for n, text in enumerate(("one", "two", "three"))
    ]
    engine.flush()
    engine.restart()
    assert engine.ask("DBSIZE") == 0


@needs_engine
def test_an_engine_that_keeps_nothing_comes_back_with_nothing(tmp_path):
    with Engine(tmp_path / "engine", appendonly="no") as engine:
        say_three(engine)
        engine.restart()
        assert engine.ask("XLEN", "log") == 0
        assert engine.ask("CONFIG", "GET", "appendonly") == ["appendonly", "no"]


@needs_engine
def test_an_engine_that_is_paused_keeps_its_clients_waiting(engine):
    say_three(engine)
    engine.pause()
    with pytest.raises(TimeoutError):
        engine.ask("PING", seconds=0.1)
    assert not engine.is_well
    engine.resume()
    assert engine.ask("XLEN", "log") == 3 and engine.is_well
    engine.pause()
    pid = engine.process.pid
    engine.stop()
    assert is_gone(pid), "also one that does nothing is ended"


@needs_engine
def test_the_connections_of_an_engine_can_be_cut(engine):
    with ThreadPoolExecutor(1) as pool:
        read = ("XREAD", "BLOCK", 0, "STREAMS", "log", "0-0")
        waits = pool.submit(engine.ask, *read, seconds=20)

        def blocks():
            return "blocked_clients:1" in engine.ask("INFO", "clients")

        wait_until(blocks, lambda: "somebody waits")
        engine.cut()
        assert isinstance(waits.exception(20), (EngineError, OSError))
    assert engine.ask("PING") == "PONG"


@needs_engine
def test_an_engine_is_mended_as_it_was(engine):
    say_three(engine)
    pid = engine.process.pid
    engine.mend()
    assert engine.process.pid == pid, "nothing was wrong with it"
    for spoil in (
        engine.kill,
        engine.pause,
        lambda: (engine.process.kill(), engine.process.wait()),
    ):
        spoil()
        engine.mend()
        assert engine.is_well and engine.ask("XLEN", "log") == 3
    engine.settings["appendonly"] = "no"
    engine.restart()
    engine.mend()
    assert engine.ask("CONFIG", "GET", "appendonly")[1] == "yes"


def stand_in(**more) -> Target:
    """Exercise 7, as if its servers shared an engine."""
    stage = replace(find_stage("7_strangers"), **more)
    return Target(stage, stage.folder)


@pytest.mark.thorough
@needs_engine
def test_several_servers_of_a_folder_can_be_treated_one_by_one(tmp_path):
    target = stand_in(servers=3, engine=True)
    with ManyChats(target, tmp_path) as many:
        assert len(many) == 3 and len({chat.chat_port for chat in many}) == 3
        environs = [
            psutil.Process(server.process.pid).environ() for server in many.servers
        ]
        ports = ",".join(f"127.0.0.1:{chat.chat_port}" for chat in many)
        for environ in environs:
            assert environ["CHAT_SERVERS"] == ports
            assert environ["REDIS_URL"] == many.engine.url
        assert many.engine.ask("PING") == "PONG"
        for chat in many:
            with Client(chat, "Ann") as ann:
                ann.say(f"to {chat.chat_port}")
                ann.hears(f"to {chat.chat_port}", because="each server serves")

        zero, one, two = many
        pids = [chat.twisted.process.pid for chat in many]
        one.crash()
        two.pause()
        assert is_gone(pids[1])
        process = psutil.Process(pids[2])
        assert comes_true(lambda: process.status() == psutil.STATUS_STOPPED, 5)
        assert zero.twisted.answers(5)
        two.resume()
        assert two.twisted.answers(5)
        one.come_back()
        assert one.twisted.answers(5) and one.twisted.process.pid != pids[1]

        two.pause()
        one.end()
        zero.clock.pass_by(5)
        pids = [chat.twisted.process and chat.twisted.process.pid for chat in many]
        many.mend()
        assert all(chat.twisted.answers(5) for chat in many)
        assert not zero.clock.is_moved
        after = [chat.twisted.process.pid for chat in many]
        assert not {*pids} & {*after}
        many.mend()
        assert after == [chat.twisted.process.pid for chat in many], "all are well"
        many.engine.kill()
        many.mend()
        assert many.engine.ask("PING") == "PONG"
        assert not {*after} & {chat.twisted.process.pid for chat in many}
        two.pause()
        family = [server.process.pid for server in many.servers]
        family.append(many.engine.process.pid)
    assert all(is_gone(pid) for pid in family)


@pytest.mark.thorough
@needs_engine
def test_a_chat_with_an_engine_forgets_what_that_was_told(tmp_path):
    with Chat(stand_in(engine=True), tmp_path) as chat:
        assert chat.django
        chat.engine.ask("SET", "said", "hallo")
        chat.come_back()
        assert chat.engine.ask("GET", "said") == "hallo"
        chat.restart()
        assert chat.engine.ask("GET", "said") is None
        with chat.beside() as other:
            assert other.twisted.env["REDIS_URL"] == chat.engine.url
        pid = chat.engine.process.pid
    assert is_gone(pid)


@needs_engine
def test_where_a_chat_does_not_start_its_engine_is_ended(tmp_path, monkeypatch):
    folder = find_stage("2").copy_to(tmp_path / "mychat")
    (folder / "chatserver.py").write_text("raise SystemExit(3)")
    chat = Chat(Target(stand_in(engine=True).stage, folder), tmp_path / "work")
    started = []
    start = chat.engine.start
    monkeypatch.setattr(
        chat.engine, "start", lambda: (start(), started.append(chat.engine.process.pid))
    )
    with pytest.raises(NotStarted), chat:
        pass
    [pid] = started
    assert is_gone(pid)


can_fork = pytest.mark.skipif(not CAN_FORK, reason="no process can copy itself here")


def parent(chat) -> int:
    """The process that made the chat server's."""
    return psutil.Process(chat.twisted.process.pid).ppid()


@can_fork
def test_a_chat_server_that_starts_again_is_a_copy_and_remembers_nothing(tmp_path):
    stage = find_stage("5")
    with Chat(Target(stage, stage.folder), tmp_path) as chat:
        assert parent(chat) == os.getpid()
        pids = set()
        for _ in range(2):
            post(chat, "of another day")
            chat.restart()
            assert parent(chat) == chat.standby.process.pid
            pids.add(chat.twisted.process.pid)
            post(chat, "of today")
            assert Poller(chat, "Paul").until("of today") == [], "nothing else"
        assert len(pids) == 2
        process = chat.twisted.process
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0)
        chat.crash()
        assert process.poll() == -signal.SIGKILL
        chat.come_back()
        chat.twisted.process.send_signal(signal.SIGTERM)
        assert chat.twisted.process.wait(5) == -signal.SIGTERM
        chat.come_back(CHAT_PORT=f"{chat.chat_port}")
        assert parent(chat) == os.getpid(), "another environment takes another process"
        chat.restart()
        pids |= {chat.standby.process.pid, chat.twisted.process.pid}
        with chat.beside() as other:
            assert "standby" not in vars(other), "its environment is another one"
    assert all(is_gone(pid) for pid in pids)


@can_fork
@pytest.mark.parametrize("name", ["twisted_chat/queue.py", "hyperlink/__init__.py"])
def test_what_may_mean_a_module_of_its_own_is_not_copied(name, tmp_path):
    folder = find_stage("5").copy_to(tmp_path / "mychat")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    with Chat(Target(find_stage("5"), folder), tmp_path / "work") as chat:
        chat.restart()
        assert parent(chat) == os.getpid()


@can_fork
def test_what_cannot_be_copied_says_why_it_does_not_start(tmp_path, monkeypatch):
    folder = find_stage("5").copy_to(tmp_path / "mychat")
    with Chat(Target(find_stage("5"), folder), tmp_path / "work") as chat:

        def says(word: str) -> None:
            code = f"raise SystemExit({word!r})"
            (chat.folder / "chatserver.py").write_text(code)
            with pytest.raises(NotStarted, match=f"It said: {word}"):
                chat.restart()

        says("copied")
        chat.standby.kill()
        failing = "print('not of the folder'); raise SystemExit(3)"
        chat.standby.command = [sys.executable, "-c", failing]
        says("anew")
        assert "not of the folder" not in chat.twisted.output()
        chat.standby.kill()
        chat.standby.command = [sys.executable, "-c", "import time; time.sleep(60)"]
        usual = Original.fork
        monkeypatch.setattr(Original, "fork", lambda self: usual(self, seconds=1))
        says("late")
        assert chat.standby.process is None, "who hangs is ended"


class BrokenOff(BaseException):
    """Whatever ends a test from outside."""


@can_fork
def test_a_start_that_is_broken_off_leaves_no_copy(tmp_path, monkeypatch):
    stage = find_stage("5")

    def break_off(*args) -> None:
        raise BrokenOff

    with Chat(Target(stage, stage.folder), tmp_path) as chat:
        with monkeypatch.context() as patch:
            patch.setattr(standby, "hear", break_off)  # when it has been asked for one
            with pytest.raises(BrokenOff):
                chat.restart()
        assert chat.standby.process is None and chat.twisted.process is None
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", chat.chat_port)), "nobody listens"
        chat.restart()
        assert post(chat, "all is well").status == 200
        chat.standby.process.kill()  # as a system does that has no memory left
        process = psutil.Process(chat.twisted.process.pid)
        wait_until(lambda: chat.twisted.process.poll() is not None, lambda: "it knows")
        wait_until(lambda: is_gone(process.pid), lambda: "nothing is left of it")


def test_pages_are_read_as_a_browser_reads_them():
    page = """<!doctype html><title>Rooms</title><script>let a = "of a script"</script>
    <style>p { margin: 0 }</style><script type="application/json" id="one">"it"</script>
    <ul><li><a href="/1">One</a><li>Two</ul><template><p>Many <b>more</b></template>"""
    soup = parse(page)
    assert soup.body.get_text(" ", strip=True) == "One Two"
    assert [item.get_text() for item in soup("li")] == ["One", "Two"]
    assert json.loads(soup.find(id="one").string) == "it"
    rows = "<tr><form method=post><input name=a><td><button>Go</button></form></tr>"
    [form] = forms_in(f"<table>{rows}</table>")
    assert form.find("input", attrs={"name": "a"}) and form.find("button")


def test_who_remembers_is_started_anew(tmp_path):
    stage = find_stage("3_history")
    with Chat(Target(stage, stage.folder), tmp_path) as chat:
        chat.restart()
        assert parent(chat) == os.getpid()
        chat.come_back()
        assert parent(chat) == os.getpid()


def test_without_an_engine_a_chat_is_one_server(tmp_path, monkeypatch):
    target = stand_in(engine=True)
    assert Chat(target, tmp_path / "with-none", engine=False).engine is None
    monkeypatch.setattr(servers, "why_no_engine", lambda folder: "there is none")
    chat = Chat(target, tmp_path / "none-here")
    assert chat.engine is None and "REDIS_URL" not in chat.twisted.env
