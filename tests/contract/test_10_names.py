"""Exercise 6, names: who speaks is who logged in, whatever a client says of itself."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from urllib.parse import quote

import pytest

from tests.contract.test_3_longpoll import says_why
from tests.contract.test_6_rooms import code, knocking
from tests.contract.test_7_no_delays import fall_behind, on_linux
from tests.contract.test_9_persistence import away
from tests.support.clients import Client, Opcode, RawClient, short
from tests.support.html import parse
from tests.support.polling import Request, ask, cursor_of, numbered, post, settle
from tests.support.servers import comes_true, cookie_header, new_id

SINCE_STAGE = 10
ANN, BOB, CY = "Ann", "Bob", "Cy"
LIFE = 600  # seconds of a token, if nobody says otherwise
APART = 60  # seconds by which the clocks of the two servers may differ
LINGERS = 3  # seconds for which who has left is still told to be here
A_MINUTE = 60  # within which a dead connection is noticed
A_MOMENT = 2.5  # seconds, in which a timer that is due has been noticed
SOON = 5.0  # seconds, on a busy machine, for what happens within one


@pytest.fixture
def room(chat) -> str:
    """The path of a room."""
    return chat.rooms()[1]


@pytest.fixture
def own_room(chat, request) -> str:
    """The path of a room where nobody else is, nor was a moment ago."""
    [room] = chat.make_rooms(request.node.name[:100])
    return room


@pytest.fixture
def later(chat) -> Iterator:
    """A function that lets seconds pass for the chat server; then its clock is right.

    A token that is made meanwhile is made by a clock that knows nothing of it.
    """

    def pass_by(seconds: float) -> None:
        chat.clock.pass_by(seconds)
        settle(chat)

    yield pass_by
    chat.come_back()


# For `manage.py shell`: those who have an account.
HOW = pytest.mark.parametrize("how", ["socket", "poll"])


def parts_of(chat, path: str, user: str = ANN) -> dict:
    """What the page at `path` tells its script, by the ids of its json_scripts."""
    page = parse(chat.get(path, user=user).text)
    found = page.select('script[type="application/json"][id]')
    return {script["id"]: json.loads(script.string) for script in found}


def next_token(chat, room: str, user: str | None = ANN, path: str = ""):
    """What Django answers whose page asks for its next token: status, JSON, headers."""
    response = chat.get(path or f"{room}token/", user=user)
    try:
        reply = json.loads(response.text)
    except ValueError:
        reply = {}
    return response.status, reply, response.headers


def token_of(chat, room: str, user: str = ANN) -> str:
    """A new token. Raises AssertionError where there is none."""
    __tracebackhide__ = True
    status, reply, _ = next_token(chat, room, user)
    assert status == 200 and isinstance(reply.get("token"), str), (
        f"GET {room}token/ should give {user}, who is logged in, the next token: "
        f'{{"status": 1, "token": "...", "seconds": {LIFE}}}. It was answered {status} '
        f"{reply}."
    )
    return reply["token"]


def author_in(message: dict):
    """The author of a message. Raises AssertionError if it says nothing about it."""
    __tracebackhide__ = True
    assert "author" in message, (
        "Each message should say who said it, by the id of the user and the name at "
        'that time: {"seq": 17, "id": "...", "text": "...", "author": {"id": 5, '
        f'"name": "Ann"}}, "said_at": "..."}}. This one says {message}.'
    )
    return message["author"]


def history(chat, room: str, how: str = "poll", user: str = CY) -> list[dict]:
    """The messages that somebody is told who comes to a room for the first time."""
    token = chat.token(room, user)
    if how == "poll":
        return ask(chat, token=token).answer().reply["data"]
    with Client(chat, user, room, user=user) as client:
        return client.first["data"]


def earlier(chat, room: str, user: str | None = CY):
    """The status and the JSON of the page of what was said last."""
    response = chat.get(f"{room}earlier/?before={10**9}", user=user)
    return response.status, json.loads(response.text or "{}")


def say_by(chat, how: str, room: str, user: str, text: str, /, **more) -> dict:
    """Say something; returns the message as it is acknowledged.

    What is in `more` is said along with it, of which the server must not believe
    anything.
    """
    __tracebackhide__ = True
    if how == "poll":
        form = f"{chat.form(text)}&" + "&".join(
            f"{name}={quote(str(value))}" for name, value in more.items()
        )
        headers = {
            "Origin": chat.origin,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        token = chat.token(room, user)
        answer = Request(chat, "POST", "/", form, headers, token=token).answer()
        assert answer.status == 200, f"{user} should be heard, but got {answer}."
        return answer.reply["data"][-1]
    with Client(chat, user, room, user=user) as client:
        client.send(json.dumps(json.loads(chat.saying(text)) | more))
        batch = client.batch(client.receive("hear what it says"))
        return batch["data"][-1]


# --- The token ----------------------------------------------------------------------


def test_the_page_knows_who_it_is_for_and_where_the_next_token_is(chat, room):
    for path in (room, room.replace("/chats/", "/chats/long_poll/")):
        for user in (ANN, BOB):
            parts = parts_of(chat, path, user)
            assert parts.get("chat-user") == chat.users[user], (
                f"The page of {path} should tell its script whose it is: the id of "
                f"{user} ({chat.users[user]}), in a json_script with the id "
                f'"chat-user". It has {sorted(parts)}, and {parts.get("chat-user")}.'
            )
            renew = parts.get("chat-renew")
            assert renew, (
                f"The page of {path} should tell its script where the next token is, "
                'in a json_script with the id "chat-renew", such as '
                f'"{room}token/". It has {sorted(parts)}.'
            )
            status, reply, _ = next_token(chat, room, user, renew)
            assert status == 200 and reply.get("status") == 1, (
                f"GET {renew} should be answered with the next token of {user}, as "
                f'{{"status": 1, "token": "...", "seconds": {LIFE}}}. It was answered '
                f"{status} {reply}."
            )
            assert reply.get("user") == chat.users[user], (
                "Somebody else may have logged in in another tab since the page was "
                "loaded. So the answer should say whose token it is: here, with "
                f'"user": {chat.users[user]}, the id of {user}. It was {reply}.'
            )


@HOW
def test_the_next_token_opens_the_same_room_for_the_same_user(chat, room, how):
    token = token_of(chat, room, BOB)
    if how == "poll":
        answer = post(chat, "with the next token", token=token)
        assert answer.status == 200, f"The next token was refused: {answer}."
        [message] = answer.reply["data"]
    else:
        with Client(chat, BOB, room, user=BOB, token=token) as bob:
            bob.say("with the next token")
            [message] = bob.batch(bob.receive())["data"]
    assert author_in(message) == {"id": chat.users[BOB], "name": BOB}, (
        f"Bob asked for his next token, and spoke with it. The author was {message}."
    )
    assert history(chat, room)[-1]["text"] == "with the next token", (
        f"The token is from {room}token/, so it should open the room {room}."
    )


def test_a_token_is_never_cached(chat, room):
    _, reply, headers = next_token(chat, room)
    cached = headers.get("Cache-Control", "")
    assert "no-store" in cached or "no-cache" in cached or "max-age=0" in cached, (
        "A token that comes from a cache has ended already, or is somebody else's. "
        f"{room}token/ should say so in Cache-Control. It says {cached!r}."
    )
    seconds = reply.get("seconds")
    assert isinstance(seconds, int | float) and seconds > 0, (
        'The page has to know when to come again: "seconds" should be the life of the '
        f"token. The answer was {reply}."
    )


def test_who_is_not_logged_in_gets_no_token(chat, room):
    status, reply, _ = next_token(chat, room, None)
    assert status == 401 and "token" not in reply, (
        f"A script asks for {room}token/ without a login. A form for the login is no "
        "use to it: the answer should be 401, in JSON. It was "
        f"{status} {short(str(reply))}."
    )
    says = json.dumps(reply.get("status"))
    assert says == "0" and reply.get("error"), (
        f'The 401 should be JSON with "status": 0 and an "error". It was {reply}.'
    )
    status, reply = next_token(chat, "/chats/987654/")[:2]
    assert status == 404, f"There is no room 987654, and its token was {status}."


def test_who_may_not_log_in_any_more_gets_no_token(chat, room):
    chat.make_users("Left")
    assert token_of(chat, room, "Left"), "Left has an account, and a token."
    chat.change_user("Left", is_active=False)
    status, reply, _ = next_token(chat, room, "Left")
    assert status == 401 and "token" not in reply, (
        "A user was deactivated while the page was open. The session is there, but "
        f"{room}token/ should give no token any more: 401. It was {status} {reply}."
    )


def test_by_default_a_token_lives_for_ten_minutes(chat, room):
    chat.get(room)
    page = chat.token_under(room, {"CHAT_TOKEN_SECONDS": ""})
    chat.come_back(CHAT_TOKEN_SECONDS="")
    try:
        with Client(chat, ANN, room, token=page) as ann:
            chat.clock.pass_by(LIFE - 60)
            settle(chat)
            ann.say("nine minutes later")
            ann.hears("nine minutes later", because="a token lives for ten minutes")
            chat.clock.pass_by(120)
            settle(chat)
            ann.is_closed_with(4403, because="her token has ended, after ten minutes")
    finally:
        chat.come_back()


# --- The author ---------------------------------------------------------------------


@HOW
def test_a_message_says_who_said_it(chat, room, how):
    for user in (ANN, BOB):
        text = f"I am {user}, by {how}"
        with (
            Client(chat, CY, room, user=CY) as cy,
            waiting(chat, room, CY) as parked,
        ):
            told = say_by(chat, how, room, user, text)
            batch = cy.batch(cy.receive("hear what another says"))
            asked = parked.answer().reply
        chat.moved(room, told["seq"])
        want = {"id": chat.users[user], "name": user}
        for where, message in {
            "who said it is told": told,
            "a socket of somebody else hears": batch["data"][-1],
            "a poll of somebody else is answered": asked["data"][-1],
            "who comes later by socket is told": history(chat, room, "socket")[-1],
            "who comes later by polling is told": history(chat, room)[-1],
            "the page of earlier messages has": earlier(chat, room)[1]["data"][-1],
        }.items():
            assert message["text"] == text and author_in(message) == want, (
                f"{user} is logged in, and says {text!r}. The author is {want}, but "
                f"{where}: {message}."
            )


@contextmanager
def waiting(
    chat, room: str, user: str = ANN, at: tuple | None = None, **more
) -> Iterator[Request]:
    """A poll that waits for what comes next, or for what comes after `at`."""
    at = at or cursor_of(ask(chat, token=chat.token(room, user)).answer().reply)
    parked = poll(chat, room, user, at, **more)
    settle(chat)
    try:
        yield parked
    finally:
        parked.connection.close()


def poll(chat, room: str, user: str, at: tuple, token: str = "", **more) -> Request:
    """Ask what comes after `at`; `more` are other fields of the question."""
    query = chat.query(at) + "".join(
        f"&{name}={quote(str(value))}" for name, value in more.items()
    )
    return Request(chat, "GET", f"/{query}", token=token or chat.token(room, user))


@HOW
def test_the_author_is_stored(chat, room, how):
    text = f"before the crash, by {how}"
    said = say_by(chat, how, room, BOB, text)
    chat.crash()
    chat.come_back()
    told = history(chat, room)[-1]
    assert told == said, (
        "Bob said something, and the chat server was killed (kill -9) and started "
        "again. Who comes then should be told the same of it, with its author and its "
        f"time: {said}. It was told {told}."
    )
    chat.moved(room, said["seq"])
    found = earlier(chat, room)[1]["data"][-1]
    assert found == said, (
        "The page of earlier messages should tell the same as the chat server, "
        f"{said}. It tells {found}."
    )


LIES = {
    "author": {"id": 1, "name": "Cy"},
    "name": "Cy",
    "user": "Cy",
}


@HOW
def test_what_a_client_says_about_itself_is_not_believed(chat, room, how):
    text = f"I am somebody else, by {how}"
    lies = {**LIES, "author": json.dumps(LIES["author"])} if how == "poll" else LIES
    told = say_by(chat, how, room, BOB, text, **lies)
    for message in (told, history(chat, room)[-1]):
        assert author_in(message) == {"id": chat.users[BOB], "name": BOB}, (
            f"Bob's client says, beside the text, that he is Cy: {lies}. Only the "
            f"token tells who speaks: the author is Bob. It was {author_in(message)}."
        )


@HOW
def test_a_message_says_when_it_was_said(chat, room, how):
    before = datetime.now(UTC) - timedelta(seconds=1)
    message = say_by(chat, how, room, ANN, f"what is the time, by {how}?")
    after = datetime.now(UTC) + timedelta(seconds=1)
    said_at = message.get("said_at")
    try:
        when = datetime.fromisoformat(said_at)
        good = when.tzinfo is not None and before <= when <= after
    except (TypeError, ValueError):
        good = False
    assert good, (
        "Each message should say when it was said, with the zone, so that every reader "
        f'can be shown it in his own: "said_at": "2026-11-28T19:00:00.123Z". It was '
        f"said just now, and says {said_at!r}."
    )


def test_a_new_name_is_for_what_is_said_from_then_on(chat, own_room):
    chat.make_users("Miss Smith")
    was = say_by(chat, "poll", own_room, "Miss Smith", "before the wedding")
    with Client(chat, "she", own_room, user="Miss Smith") as she:
        chat.change_user("Miss Smith", username="Mrs Jones")
        she.send(json.dumps({"token": token_of(chat, own_room, "Miss Smith")}))
        she.say("after the wedding")
        [now] = she.batch(she.receive())["data"]
    names = [author_in(message)["name"] for message in (was, now)]
    assert names == ["Miss Smith", "Mrs Jones"], (
        "She said something, was given a new name, and her page said the next token on "
        "the same socket. From then on, the new name is hers, and what she said "
        f"before keeps the old one. The names were {names}."
    )
    chat.crash()
    chat.come_back()
    told = [author_in(message)["name"] for message in history(chat, own_room)]
    assert told == names, f"They should be stored as well, but later they were {told}."


@HOW
def test_a_deleted_user_stays_as_deleted_user(chat, own_room, how):
    name = f"Gone {how}"
    chat.make_users(name)
    with (
        Client(chat, "gone", own_room, user=name) as gone,
        Client(chat, ANN, own_room) as ann,
    ):
        gone.say("while there is a user")
        ann.hears("while there is a user", because="somebody else said it")
        chat.delete_user(name)
        # The token has not ended, so this may be stored, or may not.
        if how == "socket":
            gone.say("and after")
        else:
            post(chat, "and after", token=chat.token(own_room, name))
        for number in range(3):
            ann.say(f"hello {number}")
        heard = [ann.next()]
        while heard[-1] != "hello 2":
            heard.append(ann.next())
    assert [text for text in heard if text.startswith("hello")] == [
        f"hello {number}" for number in range(3)
    ], f"Somebody is deleted while connected, and Ann should be heard. It was {heard}."
    chat.crash()
    chat.come_back()
    told = history(chat, own_room)
    chat.moved(own_room, told[-1]["seq"])
    mine = [message for message in told if not message["text"].startswith("hello")]
    assert mine and mine[0]["text"] == "while there is a user", (
        "What a user said stays when the user is deleted, or nobody understands the "
        f"answers. What was left was {told}."
    )
    for message in mine + earlier(chat, own_room)[1]["data"][:1]:
        assert author_in(message) == {"id": None, "name": "deleted user"}, (
            "The user was deleted. What was said is told as from "
            f'{{"id": null, "name": "deleted user"}}, but it was {author_in(message)}.'
        )


NAMES = {
    "markup": "<b>Eve</b>",
    "a quote": 'Eve" or 1',
    "another script": "Ивá 愛",
    "as long as they get": "e" * 150,
    "two forms of one letter": "E\N{COMBINING ACUTE ACCENT}ve",
    "a ligature": "\N{LATIN SMALL LIGATURE FFI}ce",
    "grows when normalised": "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 150,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_a_strange_name_is_told_as_it_is_and_hurts_nobody(kept, kind):
    room, name, plain = kept.rooms()[2], NAMES[kind], f"of {kind}"[:150]
    kept.make_users(plain)
    assert kept.cookies(plain), f"{plain!r} has an account, and can log in."
    # No form has looked at it: a name may come from an import.
    kept.change_user(plain, username=name)
    message = say_by(kept, "poll", room, plain, f"a name with {kind}")
    told, want = author_in(message)["name"], unicodedata.normalize("NFKC", name)
    assert told == want or (len(want) > 150 and want.startswith(told) and told), (
        f"A user has a name: {kind}, {short(name)}. It is no markup for a server, only "
        "text, in its normal form (NFKC), and at most 150 characters long: "
        f"{short(want)}. It was told as {short(told)}."
    )
    found = history(kept, room)[-1]
    assert author_in(found)["name"] == told, f"It is stored as {author_in(found)}."


# --- Renewal, and the end ------------------------------------------------------------


def test_a_socket_that_says_the_next_token_stays(chat, room, later):
    short_token = chat.token_under(room, {"CHAT_TOKEN_SECONDS": "60"})
    with (
        Client(chat, ANN, room, token=short_token) as ann,
        Client(chat, "Ann's second window", room, token=short_token) as renewed,
    ):
        renewed.send(json.dumps({"token": chat.token(room)}))
        ann.say("before")
        for client in (ann, renewed):
            client.hears("before", because="both tokens are good still")
        later(61)
        ann.is_closed_with(4403, because="her token has ended, and she said no other")
        renewed.say("after")
        renewed.hears(
            "after",
            because="it said the next token on the same socket before the first ended, "
            "and a renewal says nothing, moves no cursor and loses nothing",
        )


def test_who_is_renamed_said_it_under_the_name_of_then(chat, room):
    then, now = (f"{name}-{new_id()[:8]}" for name in ("Ann", "Anna"))
    chat.make_users(then)
    chat.token(room, then)
    chat.change_user(then, username=now)
    renewed = chat.token_under(room, {}, now)
    with Client(chat, then, room, user=then) as ann:
        with away(chat, None):
            ann.say("before")  # is stored while the next one waits
            settle(chat)
            ann.say("said as Ann")
            ann.send(json.dumps({"token": renewed}))
            settle(chat)
        said = []
        while "said as Ann" not in [message["text"] for message in said]:
            frame = ann.receive("be told what she said")
            if json.loads(frame).get("status") == 0:
                return  # It may be refused, and then it was never said.
            said += ann.batch(frame)["data"]
    message = said[-1]
    assert author_in(message)["name"] == then, (
        f"{then} says something while the database is slow, is called {now} meanwhile, "
        "and her page renews its token. The author is whom the token named when it was "
        f"said. It was told with {message['author']}."
    )


def test_a_renewal_is_answered_with_nothing_and_misses_nothing(chat, room):
    with Client(chat, ANN, room) as ann, Client(chat, BOB, room, user=BOB) as bob:
        for number in range(5):
            bob.say(f"news {number}")
            ann.send(json.dumps({"token": token_of(chat, room)}))
        batches = []
        # The end she says herself, behind her renewals: so it is heard after them.
        for last in ("news 4", "end"):
            if last == "end":
                ann.say(last)
            while last not in [m["text"] for batch in batches for m in batch["data"]]:
                batches.append(ann.batch(ann.receive("hear all that is said")))
    texts = [message["text"] for batch in batches for message in batch["data"]]
    assert texts == [*[f"news {number}" for number in range(5)], "end"], (
        "Ann's page said the next token five times while Bob spoke. A renewal is no "
        "message and no new beginning: she should hear each of his messages once. She "
        f"heard {texts}."
    )
    numbers = [message["seq"] for batch in batches for message in batch["data"]]
    assert numbers == [*range(numbers[0], numbers[0] + 6)], (
        f"The numbers should go on without a gap, but they were {numbers}."
    )


@pytest.mark.parametrize(
    "whose", ["another room's", "another user's", "forged", "cut", "empty", "ended"]
)
def test_a_renewal_with_a_wrong_token_closes_the_socket(chat, room, whose):
    other = chat.rooms()[0]
    good = token_of(chat, room)
    token, codes = {
        "another room's": (token_of(chat, other), (4401,)),
        "another user's": (token_of(chat, room, BOB), (4401,)),
        "forged": ("x" + good[1:] if good[0] != "x" else "y" + good[1:], (4401,)),
        "cut": (good[:-1], (4401,)),
        "empty": ("", (4400, 4401)),
        "ended": ("", (4401, 4403, 4410)),
    }[whose]
    if whose == "ended":
        token = chat.token_under(room, {"CHAT_TOKEN_SECONDS": "1"})
        moment = datetime.now(UTC) + timedelta(seconds=1)
        assert comes_true(lambda: datetime.now(UTC) > moment, SOON), "Time goes on."
    with (
        Client(chat, ANN, room) as ann,
        Client(chat, BOB, room, user=BOB) as bob,
        Client(chat, "who is elsewhere", other, user=BOB) as elsewhere,
    ):
        ann.send(json.dumps({"token": token}))
        ann.say("as somebody else?")
        because = f"she shows {whose} token on a socket that is hers, in her room"
        ann.is_closed_with(*codes, because=because)
        for client in (bob, elsewhere):
            client.say("hello")
            client.hears("hello", because=f"what follows {whose} token is not said")


def test_a_poll_whose_token_ends_is_told_so(chat, room, later):
    token = chat.token_under(room, {"CHAT_TOKEN_SECONDS": "20"})
    at = cursor_of(ask(chat, token=token).answer().reply)
    parked = poll(chat, room, ANN, at, token)
    settle(chat)
    later(21)
    assert comes_true(parked.is_answered, A_MOMENT), (
        "A poll whose token has ended while it waited should be answered now, and not "
        "when it would have ended anyhow, some seconds later."
    )
    says_why(parked.answer(), 401, "A poll whose token has ended while it waited")
    says_why(
        ask(chat, at, token=token).answer(), 401, "GET with a token that has ended"
    )
    answer = post(chat, "too late", token=token)
    says_why(answer, 401, "POST with a token that has ended")
    assert "too late" not in [message["text"] for message in history(chat, room)], (
        "A POST with a token that has ended was refused, and said all the same."
    )


def test_a_socket_with_a_token_that_has_ended_is_not_let_in(chat, room, later):
    token = chat.token_under(room, {"CHAT_TOKEN_SECONDS": "20"})
    later(21)
    with knocking(chat) as raw:
        raw.send_frames((Opcode.TEXT, chat.hello(token).encode()))
        raw.read_until(code(4410), "close with code 4410 when a token has ended")


@pytest.mark.slow
@HOW
@pytest.mark.parametrize("ahead", [APART - 5, 5 - APART])
def test_clocks_may_be_a_minute_apart(chat, room, how, ahead):
    token = chat.token_under(room, {"CHAT_TOKEN_SECONDS": ""})
    chat.come_back(CHAT_TOKEN_SECONDS="")
    now = datetime.now(UTC).timestamp()
    chat.clock.set(now + ahead)
    try:
        if how == "poll":
            answer = post(chat, "by another clock", token=token)
            assert answer.status == 200, (
                f"The chat server's clock is {ahead} s ahead of Django's, and a token "
                "that was just made should be good there. It was refused with "
                f"{answer.status} {answer.reply}."
            )
        else:
            with Client(chat, ANN, room, token=token) as ann:
                ann.say("by another clock")
                ann.hears("by another clock", because="clocks may be a minute apart")
    finally:
        chat.clock.release()
        chat.come_back()


# --- Who is here ----------------------------------------------------------------------


def names_in(here: list[dict] | None) -> list[str] | None:
    """The names in a list of who is here; None before there was any."""
    return None if here is None else [one.get("name") for one in here]


def sees(client: Client, *names: str, because: str) -> None:
    """Wait until a client is told that these are here."""
    __tracebackhide__ = True
    seen = []
    want = sorted(names)
    with ExitStack() as stack:
        stack.callback(client.chat.note, f"{client.name} was told of {seen}")
        while names_in(client.here) != want:
            try:
                frame = client.socket.recv(timeout=SOON)
            except Exception as error:
                raise AssertionError(
                    f"{client.name} should be told that {want} are here, because "
                    f"{because}, by a frame such as "
                    '{"status": 1, "here": [{"id": 1, "name": "Ann"}]}. '
                    f"Told was, one after the other, {seen}; then nothing in "
                    f"{SOON:g} s ({type(error).__name__})."
                ) from None
            if client.tells_who_is_here(frame):
                seen.append(names_in(client.here))


def test_who_is_here_is_told_once_each_by_name(chat, own_room):
    with Client(chat, ANN, own_room) as ann:
        sees(ann, ANN, because="she is the only one")
        with Client(chat, CY, own_room, user=CY) as cy:
            sees(cy, ANN, CY, because="who comes is told who is here")
            sees(ann, ANN, CY, because="Cy has come")
            with (
                Client(chat, BOB, own_room, user=BOB) as bob,
                Client(chat, "Bob's second window", own_room, user=BOB) as second,
            ):
                for client in (ann, bob, second, cy):
                    because = "Bob has two windows, and is one user"
                    sees(client, ANN, BOB, CY, because=because)
                ids = [one.get("id") for one in ann.here]
                assert ids == [chat.users[name] for name in (ANN, BOB, CY)], (
                    f"Each name should have its user's id. It was {ann.here}."
                )


def test_who_has_left_is_gone_but_not_at_once(chat, own_room, later):
    with Client(chat, ANN, own_room) as ann:
        first = Client(chat, BOB, own_room, user=BOB).__enter__()
        second = Client(chat, "Bob's second window", own_room, user=BOB).__enter__()
        sees(ann, ANN, BOB, because="Bob has come")
        first.__exit__(None, None, None)
        settle(chat)
        later(LINGERS + 1)
        with Client(chat, CY, own_room, user=CY) as cy:
            sees(ann, ANN, BOB, CY, because="Bob has closed one of two windows")
            second.__exit__(None, None, None)
            settle(chat)
            ann.send('{"here": true}')
            told = here_now(ann)
            assert BOB in told, (
                "Bob's last window was closed a moment ago, and may come back: for "
                f"{LINGERS} seconds he is still here. Ann was told {told}."
            )
            chat.clock.pass_by(LINGERS + 1)
            settle(chat)
            for client in (ann, cy):
                because = f"Bob's last window was closed more than {LINGERS} s ago"
                sees(client, ANN, CY, because=because)


def test_who_has_renewed_and_left_is_gone_as_well(chat, own_room, later):
    with Client(chat, ANN, own_room) as ann:
        with Client(chat, BOB, own_room, user=BOB) as bob:
            sees(ann, ANN, BOB, because="Bob has come")
            for seconds in (500, 400):
                env = {"CHAT_TOKEN_SECONDS": f"{seconds}"}
                renewed = chat.token_under(own_room, env, BOB)
                bob.send(json.dumps({"token": renewed}))
            bob.say("here I am")
            bob.hears("here I am", because="a renewal says nothing")
        settle(chat)
        later(LINGERS + 1)
        sees(ann, ANN, because="Bob renewed his token, and closed his only window")


def here_now(client: Client) -> list[str]:
    """Who is here, for a client that has just asked by {"here": true}."""
    __tracebackhide__ = True
    while True:
        should = 'be answered at once when it asks {"here": true}'
        try:
            frame = client.socket.recv(timeout=SOON)
        except Exception as error:
            raise AssertionError(f"{client.name} should {should}: {error!r}") from None
        if client.tells_who_is_here(frame):
            return names_in(client.here)


def test_who_asks_is_told_who_is_here_and_nothing_else_happens(chat, own_room):
    with Client(chat, ANN, own_room) as ann:
        sees(ann, ANN, because="she is the only one")
        for _ in range(3):
            ann.here = None
            ann.send('{"here": true}')
            told = here_now(ann)
            assert told == [ANN], f"She is alone, and was told {told}."
        ann.say("hello")
        batch = ann.batch(ann.receive())
        numbers = [message["seq"] for message in batch["data"]]
        assert numbers == [1] and batch["seq"] == 1, (
            "Who is here is no message and moves no cursor: the first message of the "
            f"room has the number 1. The batch was {batch}."
        )


@on_linux
def test_who_was_slow_for_a_moment_hears_who_has_come_meanwhile(chat, own_room):
    with (
        Client(chat, ANN, own_room) as ann,
        RawClient(chat, receive_buffer=4096, room=own_room, user=CY) as slow,
    ):
        fall_behind(ann, slow)
        with Client(chat, BOB, own_room, user=BOB):
            sees(ann, ANN, BOB, CY, because="Bob has come")
            what = (
                "tell a socket that read nothing for a moment, and reads again, that "
                "Bob has come meanwhile"
            )
            slow.read_until(BOB.encode(), what)


def test_a_reconnect_is_no_flicker(chat, own_room):
    with Client(chat, ANN, own_room) as ann:
        with Client(chat, BOB, own_room, user=BOB):
            sees(ann, ANN, BOB, because="Bob has come")
        told = []
        for _ in range(5):
            with Client(chat, BOB, own_room, user=BOB) as bob:
                bob.say("I am back")
                while "data" not in (said := json.loads(ann.socket.recv(SOON))):
                    told.append(names_in(said["here"]))
        with Client(chat, CY, own_room, user=CY):
            sees(ann, ANN, BOB, CY, because="Cy has come, and Bob was just here")
    assert all(BOB in names for names in told), (
        "Bob's page lost its line and came back at once, five times. For the others he "
        f"never was away, but Ann was told {told}."
    )


def test_a_connection_that_is_dead_is_noticed_within_a_minute(chat, own_room, later):
    # It answers no ping, and has not said that it goes: a phone that is out of reach.
    dead = RawClient(chat, room=own_room, user=BOB)
    with dead, Client(chat, ANN, own_room) as ann:
        sees(ann, ANN, BOB, because="Bob has come")
        for _ in range(A_MINUTE // 15):
            later(15)
            ann.send('{"here": true}')  # Hers is alive.
            here_now(ann)
        later(LINGERS + 1)
        ann.send('{"here": true}')
        told = here_now(ann)
        assert told == [ANN], (
            "A connection answers nothing any more, and nobody has closed it, as when "
            "a phone is out of reach. Within a minute the server should notice, by "
            f"pings. Some seconds later, Ann was told that {told} are here."
        )
        ann.say("hello")
        ann.hears("hello", because="her own connection answers pings")


def test_who_polls_is_here_too(chat, own_room, later):
    with Client(chat, ANN, own_room) as ann, waiting(chat, own_room, BOB) as parked:
        sees(ann, ANN, BOB, because="Bob's poll waits")
        parked.leave()
        settle(chat)
        later(LINGERS + 1)
        sees(ann, ANN, because="Bob's poll was given up, and he has not come back")


@contextmanager
def asking_all_the_time(chat, room: str, user: str) -> Iterator[None]:
    """Three windows of somebody poll meanwhile, each again when it has an answer."""
    token, over = chat.token(room, user), Event()
    at = cursor_of(ask(chat, token=token).answer().reply)

    def keep_asking():
        while not over.wait(0.02):
            poll(chat, room, user, at, token, wait=0).answer()

    windows = [Thread(target=keep_asking) for _ in range(3)]
    for window in windows:
        window.start()
    try:
        yield
    finally:
        over.set()
        for window in windows:
            window.join()


def test_a_lively_room_is_told_who_comes(chat, own_room):
    with Client(chat, ANN, own_room) as ann, asking_all_the_time(chat, own_room, BOB):
        sees(ann, ANN, BOB, because="Bob asks all the time")
        with Client(chat, CY, own_room, user=CY):
            because = "Cy has come, while Bob asks again and again"
            sees(ann, ANN, BOB, CY, because=because)


def test_every_answer_to_a_poll_says_who_is_here(chat, own_room):
    with Client(chat, BOB, own_room, user=BOB) as bob:
        sees(bob, BOB, because="he is the only one")
        reply = ask(chat, token=chat.token(own_room, BOB)).answer().reply
        assert names_in(reply["here"]) == [BOB] and reply["here_version"] != "", (
            'Every answer should have "here", as in the frames of sockets, and in '
            f'"here_version" which list that is. It was {reply}.'
        )
        at, version = numbered(reply), reply["here_version"]
        with waiting(chat, own_room, BOB, at, here=version) as parked:
            assert not parked.is_answered(), (
                "A poll that knows who is here, and all that was said, should wait. It "
                f"said here={version}, and was answered {parked.answer().reply}."
            )
            with Client(chat, ANN, own_room):
                reply = parked.answer().reply
        assert names_in(reply["here"]) == [ANN, BOB], (
            "Ann came while Bob's poll waited, which had told which list it knew. It "
            f"should be answered with the new one. It was {reply}."
        )
        assert reply["data"] == [] and numbered(reply) == at, (
            f"Nothing was said meanwhile, and no cursor moves. The answer was {reply}."
        )
        with waiting(chat, own_room, BOB, at, here=version) as stale:
            reply = stale.answer().reply
        assert names_in(reply["here"]) == [ANN, BOB], (
            f"A poll said that it knows the list {version!r}, which is not the newest. "
            f"It should be answered at once. It was {reply}."
        )


def test_a_poll_that_does_not_ask_is_not_woken_by_who_comes(chat, own_room):
    with waiting(chat, own_room, BOB) as parked, Client(chat, ANN, own_room) as ann:
        sees(ann, ANN, BOB, because="Bob's poll waits")
        settle(chat)
        assert not parked.is_answered(), (
            "A poll that does not say which list of names it knows wants messages "
            "only, and should wait when Ann comes. It was answered "
            f"{parked.answer().reply}."
        )
        ann.say("hello")
        reply = parked.answer().reply
        assert [message["text"] for message in reply["data"]] == ["hello"], (
            f"It should be woken by what she says. It was answered {reply}."
        )


def test_who_is_here_is_told_in_no_other_room(chat, own_room):
    [other] = chat.make_rooms("Next door")
    with Client(chat, ANN, own_room) as ann, Client(chat, BOB, other, user=BOB) as bob:
        sees(bob, BOB, because="he is alone in his room")
        ann.send('{"here": true}')
        assert here_now(ann) == [ANN], f"Ann is alone, and was told {ann.here}."


def test_a_cookie_is_nothing_to_the_chat_server_and_in_no_log(chat, room):
    cookies = chat.log_in(BOB)
    with Client(chat, ANN, room, user=ANN, cookies=cookies) as ann:
        ann.say("hello")
        [message] = ann.batch(ann.receive())["data"]
    assert author_in(message)["name"] == ANN, (
        "A browser sends Django's cookies to the chat server, too, because a cookie "
        "knows no port. Ann's token came with Bob's cookies, and the author should be "
        f"hers, not {author_in(message)}."
    )
    headers = {"Origin": chat.origin, **cookie_header(cookies)}
    answer = Request(chat, "GET", "/", None, headers, token="").answer()
    says_why(answer, 401, "GET with Bob's cookies and no token")
    for name, secret in cookies.items():
        assert secret not in chat.twisted.output(), (
            f"Bob's browser has sent the cookie {name} to the chat server, which needs "
            "none. Whoever has it is Bob, so it should not stand in the log."
        )
