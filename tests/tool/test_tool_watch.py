"""`python -m tutorial watch`: an answer at each save, on a screen or in lines."""

import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import threading
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.servers import free_ports, wait_until
from tutorial.check.limits import Limits
from tutorial.stages import ROOT, find_stage

if sys.platform != "win32":
    import fcntl
    import termios

PATIENCE = 120  # seconds until a test gives up; the machine may be busy
LIMITS = Limits().stretched(5)
ROWS, COLUMNS = 40, 100
CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[()].)|[\x00-\x09\x0b-\x1f\x7f]")
ON_TERMINAL = '"$@" <"$0" >"$0" 2>&1'

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="needs a POSIX terminal"
)


class Terminal:
    """A terminal in which `tutorial watch` runs, started by a shell."""

    def __init__(self, words, environ, tmp, keep_shell=False):
        self.token, self.tmp = uuid.uuid4().hex, tmp
        self.output = b""
        # Ours stays open: without anybody at the other end, reading ends.
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(
            self.slave, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0)
        )
        # To open it is what makes it the terminal of this session.
        script = ON_TERMINAL if keep_shell else f"exec {ON_TERMINAL}"
        self.process = subprocess.Popen(
            ["sh", "-c", f"{script}; exit $?", os.ttyname(self.slave), *words],
            cwd=ROOT,
            env=environ
            | {"TEST_TOKEN": self.token, "TERM": "xterm", "TMPDIR": str(tmp)},
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while part := os.read(self.master, 65536):
                self.output += part
        except OSError:  # Nobody is at the other end any more.
            return

    @property
    def screen(self):
        """What it shows now."""
        frame = self.output.decode("utf-8", "replace").rpartition("\x1b[H")[2]
        return CONTROL.sub("", frame)

    def press(self, key):
        os.write(self.master, key.encode())

    def wait_for(self, *texts):
        def found():
            if all(text in " ".join(self.screen.split()) for text in texts):
                return True
            assert self.process.poll() is None, f"It ended:\n{self.text}"
            return False

        wait_until(found, lambda: f"{texts} in:\n{self.screen}", PATIENCE)

    @property
    def text(self):
        return CONTROL.sub("", self.output.decode("utf-8", "replace"))

    def family(self):
        """All that it started and that still runs."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TEST_TOKEN") == self.token:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def find(self, word):
        """Those of them that have this word in their command."""
        found = []
        for process in self.family():
            with suppress(psutil.Error):
                found += [process] if word in process.cmdline() else []
        return found

    def leaves_nothing(self):
        """Wait until no process of it is left, and nothing in its temporary folder."""
        what = lambda: f"{self.family()}, {[*self.tmp.iterdir()]} are left"  # noqa: E731
        wait_until(
            lambda: not self.family() and not [*self.tmp.iterdir()], what, PATIENCE
        )


@pytest.fixture
def tmp():
    """The temporary folder of a watch."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder).resolve()


@pytest.fixture
def watch(environment, tmp):
    """Watch a folder in a terminal; what of it is left is ended after the test."""
    started = []

    def start(stage, folder, *words, keep_shell=False, **more):
        words = [
            sys.executable,
            "-m",
            "tutorial",
            "watch",
            stage,
            "--path",
            folder,
            *words,
        ]
        environ = environment(*free_ports(2), **LIMITS.write(), **more)
        started.append(Terminal([*map(str, words)], environ, tmp, keep_shell))
        return started[-1]

    yield start
    for one in started:
        for process in one.family():
            process.kill()
        one.process.wait(PATIENCE)


@pytest.fixture
def mine(tmp_path):
    """A learner's folder: a copy of a stage."""
    return lambda stage: find_stage(stage).copy_to(tmp_path / "my chat")


def change(path, old, new):
    text = path.read_text("utf-8")
    assert text.count(old) == 1, text
    path.write_text(text.replace(old, new), "utf-8")


@pytest.mark.thorough
def test_a_learner_is_led_from_save_to_save(watch, mine):
    folder = mine("1")
    template = folder / "chat/templates/chats/chat_room.html"
    change(template, 'role="log"', "")
    seen = watch("1", folder, "--no-browser")
    seen.wait_for(
        "Give each room a page", 'should have a list with role="log"', "failed"
    )
    seen.wait_for("What was sent, and what came: GET /chats/", "Read, by o")
    seen.press("h")
    seen.wait_for("Hint: ")
    seen.press("a")
    seen.wait_for("passed List the rooms", "failed Give each room a page")
    seen.press("a")
    seen.press("n")
    seen.wait_for("All tasks have to be passed first")

    change(folder / "chat/views.py", "def chat_room(", "def chat_room((")
    seen.wait_for("Save 2", "not tried, since Python cannot read it")
    seen.wait_for("chat/views.py, line 10: ", "There: def chat_room((request")
    change(folder / "chat/views.py", "def chat_room((", "def chat_room(")
    seen.wait_for("Save 3", "Of 6 tasks, 1 failed")
    change(template, "<div  aria", '<div role="log" aria')
    seen.wait_for("Save 4", "All 6 tasks passed.", "All is done.", "6 of 6")
    seen.press("n")
    seen.wait_for("Stage 2, WebSocket", "There is no chatserver.py beside manage.py.")
    seen.press("q")
    assert seen.process.wait(PATIENCE) == 0
    # The cursor is there again, and what stood there before.
    assert seen.output.endswith(b"\x1b[?25h\x1b[?1049l")
    seen.leaves_nothing()


def ctrl_c(seen):
    seen.press("\x03")


def close_the_terminal(seen):
    os.close(seen.master)


def kill_who_started_it(seen):
    seen.process.kill()


def kill_it(seen):
    [own] = seen.find("watch")
    own.kill()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "end", [ctrl_c, close_the_terminal, kill_who_started_it, kill_it]
)
def test_however_it_ends_nothing_is_left(watch, mine, end):
    seen = watch("2", mine("2"), keep_shell=end is kill_who_started_it)
    seen.wait_for("Save 1", "tests: ")
    wait_until(lambda: seen.find("chatserver.py"), lambda: "a chat server", PATIENCE)
    assert [*seen.tmp.iterdir()]
    end(seen)
    code = seen.process.wait(PATIENCE)
    if end is ctrl_c:
        assert code == 130
        assert b"\x1b[?1049l" in seen.output
    seen.leaves_nothing()


@pytest.mark.thorough
def test_without_a_terminal_each_state_is_a_line(tool, mine, ports, interrupt):
    django, chat = ports
    folder = mine("1")
    run = tool("watch", "1", "--path", folder, "--no-browser", django=django, chat=chat)

    def says(text):
        wait_until(
            lambda: text in run.output, lambda: f"{text} in {run.output}", PATIENCE
        )

    says("All 6 tasks passed.")
    first, *_, last = run.output.splitlines()
    form = r"save 1, \d\d:\d\d:\d\d: [01] of 6 tasks passed so far. This passes: "
    assert re.match(form, first), run.output
    assert re.fullmatch(r"save 1, [\d:]+: All 6 tasks passed.", last), run.output
    change(folder / "chat/views.py", "def chat_room(", "def chat_room((")
    says("save 2, ")
    assert "chat/views.py, line 10: " in run.output.splitlines()[-1]
    (folder / "chat/views.py").unlink()
    says(": It did not start. python manage.py migrate")
    interrupt(run)
    assert run.end() == 130
    assert not run.family()
