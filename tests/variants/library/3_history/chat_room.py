"""Who is there, and what was said."""

import secrets
from dataclasses import asdict, dataclass
from itertools import islice

KEPT = 200  # messages of a room
LONGEST_ID = 64  # characters


@dataclass(frozen=True)
class Message:
    seq: int
    id: str
    text: str


class Rooms(dict):
    """Number -> Room. A room is there as soon as somebody has a ticket for it."""

    def __missing__(self, number):
        return self.setdefault(number, Room())


class Room:
    def __init__(self):
        self.members = set()  # sockets
        self.waiting = {}  # a function to call with what is new -> cursor
        self.epoch = secrets.token_urlsafe(9)
        self.newest = 0
        self.messages = {}  # id -> Message, the oldest first

    def say(self, id, text):
        """Keep `text` under `id`, and tell all who are there. Returns the message.

        If `id` is known, nobody hears anything, and the first message is returned.
        """
        if id in self.messages:
            return self.messages[id]
        self.newest += 1
        message = self.messages[id] = Message(self.newest, id, text)
        if len(self.messages) > KEPT:
            del self.messages[next(iter(self.messages))]
        for member in [*self.members]:  # Who does not read is dropped meanwhile.
            member.hear(self.batch([message]))
        waiting, self.waiting = self.waiting, {}
        for answer, cursor in waiting.items():
            answer(self.after(*cursor))
        return message

    def batch(self, messages, reset=False):
        seq = messages[-1].seq if messages else self.newest
        return {
            "reset": reset,
            "data": [asdict(message) for message in messages],
            "seq": seq,
            "epoch": self.epoch,
            "status": 1,
        }

    def everything(self, reset=False):
        return self.batch([*self.messages.values()], reset)

    def after(self, epoch, seq):
        """What a client missed that has heard everything up to `seq`."""
        missed = self.newest - seq
        if epoch != self.epoch or not 0 <= missed <= len(self.messages):
            return self.everything(reset=True)
        return self.batch([*islice(reversed(self.messages.values()), missed)][::-1])
