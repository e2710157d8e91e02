"""What the tests stand on leaves nothing behind, whatever happens."""

from __future__ import annotations

import asyncio
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context

import psutil
import pytest
from django.db import connections

from tests.support import servers
from tests.support.servers import Server, free_ports
from tests.support.whitebox import chat_classes
from tutorial.stages import find_stage


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


def test_what_a_fixture_opens_is_closed_where_an_event_loop_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/chat.sqlite3")

    def opened():
        connections["default"].ensure_connection()
        return connections["default"]

    async def after_a_browser_was_used():
        with chat_classes(find_stage("4_persistence").folder):
            # pytest-twisted gives each fixture a context of its own.
            its_own = Context().run(opened)
            assert its_own.connection is not None
        assert its_own.connection is None
        assert asyncio.get_running_loop(), "the browser needs it again"

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, after_a_browser_was_used()).result()
