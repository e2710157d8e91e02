"""What trial gives for free: waiting for a fact, and no leftovers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.internet import reactor, task
from twisted.logger import globalLogPublisher


async def until(fact: Callable[[], bool], what: str, seconds: float = 2.0) -> None:
    """Return as soon as `fact()` is true, letting the reactor run meanwhile.

    Raises AssertionError, saying `what` did not come true, after `seconds`.
    """
    deadline = reactor.seconds() + seconds
    while not fact():
        assert reactor.seconds() < deadline, f"Not true in {seconds:g} s: {what}"
        await task.deferLater(reactor, 0.005)


@contextmanager
def log_events() -> Iterator[list[dict]]:
    """Everything that Twisted's logger is told meanwhile, as its event dicts."""
    events: list[dict] = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


@contextmanager
def expected_errors() -> Iterator[list[dict]]:
    """The errors that are logged meanwhile, which `clean_reactor` does not mind."""
    errors: list[dict] = []

    def expect(event: dict) -> None:
        if _is_error(event):
            event["is_expected"] = True  # All who listen are given the same dict.
            errors.append(event)

    globalLogPublisher.addObserver(expect)
    try:
        yield errors
    finally:
        globalLogPublisher.removeObserver(expect)


def _is_error(event: dict) -> bool:
    return event.get("isError") or "log_failure" in event


def _timers() -> set:
    # pytest-twisted starts each test by a timer of its own, called in_reactor.
    return {call for call in reactor.getDelayedCalls() if "in_reactor" not in str(call)}


def _sockets() -> set:
    # The reactor's own wakers are readers, too, but have no address.
    return {reader for reader in reactor.getReaders() if hasattr(reader, "getHost")}


@contextmanager
def quiet_reactor() -> Iterator[None]:
    """Raise AssertionError for logged errors, and cancel the timers left behind."""
    timers = _timers()
    try:
        with log_events() as events:
            yield
    finally:
        for timer in _timers() - timers:
            timer.cancel()
    errors = [
        event for event in events if _is_error(event) and not event.get("is_expected")
    ]
    assert not errors, f"errors were logged: {errors}"


@contextmanager
def clean_reactor() -> Iterator[None]:
    """Raise AssertionError for logged errors, and timers or sockets left behind."""
    timers, sockets = _timers(), _sockets()
    with quiet_reactor():
        yield
        left = _timers() - timers
    assert not left, f"timers left behind: {left}"
    assert not (left := _sockets() - sockets), f"sockets left: {left}"
