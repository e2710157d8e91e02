"""What the tests stand on: a server that does not start leaves nothing behind."""

from __future__ import annotations

import sys

import psutil
import pytest

from tests.support import servers
from tests.support.servers import Server, free_ports


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print('here'); import threading; threading.Event().wait()", "listens on"),
        ("print('here'); raise SystemExit(3)", "should start, but it ended"),
    ],
    ids=["never-listens", "ends-at-once"],
)
def test_a_server_that_does_not_start_is_ended_and_quoted(
    code, says, tmp_path, monkeypatch
):
    monkeypatch.setattr(servers, "START_SECONDS", 1.0)
    command = [sys.executable, "-u", "-c", code]
    server = Server("It", command, tmp_path, {}, tmp_path / "log")
    with pytest.raises(AssertionError, match=says) as failed:
        server.start(*free_ports(1))
    assert "here" in str(failed.value)
    children = psutil.Process().children(recursive=True)
    assert not [child for child in children if code in child.cmdline()]
