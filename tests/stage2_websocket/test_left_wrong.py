"""What the page of stage 2 leaves wrong on purpose. The test asserts what is wrong."""

from __future__ import annotations

import psutil
import pytest
from playwright.sync_api import expect

SINCE_STAGE = 2


@pytest.mark.stages(2, 2)
def test_a_server_that_hangs_is_not_noticed_by_a_socket(chat, chromium):
    assert chat.django  # It serves the page.
    with chromium.new_context() as context:
        page = context.new_page()
        page.clock.install()
        page.goto(chat.origin + chat.rooms()[0])
        status = page.get_by_role("status")
        expect(status).to_have_text("Connected.")
        server = psutil.Process(chat.twisted.process.pid)
        server.suspend()
        try:
            page.get_by_role("textbox").fill("is anybody there?")
            page.get_by_role("textbox").press("Enter")
            page.clock.run_for(60_000)
            assert status.text_content() == "Connected."
        finally:
            server.resume()
