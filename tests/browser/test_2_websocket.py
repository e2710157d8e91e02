"""Stage 2 in a real browser: two windows talk to each other."""

from __future__ import annotations

import re
from statistics import median

import pytest
from playwright.sync_api import expect

SINCE_STAGE = 2

# Notes, in a window, when each line was added to the log: text -> epoch milliseconds.
NOTE_TIMES = """
() => {
  window.shownAt = {};
  new MutationObserver((records) => {
    for (const record of records)
      for (const node of record.addedNodes)
        window.shownAt[node.textContent] = performance.timeOrigin + performance.now();
  }).observe(document.querySelector("[role=log]"), {childList: true, subtree: true});
}
"""


def lines(window) -> list[str]:
    """What stands in the message list, from top to bottom."""
    text = window.log.inner_text()
    return [line for line in text.splitlines() if line.strip()]


def test_two_windows_talk_to_each_other(window):
    ann, bob = window().join(), window().join()
    ann.say("hello")
    expect(bob.log, "Bob's window shows what Ann said").to_contain_text("hello")
    bob.say("hi Ann")
    expect(ann.log, "Ann's window shows what Bob said").to_contain_text("hi Ann")
    assert lines(ann)[:2] == lines(bob)[:2] == ["hi Ann", "hello"], (
        "Both windows should show the newest message first. "
        f"Ann's shows {lines(ann)}, Bob's {lines(bob)}."
    )
    expect(ann.box, "the input box is empty again after sending").to_have_value("")


def test_a_message_is_shown_within_a_tenth_of_a_second(window):
    ann, bob = window().join(), window().join()
    ann.page.evaluate(NOTE_TIMES)
    bob.page.evaluate(NOTE_TIMES)
    delays = []
    for text in ["one", "two", "three", "four", "five"]:
        ann.box.fill(text)
        sent = "performance.timeOrigin + performance.now()"
        before = ann.page.evaluate(
            f"() => {{ const now = {sent};"
            " document.querySelector('form').requestSubmit(); return now; }"
        )
        expect(bob.log).to_contain_text(text)
        delays.append(bob.page.evaluate("text => shownAt[text]", text) - before)
    assert median(delays) < 100, (
        "A message should be in the other window within 100 ms. "
        f"It took {[round(delay) for delay in delays]} ms."
    )


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=\"document.title='broken in'\">",
        "<script>document.title='broken in'</script>",
        "</li></ul><h1>broken in</h1>",
    ],
    ids=["image", "script", "end-tag"],
)
def test_markup_in_a_message_is_shown_as_text(window, text):
    ann, bob = window().join(), window().join()
    ann.say(text)
    ann.say("after")
    expect(bob.log).to_contain_text("after")
    assert text in bob.log.inner_text(), (
        f"Somebody sent {text!r}. The page should show it as text, with textContent, "
        f"and never as HTML. It shows {bob.log.inner_text()!r}."
    )
    assert "broken in" not in bob.page.title(), f"The page ran what {text!r} says."


def test_the_page_comes_back_when_the_server_does(window):
    ann = window().join()
    server = ann.chat.twisted
    server.kill()
    try:
        expect(
            ann.status, "the page says in words that it is not connected"
        ).not_to_have_text("Connected.")
        expect(
            ann.page.get_by_role("button"), "nothing can be sent while not connected"
        ).to_be_disabled()
        ann.box.fill("written while the server was away")
        ann.box.press("Enter")
        expect(ann.box, "an unsent text is kept").to_have_value(
            "written while the server was away"
        )
    finally:
        server.start(ann.chat.chat_port)
    expect(
        ann.page.get_by_role("button"), "the page connects again by itself"
    ).to_be_enabled(timeout=8_000)
    ann.box.press("Enter")
    expect(ann.log).to_contain_text("written while the server was away")
    ann.forgive("WebSocket connection")


def test_the_waits_between_attempts_grow(window):
    ann = window()
    ann.page.add_init_script("Math.random = () => 0")
    ann.page.route_web_socket("**/ws", lambda socket: socket.close())
    ann.page.clock.install()
    ann.open()
    waits = []
    for _ in range(8):
        waits.append(announced_wait(ann))
        ann.page.clock.run_for(waits[-1] * 1000)
    assert waits == sorted(waits) and waits[-1] > waits[0], (
        f"The waits between two attempts should grow. They were {waits} seconds."
    )


def announced_wait(window) -> int:
    """The seconds that the page says it waits."""
    pattern = re.compile(r"in (\d+) s")
    expect(window.status, "the page says how long it waits").to_have_text(pattern)
    return int(pattern.search(window.status.inner_text())[1])


def test_the_keyboard_is_enough(window):
    ann = window()
    page = ann.page
    page.goto(ann.chat.origin)
    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.tagName")
    assert focused == "A", f"Tab should reach the first room, but reaches {focused}."
    page.keyboard.press("Enter")
    expect(ann.log).to_contain_text("connected ....")
    expect(ann.box, "the input box has the focus, ready to type").to_be_focused()
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    expect(ann.log, "Enter sends").to_contain_text("typed")
    expect(ann.box, "the focus stays in the input box").to_be_focused()


def test_enter_does_not_send_while_a_word_is_being_composed(window):
    ann = window().join()
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


def test_blank_lines_are_not_sent(window):
    ann = window().join()
    ann.say("   ")
    ann.say("words")
    expect(ann.log).to_contain_text("words")
    assert lines(ann)[:2] == ["words", "connected ...."], (
        f"A message of blanks should not be sent. The window shows {lines(ann)}."
    )


def test_the_box_takes_no_more_than_the_server_does(window):
    ann = window().join()
    ann.box.focus()
    ann.page.keyboard.insert_text("x" * 5000)
    ann.box.press("Enter")
    expect(ann.log).to_contain_text("x" * 100)
    expect(ann.status).to_have_text("Connected.")
