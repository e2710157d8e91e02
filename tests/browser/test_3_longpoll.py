"""Stage 3 in a real browser: a socket's window and a poller's in one conversation."""

from __future__ import annotations

from playwright.sync_api import expect

SINCE_STAGE = 3


def join_by_polling(window):
    """Show the first room by long polling, and wait until it is connected."""
    return window.join(rooms="/chats/long_poll/")


def test_a_socket_and_a_poller_talk_to_each_other(window):
    ann, paul = window().join(), join_by_polling(window())
    ann.say("hello Paul")
    expect(paul.log, "the poller sees the socket's words").to_contain_text("hello Paul")
    paul.say("hello Ann")
    expect(ann.log, "the socket sees the poller's words").to_contain_text("hello Ann")
    expect(paul.log, "the poller sees its own words").to_contain_text("hello Ann")
    expect(paul.box, "the input box is empty again after sending").to_have_value("")


def test_a_poller_that_comes_late_sees_all_that_was_said(window):
    ann = window().join()
    ann.chat.restart()
    expect(ann.status).not_to_have_text(ann.joined)
    expect(ann.status).to_have_text(ann.joined, timeout=8_000)
    for text in ("one", "two", "three"):
        ann.say(text)
    expect(ann.log).to_contain_text("three")
    paul = join_by_polling(window())
    expect(paul.log, "each of three messages, once").to_contain_text("three")
    lines = [line for line in paul.log.inner_text().splitlines() if line.strip()]
    assert lines == ["three", "two", "one", "connected..."], (
        f"The newest message stands first, each once. The window shows {lines}."
    )
    ann.forgive("WebSocket connection")


def test_markup_in_a_message_is_shown_as_text_by_polling_too(window):
    paul = join_by_polling(window())
    text = "<img src=x onerror=\"document.title='broken in'\">"
    paul.say(text)
    expect(paul.log).to_contain_text(text)
    assert "broken in" not in paul.page.title(), f"The page ran what {text!r} says."


def test_the_polling_page_comes_back_when_the_server_does(window):
    paul = join_by_polling(window())
    server = paul.chat.twisted
    server.kill()
    try:
        expect(
            paul.status, "the page says in words that it is not connected"
        ).not_to_have_text(paul.joined)
    finally:
        server.start(paul.chat.chat_port)
    expect(paul.status, "the page connects again by itself").to_have_text(
        paul.joined, timeout=8_000
    )
    paul.say("here again")
    expect(paul.log).to_contain_text("here again")
    paul.forgive("Failed to load resource")


def test_a_text_that_could_not_be_sent_stays_in_the_box(window):
    paul = join_by_polling(window())
    paul.page.route(
        "**/*",
        lambda route: (
            route.abort() if route.request.method == "POST" else route.continue_()
        ),
    )
    paul.say("lost on the way")
    expect(paul.status, "the page says so").not_to_have_text(paul.joined)
    expect(paul.box, "the text is not lost").to_have_value("lost on the way")
    paul.forgive("Failed to load resource")


def test_an_error_is_not_answered_with_a_storm_of_requests(window):
    paul = window()
    asked = []

    def refuse(route):
        asked.append(route.request.url)
        route.fulfill(
            status=503, body="{}", headers={"Access-Control-Allow-Origin": "*"}
        )

    paul.page.route("**/?lastupdate=*", refuse)
    paul.page.clock.install()
    paul.open(rooms="/chats/long_poll/")
    for _ in range(60):
        paul.page.clock.run_for(1000)
        paul.page.evaluate("fetch('/static/chat.css').then(() => 0)")  # one round trip
    assert 2 < len(asked) < 15, (
        f"In a minute of errors the page asked {len(asked)} times. "
        "It should try again, and wait longer after each error."
    )
    paul.forgive("Failed to load resource")
