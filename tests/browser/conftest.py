"""A real Chromium, where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.support.servers import PEOPLE
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

    def __init__(self, chat, context, user: str = PEOPLE[0]):
        self.context, self.user = context, user
        self.page = context.new_page()
        # What is not there after some seconds will not come.
        self.page.set_default_timeout(8_000)
        self.errors: list[str] = []
        self.asked = 0  # how often it turned to the chat server
        self.page.on("pageerror", self._script_failed)
        self.page.on("console", self._console)
        self.page.on("websocket", lambda _: self._asks())
        self.page.on("request", lambda request: self._asks(request.url))
        self.page.on("response", self._answered)
        self.log = self.page.get_by_role("log")
        self.box = self.page.get_by_role("textbox")
        self.status = self.page.get_by_role("status")
        self.chat, self.server = chat, chat.django  # which serves the pages

    def _asks(self, url: str = "") -> None:
        self.asked += not url or urlsplit(url).port == self.chat.chat_port

    def _answered(self, response) -> None:
        url = urlsplit(response.url)
        what = f"{response.request.method} {url.path}"
        self.chat.note_status(url.port, what, response.status)

    def _script_failed(self, error) -> None:
        self._complain(str(error))
        found = re.search(r"at .*?(https?://\S+?):(\d+):\d+", error.stack or "")
        self._blame(str(error), found[1] if found else "", found[2] if found else 0)

    def _blame(self, error: str, url: str, line: int) -> None:
        name = urlsplit(url).path.rpartition("/")[2] or "a script in the page"
        path = urlsplit(self.page.url).path
        self.chat.script_errors.append((error, name, line, path))

    def _console(self, message) -> None:
        # Chromium asks for an icon by itself; a page need not have one.
        by_itself = message.location.get("url", "").endswith("/favicon.ico")
        if message.type in ("error", "warning") and not by_itself:
            self._complain(message.text)
            if re.search(r"\b[A-Z]\w+Error\b", message.text):
                at = message.location
                self._blame(message.text, at["url"], at["lineNumber"] + 1)
        elif "Error" in message.text:
            # A page may tell so of what it has caught. It is no fault, and a trace.
            self.chat.note(f"The browser's console shows: {message.text}")

    def _complain(self, text: str) -> None:
        self.errors.append(text)
        self.chat.note(f"The browser's console shows: {text}")

    def forgive(self, words: str) -> None:
        """Take what Chromium itself says of a failed request off the errors."""
        self.errors = [error for error in self.errors if words not in error]

    def open(self, rooms: str = "/chats/", number: int = 0, room: str = "") -> Window:
        """Show a room of the list, the first; `rooms` is what its path begins with.

        Or show `room`, a path from make_rooms(), below `rooms`.
        """
        # Not in the browser: each page costs it a tenth of a second.
        paths = self.chat.rooms(below=rooms, user=self.user)
        key = room.strip("/").rpartition("/")[2]
        self.room = rooms + f"{key}/" if room else paths[number]
        assert self.room in paths, f"/chats/ should link to {self.room}."
        self.chat.note(f"A window opens {self.room}")
        self.log_in()
        self.page.goto(self.chat.origin + self.room)
        return self

    def log_in(self, cookies: dict[str, str] | None = None) -> None:
        """Have the browser be logged in as `user`, where there are accounts.

        Or else by these `cookies`, of another login.
        """
        if self.chat.has_names:
            cookies = cookies or self.chat.cookies(self.user)
            url = self.chat.origin
            self.context.add_cookies(
                [{"name": n, "value": v, "url": url} for n, v in cookies.items()]
            )

    @property
    def send(self):
        """The button that sends what is in the box, if there is one."""
        form = self.page.locator("form").filter(has=self.box)
        return form.get_by_role("button").first

    def join(self, rooms: str = "/chats/", number: int = 0, room: str = "") -> Window:
        """Show a room, the first, and wait until it is connected."""
        self.open(rooms, number, room).is_connected()
        self.joined = self.status.inner_text()  # in whatever words
        return self

    def is_connected(self) -> None:
        """Wait until the server has let the page in."""
        try:
            self._is_connected()
        except AssertionError as error:
            if self.asked:
                raise
            polls = "long_poll" in self.room
            what = "asked the chat server nothing" if polls else "opened no WebSocket"
            raise AssertionError(
                f"{self.room} {what}, so its status and its list stay as they were. "
                "Does its script run, and does it call the function that connects?"
            ) from error

    def _is_connected(self) -> None:
        if self.chat.has_history:
            says = "the page says Connected when the server has told what it missed"
            expect(self.status, says).to_contain_text(CONNECTED)
        else:
            says = "the page's list should show the greeting of the server"
            expect(self.log, says).to_contain_text(GREETING)

    def say(self, text: str) -> None:
        """Type `text` and press Enter."""
        self.chat.note(f"In a window of {self.room}, somebody types {text!r}, Enter")
        self.chat.said.add(text)
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
    """A function that opens a new window, in a browser profile of its own.

    Where there are accounts, it is logged in as `user`. It shows the pages of `other`,
    if one is given, and not those of `chat`.
    """
    with ExitStack() as stack, quiet_windows() as windows:

        def new_window(user: str = PEOPLE[0], other=None, **options) -> Window:
            context = chromium.new_context(**options)
            stack.callback(context.close)
            windows.append(Window(other or chat, context, user))
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
