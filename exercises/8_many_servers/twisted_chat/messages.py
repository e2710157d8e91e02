"""What was said, in the one order that every client hears."""

import json
from dataclasses import dataclass, field

MAX_LENGTH = 4096  # characters in one message
MAX_ID = 64  # characters in its id
MOST_AT_ONCE = 200_000  # bytes of texts


def storable(text):
    """Return `text` as every database takes it.

    JSON may carry half a character, which cannot be written in UTF-8, and the character
    0, which PostgreSQL does not take. Both become the sign for what cannot be shown.
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "\ufffd")


def at_once(messages):
    """Return of these the first ones, so many as are told in one answer.

    Two hundred of the longest are ten megabytes. Whoever asks for them, and does not
    read, would have us keep them.
    """
    total = 0
    for number, message in enumerate(messages):
        total += len(json.dumps(message.text))
        if total > MOST_AT_ONCE and number:
            return messages[:number]
    return messages


@dataclass(frozen=True)
class Message:
    seq: int
    id: str
    text: str
    author: dict | None  # {"id": ..., "name": ...}, of who said it
    said_at: str
    # In which it has its number, if somebody knows; it is not told with the message.
    epoch: str | None = field(default=None, compare=False)

    def told(self):
        return {name: value for name, value in vars(self).items() if name != "epoch"}


class MessageStore:
    """The newest messages. Only the reactor's thread may use it, so it needs no lock.

    All others are in the database. A message is known by the `id` that its sender made.
    Its place is its `seq`, which counts from 1 without a gap. Another log has another
    `epoch`.
    """

    most = 200

    def __init__(self, epoch, seq, messages):
        self.epoch = epoch
        self.seq = seq  # of the newest message
        self.messages = messages
        self.by_id = {message.id: message for message in messages}

    @property
    def cursor(self):
        return self.epoch, self.seq

    def is_ahead(self, cursor):
        """Return whether a cursor is not in what we know."""
        epoch, seq = cursor
        return epoch != self.epoch or seq > self.seq

    def __len__(self):
        return len(self.messages)

    def add(self, message):
        """Make a message visible that is stored already."""
        self.seq = message.seq
        self.messages.append(message)
        self.by_id[message.id] = message
        if len(self.messages) > self.most:
            del self.by_id[self.messages.pop(0).id]

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
