"""A model of the engine that all servers share, Valkey or Redis.

An engine carries out one command after the other, whoever sent it.  So a command is one
step, and a script is one command: nobody sees half of it.  Commands and answers are
those of the wire.  What no design uses is left out.

One word here is no command: ("LISTEN",) sends nothing, and takes what was pushed to
whoever subscribed.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

Command = tuple  # ("XADD", "log", "*", "text", "hello"), or "EVAL" and a Script
WAITS = object()  # in the place of an answer, which comes when there is one
ASKS_FOR_NEWS = ("XREAD", "ZRANGEBYSCORE", "BZPOPMIN", "LISTEN")


class Refused(Exception):
    """The answer of the engine is an error."""


@dataclass(frozen=True)
class Script:
    """What the engine runs as one command, and the same in Python, for the model.

    `python(call, keys, args)` has `call` where Lua has `redis.call`.
    """

    name: str
    lua: str
    python: Callable


class Engine:
    """The data of one engine, and who waits for news of it.

    Whoever sends has a name and a connection, which `cut` ends.  `clock` is no server's
    but the engine's own, in milliseconds.
    """

    def __init__(self, clock: int = 1000):
        self.clock = clock
        self.strings: dict[str, str] = {}
        self.streams = defaultdict(list)  # key -> [((milliseconds, number), fields)]
        self.scores = defaultdict(dict)  # key of a sorted set -> {member: score}
        self.subscribers = defaultdict(set)  # channel -> names
        self.pushed = defaultdict(list)  # name -> texts that it has not taken yet
        self.waiting: dict[str, Command] = {}  # name -> what it waits for

    def ready(self, who: str, command: Command) -> bool:
        """Whether there is anything to do for `command` now.

        To ask for news when there is none changes nothing, so it is no step.  With `$`
        it is one: what will be news is decided when it is asked.
        """
        if who in self.waiting:
            return False
        if command[0] in ASKS_FOR_NEWS and command[-1] != "$":
            return self._news(who, command) != []
        return True

    def call(self, who: str, command: Command):
        """Carry out one command; return its answer, or WAITS.

        Raises Refused where the engine answers with an error.
        """
        match command:
            case "XREAD", "BLOCK", "0", "STREAMS", key, "$":
                newest = _text(self._newest(key))
                self.waiting[who] = "XREAD", "BLOCK", "0", "STREAMS", key, newest
                return WAITS
            case "SUBSCRIBE", channel:
                self.subscribers[channel].add(who)
                return ["subscribe", channel, 1]
            case "EVAL", script, count, *rest:
                keys, args = rest[: int(count)], rest[int(count) :]
                return script.python(self._do, keys, args)
        if command[0] not in ASKS_FOR_NEWS:
            return self._do(*command)
        news = self._news(who, command)
        if command[0] == "BZPOPMIN":
            del self.scores[command[1]][news[1]]
        elif command[0] == "LISTEN":
            self.pushed[who] = []
        return news

    def answered(self) -> list[tuple[str, list]]:
        """Who waited and has an answer now, each with its answer."""
        found = [(who, self._news(who, c)) for who, c in self.waiting.items()]
        found = [(who, news) for who, news in found if news]
        for who, _ in found:
            del self.waiting[who]
        return found

    def cut(self, who: str) -> None:
        """End a connection: what would have been pushed to it is gone."""
        self.waiting.pop(who, None)
        self.pushed.pop(who, None)
        for names in self.subscribers.values():
            names.discard(who)

    def _do(self, *command: str):
        match command:
            case "GET", key:
                return self.strings.get(key)
            case "SET", key, value, *condition:
                if condition == ["NX"] and key in self.strings:
                    return None
                self.strings[key] = value
                return "OK"
            case "INCR", key:
                number = int(self.strings.get(key, "0")) + 1
                self.strings[key] = f"{number}"
                return number
            case "ZADD", key, score, member:
                new = member not in self.scores[key]
                self.scores[key][member] = float(score)
                return int(new)
            case "XADD", key, wanted, *fields:
                return self._append(key, wanted, fields)
            case "XRANGE", key, "-", "+":
                return _entries(self.streams[key])
            case "PUBLISH", channel, text:
                for who in self.subscribers[channel]:
                    self.pushed[who].append(text)
                return len(self.subscribers[channel])
        raise ValueError(f"the model has no {command}")

    def _newest(self, key):
        return self.streams[key][-1][0] if self.streams[key] else (0, 0)

    def _append(self, key, wanted, fields):
        newest = self._newest(key)
        if wanted == "*":
            number = max((self.clock, 0), (newest[0], newest[1] + 1))
        else:
            number = _number(wanted)
        if number <= newest:
            raise Refused("the id is equal to the newest one or smaller")
        self.streams[key].append((number, fields))
        return _text(number)

    def _news(self, who, command):
        match command:
            case "XREAD", "BLOCK", "0", "STREAMS", key, after:
                newer = [e for e in self.streams[key] if e[0] > _number(after)]
                return [[key, _entries(newer)]] if newer else []
            case "ZRANGEBYSCORE", key, low, high, "WITHSCORES":
                found = [e for e in self._ranked(key) if _within(e[0], low, high)]
                return [word for score, member in found for word in (member, score)]
            case "BZPOPMIN", key, "0":
                for score, member in self._ranked(key):
                    return [key, member, score]
                return []
            case ("LISTEN",):
                return self.pushed[who]
        raise ValueError(f"the model has no {command}")

    def _ranked(self, key):
        """A sorted set by score, and by member where scores are equal."""
        ranked = sorted((score, member) for member, score in self.scores[key].items())
        return [(f"{score:.17g}", member) for score, member in ranked]


def _within(score: str, low: str, high: str) -> bool:
    """Whether low <= score <= high; "(5" is a low end that does not count itself."""
    if low.startswith("("):
        return float(low[1:]) < float(score) <= float(high)
    return float(low) <= float(score) <= float(high)


def _number(text: str) -> tuple[int, int]:
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number)


def _text(number: tuple[int, int]) -> str:
    return "{}-{}".format(*number)


def _entries(stream) -> list:
    return [[_text(number), list(fields)] for number, fields in stream]
