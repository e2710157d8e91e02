"""A real Chromium, where there is one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Error, Page, Request, expect

from tests.support.pages import COMES_BACK
from tests.support.servers import PATIENCE, PEOPLE, comes_true
from tutorial.stages import load_stages

expect.set_options(timeout=1_000 * PATIENCE)
GREETING = re.compile(r"connected ?\.\.\.")
CONNECTED = re.compile(r"^\s*connected", re.I)
HELD_UP = 2.0  # seconds, after which an answer is held up by a test
CLOSING = "WebSocket is already in CLOSING"  # says Chromium, where a text is dropped
# A mistake in a script, whoever catches it. A request that fails is none.
SLIP = re.compile(
    r"\bReferenceError: |\bTypeError: .*(is not a function|is not iterable|"
    r"Cannot (read|set) properties|Assignment to constant)"
)


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
    in_browser = {"window", "tab", "clocked"} & {*item.fixturenames}
    if not in_browser or item.get_closest_marker("not_judged"):
        return None
    return item.callspec.params["chat"].stage.id


class Window:
    """A browser window on the first room, and what went wrong in it.

    Everything is found by its role, as a screen reader finds it, so that a page
    with other ids and classes is judged alike.
    """

    def __init__(
        self, chat, page, user: str = PEOPLE[0], others: Sequence[Window] = ()
    ):
        self.others = others  # that the same test has opened
        self.page, self.context, self.user = page, page.context, user
        # What is not there after some seconds will not come.
        self.page.set_default_timeout(1_000 * (PATIENCE + 3))
        self.errors: list[str] = []
        self.asked = 0  # how often it turned to the chat server
        self.opened = False  # has it shown a room?
        self.spoilt = False  # does something stay with the page for ever?
        self._scripts, self._listeners = [], []
        self._under_way: set[Request] = set()  # what Django has not answered yet
        self.listen("pageerror", self._script_failed)
        self.listen("console", self._console)
        self.listen("websocket", lambda _: self._asks())
        self.listen("request", lambda request: self._asks(request.url))
        self.listen("response", self._answered)
        self.log = self.page.get_by_role("log")
        self.box = self.page.get_by_role("textbox")
        self.status = self.page.get_by_role("status")
        self.chat, self.server = chat, chat.django  # which serves the pages

    def listen(self, event: str, hear: Callable) -> None:
        """Hear of what happens in the page, as Playwright's page.on() does."""
        self.page.on(event, hear)
        self._listeners.append((event, hear))

    def begin_with(self, script: str) -> None:
        """Run a script in each page that is shown from now on, before its own."""
        self._scripts.append(self.page.add_init_script(script))

    def answer_sockets(self, url: str, answer: Callable) -> None:
        """Have `answer` be the server of the WebSockets that are opened to `url`."""
        self.spoilt = True
        self.page.route_web_socket(url, answer)

    def prefer(self, scheme: str) -> None:
        """Have the browser ask for these colours: light or dark."""
        self.spoilt = True
        self.page.emulate_media(color_scheme=scheme)

    def resize(self, width: int, height: int) -> None:
        """Make the window of this size, in pixels."""
        self.spoilt = True
        self.page.set_viewport_size({"width": width, "height": height})

    @property
    def clock(self):
        """The clock of the page, and of all others in its profile, once it is taken."""
        return self.page.clock

    def take_clock(self, time: float | None = None) -> None:
        """Have the clock of the profile go by itself, until a test says otherwise.

        It begins at `time`, in milliseconds since the epoch, or at what it is now.
        """
        self.spoilt = True
        self.listen("request", self._begins)
        for over in ("requestfinished", "requestfailed"):
            self.listen(over, lambda request: self._under_way.discard(request))
        self.clock.install(time=time)
        self.clock.resume()  # The test before may have let it stand.

    def stop_clock(self) -> None:
        """Have the clock of the profile stand, until a test has it go on.

        On a slow machine, more would pass by itself than a test says.
        """
        now = 1_000 * time.time()  # A page may reckon with the time of day.
        self.take_clock(now)
        self.clock.pause_at(now + 1_000)

    def _begins(self, request: Request) -> None:
        if urlsplit(request.url).port == self.chat.django_port:
            self._under_way.add(request)

    def is_answered(self) -> None:
        """Return when Django has answered what a page with a clock of its own asked.

        Else a minute of the page may pass meanwhile, and it gives up. An answer that
        is held up is waited for once, and not long.
        """
        if self._under_way:
            comes_true(lambda: self.page.evaluate("1") and not self._under_way, HELD_UP)
        self._under_way.clear()

    def leave(self) -> bool:
        """Leave the page as a new one is, but for what it has stored for its site.

        Returns whether that worked.
        """
        for event, hear in self._listeners:
            self.page.remove_listener(event, hear)
        if self.spoilt or self.page.is_closed():
            return False
        try:
            for script in self._scripts:
                script.close()
            self.page.unroute_all(behavior="ignoreErrors")
            # Whether what was not sent is lost, nobody cares any more.
            with self._accepting():
                self.page.goto("about:blank")
        except Error:  # It hangs, or has crashed.
            return False
        return True

    @contextmanager
    def _accepting(self) -> Iterator[None]:
        def accept(dialog):
            dialog.accept()

        self.page.on("dialog", accept)
        yield
        self.page.remove_listener("dialog", accept)

    def _asks(self, url: str = "") -> None:
        self.asked += not url or urlsplit(url).port == self.chat.chat_port

    def _answered(self, response) -> None:
        url = urlsplit(response.url)
        what = f"{response.request.method} {url.path}"
        self.chat.note_status(url.port, what, response.status)

    def _script_failed(self, error) -> None:
        self._complain(str(error))
        self._blame_line_of(str(error), error.stack or "")

    def _blame_line_of(self, error: str, stack: str) -> None:
        found = re.search(r"at .*?(https?://\S+?):(\d+):\d+", stack)
        self._blame(error, found[1] if found else "", found[2] if found else 0)

    def _blame(self, error: str, url: str, line: int) -> None:
        name = urlsplit(url).path.rpartition("/")[2] or "a script in the page"
        path = urlsplit(self.page.url).path
        self.chat.script_errors.append((error, name, line, path))

    def _console(self, message) -> None:
        # Chromium asks for an icon by itself; a page need not have one.
        harmless = message.location.get("url", "").endswith("/favicon.ico")
        # Who keeps what was said until it is told back, may say it to a closing socket.
        harmless |= self.chat.has_history and CLOSING in message.text
        # What a script tells there of what it has caught, it has caught.
        harmless |= bool(message.args)
        if message.type in ("error", "warning") and not harmless:
            self._complain(message.text)
            if re.search(r"\b[A-Z]\w+Error\b", message.text):
                at = message.location
                self._blame(message.text, at["url"], at["lineNumber"] + 1)
        elif "Error" in message.text:
            # A page may tell so of what it has caught. It is no fault, and a trace.
            self.chat.note(f"The browser's console shows: {message.text}")
            if SLIP.search(message.text):
                self._blame_line_of(message.text.splitlines()[0], message.text)

    def _complain(self, text: str) -> None:
        self.errors.append(text)
        self.chat.note(f"The browser's console shows: {text}")

    def forgive(self, words: str) -> None:
        """Take what Chromium itself says of a failed request off the errors.

        In all windows of the test: what fails for one may fail for another.
        """
        for window in {self, *self.others}:
            window.errors = [error for error in window.errors if words not in error]

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
        with self._forgetting():
            self.page.goto(self.chat.origin + self.room)
        return self

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Forget, as a new page does, what was stored in it by the test before."""
        if self.opened:
            yield
        else:
            with self.page.add_init_script("sessionStorage.clear()"):
                yield
        self.opened = True

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

    def sends_what_it_kept(
        self, text: str, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Press Enter until `text`, which is in the box, is in the list.

        The page has lost its server, which is back. Until the text is sent, its status
        may tell of that, and of nothing else. Each time, something may happen
        `meanwhile`. Raises AssertionError.
        """
        deadline = time.monotonic() + COMES_BACK / 1000
        says = "the page connects again by itself, and sends at Enter what it kept"
        while time.monotonic() < deadline:
            meanwhile()
            self.box.press("Enter")
            with suppress(AssertionError):
                expect(self.log, says).to_contain_text(text, timeout=500)
                return
        expect(self.log, says).to_contain_text(text)

    def say(self, text: str) -> None:
        """Type `text` and press Enter."""
        self.chat.note(f"In a window of {self.room}, somebody types {text!r}, Enter")
        self.chat.said.add(text)
        self.box.fill(text)
        self.box.press("Enter")


class Pages:
    """Pages of a browser that are used again and again.

    A new one costs twice as much as one that is there, and one in a profile of its own
    nearly three times as much: each starts a process.
    """

    def __init__(
        self,
        new: Callable[[], Page],
        end: Callable[[Page], None],
        empty: Callable[[Window], None] = lambda window: None,
    ):
        self.new, self.end, self.empty = new, end, empty
        self.free: list[Page] = []

    @contextmanager
    def windows(self, chat) -> Iterator[Callable[..., Window]]:
        """A function that opens a window, of `user`, on `chat` or another one.

        On the consoles of them all nothing may stand in the end.
        """
        windows: list[Window] = []

        def new_window(user: str = PEOPLE[0], other=None) -> Window:
            page = self.free.pop() if self.free else self.new()
            windows.append(Window(other or chat, page, user, windows))
            return windows[-1]

        try:
            yield new_window
            look_at_consoles(windows)
        finally:
            for window in windows:
                if window.leave():
                    self.empty(window)
                    self.free.append(window.page)
                else:
                    self.end(window.page)


def look_at_consoles(windows: list[Window]) -> None:
    """Raise AssertionError if a browser complained on the console of one of them."""
    errors = [error for window in windows for error in window.errors]
    assert not errors, f"The browser's console shows {errors}."


def empty_profile(window: Window) -> None:
    """Forget what the profile of a window holds of the site that it has shown."""
    window.context.clear_cookies()
    devtools = window.context.new_cdp_session(window.page)
    site = {"origin": window.chat.origin, "storageTypes": "all"}
    devtools.send("Storage.clearDataForOrigin", site)
    devtools.detach()


def end_profile(page: Page) -> None:
    """Close the profile of a page."""
    page.context.close()


@contextmanager
def profile(chromium) -> Iterator[Pages]:
    """The pages of one profile. A window that nobody looks at keeps its process."""
    with chromium.new_context() as context:
        context.new_page()
        yield Pages(context.new_page, Page.close)


@pytest.fixture(scope="session")
def profiles(chromium) -> Pages:
    """Pages, each in a profile of its own."""
    return Pages(lambda: chromium.new_context().new_page(), end_profile, empty_profile)


@pytest.fixture(scope="session")
def one_profile(chromium):
    """The pages of a profile."""
    with profile(chromium) as pages:
        yield pages


@pytest.fixture(scope="session")
def clocked_profile(chromium):
    """The pages of another profile, whose clock a test sets."""
    with profile(chromium) as pages:
        yield pages


@pytest.fixture
def window(chat, chromium, profiles):
    """A function that opens a new window, in a browser profile of its own.

    Where there are accounts, it is logged in as `user`. It shows the pages of `other`,
    if one is given, and not those of `chat`. A profile with `options` is a new one.
    """
    with ExitStack() as stack, profiles.windows(chat) as usual:
        special: list[Window] = []

        def new_window(user: str = PEOPLE[0], other=None, **options) -> Window:
            if not options:
                return usual(user, other)
            context = stack.enter_context(chromium.new_context(**options))
            special.append(Window(other or chat, context.new_page(), user))
            return special[-1]

        yield new_window
        look_at_consoles(special)


@pytest.fixture
def tab(chat, one_profile):
    """A function that opens a new window in the profile that all tests share."""
    with one_profile.windows(chat) as new_tab:
        yield new_tab


@pytest.fixture
def clocked(chat, clocked_profile):
    """The same, in a profile whose clock the test sets: it is the whole profile's."""
    with clocked_profile.windows(chat) as new_tab:
        yield new_tab
