"""`python -m tutorial run`: what it starts, it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
from urllib.request import urlopen

import pytest

from tests.support.servers import wait_until
from tutorial.doctor.checks import Ports
from tutorial.processes import no_pidfile
from tutorial.run import runner

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="sends signals that Windows does not have"
)


def answers(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def assert_nothing_left(ports):
    def check(run):
        wait_until(
            lambda: not run.family(), lambda: "the end of all that it started", 30
        )
        assert not any(answers(port) for port in ports)

    return check


def test_ctrl_c_ends_all_and_the_next_start_works_at_once(
    tool, ports, chat_folder, interrupt, assert_nothing_left
):
    django, chat = ports
    first = tool("run", chat_folder, django=django, chat=chat)
    first.wait_for("Press Ctrl-C to stop.")
    assert first.output.count(f"Open http://127.0.0.1:{django}/\n") == 1
    assert answers(django)
    assert answers(chat)
    assert len(first.find("runserver")) == 2, "with its reloading child"
    interrupt(first)
    assert first.end() == 130
    assert first.output.endswith("Stopped.\n")
    assert "Traceback" not in first.output
    assert_nothing_left(first)
    assert not (chat_folder / "twistd.pid").exists()

    second = tool("run", chat_folder, django=django, chat=chat)
    second.wait_for(f"Open http://127.0.0.1:{django}/\n")
    # The chat server dies, and Django goes with it.
    (server,) = second.find("chatserver.py")
    server.kill()
    assert second.end() == 1
    assert "twisted was killed by signal SIGKILL" in second.output
    assert "django was stopped as well." in second.output
    assert_nothing_left(second)


@pytest.mark.thorough
def test_a_killed_reloader_ends_all_although_its_child_serves_on(
    tool, ports, chat_folder, assert_nothing_left
):
    django, chat = ports
    run = tool("run", chat_folder, django=django, chat=chat)
    run.wait_for("Press Ctrl-C to stop.")
    run.find("runserver")[0].kill()
    assert run.end() == 1
    assert "django was killed by signal SIGKILL" in run.output
    assert_nothing_left(run)


@pytest.mark.thorough
def test_a_closed_terminal_ends_all(
    tool, ports, chat_folder, interrupt, assert_nothing_left
):
    django, chat = ports
    # Under nohup it is ignored, and what we start would ignore it, too.
    usual = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        run = tool("run", chat_folder, django=django, chat=chat)
    finally:
        signal.signal(signal.SIGHUP, usual)
    run.wait_for("Press Ctrl-C to stop.")
    interrupt(run, signal.SIGHUP)
    assert run.end() == 128 + signal.SIGHUP
    assert_nothing_left(run)


@pytest.mark.thorough
def test_a_closed_terminal_interrupts_nobody_in_the_middle_of_a_line(
    tool, ports, chat_folder, interrupt, assert_nothing_left
):
    django, chat = ports
    run = tool("run", chat_folder, django=django, chat=chat)
    run.wait_for("Press Ctrl-C to stop.")
    for reporter in run.find("spawn_main"):
        reporter.send_signal(signal.SIGHUP)
    with urlopen(f"http://127.0.0.1:{django}/chats/?is=told") as page:
        assert page.status == 200
    run.wait_for("?is=told")
    interrupt(run)
    assert run.end() == 130
    assert_nothing_left(run)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_while_the_servers_start_ends_all(
    tool, ports, chat_folder, interrupt, assert_nothing_left, signum, code
):
    django, chat = ports
    run = tool("run", chat_folder, django=django, chat=chat)
    run.wait_for("starting the servers")
    # With a reporter there, honcho's loop runs, and no server has a pid yet.
    wait_until(lambda: run.find("spawn_main"), lambda: "a reporter of honcho", 30)
    interrupt(run, signum)
    assert run.end() == code
    assert_nothing_left(run)


def test_a_chat_server_that_cannot_start_is_said(
    tool, ports, chat_folder, tmp_path, assert_nothing_left
):
    from tutorial.stages import copy_stage

    django, chat = ports
    folder = copy_stage(chat_folder, tmp_path / "broken")
    (folder / "chatserver.py").write_text("import nowhere_to_be_found\n")
    run = tool("run", folder, django=django, chat=chat)
    assert run.end() == 1
    assert "nowhere_to_be_found" in run.output
    assert "Error: twisted ended with exit code 1" in run.output
    assert_nothing_left(run)


def test_a_server_that_is_late_is_named(monkeypatch, ports):
    monkeypatch.setattr(runner, "SLOW", 0.0)
    servers = runner.Servers()
    over = threading.Event()
    said = []

    def listen(text, name=""):
        said.append(text)
        over.set()

    servers.tell = listen
    servers.watch("no mark", {"twisted": ports[1]}, "ready", over)
    assert f"no answer from twisted on port {ports[1]}" in said[0]


def test_the_environment_of_the_servers():
    ports = Ports(8001, 1026)
    inner = runner.environment(ports, {"DJANGO_SETTINGS_MODULE": "other.settings"})
    assert inner["CHAT_ORIGINS"] == "http://127.0.0.1:8001,http://localhost:8001"
    assert inner["CHAT_PORT"] == "1026"
    assert "DJANGO_SETTINGS_MODULE" not in inner
    own = runner.environment(ports, {"CHAT_ORIGINS": "http://example.org"})
    assert own["CHAT_ORIGINS"] == "http://example.org"


def test_a_stage_without_chat_server_has_one_server(tmp_path):
    assert list(runner.commands(tmp_path, Ports(8000, 1025))) == ["django"]


def test_twistd_is_told_of_no_pid_file_where_it_can_be():
    assert no_pidfile(windows=False) == ["--pidfile="]
    assert no_pidfile(windows=True) == [], "its Windows options refuse that one"


def test_a_command_survives_the_shell(tmp_path):
    words = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "a 'b", "$c"]
    line = runner.shell_line(words)
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert done.stdout == "[\"a 'b\", '$c']\n"
    windows = runner.shell_line([r"C:\my chat\python.exe", "-m", "x"], windows=True)
    assert windows == r'"C:\my chat\python.exe" -m x'
    windows = runner.shell_line([r"C:\ann&bob\python.exe", "-m", "x"], windows=True)
    assert windows == r'"C:\ann&bob\python.exe" -m x'


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "7"], 1, "There is no stage '7'. There is 1 (stage1_django_ui)"),
        (["check", "", "--path", "."], 2, "Which stage? There is 1 (stage1_django_ui)"),
        (["run", "/nowhere/mychat"], 1, "There is no folder /nowhere/mychat."),
        (["doctor", "mkdocs.yml"], 1, "mkdocs.yml is a file."),
        (["run", os.curdir], 1, "holds no manage.py, so it is no Django project."),
        (["diff", "1", "7"], 2, "There is no stage '7'."),
        (["diff", "1", "stage1_django_ui"], 1, "Both are stage1_django_ui."),
    ],
)
def test_a_wrong_word_is_one_sentence(answer, words, code, message):
    ended, output, errors = answer("-m", "tutorial", *words)
    assert ended == code
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not output
