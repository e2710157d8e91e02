"""A pytest plugin for `tutorial watch`: one run that judges one save after the other.

The tests are collected once. By stdin come orders, a line of JSON each. What an order
does is what a run of `check` does: the same tests, set up anew, told of by
tests/support/events.py. But what is dear stays from one order to the next: the browser,
and each server that a change does not concern (tests/support/standing.py).
"""

from __future__ import annotations

import inspect
import json
import os
import queue
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import expect

from tests.support.events import tell
from tests.support.servers import PATIENCE, comes_true
from tests.support.standing import Standing
from tutorial.check.copies import remove
from tutorial.check.limits import Limits, limits_here
from tutorial.check.tasks import task_of
from tutorial.processes import below, kill_all

HURRY = 0.8  # seconds in which a page does, on a machine at rest, what it will do
GRACE = 0.4  # seconds in which a test in a browser may come to its end by itself

# Before pytest takes the standard input for itself.
_orders = os.fdopen(os.dup(0), encoding="utf-8")


class Superseded(pytest.skip.Exception):
    """There is a newer save, and nobody cares any more how this test ends."""


def pytest_configure(config):
    config.pluginmanager.register(Orders(config))


class Orders:
    """Judges by one order after the other, until nobody gives any more."""

    def __init__(self, config):
        self.config, self.limits = config, limits_here()
        self.waiting: queue.Queue = queue.Queue()
        self.number = 0  # of the order that runs
        self.item = None  # the test that runs
        self.stopped = 0  # the number of the order that is to be over
        self.standing: Standing | None = None
        self.browser: tuple | None = None  # and what made it
        threading.Thread(target=self.read, daemon=True).start()
        if hasattr(signal, "SIGUSR1"):
            signal.signal(signal.SIGUSR1, self.break_off)

    # In a thread of its own, while tests run.

    def read(self) -> None:
        """Take in orders."""
        for line in _orders:
            order = json.loads(line)
            if "stop" in order:
                self.stop(order["stop"])
            else:
                self.waiting.put(order)
        # Whoever gave orders has ended.
        kill_all(lambda: below(os.getpid()))
        os._exit(0)

    def stop(self, number: int) -> None:
        """Have the order of this number be over soon."""
        self.stopped = number
        item = self.item
        if item is None:
            return
        if not in_browser(item):
            if hasattr(signal, "SIGUSR1"):
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            return
        # Into Playwright's work, nothing may be raised. But when the browser has gone,
        # whoever waits for it hears so at once.
        if not comes_true(lambda: self.item is not item, GRACE):
            for process in below(os.getpid()):
                with suppress(psutil.Error):
                    if "chrom" in process.name().lower():
                        process.kill()

    def break_off(self, *_) -> None:
        """Break off the test that runs. Called by a signal."""
        late = self.stopped != self.number  # That order is over already.
        if self.item and not late and not in_browser(self.item):
            if self.standing:
                self.standing.broken = True
            raise Superseded("there is a newer save")

    # What pytest asks.

    def pytest_runtestloop(self, session):
        """Take the place of pytest's own loop, which runs all tests once."""
        if session.testsfailed:
            raise session.Interrupted("not all tests could be collected")
        while True:
            self.judge(session, **self.waiting.get())

    def judge(
        self,
        session,
        number: int,
        tasks: list[str] | None,
        first: str,
        after_failure: float,
    ) -> None:
        """Run the tests of these tasks, or of all with None; the `first` one first.

        After a failure, tests still begin for so many seconds. With none, somebody
        waits for the first word: pages get less time, and are judged again later.
        """
        seconds = PATIENCE
        if not after_failure:  # `hear` says how busy this machine is.
            seconds = min(PATIENCE, HURRY * self.limits.hear / Limits().hear)
        expect.set_options(timeout=seconds * 1000)
        self.number = number
        reporter = self.config.pluginmanager.get_plugin("reporter")
        reporter.begin()
        reporter.limits = replace(reporter.limits, after_failure=after_failure)
        items = [
            item
            for item in session.items
            if tasks is None or task_of(item.nodeid).id in tasks
        ]
        items.sort(key=lambda item: item.nodeid != first)
        tell("order", number=number)
        names = [item.nodeid for item in items]
        tell("collected", tests=names, left_out=reporter.left_out)
        self.run(session, reporter, items, number)
        tell("over")
        self.tidy()

    def run(self, session, reporter, items: list, number: int) -> None:
        """Run these tests, as pytest's own loop does, until the order is stopped."""
        with suppress(Superseded):
            for item, after in zip(items, [*items[1:], None], strict=True):
                if self.stopped == number:
                    break
                self.item = item
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        self.item = None
        if reporter.overdue:
            reporter.overdue.cancel()
        if reporter.hopeless and self.standing:
            self.standing.worn = True  # What hangs once shall not hang again.
        # What was broken off may not be able to clear up after itself.
        with suppress(Exception) if self.stopped == number else nullcontext():
            session._setupstate.teardown_exact(None)

    def tidy(self) -> None:
        """Leave nothing but what stays."""
        if self.browser:
            for context in self.browser[0].contexts:
                with suppress(Exception):  # It has gone.
                    context.close()
        if self.standing:
            base = Path(self.config.option.basetemp)
            for folder in base.iterdir():
                if not self.standing.chat.workspace.is_relative_to(folder):
                    remove(folder)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef):
        keep = {"chat": self.keep_chat, "chromium": self.keep_browser}
        get = keep.get(fixturedef.argname)
        if get and inspect.isgeneratorfunction(fixturedef.func):
            make = fixturedef.func
            fixturedef.func = lambda **needs: get(make, needs)
        value = yield
        if fixturedef.argname == "chat":
            self.standing.note()
        return value

    def keep_chat(self, make: Callable, needs: dict):
        """The chat that `make` has made, as the folder is now."""
        if self.standing is None:
            made = make(**needs)
            self.standing = Standing(next(made), made)
        else:
            self.standing.renew()
        return self.standing.chat

    def keep_browser(self, make: Callable, needs: dict):
        """The browser that `make` has made, or another one if it has gone."""
        if self.browser and not self.browser[0].is_connected():
            with suppress(Exception):
                next(self.browser[1], None)
            self.browser = None
        if self.browser is None:
            made = make(**needs)
            self.browser = next(made), made
        return self.browser[0]


def in_browser(item) -> bool:
    """Whether a test is one in a browser."""
    return item.path.parent.name == "browser"
