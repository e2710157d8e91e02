"""What the tests of the tool share: a running `python -m tutorial`, free ports."""

import os
import signal
import subprocess
import sys
import threading
import uuid

import psutil
import pytest

from tests.support.servers import free_ports, wait_until
from tutorial.stages import ROOT

PATIENCE = 30  # seconds until a test gives up


def environment_for(django, chat, **more):
    outer = {
        name: text
        for name, text in os.environ.items()
        if name not in ("CHAT_ORIGINS", "TUTORIAL_RUN")
    }
    return {
        **outer,
        "DJANGO_PORT": str(django),
        "CHAT_PORT": str(chat),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        **more,
    }


class Tool:
    """A `python -m tutorial` that runs, in a session of its own."""

    def __init__(self, *words, django, chat):
        # Whatever it starts inherits this, and can be found by it.
        self.token = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tutorial", *map(str, words)],
            cwd=ROOT,
            env=environment_for(django, chat, TEST_TOKEN=self.token),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.output += line

    def wait_for(self, text):
        def found():
            ended = self.process.poll() is not None
            if text in self.output:
                return True
            assert not ended, f"It ended without {text!r}:\n{self.output}"
            return False

        wait_until(found, lambda: f"{text!r} in:\n{self.output}", PATIENCE)

    def end(self):
        """Wait for its end. Returns the exit code."""
        code = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return code

    def family(self):
        """All that it started and that still runs, itself included."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TEST_TOKEN") == self.token:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def find(self, word):
        """Those of its processes that have `word` in their command, oldest first."""
        found = []
        for process in self.family():
            try:
                if word in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return sorted(found, key=lambda process: process.create_time())

    def clear(self):
        """End by force whatever a failed test left behind."""
        for process in self.family():
            process.kill()
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.process.stdout.close()


# Fixtures, so that no test has to import a module whose name others may have, too.
@pytest.fixture
def environment():
    """Make the environment of a tool on these ports."""
    return environment_for


@pytest.fixture
def tool():
    """Start `python -m tutorial` with these words; it is ended after the test."""
    started = []

    def start(*words, django, chat):
        started.append(Tool(*words, django=django, chat=chat))
        return started[-1]

    yield start
    for one in started:
        one.clear()


@pytest.fixture
def ports():
    """Two free ports, for Django and for the chat server."""
    return free_ports(2)


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory):
    """A copy of the stage with the first chat server, in a path with a space."""
    from tutorial.stages import find_stage

    target = tmp_path_factory.mktemp("tool") / "my chat"
    return find_stage("stage2_websocket").copy_to(target)


@pytest.fixture
def answer():
    """Run `python -m tutorial` to its end; return exit code, output, errors."""

    def run(*words, python=(sys.executable,), env=None, cwd=ROOT, patience=PATIENCE):
        done = subprocess.run(
            [*python, *map(str, words)],
            cwd=cwd,
            env=env or environment_for(*free_ports(2)),
            capture_output=True,
            text=True,
            timeout=patience,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def interrupt():
    """Do what Ctrl-C in a terminal does: SIGINT for the whole foreground group."""

    def press(tool, signum=signal.SIGINT):
        os.killpg(tool.process.pid, signum)

    return press
