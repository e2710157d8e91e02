"""A book of what was said and what was heard, and the check that both agree.

A test writes down what its clients do: who says what, whose message was acknowledged,
who joins, hears and leaves. `check` then holds the book to what a chat promises,
whatever happened in whatever order:

- Who joined and did not leave hears all that was said and acknowledged afterwards in
  its room. What was never acknowledged may be heard, too.
- Nobody hears anything twice, nor what was never said in its room.
- There is one order: no two clients of a room hear two messages in different orders,
  and what one sender says is heard in the order in which it was said.
- Where messages are numbered, the numbers that a client hears leave no gap.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise


@dataclass
class Message:
    """One message, by its text, which nobody else says."""

    sender: str
    room: str
    acknowledged: bool = False


@dataclass
class Listener:
    """One client, and what it heard, in order."""

    room: str
    owed: set[str]  # not all of it: what was said so far is not for everyone
    heard: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    stayed: bool = True


class Ledger:
    """The book. Clients and rooms have any names, and no two messages one text."""

    def __init__(self):
        self.said: dict[str, Message] = {}
        self.listeners: dict[str, Listener] = {}

    def says(self, sender: str, text: str, room: str = "") -> None:
        """`sender` is about to say `text`. Who is in the room is owed it."""
        assert text not in self.said, f"two messages {text!r} cannot be told apart"
        self.said[text] = Message(sender, room)
        for listener in self.listeners.values():
            if listener.room == room and listener.stayed:
                listener.owed.add(text)

    def acknowledged(self, text: str) -> None:
        """The server has said that it took `text`."""
        self.said[text].acknowledged = True

    def joins(self, name: str, room: str = "", from_the_beginning=False) -> None:
        """`name` is in the room now; or it asks for all that was said there before."""
        before = [text for text, said in self.said.items() if said.room == room]
        self.listeners[name] = Listener(
            room, {*before} if from_the_beginning else set()
        )

    def hears(self, name: str, *texts: str, number: int | None = None) -> None:
        """`name` is shown `texts`; or one text with its `number`, if they have one."""
        self.listeners[name].heard.extend(texts)
        if number is not None:
            self.listeners[name].numbers.append(number)

    def leaves(self, name: str) -> None:
        """`name` goes for good, and is owed nothing more."""
        self.listeners[name].stayed = False

    def check(self) -> None:
        """Raise AssertionError, with a sentence for each promise that was not kept."""
        __tracebackhide__ = True
        problems = self.problems()
        assert not problems, "\n".join(problems[:10])

    def problems(self) -> list[str]:
        """A sentence for each promise that was not kept."""
        found = []
        for name, listener in self.listeners.items():
            found += [f"{name} {what}" for what in self._wrong_with(listener)]
        return found + self._disorder()

    def _wrong_with(self, listener: Listener) -> list[str]:
        heard = listener.heard
        here = [text for text, said in self.said.items() if said.room == listener.room]
        found = []
        if strange := sorted({*heard} - {*here}):
            found.append(f"hears {strange}, never said in room {listener.room!r}")
        if twice := sorted(text for text, n in Counter(heard).items() if n > 1):
            found.append(f"hears {twice} more than once")
        sure = {text for text in listener.owed if self.said[text].acknowledged}
        if listener.stayed and (missed := sorted(sure - {*heard})):
            found.append(f"stayed, and misses {missed}, which were acknowledged")
        if any(after != before + 1 for before, after in pairwise(listener.numbers)):
            found.append(f"hears numbers with a gap: {listener.numbers}")
        return found

    def _disorder(self) -> list[str]:
        """Whether some order of all messages fits what everyone said and heard."""
        after = TopologicalSorter()
        lists = [listener.heard for listener in self.listeners.values()]
        senders = {message.sender for message in self.said.values()}
        heard = {text for texts in lists for text in texts}
        for sender in sorted(senders):
            own = [t for t, said in self.said.items() if said.sender == sender]
            lists.append([text for text in own if text in heard])
        # Hundreds of clients hear the same, so there are few different pairs.
        pairs = dict.fromkeys(pair for texts in lists for pair in pairwise(texts))
        for first, second in pairs:
            after.add(second, first)
        try:
            after.prepare()
        except CycleError as error:
            circle = error.args[1]
            return [f"there is no one order: {' before '.join(reversed(circle))}"]
        return []
