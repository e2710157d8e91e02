"""What was said, in the one order that every client hears."""

import secrets
from dataclasses import dataclass

MAX_LENGTH = 4096  # characters in one message
MAX_ID = 64  # characters in its id


@dataclass(frozen=True)
class Message:
    seq: int
    id: str
    text: str


class MessageStore:
    """The newest messages. Only the reactor's thread may use it, so it needs no lock.

    A message is known by the `id` that its sender made. Its place is its `seq`, which
    counts from 1 without a gap. Another log has another `epoch`.
    """

    most = 200

    def __init__(self):
        self.epoch = secrets.token_hex(4)
        self.seq = 0  # of the newest message
        self.messages = []
        self.by_id = {}

    def __len__(self):
        return len(self.messages)

    def add(self, text, id):
        """Number a message and make it visible, as one step. Returns it."""
        self.seq += 1
        message = Message(self.seq, id, text)
        self.messages.append(message)
        self.by_id[id] = message
        if len(self.messages) > self.most:
            del self.by_id[self.messages.pop(0).id]
        return message

    def after(self, cursor):
        """Return the list of all messages after `cursor`, a pair (epoch, seq).

        None if it cannot be told: the cursor is one of another log, or behind the
        newest message, or there were messages after it that are not kept any more.
        """
        epoch, seq = cursor
        missed = self.seq - seq
        if epoch != self.epoch or not 0 <= missed <= len(self.messages):
            return None
        return self.messages[len(self.messages) - missed :]
