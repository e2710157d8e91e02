"""What the tests stand on leaves nothing behind, whatever happens."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context

import psutil
import pytest
from django.db import connections

from tests.support import servers
from tests.support.servers import Server, free_ports, wait_until
from tests.support.whitebox import chat_classes
from tutorial.processes import is_gone
from tutorial.stages import ROOT, find_stage


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


WAITING = """
from pathlib import Path
from threading import Event

SINCE_STAGE = 1


def test_that_waits(chat):
    chat.django
    pids = [server.process.pid for server in chat.servers]
    Path(__file__).with_name("pids").write_text(" ".join(map(str, pids)))
    Event().wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no signal for that")
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_who_terminates_the_tests_terminates_their_servers(workers, tmp_path):
    waiting, pids = tmp_path / "test_waiting.py", tmp_path / "pids"
    waiting.write_text(WAITING)
    words = [workers, "--stage=5", f"--basetemp={tmp_path}/base", waiting]
    words += ["-cpyproject.toml", "-pconftest", "-pno:cacheprovider"]
    outer = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    with (tmp_path / "log").open("w+") as log:
        tests = subprocess.Popen(
            [sys.executable, "-m", "pytest", *words],
            cwd=ROOT,
            env=outer,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        wait_until(lambda: pids.exists() and pids.read_text(), tests.poll, 60)
        os.killpg(tests.pid, signal.SIGTERM)
        tests.wait(60)
        left = [pid for pid in map(int, pids.read_text().split()) if not is_gone(pid)]
        log.seek(0)
        assert not left, log.read()
