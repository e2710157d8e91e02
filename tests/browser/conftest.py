"""A real Chromium, where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from playwright.sync_api import expect

from tutorial.stages import load_stages

GREETING = re.compile(r"connected ?\.\.\.")
CONNECTED = re.compile(r"^\s*connected", re.I)


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
    in_browser = {"window", "tab"} & {*item.fixturenames}
    if not in_browser or item.get_closest_marker("not_judged"):
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
        # What is not there after some seconds will not come.
        self.page.set_default_timeout(8_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on("console", self._console)
        self.log = self.page.get_by_role("log")
        self.box = self.page.get_by_role("textbox")
        self.status = self.page.get_by_role("status")
        self.chat = chat

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self._complain(message.text)

    def _complain(self, text: str) -> None:
        self.errors.append(text)
        self.chat.note(f"The browser's console shows: {text}")

    def forgive(self, words: str) -> None:
        """Take what Chromium itself says of a failed request off the errors."""
        self.errors = [error for error in self.errors if words not in error]

    def open(self, rooms: str = "/chats/", number: int = 0) -> Window:
        """Show a room of the list, the first; `rooms` is what its path begins with."""
        # Not in the browser: each page costs it a tenth of a second.
        self.room = self.chat.rooms(below=rooms)[number]
        self.chat.note(f"A window opens {self.room}")
        self.page.goto(self.chat.origin + self.room)
        return self

    def join(self, rooms: str = "/chats/", number: int = 0) -> Window:
        """Show a room, the first, and wait until it is connected."""
        self.open(rooms, number).is_connected()
        self.joined = self.status.inner_text()  # in whatever words
        return self

    def is_connected(self) -> None:
        """Wait until the server has let the page in."""
        if self.chat.has_history:
            says = "the page says Connected when the server has told what it missed"
            expect(self.status, says).to_contain_text(CONNECTED)
        else:
            says = "the page's list should show the greeting of the server"
            expect(self.log, says).to_contain_text(GREETING)

    def say(self, text: str) -> None:
        """Type `text` and press Enter."""
        self.chat.note(f"In a window of {self.room}, somebody types {text!r}, Enter")
        self.box.fill(text)
        self.box.press("Enter")


@contextmanager
def quiet_windows() -> Iterator[list[Window]]:
    """Windows on whose consoles nothing may stand in the end."""
    windows: list[Window] = []
    yield windows
    errors = [error for window in windows for error in window.errors]
    assert not errors, f"The browser's console shows {errors}."


@pytest.fixture
def window(chat, chromium):
    """A function that opens a new window, in a browser profile of its own."""
    with ExitStack() as stack, quiet_windows() as windows:

        def new_window(**options) -> Window:
            context = chromium.new_context(**options)
            stack.callback(context.close)
            windows.append(Window(chat, context))
            return windows[-1]

        yield new_window


@pytest.fixture(scope="session")
def profile(chromium):
    """A browser profile that is used again and again.

    A window in it costs half of what one in a new profile does, since its process
    is there already; a window that nobody looks at keeps it.
    """
    with chromium.new_context() as context:
        context.new_page()
        yield context


@pytest.fixture
def tab(chat, profile):
    """A function that opens a new window in the profile that all tests share.

    For tests that leave nothing in it. The page's clock is the whole profile's.
    """
    with ExitStack() as stack, quiet_windows() as windows:

        def new_tab() -> Window:
            windows.append(Window(chat, profile))
            stack.callback(windows[-1].page.close)
            return windows[-1]

        yield new_tab
