"""A pytest plugin that tells `tutorial check` what happens, one line of JSON each.

The lines go to what was the standard output; what pytest has to say goes to the
standard error. A test that fails is looked into while its servers still run: have they
ended, do they still react?
"""

from __future__ import annotations

import json
import os
import re
import threading
import time

import pytest

from tests.support import servers
from tests.support.servers import Chat, NotStarted, Server
from tutorial.limits import Limits, limits_here
from tutorial.mistakes import name_mistakes, printable, shorten
from tutorial.processes import adopt_orphans, below, how, kill_all
from tutorial.tasks import Task, task_of, urgency

# What the tests bring along, by fixture. If it does not start, no folder is to blame.
TOOLS = {
    "chromium": ("Chromium", "Without the tasks in a browser: --no-browser"),
    "postgres": ("PostgreSQL", ""),
}

# What pytest and Playwright add to explain the test's own code.
EXPLAINED = re.compile(r"\n(?:assert |Call log:).*", re.S)

# Before pytest takes the standard output for itself.
_events = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
_lock = threading.Lock()


def tell(event: str, **details) -> None:
    """Write one event."""
    with _lock:
        print(json.dumps({"event": event, **details}), file=_events, flush=True)


def pytest_configure(config):
    config.pluginmanager.register(Reporter(limits_here()))


class Stopped(AssertionError):
    """A server that ran does not answer any more."""

    def __init__(self, says: str, server: Server):
        super().__init__(says)
        self.server = server


class ToolFailed(Exception):
    """A program that the tests need, `name`, did not start."""

    def __init__(self, name: str, advice: str, output: str):
        super().__init__(f"{name} did not start. {advice}".strip())
        self.name, self.output = name, output


class Reporter:
    """Tells what happens, and ends the run when there is no sense in going on."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.chat: Chat | None = None
        self.failed_tasks: set[Task] = set()
        self.failed_since: float | None = None
        self.left_out = 0  # thorough tests that nobody asked for
        servers.START_SECONDS = limits.start
        servers.MANAGE_SECONDS = limits.manage
        servers.STOP_SECONDS = limits.stop
        adopt_orphans()

    def pytest_deselected(self, items):
        for item in items:
            judged = not item.get_closest_marker("not_judged")
            self.left_out += bool(judged and item.get_closest_marker("thorough"))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: -urgency(task_of(item.nodeid)))

    def pytest_collection_finish(self, session):
        tests = [item.nodeid for item in session.items]
        tell("collected", tests=tests, left_out=self.left_out)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        try:
            value = yield
        except Exception as error:
            if tool := TOOLS.get(fixturedef.argname):
                raise ToolFailed(*tool, str(error)) from error
            raise
        if fixturedef.argname == "chat":
            # What does not start, or does not answer, is said at once, and not by
            # the first test that happens to need it.
            assert value.django
            self.chat = value
            self.look()
            tell("started")
        return value

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        # A task that has failed has failed; who waits has waited long enough; and what
        # a browser shows is no news where something plainer has failed.
        task, since = task_of(item.nodeid), self.failed_since
        late = since and time.monotonic() - since > self.limits.after_failure
        plain = any(not failed.in_browser for failed in self.failed_tasks)
        if late or task in self.failed_tasks or (plain and task.in_browser):
            # pytest would end here what the next test does not need.
            item.session._setupstate.teardown_exact(nextitem)
            return True
        self.failure, self.skipped = None, False
        if self.chat:
            self.chat.wire.clear()
        self.began = time.monotonic()
        self.overdue = threading.Timer(self.limits.test, self.give_up, [item])
        self.overdue.daemon = True
        self.overdue.start()
        tell("test", test=item.nodeid)
        return None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if report.failed and not self.failure:
            self.fail(item, call.excinfo.value)
            if self.failure["kind"] != "wrong":
                item.session.shouldstop = self.failure["kind"]
        self.skipped = self.skipped or report.skipped
        if report.when == "teardown":
            self.overdue.cancel()
            self.tell_result(item)
        return report

    def tell_result(self, item) -> None:
        """Tell how a test ended."""
        outcome = "skipped" if self.skipped else "passed"
        if self.failure:
            outcome = "failed"
        tell(
            "result",
            test=item.nodeid,
            outcome=outcome,
            seconds=round(time.monotonic() - self.began, 3),
            failure=self.failure,
        )

    def give_up(self, item) -> None:
        """End the process: a test takes too long. Called from another thread."""
        self.fail(item, AssertionError(f"Not over after {self.limits.test:g} s."))
        self.tell_result(item)
        tell("over")
        os._exit(1)

    def look(self) -> None:
        """Raise Stopped if a server has ended, or does not react to a request."""
        for server in self.chat.servers:
            if server.process is None:
                continue
            code = server.process.poll()
            if code is not None:
                says = f"{server.name} was running. Then it {how(code)}."
                raise Stopped(says, server)
            if not server.answers(self.limits.answer):
                raise Stopped(
                    f"{server.name} runs, but does not react to a request within "
                    f"{self.limits.answer:g} s. Does something in it wait, or go round "
                    "for ever?",
                    server,
                )

    def fail(self, item, error: BaseException) -> None:
        """Look into the failure of a test, and keep all that is known of it."""
        self.failed_tasks.add(task_of(item.nodeid))
        self.failed_since = self.failed_since or time.monotonic()
        if isinstance(error, ToolFailed):
            self.failure = {
                "kind": "tool",
                "says": str(error),
                "server": error.name,
                "output": shorten(error.output, item.config.rootpath),
            }
            return
        kind = "wrong" if self.chat else "not-started"
        says, server = str(error), None
        if not isinstance(error, AssertionError):
            says = f"{type(error).__name__}: {error}"
        try:
            if isinstance(error, NotStarted | Stopped):
                raise error
            if self.chat:
                server = self.chat.servers[not item.path.name.startswith("test_1_")]
                self.look()
        except NotStarted as error:
            kind, says, server = "not-started", error.says, error.server
            if self.chat:
                kind, says = "stopped", f"It ran once, and then not again. {says}"
        except Stopped as error:
            kind, says, server = "stopped", str(error), error.server
        first, *rest = EXPLAINED.sub("", printable(says)).splitlines() or [""]
        first = first[:1000]
        self.failure = {"kind": kind, "says": first, "wire": []}
        if self.chat:
            self.failure["wire"] = [printable(line)[:300] for line in self.chat.wire]
        if server:
            # Without what this plugin asked.
            output = re.sub(r"(?m)^.*/is-anybody-there.*\n", "", server.output())
            folder = server.cwd
            mistakes = name_mistakes(output, folder, server.env)
            self.failure |= {
                "says": "\n".join([first, *shorten("\n".join(rest), folder)]),
                "server": server.name,
                "output": shorten(output, folder),
                "mistakes": [str(finding) for finding in mistakes],
            }

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self):
        kill_all(lambda: below(os.getpid()))
        tell("over")
