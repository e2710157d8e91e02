"""Stage 4: whatever the clock does, every message is delivered, once and in order."""

from __future__ import annotations

import pytest

from tests.support.polling import heard_under_clock

SINCE_STAGE = 4

# In our days: how close two numbers can be depends on how large they are.
NOW = 1_600_000_000  # seconds since the epoch
READINGS = {
    "two-in-one-tick": [1000, 1000],
    "many-in-one-tick": [1000] * 50,
    "out-of-order": [1010, 1005],
    "set-back-by-half-a-minute": [1000, 970, 971],
    "set-back-and-stopped": [1000, 970, 970, 970],
    "set-back-by-a-day": [100_000, 13_600, 13_601],
    "to-and-fro": [1000, 1030, 1000, 1030, 1060],
}


@pytest.mark.parametrize("ask_first", [False, True], ids=["ask-after", "ask-between"])
@pytest.mark.parametrize("readings", READINGS.values(), ids=READINGS.keys())
def test_no_clock_loses_a_message(chat, readings, ask_first):
    readings = [NOW + reading for reading in readings]
    posts = [(reading, f"message {n}") for n, reading in enumerate(readings)]
    heard = heard_under_clock(chat, *posts, ask_first=ask_first)
    sent = [text for _, text in posts]
    when = "after the first message and then on" if ask_first else "after all of them"
    clock = readings if len(set(readings)) > 1 else f"{readings[0]} every time"
    assert heard == sent, (
        f"{len(sent)} messages were posted, and the clock read {clock}. A client that "
        f"asked {when} should hear each, once and in order. It heard {heard}."
    )
