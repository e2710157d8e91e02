"""People who talk in a room of a server, half by sockets and half by polls, and a book.

They come by way of nginx, and say again what was not taken, as a page does.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from http.client import HTTPException

from websockets.exceptions import WebSocketException

from tests.support.deployed import Deployed
from tests.support.ledger import Ledger
from tests.support.servers import new_id, wait_until

AGAIN = 0.2  # seconds until something is tried again
LOOK = 0.1  # seconds for which a socket is read until its owner may speak
EVERY = 2.0  # seconds between two messages of one person
CATCH_UP = 40.0  # seconds until all have heard all, when nobody speaks any more
BROKEN = (OSError, HTTPException, WebSocketException)


class Crowd:
    """So `many` people in a room. They talk within a `with` block.

    At its end, raises AssertionError if something that was acknowledged was not heard
    by all, once and in one order. `longest` is how many seconds somebody has waited for
    an acknowledgement, or until a message was heard.
    """

    def __init__(self, server: Deployed, room: str, many: int):
        self.server, self.room = server, room
        self.ledger, self.lock = Ledger(), threading.Lock()
        self.said_at: dict[str, float] = {}
        self.problems: list[str] = []
        self.longest, self.last = 0.0, 0
        self.speaks, self.is_over = threading.Event(), threading.Event()
        self.names = [f"p{new_id()[:6]}" for _ in range(many)]
        self.people: list[Person] = []

    def __enter__(self) -> Crowd:
        self.server.let_in(self.names, [self.room])
        kinds = (BySocket, ByPolls)
        self.people = [kinds[n % 2](self, name) for n, name in enumerate(self.names)]
        for person in self.people:
            person.begin()
        try:
            self.wait(lambda: all(one.cursor for one in self.people), "all are in")
        except BaseException:
            self.end()
            raise
        self.speaks.set()
        return self

    def __exit__(self, kind, *exc) -> None:
        try:
            if kind is None:
                self.settle()
        finally:
            self.end()
        assert not self.problems, self.problems[:5]
        self.ledger.check()

    def settle(self) -> None:
        """Wait until nothing is under way any more."""
        self.speaks.clear()
        people = self.people
        self.wait(lambda: not any(one.own for one in people), "all was taken")
        heard = lambda: min(one.cursor[1] for one in people) >= self.last  # noqa: E731
        self.wait(heard, f"all have heard number {self.last}")

    def end(self) -> None:
        """Send all home."""
        self.is_over.set()
        with suppress(*BROKEN):  # It wakes those whose polls wait.
            self.server.post("That is all.", self.people[0].token)
        for person in self.people:
            person.join()

    def wait(self, fact, what: str, seconds: float = CATCH_UP) -> None:
        """Wait until something is so; raises AssertionError."""
        wait_until(lambda: self.problems or fact(), lambda: what, seconds)

    def talks(self, messages: int = 40) -> None:
        """Wait until so many more messages were acknowledged."""
        goal = self.taken + messages
        self.wait(lambda: self.taken >= goal, f"{messages} more messages are taken")

    @property
    def taken(self) -> int:
        """How many messages were acknowledged."""
        with self.lock:
            return sum(said.acknowledged for said in self.ledger.said.values())

    @property
    def order(self) -> list[str]:
        """All that was said, in its order."""
        return self.ledger.listeners[self.names[0]].heard


class Person:
    """One of them."""

    takes_what_it_hears = False  # Is it acknowledged to this one by being heard?

    def __init__(self, crowd: Crowd, name: str):
        self.crowd, self.server, self.name = crowd, crowd.server, name
        self.token = self.server.token(crowd.room, name)
        self.cursor: tuple[str, int] | None = None
        self.own: tuple[str, str] | None = None  # the id and the text that is said
        self.count = 0
        self.due = time.monotonic() + EVERY * crowd.names.index(name) / len(crowd.names)
        self.threads = [
            threading.Thread(target=self.guarded, args=(part,), daemon=True)
            for part in self.parts()
        ]

    def begin(self) -> None:
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(30)

    def guarded(self, part) -> None:
        """Do a part again and again. What is not meant to happen is a problem."""
        while not self.crowd.is_over.is_set():
            try:
                part()
            except BROKEN:
                time.sleep(AGAIN)  # as a page does
            except Exception as error:
                self.crowd.problems.append(f"{self.name}: {error!r}")
                return

    def to_say(self) -> tuple[str, str] | None:
        """What this one says now, if anything."""
        crowd = self.crowd
        is_due = time.monotonic() > self.due and crowd.speaks.is_set()
        if self.own is None and self.cursor and is_due:
            self.count += 1
            text = f"{self.name}-{self.count:03}"
            with crowd.lock:
                crowd.ledger.says(self.name, text)
                crowd.said_at[text] = time.monotonic()
            self.due = time.monotonic() + EVERY
            self.own = new_id(), text
        return self.own

    def is_taken(self, text: str, seq: int) -> None:
        crowd = self.crowd
        with crowd.lock:
            crowd.ledger.acknowledged(text)
            crowd.last = max(crowd.last, seq)
            self.waited(text)
        self.own = None

    def waited(self, text: str) -> None:
        crowd = self.crowd
        waited = time.monotonic() - crowd.said_at[text]
        crowd.longest = max(crowd.longest, waited)

    def hear(self, batch: dict) -> None:
        crowd, cursor = self.crowd, self.cursor
        if cursor is None:
            with crowd.lock:
                crowd.ledger.joins(self.name)
            self.cursor = batch["epoch"], batch["seq"]
            return
        if batch["reset"]:
            raise AssertionError(f"{self.name} stood at {cursor}, and is told reset")
        for message in batch["data"]:
            if message["seq"] <= self.cursor[1]:
                continue
            if message["seq"] != self.cursor[1] + 1:
                raise AssertionError(f"{self.name} hears {message} after {cursor}")
            self.cursor = batch["epoch"], message["seq"]
            if message["text"] in crowd.said_at:
                with crowd.lock:
                    crowd.ledger.hears(self.name, message["text"])
                    self.waited(message["text"])
            if self.takes_what_it_hears and self.own and message["id"] == self.own[0]:
                self.is_taken(message["text"], message["seq"])
        self.cursor = batch["epoch"], max(batch["seq"], self.cursor[1])


class BySocket(Person):
    """Who has a socket, speaks there, and hears that it was taken."""

    takes_what_it_hears = True

    def parts(self):
        return [self.talk]

    def talk(self) -> None:
        with self.server.open_socket() as socket:
            socket.send(self.server.hello(self.token, self.cursor))
            saying, is_in = None, False
            while not self.crowd.is_over.is_set():
                if is_in and (own := self.to_say()) and own is not saying:
                    id, text = saying = own
                    socket.send(json.dumps({"id": id, "text": text}))
                try:
                    said = json.loads(socket.recv(timeout=LOOK))
                except TimeoutError:
                    continue
                if said["status"] == 0:
                    saying = None
                    time.sleep(AGAIN)  # as a page does
                elif "data" in said:
                    self.hear(said)
                    is_in = True


class ByPolls(Person):
    """Who asks for what is new, and speaks by POST."""

    def parts(self):
        return [self.poll, self.post]

    def poll(self) -> None:
        path = f"/poll{self.server.query(self.cursor)}"
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self.server.ask("GET", path, headers=headers)
        if answer.status == 200:
            self.hear(json.loads(answer.text))
        else:
            time.sleep(AGAIN)  # as a page does

    def post(self) -> None:
        if not (own := self.to_say()):
            time.sleep(LOOK)  # Nobody types all the time: this is the load.
            return
        id, text = own
        answer = self.server.post(text, self.token, id)
        if answer.status == 200:
            self.is_taken(text, json.loads(answer.text)["seq"])
        else:
            time.sleep(AGAIN)  # as a page does
