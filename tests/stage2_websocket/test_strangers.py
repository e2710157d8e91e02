"""What strangers can do to the server from stage 2 on. Each test shows it."""

from __future__ import annotations

import pytest
from wsproto.events import BytesMessage, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from tests.support.reactor import expected_errors
from tests.support.wire import connected, frames

SINCE_STAGE = 2


@pytest.mark.stages(2, 10)  # shut in exercise 7
def test_a_frame_behind_one_that_is_refused_ends_in_a_traceback(whole):
    with connected(whole) as wire:
        wire.open_socket()
        with pytest.raises(LocalProtocolError):
            wire.send(frames(BytesMessage(b"\0"), Ping()))


@pytest.mark.stages(2, 10)  # shut in exercise 7
def test_the_pieces_of_a_message_without_an_end_are_collected(whole, classes):
    piece = TextMessage("x" * 1000, message_finished=False)
    pieces = frames(*[piece] * (20 * classes.MAX_LENGTH // 1000))
    with connected(whole) as wire:
        wire.open_socket()
        wire.send(pieces)
        assert not wire.transport.disconnecting


@pytest.mark.stages(2, 10)  # shut in exercise 7
def test_a_type_that_cannot_be_read_ends_in_a_traceback(whole):
    with connected(whole) as wire, pytest.raises(ValueError):
        wire.request("POST /", b"a=1", Content_Type="a\x85b", Content_Length="3")


@pytest.mark.stages(2, 10)  # shut in exercise 7
def test_a_post_to_a_socket_and_a_strange_address_end_in_a_traceback(whole):
    with expected_errors() as errors, connected(whole) as wire:
        wire.request("POST /ws?\x8d")
        assert b" 500 " in wire.came
    assert errors
