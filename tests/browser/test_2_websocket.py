"""Stage 2 in a real browser: two windows talk to each other."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from statistics import median

import psutil
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import GREETING
from tests.support.pages import COMES_BACK, top
from tests.support.servers import new_id, wait_until

SINCE_STAGE = 2

# Notes, in a window, when Enter was pressed, and when each line was first in the log:
# text -> epoch milliseconds.
NOTE_TIMES = """
() => {
  const now = () => performance.timeOrigin + performance.now();
  const log = document.querySelector("[role=log]");
  const look = () => {
    const lines = log.innerText.split("\\n").map((line) => line.trim());
    for (const line of lines) window.shownAt[line] ??= now();
  };
  const everything = {childList: true, characterData: true, subtree: true};
  window.shownAt = {};
  new MutationObserver(look).observe(log, everything);
  addEventListener("keydown", () => { window.enteredAt = now(); }, {capture: true});
}
"""


def lines(window) -> list[str]:
    """What stands in the message list, from the line that is next to the box.

    Greetings and what was said. A server may say more, as when somebody leaves.
    """
    return [
        line
        for line in all_lines(window)
        if line in window.chat.said or GREETING.match(line)
    ]


def all_lines(window) -> list[str]:
    """Every line of the message list, from the one that is next to the box."""
    found = [line.strip() for line in window.log.inner_text().splitlines()]
    found = [line for line in found if line]
    return found if top(window.box) < top(window.log) else found[::-1]


def test_two_windows_talk_to_each_other(tab):
    ann, bob = tab().join(), tab().join()
    hello = f"hello, {new_id()[:4]}"  # Nobody has said it before.
    ann.say(hello)
    expect(bob.log, "Bob's window shows what Ann said").to_contain_text(hello)
    bob.say("hi Ann")
    expect(ann.log, "Ann's window shows what Bob said").to_contain_text("hi Ann")
    expect(bob.log, "Bob's window shows what Bob said").to_contain_text("hi Ann")
    assert lines(ann)[:2] == lines(bob)[:2] == ["hi Ann", hello], (
        "Both windows should show the newest message first, next to the box. "
        f"From there on, Ann's shows {lines(ann)}, Bob's {lines(bob)}."
    )
    far, near = (
        abs(top(ann.box) - top(ann.log.get_by_text(text).first))
        for text in (hello, "hi Ann")
    )
    assert near < far, (
        "The newest message should stand next to the box, not only in the HTML. "
        f"It begins {near:.0f} pixels from the box, and the one before {far:.0f}."
    )
    ann.say("hi Ann")
    twice = re.compile("hi Ann.*hi Ann", re.S)
    expect(bob.log, "what is said twice in a row is two lines").to_contain_text(twice)
    expect(ann.box, "the input box is empty again after sending").to_have_value("")


# What a browser tells a page, with what it tells it to.
TELLINGS = """
() => {
  for (const told of ["offline", "online", "blur", "focus", "pageshow", "resize"])
    dispatchEvent(new Event(told));
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


def shows_once_after_a_quiet_time(window, said: list[str]) -> None:
    """Raise AssertionError if a page does not show each of `said` once, newest first.

    Between two of them nothing was said for longer than a poll waits.
    """
    shown = [line for line in lines(window) if line in said]
    assert shown == said[::-1], (
        "Nothing was said for longer than a poll waits, and then something. The page "
        f"should show each message once: {said[::-1]}. From the box on, it shows "
        f"{shown}."
    )


def doubles_nothing(ann, newcomer, rooms: str = "/chats/") -> None:
    """Whatever the browser tells Ann's page, it shows what is said once.

    `newcomer` opens a window. Until Ann's page shows what is said there, it may have
    gone and come again.
    """
    ann.join(rooms).page.evaluate(TELLINGS)
    bob = newcomer().join()

    def is_back() -> bool:
        bob.say(probe := f"are you back, {new_id()}")
        with suppress(AssertionError):
            expect(ann.log).to_contain_text(probe, timeout=1000)
            return ann.status.inner_text() == ann.joined
        return False

    wait_until(is_back, lambda: "whatever the browser tells a page, it is connected")
    said = [f"number {number}, {new_id()}" for number in range(3)]
    for text, window in zip(said, [bob, ann, bob], strict=True):
        window.say(text)
        expect(ann.log, "Ann's window shows it").to_contain_text(text)
    shown = [line for line in lines(ann) if line in said]
    assert shown == said[::-1], (
        "The browser told the page that it is offline, online again, in front, and so "
        "on, as it may at any time. Then three messages were said. The page should "
        f"show each of them once. From the box on, it shows {lines(ann)[:6]}."
    )


def test_what_the_browser_tells_a_page_doubles_nothing(tab):
    doubles_nothing(tab(), tab)


@pytest.mark.thorough
def test_a_message_is_shown_within_a_tenth_of_a_second(tab):
    ann, bob = tab().join(), tab().join()
    ann.page.evaluate(NOTE_TIMES)
    bob.page.evaluate(NOTE_TIMES)
    delays = []
    for text in ["one", "two", "three", "four", "five"]:
        ann.say(text)
        expect(bob.log).to_contain_text(text)
        shown = bob.page.evaluate("text => shownAt[text]", text)
        delays.append(shown - ann.page.evaluate("enteredAt"))
    assert median(delays) < 100, (
        "A message should be in the other window within 100 ms. "
        f"It took {[round(delay) for delay in delays]} ms."
    )


# Whoever makes a link of what looks like one, has the last three to fear.
MARKUP = [
    "<img src=x onerror=\"document.title='broken in'\">",
    "<script>document.title='broken in'</script>",
    "</li></ul><h1>broken in</h1>",
    "http://a.example/\"onpointermove=\"document.title='broken-in'",
    "http://a.example/'onpointermove='document.title=`broken-in`",
    "javascript:document.title='broken-in'",
]
# What an element of the list would run, if somebody came near it.
WOULD_RUN = """
(log) => [...log.querySelectorAll("*")].flatMap((element) => [...element.attributes])
  .filter(({ name, value }) => /^on/i.test(name) || /^\\s*javascript:/i.test(value))
  .filter(({ value }) => value.includes("broken"))
  .map(({ name, value }) => `${name}="${value}"`)
"""


def test_markup_in_a_message_is_shown_as_text(tab):
    ann, bob = tab().join(), tab().join()
    shows_markup_as_text(ann, bob)


def shows_markup_as_text(writer, reader) -> None:
    """Have one window say MARKUP, and see what the other does. Raises AssertionError.

    The window that it judges is the `reader`; that may be the same.
    """
    for text in MARKUP:
        writer.say(text)
        expect(
            reader.log, "what somebody typed is shown as text, and never as HTML"
        ).to_contain_text(text)
    assert "broken in" not in reader.page.title(), f"The page ran one of {MARKUP}."
    would_run = reader.log.evaluate(WOULD_RUN)
    assert not would_run, (
        "Somebody's text should be shown as text, with textContent. A part of it has "
        f"become an attribute of the page, and waits to be run: {would_run}."
    )


def test_a_word_that_is_wider_than_the_screen_is_broken(tab):
    ann = tab()
    ann.resize(320, 640)
    ann.join().say("W" * 300)
    expect(ann.log).to_contain_text("W" * 300)
    for name, element in {
        "page": ann.page.evaluate_handle("document.documentElement"),
        "list": ann.log,
    }.items():
        wide, room = element.evaluate("e => [e.scrollWidth, e.clientWidth]")
        assert wide <= room, (
            f"At 320 pixels, somebody sends a word of 300 letters. The {name} has "
            f"{room} pixels and is {wide} wide: it scrolls sideways."
        )


@pytest.mark.stages(2, 7)
def test_the_page_comes_back_when_the_server_does(clocked):
    ann, sockets = clocked(), []
    ann.take_clock()
    ann.listen("websocket", lambda socket: sockets.append(socket))
    ann.join()
    server = ann.chat.twisted
    text = "written while the server was away"
    server.kill()
    try:
        expect(
            ann.status, "the page says in words that it is not connected"
        ).not_to_have_text(ann.joined)
        says = ann.status.inner_text()
        assert not re.search("NaN|undefined|null", says), f"The page says {says!r}."
        ann.say(text)
        expect(ann.box, "an unsent text is kept").to_have_value(text)
        pass_time(ann, 10)  # in which it tries in vain
    finally:
        server.start(ann.chat.chat_port)
    ann.sends_what_it_kept(text, lambda: pass_time(ann, 2))
    comes_back_by_one(ann, sockets)
    ann.say("and once more")
    expect(ann.log).to_contain_text("and once more")
    assert lines(ann)[:2] == ["and once more", text], (
        "The page lost its server and came back. What is sent then should be shown, "
        f"and once. From the box on, the window shows {lines(ann)}."
    )
    ann.forgive("WebSocket connection")


def comes_back_by_one(window, sockets: list) -> None:
    """Wait until a window is connected again, and compare how many sockets it has.

    Of its `sockets`, all that were opened, one may be open. Raises AssertionError.
    """
    __tracebackhide__ = True
    expect(window.status, "the page connects again by itself").to_have_text(
        window.joined, timeout=COMES_BACK
    )
    pass_time(window, 60, step=2)  # in which whoever else wants to connect has done so
    still = [socket for socket in sockets if not socket.is_closed()]
    assert len(still) == 1, (
        "The page lost its server, tried in vain for some seconds, and came back. It "
        f"should have one connection then, and has {len(still)}."
    )


# Keeps the sockets of a page where a test finds them.
KEEP_SOCKETS = """
  window.sockets = [];
  window.WebSocket = class extends WebSocket {
    constructor(...words) {
      super(...words);
      sockets.push(this);
    }
  };
"""


@pytest.mark.stages(2, 7)
def test_a_text_is_not_lost_while_the_socket_is_closing(tab):
    ann = tab()
    ann.begin_with(KEEP_SOCKETS)
    ann.join()
    server = psutil.Process(ann.chat.twisted.process.pid)
    server.suspend()  # It does not answer the close, so that is not over yet.
    try:
        ann.page.evaluate("sockets.at(-1).close()")
        ann.say("just before")
        expect(
            ann.box, "a text that the closing socket does not take is kept"
        ).to_have_value("just before")
    finally:
        server.resume()
    ann.sends_what_it_kept("just before")
    expect(ann.status, "the page connects again by itself").to_have_text(ann.joined)
    ann.forgive("WebSocket")


# Where the focus is when the browser has painted: until then a disabled button has it.
FOCUS = """
new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
  () => done(document.activeElement.tagName)
)))
"""


def test_the_focus_is_not_lost_with_the_connection(tab):
    ann = tab().join()
    (ann.send if ann.send.count() else ann.box).focus()
    ann.chat.end()
    expect(ann.status).not_to_have_text(ann.joined)
    # At once: what a page does at its next attempt comes too late for a keystroke.
    focused = ann.page.evaluate(FOCUS)
    ann.chat.come_back()
    assert focused != "BODY", (
        "The button had the focus when the connection was lost. A disabled button "
        "loses it, and who uses the keyboard has to start from the top of the page."
    )
    expect(ann.status).to_have_text(ann.joined, timeout=COMES_BACK)
    ann.forgive("WebSocket connection")


def test_after_a_click_on_the_button_one_can_type_on(tab):
    ann = tab().join()
    ann.box.fill("one")
    if ann.send.count():
        ann.send.click()
    else:
        ann.box.press("Enter")
    expect(ann.log, "the button sends").to_contain_text("one")
    expect(ann.box, "after sending, the focus is in the input box").to_be_focused()


def pass_time(window, seconds: int, step: int = 1, meanwhile=lambda: None) -> None:
    """Let the page's own clock, which the test drives, go on step by step.

    After each step something may happen `meanwhile`.
    """
    for _ in range(0, seconds, step):
        window.clock.run_for(step * 1000)
        meanwhile()
        # A round trip, so that a connection that was refused is known to the page.
        window.page.evaluate("new Promise((done) => queueMicrotask(done))")
        window.is_answered()


class Refusing:
    """A chat server, for one window, that closes each connection at once.

    If it `opens`, only when it is open. While `letting_in` it greets instead.
    `attempts` counts. A page that leaves its waits to Math.random() draws `chance` each
    time: how many attempts fall into a time is no matter of luck then.
    """

    def __init__(self, window, chance: float = 0.5, opens: bool = False):
        self.attempts, self.opens, self.opened = 0, opens, []
        self.letting_in = False
        self.greeting = "connected ...."
        if window.chat.has_history:
            self.greeting = json.dumps(window.chat.nothing_missed)
        window.begin_with(f"Math.random = () => {chance}")
        window.answer_sockets("**/ws", self.answer)
        window.stop_clock()

    def answer(self, socket) -> None:
        self.attempts += 1
        self.last = socket
        if self.letting_in:
            socket.send(self.greeting)
        elif self.opens:
            self.opened.append(socket)
        else:
            socket.close()

    def drop(self) -> None:
        """Close what has been opened."""
        while self.opened:
            self.opened.pop().close()

    def open(self, window) -> None:
        """Show a room, and wait until its page tries: its scripts come before that."""
        window.open()

        def has_tried() -> bool:
            window.clock.run_for(1)
            window.page.evaluate("1")
            return self.attempts > 0

        wait_until(has_tried, lambda: "the page opens a WebSocket")

    def attempts_in(self, window, seconds: int, step: int = 1) -> int:
        """How often the page tries in the next `seconds`, at most once a step."""
        before = self.attempts
        pass_time(window, seconds, step, self.drop)
        return self.attempts - before


@pytest.mark.parametrize("opens", [False, True], ids=["refuses", "opens-and-breaks"])
def test_the_waits_between_attempts_grow_but_not_for_ever(clocked, opens):
    ann = clocked()
    server = Refusing(ann, opens=opens)
    server.open(ann)
    first, later = server.attempts_in(ann, 10), server.attempts_in(ann, 60, step=2)
    assert first * 6 > 3 * later, (
        "The page should wait longer and longer between its attempts to connect. It "
        f"tried {first} times in 10 seconds, and {later} times in the next 60."
    )
    much_later = server.attempts_in(ann, 600, step=30)
    assert much_later >= 5, (
        "The waits should grow to half a minute or so, and not for ever. After a "
        f"minute the page tried {much_later} times in ten minutes."
    )


def test_not_all_pages_come_back_in_the_same_moment(clocked):
    patterns = []
    for chance in (0.01, 0.99):
        page = clocked()
        server = Refusing(page, chance)
        server.open(page)
        patterns.append([server.attempts_in(page, 1) for _ in range(40)])
    assert patterns[0] != patterns[1], (
        "A thousand pages that lose the server in one moment should not come back in "
        "one: a random part of each wait spreads them. Whatever Math.random() draws, "
        "the page tries at the same times."
    )


def test_after_a_success_the_waits_are_short_again(clocked):
    ann = clocked()
    server = Refusing(ann)
    server.open(ann)
    pass_time(ann, 120, step=4)
    server.letting_in = True
    pass_time(ann, 60, step=2)
    ann.is_connected()
    server.letting_in = False
    server.last.close()
    attempts = server.attempts_in(ann, 10)
    assert attempts >= 2, (
        "A page that was connected and lost the connection should begin with short "
        f"waits again. In 10 seconds it tried {attempts} times."
    )


def test_white_space_is_shown_as_it_was_typed(tab):
    ann, bob = tab().join(), tab().join()
    ann.say("two  blanks")
    expect(bob.log).to_contain_text("blanks")
    assert "two  blanks" in bob.log.inner_text(), (
        "Ann typed two blanks in a row, and Bob's window should show both: white-space "
        f"in the style sheet says so. It shows {bob.log.inner_text()!r}."
    )


# Where the text that was found stands, in the element that holds it, and which way that
# runs. An element may be no wider than its text.
SPACES = """
(text) => {
  const range = document.createRange();
  range.selectNodeContents(text);
  const [inner, outer] = [range, text].map((one) => one.getBoundingClientRect());
  const { direction } = getComputedStyle(text);
  return [inner.left - outer.left, outer.right - inner.right, direction];
}
"""


def test_a_text_in_hebrew_begins_at_the_right(tab):
    ann, bob = tab().join(), tab().join()
    ann.box.fill("שלום!")
    direction = ann.box.evaluate("box => getComputedStyle(box).direction")
    assert direction == "rtl", (
        "Somebody types Hebrew, which runs from right to left, and the box goes from "
        'left to right. It needs dir="auto".'
    )
    ann.box.press("Enter")
    # Her own window may show it anew when it has been heard.
    left, right, direction = bob.log.get_by_text("שלום").evaluate(SPACES)
    assert left > right or direction == "rtl", (
        "A message in Hebrew should begin at the right: its element needs "
        f'dir="auto". Left of it are {left:.0f} pixels, right of it {right:.0f}.'
    )
    bob.say(hello := f"hello {new_id()}")
    expect(bob.log, "Bob's window shows what Bob said").to_contain_text(hello)
    for text, wants in {"שלום": "rtl", hello: "ltr"}.items():
        left, right, direction = bob.log.get_by_text(text).evaluate(SPACES)
        # Where it begins may be a matter of taste, for what runs as the page does.
        at_the_right = left > right and wants == "rtl"
        assert at_the_right or direction == wants, (
            f"{text!r} should run {wants}, beside a message that runs the other way: "
            'each message has a dir="auto" of its own.'
        )


def test_the_keyboard_is_enough(tab):
    ann = tab().open()
    page = ann.page
    page.goto(ann.chat.origin + "/chats/")
    tab_to(page, f"document.activeElement.pathname === '{ann.room}'", "the room's link")
    page.keyboard.press("Enter")
    ann.is_connected()
    box = "document.activeElement.matches('input, textarea')"
    tab_to(page, box, "the input box")
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    expect(ann.log, "Enter sends").to_contain_text("typed")
    expect(ann.box, "the focus stays in the input box").to_be_focused()


def tab_to(page, goal: str, what: str) -> None:
    """Press Tab until `goal`, an expression, is true; fail after twenty times."""
    for _ in range(20):
        if page.evaluate(goal):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab, pressed twenty times, should have reached {what}.")


def test_enter_does_not_send_while_a_word_is_being_composed(tab):
    ann = tab().join()
    keyboard = ann.page.context.new_cdp_session(ann.page)
    ann.box.focus()
    composing = {"text": "にほん", "selectionStart": 3, "selectionEnd": 3}
    keyboard.send("Input.imeSetComposition", composing)
    ann.box.press("Enter")
    keyboard.send("Input.insertText", {"text": "日本"})
    ann.box.press("Enter")
    expect(ann.log, "Enter sends the finished word").to_contain_text("日本")
    assert "にほん" not in ann.log.inner_text(), (
        "Enter ended the composing of a word, and the page sent the unfinished word. "
        "Look at event.isComposing."
    )


def test_enter_does_not_send_where_only_its_number_says_composing(tab):
    ann = tab().join()
    keyboard = ann.page.context.new_cdp_session(ann.page)
    ann.box.fill("にほん")
    # As Safari does: the composing is over, and its last Enter has this number.
    enter = {"type": "keyDown", "key": "Enter", "code": "Enter", "text": "\r"}
    keyboard.send("Input.dispatchKeyEvent", enter | {"windowsVirtualKeyCode": 229})
    ann.box.fill("日本")
    ann.box.press("Enter")
    expect(ann.log, "Enter sends the finished word").to_contain_text("日本")
    assert "にほん" not in ann.log.inner_text(), (
        "Enter ended the composing of a word, and the page sent the unfinished word. "
        "In Safari isComposing is false by then. Look at event.keyCode, too: it is 229."
    )


def test_blank_lines_are_not_sent(tab):
    ann, said = tab(), []

    def listen(socket):
        socket.on("framesent", lambda text: said.append(text))

    ann.listen("websocket", listen)
    ann.join()
    ann.say("   ")
    ann.say("words")
    expect(ann.log).to_contain_text("words")
    if ann.chat.has_history:
        said = [json.loads(frame).get("text", frame) for frame in said]
    assert said[-1] == "words" and not any(text.isspace() for text in said), (
        f"A line of blanks should not be sent. Sent: {said}."
    )


def test_the_box_takes_no_more_than_the_server_does(tab):
    ann = tab().join()
    ann.box.focus()
    ann.page.keyboard.insert_text("x" * 5000)
    ann.box.press("Enter")
    # Whether the page cut it, or keeps it for somebody to cut, the server has no
    # reason to hang up.
    ann.say("and this")
    expect(ann.log, "who wrote too much is still connected").to_contain_text("and this")
    expect(ann.status, "and it says so").to_have_text(ann.joined)
