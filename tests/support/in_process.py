"""A plugin for tests in whose process the code under test runs, with its reactor."""

from __future__ import annotations

import signal
import threading

import pytest
from twisted.internet import reactor

from tests.support.inside import inside
from tests.support.reactor import clean_reactor, quiet_reactor
from tests.support.requests import DAY, KEY, ORIGIN
from tests.support.whitebox import chat_classes


@pytest.hookimpl(trylast=True)
def pytest_sessionstart():
    """Have what ends the tests end a reactor that runs, too."""

    def stop_too(end):
        # The reactor logs what is raised while it runs, and goes on: it has to stop.
        def stop(signum, frame):
            if reactor.running:
                reactor.callFromThread(reactor.stop)
            end(signum, frame)

        return stop

    if threading.current_thread() is threading.main_thread():
        for signum in (signal.SIGINT, signal.SIGTERM):
            end = stop_too(signal.getsignal(signum))
            signal.signal(signum, end)
            # When it starts to run, it takes SIGTERM for itself.
            reactor.callWhenRunning(signal.signal, signum, end)


@pytest.fixture
def classes(request, monkeypatch):
    """The classes of the stage under test, loaded afresh; the reactor stays clean."""
    monkeypatch.delenv("CHAT_PORT", raising=False)
    monkeypatch.delenv("CHAT_ORIGINS", raising=False)
    monkeypatch.setenv("CHAT_KEY", KEY)
    monkeypatch.setenv("CHAT_TOKEN_SECONDS", f"{DAY}")
    with chat_classes(request.param.folder) as classes, clean_reactor():
        yield classes


@pytest.fixture
def theirs(request, monkeypatch):
    """The chat in the folder under test, loaded afresh, whatever its names are."""
    for name in ("CHAT_PORT", "CHAT_ORIGINS"):
        monkeypatch.delenv(name, raising=False)
    # What the folder's code writes beside itself, it writes there.
    monkeypatch.chdir(request.param.folder)
    # How its code waits is its own: a timer of no seconds does something soon.
    with inside(request.param.folder) as chat, quiet_reactor():
        yield chat


@pytest.fixture
def whole(classes):
    """A chat for our own page, wired: its `factory` and its resources."""
    return classes.build([ORIGIN])


@pytest.fixture
def factory(whole):
    """The ChatFactory of `whole`."""
    return whole.factory
