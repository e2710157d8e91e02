"""What strangers may do, how much of it, and how often. Each limit is a setting."""

import os
import time
from collections import Counter
from dataclasses import dataclass, fields

from twisted.internet.defer import succeed

from . import scripts

RETRY_SECONDS = 5  # for whom there is no place


class Refused(Exception):
    """A client may not do that. `code` is HTTP's, and a socket is closed with `close`.

    `reason` is one word, for those who count. `wait` are the seconds after which it may
    be tried again, or None if that makes no difference.
    """

    def __init__(self, code, reason, why, wait=None, close=1008):
        super().__init__(why)
        self.code = code
        self.reason = reason
        self.why = why
        self.wait = wait
        self.close = close


@dataclass(frozen=True)
class Rate:
    """`most` times in `seconds`, and written so: 20/10."""

    most: int
    seconds: float

    @classmethod
    def read(cls, text):
        most, seconds = text.split("/")
        return cls(positive(int, most), positive(float, seconds))

    def __str__(self):
        return f"{self.most}/{self.seconds:g}"


def positive(kind, text):
    number = kind(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


@dataclass(frozen=True)
class Limits:
    """The settings of the chat server, with what they are if nobody sets them."""

    messages: Rate = Rate(20, 10)  # of one user
    asks: Rate = Rate(1000, 10)  # of one user: answers, and more for a long one
    knocks: Rate = Rate(300, 60)  # of one address, and no token
    frames: Rate = Rate(60, 30)  # of one socket, that end no message
    most_per_user: int = 20  # sockets and polls that wait
    most_per_address: int = 200  # connections
    most: int = 12_000
    head_seconds: float = 10  # for a head, and as long again for a body
    idle_seconds: float = 75  # between two requests
    body: int = 65_536  # bytes
    message_seconds: float = 10  # from the first byte of a frame to the message's end
    ping_seconds: float = 15
    reading_seconds: float = 60  # for who does not read
    most_behind: int = 1_000_000  # bytes that wait for who does not read
    stop_seconds: float = 10  # for everybody to leave

    @classmethod
    def from_environment(cls, environment=os.environ):
        """Read CHAT_MESSAGES and all the others. Raises SystemExit for nonsense."""
        given = {}
        for field in fields(cls):
            name = f"CHAT_{field.name.upper()}"
            if text := environment.get(name):
                given[field.name] = _read(name, text, field)
        return cls(**given)


def _read(name, text, field):
    try:
        if field.type is Rate:
            return Rate.read(text)
        return positive(field.type, text)
    except ValueError:
        raise SystemExit(
            f"{name} is {text!r}. It should be a number like {field.default}."
        ) from None


class Bucket:
    """Lets everybody do something so many times in so many seconds.

    Think of a bucket for each, full of tokens: who does it takes one, and with time the
    bucket fills again. Kept is one number for each, the moment when theirs is full.
    """

    many = 1000  # of which those that are full may be forgotten

    def __init__(self, rate, seconds=time.monotonic):
        self.rate = rate
        self.each = rate.seconds / rate.most  # until the next token is there
        self.seconds = seconds
        self.full_at = {}

    def take(self, key, many=1):
        """Take tokens and return 0, or return in how many seconds half are back."""
        now = self.seconds()
        missing = max(self.full_at.get(key, now) - now, 0)  # in seconds, too
        # Half of one more: sums of fractions are not exact.
        if missing + many * self.each > self.rate.seconds + self.each / 2:
            return max(missing - self.rate.seconds / 2, self.each)
        self.full_at[key] = now + missing + many * self.each
        if len(self.full_at) > self.many:
            self.full_at = {key: at for key, at in self.full_at.items() if at > now}
            self.many = max(type(self).many, 2 * len(self.full_at))
        return 0

    def give_back(self, key):
        if key in self.full_at:
            self.full_at[key] -= self.each


class OwnBucket(Bucket):
    """A bucket of this server only, which is asked as a shared one is."""

    def take(self, key):
        return succeed(super().take(key))


class SharedBucket:
    """The bucket of all servers, in the engine: three doors are no three buckets.

    This server has one of its own in front. What is too much for one server is too much
    for all, and a flood of messages becomes no flood of questions.
    """

    def __init__(self, engine, name, rate):
        self.engine = engine
        self.name = name
        self.rate = rate
        self.own = Bucket(rate)

    def take(self, key):
        if wait := self.own.take(key):
            return succeed(wait)
        each = self.rate.seconds / self.rate.most
        bucket = f"chat:bucket:{self.name}:{key}"
        answer = self.engine.script(scripts.TAKE, [bucket], each, self.rate.seconds)
        return answer.addCallbacks(self.answered, self.unanswered, [key], None, [key])

    def answered(self, wait, key):
        wait = float(wait)
        if wait:
            self.own.give_back(key)
        return wait

    def unanswered(self, failure, key):
        self.own.give_back(key)
        return failure


class Places:
    """Counts who is in, by key, and lets in so many of each."""

    def __init__(self, most):
        self.most = most
        self.taken = Counter()

    def enter(self, key):
        """Return whether there was a place, which is taken now."""
        if self.taken[key] >= self.most:
            return False
        self.taken[key] += 1
        return True

    def leave(self, key):
        self.taken[key] -= 1
        if not self.taken[key]:
            del self.taken[key]  # or this would grow with all who ever came
