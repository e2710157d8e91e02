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


def _timers() -> set:
    # pytest-twisted starts each test by a timer of its own, called in_reactor.
    return {call for call in reactor.getDelayedCalls() if "in_reactor" not in str(call)}


def _sockets() -> set:
    # The reactor's own wakers are readers, too, but have no address.
    return {reader for reader in reactor.getReaders() if hasattr(reader, "getHost")}


@contextmanager
def clean_reactor() -> Iterator[None]:
    """Raise AssertionError for logged errors, and timers or sockets left behind."""
    timers, sockets = _timers(), _sockets()
    with log_events() as events:
        yield
    errors = [
        event for event in events if event.get("isError") or "log_failure" in event
    ]
    assert not errors, f"errors were logged: {errors}"
    assert not (left := _timers() - timers), f"timers left behind: {left}"
    assert not (left := _sockets() - sockets), f"sockets left: {left}"
