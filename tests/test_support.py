"""What the tests stand on: a server that does not start leaves nothing behind."""

from __future__ import annotations

import re
import sys

import psutil
import pytest

from tests.support import servers
from tests.support.servers import Server, free_ports


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import threading; threading.Event().wait()", "listens on"),
        ("raise SystemExit(3)", "should start, but it ended"),
    ],
    ids=["never-listens", "ends-at-once"],
)
def test_a_server_that_does_not_start_is_ended_and_quoted(
    code, says, tmp_path, monkeypatch
):
    monkeypatch.setattr(servers, "START_SECONDS", 1.0)
    code = f"import os; print('here: process', os.getpid(), flush=True); {code}"
    command = [sys.executable, "-c", code]
    server = Server("It", command, tmp_path, {}, tmp_path / "log")
    with pytest.raises(AssertionError, match=says) as failed:
        server.start(*free_ports(1))
    quoted = re.search(r"here: process (\d+)", str(failed.value))
    assert quoted, f"Its output is quoted, but the message is: {failed.value}"
    assert not psutil.pid_exists(int(quoted[1]))
