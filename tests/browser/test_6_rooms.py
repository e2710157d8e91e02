"""Exercise 1 in a real browser: rooms, and a page whose token is no longer good."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.test_2_websocket import TELLINGS, Refusing, pass_time
from tests.support.pages import COMES_BACK
from tests.support.servers import wait_until

SINCE_STAGE = 6
WEEK = 7 * 24 * 60 * 60
KINDS = pytest.mark.parametrize(
    "rooms", ["/chats/", "/chats/long_poll/"], ids=["socket", "polling"]
)

# The page has another token, once, than the server gave it: one character is changed.
ALTER_TOKEN = """
new MutationObserver((_, observer) => {
  const script = document.getElementById("chat-token");
  if (script && !sessionStorage.altered) {
    const token = [...JSON.parse(script.textContent)];
    token.splice(-10, 1, token.at(-10) === "B" ? "C" : "B");
    script.textContent = JSON.stringify(token.join(""));
    sessionStorage.altered = true;
    observer.disconnect();
  }
}).observe(document, { childList: true, subtree: true });
"""


@KINDS
def test_what_is_said_in_a_room_stays_there(tab, rooms):
    ann, bob = tab().join(rooms), tab().join()
    eve = tab().join(rooms, number=1)
    ann.say("among us")
    expect(bob.log, "Bob is in Ann's room").to_contain_text("among us")
    eve.say("elsewhere")
    expect(eve.log).to_contain_text("elsewhere")
    for one, text in [(ann, "elsewhere"), (bob, "elsewhere"), (eve, "among us")]:
        expect(one.log, "what is said in a room stays there").not_to_contain_text(text)


def is_kept(window, text: str) -> None:
    """Wait until a page shows what was typed, and could not be sent, in box or line."""

    def keeps() -> bool:
        line = window.page.locator("[data-state]").filter(has_text=text)
        waits = window.chat.has_history and line.count() == 1
        return waits or window.box.input_value() == text

    what = f"{text!r} cannot be sent. It is still in the box"
    what += ", or in a line of its own" if window.chat.has_history else ""
    wait_until(keeps, lambda: what)


@pytest.mark.stages(6, 9)  # Later, there is another token to try.
def test_a_text_that_comes_with_a_refused_token_is_kept(tab):
    paul = tab().join("/chats/long_poll/")

    def too_late(route):
        headers = route.request.headers
        if route.request.method == "POST":
            headers |= {"authorization": "Bearer none-of-yours"}
        route.continue_(headers=headers)

    paul.page.route("**/*", too_late)
    paul.say("too late")
    is_kept(paul, "too late")
    paul.forgive("401")


@KINDS
@pytest.mark.parametrize("why", ["expired", "altered"])
def test_a_page_whose_token_is_refused_says_so_and_rests(clocked, rooms, why):
    ann = clocked()
    asked = []
    ann.listen("request", lambda request: asked.append(request.url))
    ann.listen("websocket", lambda socket: asked.append(socket.url))
    ann.take_clock()
    if why == "altered":
        ann.begin_with(ALTER_TOKEN)
    else:
        ann.chat.clock.set(time.time() + WEEK)
    try:
        ann.open(rooms)
        # From exercise 6 on the page asks Django for another token first. That takes as
        # long as Django takes to answer.
        pass_time(ann, 20, meanwhile=lambda: ann.chat.get("/chats/"))
        if why == "altered" and ann.chat.has_names:
            ann.is_connected()  # by another one
            ann.forgive("Failed to load resource")
            return
        expect(ann.status, "the page says what is wrong").not_to_have_text(
            "Not connected."
        )
        text = "a text that is not lost"
        ann.box.fill(text)
        ann.box.press("Enter")
        is_kept(ann, text)
        before = len(asked)
        ann.page.evaluate(TELLINGS)
        pass_time(ann, 60)
        port = ann.chat.chat_port
        knocks = [url for url in asked[before:] if urlsplit(url).port == port]
        assert not knocks, (
            f"A page whose token is {why} should not knock again and again: the token "
            f"will not get better. In a minute it asked for {knocks}."
        )
    finally:
        ann.chat.clock.release()
    ann.page.reload()
    ann.is_connected()
    ann.forgive("Failed to load resource")


def test_a_page_is_connected_when_it_was_let_in_and_not_before(tab, clocked):
    ann, bob = tab().join(), clocked()
    server = Refusing(bob, opens=True)  # It says nothing.
    bob.open()
    wait_until(lambda: bob.page.evaluate("1") and server.opened, lambda: "Bob knocks")
    for _ in range(3):  # A page that believes an open socket has said so by now.
        bob.page.evaluate("fetch('/chats/', {method: 'HEAD'}).then(() => 0)")
    expect(
        bob.status, "a page says that it is connected when its token was good"
    ).not_to_have_text(ann.joined)


@pytest.mark.stages(6, 7)  # Then the list keeps it.
def test_a_text_that_is_posted_with_an_old_token_is_not_lost(tab):
    ann = tab().join("/chats/long_poll/")
    ann.chat.clock.set(time.time() + WEEK)
    try:
        ann.say("said a week later")
        expect(
            ann.box, "a text stays in the box when its token is refused"
        ).to_have_value("said a week later")
    finally:
        ann.chat.clock.release()
    ann.forgive("Failed to load resource")


@KINDS
def test_a_page_keeps_its_room_when_the_server_comes_back(tab, rooms):
    ann = tab().join(rooms, number=1)
    ann.chat.end()
    expect(ann.status).not_to_have_text(ann.joined)
    ann.chat.come_back()
    expect(ann.status).to_have_text(ann.joined, timeout=COMES_BACK)
    bob = tab().join(number=1)
    bob.say("welcome back")
    expect(ann.log, "she is in the room she was in").to_contain_text("welcome back")
    ann.forgive("WebSocket connection")
    ann.forgive("Failed to load resource")
