"""From stage 4 on: whatever happens in whatever order, nobody who keeps asking misses
a message, and all agree on the order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    rule,
    run_state_machine_as_test,
)

from tests.support.polling import cursor_of, texts
from tests.support.reactor import log_events
from tests.support.requests import FakeRequest, get, post
from tests.support.transport import join, say, sent

SINCE_STAGE = 4


@dataclass(eq=False)
class Poller:
    """A client that asks again and again, and loses nothing on the way."""

    lastupdate: float = 0.0
    heard: list[str] = field(default_factory=list)
    parked: FakeRequest | None = None

    def ask(self, http_chat) -> None:
        """Take the answer, if there is one by now; else ask, or go on waiting."""
        if self.parked is None:
            self.parked = get(http_chat, self.lastupdate)
        if (reply := self.parked.reply) is not None:
            self.parked = None
            self.lastupdate = cursor_of(reply)
            self.heard += texts(reply)


def chat_machine(classes):
    """A machine that does anything that can happen to a chat, in any order."""

    class ChatMachine(RuleBasedStateMachine):
        pollers, sockets = Bundle("pollers"), Bundle("sockets")

        def __init__(self):
            super().__init__()
            self.reading = 1000.0
            classes.set_clock(lambda: self.reading)
            classes.ChatFactory.clients = []  # stage 4 keeps these with the class
            classes.ChatFactory.messages = {}
            self.chat = classes.build([b"http://127.0.0.1:8000"])
            self.said: list[str] = []
            self.everybody: list[Poller] = []
            self.joined_at: dict = {}

        @rule(seconds=st.sampled_from([-30.0, 0.0, 1e-7, 1.0]))
        def clock_moves(self, seconds):
            self.reading += seconds

        @rule()
        def somebody_posts(self):
            self.said.append(f"message {len(self.said)}")
            post(self.chat.http_chat, self.said[-1])

        @rule(target=sockets)
        def socket_joins(self):
            socket = join(self.chat.factory)
            self.joined_at[socket] = len(self.said)
            return socket

        @rule(socket=sockets)
        def socket_says(self, socket):
            self.said.append(f"message {len(self.said)}")
            say(socket, self.said[-1])

        @rule(socket=sockets)
        def socket_begins_to_close(self, socket):
            socket.transport.begin_to_close()

        @rule(socket=consumes(sockets))
        def socket_leaves(self, socket):
            del self.joined_at[socket]
            socket.connectionLost(None)

        @rule(target=pollers)
        def poller_comes(self):
            self.everybody.append(Poller())
            return self.everybody[-1]

        @rule(poller=pollers)
        def poller_asks(self, poller):
            poller.ask(self.chat.http_chat)

        @rule(poller=pollers)
        def poller_hangs_up_and_will_come_back(self, poller):
            if poller.parked is not None and poller.parked.reply is None:
                poller.parked.leave()
                poller.parked = None

        @rule(poller=consumes(pollers))
        def poller_goes_for_good(self, poller):
            self.poller_hangs_up_and_will_come_back(poller)
            self.everybody.remove(poller)

        @rule()
        def sweep(self):
            self.chat.sweep()

        def teardown(self):
            for poller in self.everybody:
                # One question takes the answer that may be waiting, each other a
                # message, and the last is parked.
                for _ in range(len(self.said) + 2):
                    self.sweep()
                    poller.ask(self.chat.http_chat)
                assert poller.heard == self.said
            for socket, since in self.joined_at.items():
                heard = sent(socket)
                if socket.transport.closing:
                    assert heard == self.said[since:][: len(heard)]
                else:
                    assert heard == self.said[since:]

    return ChatMachine


def test_everybody_who_keeps_asking_hears_everything_once_in_one_order(classes):
    with log_events() as events:
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
    assert any("Got new client" in str(event.get("log_format")) for event in events)
