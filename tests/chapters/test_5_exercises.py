"""Exercises of chapter 5: the list of those who wait is taken away whole."""

from __future__ import annotations

import pytest

from tests.support.polling import ask, cursor_of, post, settle, texts

pytestmark = pytest.mark.stages(5, 5)
MANY = 60


@pytest.mark.exercise(1)
def test_who_waits_hears_it_although_others_hang_up_meanwhile(chat):
    cursor = cursor_of(post(chat, "here").reply)
    waiting = [ask(chat, cursor) for _ in range(MANY)]
    settle(chat)
    for request in waiting[::3]:
        request.leave()
    reply = post(chat, "news").reply
    for request in set(waiting) - {*waiting[::3]}:
        came = texts(request.answer().reply)
        assert came == ["news"], (
            f"{MANY} wait, every third hangs up, and somebody posts 'news'. The others "
            f"should hear it, but one was answered with {came}."
        )
    again = [ask(chat, cursor_of(reply)) for _ in range(2)]
    settle(chat)
    early = [request for request in again if request.is_answered()]
    assert not early, "Two ask for what comes behind 'news', and should wait."
    post(chat, "more")
    for request in again:
        came = texts(request.answer().reply)
        assert came == ["more"], (
            f"Who asks again should hear what comes next, 'more', but heard {came}."
        )
