"""From exercise 1 on: whatever happens in whatever order, the ledger is clean."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.support.ledger import Ledger
from tests.support.polling import cursor_of, texts
from tests.support.reactor import log_events
from tests.support.requests import FakeRequest, get, post, token
from tests.support.transport import connect, join, say, sent, show

SINCE_STAGE = 6
ROOMS = st.sampled_from([1, 2, 3])


@dataclass(eq=False)
class Poller:
    """A client that asks again and again, with its cursor."""

    name: str
    room: int
    lastupdate: float | tuple = 0.0
    parked: FakeRequest | None = None

    def ask(self, http_chat) -> list[str]:
        """Take the answer, if there is one by now; else ask, or go on waiting."""
        if self.parked is None:
            self.parked = get(http_chat, self.lastupdate, self.room)
        if (reply := self.parked.reply) is None:
            return []
        self.parked, self.lastupdate = None, cursor_of(reply)
        return texts(reply)

    def lose_the_answer(self) -> None:
        """The connection breaks; what was on the way is gone, the cursor stays."""
        if self.parked is not None and self.parked.reply is None:
            self.parked.leave()
        self.parked = None


def chat_machine(classes):
    """A machine that does anything that can happen to the rooms, in any order."""

    class ChatMachine(RuleBasedStateMachine):
        pollers, sockets = Bundle("pollers"), Bundle("sockets")

        def __init__(self):
            super().__init__()
            self.chat = classes.build([b"http://127.0.0.1:8000"])
            if self.chat.reactor:
                self.chat.reactor.next_turn = {"tell"}
            self.ledger = Ledger()
            self.everybody: list[Poller] = []
            self.listening: dict[str, object] = {}
            self.opened: set[int] = set()
            self.names = 0

        def a_name(self, kind: str) -> str:
            self.names += 1
            return f"{kind} {self.names}"

        def said(self, sender: str, room: int) -> str:
            """A new text of `sender`, written into the ledger."""
            text = f"message {len(self.ledger.said)}"
            self.ledger.says(sender, text, f"{room}")
            return text

        @rule(room=ROOMS)
        def somebody_posts(self, room):
            self.opened.add(room)
            text = self.said(self.a_name("poster"), room)
            reply = post(self.chat.http_chat, text, room).reply
            assert texts(reply)[-1] == text
            self.ledger.acknowledged(text)

        @rule(target=sockets, room=ROOMS)
        def socket_joins(self, room):
            self.opened.add(room)
            socket = join(self.chat.factory, room)
            name = self.a_name("socket")
            self.ledger.joins(name, f"{room}")
            self.listening[name] = socket
            return name, room

        @rule(socket=sockets)
        def socket_says(self, socket):
            name, room = socket
            text = self.said(name, room)
            say(self.listening[name], text)
            if not self.listening[name].transport.closing:
                self.ledger.acknowledged(text)

        @rule(socket=sockets)
        def socket_begins_to_close(self, socket):
            name, _ = socket
            self.listening[name].transport.begin_to_close()
            self.ledger.leaves(name)

        @rule(socket=consumes(sockets))
        def socket_leaves(self, socket):
            name, _ = socket
            self.ledger.leaves(name)
            # What comes after this is in no transport. Others test that nothing does.
            self.ledger.hears(name, *sent(self.listening[name]))
            self.listening.pop(name).connectionLost(None)

        @rule(room=ROOMS, end=st.sampled_from(["", "x", ":", ":x:y"]))
        def a_bad_token_comes(self, room, end):
            client = connect(self.chat.factory)
            show(client, f"{room}{end}")
            assert client.transport.closed == 4401
            show(client, token(room))
            client.connectionLost(None)
            request = FakeRequest("GET", room)
            request.requestHeaders.setRawHeaders(b"authorization", [end.encode()])
            assert request.render(self.chat.http_chat).responseCode == 401

        @rule(target=pollers, room=ROOMS)
        def poller_comes(self, room):
            poller = Poller(self.a_name("poller"), room)
            self.opened.add(room)
            text = self.said(poller.name, room)
            poller.lastupdate = cursor_of(post(self.chat.http_chat, text, room).reply)
            self.ledger.joins(poller.name, f"{room}")
            self.everybody.append(poller)
            return poller

        @rule(poller=pollers)
        def poller_asks(self, poller):
            heard = poller.ask(self.chat.http_chat)
            self.ledger.hears(poller.name, *heard)

        @rule(poller=pollers)
        def poller_loses_its_answer_and_will_come_back(self, poller):
            poller.lose_the_answer()

        @rule(poller=consumes(pollers))
        def poller_goes_for_good(self, poller):
            poller.lose_the_answer()
            self.ledger.leaves(poller.name)
            self.everybody.remove(poller)

        @rule()
        def turn(self):
            self.chat.sweep()
            if self.chat.reactor:
                self.chat.reactor.turn()

        @rule()
        def half_a_minute_passes(self):
            if self.chat.reactor:
                self.chat.reactor.advance(30)

        @rule()
        def a_minute_passes(self):
            if hasattr(self.chat.factory, "forget_empty_rooms"):
                self.chat.factory.forget_empty_rooms()

        @invariant()
        def only_good_tokens_open_rooms(self):
            assert set(self.chat.factory.rooms) <= self.opened

        def teardown(self):
            for poller in self.everybody:
                while True:
                    self.turn()
                    if not (heard := poller.ask(self.chat.http_chat)):
                        break
                    self.ledger.hears(poller.name, *heard)
            self.turn()
            for name, socket in self.listening.items():
                self.ledger.hears(name, *sent(socket))
            self.ledger.check()
            for poller in self.everybody:
                poller.lose_the_answer()
            for socket in self.listening.values():
                if socket in socket.room.clients:
                    socket.connectionLost(None)
            if self.chat.reactor:
                self.chat.reactor.advance(5)  # until who has left is gone for good
            if hasattr(self.chat.factory, "forget_empty_rooms"):
                self.chat.factory.forget_empty_rooms()
                assert self.chat.factory.rooms == {}, "empty rooms should be forgotten"

    return ChatMachine


def test_the_ledger_is_clean_whatever_happens(classes):
    with log_events():
        run_state_machine_as_test(
            lambda: chat_machine(classes)(),
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                database=None,
                derandomize=True,
            ),
        )
