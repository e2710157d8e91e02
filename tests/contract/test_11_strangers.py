"""Exercise 7, strangers: who may come, and how much one of them may do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.contract.test_10_names import history
from tests.support.clients import Client
from tests.support.polling import Answer, ask, texts
from tests.support.servers import comes_true, new_id, wait_until
from tests.support.strangers import (
    HOME,
    Line,
    Wire,
    another_address,
    bearer,
    goes_on,
    handshake_with,
    later,
    look_in,
    parked,
    polls_of,
    request,
    say,
    shake_hands,
    wait_as_told,
)

SINCE_STAGE = 11
ANN, BOB, CY = "Ann", "Bob", "Cy"
MESSAGES, IN_SECONDS = 20, 10  # that one user may say, in so many seconds
LIMIT = 4096  # characters in one message
SOON = 5.0  # seconds, on a busy machine, for what happens within one
DOORS = pytest.mark.parametrize("door", ["GET", "POST", "OPTIONS", "handshake"])
HOW = pytest.mark.parametrize("how", ["socket", "poll"])


# --- Names of the server --------------------------------------------------------------


def knock(chat, door: str, headers=(), token: str | None = None, **changes) -> int:
    """How a request at one of the doors is answered: its status."""
    if door == "handshake":
        with Line(chat) as line:
            line.send(handshake_with(chat, headers, **changes))
            return line.answer("answer a handshake").status
    if token is None and door != "OPTIONS":
        token = chat.token()
    body = chat.form("hello").encode() if door == "POST" else b""
    with Line(chat) as line:
        return line.ask(door, "/", body, headers, **bearer(token) | changes).status


# How well a request goes that is as it should be.
WELL = {"GET": 200, "POST": 200, "OPTIONS": 200, "handshake": 101}


@DOORS
def test_a_request_for_another_host_is_refused(usual, door):
    ours = f"{HOME}:{usual.chat_port}"
    strange = {
        "another name": {"Host": f"evil.example:{usual.chat_port}"},
        "a name that begins like ours": {"Host": f"{ours}.evil.example"},
        "a name that ends like ours": {"Host": f"evil{ours}"},
        "an empty name": {"Host": ""},
        "no Host at all": {"Host": None},
        "two Hosts, ours first": {"headers": [("Host", "evil.example")]},
        "two Hosts, ours last": {"Host": "evil.example", "headers": [("Host", ours)]},
    }
    for what, changes in strange.items():
        status = knock(usual, door, **changes)
        assert status == 400, (
            "A site may have its own name lead to this machine. Its pages then read "
            "what is here, if nobody looks at the Host that a browser asks for (DNS "
            f"rebinding). {door} with {what} should be refused with 400. The answer "
            f"was {status}."
        )


@DOORS
def test_the_usual_names_of_this_machine_are_let_in(usual, door):
    port = usual.chat_port
    for host in (f"127.0.0.1:{port}", "localhost", f"LocalHost.:{port}", "[::1]:80"):
        status = knock(usual, door, Host=host)
        assert status == WELL[door], (
            f"{door} for the host {host!r} should be let in ({WELL[door]}): a port, a "
            "capital and a final dot make no other host of it, and without CHAT_HOSTS "
            "it is 127.0.0.1, localhost or [::1] that may be asked for. The answer was "
            f"{status}."
        )


@pytest.fixture(scope="module")
def renamed(chat):
    """A chat server with other names, for other pages."""
    with chat.beside(
        CHAT_HOSTS="chat.example, Other.Example",
        CHAT_ORIGINS=" HTTP://Chat.Example:80/ , https://chat.example:443,"
        f"http://[::1]:8000 , {chat.origin},http://10.0.0.80:80",
    ) as renamed:
        yield renamed


@DOORS
def test_chat_hosts_says_which_names_the_server_has(chat, renamed, places, door):
    token = chat.token(places[0])
    for host, well in [
        ("chat.example", True),
        ("CHAT.example:8443", True),
        ("other.example", True),
        (f"127.0.0.1:{renamed.chat_port}", False),
        ("sub.chat.example", False),
    ]:
        status = knock(renamed, door, Host=host, token=token)
        wanted = WELL[door] if well else 400
        assert status == wanted, (
            f'CHAT_HOSTS is "chat.example, Other.Example". {door} for the host '
            f"{host!r} should be answered {wanted}. The answer was {status}."
        )


def test_django_has_the_names_of_chat_hosts_too(chat):
    code = "from django.test import Client; ask = Client().get; "
    code += "print([ask('/chats/', headers={'host': host}).status_code "
    code += "for host in ('chat.example', '127.0.0.1')])"
    told = chat.shell(code, chat.env | {"CHAT_HOSTS": "chat.example"}).splitlines()[-1]
    assert json.loads(told) == [302, 400], (
        "CHAT_HOSTS is chat.example, for both servers. Django should lead who asks "
        "http://chat.example/chats/ to the login (302), and refuse 127.0.0.1 (400). It "
        f"answered {told}."
    )


HANDSHAKE, POST = "handshake", "POST"


@pytest.mark.parametrize("door", [HANDSHAKE, POST])
def test_origins_are_known_however_they_are_typed(chat, renamed, places, door):
    token = chat.token(places[0])
    for origin, well in [
        ("http://chat.example", True),
        ("https://chat.example", True),
        ("http://10.0.0.80", True),
        ("http://[::1]:8000", True),
        ("http://chat.example:443", False),
        ("http://[::1]", False),
        ("https://chat.example:80", False),
        ("http://10.0.0", False),
    ]:
        status = knock(renamed, door, Host="chat.example", Origin=origin, token=token)
        wanted = WELL[door] if well else 403
        assert status == wanted, (
            "CHAT_ORIGINS is ' HTTP://Chat.Example:80/ , https://chat.example:443,"
            "http://[::1]:8000,http://10.0.0.80:80': blanks, capitals, a slash at the "
            "end and the usual port are read as a browser would write them. "
            f"{door} from a page of {origin} should be answered "
            f"{wanted}. The answer was {status}."
        )


@DOORS
def test_a_page_of_another_site_is_refused_by_each_door(usual, door):
    ours, port = usual.origin, usual.django_port
    strange = {
        "another site": {"Origin": "https://evil.example"},
        "null, a page without an origin": {"Origin": "null"},
        "a name that begins like ours": {"Origin": f"{ours}.evil.example"},
        "a name that ends like ours": {"Origin": f"http://evil127.0.0.1:{port}"},
        "another port": {"Origin": "http://127.0.0.1:1"},
        "another scheme": {"Origin": f"https://127.0.0.1:{port}"},
        "two Origins, ours first": {"headers": [("Origin", "https://evil.example")]},
        "two Origins, ours last": {
            "Origin": "https://evil.example",
            "headers": [("Origin", ours)],
        },
    }
    for what, changes in strange.items():
        status = knock(usual, door, **changes)
        assert status == 403, (
            f"{door} with the Origin of {what} should be refused with 403, or another "
            f"site's page can speak here. The answer was {status}."
        )


# --- Too much -------------------------------------------------------------------------


def flood_by_post(chat, room: str, user: str) -> tuple[int, float, Answer]:
    """Say one thing after the other until it is refused, or far too much was taken.

    Returns how much was taken, in how many seconds, and the last answer.
    """
    taken, began = 0, time.monotonic()
    with Line(chat) as line:
        while True:
            answer = say(line, room, user, f"{user} says number {taken}")
            took = time.monotonic() - began
            if answer.status != 200 or taken > most_in(took):
                return taken, took, answer
            taken += 1


def most_in(seconds: float) -> int:
    """How many messages one user may have said after so many seconds."""
    return MESSAGES + int(seconds * MESSAGES / IN_SECONDS) + 1


def takes_so_many(taken: int, took: float, how: str) -> None:
    """Compare how many messages one user was allowed. Raises AssertionError."""
    __tracebackhide__ = True
    assert taken >= MESSAGES, (
        f"A user may say {MESSAGES} messages in {IN_SECONDS} seconds. Somebody said as "
        f"many at once, by {how}, and was refused after {taken}: who tells a story in "
        "short lines is not flooding."
    )
    assert taken <= most_in(took), (
        f"A user may say {MESSAGES} messages in {IN_SECONDS} seconds. Somebody said "
        f"{taken} in {took:.1f} s, by {how}, and all were taken."
    )


@pytest.fixture
def flooded(usual, room, eve, honest):
    """What is known of a flood by POST, beside somebody honest who listens."""
    with Wire(usual, honest, room) as listens:
        listens.is_in()
        yield *flood_by_post(usual, room, eve), listens


def test_a_user_may_say_twenty_messages_in_ten_seconds_by_post(usual, room, eve):
    taken, took, answer = flood_by_post(usual, room, eve)
    takes_so_many(taken, took, "POST")
    seconds = wait_as_told(answer, 429, f"POST of message {taken + 1}")
    assert seconds <= IN_SECONDS, (
        f"After {IN_SECONDS} seconds all is there again, so nobody has to wait for "
        f"longer. Retry-After was {seconds}."
    )
    exposed = answer.headers.get("Access-Control-Expose-Headers", "")
    assert "retry-after" in exposed.lower().replace(" ", "").split(","), (
        "The page is of another port, and its browser shows a script no header but "
        "those that Access-Control-Expose-Headers names. It should name Retry-After, "
        f"and was {exposed!r}."
    )


def test_a_user_may_say_twenty_messages_in_ten_seconds_by_socket(usual, room, eve):
    ids = [new_id() for _ in range(2 * MESSAGES)]
    with Wire(usual, eve, room) as wire:
        wire.is_in()
        began = time.monotonic()
        for number, id in enumerate(ids):
            wire.text(usual.saying(f"{eve} says number {number}", id))
        because = f"its user has said {len(ids)} messages in a moment"
        wire.is_closed_with(1008, because=because)
        took = time.monotonic() - began
    refusals = [told for told in wire.heard if told.get("status") == 0]
    assert refusals, (
        "Before the server closes the socket of who says too much, it should say so by "
        'a frame: {"status": 0, "id": "a1", "error": "...", "retry_after": 5}. There '
        f"was none; the last frame was {wire.heard[-1]}."
    )
    refusal = refusals[0]
    refused = ids.index(refusal["id"]) if refusal["id"] in ids else None
    assert refused is not None, (
        f'The frame should name the message that was refused, by its "id". It was '
        f"{refusal}."
    )
    seconds = refusal["retry_after"]
    assert type(seconds) is int and 1 <= seconds <= IN_SECONDS and refusal["error"], (
        'The frame should say why, in "error", and in how many seconds to say it '
        f'again, in "retry_after": a whole number from 1 to {IN_SECONDS}. It was '
        f"{refusal}."
    )
    takes_so_many(refused, took, "socket")
    with Line(usual) as line:  # What was taken before is stored before.
        say(line, room, CY, "afterwards")
    stored = [m["id"] for m in history(usual, room) if m["id"] in ids]
    assert stored == ids[:refused], (
        f"Of {len(ids)} messages the first {refused} were taken, and the next one was "
        "refused. So these should be stored, in their order, and nothing that came "
        f"after them: what is refused is said again. Stored are {len(stored)}, number "
        f"{[ids.index(id) + 1 for id in stored][-3:]} the last."
    )


def test_what_was_refused_is_told_to_nobody(usual, room, eve, flooded):
    taken, _, answer, listens = flooded
    assert answer.status == 429, f"What is too much was answered {answer}."
    with Line(usual) as line:
        assert say(line, room, listens.user, "after the flood").status == 200, (
            f"{eve} has said too much, and not {listens.user}, who should be heard."
        )
    listens.hears("after the flood", f"{eve} alone was refused")
    heard = [text for text in listens.texts() if text.startswith(f"{eve} says")]
    assert heard == [f"{eve} says number {number}" for number in range(taken)], (
        f"{taken} messages were taken, and the next was refused with 429. Others "
        f"should hear these, in order, and not that one. They heard {len(heard)}, the "
        f"last is {heard[-1:]}."
    )


def test_who_sits_beside_a_flooder_may_go_on(usual, room, honest, flooded):
    goes_on(usual, room, honest, "the limit of one user is not another one's")


# From exercise 8 on the bucket goes by the engine's clock, which no test can move.
@pytest.mark.stages(11, 11)
def test_who_waits_as_told_may_say_half_as_much_again(usual, room, eve, flooded):
    seconds = wait_as_told(flooded[2], 429, "POST of what is too much")
    later(usual, seconds)
    said = [f"{eve} is patient {number}" for number in range(MESSAGES // 2)]
    with Wire(usual, eve, room) as wire:
        wire.is_in()
        for text in said:
            wire.text(usual.saying(text))
        wire.hears(
            said[-1],
            f"somebody was told to come again in {seconds} s, and came then. Half of "
            f"the limit should be there again, {len(said)} messages, or a page with "
            "much to say would be sent away with each of them",
        )


def test_it_is_one_limit_by_all_doors_and_in_all_rooms(usual, places, eve):
    here, there = places
    taken, began = 0, time.monotonic()
    with (
        Line(usual) as line,
        Wire(usual, eve, here) as first,
        Wire(usual, eve, there) as second,
    ):
        first.is_in(), second.is_in()
        for number in range(MESSAGES // 4):
            for wire in (first, second):
                wire.text(usual.saying(f"{eve} {number} by socket"))
                wire.hears(f"{eve} {number} by socket", "that is not too much")
            for path in (here, there):
                answer = say(line, path, eve, f"{number} by POST")
                assert answer.status == 200, f"That is not too much: {answer}."
            taken += 4
        while taken <= most_in(time.monotonic() - began):
            if (answer := say(line, here, eve, "too much")).status != 200:
                break
            taken += 1
        wait_as_told(
            answer,
            429,
            f"Somebody has said {taken} messages, by two sockets and by POST, in two "
            "rooms. The limit is one user's, wherever they speak: the next POST",
        )
        # Not one only: half a second later the user may say one more.
        for number in range(MESSAGES):
            first.text(usual.saying(f"too much, {number}"))
        first.is_closed_with(1008, because="its user has said too much by other doors")


@HOW
def test_what_is_said_again_costs_nothing(usual, room, eve, how):
    id, again = new_id(), 3 * MESSAGES
    with Line(usual) as line, ExitStack() as stack:
        assert say(line, room, eve, "once", id).status == 200, "It is the first one."
        if how == "poll":
            for number in range(again):
                answer = say(line, room, eve, "once", id)
                assert answer.status == 200, (
                    "A message that is stored was said again, with its id, because its "
                    "answer was lost: that should cost nothing. The repetition "
                    f"{number + 1} was answered {answer.status}."
                )
        else:
            wire = stack.enter_context(Wire(usual, eve, room)).is_in()
            for _ in range(again):
                wire.text(usual.saying("once", id))
            wire.text(usual.saying("something new"))
            wire.hears("something new", "what is said again costs nothing")
        taken, _, answer = flood_by_post(usual, room, eve)
        least = MESSAGES - 1 - (how == "socket")
        assert taken >= least, (
            f"Somebody has said one message {again + 1} times, with one id. It should "
            f"count once, and {least} others should be taken. It were {taken}."
        )
        answer = say(line, room, eve, "once", id)
        assert answer.status == 200, (
            "Who may say nothing new for some seconds should be told all the same that "
            f"a message is stored that they say again. The answer was {answer.status}."
        )


ASKS = 20


@pytest.mark.parametrize("what", ["GET", "who is here"])
def test_who_asks_again_and_again_has_to_wait(chat, places, eve, honest, what):
    room, other_room = places
    with (
        chat.beside(CHAT_ASKS=f"{ASKS}/10") as other,
        Wire(other, honest, room) as listens,
    ):
        listens.is_in()
        if what == "GET":
            answers = []
            while len(answers) <= 2 * ASKS and {*answers} <= {200}:
                with Line(other) as line:
                    answer = line.ask(**bearer(other.token(other_room, eve)))
                answers.append(answer.status)
            says = f"CHAT_ASKS is {ASKS}/10, and somebody asked {len(answers)} times"
            wait_as_told(answer, 429, f"{says} what was said: GET")
        else:
            with Wire(other, eve, other_room) as wire:
                wire.is_in()
                for _ in range(2 * ASKS):
                    wire.text('{"here": true}')
                because = f"CHAT_ASKS is {ASKS}/10, and {2 * ASKS} frames said {what}"
                wire.is_closed_with(1008, because=because)
        listens.text(other.saying("I ask nothing"))
        listens.hears("I ask nothing", "somebody else has asked too much")


def test_who_has_many_windows_may_ask_in_each(usual, room, honest):
    # All come back at once, as after a restart.
    token = usual.token(room, honest)
    for number in range(20):
        with Line(usual) as line:
            answer = line.ask(**bearer(token))
            assert answer.status == 200, (
                f"Somebody opens {number + 1} windows one after the other, and each "
                f"asks what was said. The answer was {answer.status}."
            )
        with Wire(usual, honest, room) as wire:
            wire.is_in().text('{"here": true}')


# --- Who shows no token ---------------------------------------------------------------

KNOCKS = 6
OTHERS = f"{HOME}2,203.0.113.1"  # proxies: none of them is where the tests come from


@pytest.fixture(scope="module")
def guarded(chat):
    """A chat server where one address has KNOCKS in a minute without a token."""
    with chat.beside(CHAT_KNOCKS=f"{KNOCKS}/60", CHAT_PROXIES=OTHERS) as guarded:
        yield guarded


def say_nothing_true(chat, address: str = HOME, **changes) -> Answer:
    """Shake hands, and show a token that is none."""
    answer = shake_hands(chat, address, **changes)
    if answer.status != 101:
        return answer
    with Wire(chat, said=False, address=address, **changes) as wire:
        if wire.status == 101:
            wire.say_token("none of yours")
            wire.closing("close a socket with a bad token")
    return answer


def post_forged(chat, address: str = HOME, **changes) -> Answer:
    with Line(chat, address) as line:
        body = chat.form("hello").encode()
        return line.ask("POST", "/", body, **bearer("none of yours") | changes)


KNOCKING: dict[str, Callable[..., Answer]] = {
    "a handshake": shake_hands,
    "a handshake, and a token that is none,": say_nothing_true,
    "GET without a token": look_in,
    "POST with a token that is none": post_forged,
}


def knock_too_much(chat, how: Callable[..., Answer] = look_in, **changes) -> Answer:
    """Knock until that is too much, or should have been. Returns the last answer."""
    for _ in range(KNOCKS + 1):
        answer = how(chat, **changes)
        if answer.status in (429, 503):
            break
    return answer


def is_too_much(answer: Answer) -> None:
    """Compare the answer to who has knocked too much. Raises AssertionError."""
    __tracebackhide__ = True
    assert answer.status == 429, (
        f"{HOME} has come {KNOCKS + 1} times without a good token, and CHAT_KNOCKS is "
        f"{KNOCKS}/60. The last answer should be 429. It was {answer.status}."
    )


@pytest.mark.parametrize("what", KNOCKING)
def test_who_knocks_without_a_token_has_to_wait(guarded, room, what):
    later(guarded, 60)
    with Client(guarded, ANN, room) as ann:
        answer = knock_too_much(guarded, KNOCKING[what])
        says = f"Without a good token: after {KNOCKS} times, {what}"
        is_json = "handshake" not in what
        seconds = wait_as_told(answer, 429, f"{says} from one address", is_json)
        for other, how in KNOCKING.items():
            answer = how(guarded)
            wait_as_told(answer, 429, f"{says}, and then {other}", "POST" in other)
        ann.say("hello")
        ann.hears("hello", because="who is in is nobody who knocks")
    later(guarded, seconds)
    status = shake_hands(guarded).status
    assert status == 101, (
        f"Who has knocked too much was told to come again in {seconds} s, and did. The "
        f"handshake should be answered 101. It was {status}."
    )


def test_who_shows_a_good_token_has_not_knocked(guarded, room, honest):
    later(guarded, 60)
    # Before a request with a token, a browser asks whether it may send it.
    for _ in range(2 * KNOCKS):
        with Line(guarded) as line:
            answer = line.ask("OPTIONS")
        assert answer.status == 200, (
            "A browser asks by OPTIONS, without a token, before each poll that shows "
            f"one. It should not count as knocking. The answer was {answer.status}."
        )
    because = f"each has a good token: {KNOCKS} knocks are for those who have none"
    for _ in range(2 * KNOCKS):
        with Client(guarded, "Ann", room, user=honest) as ann:
            ann.say("back again")
            ann.hears("back again", because=because)
        answer = ask(guarded, room=room).answer()
        assert answer.status == 200, f"A poll should be answered, because {because}."


def test_who_has_a_token_can_poll_beside_who_knocks(guarded, room):
    later(guarded, 60)
    is_too_much(knock_too_much(guarded))
    with Line(guarded) as line:
        answer = line.ask("GET", "/", **bearer(guarded.token(room, BOB)))
        assert answer.status == 200, (
            "Somebody knocks too much from an address that others share, as in a "
            "school. A request with a good token is no knock, and should be answered. "
            f"The answer was {answer.status}."
        )
        answer = say(line, room, BOB, "from the same school")
        assert answer.status == 200, f"The same for a POST: it was {answer.status}."


def test_another_address_pays_for_nobody(guarded, room):
    address = another_address()
    later(guarded, 60)
    is_too_much(knock_too_much(guarded))
    for what, how in KNOCKING.items():
        status = how(guarded, address=address).status
        assert status in (101, 401), (
            f"{HOME} has knocked too much, and {address} has not. There {what} should "
            f"be answered as usual. The answer was {status}."
        )


def test_an_address_that_anybody_can_write_is_not_believed(guarded):
    later(guarded, 60)
    for number in range(KNOCKS):
        look_in(guarded, X_Real_IP=f"203.0.113.{number}")
    answer = look_in(guarded, X_Real_IP="203.0.113.99")
    wait_as_told(
        answer,
        429,
        f"X-Real-IP is a header that anybody can send. CHAT_PROXIES is {OTHERS!r}, and "
        f"not {HOME}, so it says nothing: {HOME} has knocked {KNOCKS} times, and once "
        "more",
    )


@pytest.fixture(scope="module")
def proxied(chat):
    """A chat server behind a proxy, with few places for each address."""
    with chat.beside(
        CHAT_PROXIES=f"203.0.113.1, {HOME}",
        CHAT_KNOCKS=f"{KNOCKS}/60",
        CHAT_MOST_PER_ADDRESS="3",
    ) as proxied:
        yield proxied


FAR, FARTHER = "198.51.100.7", "198.51.100.8"


def test_behind_a_proxy_each_client_has_an_address_of_its_own(proxied, room):
    answer = knock_too_much(proxied, X_Real_IP=FAR)
    wait_as_told(answer, 429, f"After {KNOCKS} knocks of {FAR}, by the proxy, the next")
    for what, how in KNOCKING.items():
        status = how(proxied, X_Real_IP=FARTHER).status
        assert status in (101, 401), (
            f"CHAT_PROXIES names {HOME}, so its X-Real-IP says who the client is. "
            f"{FAR} has knocked too much, and {FARTHER} has not: {what} should be "
            f"answered as usual. The answer was {status}."
        )
    with ExitStack() as stack:
        for number in range(3):
            wire = stack.enter_context(Wire(proxied, ANN, room, X_Real_IP="10.0.0.1"))
            assert wire.status == 101, f"Socket {number + 1} of 3: {wire.status}."
            wire.is_in()
        with Wire(proxied, ANN, room, X_Real_IP="10.0.0.1") as wire:
            assert wire.status == 503 and "retry-after:" in wire.headers.lower(), (
                "CHAT_MOST_PER_ADDRESS is 3, and 10.0.0.1 has three sockets through "
                "the proxy. The next one should be answered 503, with Retry-After. It "
                f"was {wire.status}."
            )
        with Wire(proxied, BOB, room, X_Real_IP="10.0.0.2") as wire:
            assert wire.status == 101, (
                "The places of 10.0.0.1 are taken, and 10.0.0.2 has all of its own, "
                f"although both come by one proxy. The answer was {wire.status}."
            )


def test_a_strange_address_from_a_proxy_hurts_nobody(proxied, room):
    for address in ("", "nobody", "1.2.3.4, 5.6.7.8", "\x1b[31m", "::1%eth0", "9" * 99):
        with Line(proxied) as line:
            answer = line.ask(**bearer(proxied.token(room)), X_Real_IP=address)
        assert 200 <= answer.status < 500, (
            f"A proxy said X-Real-IP: {address!r}. The answer was {answer.status}."
        )


# --- Too many -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(chat):
    """A chat server where one user has three places."""
    with chat.beside(CHAT_MOST_PER_USER="3") as narrow:
        yield narrow


@pytest.fixture
def three(narrow, places, eve) -> Iterator[list[Wire]]:
    """Three sockets of one user, in two rooms."""
    here, there = places
    with ExitStack() as stack:
        paths = (here, here, there)
        yield [stack.enter_context(Wire(narrow, eve, path)).is_in() for path in paths]


def is_sent_away(wire: Wire, what: str) -> None:
    """Wait until a socket is told to come later. Raises AssertionError."""
    __tracebackhide__ = True
    wire.is_closed_with(1013, because=f"{what}, and there is no place")
    refusals = [told for told in wire.heard if told.get("status") == 0]
    told = refusals[0] if refusals else {}
    seconds = told.get("retry_after")
    assert type(seconds) is int and seconds >= 1 and told.get("error"), (
        f"{what}: before it is closed with 1013 it should be told why, and when to "
        'come again: {"status": 0, "error": "...", "retry_after": 5}. It was told '
        f"{wire.heard}."
    )


def test_a_user_has_so_many_places_and_no_more(narrow, places, eve, honest, three):
    room = places[0]
    with Wire(narrow, eve, room) as fourth:
        is_sent_away(fourth, "CHAT_MOST_PER_USER is 3, and this is the fourth socket")
    answer = parked(narrow, room, eve).answer()
    wait_as_told(answer, 503, "A poll that would wait, of who has three sockets,")
    with Line(narrow) as line:
        answer = say(line, room, eve, "I am full")
        assert answer.status == 200, (
            "To say something takes no place: it is over at once. A POST of who has "
            f"three sockets was answered {answer.status}."
        )
    three[0].hears("I am full", "who has three sockets may use them")
    goes_on(narrow, room, honest, f"the places are those of {eve}")


def test_a_place_that_is_left_is_free_again(narrow, room, eve, three):
    three.pop().socket.close()

    def comes_in() -> bool:
        with Wire(narrow, eve, room) as wire:
            return wire.closing_or_in()

    assert comes_true(comes_in, SOON), (
        f"CHAT_MOST_PER_USER is 3, and one of three sockets of {eve} was closed. So "
        "there should be a place for another one."
    )


def test_who_was_never_let_in_has_no_place(narrow, room):
    [gone], late = narrow.make_rooms("To be deleted"), f"late-{new_id()[:8]}"
    narrow.let_in([late], [gone, room])
    key = gone.strip("/").rpartition("/")[2]
    narrow.shell(f"from chat.models import ChatRoom; ChatRoom(pk={key}).delete()")
    for _ in range(3):
        with Wire(narrow, late, gone) as wire:
            wire.is_closed_with(4404, because="its room was deleted")

    def comes_in() -> bool:
        with Wire(narrow, late, room) as wire:
            return wire.closing_or_in()

    assert comes_true(comes_in, SOON), (
        "CHAT_MOST_PER_USER is 3, and three times somebody came with the token of a "
        "room that was deleted, and was sent away (4404). Who is not let in takes no "
        "place, so there should be one in another room."
    )


def test_polls_that_wait_take_places_too(narrow, room, eve, honest):
    with polls_of(narrow, room, eve, 3) as waiting:
        assert not any(poll.is_answered() for poll in waiting), "Three may wait."
        fourth = parked(narrow, room, eve)
        wait_until(
            fourth.is_answered,
            lambda: "three polls of a user wait, and a fourth one should be refused",
        )
        answer = fourth.answer()
        wait_as_told(answer, 503, "The fourth poll of one user that would wait")
        with Wire(narrow, eve, room) as wire:
            is_sent_away(wire, "Three polls of its user wait, and this is a socket")
        goes_on(narrow, room, honest, f"the places are those of {eve}")
        for poll in waiting:
            reply = poll.answer().reply
            assert texts(reply), f"A poll that has a place is told the news: {reply}."


def test_an_address_has_so_many_connections_and_no_more(chat, room):
    most = 8
    with (
        chat.beside(CHAT_MOST_PER_ADDRESS=str(most)) as other,
        ExitStack() as stack,
    ):
        first = stack.enter_context(Wire(other, ANN, room)).is_in()
        lines = [stack.enter_context(Line(other)) for _ in range(most - 1)]
        assert lines[-1].ask().status == 401, f"There are {most} places."
        for what, how in [("GET", look_in), ("A handshake", shake_hands)]:
            answer = how(other)
            what = f"CHAT_MOST_PER_ADDRESS is {most}, and as many are open. {what}"
            wait_as_told(answer, 503, f"{what} by the next connection", False)
        first.text(other.saying("we are full"))
        first.hears("we are full", "who has a place has it")
        lines.pop().socket.close()
        token = other.token(room)
        assert comes_true(lambda: look_in(other, token=token).status == 200, SOON), (
            "One of the connections was closed, so there should be a place again."
        )


def test_another_address_has_places_of_its_own(chat, room):
    address = another_address()
    with (
        chat.beside(CHAT_MOST_PER_ADDRESS="3") as other,
        Wire(other, ANN, room) as ann,
        Wire(other, ANN, room) as second,
        Line(other) as line,
        Wire(other, BOB, room, address=address) as bob,
    ):
        ann.is_in(), second.is_in()
        assert line.ask().status == 401, "This is the third of three."
        assert bob.status == 101, (
            f"The places of {HOME} are taken, and those of {address} are not. Its "
            f"handshake was answered {bob.status}."
        )
        bob.is_in()


def test_all_together_have_so_many_connections_and_no_more(chat, room):
    most = 8
    with chat.beside(CHAT_MOST=str(most)) as other, ExitStack() as stack:
        first = stack.enter_context(Wire(other, ANN, room)).is_in()
        for _ in range(most - 1):
            line = stack.enter_context(Line(other))
        assert line.ask().status == 401, f"There are {most} places."
        for what, how in [("GET", look_in), ("A handshake", shake_hands)]:
            answer = how(other)
            what = f"CHAT_MOST is {most}, and as many are open. {what}"
            wait_as_told(answer, 503, f"{what} by the next connection", False)
        crowd = [stack.enter_context(Line(other)) for _ in range(5 * most)]
        for line in crowd:
            line.send(request(other, Connection="close"))
        for line in crowd:
            line.is_ended("CHAT_MOST is reached: 503, or the end, but never silence")
        first.text(other.saying("we are full"))
        first.hears("we are full", "who has a place has it")
