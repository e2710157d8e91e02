"""Long-poll clients for black-box tests, and what happens to them under a clock."""

from __future__ import annotations

import http.client
import json
import select
from dataclasses import dataclass

from tests.support import clients
from tests.support.clients import short
from tests.support.html import parse

SECONDS = clients.SECONDS + 1  # a server may look only once a second
MOST = 200  # answers that a poller takes until it gives up
MOST_BYTES = 10_000_000  # of an answer; the longest messages are half of it


class Reply(dict):
    """The JSON of an answer, which says in a sentence what it lacks."""

    def __missing__(self, key: str):
        __tracebackhide__ = True
        raise AssertionError(f"The answer should have {key!r}, but it is {self}.")


@dataclass(frozen=True)
class Answer:
    """What the server answered: the HTTP status, the headers, the JSON body."""

    status: int
    headers: http.client.HTTPMessage
    reply: Reply


class Request:
    """One request to the chat server, that may have to wait for its answer.

    Where there are rooms, it shows `token`, or else that of `room`, a path, or of the
    first room. With an empty `token` it shows none. It may go by a `connection` that
    is there already.
    """

    def __init__(
        self,
        chat,
        method: str,
        path: str,
        body=None,
        headers=None,
        token=None,
        room=None,
        seconds=SECONDS,
        connection=None,
    ):
        self.chat, self.what, self.seconds = chat, f"{method} {short(path)}", seconds
        chat.note(f"{self.what} {short(body)}" if body else self.what)
        self.connection = connection or http.client.HTTPConnection(
            "127.0.0.1", chat.chat_port, timeout=seconds
        )
        headers = {"Origin": chat.origin} if headers is None else headers
        if token := chat.token(room) if token is None else token:
            headers = {"Authorization": f"Bearer {token}", **headers}
        self.connection.request(method, path, body, headers)

    def is_answered(self) -> bool:
        """Has the server begun to answer?"""
        return bool(select.select([self.connection.sock], [], [], 0)[0])

    def answer(self) -> Answer:
        """Wait for the answer.

        Raises AssertionError with a sentence if none comes in SECONDS, or no JSON.
        """
        __tracebackhide__ = True
        try:
            response = self.connection.getresponse()
            text = response.read(MOST_BYTES).decode("utf-8", "replace")
        except TimeoutError:
            raise AssertionError(
                f"{self.what} should be answered, but was not in {self.seconds:g} s."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(
                f"{self.what} should be answered, but the server hung up ({error!r})."
            ) from None
        finally:
            self.connection.close()
        self.chat.note(f"{self.what} is answered {response.status} {_shown(text, 150)}")
        self.chat.note_status(self.chat.chat_port, self.what, response.status)
        try:
            reply = json.loads(text, object_hook=Reply) if text else Reply()
            assert isinstance(reply, Reply)
        except (ValueError, AssertionError):
            if self.what.startswith("OPTIONS"):  # A browser reads the headers alone.
                return Answer(response.status, response.headers, Reply())
            raise AssertionError(
                f"{self.what} should be answered with JSON, not with "
                f"{response.status} {_shown(text)}."
            ) from None
        # To whoever reads the JSON, `true` is no 1.
        well = "data" not in reply or json.dumps(reply.get("status")) == "1"
        assert well, f'{self.what} should be answered with "status": 1, not {reply}.'
        return Answer(response.status, response.headers, reply)

    def leave(self) -> None:
        """Hang up without waiting for the answer."""
        self.chat.note(f"{self.what}: the client hangs up")
        self.connection.close()


def _shown(text: str, most: int = 60) -> str:
    """`text` as it fits into a sentence; of a page, what a browser shows."""
    if "<html" not in text.lower():
        return short(text, most)
    return short(parse(text).get_text(" ", strip=True), 300)


def ask(chat, cursor=None, wait: int | None = None, **options) -> Request:
    """Ask for the next message after `cursor`; without one, from the beginning.

    From `3_history` on who does not want to `wait` says 0.
    """
    query = chat.query(cursor)
    if wait is not None:
        query += f"{'&' if query else '?'}wait={wait}"
    return Request(chat, "GET", f"/{query}", **options)


def post(chat, text: str | bytes, id: str | None = None, **options) -> Answer:
    """Say `text` by POST."""
    return posting(chat, text, id, **options).answer()


def posting(chat, text: str | bytes, id: str | None = None, **options) -> Request:
    """Say `text` by POST, and do not wait for the answer."""
    options.setdefault("headers", {"Origin": chat.origin})
    options["headers"]["Content-Type"] = "application/x-www-form-urlencoded"
    return Request(chat, "POST", "/", chat.form(text, id), **options)


def cursor_of(reply: dict) -> float | tuple[str, int]:
    """Where an answer leaves its client: a timestamp, or an epoch and a number."""
    return (reply["epoch"], reply["seq"]) if "epoch" in reply else reply["timestamp"]


def data_of(reply: dict) -> str | list[str]:
    """The "data" of an answer; from `3_history` on the texts of the messages in it."""
    data = reply.get("data")
    if isinstance(data, list):
        return [item["text"] if isinstance(item, dict) else item for item in data]
    return data


def texts(reply: dict) -> list[str]:
    """What an answer brings: one text, or from `2_no_delays` on a batch of them."""
    reply["data"]  # says what is wrong if there is none
    data = data_of(reply)
    return data if isinstance(data, list) else [data]


def news_in(reply: dict) -> dict:
    """An answer without who is here, which from `6_names` on is told along with it."""
    beside = {"here", "here_version"}
    return {field: told for field, told in reply.items() if field not in beside}


def settle(chat) -> None:
    """Return when the server has seen all that was sent before.

    Every request that was sent is readable for the server no later than this one,
    which it answers at once.
    """
    for _ in range(2):
        if chat.has_history:  # which would be the answer to a greeting
            Request(chat, "OPTIONS", "/").answer()
        else:
            ask(chat, -1).answer()


class Poller:
    """A long-poll client: asks, moves its cursor, asks again."""

    def __init__(self, chat, name: str, lastupdate: float = 0.0, room=None):
        self.chat, self.name, self.lastupdate = chat, name, lastupdate
        self.room, self.batch = room, []

    def next(self) -> str:
        """Return the next text, and ask for it if it did not come with one before."""
        __tracebackhide__ = True
        while not self.batch:
            answer = ask(self.chat, self.lastupdate, room=self.room).answer()
            assert answer.status == 200, f"{self.name} asked and got {answer}."
            self.take(answer.reply)
        return self.batch.pop(0)

    def take(self, reply: dict) -> None:
        """Stand where an answer says, with the texts that came with it still unread."""
        self.lastupdate, self.batch = cursor_of(reply), texts(reply)

    def hears(self, *expected: str, because: str) -> None:
        """Ask as often as there is text in `expected`, and compare.

        Raises AssertionError with a sentence.
        """
        __tracebackhide__ = True
        for text in expected:
            try:
                came = self.next()
                instead = short(came)
            except AssertionError as error:
                came, instead = None, str(error)
            assert came == text, (
                f"{self.name} should hear {short(text)}, because {because}. "
                f"Instead: {instead}"
            )

    def _next_before(self, last: str, because: str) -> str:
        __tracebackhide__ = True
        try:
            return self.next()
        except AssertionError as error:
            raise AssertionError(
                f"{self.name} should hear {short(last)} in the end, because {because}. "
                f"{error}"
            ) from None

    def until(self, last: str, because: str = "it was said") -> list[str]:
        """Ask until `last` comes; returns the texts before it.

        Raises AssertionError with a sentence.
        """
        __tracebackhide__ = True
        texts = []
        while (text := self._next_before(last, because)) != last:
            texts.append(text)
            assert len(texts) < MOST, (
                f"{self.name} asked {MOST} times, each time with the timestamp of the "
                f"answer before, and {short(last)} never came. The last: {texts[-3:]}."
            )
        return texts


def newcomer(chat, name: str, room: str | None = None) -> Poller:
    """A poller whose cursor stands behind all that was said so far.

    Raises AssertionError if a POST is not answered with its message's timestamp.
    """
    __tracebackhide__ = True
    reply = post(chat, f"{name} is new here", room=room).reply
    if chat.has_history:
        return Poller(chat, name, numbered(reply), room)
    timestamp = reply.get("timestamp")
    assert isinstance(timestamp, int | float) and not isinstance(timestamp, bool), (
        "A POST should be answered with the timestamp of its message, a number. The "
        f"answer was {reply}."
    )
    return Poller(chat, name, reply["timestamp"], room)


def numbered(reply: dict) -> tuple[str, int]:
    """The cursor of an answer. Raises AssertionError if it has none."""
    __tracebackhide__ = True
    epoch, seq = reply.get("epoch"), reply.get("seq")
    assert isinstance(epoch, str) and isinstance(seq, int), (
        "From exercise 3 on, an answer should say which log it is from and the number "
        f'of its last message, as in {{"epoch": "c0ffee", "seq": 17}}. It was {reply}.'
    )
    return epoch, seq


LAST = "the last message"


def heard_under_clock(chat, *posts: tuple[float, str], ask_first: bool) -> list[str]:
    """What one poller hears when messages are posted at the given clock readings.

    `posts` are (seconds since the epoch, text). With `ask_first` the poller asks
    after the first post already, else only after all of them. The server starts
    empty, and a last message, an hour after all others, ends the polling.
    """
    chat.restart()
    poller, texts = Poller(chat, "Paula"), []
    chat.token()  # It is as old as the clock says.
    try:
        for reading, text in posts:
            chat.clock.set(reading)
            post(chat, text)
            if ask_first and not texts:
                texts.append(poller.next())
        chat.clock.set(max(reading for reading, _ in posts) + 3600)
        post(chat, LAST)
        return texts + poller.until(LAST)
    finally:
        chat.clock.release()
