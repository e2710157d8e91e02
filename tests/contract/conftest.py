"""Every test in this folder judges any folder that claims to be a stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from tests.support.servers import Server
from tutorial.processes import free_ports

FRESH = (f"Stranger{number}" for number in count(1))


@contextmanager
def no_traceback(servers: Iterable[Server], more: list[Server]) -> Iterator[None]:
    """Raise AssertionError if one of them logs a traceback meanwhile.

    What is in the list `more` may still come.
    """
    before = {server: server.written() for server in (*servers, *more)}
    yield
    for server in (*servers, *more):
        new = server.output(before.get(server, 0))
        assert "Traceback" not in new, (
            f"{server.name} logged a traceback during this test:\n{new}"
        )


@pytest.fixture(autouse=True)
def _no_traceback(chat):
    """Whatever a client does, no server may answer it with a traceback in its log."""
    with no_traceback(chat.servers, chat.others):
        yield


@pytest.fixture
def many(many_servers):
    """The same. Afterwards all of them run again, whatever was done to them."""
    first = many_servers[0]
    try:
        with no_traceback(many_servers.servers, first.others):
            yield many_servers
    finally:
        many_servers.mend()


@pytest.fixture(scope="module")
def watched() -> int:
    """The port on which the chat server of `usual` is watched."""
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def usual(chat, watched):
    """A chat server with all the limits that it has if nobody says otherwise."""
    with chat.beside(CHAT_WATCH_PORT=str(watched)) as usual:
        yield usual


@pytest.fixture(scope="module")
def places(chat) -> list[str]:
    """The paths of two rooms of these tests."""
    return chat.make_rooms("Strangers meet", "Strangers next door")


@pytest.fixture
def room(places) -> str:
    """The path of one of them."""
    return places[0]


@pytest.fixture(scope="module")
def crowd(chat, places) -> Iterator[str]:
    """Users of whom nobody has said anything yet. They are made by the dozen."""

    def come():
        while True:
            names = [next(FRESH) for _ in range(12)]
            chat.let_in(names, places)
            yield from names

    return come()


@pytest.fixture
def eve(crowd) -> str:
    """Who has said nothing yet, and will say too much, or strange things."""
    return next(crowd)


@pytest.fixture
def honest(crowd) -> str:
    """Who has said nothing yet, and does nothing that is not right."""
    return next(crowd)
