"""Exercises of chapter 3: no more than a hundred wait."""

from __future__ import annotations

import pytest

from tests.support.polling import ask, cursor_of, post, settle

pytestmark = pytest.mark.stages(3, 3)
MOST = 100
SWEEPS = 20.0  # seconds until a hundred have their answer: each sweep wakes half


@pytest.fixture
def crowd(chat):
    """A hundred that wait, and the cursor that they wait behind."""
    cursor = cursor_of(post(chat, "here").reply)
    waiting = [ask(chat, cursor, seconds=SWEEPS) for _ in range(MOST)]
    settle(chat)
    yield cursor, waiting
    for request in waiting:
        request.leave()


@pytest.mark.exercise(3)
def test_the_hundred_and_first_is_told_to_try_later(chat, crowd):
    cursor, waiting = crowd
    late = [request for request in waiting if request.is_answered()]
    assert not late, (
        f"A hundred ask for what comes behind {cursor}, where nothing is. They should "
        f"all wait, but {len(late)} were answered."
    )
    answer = ask(chat, cursor).answer()
    assert answer.status >= 400, (
        "A hundred wait, so the hundred-and-first should be refused, as with 503, but "
        f"the answer was {answer.status}."
    )


@pytest.mark.exercise(3)
def test_what_needs_no_waiting_is_answered_all_the_same(chat, crowd):
    for cursor, what in ((-1, "the greeting"), (0, "the first message")):
        answer = ask(chat, cursor).answer()
        assert answer.status == 200 and answer.reply.get("data"), (
            f"A hundred wait. Who asks with lastupdate={cursor} need not, and should "
            f"get {what}; but the answer was {answer.status}, {answer.reply}."
        )


@pytest.mark.exercise(3)
def test_there_is_room_again_when_some_have_their_answer(chat, crowd):
    cursor, waiting = crowd
    reply = post(chat, "news").reply
    for request in waiting:
        request.answer()
    again = ask(chat, cursor_of(reply))
    settle(chat)
    assert not again.is_answered(), (
        "The hundred that waited have been answered, so there is room again. Who asks "
        f"now should wait, but was answered with {again.answer().status}."
    )
    again.leave()
