"""What strangers can do to the server from stage 3 on. Each test shows it."""

from __future__ import annotations

import pytest
from twisted.application.internet import TimerService
from twisted.internet.task import Clock

from tests.support.reactor import expected_errors
from tests.support.requests import token
from tests.support.transport import join, say, sent
from tests.support.wire import connected

SINCE_STAGE = 3


@pytest.mark.stages(3, 10)  # shut in exercise 7
def test_a_body_is_read_to_its_end_before_anybody_looks_at_who_sends_it(whole):
    stranger, half = "http://evil.example", b"a=1&" * 10_000
    with connected(whole) as wire:
        wire.request("POST /", half, Origin=stranger, Content_Length=f"{2 * len(half)}")
        assert wire.came == b"", "it says nothing of the origin yet"
        wire.send(half)
        assert b" 403 " in wire.came


@pytest.mark.stages(3, 10)  # shut in exercise 7
def test_any_name_of_the_server_will_do(whole):
    with connected(whole) as wire:
        wire.request("OPTIONS /", Host="attacker.example:1025")
        assert b" 200 " in wire.came


def test_who_speaks_without_end_is_heard_without_end(whole):
    ann, bob = join(whole.factory), join(whole.factory)
    for number in range(1000):
        say(ann, f"{number}")
    assert len(sent(bob)) == 1000


@pytest.mark.stages(3, 6)  # From exercise 2 on nothing sweeps.
@pytest.mark.parametrize(
    "strange",
    [{"Content_Length": "9" * 5000}, {"Content_Length": "3", "Content_Type": "a\x85b"}],
    ids=["length", "type"],
)
def test_what_cannot_be_read_behind_a_poll_ends_the_sweep_for_all(whole, strange):
    shown = {"Authorization": f"Bearer {token()}"}
    sweep = TimerService(1, whole.http_chat.processDelayedRequests)
    sweep.clock = Clock()
    with (
        expected_errors() as errors,
        connected(whole) as stranger,
        connected(whole) as other,
    ):
        stranger.request("GET /", **shown)
        stranger.request("POST /", b"a=1", **strange, **shown)
        other.request("GET /", **shown)
        say(join(whole.factory), "hello")
        sweep.startService()
        sweep.clock.pump([1] * 10)
        assert b"hello" in stranger.came
        assert b"hello" not in other.came, "nobody looks any more"
    assert errors
