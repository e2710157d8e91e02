"""Exercise 6 in a real browser: who speaks, when, who is here, and for how long."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import axe_playwright_python
import pytest
from playwright.sync_api import expect

from tests.browser.test_2_websocket import FOCUS, Refusing, lines, pass_time
from tests.browser.test_6_rooms import is_kept
from tests.browser.test_8_history import KINDS, Hanging, forgive, has_state, state
from tests.browser.test_9_persistence import NotStoring
from tests.contract.test_10_accounts import (
    fresh_name,
    join,
    listed,
    make_room,
    page_of_link,
)
from tests.support.accounts import Visitor
from tests.support.clients import Client
from tests.support.pages import COMES_BACK, by_another_port, close_at, top
from tests.support.polling import post
from tests.support.proxy import Proxy
from tests.support.servers import PASSWORD, SHORT_LIFE, wait_until

SINCE_STAGE = 10
YOU = re.compile(r"\b(you|me)\b", re.I)
# Milliseconds until a page knows that its token has ended.
ENDED = 3_000 * SHORT_LIFE
NEVER_A_NAME = re.compile("undefined|null|NaN|Invalid|object")

# What stands around a text of the list: the largest element that has no other message.
BLOCK = """
(log, text) => {
  const walker = document.createTreeWalker(log, NodeFilter.SHOW_TEXT);
  let found;
  while (walker.nextNode()) {
    if (walker.currentNode.data.trim() === text) {
      found = walker.currentNode.parentElement;
      break;
    }
  }
  if (!found) return null;
  const times = (element) => element.querySelectorAll("time").length;
  while (found !== log && !times(found) && found.parentElement !== log) {
    found = found.parentElement;
  }
  const time = found.querySelector("time");
  return {
    text: found.innerText,
    time: time && time.innerText,
    datetime: time && time.dateTime,
  };
}
"""
# Is what says `text` kept from turning around what stands beside it?
IS_ISOLATED = """
(log, text) => {
  const walker = document.createTreeWalker(log, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (data.includes(text)) {
      const { unicodeBidi, display } = getComputedStyle(parentElement);
      return /isolate|plaintext/.test(unicodeBidi) || display === "block";
    }
  }
  return false;
}
"""
NOTE_STATES = """
(status) => {
  window.states = [];
  const note = () => states.push(status.textContent);
  const everything = { childList: true, characterData: true, subtree: true };
  new MutationObserver(note).observe(status, everything);
}
"""
# What a browser does when somebody looks at another tab.
LOOK = """
(away) => {
  const property = (name, value) =>
    Object.defineProperty(document, name, { configurable: true, get: () => value });
  property("hidden", away);
  property("visibilityState", away ? "hidden" : "visible");
  document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
}
"""
AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js"))
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.fixture
def zoo(chat) -> str:
    """The path of a new room."""
    [room] = chat.make_rooms(fresh_name("Zoo "))
    return room


def block(window, text: str) -> dict:
    """The text that stands around a message, and its time. Waits for the message."""
    expect(window.log).to_contain_text(text, timeout=COMES_BACK)
    found = window.log.evaluate(BLOCK, text)
    assert found, (
        f"The text of a message should be in an element of its own. The list shows "
        f"{window.log.inner_text()!r}, and none that says {text!r} alone."
    )
    return found


def beside(window, text: str) -> str:
    """What stands beside a message: who said it, and when."""
    return block(window, text)["text"].replace(text, "")


def here(window):
    """The list of who is here."""
    return window.page.get_by_role("list", name=re.compile("here", re.I))


def listed_here(window) -> list[str]:
    """What the items of that list say: a name each, and maybe which one is yours."""
    return here(window).get_by_role("listitem").all_inner_texts()


def are_here(window, *names: str, because: str) -> None:
    """Wait until these names are in the list, each once, and no other."""

    def is_so() -> bool:
        items = listed_here(window)
        found = [[item for item in items if name in item] for name in names]
        return len(items) == len(names) and all(len(one) == 1 for one in found)

    wait_until(
        is_so,
        lambda: (
            f"the page should list {', '.join(names)} as here, each once, because "
            f"{because}. It lists {listed_here(window)}"
        ),
    )


class Poster:
    """Somebody who posts with a token of their own."""

    def __init__(self, chat, user: str, room: str):
        self.chat, self.token = chat, chat.token(room, user)

    def say(self, text: str) -> None:
        post(self.chat, text, token=self.token)


MIXED = pytest.mark.parametrize(
    "places",
    [("/chats/", "/chats/long_poll/"), ("/chats/long_poll/", "/chats/")],
    ids=["socket-polling", "polling-socket"],
)


@MIXED
def test_each_message_says_who_has_said_it(window, zoo, places):
    ann, bob = window(), window("Bob")
    ann.join(places[0], room=zoo)
    bob.join(places[1], room=zoo)
    ann.say("hello Bob")
    expect(bob.log).to_contain_text("hello Bob")
    bob.say("hello Ann")
    expect(ann.log).to_contain_text("hello Ann")

    def look(when: str) -> None:
        for reader in (ann, bob):
            for text, name in [("hello Bob", "Ann"), ("hello Ann", "Bob")]:
                said = beside(reader, text)
                assert name in said, (
                    f"{when} the page of {reader.user} shows {text!r}, which {name} "
                    f"has said, and should say so beside it. There is {said!r}."
                )
                own = bool(YOU.search(said))
                assert own == (reader.user == name), (
                    f"{when} {reader.user}'s own messages should say so in a word, "
                    f"'you', and nobody else's: a colour is not seen by all. Beside "
                    f"{text!r}, which {name} has said, is {said!r}."
                )

    look("At once,")
    for reader in (ann, bob):
        reader.page.reload()
        reader.is_connected()
    look("After a reload,")
    ann.chat.crash()
    ann.chat.come_back()
    for reader in (ann, bob):
        reader.page.reload()
        reader.is_connected()
        forgive(reader)
    look("After a crash of the chat server,")


def test_earlier_messages_say_who_has_said_them(window, zoo):
    ann, bob = window(), window("Bob")
    ann.join(room=zoo)
    ann.say("the very first")
    block(ann, "the very first")
    for number in range(260):
        post(ann.chat, f"number {number}", room=zoo)
    bob.join(room=zoo)
    first = bob.log.get_by_text("the very first", exact=True)
    while not first.count():
        before = len(bob.log.inner_text())
        bob.page.get_by_role("button", name=re.compile("earlier", re.I)).click()
        wait_until(
            lambda before=before: len(bob.log.inner_text()) > before,
            lambda: "a click on the button should load earlier messages",
        )
    said = beside(bob, "the very first")
    assert "Ann" in said, (
        "An earlier message was loaded, which Ann had said. The page should say so "
        f"beside it, as it does for the newest ones. There is {said!r}."
    )


@KINDS
def test_a_name_is_text_wherever_it_stands(window, zoo, rooms):
    evil = "<img src=x onerror=\"document.title='broken in'\">"
    eve, bob = window(evil), window("Bob")
    eve.join("/chats/long_poll/", room=zoo)
    bob.join(rooms, room=zoo)
    eve.say("my name is odd")
    assert evil in beside(bob, "my name is odd"), (
        f"Somebody is called {evil}. The page should show that as text. It shows "
        f"{beside(bob, 'my name is odd')!r}."
    )
    are_here(bob, "Bob", evil, because="both are in the room")
    for reader in (eve, bob):
        assert "broken in" not in reader.page.title(), "A name was run as a script."
        image = reader.page.locator("img[src=x]")
        assert not image.count(), "A name has become an image."
    # Nor does it turn around what stands beside it.
    assert bob.log.evaluate(IS_ISOLATED, evil), (
        "A name may be in Hebrew or Arabic, or have characters that turn text. It "
        "should be in a <bdi>, so that it turns nothing else around."
    )


def clock_times(window, when: str) -> set[str]:
    """How the clock of that moment may be written where the page is read."""
    ways = "['en-GB', 'en-US', []]"
    digits = "['numeric', '2-digit']"
    return set(
        window.page.evaluate(
            f"""(when) => {ways}.flatMap((way) => {digits}.map((hour) =>
              new Intl.DateTimeFormat(way, {{ hour, minute: "2-digit" }})
                .format(new Date(when))))""",
            when,
        )
    )


@KINDS
def test_a_message_shows_when_it_was_said_where_you_are(window, zoo, rooms):
    text = f"what time is it, {rooms}"
    for zone in ("Asia/Kolkata", "America/St_Johns"):
        ann = window(timezone_id=zone, locale="en-GB")
        ann.join(rooms, room=zoo)
        if zone == "Asia/Kolkata":
            ann.say(text)
        found = block(ann, text)
        assert found["datetime"], (
            "Each message should have a <time datetime=...> with the moment at which "
            f"it was said. Around {text!r} is {found}."
        )
        expected = clock_times(ann, found["datetime"])
        shown = found["time"].replace("\u202f", " ")
        assert any(one.replace("\u202f", " ") in shown for one in expected), (
            f"{text!r} was said at {found['datetime']}. Read in {zone}, the page "
            f"should show that time as it is there, {sorted(expected)[0]}. It shows "
            f"{shown!r}."
        )
        ann.chat.moved(zoo, 1)
        said = json.loads(ann.chat.get(f"{zoo}earlier/?before=99", user="Ann").text)
        [told] = [one for one in said["data"] if one["text"] == text]
        assert told["said_at"] == found["datetime"], (
            f"The server tells {told['said_at']}, and the page {found['datetime']}."
        )


class Telling(Refusing):
    """A chat server, for one window, that lets it in and tells what a test says."""

    def __init__(self, window, *messages: dict):
        self.first = {"data": [*messages], "seq": len(messages)}
        super().__init__(window)
        self.letting_in = True
        self.greeting = json.dumps(window.chat.nothing_missed | self.first)

    def answer(self, socket) -> None:
        socket.on_message(lambda frame: self.hear(socket, frame))
        super().answer(socket)

    def hear(self, socket, frame: str) -> None:
        if "here" in json.loads(frame):
            socket.send(json.dumps({"status": 1, "here": []}))

    def tell(self, chat, message: dict) -> None:
        news = {"seq": message["seq"], "data": [message]}
        self.last.send(json.dumps(chat.nothing_missed | news))


def message(seq: int, said_at: str, author: dict | None = None, **more) -> dict:
    """A message as the chat server tells it."""
    text = f"said {seq:02}"
    told = {"seq": seq, "id": f"id {seq}", "text": text, "author": author}
    return told | {"said_at": said_at} | more


def test_each_day_has_a_line_of_its_own(window):
    ann = window(timezone_id="Europe/Berlin", locale="en-GB")
    server = Telling(
        ann,
        message(1, "2026-02-28T22:30:00.000Z"),  # the last of February there
        message(2, "2026-02-28T23:30:00.000Z"),  # half past midnight there
        message(3, "2026-03-01T22:59:00.000Z"),
    )
    ann.begin_with("history.scrollRestoration = 'manual'")
    ann.join()
    block(ann, "said 03")
    server.tell(ann.chat, message(4, "2026-03-01T23:01:00.000Z"))
    server.tell(ann.chat, message(5, "2026-03-02T12:00:00.000Z"))
    # A week, a month, a year later: the same weekday, the same date, the same day.
    for number, day in enumerate(["2026-03-09", "2026-04-09", "2027-04-09"], start=6):
        server.tell(ann.chat, message(number, f"{day}T12:00:00.000Z"))
    block(ann, "said 08")
    shown = [line for line in ann.log.inner_text().splitlines() if line.strip()]
    at = [shown.index(f"said {number:02}") for number in range(8, 0, -1)]
    days = [
        [line for line in shown[start:end] if re.search("202[67]", line)]
        for start, end in zip([0, *at], [*at, len(shown)], strict=True)
    ]
    between = [len(found) for found in days[1:-1]]
    assert between == [1, 1, 1, 0, 1, 0, 1], (
        "Read in Berlin, eight messages were said: one in February, two on the first "
        "of March, and then two on the second, one a week later, one a month after "
        "that, and one after a year. Between two days, and nowhere else, a line should "
        "name the day, with its year. Between the messages, the newest first, are so "
        f"many: {between}. The list shows {shown}."
    )


@pytest.mark.parametrize(
    ("zone", "hour"), [("America/St_Johns", 21), ("Pacific/Auckland", 6)]
)
def test_a_day_is_named_as_it_is_where_you_are(window, zone, hour):
    ann, dates = window(timezone_id=zone, locale="en-GB"), (10, 20, 30)
    times = [datetime(2026, 1, day, hour, tzinfo=ZoneInfo(zone)) for day in dates]
    told = [time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z") for time in times]
    Telling(ann, *(message(number, at) for number, at in enumerate(told, start=1)))
    ann.join()
    block(ann, "said 03")
    named = [line for line in ann.log.inner_text().splitlines() if "2026" in line]
    wrong = [line for line in named if not re.search(r"\b(10|20|30)\b", line)]
    assert named and not wrong, (
        f"Read in {zone}, three messages were said on January 10, 20 and 30, at {hour} "
        f"o'clock. In Greenwich it was {told}. The lines of the days should name them "
        f"as they are where the reader is. They are {named}."
    )


def test_what_has_no_author_is_shown_without_one(window):
    ann = window()
    gone = {"id": None, "name": "deleted user"}
    Telling(
        ann,
        message(1, "2026-02-28T22:30:00.000Z"),
        message(2, "2026-02-28T22:31:00.000Z", gone),
    )
    ann.join()
    nameless, deleted = beside(ann, "said 01"), beside(ann, "said 02")
    assert not NEVER_A_NAME.search(nameless) and not YOU.search(nameless), (
        "A message of before this exercise has the author null: nobody knows. The page "
        f"should show it without a name. Beside it is {nameless!r}."
    )
    assert "deleted user" in deleted and not YOU.search(deleted), (
        'The author {"id": null, "name": "deleted user"} has been deleted, and the '
        f"page should say so. Beside the message is {deleted!r}."
    )


@MIXED
def test_the_page_lists_who_is_here(window, zoo, places):
    ann = window().join(places[0], room=zoo)
    are_here(ann, "Ann", because="she is the only one")
    bob = window("Bob").join(places[1], room=zoo)
    for reader in (ann, bob):
        are_here(reader, "Ann", "Bob", because="Bob has come")
    again = window("Bob").join(places[0], room=zoo)
    again.say("from another window")
    expect(ann.log).to_contain_text("from another window")
    are_here(ann, "Ann", "Bob", because="two windows of his are one Bob")
    again.page.close()
    bob.say("still here")
    expect(ann.log).to_contain_text("still here")
    are_here(ann, "Ann", "Bob", because="one of his windows is open still")
    bob.page.close()
    are_here(ann, "Ann", because="Bob has closed his last window")


@KINDS
def test_without_a_connection_nobody_is_said_to_be_here(window, rooms):
    ann = window().join(rooms)
    are_here(ann, "Ann", because="she is the only one")
    ann.chat.crash()
    try:
        expect(ann.status).not_to_have_text(ann.joined)
        wait_until(
            lambda: listed_here(ann) == [],
            lambda: (
                "without a connection nobody tells the page who is here, so it should "
                f"list nobody. It lists {listed_here(ann)}"
            ),
        )
    finally:
        ann.chat.come_back()
    expect(ann.status).to_have_text(ann.joined, timeout=COMES_BACK)
    are_here(ann, "Ann", because="she is back")
    forgive(ann)


def test_who_comes_does_not_move_what_somebody_reads(window):
    ann = window(viewport={"width": 360, "height": 640})
    day = "2026-02-28T22:30:00.000Z"
    server = Telling(ann, *(message(seq, day) for seq in range(1, 61)))
    ann.join()
    old = ann.log.get_by_text("said 20", exact=True)
    old.scroll_into_view_if_needed()
    before = top(old)
    names = [f"Somebody {number:02}" for number in range(40)]
    people = [{"id": 9000 + n, "name": name} for n, name in enumerate(names)]
    server.last.send(json.dumps({"status": 1, "here": people}))
    are_here(ann, *names, because="the server has said so")
    moved = top(old) - before
    assert abs(moved) < 2, (
        "Somebody reads further down, and forty people came. What is read should stay "
        f"where it is on the screen, and it moved by {moved:g} pixels."
    )


def test_who_is_here_is_listed_although_a_message_was_not_stored(window):
    ann = window()
    server = NotStoring(ann)
    ann.join()
    people = [
        {"id": ann.chat.users["Ann"], "name": "Ann"},
        {"id": 9876, "name": "Bob"},
    ]
    server.last.send(json.dumps({"status": 1, "here": people}))
    are_here(ann, "Ann", "Bob", because="the server has said so")
    ann.say("hello")
    expect(ann.status, "it is not stored").not_to_have_text(ann.joined)
    server.tell(ann.chat, **server.said[0])
    pass_time(ann, 5)
    assert ann.status.text_content() == ann.joined, "It was stored after all."
    are_here(
        *[ann, "Ann", "Bob"],
        because="the page was connected all the time, so nobody tells it again. A "
        "message that the server could not store has nothing to do with it",
    )


@KINDS
def test_the_page_fetches_the_next_token_in_time(window, short_lived, rooms):
    ann, bob = window(other=short_lived), window("Bob", other=short_lived)
    renewed = []

    def note(answer) -> None:
        if answer.url.rstrip("/").endswith("token"):
            renewed.append(answer.status)

    ann.listen("response", note)
    bob.join()
    ann.join(rooms)
    ann.status.evaluate(NOTE_STATES)
    for number in range(3):
        before = len(renewed)
        wait_until(
            lambda before=before: ann.page.evaluate("1") and len(renewed) > before,
            lambda: (
                f"a token lives for {SHORT_LIFE} s here, and the page should fetch the "
                f"next one from .../token/ before it ends. It has fetched {renewed}"
            ),
            2 * SHORT_LIFE,
        )
        bob.say(f"Bob {number} on {rooms}")
        expect(ann.log).to_contain_text(f"Bob {number} on {rooms}")
        ann.say(f"Ann {number} on {rooms}")
        expect(bob.log).to_contain_text(f"Ann {number} on {rooms}")
    states = ann.page.evaluate("states.filter((said) => !/^\\s*connected/i.test(said))")
    assert not states, (
        "The next token is there before the old one ends, so there is no break in the "
        f"conversation. But the page has said {states}."
    )
    # A poll may have waited longer than its token was good, and asks with the next.
    forgive(ann)
    forgive(bob)


@KINDS
def test_who_logs_out_is_told_and_led_back_and_loses_nothing(
    window, short_lived, rooms
):
    name = fresh_name("Dora")
    dora = window(name, other=short_lived)
    dora.join(rooms)
    other, dora.spoilt = dora.context.new_page(), True
    other.goto(short_lived.origin + "/chats/")
    other.get_by_role("button", name=re.compile("log ?out|sign ?out", re.I)).click()
    expect(dora.status, "the page says that its login has ended").to_contain_text(
        re.compile("log|sign", re.I), timeout=ENDED
    )
    dora.box.fill("a draft")
    dora.box.press("Enter")
    is_kept(dora, "a draft")
    said = dora.status.inner_text()
    link = dora.page.get_by_role("link", name=re.compile("log|sign", re.I)).first
    expect(link, "the page leads to the login").to_be_visible()
    link.click()
    dora.page.get_by_label(re.compile("username", re.I)).fill(name)
    dora.page.get_by_label(re.compile("password", re.I)).fill(PASSWORD)
    dora.page.keyboard.press("Enter")
    expect(dora.page, f"{said!r} leads to the login, and back").to_have_url(
        short_lived.origin + dora.room
    )
    dora.is_connected()
    if dora.box.input_value():  # A page that keeps it in a line sends it by itself.
        dora.box.press("Enter")
    expect(dora.log, "the draft is not lost").to_contain_text("a draft")
    forgive(dora)


@KINDS
def test_a_page_does_not_speak_as_who_logs_in_in_another_tab(
    window, short_lived, rooms
):
    ann = window(other=short_lived).join(rooms)
    ann.user = "Bob"
    ann.log_in()  # What a login in another tab does: the tabs share the cookies.
    link = ann.page.get_by_role("link", name=re.compile("log|sign", re.I)).first
    expect(
        link,
        "Ann's page is open, and Bob has logged in in another tab. When her last token "
        "has ended, her page should take none of his: it says so, and leads to the "
        "login",
    ).to_be_visible(timeout=ENDED)
    ann.box.fill("what Ann would say")
    ann.box.press("Enter")
    is_kept(ann, "what Ann would say")
    bob = window("Bob", other=short_lived).join(rooms)
    bob.say("what Bob says")
    expect(bob.log).to_contain_text("what Bob says")
    said = bob.log.inner_text()
    assert "what Ann would say" not in said, "Ann's page spoke in Bob's name."
    forgive(ann)
    forgive(bob)


class Closing(Refusing):
    """A chat server, for one window, that closes with a code after the first frame."""

    code = 4410

    def answer(self, socket) -> None:
        if self.letting_in:
            super().answer(socket)
        else:
            self.attempts += 1
            socket.on_message(lambda frame: socket.close(code=self.code))


def test_a_page_that_slept_asks_for_a_token_again(window):
    ann, given = window(), []
    server, is_offline = Closing(ann), False

    def give(route) -> None:
        if is_offline:
            route.abort()
            return
        given.append(route.request.url)
        server.code = 1013  # Come again later. No look at the token.
        server.letting_in = len(given) > 1
        route.continue_()

    ann.page.route("**/token/", give)
    server.open(ann)
    pass_time(ann, 10)
    assert len(given) == 1, (
        "The server said that the token has ended (4410), and then that it has no time "
        "(1013). So the page should have asked for a token once. It has asked "
        f"{len(given)} times."
    )
    is_offline, server.code = True, 4410
    ann.clock.fast_forward(7 * 24 * 3_600_000)
    ann.page.evaluate("1")
    is_offline = False
    pass_time(ann, 60)
    expect(
        ann.status,
        "A laptop slept for a week. Its token has ended (4410), before the server had "
        "ever looked at it. That is no reason to give up: the page should ask for "
        "another, which will be taken",
    ).to_have_text(re.compile(r"^\s*connected", re.I))
    forgive(ann)


def test_a_long_life_is_no_reason_to_ask_all_the_time(window):
    ann, asked = window(), []
    server, two_months = Closing(ann), 60 * 24 * 3600
    given = json.loads(
        ann.chat.get(f"{ann.chat.rooms()[0]}token/", user="Ann").text or "{}"
    )

    def give(route) -> None:
        asked.append(route.request.url)
        server.letting_in = True
        route.fulfill(json=given | {"seconds": two_months})

    ann.page.route("**/token/", give)
    server.open(ann)
    pass_time(ann, 20)
    assert len(asked) == 1, (
        "A page was given a token that lives for two months, so it should ask for the "
        f"next one in some weeks. It has asked {len(asked)} times within seconds. A "
        "setTimeout of more than 2**31 - 1 milliseconds is over at once."
    )


@KINDS
def test_who_is_removed_from_a_room_is_told(window, short_lived, rooms):
    owner, guest = Visitor(short_lived, "Olga"), Visitor(short_lived, "Gus")
    room, link = make_room(owner, is_private=True)
    join(guest, link)
    gus = window("Gus", other=short_lived)
    gus.join(rooms, room=room)
    gus.status.evaluate(NOTE_STATES)
    page, _ = page_of_link(owner, room)
    owner.press(page, "remove")
    expect(gus.status, "the page says that it may not speak").not_to_have_text(
        re.compile(r"^\s*connected|trying", re.I), timeout=ENDED
    )
    said, asked = gus.status.inner_text(), gus.asked
    gus.say("let me in")
    is_kept(gus, "let me in")
    assert gus.asked == asked, "A page that may not speak sends nothing."
    assert not re.search(r"^\s*connected|trying|logged out", said, re.I), (
        "Gus was removed from the room. When his last token has ended, the page should "
        f"say that the room is closed to him. It says {said!r}."
    )
    asked = gus.asked
    gus.page.reload()
    expect(gus.page.locator("body")).not_to_contain_text(gus.joined)
    assert gus.asked == asked, "The room is 404 to him."
    forgive(gus)
    # With DEBUG, Django's own page of a 404 has its styles inside.
    gus.forgive("Content Security Policy")


def test_a_draft_is_there_after_a_reload(window, zoo):
    ann = window().join(room=zoo)
    ann.box.press_sequentially("half a thou")
    ann.page.reload()
    expect(ann.box, "what was typed is there again").to_have_value("half a thou")
    ann.join()
    expect(ann.box, "a draft belongs to its room").to_have_value("")
    ann.join("/chats/long_poll/", room=zoo)
    expect(ann.box).to_have_value("half a thou")
    ann.box.press("Enter")
    expect(ann.log).to_contain_text("half a thou")
    ann.page.reload()
    expect(ann.box, "it was sent").to_have_value("")
    # Somebody else at this machine.
    ann.box.fill("what only Ann may read")
    ann.user = "Bob"
    ann.join(room=zoo)
    expect(ann.box, "a draft belongs to its writer").to_have_value("")


@KINDS
def test_what_was_not_sent_is_sent_after_a_reload_once(window, rooms):
    ann, bob = window(), window("Bob").join()
    text = f"over the reload on {rooms}"
    with Proxy(ann.chat.chat_port) as line:
        by_another_port(ann, line.port)
        ann.listen("dialog", lambda dialog: dialog.accept())
        ann.join(rooms)
        line.take_down()
        expect(ann.status).not_to_have_text(ann.joined)
        ann.say(text)
        has_state(ann, text, "pending")
        ann.page.reload()
        expect(state(ann, text), "it is there after a reload").to_have_count(1)
        line.is_down = False
        has_state(ann, text, "sent")
        expect(bob.log).to_contain_text(text)
        ann.page.reload()
        expect(ann.log).to_contain_text(text)
        ann.say(f"the end on {rooms}")
        expect(bob.log).to_contain_text(f"the end on {rooms}")
        for reader in (ann, bob):
            found = lines(reader).count(text)
            assert found == 1, (
                f"Ann's message was not sent yet, and she loaded the page again. It is "
                f"one message, and {reader.user}'s window shows it {found} times."
            )
        forgive(ann)
        ann.page.close()


def test_what_was_not_sent_outlives_two_reloads_beside_what_failed(window, zoo):
    ann, is_down = window(), False

    def answer(socket) -> None:
        if is_down:
            socket.close()
        else:
            close_at("too much", socket)

    ann.answer_sockets("**/ws", answer)
    ann.listen("dialog", lambda dialog: dialog.accept())
    ann.join(room=zoo)
    is_down = True
    ann.say("too much")
    has_state(ann, "too much", "failed")
    ann.say("not sent yet")
    for number in ("first", "second"):
        ann.page.reload()
        has_state(ann, "too much", "failed")
        expect(
            state(ann, "not sent yet"),
            "The server has refused one message, and another one was not sent yet. "
            f"After the {number} reload the page should have both",
        ).to_have_count(1)
    is_down = False
    has_state(ann, "not sent yet", "sent")
    expect(ann.log).to_contain_text("not sent yet", timeout=COMES_BACK)
    forgive(ann)


def test_a_message_told_once_more_leaves_no_hole(window):
    ann, asked, said = window(), [], []
    day = "2026-02-28T22:30:00.000Z"

    class ToldAgain(Telling):
        """Knows what is said: it was number 10."""

        def hear(self, socket, frame: str) -> None:
            super().hear(socket, frame)
            if "text" in (told := json.loads(frame)):
                own = message(10, day) | {"id": told["id"], "text": told["text"]}
                said.append(told["text"])
                self.tell(ann.chat, own)

    def earlier(route) -> None:
        asked.append(re.search(r"before=(\d+)", route.request.url)[1])
        told = {"status": 1, "more": False, "data": [], "last": 210}
        route.fulfill(json=told)

    server = ToldAgain(ann)
    several = [message(seq, day) for seq in range(201, 211)]
    news = ann.chat.nothing_missed | {"seq": 210, "data": several}
    server.greeting = json.dumps(news)
    ann.page.route("**/earlier/**", earlier)
    ann.join()
    ann.say("said before a reload")
    wait_until(
        lambda: ann.page.evaluate("1") and said, lambda: "the page should send it"
    )
    server.tell(ann.chat, message(211, day))
    block(ann, "said 211")
    button = ann.page.get_by_role("button", name=re.compile("earlier", re.I))
    button.click()
    wait_until(
        lambda: ann.page.evaluate("1") and asked,
        lambda: "a click on the button should ask for earlier messages",
    )
    assert asked == ["201"], (
        "The list begins with number 201. Then a message was said once more that is "
        "stored already, and was told with its number, 10. What is missing in the "
        "list are those before 201 still, but the page has asked for those before "
        f"{asked[0]}. From there on, it cannot load those from 11 to 200."
    )


@KINDS
def test_news_do_not_move_what_somebody_reads(window, zoo, rooms):
    ann = window(viewport={"width": 360, "height": 640})
    for number in range(60):
        post(ann.chat, f"old {number:02}", room=zoo)
    ann.join(rooms, room=zoo)
    old = ann.log.get_by_text("old 20", exact=True)
    old.scroll_into_view_if_needed()
    before = top(old)
    for number in range(3):
        Poster(ann.chat, "Bob", zoo).say(f"new {number}")
    expect(ann.log).to_contain_text("new 2")
    button = ann.page.get_by_role("button", name=re.compile("3 new", re.I))
    expect(button, "it says how many are new").to_be_in_viewport()
    moved = top(old) - before
    assert abs(moved) < 2, (
        "Somebody reads further down, and three messages came on top. What is read "
        f"should stay where it is on the screen, and it moved by {moved:g} pixels."
    )
    button.click()
    newest = ann.log.get_by_text("new 2", exact=True)
    expect(newest, "the button leads to them").to_be_in_viewport()
    expect(button, "nothing is new any more").to_be_hidden()
    assert ann.page.evaluate(FOCUS) != "BODY", (
        "Who pressed the button had the focus there, and it goes with the button. It "
        "should go elsewhere, to the box for example: who uses the keyboard would have "
        "to start from the top of the page."
    )


@KINDS
def test_a_hidden_window_counts_what_is_new_in_its_title(window, zoo, rooms):
    ann = window().join(rooms, room=zoo)
    title = ann.page.title()
    Poster(ann.chat, "Bob", zoo).say("seen")
    expect(ann.log).to_contain_text("seen")
    expect(ann.page, "she sees it").to_have_title(title)
    ann.page.evaluate(LOOK, True)
    for number in (1, 2):
        Poster(ann.chat, "Bob", zoo).say(f"unseen {number}")
        expect(ann.page, f"{number} came while the window was hidden").to_have_title(
            re.compile(rf"\b{number}\b.*{re.escape(title)}")
        )
    ann.page.evaluate(LOOK, False)
    expect(ann.page, "somebody looks again").to_have_title(title)
    Poster(ann.chat, "Bob", zoo).say("seen at once")
    expect(ann.log).to_contain_text("seen at once")
    expect(ann.page, "she sees this one, too").to_have_title(title)
    ann.page.evaluate(LOOK, True)
    Poster(ann.chat, "Bob", zoo).say("unseen again")
    expect(ann.page, "what was seen is not counted once more").to_have_title(
        re.compile(rf"\b1\b.*{re.escape(title)}")
    )


def test_what_was_read_is_not_new_in_the_list(window, zoo):
    ann = window()
    poster = Poster(ann.chat, "Bob", zoo)
    poster.say("one")
    poster.say("two")
    ann.chat.moved(zoo, 2)
    reader = Visitor(ann.chat)
    reader.cookies = ann.chat.cookies("Ann")
    says = listed(reader)[zoo]
    assert re.search(r"\b2 (new|unread)", says, re.I), (
        f"Two messages are new to Ann in a room. Beside it, the list says {says!r}."
    )
    ann.join(room=zoo)
    poster.say("three")
    expect(ann.log).to_contain_text("three")
    nothing_is_new(ann, reader, zoo, because="Ann has read all")


def nothing_is_new(window, reader: Visitor, room: str, because: str) -> None:
    """Wait until the list tells `reader`, who has `window`, of no news in `room`."""

    def told() -> str:
        return listed(reader)[room]

    wait_until(
        lambda: (
            window.page.evaluate("1")
            and not re.search(r"\d+ (new|unread)", told(), re.I)
        ),
        lambda: (
            f"beside a room, the list should tell nothing as new, because {because}. "
            f"It says {told()!r}"
        ),
        COMES_BACK / 1000,
    )


@pytest.mark.parametrize("trouble", ["503", "another login"])
def test_that_something_was_read_is_told_again_where_it_fails(window, zoo, trouble):
    name, because = fresh_name("Ruth"), "Ruth has read it."
    ruth = window(name)
    poster = Poster(ruth.chat, "Bob", zoo)
    if trouble == "503":
        because += " Django answered 503 to the page's first POST .../read/, once"
        poster.say("what Ruth reads")
        ruth.page.route(
            "**/read/", lambda route: route.fulfill(status=503, json={}), times=1
        )
        ruth.join(room=zoo)
    else:
        because += " She had logged in anew in another tab, and so has another CSRF "
        because += "token than when the page was loaded: it is in document.cookie"
        ruth.join(room=zoo)
        ruth.log_in(ruth.chat.log_in(name))
        poster.say("what Ruth reads")
    expect(ruth.log).to_contain_text("what Ruth reads")
    nothing_is_new(ruth, Visitor(ruth.chat, name), zoo, because)
    forgive(ruth)


def test_what_is_above_the_window_is_not_read_yet(window, zoo):
    ann, told = window(viewport={"width": 360, "height": 640}), []
    for number in range(60):
        post(ann.chat, f"old {number:02}", room=zoo)
    ann.take_clock()
    ann.join(room=zoo)
    ann.log.get_by_text("old 20", exact=True).scroll_into_view_if_needed()

    def note(request) -> None:
        if request.url.rstrip("/").endswith("read"):
            told.append(request.post_data or "")

    ann.listen("request", note)
    Poster(ann.chat, "Bob", zoo).say("number 61")
    expect(ann.log).to_contain_text("number 61")
    ann.clock.run_for(10_000)
    assert not any("61" in seq for seq in told), (
        "Ann reads further down, and number 61 came on top, where she does not see it. "
        f"So it is not read yet, but the page has told Django {told}."
    )
    ann.page.get_by_role("button", name=re.compile("1 new", re.I)).click()
    reader = Visitor(ann.chat)
    reader.cookies = ann.chat.cookies("Ann")
    nothing_is_new(ann, reader, zoo, because="she has gone there and read it")


def test_a_server_that_is_silent_is_noticed_within_a_minute(window):
    ann = window()
    server = Hanging(ann)
    server.letting_in = True
    ann.join()
    server.letting_in = False
    pass_time(ann, 60)
    assert ann.status.text_content() != ann.joined, (
        "The server has let the page in, and then said nothing for a minute, not even "
        "when it was asked who is here. The page should notice and say so, although "
        f"nobody has typed anything. It says {ann.joined!r}."
    )


def test_a_quiet_room_is_no_reason_to_worry(window):
    ann = window()
    server = Telling(ann)
    ann.join()
    pass_time(ann, 180)
    assert (server.attempts, ann.status.text_content()) == (1, ann.joined), (
        'Nobody says anything for three minutes, and whenever the page asks {"here": '
        "true}, the server answers. So all is well. The page has connected "
        f"{server.attempts} times, and says {ann.status.text_content()!r}."
    )


def faults(page) -> list[str]:
    """What axe finds wrong with a page, by the rules of WCAG A and AA."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("(rules) => axe.run({ runOnly: rules })", WCAG)
    return [
        f"{fault['help']}: {node['html'][:200]}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1440, "dark")])
def test_axe_finds_nothing_and_every_page_fits(window, width, scheme):
    size = {"width": width, "height": 740}
    nobody = window(viewport=size, color_scheme=scheme)
    page = nobody.page
    page.goto(nobody.chat.origin + "/chats/")
    ann = window(viewport=size, color_scheme=scheme)
    ann.join().say("W" * 300)
    expect(ann.log).to_contain_text("W" * 300)
    link = re.compile("sign up|register|new account|create", re.I)
    sign_up = page.get_by_role("link", name=link).first.get_attribute("href")

    def look(page) -> None:
        found = faults(page)
        assert not found, f"axe finds in {page.url}, {scheme}: {found}"
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"At {width} pixels, {page.url} is {wide} wide."

    wide = f"{width}".rjust(150, "W")
    ann.chat.let_in([wide], [ann.room])
    with Client(ann.chat, wide, ann.room, user=wide) as other:
        other.say(f"hello at {width}")
        expect(ann.log).to_contain_text(f"hello at {width}")
        are_here(ann, ann.user, wide, because="both are in the room")
        look(ann.page)
    look(page)
    page.goto(nobody.chat.origin + sign_up)
    look(page)
    page.get_by_label(re.compile("username", re.I)).fill("W" * 151)
    page.locator("[name=password1]").fill("1")
    page.locator("[name=password2]").fill("1")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.locator("[name=password1]"), "it is shown again").to_be_visible()
    look(page)
    own = Visitor(ann.chat, "Ann")
    den, invitation = make_room(own, is_private=True, name=fresh_name("Zzz" * 30))
    linked = [link for link in own.links("/chats/") if not re.search(r"\d+/$", link)]
    for path in [*dict.fromkeys(linked), "/chats/", den, invitation]:
        if not path.startswith("/admin/"):
            ann.page.goto(ann.chat.origin + path)
            look(ann.page)
    ann.page.goto(ann.chat.origin + page_of_link(own, den)[0])
    look(ann.page)
