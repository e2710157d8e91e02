"""What stage 3 leaves wrong on purpose. Each test shows it: the outcome is the bug.

The same scenarios, with the right outcome, are judged where a stage mends them.
"""

from __future__ import annotations

import inspect

import pytest

from tests.support.polling import heard_under_clock
from tests.support.scenarios import (
    hears_after_a_future_cursor,
    kept_in_memory,
    looks_of_one_poll,
    messages_in_one_answer,
    woken_by_a_socket,
    woken_by_one_post,
)


@pytest.mark.stages(3, 3)
def test_a_message_stored_out_of_clock_order_is_never_delivered(chat):
    # The scan comes to the later stamp first, and the cursor jumps over the other.
    heard = heard_under_clock(chat, (1010, "later"), (1005, "earlier"), ask_first=False)
    assert heard == ["later"]


@pytest.mark.stages(3, 3)
def test_of_two_messages_in_one_tick_one_overwrites_the_other(chat):
    heard = heard_under_clock(chat, (1000, "first"), (1000, "second"), ask_first=False)
    assert heard == ["second"]


@pytest.mark.stages(3, 4)
def test_one_post_wakes_four_of_eight(whole):
    assert woken_by_one_post(whole, parked=8) == 4


@pytest.mark.stages(3, 6)
def test_a_socket_reaches_parked_requests_at_the_next_sweep(whole):
    assert woken_by_a_socket(whole) == (False, True)


@pytest.mark.stages(3, 6)
def test_an_answer_holds_one_message(whole):
    assert messages_in_one_answer(whole, stored=3) == 1


@pytest.mark.stages(3, 4)
def test_a_poll_looks_at_the_whole_history(whole):
    assert looks_of_one_poll(whole, history=500) == 500


@pytest.mark.stages(3, 6)
def test_a_cursor_from_the_future_hears_nothing(whole):
    assert not hears_after_a_future_cursor(whole)


@pytest.mark.stages(3, 6)
def test_memory_only_grows(whole):
    assert kept_in_memory(whole, posted=500) == 500


@pytest.mark.stages(3, 4)
def test_a_default_argument_reads_the_clock_once_for_all(classes):
    # Nobody relies on the default yet. Whoever does gets the moment of the import.
    respond = classes.HttpChat._HttpChat__format_response
    [default] = respond.__defaults__
    assert isinstance(default, float), inspect.signature(respond)
