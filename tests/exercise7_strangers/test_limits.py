"""Limits by themselves: what fills, what empties, what is read from the settings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from tests.support.wire import frames

SINCE_STAGE = 11


def bucket(classes, clock, most: int = 20, seconds: float = 10):
    return classes.Bucket(classes.Rate(most, seconds), clock.seconds)


def taken(bucket, key="ann", tries: int = 100) -> int:
    """How many of so many tries a bucket lets pass."""
    return sum(not bucket.take(key) for _ in range(tries))


@pytest.mark.parametrize("most, seconds", [(20, 10), (3, 10), (1, 7), (7, 0.3)])
def test_so_many_at_once_and_as_many_again_in_that_time(classes, most, seconds):
    clock = Clock()
    full = bucket(classes, clock, most, seconds)
    assert taken(full) == most
    for _ in range(5):
        clock.advance(seconds)
        assert taken(full) == most


def test_never_more_than_twice_in_any_such_time(classes):
    # A full bucket, and what flows in meanwhile.
    @settings(deadline=None, max_examples=50)
    @given(pauses=st.lists(st.floats(0, 3), max_size=60))
    def check(pauses):
        clock, passed = Clock(), []
        some = bucket(classes, clock, 5, 10)
        for pause in pauses:
            clock.advance(pause)
            if not some.take("ann"):
                passed.append(clock.seconds())
        for begin in passed:
            assert sum(begin <= at < begin + 10 for at in passed) <= 10

    check()


def test_who_waits_as_long_as_told_has_half_of_it_again(classes):
    clock = Clock()
    full = bucket(classes, clock)
    taken(full)
    wait = full.take("ann")
    clock.advance(wait)
    assert taken(full) == pytest.approx(10, abs=1)


def test_everybody_has_a_bucket_of_their_own_and_what_is_given_back_counts(classes):
    clock = Clock()
    full = bucket(classes, clock, 2)
    assert taken(full, "ann") == taken(full, "bob") == 2
    full.give_back("ann")
    full.give_back("nobody")
    assert taken(full, "ann") == 1 and taken(full, "nobody") == 2


def test_who_has_not_been_here_for_a_while_is_forgotten(classes):
    clock = Clock()
    full = bucket(classes, clock)
    for number in range(50):
        for stranger in range(100):
            full.take((number, stranger))
        clock.advance(10)
    assert len(full.full_at) <= 1100


def test_a_place_is_free_again_when_somebody_leaves(classes):
    places = classes.Places(2)
    assert [places.enter("ann") for _ in range(3)] == [True, True, False]
    assert places.enter("bob")
    places.leave("ann")
    assert places.enter("ann") and not places.enter("ann")
    for key in ("ann", "ann", "bob"):
        places.leave(key)
    assert not places.taken


def test_limits_are_read_from_the_environment(classes):
    limits = classes.Limits.from_environment(
        {"CHAT_MESSAGES": "5/2.5", "CHAT_MOST": "7", "CHAT_HEAD_SECONDS": "", "X": "1"}
    )
    assert limits.messages == classes.Rate(5, 2.5)
    assert (limits.most, limits.head_seconds) == (7, classes.Limits().head_seconds)


@pytest.mark.parametrize(
    "name, text",
    [
        ("CHAT_MESSAGES", "20"),
        ("CHAT_MESSAGES", "0/10"),
        ("CHAT_MESSAGES", "20/0"),
        ("CHAT_MESSAGES", "20/nan"),
        ("CHAT_MOST", "many"),
        ("CHAT_MOST", "-1"),
        ("CHAT_PING_SECONDS", "inf"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(classes, name, text):
    with pytest.raises(SystemExit, match=f"{name} is '{text}'"):
        classes.Limits.from_environment({name: text})


@pytest.mark.parametrize(
    "written, sent",
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        (" HTTP://Chat.Example/ ", "http://chat.example"),
        ("https://chat.example:443", "https://chat.example"),
        ("http://chat.example:80", "http://chat.example"),
        ("https://chat.example:80", "https://chat.example:80"),
        ("http://[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000"),
        ("https://[2001:DB8:0::1]:443", "https://[2001:db8::1]"),
        ("http://[nonsense]", "http://[nonsense]"),
    ],
)
def test_origins_are_compared_as_browsers_send_them(classes, written, sent):
    assert classes.as_browsers_send(written) == sent.encode()


@pytest.mark.parametrize(
    "address, counted",
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_of_ipv6_counts_as_its_network(classes, address, counted):
    assert classes.network(address) == counted


MESSAGES = st.sampled_from(
    [
        (TextMessage("hello"),),
        (TextMessage("x" * 300),),
        (TextMessage("he", message_finished=False), Ping(), TextMessage("llo")),
        (BytesMessage(b"x" * 70_000),),
        (Ping(b"12"), Pong()),
        (TextMessage(""),),
    ]
)


def test_frames_are_counted_however_they_are_cut(classes):
    @settings(deadline=None, max_examples=100)
    @given(said=st.lists(MESSAGES, max_size=4), cuts=st.lists(st.integers(1, 400)))
    def check(said, cuts):
        watched = classes.Frames(100_000, classes.Rate(1000, 1))
        data = b"".join(frames(*events) for events in said)
        for cut in cuts:
            watched.read(data[:cut])
            data = data[cut:]
        watched.read(data)
        assert not watched.is_in_the_middle()
        watched.read(frames(TextMessage("x", message_finished=False)))
        assert watched.is_in_the_middle() and watched.size == 1

    check()


def refusal(classes, watched, data: bytes):
    with pytest.raises(classes.Refused) as refused:
        watched.read(data)
    return refused.value


def test_a_message_that_will_be_too_long_is_known_by_its_first_frame(classes):
    watched = classes.Frames(1000, classes.Rate(10, 1))
    head = b"\x81\xff" + (2**40).to_bytes(8, "big") + b"mask"
    assert refusal(classes, watched, head).close == 1009


def test_pieces_that_are_too_long_together_are_refused(classes):
    watched = classes.Frames(1000, classes.Rate(10, 1))
    piece = frames(TextMessage("x" * 400, message_finished=False))
    again = b"\x00" + piece[1:]  # a continuation
    watched.read(piece + again)
    assert refusal(classes, watched, again).close == 1009


@pytest.mark.parametrize("event", [Ping(), Pong()])
def test_frames_that_end_no_message_are_counted(classes, event):
    watched = classes.Frames(1000, classes.Rate(10, 1000))
    watched.read(frames(*[event] * 10, TextMessage("x"), CloseConnection(1000)))
    assert refusal(classes, watched, frames(event)).close == 1008


def test_empty_pieces_are_counted(classes):
    watched = classes.Frames(1000, classes.Rate(10, 1000))
    empty = frames(TextMessage("", message_finished=False))
    watched.read(empty + (b"\x00" + empty[1:]) * 9)
    assert refusal(classes, watched, b"\x00" + empty[1:]).reason == "frames"
