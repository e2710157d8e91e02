"""Stage 3: clients that ask again and again share the conversation of the sockets."""

from __future__ import annotations

import json
import socket
import time
from urllib.parse import urljoin

import pytest

from tests.contract.test_1_django_ui import number_in, text_around
from tests.support.clients import Client
from tests.support.html import parse
from tests.support.memory import kept_for_each
from tests.support.polling import (
    SECONDS,
    Poller,
    Request,
    ask,
    cursor_of,
    data_of,
    newcomer,
    post,
    settle,
    texts,
)
from tests.support.servers import ROOMS

SINCE_STAGE = 3
MANY = 1_100  # messages in one conversation
LIMIT = 4096  # characters in one message, as the wire format says


@pytest.mark.stages(3, 7)
def test_a_new_poller_is_greeted_at_once(chat):
    answer = ask(chat, -1).answer()
    greeting = {"status": 1, "timestamp": 0.0, "data": chat.data("connected...")}
    assert {**answer.reply, **greeting} == answer.reply, (
        f"GET /?lastupdate=-1 should be answered with {greeting}, "
        f"but the answer was {answer.reply}."
    )
    kind = answer.headers.get_content_type()
    assert kind == "application/json", f"A reply should be JSON, but says it is {kind}."


def test_a_poller_hears_what_was_posted_in_order_and_once(chat):
    paul = newcomer(chat, "Paul")
    for text in ("one", "two", "three"):
        post(chat, text)
    paul.hears("one", "two", "three", because="they were posted in this order")


def test_a_post_is_answered_with_what_was_stored(chat):
    paul = newcomer(chat, "Paul")
    reply = post(chat, "hello").reply
    data = chat.data("hello")
    assert (reply.get("status"), data_of(reply)) == (1, data), (
        'POST new_message=hello should be answered with {"status": 1, "timestamp": t, '
        f'"data": {json.dumps(data)}}}, but the answer was {reply}.'
    )
    paul.hears("hello", because="it was posted")
    assert paul.lastupdate == cursor_of(reply), (
        "The timestamp in the answer to a POST should be that of the stored message."
    )


def test_without_a_cursor_polling_begins_at_the_beginning(chat):
    chat.restart()
    post(chat, "the first words")
    reply = ask(chat).answer().reply
    assert data_of(reply) == chat.data("the first words"), (
        "GET / without lastupdate should count as 0.0 and give the first message, "
        f"but the answer was {reply}."
    )


@pytest.mark.stages(3, 7)  # Later, who is new is shown what was said last.
def test_nothing_that_was_said_is_forgotten(chat):
    chat.restart()
    with Client(chat, "Ann") as ann:
        for number in range(MANY):
            ann.say(f"number {number}")
        ann.hears(*(f"number {n}" for n in range(MANY)), because="she said it")
    first = Poller(chat, "Paul").next()
    assert first == "number 0", (
        f"{MANY} messages were said since the server has started. A cursor of 0 asks "
        f"for everything from the beginning, 'number 0'. It was told {first!r}."
    )


def test_a_parked_poll_is_answered_when_somebody_posts(chat):
    paul = newcomer(chat, "Paul")
    parked = ask(chat, paul.lastupdate)
    settle(chat)
    assert not parked.is_answered(), (
        "With nothing new to say, the server should hold the answer back, "
        f"but it answered {parked.answer()}."
    )
    posted = post(chat, "at last").reply
    reply = parked.answer().reply
    assert texts(reply) == ["at last"], f"The parked poll was answered with {reply}."
    assert cursor_of(reply) == cursor_of(posted), (
        "An answer that has waited should carry its message's own timestamp, "
        f"{posted}, or the message is heard again. It was {reply}."
    )


@pytest.mark.stages(3, 11)  # Then a server hears from the engine what was stored.
def test_who_waits_is_told_at_once_when_somebody_posts(chat):
    cursor = newcomer(chat, "Paul").lastupdate
    for _ in range(5):  # One of them may have been told by a sweep.
        parked = ask(chat, cursor)
        settle(chat)
        cursor = cursor_of(post(chat, "by POST").reply)
        settle(chat)
        assert parked.is_answered(), (
            "When a POST is answered, those who wait should have been told as well, at "
            "once. Somebody still waits, for the next sweep."
        )
        parked.answer()


def test_what_is_there_is_told_at_once_to_who_asks(chat):
    cursor = newcomer(chat, "Paul").lastupdate
    post(chat, "news")
    for _ in range(5):  # One of them may have been told by a sweep.
        asks = ask(chat, cursor)
        settle(chat)
        assert asks.is_answered(), (
            "Who asks when there is news should be answered at once. Somebody was left "
            "to wait for the next sweep."
        )
        reply = asks.answer().reply
        assert texts(reply) == ["news"], f"Who asks for the news was told {reply}."


def test_sockets_hear_what_pollers_post(chat):
    with Client(chat, "Ann") as ann:
        post(chat, "by POST")
        ann.hears("by POST", because="pollers and sockets share one conversation")


def test_pollers_hear_what_sockets_say(chat):
    paul = newcomer(chat, "Paul")
    with Client(chat, "Ann") as ann:
        ann.say("by socket")
        ann.hears("by socket", because="she said it")
        paul.hears("by socket", because="pollers and sockets share one conversation")


@pytest.mark.stages(3, 7)
def test_an_empty_text_of_a_socket_hides_nothing_from_pollers(chat):
    paul = newcomer(chat, "Paul")
    with Client(chat, "Ann") as ann:
        ann.say("")
        ann.say("behind it")
        because = "it was said behind an empty one, which a socket may say"
        heard = paul.until("behind it", because)
        assert heard in ([""], []), f"Between the two, Paul heard {heard}."


def test_a_parked_poll_hears_a_socket_by_the_next_sweeps(chat):
    cursor, took = newcomer(chat, "Paul").lastupdate, []
    with Client(chat, "Ann") as ann:
        for _ in range(5):
            parked = ask(chat, cursor)
            settle(chat)
            began = time.monotonic()
            ann.say("by socket")
            reply = parked.answer().reply
            took.append(time.monotonic() - began)
            assert texts(reply) == ["by socket"], (
                f"The parked poll was answered with {reply}."
            )
            cursor = cursor_of(reply)
            # The first may have come just before a sweep, the second comes behind one.
            if len(took) > 1 and took[-1] < 1.5:
                return
    raise AssertionError(
        "What a socket says should be told to those who wait at the next sweep, within "
        f"a second. They were told after {[round(seconds, 1) for seconds in took]} s."
    )


def test_a_post_hides_nothing_that_a_socket_said_before(chat):
    cursor = newcomer(chat, "Paul").lastupdate
    with Client(chat, "Ann") as ann:
        for _ in range(3):  # A sweep may come between the two.
            parked = ask(chat, cursor)
            settle(chat)
            ann.say("by socket")
            ann.hears("by socket", because="she said it")
            post(chat, "by POST")
            ann.hears("by POST", because="it was posted")
            heard = []
            for _ in range(5):  # At most one for each, and some with nothing.
                reply = parked.answer().reply
                heard += texts(reply)
                cursor = cursor_of(reply)
                if "by POST" in heard:
                    break
                parked = ask(chat, cursor)
            assert heard == ["by socket", "by POST"], (
                "Paul waits. A socket says something, and right behind it somebody "
                "posts. He should hear both, in that order: his cursor says what he "
                f"has, and not the news that woke him. He heard {heard}."
            )


def test_both_kinds_hear_one_order(chat):
    paul = newcomer(chat, "Paul")
    with Client(chat, "Ann") as ann:
        for number in range(0, 20, 2):
            post(chat, f"{number}")
            ann.hears(f"{number}", because="it was posted")
            ann.say(f"{number + 1}")
            ann.hears(f"{number + 1}", because="she said it")
    paul.hears(*map(str, range(20)), because="that is the order of the sockets")


def test_every_parked_poll_is_answered_in_the_end(chat):
    paul = newcomer(chat, "Paul")
    parked = [ask(chat, paul.lastupdate) for _ in range(8)]
    settle(chat)
    post(chat, "for all of you")
    said = [texts(request.answer().reply) for request in parked]
    assert said == [["for all of you"]] * 8, f"Eight parked polls were told {said}."


@pytest.mark.stages(3, 6)  # From exercise 2 on a poll ends before a proxy ends it.
def test_a_parked_poll_waits_as_long_as_there_is_nothing(chat):
    parked = ask(chat, newcomer(chat, "Paul").lastupdate)
    settle(chat)
    try:
        for minutes in range(1, 4):
            chat.clock.pass_by(60)
            settle(chat)
            early = parked.is_answered()
            assert not early, (
                "If there is nothing yet, the answer waits until there is. Nobody has "
                f"said anything for {minutes} minutes, and it was {parked.answer()}."
            )
        post(chat, "at last")
        told = texts(parked.answer().reply)
        assert told == ["at last"], f"The parked poll was told {told}."
    finally:
        parked.leave()
        chat.come_back()  # with the right clock


def test_a_poller_that_leaves_disturbs_nobody(chat):
    paul = newcomer(chat, "Paul")
    first, stays, last = (ask(chat, paul.lastupdate) for _ in range(3))
    settle(chat)
    first.leave()
    last.leave()
    settle(chat)
    answer = post(chat, "who is there?")
    assert answer.status == 200, (
        "Two clients hung up while they waited, and then a POST failed: "
        f"{answer.status} {answer.reply}. Forget a request when notifyFinish says so."
    )
    told = texts(stays.answer().reply)
    assert told == ["who is there?"], (
        "Three clients waited, and two of them hung up. The third should be told what "
        f"was posted, 'who is there?'. It was told {told}."
    )
    paul.hears("who is there?", because="it was posted")


def test_who_leaves_while_waiting_is_forgotten(chat):
    chat.restart()  # Or what is kept goes into the room that other tests have left.
    cursor = newcomer(chat, "Paul").lastupdate

    def come_and_go(count: int) -> None:
        for _ in range(0, count, 40):
            waiting = [ask(chat, cursor) for _ in range(40)]
            settle(chat)
            for request in waiting:
                request.leave()
            settle(chat)

    least = 1500  # bytes that one kept request must cost; 4000 were seen
    kept = kept_for_each(chat, come_and_go, 200, least)
    assert kept < least, (
        f"Clients wait and hang up, by the hundred, and the server grows by {kept:.0f} "
        "bytes for each: it keeps their requests. Take them off the list when "
        "notifyFinish says so."
    )


@pytest.mark.parametrize("cursor", ["x", "nan", "inf", "-inf", "1e999", "", "\udcff"])
def test_a_cursor_that_is_no_number_is_refused(chat, cursor):
    query = cursor.encode("utf-8", "surrogateescape")
    answer = ask(chat, query).answer()
    says_why(answer, 400, f"GET with lastupdate={query!r}, which is no finite number,")


def says_why(answer, status: int, what: str) -> None:
    __tracebackhide__ = True
    assert answer.status == status and answer.reply.get("status") == 0, (
        f'{what} should be refused with {status} and {{"status": 0, "error": ...}}. '
        f"The answer was {answer.status} {answer.reply}."
    )
    assert answer.reply.get("error"), f"{what} should be told why, in 'error'."


@pytest.mark.parametrize(
    ("text", "status", "what"),
    [
        ("", 400, "without text"),
        (" \t\n", 400, "of blanks"),
        (b"\xff\xfe", 400, "of bytes that are no UTF-8"),
        ("x" * (LIMIT + 1), 413, f"of {LIMIT + 1} characters"),
    ],
    ids=["empty", "blank", "bytes", "too-long"],
)
def test_a_bad_message_is_refused_and_not_stored(chat, text, status, what):
    paul = newcomer(chat, "Paul")
    with Client(chat, "Ann") as ann:
        says_why(post(chat, text), status, f"A POST {what}")
        post(chat, "x" * LIMIT)
        ann.hears("x" * LIMIT, because="the one before it was refused, this one not")
        paul.hears("x" * LIMIT, because="the one before it was refused, this one not")


def test_the_length_of_a_post_is_counted_in_characters_too(chat):
    text = "\N{GRINNING FACE}" * LIMIT
    with Client(chat, "Ann") as ann:
        assert post(chat, text).status == 200, (
            f"{LIMIT} emoji are {LIMIT} characters, as for a socket, however many bytes"
        )
        ann.hears(text, because=f"{LIMIT} emoji are {LIMIT} characters")


def test_what_a_socket_is_refused_for_no_poll_is_told(chat):
    paul = newcomer(chat, "Paul")
    with Client(chat, "Ann") as ann:
        ann.say("x" * (LIMIT + 1))
        ann.is_closed_with(1009, because="her message is too long")
    post(chat, "and then this")
    paul.hears("and then this", because="what was refused was not said")


def test_a_post_without_new_message_is_refused(chat):
    answer = Request(chat, "POST", "/", "other=1").answer()
    says_why(answer, 400, "A POST without new_message")


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "{ours}.evil.example",
        "http://127.0.0.1:1",
        "http://127.0.0.1:8000",  # where CHAT_ORIGINS is set, it is nobody's
    ],
)
def test_a_foreign_origin_is_refused(chat, method, origin):
    origin = origin.format(ours=chat.origin)
    path = "/?lastupdate=-1&new_message=x"
    answer = Request(chat, method, path, headers={"Origin": origin}).answer()
    says_why(answer, 403, f"{method} with Origin: {origin}")
    allowed = answer.headers.get("Access-Control-Allow-Origin")
    assert allowed is None, f"{origin} may not read replies, but is allowed: {allowed}."


def test_our_own_page_may_read_the_replies(chat):
    headers = ask(chat, -1).answer().headers
    allowed = headers.get("Access-Control-Allow-Origin")
    assert allowed == chat.origin, (
        "The page comes from another port, so its browser hides a reply from it unless "
        f"the header Access-Control-Allow-Origin is {chat.origin}. It is {allowed}."
    )
    kept = headers.get("Cache-Control", "")
    assert "no-store" in kept, (
        "In a minute the same question has another answer, so nobody may keep this "
        f"one: it should say Cache-Control: no-store. It says {kept!r}."
    )


@pytest.mark.parametrize("origin", ["{ours}", "http://evil.example", None])
def test_an_answer_says_that_it_depends_on_who_asked(chat, origin):
    who = {"Origin": origin.format(ours=chat.origin)} if origin else {}
    headers = ask(chat, -1, headers=who).answer().headers
    assert "origin" in headers.get("Vary", "").lower(), (
        "A reply depends on the Origin header, or on that there is none: somebody in "
        "between may keep it, and give it to the next who asks. So each should say "
        f"Vary: Origin. The one to a request with {who or 'no Origin'} does not."
    )


def test_a_preflight_is_answered(chat):
    ask_first = {
        "Origin": chat.origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = Request(chat, "OPTIONS", "/", headers=ask_first).answer()
    methods = answer.headers.get("Access-Control-Allow-Methods", "")
    allowed = "POST" in methods or methods == "*"
    assert answer.status in (200, 204) and allowed, (
        "A browser asks by OPTIONS whether its page may POST. The server should say "
        f"yes in Access-Control-Allow-Methods. It said {answer.status}, {methods!r}."
    )
    if chat.target.stage.number >= ROOMS:
        return  # What a page says in a header from then on, is another one.
    names = answer.headers.get("Access-Control-Allow-Headers", "")
    assert "content-type" in names.lower() or names == "*", (
        "A browser asks by OPTIONS whether its page may send the header content-type. "
        "The server should say yes in Access-Control-Allow-Headers. It said "
        f"{names!r}."
    )


def test_other_methods_are_refused(chat):
    with socket.create_connection(("127.0.0.1", chat.chat_port), SECONDS) as raw:
        head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {chat.token()}\r\n"
        raw.sendall(f"PUT / HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n".encode())
        status = int(raw.recv(65536).split()[1])
    # Who shows no token may be asked for it first, where there are any.
    refusals = (405, 501) if chat.token() is None else (401, 405, 501)
    assert status in refusals, (
        f"PUT / should be refused (405 or 501). The answer was {status}."
    )


def test_a_post_behind_a_parked_poll_on_one_connection_is_heard(chat):
    paul = newcomer(chat, "Paul")
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {chat.token()}\r\n"
    poll = f"GET /{chat.query(paul.lastupdate)} HTTP/1.1\r\n{head}\r\n"
    form = chat.form("from behind")
    behind = (
        f"POST / HTTP/1.1\r\n{head}"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\nConnection: close\r\n\r\n{form}"
    )
    with socket.create_connection(("127.0.0.1", chat.chat_port), SECONDS) as raw:
        raw.sendall((poll + behind).encode())
        settle(chat)
        answer = post(chat, "from another connection")
        assert answer.status == 200, (
            "Somebody posts while a poll is parked, with another POST waiting behind "
            f"it on the same connection. The answer was {answer.status}."
        )
        came = b""
        while data := raw.recv(65536):
            came += data
    assert came.count(b"HTTP/1.1 200") == 2, (
        f"Both should be answered. It came {came!r}."
    )
    paul.hears("from another connection", "from behind", because="both were posted")
    because = (
        "while a POST was answered, another one was, which had waited behind a parked "
        "poll. Each is told the place of its own message, from which one asks on"
    )
    Poller(chat, "Who posted", cursor_of(answer.reply)).hears(
        "from behind", because=because
    )


@pytest.mark.stages(3, 7)
def test_nothing_is_wrapped_in_a_callback(chat):
    # That was JSONP. What is wrapped is no JSON, and `answer` says so.
    reply = Request(chat, "GET", "/?lastupdate=-1&callback=alert").answer().reply
    assert texts(reply) == ["connected..."], (
        "GET /?lastupdate=-1&callback=alert should be answered 'connected...', as "
        f"without a callback, but the answer was {reply}."
    )


def test_a_room_is_there_by_long_polling_too(chat):
    path = chat.rooms(below="/chats/long_poll/")[0]
    soup = parse(chat.get(path).text)
    assert soup.select_one("[role=log]"), f"{path} should have a message list."
    listed = parse(chat.get("/chats/").text)
    links = listed("a", href=lambda to: urljoin("/chats/", to) == path)
    said = "".join(link.get_text(strip=True) for link in links)
    assert said, f"On /chats/, the link to {path} should have words."
    names = ("Zebras, by the way", "Aardvarks, by the way")
    for path, name in zip(chat.make_rooms(*names), names, strict=True):
        polled = path.replace("/chats/", "/chats/long_poll/")
        listed = parse(chat.get("/chats/").text)
        links = [link for link in listed("a", href=True) if number_in(link)]
        goals = [urljoin("/chats/", link["href"]) for link in links]
        assert polled in goals, f"/chats/ should link to {polled}, too, not to {goals}."
        at = goals.index(polled)
        # Its words may be "by long polling", and the name stands in the link beside it.
        beside = goals[max(at - 1, 0)], goals[min(at + 1, len(goals) - 1)]
        assert name in text_around(links[at]) or path in beside, (
            f"The room {path} is called {name!r}. On /chats/, its name should stand in "
            f"the link to {polled}, or beside it. There it says "
            f"{text_around(links[at])!r}, beside links to {' and '.join(beside)}."
        )
    for which in ("987654321", "kitchen"):
        status = chat.get(f"/chats/long_poll/{which}/").status
        assert status == 404, (
            f"There is no room /chats/long_poll/{which}/, so it should be 404, but the "
            f"answer was {status}."
        )


def test_a_room_name_is_text_on_both_pages(chat):
    name = "Tom & <i>Jerry</i></title>"
    [path] = chat.make_rooms(name)
    for shown in ("/chats/", path.replace("/chats/", "/chats/long_poll/")):
        soup = parse(chat.get(shown).text)
        assert not soup("i", string="Jerry"), (
            f"A room is called {name!r}, and {shown} takes that for HTML. Whoever may "
            "name a room could put a script there. Django escapes what {{ }} shows, "
            "unless it is told that it is safe."
        )


@pytest.mark.parametrize(
    "text",
    [
        '</script><img src=x onerror=alert(1)> " \\ \u2028 Grüße \N{GRINNING FACE}',
        "  two spaces before, a line break after\n",
        "\N{GRINNING FACE} comes first",
    ],
    ids=["markup", "spaces", "emoji"],
)
def test_what_is_posted_travels_unchanged(chat, text):
    paul = newcomer(chat, "Paul")
    with Client(chat, "Ann") as ann:
        post(chat, text)
        paul.hears(text, because="the server passes on text unchanged")
        ann.hears(text, because="the server passes on text unchanged")
        post(chat, "and then")
        paul.hears("and then", because="it was said next, and each is told once")


def test_what_people_post_is_not_in_the_log(chat):
    post(chat, "betweenthetwoofus")
    assert "betweenthetwoofus" not in chat.twisted.output(), (
        "What people say to each other is none of the log's business, and what "
        "somebody has posted stands there."
    )
