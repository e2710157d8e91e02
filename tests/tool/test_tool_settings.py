"""Each setting is read by one rule: by run, by the doctor, and by the servers."""

import ast
import math
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from ipaddress import IPv6Address

import pytest
from click.testing import CliRunner

from tutorial.check.limits import limits_here, quota
from tutorial.cli import main
from tutorial.cli.common import DOCS_PORT
from tutorial.doctor import checks
from tutorial.doctor.checks import Ports
from tutorial.run import runner
from tutorial.settings import (
    BAD_PORTS,
    as_browsers_send,
    is_debug,
    origins_of,
    plain,
    read_origins,
)
from tutorial.stages import ROOT, find_stage, load_snapshots

WITH_CHAT = [stage for stage in load_snapshots() if stage.number >= 2]


def part_of(stage, *names):
    """The parts of a stage's chatserver.py that have these names, run by themselves."""
    files = [stage.folder / "chatserver.py", stage.folder / "twisted_chat" / "door.py"]
    trees = [ast.parse(file.read_text("utf-8")) for file in files if file.exists()]
    parts = [
        node
        for tree in reversed(trees)
        for node in tree.body
        if {getattr(node, "name", None)} & {*names}
        or {getattr(one, "id", None) for one in getattr(node, "targets", [])} & {*names}
    ]
    assert len(parts) == len(names)
    found = {"os": os, "suppress": suppress, "IPv6Address": IPv6Address}
    exec(compile(ast.Module(parts, []), "chatserver.py", "exec"), found)
    return found


ORIGINS = {
    "http://127.0.0.1:8000": "http://127.0.0.1:8000",
    " http://localhost:8000\t": "http://localhost:8000",
    "HTTP://LocalHost:8000/": "http://localhost:8000",
    "http://example.org:80": "http://example.org",
    "https://example.org:443/": "https://example.org",
    "https://example.org:80": "https://example.org:80",
    "http://example.org:8080": "http://example.org:8080",
    "http://[::1]:8000": "http://[::1]:8000",
    "http://[FE80::80]:80": "http://[fe80::80]",
    "http://[fe80::80]": "http://[fe80::80]",
}


@pytest.mark.parametrize(("written", "sent"), ORIGINS.items())
def test_an_origin_is_written_as_browsers_send_it(written, sent):
    assert as_browsers_send(written) == sent


@pytest.mark.parametrize("stage", WITH_CHAT, ids=lambda stage: stage.id)
def test_the_servers_read_origins_and_ports_by_the_same_rule(stage, monkeypatch):
    names = ["DEFAULT_ORIGINS", "as_browsers_send", "NAMED", "ORIGINS", "PORT"]
    names += ["USUAL_PORTS"] if stage.number >= 11 else []
    for text in (",".join(ORIGINS), "", None, "http://a:80,,", " ", "null"):
        for name in ("CHAT_ORIGINS", "CHAT_PORT"):
            monkeypatch.delenv(name, raising=False)
        if text is not None:
            monkeypatch.setenv("CHAT_ORIGINS", text)
            monkeypatch.setenv("CHAT_PORT", "")
        found = part_of(stage, *names)
        ours = read_origins(os.environ) or origins_of(8000)
        assert found["ORIGINS"] == [origin.encode() for origin in ours]
        assert b"null" not in found["ORIGINS"]
        assert int(found["PORT"]) == Ports.read(os.environ).chat == 1025


def test_the_settings_read_debug_by_the_same_rule():
    settings = find_stage("4_persistence").folder / "django_twisted_chat/settings.py"
    [line] = [
        line for line in settings.read_text().splitlines() if line.startswith("DEBUG =")
    ]
    for text in ("1", "True", "true", "YES", "on", "0", "False", "no", "off", "", "x"):
        found = {"os": type("os", (), {"environ": {"DJANGO_DEBUG": text}})}
        exec(line, found)
        assert found["DEBUG"] == is_debug({"DJANGO_DEBUG": text}), text
    assert is_debug({}) and is_debug({"DJANGO_DEBUG": "True"})
    assert not is_debug({"DJANGO_DEBUG": "False"})


def test_a_page_on_the_usual_port_of_its_scheme_gets_in():
    ports = Ports(80, 1025)
    inner = runner.environment(ports, {})
    assert inner["CHAT_ORIGINS"] == "http://127.0.0.1,http://localhost"
    for named in (None, "", "http://127.0.0.1:80", "HTTP://127.0.0.1/"):
        environ = {} if named is None else {"CHAT_ORIGINS": named}
        assert checks.check_origins(environ, ports).level == "ok"


@pytest.mark.parametrize("name", ["DJANGO_PORT", "CHAT_PORT"])
@pytest.mark.parametrize("port", [22, 5060, 6000, 6667, 10080])
def test_a_port_that_browsers_refuse_is_a_sentence(name, port):
    with pytest.raises(ValueError, match=f"{name} is {port}, and browsers open noth"):
        Ports.read({name: str(port)})


def test_no_such_port_is_advised(monkeypatch):
    monkeypatch.setattr(checks, "bind_error", lambda port: None)
    assert checks.free_port(5999) == 5999
    assert checks.free_port(6000) == 6001
    assert checks.free_port(6665) == 6670
    assert not {checks.free_port(port) for port in range(1, 11_000)} & BAD_PORTS


def test_what_is_meant_for_the_shell_reaches_no_program_of_a_check():
    shell = {
        **{"PGSSLMODE": "require", "LC_ALL": "de_DE.UTF-8", "LANG": "tr_TR.UTF-8"},
        **{"http_proxy": "http://proxy:1", "NO_PROXY": "*", "ALL_PROXY": "socks5://x"},
        **{"PYTHONOPTIMIZE": "1", "PYTHONSAFEPATH": "1", "PYTHONPATH": "/elsewhere"},
        **{"DJANGO_DEBUG": "0", "DATABASE_URL": "x", "CHAT_KEY": "y", "PYTEST_X": "1"},
        **{"REDIS_URL": "redis://127.0.0.1:6379/0", "CHAT_SERVERS": "127.0.0.1:1"},
    }
    kept = {"HOME": "/home/me", "PATH": "/bin", "SECRET_KEY": "mine", "TEST_X": "1"}
    assert plain({**shell, **kept}) == kept


def test_run_leaves_the_shells_settings_but_for_what_would_stop_django():
    outer = {"PYTHONSAFEPATH": "1", "LANG": "de_DE.UTF-8", "DATABASE_URL": "x"}
    inner = runner.environment(Ports(8000, 1025), outer)
    assert "PYTHONSAFEPATH" not in inner
    assert (inner["LANG"], inner["DATABASE_URL"]) == ("de_DE.UTF-8", "x")


@pytest.fixture
def surroundings(tmp_path):
    """What is said of an environment, for a copy of exercise 4, as one text."""
    folder = find_stage("4_persistence").copy_to(tmp_path / "mychat")

    def say(**environ):
        found = checks.check_surroundings(environ, folder)
        return "\n".join(f"{one.level}: {one}" for one in found)

    return say


def test_what_the_environment_changes_is_said(surroundings):
    assert surroundings() == surroundings(DJANGO_DEBUG="True", DATABASE_URL="") == ""
    says = surroundings(DJANGO_DEBUG="False")
    assert says.startswith("problem: DJANGO_DEBUG is 'False', so DEBUG is off")
    says = surroundings(DATABASE_URL="postgres://me:secret@host/chat")
    assert "note: DATABASE_URL names another database: postgres://me:...@host" in says
    assert "`run` migrates it" in says and "secret" not in says
    assert "PYTHONSAFEPATH is set" in surroundings(PYTHONSAFEPATH="1")
    assert "PYTHONOPTIMIZE is set" in surroundings(PYTHONOPTIMIZE="2")


def test_settings_that_no_stage_reads_are_not_spoken_of(tmp_path):
    folder = find_stage("2").copy_to(tmp_path / "mychat")
    environ = {"DJANGO_DEBUG": "0", "DATABASE_URL": "sqlite:////x"}
    assert checks.check_surroundings(environ, folder) == []


def test_run_names_a_foreign_database_before_it_changes_it(
    answer, environment, ports, tmp_path
):
    folder = find_stage("4_persistence").copy_to(tmp_path / "mychat")
    (folder / "chat" / "urls.py").write_text("raise SystemExit('as far as this')")
    other = tmp_path / "other.sqlite3"
    env = environment(*ports, DATABASE_URL=f"sqlite:///{other}")
    code, output, errors = answer("-m", "tutorial", "run", folder, env=env)
    assert code == 1
    assert f"DATABASE_URL names another database: sqlite:///{other}" in output, errors
    code, output, _ = answer("-m", "tutorial", "doctor", folder, env=env)
    assert "names another database" in output
    assert "no database yet" not in output


def test_the_doctor_leaves_nothing_beside_a_database(tmp_path):
    """And sees what is still in its log."""
    folder = find_stage("4_persistence").copy_to(tmp_path / "mychat")
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=folder, check=True)
    file = folder / "db.sqlite3"
    names = {path.name for path in folder.iterdir()}
    [found] = checks.check_database(folder)
    assert found.level == "ok"
    assert {path.name for path in folder.iterdir()} == names
    with closing(sqlite3.connect(file)) as writing:
        writing.execute("DELETE FROM django_migrations WHERE name = '0003_messages'")
        writing.commit()
        names = {path.name for path in folder.iterdir()}
        assert "db.sqlite3-wal" in names
        assert "has not seen chat.0003_messages" in str(checks.check_database(folder))
        assert {path.name for path in folder.iterdir()} == names


def test_a_database_that_one_may_not_write_is_named(tmp_path, monkeypatch):
    folder = find_stage("1").copy_to(tmp_path / "mychat")
    (folder / "db.sqlite3").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = checks.check_database(folder)[0]
    assert found.level == "problem"
    assert "You may not write the database of mychat" in found.says
    assert "sudo chown -R $USER" in found.cure


def test_a_file_that_keeps_twistd_from_starting_is_named(tmp_path):
    file = tmp_path / "twistd.pid"
    assert checks.check_pidfile(tmp_path) == []
    file.write_text(f"{os.getpid()}")
    [found] = checks.check_pidfile(tmp_path)
    assert f"process {os.getpid()} is another program" in found.says
    assert found.cure.endswith(f"rm {file}")
    for text in ("x", "9" * 20, "-1", ""):
        file.write_text(text)
        assert "does not hold the number" in checks.check_pidfile(tmp_path)[0].says
    file.write_text("0")  # twistd takes it for a process of its own group
    assert "is left over" in checks.check_pidfile(tmp_path)[0].says
    file.write_text(f"{2**22 + 1}")
    assert checks.check_pidfile(tmp_path) == []


@pytest.mark.parametrize("here", [True, False])
def test_a_chat_of_another_folder_is_not_this_ones(tmp_path, monkeypatch, here):
    file = tmp_path / "twistd.pid"
    file.write_text(f"{os.getpid()}")
    folder = str(tmp_path if here else tmp_path / "other")
    chat = checks.Program(1, ("twistd", "-y", "chatserver.py"), folder)
    monkeypatch.setattr(checks, "program", lambda pid: chat)
    assert len(checks.check_pidfile(tmp_path)) == (not here)


def test_who_can_tell_nothing_of_two_programs_does_not_take_them_for_one():
    one, two = (checks.Program(pid, ("python", "manage.py")) for pid in (1, 2))
    assert not one.belongs_with(two)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://me:secret@host/chat",
        "postgres://me:p@secret@host/chat",
        "postgres://me:p/secret@host/chat",
        "postgres://me:secret?secret@host/chat",
        "postgres://host/chat?user=me&password=secret",
        "postgres://me:x@host/chat?password=secret@x",
    ],
)
def test_no_password_is_shown(url):
    shown = checks.without_password({"DATABASE_URL": url})
    assert shown.startswith("postgres://") and "secret" not in shown


@pytest.mark.parametrize(
    ("files", "allowed"),
    [
        ({}, math.inf),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.max": "10000 100000\n"}, 0.1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
    ],
)
def test_a_container_may_have_a_part_of_a_processor(tmp_path, files, allowed):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert quota(tmp_path) == allowed


def test_with_a_part_of_a_processor_all_may_take_longer(monkeypatch):
    monkeypatch.delenv("TUTORIAL_LIMITS", raising=False)
    monkeypatch.setattr("psutil.getloadavg", lambda: (0.1, 0.1, 0.1))
    for here, start in [(2, 12.0), (1, 12.0), (0.5, 24.0), (0.1, 120.0)]:
        monkeypatch.setattr("tutorial.check.limits.processors", lambda here=here: here)
        assert limits_here().start == start


def test_pages_are_shown_where_their_port_is_free(monkeypatch):
    [taken] = checks.check_docs_port(OSError("in use"), 8080)
    assert "Port 8080, where the tutorial's pages are shown, is in use." in str(taken)
    assert taken.cure.endswith("python -m mkdocs serve -a 127.0.0.1:8081")
    assert checks.check_docs_port(None, 8080) == []
    asked = []
    monkeypatch.setattr(checks, "bind_error", lambda port: OSError("in use"))
    monkeypatch.setattr("subprocess.run", lambda *words, **_: asked.append(words))
    done = CliRunner().invoke(main, ["read"])
    assert (done.exit_code, asked) == (1, [])
    assert "is in use" in done.output

    def serve(words, env, **_):
        asked.append((words[1:], env["NO_MKDOCS_2_WARNING"]))
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(checks, "bind_error", lambda port: None)
    monkeypatch.setattr("subprocess.run", serve)
    done = CliRunner().invoke(main, ["read"])
    assert asked == [(["-m", "mkdocs", "serve"], "1")]
    assert f"http://127.0.0.1:{DOCS_PORT}/" in done.output
    assert f"dev_addr: 127.0.0.1:{DOCS_PORT} " in (ROOT / "mkdocs.yml").read_text()
