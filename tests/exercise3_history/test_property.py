"""From exercise 3 on: whoever comes back misses nothing, or is told so."""

from __future__ import annotations

from dataclasses import dataclass, field

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
from twisted.python.failure import Failure

from tests.support.ledger import Ledger
from tests.support.polling import cursor_of
from tests.support.reactor import log_events
from tests.support.requests import FakeRequest, get, post
from tests.support.transport import batches, join, say

SINCE_STAGE = 8
GONE = Failure(Exception("gone"))
ROOMS = st.sampled_from([1, 2])
KEPT = 8  # messages: few, so that who is away for long comes too late


@dataclass(eq=False)
class Comer:
    """A client that comes and goes, by whichever door, with one cursor for both."""

    name: str
    room: int
    cursor: tuple[str, int] | None = None
    socket: object = None
    read: int = 0  # batches of the socket
    request: FakeRequest | None = None
    resets: int = 0
    heard: list[str] = field(default_factory=list)


def history_machine(classes):
    """A machine that does anything that can happen to a room, in any order."""

    class HistoryMachine(RuleBasedStateMachine):
        comers = Bundle("comers")

        def __init__(self):
            super().__init__()
            classes.MessageStore.most = KEPT
            self.chat = classes.build([b"http://127.0.0.1:8000"])
            self.chat.reactor.next_turn = {"tell"}
            self.ledger = Ledger()
            self.everybody: list[Comer] = []
            self.said: list[tuple[str, int]] = []

        @rule(room=ROOMS)
        def somebody_posts(self, room):
            text = f"message {len(self.said)}"
            self.said.append((text, room))
            self.ledger.says(f"poster {text}", text, f"{room}")
            [stored] = post(self.chat.http_chat, text, room, text).reply["data"]
            assert stored["text"] == text
            self.ledger.acknowledged(text)

        @rule(which=st.integers(1, KEPT - 1))
        def somebody_posts_it_again(self, which):
            if which > len(self.said):
                return
            text, room = self.said[-which]
            log = self.chat.factory.rooms[room].messages
            assert log.seq > 0, "it is the log in which the text is"
            before = log.seq
            [stored] = post(self.chat.http_chat, text, room, text).reply["data"]
            assert (stored["text"], log.seq) == (text, before)

        @rule(target=comers, room=ROOMS)
        def comer_begins(self, room):
            comer = Comer(f"comer {len(self.ledger.listeners)}", room)
            # It begins now, and is shown what was said last.
            reply = get(self.chat.http_chat, room=room).reply
            comer.cursor = cursor_of(reply)
            self.ledger.joins(comer.name, f"{room}")
            self.everybody.append(comer)
            return comer

        @rule(comer=comers)
        def comer_opens_a_socket(self, comer):
            if comer.socket is None:
                self.lose_the_answer(comer)
                comer.socket = join(self.chat.factory, comer.room, comer.cursor)
                comer.read = 0

        @rule(comer=comers)
        def comer_listens(self, comer):
            self.listen(comer)

        @rule(comer=comers)
        def comer_speaks(self, comer):
            if comer.socket is None:
                return
            text = f"message {len(self.said)}"
            self.said.append((text, comer.room))
            self.ledger.says(comer.name, text, f"{comer.room}")
            say(comer.socket, text, text)
            self.ledger.acknowledged(text)

        @rule(comer=comers)
        def comer_says_it_again(self, comer):
            mine = [text for text, room in self.said[-KEPT + 1 :] if room == comer.room]
            if comer.socket is not None and mine:
                say(comer.socket, mine[-1], mine[-1])

        @rule(comer=comers)
        def comer_loses_its_line(self, comer):
            # What it has not read by then is lost.
            if comer.socket is not None:
                comer.socket.connectionLost(GONE)
                comer.socket = None
            self.lose_the_answer(comer)

        @rule(comer=comers)
        def comer_polls(self, comer):
            if comer.socket is None and comer.request is None:
                comer.request = get(self.chat.http_chat, comer.cursor, comer.room)

        @rule(comer=consumes(comers))
        def comer_goes_for_good(self, comer):
            self.comer_loses_its_line(comer)
            self.ledger.leaves(comer.name)
            self.everybody.remove(comer)

        @rule()
        def turn(self):
            self.chat.reactor.turn()

        @rule()
        def half_a_minute_passes(self):
            self.chat.reactor.advance(30)

        def lose_the_answer(self, comer):
            if comer.request is not None and comer.request.reply is None:
                comer.request.leave()
            comer.request = None

        def listen(self, comer):
            if comer.socket is not None:
                new = batches(comer.socket)[comer.read :]
                comer.read += len(new)
                for batch in new:
                    self.take(comer, batch)
            elif comer.request is not None and comer.request.reply is not None:
                self.take(comer, comer.request.reply)
                comer.request = None

        def take(self, comer, batch):
            if batch["reset"]:
                # What it heard before, and what it hears now, need not join up.
                comer.resets += 1
                self.ledger.leaves(comer.name)
                name = comer.name.partition(",")[0]
                comer.name = f"{name}, reset {comer.resets}"
                self.ledger.joins(comer.name, f"{comer.room}")
                comer.cursor = batch["epoch"], 0
            epoch, seq = comer.cursor
            assert batch["epoch"] == epoch, "another log is a reset"
            for message in batch["data"]:
                if message["seq"] > seq:
                    number = message["seq"]
                    self.ledger.hears(comer.name, message["text"], number=number)
            comer.cursor = epoch, max(seq, batch["seq"])

        @invariant()
        def memory_is_bounded(self):
            for room in self.chat.factory.rooms.values():
                assert len(room.messages) <= KEPT
                assert len(room.messages.by_id) == len(room.messages)

        @invariant()
        def who_was_away_for_long_enough_was_told(self):
            for comer in self.everybody:
                missed = len(self.said) - KEPT
                assert comer.resets <= max(missed, 0)

        def teardown(self):
            self.turn()
            for comer in self.everybody:
                self.listen(comer)
                if comer.socket is None:
                    self.comer_opens_a_socket(comer)
                    self.listen(comer)
            self.ledger.check()
            for comer in self.everybody:
                self.comer_loses_its_line(comer)

    return HistoryMachine


def test_who_comes_back_misses_nothing_or_is_told(classes):
    with log_events():
        run_state_machine_as_test(
            lambda: history_machine(classes)(),
            settings=settings(
                max_examples=100,
                stateful_step_count=50,
                deadline=None,
                database=None,
                derandomize=True,
            ),
        )
