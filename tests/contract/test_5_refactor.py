"""Stage 5: one message wakes everybody who waits."""

from __future__ import annotations

import pytest

from tests.support.polling import ask, newcomer, post, settle

SINCE_STAGE = 5


@pytest.mark.parametrize("parked", [8, 100])
def test_one_post_wakes_every_parked_request_at_once(chat, parked):
    at = newcomer(chat, "Paul").lastupdate
    requests = [ask(chat, at) for _ in range(parked)]
    settle(chat)
    post(chat, "news")
    settle(chat)
    woken = sum(request.is_answered() for request in requests)
    for request in requests:
        request.leave()
    assert woken == parked, (
        f"One message should wake all {parked} parked requests at once, but it woke "
        f"{woken}. Does a loop take requests off the list that it runs over?"
    )
