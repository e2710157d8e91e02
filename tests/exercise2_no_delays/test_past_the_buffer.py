"""Exercise 2 with the patch that goes past the transport's buffer behaves the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.servers import PAST_THE_BUFFER
from tests.support import transport
from tests.support.requests import KEY, ORIGIN, post
from tests.support.transport import Tcp, join, sent
from tests.support.whitebox import chat_classes
from tutorial.stages import ROOT, find_stage


class Kernel(Tcp):
    """Takes `takes` bytes at once, or none; what is not taken is to be written."""

    takes: int | Exception = 1 << 20

    def __init__(self, texts: list[str]):
        super().__init__(texts)
        self.waits = b""

    def write(self, data: bytes) -> None:
        self.waits += data
        super().write(data)

    def writeSomeData(self, data: bytes) -> int | Exception:
        assert not self.disconnecting, "nothing may follow a close frame"
        if isinstance(self.takes, int):
            super().write(data[: self.takes])
            return min(len(data), self.takes)
        return self.takes


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of exercise 2 with the patch."""
    folder = find_stage("2_no_delays").copy_to(tmp_path / "past_the_buffer")
    subprocess.run(["git", "apply", PAST_THE_BUFFER], cwd=folder, check=True)
    return folder


@pytest.fixture
def whole(folder, monkeypatch):
    """The chat of the patched folder, and transports that take bytes at once."""
    monkeypatch.setenv("CHAT_KEY", KEY)
    monkeypatch.setattr(transport, "Tcp", Kernel)
    with chat_classes(folder) as classes:
        whole = classes.build([ORIGIN])
        whole.reactor.getWriters = lambda: []
        yield whole


def test_frames_go_to_the_kernel_at_once(whole):
    ann = join(whole.factory)
    ann.transport.tcp.waits = b""
    post(whole.http_chat, "hello")
    assert (sent(ann), ann.transport.tcp.waits) == (["hello"], b"")


def test_frames_line_up_behind_what_waits(whole):
    ann = join(whole.factory)
    whole.reactor.getWriters = lambda: [ann.transport.tcp]  # a pong, for example
    ann.transport.tcp.waits = b""
    post(whole.http_chat, "hello")
    assert sent(ann) == ["hello"]
    assert ann.transport.tcp.waits, "it should wait behind what waits already"


@pytest.mark.parametrize("takes", [0, 1, 3, OSError("broken")])
def test_what_the_kernel_does_not_take_is_left_to_the_reactor(whole, takes):
    ann = join(whole.factory)
    ann.transport.tcp.takes = takes
    post(whole.http_chat, "hello")
    assert sent(ann) == ["hello"]
    assert ann.transport.tcp.waits


@pytest.mark.thorough  # The same tests judge the exercise without the patch.
def test_the_contract_of_exercise_2_holds(folder):
    result = subprocess.run(
        [
            *[sys.executable, "-m", "pytest", "tests/contract"],
            *["--stage=2_no_delays", f"--path={folder}", "-qx", "-m", "not thorough"],
            *["-p", "no:cacheprovider", f"--basetemp={folder}.tmp"],
        ],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout
