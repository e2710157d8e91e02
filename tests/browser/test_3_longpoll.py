"""Stage 3 in a real browser: a socket's window and a poller's in one conversation."""

from __future__ import annotations

import re

import psutil
import pytest
from playwright.sync_api import expect

from tests.browser.test_2_websocket import (
    all_lines,
    doubles_nothing,
    lines,
    pass_time,
    shows_markup_as_text,
    shows_once_after_a_quiet_time,
)
from tests.support.pages import (
    COMES_BACK,
    SHORT_WAITS,
    Parking,
    by_another_port,
    is_greeting,
    is_poll,
)
from tests.support.polling import post
from tests.support.servers import BATCHES, new_id, wait_until

SINCE_STAGE = 3


@pytest.fixture(autouse=True)
def _begin_with_nothing(chat):
    """What earlier tests said, each new page would ask for, one poll for each."""
    if chat.target.stage.number < BATCHES:
        chat.restart()


def join_by_polling(window):
    """Show the first room by long polling, and wait until it is connected."""
    return window.join(rooms="/chats/long_poll/")


def test_a_socket_and_a_poller_talk_to_each_other(tab):
    ann, paul = tab().join(), join_by_polling(tab())
    ann.say("hello Paul")
    expect(paul.log, "the poller sees the socket's words").to_contain_text("hello Paul")
    paul.say("hello Ann")
    expect(ann.log, "the socket sees the poller's words").to_contain_text("hello Ann")
    expect(paul.log, "the poller sees its own words").to_contain_text("hello Ann")
    ann.say("bye")
    expect(paul.log, "the poller sees the socket's words").to_contain_text("bye")
    expect(ann.log, "the socket sees its own words").to_contain_text("bye")
    for name, window in {"The socket's": ann, "The poller's": paul}.items():
        shown = lines(window)
        assert shown[:3] == ["bye", "hello Ann", "hello Paul"], (
            f"{name} window should show what is heard, each message once, the newest "
            f"next to the box. From there on it shows {shown[:5]}."
        )
    ann.say("bye")
    twice = re.compile("bye.*bye", re.S)
    expect(paul.log, "what is said twice in a row is two lines").to_contain_text(twice)
    expect(paul.box, "the input box is empty again after sending").to_have_value("")


@pytest.mark.stages(3, 7)
def test_a_poller_that_comes_late_sees_all_that_was_said(tab):
    ann = tab().join()
    ann.chat.end()
    expect(ann.status).not_to_have_text(ann.joined)
    ann.chat.come_back()
    expect(ann.status).to_have_text(ann.joined, timeout=COMES_BACK)
    for text in ("one", "two", "three"):
        ann.say(text)
    expect(ann.log).to_contain_text("three")
    paul = join_by_polling(tab())
    expect(paul.log, "each of three messages, once").to_contain_text("three")
    shown = lines(paul)
    assert shown == ["three", "two", "one", "connected..."], (
        "The newest message stands next to the box, and each is there once. From the "
        f"box on, the window shows {shown}."
    )
    ann.forgive("WebSocket connection")


def test_markup_in_a_message_is_shown_as_text_by_polling_too(tab):
    paul = join_by_polling(tab())
    shows_markup_as_text(paul, paul)


def test_the_polling_page_comes_back_when_the_server_does(clocked):
    paul, waiting = clocked(), set()

    def asks(request):
        if is_poll(request.url) and not is_greeting(request.url):
            waiting.add(request)

    def is_done(request):
        waiting.discard(request)

    paul.take_clock()
    paul.listen("request", asks)
    paul.listen("requestfinished", is_done)
    paul.listen("requestfailed", is_done)
    join_by_polling(paul)
    server = paul.chat.twisted
    server.kill()
    try:
        expect(
            paul.status, "the page says in words that it is not connected"
        ).not_to_have_text(paul.joined)
    finally:
        server.start(paul.chat.chat_port)
    expect(paul.status, "the page connects again by itself").to_have_text(
        paul.joined, timeout=COMES_BACK
    )
    pass_time(paul, 20)  # in which whoever else wants to connect has done so
    wait_until(lambda: paul.page.evaluate("1") and waiting, lambda: "the page asks")
    before = {*waiting}
    paul.say("here again")
    expect(paul.log).to_contain_text("here again")
    wait_until(
        lambda: paul.page.evaluate("1") and not before & waiting,
        lambda: "a message answers each question that waits",
    )
    pass_time(paul, 2)  # and who has an answer asks the next
    assert len(waiting) <= 1, (
        "The page lost its server and came back. It should ask one question at a time, "
        f"and asks {len(waiting)}: {[request.url for request in waiting]}."
    )
    paul.forgive("Failed to load resource")


@pytest.mark.stages(3, 7)
def test_who_comes_back_is_shown_what_was_missed_and_nothing_twice(tab):
    paul = join_by_polling(tab())
    chat = paul.chat
    post(chat, "before")
    expect(paul.log).to_contain_text("before")
    paul.page.route(is_poll, lambda route: route.abort())
    post(chat, "the last that is heard")  # The question after that one fails.
    expect(paul.status, "the page says that it is not connected").not_to_have_text(
        paul.joined
    )
    post(chat, "meanwhile")
    paul.page.unroute_all()
    expect(paul.log, "what was said while the page was away").to_contain_text(
        "meanwhile", timeout=COMES_BACK
    )
    post(chat, "after")
    expect(paul.log).to_contain_text("after")
    wanted = ["after", "meanwhile", "the last that is heard", "before"]
    shown = [line for line in lines(paul) if line in wanted]
    assert shown == wanted, (
        "The page was away for a moment, and came back. It should show what it missed, "
        f"and nothing twice: {wanted}. From the box on, it shows {shown}."
    )
    paul.forgive("Failed to load resource")


def test_what_the_browser_tells_a_polling_page_doubles_nothing(tab):
    doubles_nothing(tab(), tab, "/chats/long_poll/")


@pytest.mark.stages(3, 7)
def test_who_goes_and_comes_back_sees_again_what_was_said(tab):
    paul = join_by_polling(tab())
    paul.say(said := f"so far {new_id()}")
    expect(paul.log, "the poller sees its own words").to_contain_text(said)
    for _ in range(2):
        paul.page.goto(paul.chat.origin + "/chats/")
        join_by_polling(paul)
        says = "who opens the page again, in the same window, sees what was said before"
        expect(paul.log, says).to_contain_text(said)


@pytest.fixture
def unsent(tab):
    """A function that has a polling page say texts that do not get through.

    While they are under way, it types a draft. It returns the page, the texts that the
    page took, and the draft if it could be typed: some pages let nobody write on while
    a text is on its way. What is posted behind one that failed gets through if that
    was `once` only.
    """

    def say(*texts: str, draft: str = "", once: bool = False):
        paul = join_by_polling(tab())
        # Who comes is told all that was said, poll by poll, and each says Connected.
        post(paul.chat, newest := f"so far {new_id()}")
        expect(paul.log, "who comes is told all").to_contain_text(newest)
        hold, held = True, []

        def refuse(route):
            if route.request.method != "POST" or (once and not hold):
                route.continue_()
            elif hold:
                held.append(route)
            else:
                route.abort()

        paul.page.route("**/*", refuse)
        for text in texts:
            paul.box.fill(text)
            paul.box.press("Enter")
            if not paul.box.is_editable() or paul.box.input_value():
                texts, draft = [text], ""
                break
        if draft:
            paul.box.press_sequentially(draft)
        until_held(paul, held, 1)
        hold = False  # A page may send the second when the first has failed.
        for route in reversed(held):
            route.abort()
        says = "it says that the text may not have been sent"
        expect(paul.status, says).not_to_have_text(paul.joined)
        for _ in texts:  # and is refused before this has come and gone
            paul.page.evaluate("fetch('/chats/', {method: 'HEAD'}).then(() => 0)")
        windows.append(paul)
        return paul, [*texts], draft

    windows = []
    yield say
    for window in windows:
        window.forgive("Failed to load resource")


def send_all(window, texts: list[str]) -> None:
    """Send what came back: all of it in one line, or one text after the other."""
    window.page.unroute_all()
    for text in texts:
        if text not in window.log.inner_text():
            says = f"no text is lost, and their order is kept: {text:.10} comes now"
            expect(window.box, says).to_have_value(re.compile(rf"^\s*{text}"))
            window.box.press("Enter")
            expect(window.log).to_contain_text(text)


@pytest.mark.stages(3, 7)
@pytest.mark.parametrize("once", [False, True], ids=["all-fail", "the-first-fails"])
def test_a_text_that_could_not_be_sent_stays_in_the_box(unsent, once):
    both = [f"the {which}, {new_id()}" for which in ("former", "latter")]
    paul, texts, _ = unsent(*both, once=once)
    send_all(paul, texts)
    expect(paul.box, "the input box is empty again after sending").to_have_value("")
    said = " ".join(reversed(all_lines(paul)))
    assert " ".join(texts) in said, (
        f"Somebody typed {texts}. They did not get through, came back into the box, "
        f"and were sent again. All of them should be shown, in this order: {said!r}."
    )
    expect(paul.status, "all is well again, and it says so").to_have_text(paul.joined)


@pytest.mark.stages(3, 7)
def test_a_text_waits_until_the_one_before_it_is_through(tab):
    paul, held, hold_on = join_by_polling(tab()), [], True
    said = [f"{which} of two, {new_id()}" for which in ("the first", "the second")]

    def hold(route):
        if hold_on and route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    paul.page.route("**/*", hold)
    for text in said:
        paul.box.fill(text)
        paul.box.press("Enter")
    until_held(paul, held, 1)
    for _ in said:  # A second one would be here when this has come and gone.
        paul.page.evaluate("fetch('/chats/', {method: 'HEAD'}).then(() => 0)")
    assert len(held) == 1, (
        "Somebody types two texts, one after the other. What is typed while a text is "
        f"on its way waits until that is through. {len(held)} POSTs were under way."
    )
    hold_on = False
    held[0].continue_()
    expect(paul.log).to_contain_text(said[0])
    if paul.box.input_value():  # This page lets nobody send meanwhile.
        paul.box.press("Enter")
    expect(paul.log).to_contain_text(said[1])


@pytest.mark.stages(3, 7)
def test_a_text_that_comes_back_leaves_a_draft_alone(unsent):
    paul, texts, draft = unsent("first", draft="a draft")
    says = "what somebody is typing stays as it is"
    expect(paul.box, says).to_have_value(draft or texts[0])
    send_all(paul, [draft] if draft else [])
    expect(paul.box, "the box is free, and the text is not lost").to_have_value("first")


@pytest.mark.stages(3, 7)
@pytest.mark.parametrize("length", [3000, 2048])  # with a blank between them, 4097
def test_texts_that_come_back_do_not_grow_past_the_limit(unsent, length):
    paul, texts, _ = unsent("1" * length, "2" * length)
    expect(paul.box).not_to_have_value("")
    length = len(paul.box.input_value())
    assert length <= 4096, (
        "Two texts came back, and the box holds both as one text that no server takes: "
        f"it has {length} characters, and the limit is 4096."
    )
    send_all(paul, texts)


def test_the_polling_page_works_in_a_browser_of_2023(tab):
    ann, paul = tab().join(), tab()
    paul.begin_with("delete AbortSignal.any;")
    join_by_polling(paul)
    paul.say("hello from 2023")
    says = "it works without AbortSignal.any, which browsers have since 2024"
    expect(ann.log, says).to_contain_text("hello from 2023")
    expect(paul.log, says).to_contain_text("hello from 2023")


def until_held(window, held: list, count: int) -> None:
    """Let the browser go on until so many requests are held."""

    def are_held() -> bool:
        window.page.evaluate("0")
        return len(held) >= count

    wait_until(are_held, lambda: f"the page should have sent {count} POST")


@pytest.mark.parametrize("greets", [False, True], ids=["all-fails", "only-greets"])
def test_an_error_is_not_answered_with_a_storm_of_requests(clocked, greets):
    paul = clocked()
    asked = []

    def refuse(route):
        asked.append(route.request.url)
        allowed = {"Access-Control-Allow-Origin": "*"}
        data = paul.chat.data("connected...")
        greeting = {"status": 1, "timestamp": 0.0, "data": data}
        if paul.chat.has_history:
            greeting = paul.chat.nothing_new
        if greets and is_greeting(asked[-1]):
            route.fulfill(json=greeting, headers=allowed)
        else:
            route.fulfill(status=503, body="{}", headers=allowed)

    # How many attempts fall into a minute is no matter of luck then.
    paul.begin_with("Math.random = () => 0.5")
    paul.page.route(is_poll, refuse)
    paul.page.route("**/round-trip", lambda route: route.fulfill(body=""))
    paul.take_clock()
    paul.open(rooms="/chats/long_poll/")
    for _ in range(60):
        paul.clock.run_for(1000)
        paul.page.evaluate("fetch('/round-trip').then(() => 0)")
    # An attempt is a greeting, and what follows if it is answered.
    assert 2 < len(asked) < (50 if greets else 25), (
        f"In a minute of errors the page asked {len(asked)} times. "
        "It should try again, and wait longer after each error."
    )
    paul.forgive("Failed to load resource")


def test_an_answer_that_stops_halfway_is_given_up(tab):
    paul = tab()
    with Parking(paul.chat, stalls=True) as server:
        paul.begin_with(SHORT_WAITS)
        by_another_port(paul, server.server_port)
        paul.open("/chats/long_poll/")
        wait_until(
            lambda: paul.page.evaluate("1") and server.greeted > 1,
            lambda: (
                "the first half of an answer comes, and no more. The page gives it up "
                "after some seconds, and asks again"
            ),
        )
    paul.forgive("Failed to load resource")


@pytest.mark.stages(3, 6)
def test_a_quiet_room_is_no_error_and_a_server_that_hangs_is_one(tab):
    paul, pia = tab(), tab()
    for each in (paul, pia):
        each.begin_with(SHORT_WAITS)
        join_by_polling(each)
    said = [f"before and after the quiet, {new_id()}" for _ in range(2)]
    post(paul.chat, said[0])
    expect(paul.log).to_contain_text(said[0])
    for _ in range(2):  # as one of them runs out of time
        with paul.page.expect_request(re.compile("lastupdate=[0-9]"), timeout=5_000):
            pass
    greetings = paul.log.get_by_text("connected...")
    expect(greetings, "a quiet room is no error to connect anew for").to_have_count(1)
    expect(paul.status, "a quiet room is no error").to_have_text(paul.joined)
    post(paul.chat, said[1])
    expect(paul.log, "what is said after a quiet time").to_contain_text(said[1])
    shows_once_after_a_quiet_time(paul, said)
    server = psutil.Process(paul.chat.twisted.process.pid)
    server.suspend()
    try:
        paul.say("anybody?")
        expect(
            paul.box, "a text that a server that hangs did not take is back in the box"
        ).to_have_value("anybody?")
        # Paul's page says by now that his text is back, and hers has sent nothing.
        expect(pia.status, "the page notices a server that hangs").not_to_have_text(
            pia.joined
        )
    finally:
        server.resume()
    expect(pia.status, "it comes back").to_have_text(pia.joined, timeout=COMES_BACK)
    paul.sends_what_it_kept("anybody?")
    expect(paul.status, "it comes back").to_have_text(paul.joined, timeout=COMES_BACK)
    for each in (paul, pia):
        each.forgive("Failed to load resource")
