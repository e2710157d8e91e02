"""A real Chromium, where there is one."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest
from playwright.sync_api import expect

from tutorial.stages import load_stages

GREETING = re.compile(r"connected ?\.\.\.")


def pytest_collection_modifyitems(config, items):
    # A page is judged at the stage that made it what it is, and at the newest.
    if config.getoption("stage"):
        return
    same_page = {
        stage.id
        for stage in load_stages()[1:-1]
        if not any(path.startswith("chat/") for path in stage.adds + stage.changes)
    }
    drop = [item for item in items if judged_in_browser(item) in same_page]
    config.hook.pytest_deselected(items=drop)
    items[:] = [item for item in items if item not in drop]


def judged_in_browser(item) -> str | None:
    """The id of the stage that a test looks at in a browser, if it does."""
    if "window" not in item.fixturenames or item.get_closest_marker("not_judged"):
        return None
    return item.callspec.params["chat"].stage.id


class Window:
    """A browser window on the first room, and what went wrong in it.

    Everything is found by its role, as a screen reader finds it, so that a page
    with other ids and classes is judged alike.
    """

    def __init__(self, chat, context):
        assert chat.django  # It serves the pages.
        self.page = context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)
        self.log = self.page.get_by_role("log")
        self.box = self.page.get_by_role("textbox")
        self.status = self.page.get_by_role("status")
        self.chat = chat

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def forgive(self, words: str) -> None:
        """Take what Chromium itself says of a failed request off the errors."""
        self.errors = [error for error in self.errors if words not in error]

    def open(self, rooms: str = "/chats/") -> Window:
        """Show the first room of the list; `rooms` is what its path begins with."""
        self.page.goto(self.chat.origin + "/chats/")
        links = self.page.locator("a").evaluate_all("all => all.map(a => a.pathname)")
        paths = [path for path in links if re.fullmatch(rf"{rooms}\d+/", path)]
        assert paths, f"/chats/ should link to a room below {rooms}. It links {links}."
        self.room = paths[0]
        self.page.goto(self.chat.origin + self.room)
        return self

    def join(self, rooms: str = "/chats/") -> Window:
        """Show the first room, and wait until it is connected."""
        self.open(rooms)
        expect(self.log, "the greeting of the server").to_contain_text(GREETING)
        self.joined = self.status.inner_text()  # in whatever words
        return self

    def say(self, text: str) -> None:
        """Type `text` and press Enter."""
        self.box.fill(text)
        self.box.press("Enter")


@pytest.fixture
def window(chat, chromium):
    """A function that opens a new window, in a browser profile of its own.

    Afterwards, nothing may stand on the consoles of the windows.
    """
    with ExitStack() as stack:
        windows = []

        def new_window(**options) -> Window:
            context = chromium.new_context(**options)
            stack.callback(context.close)
            windows.append(Window(chat, context))
            return windows[-1]

        yield new_window
        errors = [error for window in windows for error in window.errors]
        assert not errors, f"The browser's console shows {errors}."
