"""A pytest plugin that tells `tutorial check` what happens, one line of JSON each.

The lines go to what was the standard output; what pytest has to say goes to the
standard error. A test that fails is looked into while its servers still run: have they
ended, do they still react?
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.notjudged import NotJudged
from tests.support.servers import Chat, NotStarted, Server
from tests.support.wording import plainly
from tutorial.check.limits import Limits, limits_here
from tutorial.check.tasks import Task, cause, place, task_of, tasks_of
from tutorial.doctor.mistakes import name_mistakes, printable, shorten
from tutorial.processes import adopt_orphans, below, how, keep_to_itself, kill_all
from tutorial.run.engine import EngineError
from tutorial.settings import SHARED, SHUT_IN, TO_THE_END
from tutorial.stages import load_stages

# What the tests bring along, by fixture. If it does not start, no folder is to blame.
TOOLS = {
    "chromium": ("Chromium", "Without the tasks in a browser: --no-browser"),
    "postgres": ("PostgreSQL", ""),
}

# What pytest and Playwright add to explain the test's own code.
EXPLAINED = re.compile(r"\n(?:assert |Call log:).*", re.S)

# The last line of a traceback.
ERROR = re.compile(r"(?m)^(?:\S+ \[[^]]*\] )?\s*((?:\w+\.)*[A-Z]\w+: .+)$")

# Before pytest takes the standard output for itself.
_events = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
_lock = threading.Lock()


def tell(event: str, **details) -> None:
    """Write one event."""
    with _lock:
        print(json.dumps({"event": event, **details}), file=_events, flush=True)


def pytest_configure(config):
    config.pluginmanager.register(Reporter(limits_here()), "reporter")


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
        self.to_the_end = bool(os.environ.get(TO_THE_END))
        self.left_out: list[str] = []  # thorough tests that nobody asked for
        self.shared = os.environ.get(SHARED)
        self.overdue: threading.Timer | None = None
        self.begin()
        servers.START_SECONDS = limits.start
        servers.MANAGE_SECONDS = limits.manage
        servers.STOP_SECONDS = limits.stop
        servers.MOST_IN_A_FILE = limits.disk
        adopt_orphans()
        if os.environ.get(SHUT_IN):
            # What it starts is somebody's who may want to tell our tests' results.
            keep_to_itself()

    def begin(self) -> None:
        """Know nothing yet of what is in the folder."""
        self.chat: Chat | None = None
        self.failed_tasks: set[Task] = set()
        self.blames: Task | None = None  # whose fault the last failure was
        self.failed_since: float | None = None
        self.written: dict[Server, int] = {}  # bytes, when the test began
        self.hopeless = ""  # the kind of a failure after which nothing can be judged

    def pytest_deselected(self, items):
        for item in items:
            judged = not item.get_closest_marker("not_judged")
            if judged and item.get_closest_marker("thorough"):
                self.left_out.append(item.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: place(task_of(item.nodeid)))

    def pytest_collection_finish(self, session):
        tests = [item.nodeid for item in session.items]
        tell("collected", tests=tests, left_out=self.left_out)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        try:
            value = yield
        except EngineError as error:
            raise ToolFailed("The engine", "", str(error)) from error
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
        # A task that has failed has failed, and so have those that need it; who waits
        # has waited long enough; and what a browser shows is no news where something
        # plainer has failed.
        task, since = task_of(item.nodeid), self.failed_since
        late = since and time.monotonic() - since > self.limits.after_failure
        plain = any(not failed.in_browser for failed in self.failed_tasks)
        known = task in self.failed_tasks or cause(task, self.failed_tasks)
        passed_over = late or known or (plain and task.in_browser)
        passed_over = self.hopeless or (passed_over and not self.to_the_end)
        if passed_over or not self.takes(item):
            # pytest would end here what the next test does not need.
            item.session._setupstate.teardown_exact(nextitem)
            return True
        self.failure, self.skipped, self.says, self.blames = None, False, "", None
        self.inside = task.inside
        if self.chat:
            self.chat.wire.clear()
            self.chat.erred = None
            self.chat.script_errors.clear()
            self.written = {one: one.written() for one in self.chat.servers}
        self.began = time.monotonic()
        self.overdue = threading.Timer(self.limits.test, self.give_up, [item])
        self.overdue.daemon = True
        self.overdue.start()
        tell("test", test=item.nodeid)
        return None

    def takes(self, item) -> bool:
        """Whether a test is this lane's, and no other one's that has it, too."""
        if not self.shared:
            return True
        name = hashlib.sha256(item.nodeid.encode()).hexdigest()
        try:
            (Path(self.shared) / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        error = call.excinfo.value if call.excinfo else None
        if self.inside and (report.failed or isinstance(error, NotJudged)):
            # Their code ran in this process: only what the test itself says is a fault.
            if report.failed and isinstance(error, AssertionError) and not self.says:
                self.fail(item, error)
            else:
                self.says = self.says or str(error) or type(error).__name__
        elif isinstance(error, NotJudged):
            self.says = self.says or str(error)
        elif report.failed and not self.failure:
            self.fail(item, error)
            if self.failure["kind"] != "wrong":
                self.hopeless = self.failure["kind"]
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
        elif self.says:
            outcome = "not judged"
        tell(
            "result",
            test=item.nodeid,
            outcome=outcome,
            seconds=round(time.monotonic() - self.began, 3),
            failure=self.failure,
            says=self.says,
            blames=self.blames.id if self.failure and self.blames else "",
        )

    def give_up(self, item) -> None:
        """End the process: a test takes too long. Called from another thread."""
        says = f"Not over after {self.limits.test:g} s."
        if self.inside:
            self.says = self.says or says
        else:
            self.fail(item, AssertionError(says))
        self.tell_result(item)
        tell("over", ends=True)
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
            began = time.monotonic()
            if not server.answers(self.limits.answer):
                waited = min(time.monotonic() - began, self.limits.answer)
                raise Stopped(
                    f"{server.name} runs, but does not react to a request within "
                    f"{waited:.0f} s. Does something in it wait, or go round "
                    "for ever?",
                    server,
                )

    def fail(self, item, error: BaseException) -> None:
        """Look into the failure of a test, and keep all that is known of it."""
        task = task_of(item.nodeid)
        self.failed_since = self.failed_since or time.monotonic()
        if isinstance(error, ToolFailed):
            self.failed_tasks.add(task)
            self.failure = {
                "kind": "tool",
                "says": str(error),
                "server": error.name,
                "output": shorten(error.output, item.config.rootpath),
            }
            return
        kind = "wrong" if self.chat or self.inside else "not-started"
        says, server = plainly(str(error)), None
        if says == str(error) and not isinstance(error, AssertionError):
            says = f"{type(error).__name__}: {error}"
        try:
            if isinstance(error, NotStarted | Stopped):
                raise error
            if self.chat:
                server = self.chat.servers[not item.path.name.startswith("test_1_")]
                self.look()
                for more in (self.script_error(task), self.server_error()):
                    says = f"{more}\n{says}" if more else says
                server = self.chat.erred[0] if self.chat.erred else server
        except NotStarted as error:
            kind, says, server = "not-started", error.says, error.server
            if self.chat:
                kind, says = "stopped", f"It ran once, and then not again. {says}"
        except Stopped as error:
            kind, says, server = "stopped", str(error), error.server
        self.failed_tasks.add(self.blames or task)
        first, *rest = EXPLAINED.sub("", printable(says)).splitlines() or [""]
        first = first[:1000]
        self.failure = {"kind": kind, "says": first, "wire": []}
        if self.chat:
            self.failure["wire"] = [printable(line)[:300] for line in self.chat.wire]
        if server:
            # Without what this plugin asked.
            output = re.sub(r"(?m)^.*/is-anybody-there.*\n", "", server.output())
            folder = server.cwd
            # An earlier test may have taken the tables away, to see what happens.
            since = server.output(self.written.get(server, 0))
            mistakes = name_mistakes(since, folder, server.env)
            self.failure |= {
                "says": "\n".join([first, *shorten("\n".join(rest), folder)]),
                "server": server.name,
                "output": shorten(output, folder),
                "mistakes": [str(finding) for finding in mistakes],
            }

    def server_error(self) -> str:
        """What a server failed at meanwhile, as a sentence; empty if none did."""
        if not self.chat.erred:
            return ""
        server, what = self.chat.erred
        errors = ERROR.findall(printable(server.output()))
        why = f" It said: {errors[-1].strip()[:300]}" if errors else ""
        return f"{server.name} failed at {what} (500).{why}"

    def script_error(self, task: Task) -> str:
        """What a script of the page failed at, as a sentence; empty if none did.

        The failure is then that of the task that asks for the script.
        """
        if not task.in_browser or not self.chat.script_errors:
            return ""
        error, file, line, path = self.chat.script_errors[0]
        stage = self.chat.target.stage
        asking = [one for one in tasks_of(stage) if file in one.scripts]
        if not asking and task.stage == load_stages()[0].id:
            # Some other name: it belongs to the page that it stands on.
            page = "long_poll.js" if "long_poll" in path else "websocket.js"
            asking = [one for one in tasks_of(stage) if page in one.scripts]
        if asking and task not in asking:
            self.blames = asking[-1]
        return f"{file}, line {line}, fails in the browser: {error}"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self):
        kill_all(lambda: below(os.getpid()))
        tell("over")
