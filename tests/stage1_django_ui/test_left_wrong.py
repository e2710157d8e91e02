"""What stage 1 leaves wrong on purpose. Each test asserts what is wrong."""

from __future__ import annotations

import pytest

SINCE_STAGE = 1


@pytest.mark.stages(1, 1)
def test_the_error_page_tells_the_environment_to_a_stranger(chat):
    response = chat.get("/chats/", host="stranger.example")
    assert response.status == 400
    assert "PYTHONUNBUFFERED" in response.text  # The variables that the server has.
