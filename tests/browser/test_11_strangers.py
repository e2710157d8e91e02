"""Exercise 7 in a real browser: a page that has to wait, waits, and loses nothing."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_2_websocket import lines, pass_time
from tests.browser.test_8_history import KINDS, forgive, has_state
from tests.browser.test_10_names import NOTE_STATES
from tests.support.accounts import Visitor
from tests.support.pages import COMES_BACK, by_another_port
from tests.support.polling import post
from tests.support.servers import wait_until

SINCE_STAGE = 11
TOO_MUCH = re.compile(
    r"\b(slow(ly|er)?|fast|quick(ly)?|(too )?(much|many|often))\b", re.I
)
# Notes each state that an own line is ever in.
NOTE_OWN = """
() => {
  window.owns = new Set();
  const note = () => {
    for (const line of document.querySelectorAll("[data-state]")) {
      owns.add(line.dataset.state);
    }
  };
  const everything = { childList: true, attributes: true, subtree: true };
  new MutationObserver(note).observe(document.body, everything);
}
"""
NOTE_VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
  violations.push(`${effectiveDirective} ${blockedURI}`);
});
"""
# What somebody would try who got markup into a page.
INJECTED = """
() => {
  const script = document.createElement("script");
  script.textContent = "window.injected = true";
  document.body.append(script);
  const image = document.createElement("img");
  image.setAttribute("onerror", "window.injected = true");
  image.src = "data:,";
  document.body.append(image);
}
"""


@pytest.fixture
def zoo(chat) -> str:
    """The path of a new room."""
    [room] = chat.make_rooms(f"Zoo {len(chat.rooms()):03}")
    return room


@pytest.fixture
def strict(chat):
    """A chat server where a user may say six messages in three seconds."""
    with chat.beside(CHAT_MESSAGES="6/3") as strict:
        yield strict


@KINDS
def test_a_page_that_says_too_much_waits_and_loses_nothing(tab, strict, zoo, rooms):
    ann, bob = tab(), tab("Bob")
    for window in (ann, bob):
        by_another_port(window, strict.chat_port)
    ann.join(rooms, room=zoo), bob.join(room=zoo)
    ann.status.evaluate(NOTE_STATES)
    ann.page.evaluate(NOTE_OWN)
    typed = [f"{rooms} {number}" for number in range(10)]
    for text in typed:
        ann.say(text)
    expect(bob.log, "all that Ann typed is sent, some of it later").to_contain_text(
        typed[-1], timeout=COMES_BACK
    )
    for text in typed:
        has_state(ann, text, "sent")
    expect(ann.status, "all is well again").to_have_text(ann.joined, timeout=COMES_BACK)
    for reader in (ann, bob):
        shown = [line for line in lines(reader) if line in typed]
        assert shown == typed[::-1], (
            "Somebody typed ten messages in a moment, which is more than the server "
            "takes. The page should wait and send what is left, each once, in their "
            f"order. {reader.user}'s page shows {shown}."
        )
    owns = set(ann.page.evaluate("[...owns]"))
    assert "failed" not in owns, (
        "A message that comes too early is not failed: it stays pending, and is sent "
        f"again by itself. The states of the lines were {owns}."
    )
    states = ann.page.evaluate("states")
    assert any(TOO_MUCH.search(text) for text in states), (
        "While a page may not speak, its status should say why: to slow down, that it "
        f"was too fast, or too much. It said, one after the other, {states}."
    )
    forgive(ann)


def refuse_once(
    window, code: int, asked: list, seconds: int = 1, method: str = "POST"
) -> None:
    """Have the first POST of a page be refused for so long, without the server.

    Or its first GET. All of them are `asked`.
    """

    def answer(route):
        if route.request.method == method:
            asked.append(route.request)
        if route.request.method != method or len(asked) > 1:
            route.continue_()
            return
        route.fulfill(
            status=code,
            headers={
                "Access-Control-Allow-Origin": window.chat.origin,
                "Access-Control-Expose-Headers": "Retry-After",
                "Retry-After": f"{seconds}",
            },
            json={"status": 0, "error": "later"},
        )

    window.page.route(f"http://127.0.0.1:{window.chat.chat_port}/**", answer)


@pytest.mark.parametrize("code", [429, 503])
def test_a_post_that_is_refused_for_now_is_sent_again(tab, zoo, code):
    ann, said = tab(), []
    refuse_once(ann, code, said)
    ann.join("/chats/long_poll/", room=zoo)
    ann.page.evaluate(NOTE_OWN)
    for text in ("first", "second"):
        ann.say(f"{text} {code}")
    for text in ("first", "second"):
        has_state(ann, f"{text} {code}", "sent")
        # A page may show what was acknowledged elsewhere, until it is told back.
        expect(ann.log).to_contain_text(f"{text} {code}")
    assert said, "The page should say by POST what was typed."
    shown = [line for line in lines(ann) if line.endswith(f" {code}")]
    assert shown == [f"second {code}", f"first {code}"], (
        f"The first of two messages was answered with {code} and Retry-After, and "
        f"should be sent again before the second. The list shows {shown}."
    )
    assert "failed" not in set(ann.page.evaluate("[...owns]")), (
        f"What was answered with {code} is not failed, and nobody has to do anything."
    )
    forgive(ann)


def no_place_at_first(window, opened: list, seconds: int = 1) -> None:
    """Have the first socket of a page be told to come back in so many seconds."""
    no_place = {"status": 0, "error": "no place", "retry_after": seconds}

    def refuse(socket):
        opened.append(socket)
        if len(opened) > 1:
            socket.connect_to_server()
            return
        socket.on_message(
            lambda _: (socket.send(json.dumps(no_place)), socket.close(code=1013))
        )

    window.answer_sockets(f"ws://127.0.0.1:{window.chat.chat_port}/ws", refuse)


@pytest.mark.parametrize("refused", ["socket", "poll", "message"])
def test_a_page_waits_as_long_as_it_is_told(clocked, zoo, refused):
    ann, tries = clocked(), []
    ann.take_clock()
    if refused == "socket":
        no_place_at_first(ann, tries, seconds=100)
        ann.open(room=zoo)
    elif refused == "poll":
        refuse_once(ann, 503, tries, seconds=100, method="GET")
        ann.open("/chats/long_poll/", room=zoo)
    else:
        refuse_once(ann, 429, tries, seconds=100)
        ann.join("/chats/long_poll/", room=zoo)
    ann.say("patience")
    wait_until(lambda: ann.page.evaluate("1") and tries, lambda: "the page is refused")
    ann.say("the next one")
    post(ann.chat, "in no hurry", token=ann.chat.token(zoo, "Bob"))
    pass_time(ann, 95)
    forgive(ann)
    if refused == "message":
        expect(
            ann.status, "the page says that it waits, whatever others say meanwhile"
        ).not_to_have_text(ann.joined)
    assert len(tries) == 1, (
        "The server told a page to come back in 100 seconds. After 95 of them it had "
        f"tried again {len(tries) - 1} times."
    )
    pass_time(ann, 20)  # and then it goes on by itself
    for text in ("patience", "the next one"):
        has_state(ann, text, "sent")
    assert len(tries) > 1, "The page said it another way."
    forgive(ann)


def test_a_socket_without_a_place_is_tried_again(tab, zoo):
    ann, opened = tab(), []
    no_place_at_first(ann, opened)
    ann.join(room=zoo)
    ann.say("there is a place now")
    has_state(ann, "there is a place now", "sent")
    assert len(opened) > 1, "The first socket was closed with 1013, for now."
    forgive(ann)


@KINDS
def test_a_page_comes_back_after_a_graceful_stop(tab, zoo, rooms):
    ann = tab().join(rooms, room=zoo)
    ann.page.evaluate(NOTE_OWN)
    ann.say("before")
    has_state(ann, "before", "sent")
    ann.chat.twisted.stop()
    expect(ann.status, "it says so").not_to_have_text(ann.joined)
    ann.say("meanwhile")
    ann.chat.come_back()
    post(ann.chat, "after", room=zoo)
    expect(ann.log, "nothing is missed").to_contain_text("after", timeout=COMES_BACK)
    expect(ann.status, "it is back").to_have_text(ann.joined, timeout=COMES_BACK)
    has_state(ann, "meanwhile", "sent")
    shown = lines(ann)
    assert sorted(shown) == ["after", "before", "meanwhile"], (
        "The server was stopped (SIGTERM), which closes sockets with 1012, and started "
        "again. The page should come back by itself, send what was typed, and show "
        f"each message once. It shows {shown}."
    )
    assert "failed" not in set(ann.page.evaluate("[...owns]")), "Nothing has failed."
    forgive(ann)


def test_no_page_breaks_its_own_policy(window, zoo):
    ann = window()
    ann.begin_with(NOTE_VIOLATIONS)
    seen: dict[str, list[str]] = {}
    links = Visitor(ann.chat, ann.user).links("/chats/")
    # Of all rooms one, by each of its pages; the admin is Django's own.
    alike = {re.sub(r"\d+", "1", path): path for path in links}
    paths = [path for path in alike.values() if not path.startswith("/admin")]
    ann.log_in()
    for path in ["/chats/", *paths]:
        ann.page.goto(ann.chat.origin + path)
        seen[path] = ann.page.evaluate("violations")
    ann.context.clear_cookies()
    ann.page.goto(f"{ann.chat.origin}/chats/")
    seen["the login"] = ann.page.evaluate("violations")
    ann.forgive("Failed to load resource")  # A page told what it had read, too late.
    broken = {path: said for path, said in seen.items() if said}
    assert not broken, (
        "Each page has a Content-Security-Policy, and should do without what that "
        f"forbids: no style and no script within the HTML. These do not: {broken}."
    )


@KINDS
def test_what_gets_into_a_page_can_do_nothing_there(window, zoo, rooms):
    ann = window()
    ann.begin_with(NOTE_VIOLATIONS)
    ann.join(rooms, room=zoo)
    ann.say("all is well")
    has_state(ann, "all is well", "sent")
    said = ann.page.evaluate("violations")
    assert not said, f"A page that is used as usual should break no rule: {said}."

    def tries(what: str, code: str, directive: str) -> None:
        ann.page.evaluate(code)
        wait_until(
            lambda: any(one.startswith(directive) for one in violations(ann)),
            lambda: (
                f"the policy of {ann.room} should forbid {what} by {directive}. It has "
                f"forbidden {violations(ann) or 'nothing'}"
            ),
        )

    tries("a script in the HTML", INJECTED, "script-src")
    asks = "fetch('http://127.0.0.1:1/').catch(() => 0)"
    tries("a request to another server", asks, "connect-src")
    opens = "() => { new WebSocket('ws://127.0.0.1:1/ws'); }"
    tries("a socket to another server", opens, "connect-src")
    assert not ann.page.evaluate("window.injected"), (
        f"A script that was put into the HTML of {ann.room} was run. The policy should "
        "let scripts run from files of your own only: script-src 'self'."
    )
    ann.forgive("Content Security Policy")
    ann.forgive("Refused to")
    forgive(ann)


def violations(window) -> list[str]:
    """What the policy of a page has forbidden so far."""
    return window.page.evaluate("violations")
