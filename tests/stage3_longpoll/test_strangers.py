"""What strangers can do to the server from stage 3 on. Each test shows it."""

from __future__ import annotations

import pytest

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
