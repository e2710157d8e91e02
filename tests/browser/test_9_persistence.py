"""Exercise 4 in a real browser: what was said is still there, page by page."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_2_websocket import Refusing, lines, pass_time
from tests.browser.test_8_history import KINDS, forgive, has_state
from tests.contract.test_9_persistence import away
from tests.support.clients import Client
from tests.support.pages import COMES_BACK, READ_OUT, is_poll
from tests.support.servers import PEOPLE, comes_true, wait_until

SINCE_STAGE = 9
MANY = 260  # messages: more than the server keeps in memory


@pytest.fixture
def zoo(chat) -> str:
    """The path of a new room."""
    [room] = chat.make_rooms(f"Zoo {len(chat.rooms()):03}")
    return room


@pytest.fixture
def archive(chat, zoo) -> list[str]:
    """What was said in that room, in order."""
    return fill(chat, zoo)


def fill(chat, room: str) -> list[str]:
    """Say MANY texts in a room. Returns them, in order."""
    said = [f"said {number:03}" for number in range(MANY)]
    with Client(chat, "Ann", room) as ann:
        for first in range(0, MANY, 20):
            for text in said[first : first + 20]:
                ann.say(text)
            ann.hears(*said[first : first + 20], because="she said it")
    chat.moved(room, ann.cursor[1])
    return said


def earlier(window):
    """The button that loads what was said before."""
    return window.page.get_by_role("button", name=re.compile("earlier", re.I))


@KINDS
def test_earlier_messages_are_loaded_page_by_page(tab, archive, zoo, rooms):
    ann = tab().join(rooms, room=zoo)
    button = earlier(ann)
    expect(button, "there is more than is shown").to_be_visible()
    # A box above the list is left when the button is clicked, and none need be below.
    ann.page.evaluate("addEventListener('click', () => { stood = scrollY; }, true)")
    shown = lines(ann)
    assert shown == archive[: -len(shown) - 1 : -1] and len(shown) < MANY, (
        f"The newest first, and not all of them: {shown[:3]} ... {shown[-3:]}"
    )
    while len(shown) < MANY:
        button.click()
        before = archive[-len(shown) - 1]
        expect(ann.log, "what was said before is shown").to_contain_text(before)
        shown = lines(ann)
        assert shown == archive[: -len(shown) - 1 : -1], (
            "Earlier messages should be shown below, each once, the newest first. The "
            f"page shows {len(shown)} lines, which end with {shown[-3:]}."
        )
    expect(button, "all is shown").to_be_hidden()
    expect(ann.box, "who pressed the button can go on by keyboard").to_be_focused()
    assert ann.page.evaluate("stood === 0 || scrollY > 0"), (
        "Who has pressed the button reads at the far end of the page, and should stay "
        "there when the focus goes to the box: focus({ preventScroll: true })."
    )
    ann.say("and this")
    expect(ann.log).to_contain_text("and this")
    assert lines(ann)[:2] == ["and this", archive[-1]], (
        "What is said now should stand on top of what was said before. The page's "
        f"first lines are {lines(ann)[:2]}."
    )


def test_earlier_messages_are_not_read_out(tab, archive, zoo):
    ann = tab()
    ann.begin_with(READ_OUT)
    ann.join(room=zoo)
    shown = len(lines(ann))
    earlier(ann).click()
    expect(ann.log).to_contain_text(archive[-shown - 1])
    added = ann.page.evaluate("readOut")
    read_out = [text for text in archive if any(text in one for one in added)]
    assert not read_out, (
        "A screen reader reads out what is added to the element with the role log. "
        f"Somebody loaded earlier messages, and was read {len(read_out)} of them."
    )


def test_two_quick_clicks_load_one_page(tab, archive, zoo):
    ann, asked = tab().join(room=zoo), []
    shown = len(lines(ann))
    ann.page.route("**/earlier/**", lambda route: asked.append(route))
    earlier(ann).evaluate("button => { button.click(); button.click(); }")
    ann.say("meanwhile")
    expect(ann.log).to_contain_text("meanwhile")
    for route in asked:
        route.continue_()
    expect(ann.log).to_contain_text(archive[-shown - 1])
    assert len(asked) == 1, (
        "Somebody clicked twice, quickly, on the button for earlier messages. The page "
        f"should ask once, for one page. It asked {len(asked)} times."
    )
    assert lines(ann)[:2] == ["meanwhile", archive[-1]], (
        "Something was said while the page waited for earlier messages. It should be "
        "on top, before they come and after that. Now the first lines are "
        f"{lines(ann)[:2]}."
    )


@KINDS
def test_where_earlier_messages_cannot_be_loaded_the_page_says_so(
    tab, archive, zoo, rooms
):
    ann = tab().join(rooms, room=zoo)
    page, shown = ann.page.locator("body"), lines(ann)
    before = page.text_content()
    ann.page.route("**/earlier/**", lambda route: route.abort())
    earlier(ann).click()
    expect(page, "it says that this has failed").not_to_have_text(before)
    expect(ann.status, "there is one status line, and no other").to_have_count(1)
    assert lines(ann) == shown, (
        "Earlier messages could not be loaded, so the list should stay as it was. It "
        f"had {len(shown)} lines, and has {len(lines(ann))}."
    )
    ann.page.unroute_all()
    earlier(ann).click()
    expect(ann.log, "it can be tried again").to_contain_text(archive[-len(shown) - 1])
    forgive(ann)


def test_what_is_loaded_behind_a_gap_stands_where_it_belongs(tab, zoo):
    ann = tab().join("/chats/long_poll/", room=zoo)
    ann.say("the first")
    expect(ann.log).to_contain_text("the first")
    ann.page.route(is_poll, lambda route: route.abort())
    ann.chat.crash()
    says = expect(ann.status, "the page has lost its server")
    says.not_to_have_text(ann.joined, timeout=COMES_BACK)
    ann.chat.come_back()
    said = fill(ann.chat, zoo)
    ann.page.unroute_all()
    expect(ann.log, "it is back").to_contain_text(said[-1], timeout=COMES_BACK)
    shown = lines(ann)
    if earlier(ann).is_visible():
        earlier(ann).click()
        expect(earlier(ann)).to_be_enabled()
        wait_until(
            lambda: earlier(ann).is_hidden() or lines(ann) != shown,
            lambda: "what was said before is loaded",
        )
    order = ["the first", *said]
    places = [order.index(line) for line in lines(ann)]
    assert places == sorted(places, reverse=True), (
        "A page has shown the first message, and then missed more than it is told. "
        "What it shows, and what its button loads, stands in the order in which it was "
        f"said. From the box on: {lines(ann)}."
    )
    forgive(ann)


@KINDS
def test_where_all_is_shown_there_is_no_button(tab, zoo, rooms):
    ann = tab().join(rooms, room=zoo)
    expect(earlier(ann)).to_be_hidden()
    with Client(ann.chat, "Bob", zoo) as bob:
        bob.say("the first")
    expect(ann.log).to_contain_text("the first")
    expect(earlier(ann), "nothing was said before the first").to_be_hidden()


@KINDS
def test_in_another_log_low_numbers_are_news(tab, rooms):
    ann, bob = tab(), tab()
    # The room that was made first: it is there with an empty database, too.
    room = min(ann.chat.rooms(), key=lambda path: int(path.split("/")[-2]))
    fill(ann.chat, room)
    ann.join(rooms, room=room)
    expect(earlier(ann)).to_be_visible()
    ann.chat.restart()  # with an empty database
    bob.join(rooms, room=room)
    bob.say(f"hello {rooms}")
    expect(ann.log).to_contain_text(f"hello {rooms}", timeout=COMES_BACK)
    assert lines(ann)[0] == f"hello {rooms}", "What is said now is the newest."
    forgive(ann)
    forgive(bob)  # Where there are logins, ann's old one may end his, too.


@KINDS
def test_a_page_whose_room_was_deleted_rests(clocked, rooms):
    ann, asked = clocked(), []
    name = f"Zoo {len(ann.chat.rooms()):03}"
    [zoo] = ann.chat.make_rooms(name)
    ann.listen("request", lambda request: asked.append(request.url))
    ann.listen("websocket", lambda socket: asked.append(socket.url))
    ann.take_clock()
    ann.join(rooms, room=zoo)
    code = "from chat.models import ChatRoom; "
    ann.chat.shell(f"{code}ChatRoom.objects.filter(name={name!r}).delete()")
    # Where many servers share an engine, it is noticed a moment later.
    for number in range(10):
        ann.say(f"into the void {number}")
        if comes_true(lambda: ann.status.text_content() != ann.joined, 1.0):
            break
    expect(ann.status, "the page says that this is over").not_to_have_text(ann.joined)
    pass_time(ann, 60)
    before = len(asked)
    pass_time(ann, 60)
    assert not asked[before:], (
        "Who has been told that the room was deleted should not knock again and again. "
        f"In a minute the page asked for {asked[before:]}."
    )
    forgive(ann)


@KINDS
def test_after_a_crash_the_page_goes_on(tab, rooms):
    ann, bob = tab().join(rooms), tab()
    ann.say(f"before {rooms}")
    expect(ann.log).to_contain_text(f"before {rooms}")
    ann.chat.crash()
    expect(ann.status, "it says so").not_to_have_text(ann.joined)
    ann.say(f"meanwhile {rooms}")
    has_state(ann, f"meanwhile {rooms}", "pending")
    ann.chat.come_back()
    has_state(ann, f"meanwhile {rooms}", "sent")
    expect(ann.log).to_contain_text(f"meanwhile {rooms}")
    shown = lines(ann)
    assert shown[:2] == [f"meanwhile {rooms}", f"before {rooms}"], (
        "The log is kept, so the page goes on where it was, and nothing is missing. It "
        f"shows {shown[:4]}."
    )
    bob.join(rooms)
    expect(bob.log, "who comes now is shown it, too").to_contain_text(f"before {rooms}")
    forgive(ann)


# From exercise 8 on it is the engine that has to be there.
@pytest.mark.stages(9, 11)
@KINDS
def test_without_a_database_a_message_stays_and_is_sent_later(tab, rooms):
    ann, bob = tab().join(rooms), tab().join()
    with away(ann.chat, None):
        for text in (f"first {rooms}", f"second {rooms}"):
            ann.say(text)
        # The server may know it after ten seconds.
        says = expect(ann.status, "the page says so")
        says.not_to_have_text(ann.joined, timeout=COMES_BACK)
        for text in (f"first {rooms}", f"second {rooms}"):
            has_state(ann, text, "pending")
    for text in (f"first {rooms}", f"second {rooms}"):
        expect(bob.log, "it is sent").to_contain_text(text, timeout=COMES_BACK)
        has_state(ann, text, "sent")
    expect(ann.status, "it has healed").to_have_text(ann.joined, timeout=COMES_BACK)
    # In which order, is not said: the first was refused, and the second maybe not.
    heard = {*lines(bob)[:2]}
    assert heard == {f"second {rooms}", f"first {rooms}"}, (
        f"Bob should have heard both texts, and nothing else since. He heard {heard}."
    )
    forgive(ann)


class NotStoring(Refusing):
    """A chat server, for one window, that lets it in and stores nothing.

    `said` is what it was told, in JSON. While it is `silent`, it takes its time.
    """

    def __init__(self, window):
        super().__init__(window)
        self.letting_in, self.silent = True, False
        self.said, self.numbers = [], 0

    def answer(self, socket) -> None:
        super().answer(socket)
        socket.on_message(self.hear)

    def hear(self, frame: str) -> None:
        said = json.loads(frame)
        if "text" in said:
            self.said.append(said)
            if not self.silent:
                away = {"status": 0, "id": said["id"], "error": "not stored"}
                self.last.send(json.dumps(away))

    def tell(self, chat, **message) -> None:
        """Tell the window a message as everybody is told."""
        self.numbers += 1
        if chat.has_names:
            name = PEOPLE[0]
            author = {"id": chat.users[name], "name": name}
            message |= {"author": author, "said_at": "2026-11-28T19:00:00.000Z"}
        news = {"seq": self.numbers, "data": [{"seq": self.numbers, **message}]}
        self.last.send(json.dumps(chat.nothing_missed | news))


@pytest.fixture
def not_stored(window):
    """A window that said what was not stored, and its server. Its clock rests."""
    ann = window()
    server = NotStoring(ann)
    ann.join()
    ann.say("hello")
    expect(ann.status, "the page says so").not_to_have_text(ann.joined)
    return ann, server


def test_while_it_tries_again_something_is_still_wrong(not_stored):
    ann, server = not_stored
    server.silent = True
    pass_time(ann, 5)
    assert len(server.said) > 1, "It should try again soon."
    assert ann.status.text_content() != ann.joined, (
        "While a message cannot be stored, the page should say that something is "
        "wrong, also while it tries again."
    )


def test_what_was_stored_unheard_is_no_trouble_any_more(not_stored):
    ann, server = not_stored
    server.tell(ann.chat, **server.said[0])
    expect(ann.log, "somebody's next message has brought it").to_contain_text("hello")
    pass_time(ann, 5)
    assert ann.status.text_content() == ann.joined, (
        "A message was not stored, as the server said. But then it was told to all, so "
        "it had been. Nothing is wrong any more, and the page should say so."
    )
    assert len(server.said) == 1, "nor is there a reason to say it again"


def test_the_news_of_others_do_not_make_it_impatient(not_stored):
    ann, server = not_stored

    def attempts_in(seconds: int) -> int:
        before = len(server.said)
        for number in range(seconds):
            server.tell(ann.chat, id=f"{len(server.said)}.{number}", text="news")
            pass_time(ann, 1)
        return len(server.said) - before

    first, later = attempts_in(10), attempts_in(60)
    assert first * 6 > 3 * later, (
        "A page whose message cannot be stored should wait longer and longer before "
        "it sends it again, whatever others say meanwhile. "
        f"It sent it {first} times in 10 seconds, and {later} times in the next 60."
    )


def test_who_is_shut_out_stays_shut_out(not_stored):
    ann, server = not_stored
    trying_again = ann.status.text_content()
    server.last.close(code=4404, reason="the room was deleted")
    expect(ann.status, "the page says that this is over").not_to_have_text(trying_again)
    over = ann.status.text_content()
    pass_time(ann, 60)
    assert ann.status.text_content() == over, (
        f"The page said {over!r}, and nothing has changed that. But now it says "
        f"{ann.status.text_content()!r}."
    )
