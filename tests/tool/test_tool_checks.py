"""The checks of run and doctor, on worlds made up and on this one."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.servers import wait_until
from tutorial.doctor import checks
from tutorial.doctor.checks import Port, Ports, Program
from tutorial.doctor.mistakes import name_mistakes, shorten
from tutorial.stages import find_stage

BUSY = OSError(errno.EADDRINUSE, "in use")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"DJANGO_PORT": "abc"}, "DJANGO_PORT is 'abc', which is no port."),
        ({"CHAT_PORT": "70000"}, "CHAT_PORT is '70000', which is no port."),
        ({"CHAT_PORT": "0"}, "CHAT_PORT is '0', which is no port."),
        ({"DJANGO_PORT": "٣"}, "which is no port"),
        ({"CHAT_PORT": "8000"}, "are both 8000"),
    ],
)
def test_what_is_no_port_is_one_sentence(environ, words):
    with pytest.raises(ValueError, match=words.replace("'", ".")):
        Ports.read(environ)


def test_the_usual_ports():
    assert Ports.read({}) == Ports.read({"DJANGO_PORT": ""}) == Ports(8000, 1025)


def test_an_old_python_is_told_to_go():
    found = checks.check_python((3, 8, 18), "python3")
    assert found.level == "problem"
    assert "needs Python 3.11 or newer, and python3 is Python 3.8.18" in str(found)
    assert checks.check_python((3, 11, 0), "python3").level == "ok"


def test_a_forgotten_environment_is_noted(tmp_path):
    assert "make setup" in checks.check_environment(Path("/usr"), tmp_path).cure
    python = checks.python_of(tmp_path / ".venv")
    python.parent.mkdir(parents=True)
    python.touch()
    assert ".venv" in checks.check_environment(Path("/usr"), tmp_path).cure
    assert checks.check_environment(tmp_path / ".venv", tmp_path).level == "ok"


REQUIRES = {
    "twisted": ["attrs>=22", "wsproto>=1; extra == 'websocket'", "h2; extra == 'h2'"],
    "attrs": ["odd>=1; python_version < '3'"],
    "wsproto": ["h11<1"],
    "h11": [],
}
VERSIONS = {"twisted": "26.10.0", "attrs": "26.1", "wsproto": "1.3.2", "h11": "0.16"}
LOCK = {"twisted": "26.10.0", "attrs": "26.1"}


def packages(**changes):
    versions = {**VERSIONS, **changes}
    return checks.check_packages(
        ["Twisted[websocket]>=26.10"], REQUIRES.get, versions.get, LOCK
    )


def test_all_packages_are_there():
    (found,) = packages()
    assert found.level == "ok"
    assert "Twisted 26.10.0" in found.says


def test_the_package_of_an_extra_is_missing():
    (found,) = packages(wsproto=None)
    assert found.level == "problem"
    assert "wsproto is missing, which Twisted[websocket] needs." in found.says
    assert "bootstrap.py run --again" in found.cure


def test_a_package_is_too_old():
    (found,) = packages(twisted="24.7.0")
    assert found.says == "twisted is 24.7.0, but >=26.10 is needed."


def test_another_version_than_the_tested_one_is_only_noted():
    found = packages(attrs="27.0")
    assert [one.level for one in found] == ["ok", "note"]
    assert "attrs 27.0 (tested: 26.1)" in found[1].says


def test_what_is_missing_here_may_be_in_the_forgotten_environment(
    monkeypatch, tmp_path
):
    python = checks.python_of(tmp_path / ".venv")
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    monkeypatch.setattr(checks, "read_group", lambda group: ["nowhere-to-be-found"])
    (tmp_path / "requirements.lock").touch()
    text = checks.problems_in(checks.python_findings("test"))
    assert "To use the one inside: .venv" in text
    assert "nowhere-to-be-found is missing" in text
    assert "bootstrap.py test --again" in text


def test_a_free_port_and_one_that_others_hold():
    other = Program(7, ("/usr/bin/httpd", "-D"), "/")
    found = checks.check_ports(
        [
            Port("Django", "DJANGO_PORT", 8000, BUSY, other, 8001),
            Port("the chat server", "CHAT_PORT", 1025),
        ],
        [],
        Path("/clone"),
    )
    assert [one.level for one in found] == ["problem", "ok"]
    assert "Port 8000, for Django, is in use by httpd -D (pid 7)." in str(found[0])
    assert "DJANGO_PORT=8001" in found[0].cure


def test_a_holder_that_is_secret_and_a_port_that_is_forbidden():
    denied = OSError(errno.EACCES, "denied")
    secret, forbidden = checks.check_ports(
        [
            Port("Django", "DJANGO_PORT", 8000, BUSY, None, 8001),
            Port("the chat server", "CHAT_PORT", 80, denied, None, 1024),
        ],
        [],
        Path("/clone"),
    )
    assert "8000" in secret.cure
    assert "another user" in secret.says
    assert "does not let you use" in forbidden.says


def test_only_the_servers_of_one_run_are_named(tmp_path):
    (tmp_path / "django_twisted_chat").mkdir()
    folder = str(tmp_path)
    manage = ("python", "manage.py", "runserver", "127.0.0.1:8000")
    twistd = ("python", "/bin/twistd", "-n", "-y", "chatserver.py")
    first = [Program(1, manage, folder, "a"), Program(2, twistd, folder, "a")]
    second = [Program(3, manage, folder, "b"), Program(4, twistd, folder, "b")]
    # By hand: runserver with its child, and a chat server of somebody else.
    third = [Program(5, manage, folder), Program(6, manage, folder)]
    fourth = [Program(7, twistd, "/elsewhere")]
    servers = [*first, *second, *third, *fourth]
    assert all(one.is_ours for one in servers)
    found = checks.check_leftovers(servers, tmp_path)
    assert [one.level for one in found] == ["problem"] * 3 + ["note"]
    ends = ["kill 1 2", "kill 3 4", "kill 5 6", "kill 7"]
    assert [one.cure.rpartition(": ")[2] for one in found] == ends

    (both,) = checks.check_ports(
        [
            Port("Django", "DJANGO_PORT", 8000, BUSY, second[0], 8001),
            Port("the chat server", "CHAT_PORT", 1025, BUSY, second[1], 1026),
        ],
        servers,
        tmp_path,
    )
    assert both.says.startswith("Ports 8000 and 1025 are in use by a server of this")
    assert "`kill 3 4`" in both.cure
    assert "DJANGO_PORT=8001 CHAT_PORT=1026" in both.cure
    (elsewhere,) = checks.check_ports(
        [Port("the chat server", "CHAT_PORT", 1025, BUSY, fourth[0], 1026)],
        servers,
        tmp_path,
    )
    assert "kill" not in elsewhere.cure


def test_a_server_under_check_is_nothing_to_speak_of(tmp_path):
    words = [sys.executable, "-c", "input()", "twistd", "chatserver.py"]
    pids = []
    for environ in (os.environ, {**os.environ, "TUTORIAL_KEPT": "/home/me/mychat"}):
        with subprocess.Popen(words, env=environ, stdin=subprocess.PIPE) as one:
            try:
                found = [program.pid for program in checks.running_servers()]
                pids.append(one.pid in found)
            finally:
                one.communicate(b"\n")
    assert pids == [True, False]


def test_another_django_project_is_not_ours(tmp_path):
    command = ("python", "manage.py", "runserver")
    assert not Program(1, command, str(tmp_path)).is_ours
    assert not Program(1, ("vim", "chatserver.py"), str(tmp_path)).is_ours


def test_the_command_that_ends_servers_on_windows():
    assert checks.end_command([1, 2], windows=True) == "taskkill /F /PID 1 /PID 2"


def test_the_wrong_folder(tmp_path):
    here = tmp_path / "my chat"
    assert checks.check_folder(here, here).level == "ok"
    assert f"cd '{here}'" in checks.check_folder(tmp_path, here).cure


def test_notes_are_no_problems(tmp_path):
    [database] = checks.check_database(tmp_path)
    assert database.level == "note"
    assert "chromium" in checks.check_browser(None).cure
    assert checks.check_browser("/usr/bin/chromium").level == "ok"
    assert checks.check_git(None).level == "problem"


def test_a_chromium_that_is_named_and_not_there_is_told(monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    says = "CHROMIUM names '/nowhere/chromium', and there is no such program"
    assert says in str(checks.check_browser(checks.find_browser()))


def test_a_folder_beside_the_project_is_put_right(tmp_path):
    project = tmp_path / "unpacked" / "mychat"
    (project / "chat").mkdir(parents=True)
    (project / "manage.py").touch()
    for folder in (tmp_path, project.parent, project / "chat"):
        assert checks.check_stage(folder).cure == f"Do you mean {project}?"
    assert checks.check_stage(project).level == "ok"
    assert "There is no folder" in checks.check_stage(tmp_path / "x").says


def levels(findings):
    return [finding.level for finding in findings]


def test_migrations_that_were_not_made_or_not_run(tmp_path):
    folder = find_stage("1").copy_to(tmp_path / "mychat")
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "chat"]
    subprocess.run([*migrate, "0001"], cwd=folder, check=True)
    before = (folder / "db.sqlite3").read_bytes()
    [found] = checks.check_database(folder)
    assert found.level == "note"
    assert "has not seen chat.0002_demo_rooms; `run` brings it." in found.says
    assert (folder / "db.sqlite3").read_bytes() == before

    subprocess.run(migrate, cwd=folder, check=True)
    assert levels(checks.check_database(folder)) == ["ok"]

    (folder / "chat" / "migrations" / "__init__.py").unlink()
    found = checks.check_database(folder)[0]
    assert found.level == "problem"
    assert "chat/migrations of mychat has no __init__.py" in found.says
    assert found.cure.endswith("__init__.py.")

    for file in (folder / "chat" / "migrations").glob("0*.py"):
        file.unlink()
    [found] = checks.check_database(folder)
    assert found.level == "problem"
    assert "The app chat of mychat has models" in found.says
    assert found.cure.endswith("python manage.py makemigrations chat")


def test_a_database_that_is_none_is_left_alone(tmp_path):
    folder = find_stage("1").copy_to(tmp_path / "mychat")
    (folder / "db.sqlite3").write_bytes(b"not a database")
    assert levels(checks.check_database(folder)) == ["note"]
    assert (folder / "db.sqlite3").read_bytes() == b"not a database"


@pytest.mark.parametrize(
    ("origins", "level", "says"),
    [
        (None, "ok", ""),
        ("", "ok", ""),
        ("http://localhost:8000, http://127.0.0.1:8000", "ok", ""),
        ("http://localhost:8000", "problem", "localhost and 127.0.0.1 are two sites"),
        ("http://127.0.0.1:9000", "problem", "without http://127.0.0.1:8000"),
    ],
)
def test_origins_that_shut_the_page_out(origins, level, says):
    environ = {} if origins is None else {"CHAT_ORIGINS": origins}
    found = checks.check_origins(environ, Ports(8000, 1025))
    assert found.level == level
    assert says in str(found)


def test_what_localhost_means():
    assert checks.check_localhost(["::1", "127.0.0.1"]).level == "ok"
    found = checks.check_localhost(["::1"])
    assert found.level == "note"
    assert "localhost is ::1, and the servers listen on 127.0.0.1" in found.says
    assert "localhost is nothing" in checks.check_localhost([]).says


ENVIRON = {
    "CHAT_PORT": "1025",
    "CHAT_ORIGINS": "http://127.0.0.1:8000,http://elsewhere",
}


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("ModuleNotFoundError: No module named 'nowhere.to'", "package of nowhere.to"),
        ("No module named 'twisted.web.websocket'", "Twisted cannot do WebSockets"),
        ("builtins.ModuleNotFoundError: No module named 'chat.x'", "is a chat in"),
        ("OperationalError: no such table: chat_chatroom", "no table chat_chatroom"),
        ("You have 3 unapplied migration(s).", "not all of its tables"),
        ("Couldn't listen on 127.0.0.1:1026: [Errno 98]", "wants port 1026"),
        ("Couldn't listen on 127.0.0.1:1025: [Errno 98]", "Another program has"),
        ("Error: That port is already in use.", "Another program has the port"),
        ("origin b'http://localhost:8000' may not speak here", "are two sites"),
        ("origin b'http://127.0.0.1:8000' may not speak here", "the page's own"),
    ],
)
def test_the_usual_mistakes_are_known_by_their_traces(output, says, tmp_path):
    (tmp_path / "chat").mkdir()
    [found] = name_mistakes(f"before\n{output}\nafter", tmp_path, ENVIRON)
    assert says in found.says
    assert found.cure


@pytest.mark.parametrize(
    "output",
    [
        "",
        "origin b'http://evil.example' may not speak here",
        "origin b'http://127.0.0.1:8000.evil.example' may not speak here",
        "origin b'http://127.0.0.1:1' may not speak here",
    ],
)
def test_what_is_no_mistake_is_not_named(output, tmp_path):
    assert name_mistakes(output, tmp_path, ENVIRON) == []


def test_of_a_traceback_only_the_learners_lines_are_shown(tmp_path):
    text = f"""\
2026-01-01T00:00:00+0000 [stderr#error] Traceback (most recent call last):
2026-01-01T00:00:00+0000 [stderr#error]   File "/lib/site-packages/a.py", line 1, in b
2026-01-01T00:00:00+0000 [stderr#error]     b()
2026-01-01T00:00:00+0000 [stderr#error]     ^^^
  File "<frozen importlib._bootstrap>", line 1204, in _gcd_import
  File "{tmp_path}/chat/views.py", line 7, in index
    return 1 / 0
           ~~^~~
\x1b[31mZeroDivisionError\x1b[0m: division by \x07zero
"""
    assert shorten(text, tmp_path) == [
        "Traceback (most recent call last):",
        '  File "chat/views.py", line 7, in index',
        "    return 1 / 0",
        "           ~~^~~",
        "ZeroDivisionError: division by zero",
    ]
    assert shorten(text, tmp_path, most=1) == ["ZeroDivisionError: division by zero"]


@pytest.mark.thorough
def test_run_names_the_usual_mistake(answer, ports, tmp_path, environment):
    folder = find_stage("2").copy_to(tmp_path / "mychat")
    (folder / "chatserver.py").write_text("import nowhere_to_be_found\n")
    env = environment(*ports)
    code, _, errors = answer("-m", "tutorial", "run", folder, env=env)
    assert code == 1
    assert "The package of nowhere_to_be_found is not installed for" in errors
    (folder / "chat" / "urls.py").write_text("import nowhere_else\n")
    code, _, errors = answer("-m", "tutorial", "run", folder, env=env)
    assert code == 1
    assert "The package of nowhere_else is not installed for" in errors
    assert "site-packages" not in errors
    env["CHAT_ORIGINS"] = f"http://localhost:{ports[0]}"
    code, _, errors = answer("-m", "tutorial", "run", folder, env=env)
    assert code == 1
    assert "localhost and 127.0.0.1 are two sites" in errors


def test_doctor_looks_into_a_folder(answer, tmp_path, environment, ports):
    folder = find_stage("1").copy_to(tmp_path / "mychat")
    for file in (folder / "chat" / "migrations").glob("0*.py"):
        file.unlink()
    env = environment(*ports)
    code, output, _ = answer("-m", "tutorial", "doctor", folder, env=env)
    assert code == 1
    assert "ok       mychat can be run." in output
    assert "makemigrations chat" in output
    code, output, _ = answer("-m", "tutorial", "doctor", tmp_path, env=env)
    assert code == 1
    assert f"Do you mean {folder}?" in output


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="kills as Unix does")
def test_doctor_and_run_name_what_a_killed_runner_left(
    tool, answer, ports, chat_folder, environment
):
    django, chat = ports
    run = tool("run", chat_folder, django=django, chat=chat)
    run.wait_for("Press Ctrl-C to stop.")
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    servers = [*run.find("runserver"), *run.find("chatserver.py")]
    pids = sorted(process.pid for process in servers)
    assert len(pids) == 3

    env = environment(django, chat)
    code, output, errors = answer("-m", "tutorial", "doctor", env=env)
    assert code == 1, output + errors
    assert f"Ports {django} and {chat} are in use by a server" in output
    command = checks.end_command(pids)
    assert f"with `{command}`" in output
    assert f"A server of this tutorial runs in {chat_folder}" in output

    code, output, errors = answer("-m", "tutorial", "run", chat_folder, env=env)
    assert code == 1
    assert len(errors.strip().splitlines()) == 1, errors
    assert f"Ports {django} and {chat} are in use by a server" in errors
    assert f"with `{command}`" in errors

    # One that ends with another may be gone when its turn comes, and kill says so.
    subprocess.run(command, shell=True, check=False, stderr=subprocess.DEVNULL)
    wait_until(lambda: not run.family(), lambda: "the end of what was left", 30)


def test_run_names_the_program_that_has_the_port(
    answer, ports, chat_folder, environment
):
    django, chat = ports
    code = f"import socket; s = socket.create_server(('127.0.0.1', {django}));"
    code += "print('here', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        code, _, errors = answer(
            *("-m", "tutorial", "run", chat_folder), env=environment(django, chat)
        )
        holder.communicate(b"\n")
    assert code == 1
    assert f"Port {django}, for Django, is in use by" in errors
    assert f"(pid {holder.pid})" in errors
    assert len(errors.strip().splitlines()) == 1


def test_doctor_says_what_is_fine(answer):
    code, output, errors = answer("-m", "tutorial", "doctor")
    assert not errors
    assert "All packages are there: Django " in output
    assert "This is the tutorial's folder" in output
    problems = [line for line in output.splitlines() if line.startswith("problem")]
    assert code == bool(problems)


def test_this_process_can_be_looked_at():
    me = checks.program(os.getpid())
    assert me.folder == str(Path.cwd())
    assert me.command == tuple(psutil.Process().cmdline())
    assert checks.program(2**22 + 1) == Program(2**22 + 1)
