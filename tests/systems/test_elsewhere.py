"""Windows and macOS, by what stands in for them: this was written on Linux.

A stand-in shows that a branch does what its author thought. That the system does, too,
only the system shows: .github/workflows/ has a matrix for whoever has one.
"""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path

import pytest
from twisted.python.usage import UsageError
from twisted.scripts import _twistw

from tests.support import servers
from tests.support.keeping import guarded
from tests.support.servers import Chat, Manage, Target, session, wait_until
from tutorial import processes
from tutorial.check.copies import take_copy
from tutorial.processes import free_ports, lock, no_pidfile
from tutorial.setup import environment
from tutorial.setup.environment import SetupError
from tutorial.stages import ROOT, find_stage, load_snapshots

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="is no stand-in there")

# What only POSIX has, taken away before the words after it run as `python -m` has them.
WITHOUT_POSIX = """
import os, runpy, signal, sys
for name in ("fork", "forkpty", "getsid", "setsid", "killpg", "getpgid", "mkfifo"):
    delattr(os, name)
def refuse(*_, **__):
    raise OSError(22, "A required privilege is not held by the client")
os.symlink = refuse
del signal.SIGHUP, signal.pthread_sigmask
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listing.returncode:
        pytest.skip("not a git clone, so there is no list of tracked files")
    return listing.stdout.decode().split("\0")[:-1]


# --- Names, encodings, ends of lines -----------------------------------------


def test_every_file_can_be_checked_out_on_every_system():
    names = tracked()
    folded = Counter(name.casefold() for name in names)
    assert not [name for name, count in folded.items() if count > 1]
    reserved = r"(con|prn|aux|nul|com\d|lpt\d)"
    bad = rf'[<>:"\\|?*\x00-\x1f]|[ .](/|$)|(^|/){reserved}(\.[^/]*)?(/|$)'
    assert not [name for name in names if re.search(bad, name, re.IGNORECASE)]
    # Windows has 260 characters for a whole path, unless somebody allows more.
    assert max(map(len, names)) < 120


def test_a_clone_has_the_same_lines_where_git_would_change_their_ends(tmp_path):
    tracked()  # or there is nothing to clone
    words = [
        "git",
        "clone",
        "--quiet",
        "-c",
        "core.autocrlf=true",
        ROOT,
        tmp_path / "x",
    ]
    subprocess.run(words, check=True, capture_output=True)
    changed = [
        name
        for name in tracked()
        if not name.endswith(".png") and (tmp_path / "x" / name).is_file()
        if b"\r\n" in (tmp_path / "x" / name).read_bytes()
    ]
    assert not changed


OF_USERS = ["tutorial", "benchmarks", "tests/support", "tests/systems"]
OF_USERS += [stage.folder.relative_to(ROOT).as_posix() for stage in load_snapshots()]


# What has an open() of its own.
NO_FILES = ("os", "camera", "packed", "reading", "self", "tarfile")


def reads_as_the_system_likes(call: ast.Call) -> bool:
    """Whether a call reads or writes text in an encoding that nobody named."""
    function = call.func
    name = getattr(function, "attr", None) or getattr(function, "id", "")
    if any(keyword.arg in ("encoding", None) for keyword in call.keywords):
        return False
    if name == "open":
        of = ast.unparse(function).rpartition(".")[0]
        mode = [a.value for a in call.args if isinstance(a, ast.Constant)]
        return of not in NO_FILES and not any("b" in str(m) for m in mode)
    return name in ("read_text", "write_text") and len(call.args) < 1 + (name[0] == "w")


@pytest.mark.parametrize(
    ("source", "guesses"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open(path)", True),
        ("path.open('rb')", False),
        ("os.open(path, flags)", False),
    ],
)
def test_what_reads_as_the_system_likes(source, guesses):
    assert reads_as_the_system_likes(ast.parse(source).body[0].value) is guesses


@pytest.mark.parametrize("folder", OF_USERS)
def test_files_are_utf_8_whatever_the_system_prefers(folder):
    guessed = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and reads_as_the_system_likes(node)
    ]
    assert not guessed, 'Say "utf-8": Windows would take cp1252.'


@pytest.mark.parametrize("words", [["doctor"], ["--help"], ["diff", "3", "4"]])
def test_a_console_of_windows_is_told_what_it_can_show(words):
    done = subprocess.run(
        [sys.executable, "-m", "tutorial", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = done.stdout.decode("cp1252")
    assert done.returncode in (0, 1) and "UnicodeEncodeError" not in said, said


@needs_posix
@pytest.mark.thorough
def test_a_folder_that_notepad_saved_is_judged_right(tmp_path):
    folder = find_stage("stage2_websocket").copy_to(tmp_path / "mychat")
    for path in folder.rglob("*"):
        if path.suffix in (".py", ".js", ".html", ".css", ".txt"):
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    code, said = judged(folder)
    assert code == 0, said


def judged(folder: Path, *before: str) -> tuple[int, str]:
    """Run the contract tests of stage 2 on a folder: exit code, and what they say."""
    words = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not thorough"]
    words += ["--stage=stage2_websocket", f"--path={folder}", "tests/contract"]
    done = subprocess.run(
        [sys.executable, *(before or ["-m"]), "pytest", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    return done.returncode, done.stdout[-4000:]


# --- Processes and signals ---------------------------------------------------


def test_twistd_on_windows_takes_what_it_is_told():
    options = _twistw.ServerOptions()
    options.parseOptions(["-n", *no_pidfile(windows=True), "-y", "chatserver.py"])
    assert options["python"].endswith("chatserver.py")
    with pytest.raises(UsageError):
        _twistw.ServerOptions().parseOptions(["-n", *no_pidfile(windows=False)])


@needs_posix
@pytest.mark.thorough
def test_a_folder_is_judged_without_what_only_posix_has(tmp_path):
    folder = find_stage("stage2_websocket").copy_to(tmp_path / "mychat")
    code, said = judged(folder, "-c", WITHOUT_POSIX)
    assert code == 0, said


@needs_posix
def test_servers_run_and_end_without_what_only_posix_has(tmp_path):
    folder = find_stage("stage2_websocket").copy_to(tmp_path / "mychat")
    django, chat = map(str, free_ports(2))
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", WITHOUT_POSIX, "tutorial", "run", folder],
            cwd=ROOT,
            env={**os.environ, "DJANGO_PORT": django, "CHAT_PORT": chat},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: b"Press Ctrl-C" in log.read_bytes() or process.poll() is not None,
            lambda: log.read_text("utf-8"),
            60,
        )
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130, log.read_text("utf-8")
    finally:
        process.kill()
    assert log.read_text("utf-8").endswith("Stopped.\n")


def test_without_sessions_a_process_belongs_to_none(monkeypatch):
    monkeypatch.delattr(os, "getsid", raising=False)
    assert session(os.getpid()) is None


def test_without_fork_manage_py_is_a_process_for_each_command(monkeypatch, tmp_path):
    monkeypatch.setattr(servers, "CAN_FORK", False)
    stage = find_stage("stage1_django_ui")
    folder = stage.copy_to(tmp_path / "mychat")
    env = os.environ | guarded(stage.folder, tmp_path)
    manage = Manage(folder, env, tmp_path / "log")
    assert manage.say(("migrate", "--verbosity=0")) == ""
    assert "exit code" in manage.say(("no-such-command",))
    assert manage.process is None and manage.line is None


def test_without_fork_a_chat_server_is_started_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(servers, "CAN_FORK", False)
    stage = find_stage("stage5_refactor")
    with Chat(Target(stage, stage.folder), tmp_path) as chat:
        first = chat.twisted.process.pid
        chat.restart()
        assert isinstance(chat.twisted.process, subprocess.Popen)
        assert chat.twisted.process.pid != first and chat.standby.line is None


# --- Files, links and locks --------------------------------------------------


@pytest.fixture
def windows(monkeypatch):
    """The tool takes this for Windows; yields what its msvcrt was told."""
    told = []

    def locking(number, mode, count):
        told.append(mode)
        if len(told) < 4:  # somebody else has it
            raise OSError(36, "Resource deadlock avoided")

    stand_in = types.SimpleNamespace(LK_LOCK=1, LK_NBLCK=2, locking=locking)
    monkeypatch.setitem(sys.modules, "msvcrt", stand_in)
    monkeypatch.setattr(
        environment, "sys", types.SimpleNamespace(platform="win32", stderr=sys.stderr)
    )
    monkeypatch.setattr(
        processes, "os", types.SimpleNamespace(**{**vars(os), "name": "nt"})
    )
    return told


def test_windows_has_its_python_elsewhere(windows):
    assert environment.python_of(Path("v")) == Path("v", "Scripts", "python.exe")


def test_set_up_waits_for_another_one_longer_than_windows_does(
    windows, monkeypatch, tmp_path
):
    (tmp_path / "tutorial").mkdir()
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    with environment.alone():
        assert windows == [1, 1, 1, 1]


def test_a_lock_that_somebody_else_has_is_not_taken(windows, tmp_path):
    with (tmp_path / "lock").open("wb") as file:
        assert [lock(file) for _ in range(4)] == [False, False, False, True]
    assert windows == [2, 2, 2, 2]


def test_what_windows_does_not_remove_is_in_use(windows, monkeypatch, tmp_path):
    venv = tmp_path / ".venv"
    venv.mkdir()

    def refuse(path):
        raise PermissionError(13, "Access is denied", str(venv / "python.exe"))

    monkeypatch.setattr(environment.shutil, "rmtree", refuse)
    with pytest.raises(SetupError, match="Does something still run in .venv"):
        environment.clear(venv, "its folder was moved")


@needs_posix
def test_where_nobody_may_make_links_a_copy_goes_without(monkeypatch, tmp_path):
    folder = find_stage("stage1_django_ui").copy_to(tmp_path / "mychat")
    (folder / "again").symlink_to("chat")

    def refuse(*_, **__):
        raise OSError(22, "A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    says = take_copy(folder, tmp_path / "copy")
    assert any(
        "again is not in the copy: it is a link (A required privilege" in line
        for line in says
    ), says
    assert (tmp_path / "copy" / "manage.py").is_file()
