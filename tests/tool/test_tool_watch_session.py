"""What a watch keeps from one save to the next, and what it does not."""

import sys
import threading
import time
from contextlib import contextmanager, suppress

import psutil
import pytest

from tests.support.servers import wait_until
from tutorial.check.judge import Judge
from tutorial.check.limits import Limits
from tutorial.check.verdict import Kind
from tutorial.processes import marked
from tutorial.stages import find_stage
from tutorial.watch.folder import Folder
from tutorial.watch.screen import line
from tutorial.watch.session import Session, syntax_error

PATIENCE = 240  # seconds until a test gives up; the machine may be busy
LIMITS = Limits().stretched(5)

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the programs under check fork"
)


@pytest.fixture
def folder(tmp_path):
    """A learner's folder: a copy of stage 2."""
    return find_stage("2").copy_to(tmp_path / "my chat")


@pytest.fixture
def watched(monkeypatch):
    """Watch a folder, without a screen and without a browser."""
    for name, value in LIMITS.write().items():
        monkeypatch.setenv(name, value)

    @contextmanager
    def start(stage, folder):
        with Session(
            find_stage(stage), folder, browser=False, tell=lambda: None
        ) as one:
            yield one

    return start


def wait_for(session, fact, number=1):
    """Wait until something is true of a save of that number, or of a newer one."""

    def found():
        assert session.fault is None, repr(session.fault)
        save = session.save
        return save and save.number >= number and fact(save)

    wait_until(found, lambda: f"{session.save}, and not {number}", PATIENCE)
    return session.save


def is_answered(save):
    return save.seconds is not None


def is_done(save):
    return not save.doing


def change(path, old, new):
    text = path.read_text("utf-8")
    assert text.count(old) == 1, text
    path.write_text(text.replace(old, new), "utf-8")


def servers(session):
    """The processes of the servers: Django's, and that of Twisted."""
    found = {}
    for process in marked(session.mark):
        with suppress(psutil.Error):
            words = process.cmdline()
            for name in ("runserver", "chatserver.py"):
                if name in words:
                    found[name] = process.pid
    return found


@pytest.mark.thorough
def test_a_server_stays_as_long_as_nothing_changes_that_it_has_read(watched, folder):
    with watched("2", folder) as session:
        wait_for(session, is_answered)
        first = servers(session)
        assert {*first} == {"runserver", "chatserver.py"}
        change(folder / "chat/views.py", "def index(", "# a list\ndef index(")
        wait_for(session, is_answered, 2)
        second = servers(session)
        assert second["runserver"] != first["runserver"]
        change(folder / "chat/static/chat.css", "body {", "body {\n  margin: 0;")
        wait_for(session, is_answered, 3)
        assert servers(session)["runserver"] == second["runserver"]
        change(folder / "chatserver.py", "class ChatFactory", "#\nclass ChatFactory")
        save = wait_for(session, is_answered, 4)
        third = servers(session)
        assert third["chatserver.py"] != first["chatserver.py"]
        assert third["runserver"] == second["runserver"]
        assert save.failure is None
    assert not marked(session.mark)
    assert not session.work.exists()


MISTAKES = [
    ("chat/models.py", "ordering", "ordring"),
    ("chat/templates/chats/chat_room.html", 'role="log"', ""),
    ("chat/views.py", "chat_room_id", "room_id"),
    ("chat/urls.py", "import", "imprt"),
    ("django_twisted_chat/settings.py", '"chat",', ""),
]


def told(verdict):
    """What a verdict says, and what it says of each task."""
    failure = verdict.failure
    about = failure and (failure.says.splitlines()[0], failure.server)
    if verdict.kind is Kind.WRONG:  # Else it is no test's fault.
        about += (failure.test,)
    return verdict.kind, about, [(one.task.id, one.status) for one in verdict.tasks]


@pytest.mark.thorough
def test_its_verdict_is_that_of_check(watched, tmp_path, monkeypatch):
    """Of one mistake after the other, by the same servers."""
    folder = find_stage("1").copy_to(tmp_path / "my chat")
    stage = find_stage("1")
    with watched("1", folder) as session:
        number = 1
        assert told(wait_for(session, is_done).verdict)[0] is Kind.RIGHT
        for name, old, new in MISTAKES:
            path = folder / name
            right = path.read_text("utf-8")
            path.write_text(right.replace(old, new, 1), "utf-8")
            save = wait_for(session, is_done, number + 1)
            if save.verdict is None:
                assert "line 1" in save.failure.says, "Python cannot read it"
            else:
                expected = told(Judge(stage, folder, limits=LIMITS).run())
                assert told(save.verdict) == expected, name
                assert expected[0] is not Kind.RIGHT, name
            path.write_text(right, "utf-8")
            number = wait_for(session, is_answered, save.number + 1).number
        assert wait_for(session, is_done, number).kind is Kind.RIGHT


@pytest.mark.thorough
def test_the_newest_save_wins_and_what_failed_is_tried_first(watched, folder):
    with watched("2", folder) as session:
        wait_for(session, is_answered)
        chat = folder / "chatserver.py"
        change(chat, "in self.factory.clients:", "in [self]:")
        save = wait_for(session, lambda save: save.failure, 2)
        assert (save.task.id, save.kind) == ("say", Kind.WRONG)
        says = line(session, save)
        assert "Say it to everyone: Bob should hear 'hello'" in says
        # The rest of it is still being tried.
        for number in range(3):
            (folder / "notes.txt").write_text(f"{number}", "utf-8")
        change(chat, "in [self]:", "in self.factory.clients:")
        save = wait_for(session, is_answered, save.number + 1)
        assert save.failure is None
        assert "hear" in save.first, "what failed is tried first"
        assert session.judge is not None


@pytest.mark.thorough
def test_what_no_server_reads_does_not_stand_in_the_way(watched, tmp_path):
    folder = find_stage("1").copy_to(tmp_path / "my chat")
    (folder / "scratch.py").write_text("def (", "utf-8")
    with watched("1", folder) as session:
        # At first nobody knows whether a server wants it.
        save = wait_for(session, is_answered)
        assert save.results or "scratch.py, line 1" in save.failure.says
        wait_for(session, lambda save: save.results)
        assert save.failure is None
        change(folder / "chat/urls.py", "urlpatterns", "(urlpatterns")
        save = wait_for(session, is_answered, 2)
        assert "chat/urls.py, line " in save.failure.says
        assert not save.doing, "a server has read it"


def test_what_python_cannot_read_is_said_with_its_line():
    assert syntax_error("right.py", b"print(1)\n") is None
    failure = syntax_error("chat/views.py", b"import os\n\ndef index(:\n    pass\n")
    assert failure.says.startswith("chat/views.py, line 3: ")
    assert failure.output == ["def index(:"]
    failure = syntax_error("nul.py", b"\0")
    assert failure.says.startswith("nul.py")


@pytest.mark.thorough
def test_a_folder_tells_of_what_changes_and_of_its_own_return(tmp_path):
    path = tmp_path / "mychat"
    path.mkdir()
    with Folder(path) as folder:
        assert not folder.wait(0)
        (path / "one").write_text("1")
        assert folder.wait(PATIENCE)
        path.rename(tmp_path / "elsewhere")
        assert folder.wait(PATIENCE)
        wait_until(lambda: folder.place is None, lambda: "it has gone", PATIENCE)
        path.mkdir()
        wait_until(lambda: folder.place, lambda: "it is there again", PATIENCE)
        folder.stirred.clear()
        began = time.monotonic()
        threading.Thread(target=(path / "two").write_text, args=["2"]).start()
        assert folder.wait(PATIENCE)
        assert time.monotonic() - began < PATIENCE
