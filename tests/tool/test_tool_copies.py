"""A learner's folder stays as it is, and whatever is in it is copied or named."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.keeping import guarded
from tests.support.servers import Server
from tutorial.check import copies
from tutorial.check.copies import Unfit, take_copy, workspace
from tutorial.check.fence import read_only
from tutorial.stages import ROOT, find_stage

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="makes links, pipes and modes"
)


@pytest.fixture
def home(tmp_path):
    """A home with a project, `mychat`, and links to it; and where its copy is."""
    (tmp_path / "home" / "mychat").mkdir(parents=True)
    (tmp_path / "home" / "mychat" / "db.sqlite3").write_bytes(b"")
    (tmp_path / "work" / "copy").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def run(home):
    """Run a line of Python as a check would, beside the copy; return its last word."""
    work = home.parent / "work"

    def run(line, prefix=()):
        done = subprocess.run(
            [*prefix, sys.executable, "-c", f"import os, sqlite3, shutil\n{line}"],
            cwd=work / "copy",
            env={
                **os.environ,
                **guarded(home / "mychat", work),
                "HOME": str(home),
                "MINE": str(home / "mychat"),
            },
            capture_output=True,
            text=True,
        )
        return (done.stderr.strip().splitlines() or [""])[-1]

    return run


# Ways to write the name of a database that belongs to nobody but the learner.
SPELLINGS = [
    "os.path.expanduser('~/mychat/db.sqlite3')",
    "os.environ['MINE'] + '/db.sqlite3'",
    "'../../home/mychat/db.sqlite3'",
    "'../../link/mychat/db.sqlite3'",
    "'../../home/mychat/new.sqlite3'",
    "b'../../home/mychat/db.sqlite3'",
    "'/proc/self/cwd/../../link/mychat/db.sqlite3'",
    "'file:../../home/mychat/db.sqlite3?mode=rwc', uri=True",
    "'file:///' + os.path.expanduser('~/mychat/%64b.sqlite3'), uri=True",
    "os.path.expanduser('~/elsewhere.sqlite3')",
]


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_database_of_the_learner_is_not_opened(run, home, name):
    before = copies.look(home)
    word = run(f"sqlite3.connect({name}).execute('create table x (y)')")
    assert word.startswith("PermissionError: The database "), word
    assert "BASE_DIR" in word
    assert copies.look(home) == before


@pytest.mark.parametrize(
    "line",
    [
        "open('../../link/mychat/log', 'a')",
        "os.open(os.environ['MINE'] + '/log', os.O_CREAT | os.O_WRONLY)",
        "os.remove('../../link/mychat/db.sqlite3')",
        "os.rename('../../home/mychat', '../../home/yours')",
        "os.mkdir(os.path.expanduser('~/mychat/media'))",
        "os.symlink('db.sqlite3', '../../home/mychat/other')",
        "os.link('../../home/mychat/db.sqlite3', 'mine')",
        "shutil.rmtree(os.environ['MINE'])",
        "import pathlib; pathlib.Path.home().joinpath('mychat', 'a').write_text('b')",
        "os.chmod('../../home/mychat/db.sqlite3', 0)",
        "os.truncate('../../home/mychat/db.sqlite3', 0)",
    ],
)
def test_nothing_in_the_folder_is_changed(run, home, line):
    before = copies.look(home)
    word = run(line)
    assert "is in your own folder. A check runs a copy of it" in word
    assert copies.look(home) == before


@pytest.mark.parametrize(
    "line",
    [
        "open(os.environ['MINE'] + '/db.sqlite3').read()",
        "sqlite3.connect('db.sqlite3').execute('create table x (y)')",
        "sqlite3.connect('file:memory?mode=memory&cache=shared', uri=True)",
        "sqlite3.connect(':memory:'); sqlite3.connect('')",
        "open(os.devnull, 'w'); open('../../outside', 'w')",
        "os.symlink(os.environ['MINE'], 'link')",
    ],
)
def test_what_changes_nothing_of_theirs_is_free(run, line):
    assert run(line) == ""


ROOT_ONLY = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root is two users"
)


@pytest.fixture
def nobody(tmp_path):
    """The user nobody, who gets through to the folder of this test: uid and gid."""
    import pwd

    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o77 == 0:
            folder.chmod(0o711)
    found = pwd.getpwnam("nobody")
    return found.pw_uid, found.pw_gid


def test_who_loads_their_code_in_a_process_of_tests_is_guarded_as_well(home):
    lines = [
        "import pathlib, subprocess, sys",
        "from tests.support.keeping import guard",
        "kept, free = map(pathlib.Path, sys.argv[1:])",
        "guard(kept, free)",
        "words = [sys.executable, '-c', f'open({str(kept / chr(97))!r}, chr(97))']",
        "inner = subprocess.run(words, capture_output=True).stderr",
        "assert b'in your own folder' in inner",
        "(kept / 'b').touch()",
    ]
    words = [sys.executable, "-c", "\n".join(lines), home / "mychat", home.parent]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert "is in your own folder. A check runs a copy of it" in done.stderr
    assert [path.name for path in (home / "mychat").iterdir()] == ["db.sqlite3"]


POSTGRES = """
import os
from django.conf import settings
engine = "django.db.backends.postgresql"
mine = {"ENGINE": engine, "HOST": "127.0.0.1", "PORT": 5432, "NAME": "chat"}
settings.configure(DATABASES={"default": mine})
from django.db import connections
connections["default"]
"""


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("", True),
        ("postgres://me@127.0.0.1:20001/chat", True),
        ("postgres://me@127.0.0.1:5432/chat", False),
    ],
)
def test_nor_is_one_in_a_server_of_theirs(run, monkeypatch, url, refused):
    pytest.importorskip("psycopg")
    monkeypatch.setenv("DATABASE_URL", url)
    word = run(POSTGRES)
    assert word.startswith(
        "PermissionError: The settings name the database 'chat'"
    ) is (refused), word
    assert refused or not word


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux mounts for one program")
@pytest.mark.parametrize("other", [False, pytest.param(True, marks=ROOT_ONLY)])
def test_what_is_not_python_cannot_write_there_either(
    home, request, monkeypatch, other
):
    """Such as a shell; and SQLite's own library, by ATTACH."""
    uid, gid = os.geteuid(), os.getegid()
    if other:
        uid, gid = request.getfixturevalue("nobody")
        (home / "mychat").chmod(0o777)
        monkeypatch.setattr(os, "geteuid", lambda: uid)
        monkeypatch.setattr(os, "getegid", lambda: gid)
    prefix = read_only.__wrapped__(home / "mychat")
    if not prefix:
        pytest.skip("this system lets nobody mount")
    script = "id -u; echo x >> mychat/log; test -r mychat/db.sqlite3 && echo read"
    who = {"user": uid, "group": gid} if other else {}
    words = [*prefix, "sh", "-c", script]
    done = subprocess.run(words, cwd=home, capture_output=True, text=True, **who)
    assert done.stdout == f"{uid}\nread\n", done
    assert "Read-only file system" in done.stderr
    assert not (home / "mychat" / "log").exists()


def test_who_gets_past_all_of_it_is_told(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "c").mkdir(mode=0o755)
    before = copies.look(tmp_path)
    assert copies.differences(before, copies.look(tmp_path)) == []
    (tmp_path / "a").write_text("12")
    (tmp_path / "b").mkdir()
    (tmp_path / "c").chmod(0o700)
    changed = copies.differences(before, copies.look(tmp_path))
    assert changed == ["a", "b", "c"]
    assert "changed in your folder: a, b, c. If it was not you" in copies.meddled(
        changed
    )


# --- What is in a folder ----------------------------------------------------


def test_a_loop_a_hole_and_what_nobody_may_read(tmp_path):
    folder = find_stage("1").copy_to(tmp_path / "mychat")
    (folder / "loop").symlink_to("loop")
    (folder / "ping").symlink_to("pong")
    (folder / "pong").symlink_to("ping")
    (folder / "hole").symlink_to("nowhere")
    (folder / "up").symlink_to("..")
    (folder / "chat" / "here").symlink_to(".")
    (folder / "pages").symlink_to("chat/templates")
    says = take_copy(folder, tmp_path / "copy")
    assert sorted(says) == [
        "chat/here is not in the copy: it is a link that leads round in a circle.",
        "hole is not in the copy: it is a link to nothing.",
        "loop is not in the copy: it is a link to nothing.",
        "ping is not in the copy: it is a link to nothing.",
        "pong is not in the copy: it is a link to nothing.",
        "up is not in the copy: it is a link that leads out of the folder.",
    ]
    page = "pages/chats/index.html"
    assert (tmp_path / "copy" / page).read_text() == (folder / page).read_text()
    assert (tmp_path / "copy" / "pages").resolve().is_relative_to(tmp_path / "copy")
    # What has been copied, can be copied again.
    assert take_copy(tmp_path / "copy", tmp_path / "again") == []


def test_hidden_files_are_copied_and_hidden_folders_are_said(tmp_path):
    folder = tmp_path / "mychat"
    for name in (".git/config", ".venv/x", ".secrets/key", "chat/._views.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / ".env").write_text("KEY=1")
    (folder / ".env").chmod(0o600)
    (folder / ".DS_Store").touch()
    says = take_copy(folder, tmp_path / "copy")
    assert says == [".secrets is not in the copy: it is a hidden folder."]
    assert {path.name for path in (tmp_path / "copy").rglob("*")} == {"chat", ".env"}
    assert (tmp_path / "copy" / ".env").stat().st_mode & 0o77 == 0


@pytest.mark.parametrize(
    "mark", ["pyvenv.cfg", "conda-meta/history", "bin/activate", "Scripts/activate"]
)
def test_environments_stay_behind(tmp_path, mark):
    for place in ("mychat/env", "inside"):
        (tmp_path / place / mark).parent.mkdir(parents=True)
        (tmp_path / place / mark).touch()
    assert take_copy(tmp_path / "mychat", tmp_path / "copy") == []
    assert [*(tmp_path / "copy").iterdir()] == []
    # Made in the project itself, as `python -m venv .` does.
    for name in ("lib/python3/site-packages/x.py", "bin/python", "chat/lib/y.py"):
        (tmp_path / "inside" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "inside" / name).touch()
    assert take_copy(tmp_path / "inside", tmp_path / "two") == []
    found = {path.name for path in (tmp_path / "two").rglob("*.py")}
    assert found == {"y.py"}


def test_names_that_are_no_text(tmp_path):
    name = os.fsdecode(b"M\xfcller")
    (tmp_path / "mychat" / name).mkdir(parents=True)
    (tmp_path / "mychat" / name / "file").touch()
    (tmp_path / "mychat" / f"{name}.pipe").symlink_to("nowhere")
    [says] = take_copy(tmp_path / "mychat", tmp_path / "copy")
    assert (tmp_path / "copy" / name / "file").exists()
    says.encode()


def make_deep(folder, depth=1100):
    """Make folders in folders: more than Python may call itself."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=at)  # noqa: PTH102
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


@pytest.mark.thorough
def test_folders_in_folders_without_end(tmp_path):
    (tmp_path / "mychat").mkdir()
    make_deep(tmp_path / "mychat")
    try:
        with suppress(Unfit):  # as Python can, or cannot
            take_copy(tmp_path / "mychat", tmp_path / "copy")
        copies.look(tmp_path / "mychat")
        copies.weigh(tmp_path / "mychat")
    finally:
        for name in ("mychat", "copy"):
            copies.remove(tmp_path / name)
    assert [*tmp_path.iterdir()] == []


def test_the_temporary_folder_may_be_in_the_project(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "manage.py").touch()
    before = copies.look(tmp_path)
    with workspace() as work:
        assert take_copy(tmp_path, work / "theirs") == []
        found = {path.name for path in (work / "theirs").rglob("*")}
        assert found == {"manage.py", "tmp"}
    assert copies.look(tmp_path) == before


# --- What a crash leaves ----------------------------------------------------


def test_the_next_check_clears_what_a_killed_one_left(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    script = (
        "import os, sys, threading; from tutorial.check.copies import workspace\n"
        "with workspace() as work:\n"
        "    (work / 'shut').mkdir(); (work / 'shut' / 'file').touch()\n"
        "    (work / 'shut').chmod(0)\n"
        "    print(work, flush=True); threading.Event().wait()\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as one:
        try:
            left = Path(one.stdout.readline().strip())
            stranger = tmp_path / "check-of-somebody-else"
            stranger.mkdir()
            with workspace():
                assert left.is_dir(), "it is at work there"
        finally:
            one.kill()
    with workspace() as work:
        assert not left.exists()
        assert {*tmp_path.iterdir()} == {stranger, work}
    assert {*tmp_path.iterdir()} == {stranger}


def test_a_link_in_place_of_a_workspace_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / copies.OWNER).write_text('{"mark": ""}')
    (tmp_path / "check-mine").symlink_to(mine)
    with workspace():
        pass
    assert (mine / copies.OWNER).exists()


@ROOT_ONLY
def test_a_folder_of_another_user_is_a_sentence(tmp_path, nobody):
    shut = tmp_path / "bob"
    (shut / "chat").mkdir(parents=True, mode=0o700)
    (shut / "notes.txt").touch(mode=0o600)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    uid, gid = os.geteuid(), os.getegid()
    os.setegid(nobody[1])
    os.seteuid(nobody[0])
    try:
        says = take_copy(shut, tmp_path / "out" / "one")
        os.seteuid(uid)
        shut.chmod(0o700)
        os.seteuid(nobody[0])
        with pytest.raises(Unfit, match=f"{shut} cannot be read: Perm") as error:
            take_copy(shut, tmp_path / "out" / "two")
    finally:
        os.seteuid(uid)
        os.setegid(gid)
    assert error.value.kind == "tool"
    assert sorted(says) == [
        "chat is not in the copy: it cannot be read (Permission denied).",
        "notes.txt is not in the copy: it cannot be read (Permission denied).",
    ]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(Unfit):
        take_copy(tmp_path / "nowhere", tmp_path / "copy")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits others")
def test_a_file_without_a_name_does_not_fill_the_disk_either(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "MOST_IN_A_FILE", 1_000_000)
    script = (
        "import os, tempfile, time\n"
        "while os.path.exists('limited') is False: time.sleep(0.01)\n"
        "with tempfile.TemporaryFile() as file:\n"
        "    for _ in range(100): file.write(b'x' * 100_000)\n"
    )
    command = [sys.executable, "-c", script]
    server = Server("It", command, tmp_path, {**os.environ}, tmp_path / "log")
    launch = server._launch
    monkeypatch.setattr(
        server, "_launch", lambda: (launch(), (tmp_path / "limited").touch())
    )
    assert server.run(20) == "ended with exit code 1"
    assert "File too large" in server.output()
