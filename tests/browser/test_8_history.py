"""Exercise 3 in a real browser: a page that comes back shows what it missed, once."""

from __future__ import annotations

import re
import select
import socket
from contextlib import ExitStack
from functools import partial

import pytest
from playwright.sync_api import expect

from tests.browser.test_2_websocket import (
    Refusing,
    all_lines,
    comes_back_by_one,
    lines,
    pass_time,
)
from tests.support.pages import (
    COMES_BACK,
    READ_OUT,
    by_another_port,
    close_at,
    is_greeting,
    is_poll,
)
from tests.support.polling import post
from tests.support.proxy import Proxy
from tests.support.servers import wait_until

SINCE_STAGE = 8
KINDS = pytest.mark.parametrize(
    "rooms", ["/chats/", "/chats/long_poll/"], ids=["socket", "polling"]
)


@pytest.fixture
def line_of(tab):
    """A function that gives a window a line of its own to the chat server."""
    with ExitStack() as stack:

        def new_line(window) -> Proxy:
            line = stack.enter_context(Proxy(window.chat.chat_port))
            by_another_port(window, line.port)
            stack.callback(forgive, window)
            stack.callback(window.page.close)
            return line

        yield new_line


def forgive(window) -> None:
    """Forget what Chromium itself says of requests that failed, as they should."""
    window.forgive("WebSocket connection")
    window.forgive("Failed to load resource")


def state(window, text: str):
    """The one line that says `text`, whatever it is and wherever it stands.

    Its state is an attribute.
    """
    return window.page.locator("[data-state]").filter(has_text=text)


def button_of(window, text: str, name: str):
    """The button in the line of one's own that says `text`.

    The state may stand at the whole line, or at the text in it.
    """
    line, said = state(window, text), re.compile(name, re.I)
    if not line.get_by_role("button").count():
        line = window.page.locator(":has(button)").filter(has=line).last
    return line.get_by_role("button", name=said)


def heard(window) -> list[str]:
    """What stands in the message list, the newest first, without what is pending there.

    A page may show its own lines in the list from the start, or elsewhere at first.
    """
    own = window.log.locator("[data-state=pending], [data-state=failed]")
    unheard = [text.strip() for text in own.all_inner_texts()]
    return [line for line in lines(window) if line.strip() not in unheard]


def has_state(window, text: str, expected: str) -> None:
    """Wait until the one line that says `text` is in the state that is `expected`."""
    says = f'the line that says {text!r} should have data-state="{expected}"'
    expect(state(window, text), says).to_have_attribute(
        "data-state", expected, timeout=COMES_BACK
    )


@KINDS
def test_a_page_that_comes_back_shows_what_it_missed_once(tab, line_of, rooms):
    ann = tab()
    line, before = line_of(ann), f"before on {rooms}"
    ann.begin_with(READ_OUT)
    ann.join(rooms)
    ann.say(before)
    has_state(ann, before, "sent")
    for number in range(3):
        line.take_down()
        expect(ann.status, "it says so").not_to_have_text(ann.joined)
        for which in ("one", "two"):
            post(ann.chat, f"{rooms} missed {which} {number}", room=ann.room)
        line.is_down = False
        expect(ann.log, "what was missed is shown").to_contain_text(
            f"{rooms} missed two {number}", timeout=COMES_BACK
        )
    expect(ann.status, "it is back").to_have_text(ann.joined)
    missed = [
        f"{rooms} missed {which} {n}" for n in (2, 1, 0) for which in ("two", "one")
    ]
    shown = [line for line in lines(ann) if not line.startswith("Paul is new")]
    assert shown[:7] == [*missed, before], (
        "After three breaks of the line each message should be shown once, the newest "
        f"first. The window shows {shown}."
    )
    read_out = ann.page.evaluate("readOut")
    unread = [text for text in missed if not any(text in one for one in read_out)]
    assert not unread, (
        "What was missed is news, and a screen reader reads out what is added to the "
        f"element with the role log. Nobody was read {unread}."
    )


def test_a_page_that_comes_back_has_one_connection(clocked):
    ann, sockets = clocked(), []
    ann.take_clock()
    ann.listen("websocket", lambda socket: sockets.append(socket))
    ann.join()
    ann.chat.crash()
    try:
        expect(ann.status, "it says so").not_to_have_text(ann.joined)
        pass_time(ann, 10)  # in which it tries in vain
    finally:
        ann.chat.come_back()
    comes_back_by_one(ann, sockets)
    ann.forgive("WebSocket connection")


@KINDS
def test_what_is_typed_without_a_connection_is_sent_later(tab, line_of, rooms):
    ann, bob = tab(), tab().join()
    line = line_of(ann)
    ann.join(rooms)
    line.take_down()
    expect(ann.status).not_to_have_text(ann.joined)
    typed = [f"typed {which} on {rooms}" for which in ("first", "second", "third")]
    for text in typed:
        ann.say(text)
        expect(ann.box, "it is taken").to_have_value("")
        has_state(ann, text, "pending")
    line.is_down = False
    expect(bob.log, "it is sent").to_contain_text(typed[-1], timeout=COMES_BACK)
    for text in typed:
        has_state(ann, text, "sent")
    expect(ann.log).to_contain_text(typed[-1], timeout=COMES_BACK)
    typed.reverse()
    assert lines(bob)[:3] == typed, f"In the order of typing, not {lines(bob)}."


def test_the_answer_to_a_post_moves_no_cursor(tab):
    paul, polls = tab(), []

    def hold(route):
        if is_greeting(route.request.url):
            route.continue_()
        else:
            polls.append(route)

    paul.page.route(is_poll, hold)
    paul.join("/chats/long_poll/")
    wait_until(lambda: paul.page.evaluate("1") and polls, lambda: "the page polls")
    post(paul.chat, "just before his own", room=paul.room)
    paul.say("his own")
    has_state(paul, "his own", "sent")
    polls[-1].abort()
    paul.page.unroute_all()
    expect(
        paul.log,
        "Somebody spoke just before Paul, and the poll that would have brought it was "
        "lost. The answer to his own POST says nothing of it, so it moves no cursor: "
        "his page asks again from where it stood, and shows it",
    ).to_contain_text("just before his own", timeout=COMES_BACK)
    forgive(paul)


@pytest.mark.stages(8, 8)  # Exercise 4 keeps what it has acknowledged.
def test_what_a_server_had_and_forgot_is_sent_again(tab):
    paul, polls = tab(), []

    def hold(route):
        if is_greeting(route.request.url):
            route.continue_()
        else:
            polls.append(route)

    paul.page.route(is_poll, hold)
    paul.join("/chats/long_poll/")
    paul.say("not told back yet")
    has_state(paul, "not told back yet", "sent")
    paul.chat.crash()
    paul.chat.come_back()
    for poll in polls:
        poll.abort()
    paul.page.unroute_all()
    expect(
        paul.log,
        "The server acknowledged a text and ended before it told it back; what it had "
        "is gone. The page keeps what was typed until it is told back, and sends it "
        "again",
    ).to_contain_text("not told back yet", timeout=COMES_BACK)
    forgive(paul)


@KINDS
def test_a_message_whose_answer_was_lost_is_shown_once(tab, line_of, rooms):
    ann, bob = tab(), tab().join()
    line = line_of(ann)
    once, end = f"said once on {rooms}", f"the end on {rooms}"
    ann.join(rooms)
    # The browser has asked now whether it may post.
    ann.say(f"hello on {rooms}")
    has_state(ann, f"hello on {rooms}", "sent")
    line.is_deaf = True  # What she says is heard, and she is told nothing.
    ann.say(once)
    # A page may wait for the answer to the one before, and lose its patience.
    expect(bob.log).to_contain_text(once, timeout=COMES_BACK)
    has_state(ann, once, "pending")
    line.cut()
    has_state(ann, once, "sent")
    ann.say(end)
    expect(bob.log).to_contain_text(end, timeout=COMES_BACK)
    has_state(ann, end, "sent")
    for window in (ann, bob):
        expect(window.log).to_contain_text(end)
        shown = heard(window)
        assert shown.count(once) == 1, f"It is one message: {shown}."
        assert shown[:2] == [end, once], f"The window shows {shown}."


@pytest.mark.stages(8, 8)  # Exercise 4 keeps the log.
@KINDS
def test_after_a_restart_the_page_says_that_something_may_be_missing(tab, rooms):
    ann = tab().join(rooms)
    ann.say("before")
    expect(ann.log).to_contain_text("before")
    ann.chat.twisted.stop()
    expect(ann.status).not_to_have_text(ann.joined)
    ann.chat.twisted.start(ann.chat.chat_port)
    expect(ann.log, "the page says that something may be missing").to_contain_text(
        re.compile("missing", re.I), timeout=COMES_BACK
    )
    ann.say(f"after {rooms}")
    expect(ann.log).to_contain_text(f"after {rooms}")
    texts, missing = ann.chat.said, re.compile("missing", re.I)
    shown = [one for one in all_lines(ann) if one in texts or missing.search(one)]
    assert missing.search("".join(shown[1:2])) and shown[2:3] == ["before"], (
        "Between what was said before the restart and what was said after it, the page "
        f"should say that something may be missing. It shows {shown[:4]}."
    )
    ann.chat.twisted.stop()
    expect(ann.status).not_to_have_text(ann.joined)
    ann.chat.twisted.start(ann.chat.chat_port)
    says = "the page says so after each restart, and this was the second"
    told = ann.log.get_by_text(missing)
    expect(told, says).to_have_count(2, timeout=COMES_BACK)
    forgive(ann)


@KINDS
def test_a_message_that_the_server_refuses_has_failed(tab, rooms):
    ann, then = tab(), f"and this on {rooms}"
    if rooms == "/chats/":
        ann.answer_sockets("**/ws", partial(close_at, "too much"))
    else:
        allowed = {"Access-Control-Allow-Origin": "*"}
        ann.page.route(
            lambda url: url.endswith(f":{ann.chat.chat_port}/"),
            lambda route: (
                route.fulfill(status=413, json={"status": 0}, headers=allowed)
                if "too+much" in (route.request.post_data or "")
                else route.continue_()
            ),
        )
    ann.join(rooms)
    ann.say("too much")
    has_state(ann, "too much", "failed")
    ann.say(then)
    expect(ann.log, "the next one is sent").to_contain_text(then, timeout=COMES_BACK)
    has_state(ann, "too much", "failed")
    assert "too much" not in heard(ann), "It was refused, so nobody has heard it."
    ann.forgive("Failed to load resource")


@pytest.mark.thorough
def test_pages_come_back_at_different_times(clocked):
    attempts = []
    for chance in (0.01, 0.99):
        ann = clocked()
        server = Refusing(ann, chance)
        server.open(ann)
        for _ in range(20):
            ann.clock.run_for(10)
            ann.page.evaluate("new Promise((done) => queueMicrotask(done))")
        attempts.append(server.attempts)
    assert max(attempts) > 2 >= min(attempts), (
        "After a restart all pages come back, and should spread over the whole wait, "
        "from nothing to all of it. With the smallest and the largest random number, "
        f"the page tried {attempts} times in the first fifth of a second."
    )


def test_of_three_messages_only_the_refused_one_fails(tab):
    ann, closed = tab(), True

    def answer(socket):
        if closed:
            socket.close()
            return
        server = socket.connect_to_server()

        def pass_on(frame):
            if "too much" in frame:
                socket.close(code=1009)
                server.close()
            else:
                server.send(frame)

        socket.on_message(pass_on)

    ann.answer_sockets("**/ws", answer)
    ann.open()
    for text in ("before it", "too much", "after it"):
        ann.say(text)
        has_state(ann, text, "pending")
    closed = False
    has_state(ann, "too much", "failed")
    for text in ("before it", "after it"):
        expect(ann.log, "the others are sent").to_contain_text(text, timeout=COMES_BACK)
        has_state(ann, text, "sent")


def test_what_failed_can_be_tried_again_or_removed(tab):
    ann, refusing = tab(), True
    allowed = {"Access-Control-Allow-Origin": "*"}

    def answer(route):
        if refusing and route.request.method == "POST":
            route.fulfill(status=413, json={"status": 0}, headers=allowed)
        else:
            route.continue_()

    ann.page.route(lambda url: url.endswith(f":{ann.chat.chat_port}/"), answer)
    ann.join("/chats/long_poll/")
    for text in ("not this one", "try this one"):
        ann.say(text)
        has_state(ann, text, "failed")
    remove = button_of(ann, "not this one", "remove")
    expect(remove, "a line that failed has a button Remove").to_be_visible()
    remove.click()
    expect(state(ann, "not this one"), "it is gone").to_have_count(0)
    refusing = False
    again = button_of(ann, "try this one", "again")
    expect(again, "a line that failed has a button Try again").to_be_visible()
    again.click()
    expect(ann.log, "it is sent").to_contain_text("try this one")
    has_state(ann, "try this one", "sent")
    shown = ann.log.inner_text()
    assert "not this one" not in shown, (
        f"A text that Ann gave up should be nowhere. The window shows {shown!r}."
    )
    ann.forgive("Failed to load resource")


@KINDS
def test_nobody_loses_a_text_by_loading_the_page_again(tab, line_of, rooms):
    ann, asked = tab(), []

    def leave(dialog):
        asked.append(dialog.type)
        dialog.accept()

    line = line_of(ann)
    ann.join(rooms)
    ann.listen("dialog", leave)
    ann.say(f"sent on {rooms}")
    has_state(ann, f"sent on {rooms}", "sent")
    ann.page.reload()
    assert not asked, "All was sent, so there is nothing to ask."
    ann.is_connected()
    line.take_down()
    expect(ann.status).not_to_have_text(ann.joined)
    ann.say("not sent yet")
    has_state(ann, "not sent yet", "pending")
    ann.page.reload()
    kept = state(ann, "not sent yet").count()
    assert asked or kept, (
        "Somebody typed a text that was not sent yet, and pressed F5. The page should "
        "keep the text, or the browser should ask first: that is the beforeunload "
        "event. Nobody asked, and the text is gone."
    )


def test_nobody_loses_a_refused_text_by_loading_the_page_again(tab):
    ann, asked = tab(), []

    def leave(dialog):
        asked.append(dialog.type)
        dialog.accept()

    ann.answer_sockets("**/ws", partial(close_at, "too much"))
    ann.join()
    ann.listen("dialog", leave)
    ann.say("too much")
    has_state(ann, "too much", "failed")
    ann.page.reload()
    shown = state(ann, "too much").count() or "too much" in ann.box.input_value()
    assert asked or shown, (
        "Somebody typed a text that the server refused, and pressed F5. It stands "
        "nowhere else. The page should keep it, or the browser should ask first: that "
        "is the beforeunload event. Nobody asked, and the text is gone."
    )


@KINDS
def test_a_newcomer_is_not_read_the_whole_history(tab, rooms):
    ann, bob = tab().join(rooms), tab()
    old = [f"{number} was said before on {rooms}" for number in range(30)]
    for text in old:
        post(ann.chat, text, room=ann.room)
    bob.begin_with(READ_OUT)
    bob.join(rooms)
    expect(bob.log).to_contain_text(old[-1])
    ann.say(f"news on {rooms}")
    expect(bob.log).to_contain_text(f"news on {rooms}")
    read_out = bob.page.evaluate("readOut")
    assert any(f"news on {rooms}" in one for one in read_out), (
        "What is new should be read out by a screen reader: it is added to the element "
        f"with the role log. These were added: {read_out}."
    )
    history = [text for text in old if any(text in one for one in read_out)]
    assert not history, (
        "A screen reader reads out what is added to the element with the role log. "
        f"Somebody came into the room, and was read {len(history)} of 30 old messages. "
        "Put the history into it before it is on the page."
    )


class Hanging(Refusing):
    """A chat server, for one window, that greets or does not, and says nothing else."""

    def answer(self, socket) -> None:
        self.attempts += 1
        socket.on_message(lambda frame: None)
        if self.letting_in:
            socket.send(self.greeting)


def test_a_server_that_hangs_is_noticed_by_a_socket(window):
    ann = window()
    server = Hanging(ann)
    server.letting_in = True
    ann.join()
    ann.say("is anybody there?")
    server.letting_in = False
    pass_time(ann, 60)
    assert ann.status.text_content() != ann.joined, (
        "The server hangs: a message was sent to it by WebSocket, and nothing came "
        "back for a minute. The page should notice, and not go on saying "
        f"{ann.joined!r}."
    )
    has_state(ann, "is anybody there?", "pending")
    assert server.attempts >= 2, (
        "A page whose server says nothing should try again within a minute. It tried "
        f"{server.attempts} times."
    )
    server.letting_in = True
    pass_time(ann, 60)
    ann.is_connected()


def test_a_page_that_nobody_answers_tries_again(window):
    ann = window()
    server = Hanging(ann)
    ann.open()
    pass_time(ann, 30)
    assert server.attempts >= 2, (
        "A page opened a WebSocket, and the server let it in and said nothing. Within "
        f"half a minute it should try again. It tried {server.attempts} times."
    )


def test_a_server_that_does_not_even_open_the_socket_is_noticed(window):
    ann = window()
    ann.stop_clock()
    with socket.create_server(("127.0.0.1", 0)) as mute, ExitStack() as stack:
        by_another_port(ann, mute.getsockname()[1])
        ann.open()
        for attempt in ("its first attempt", "its next one"):
            took = select.select([mute], [], [], COMES_BACK / 1000)[0]
            assert took, (
                "A page connects to a server that takes the connection and says "
                "nothing at all, not even that the socket is open. Within a minute it "
                f"should give up and try again. {attempt.capitalize()} never came."
            )
            stack.callback(mute.accept()[0].close)
            pass_time(ann, 60)
        assert ann.status.text_content().strip(), "The page should say how it stands."
        ann.page.close()
    forgive(ann)
