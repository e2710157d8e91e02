"""The log that many servers have in common: a stream for each room, in the engine.

The engine has the newest messages, Django's database all that the archiver has moved
there. What is told here is one row of them, without a seam.
"""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

from twisted.internet.defer import DeferredList, inlineCallbacks

from . import scripts, storage, watch
from .database import NoSuchRoom, NotNow, Writer
from .engine import Another
from .log import News
from .messages import Message, MessageStore

TO_MOVE = "chat:to_move"  # rooms in which something was said
NOBODY = {"id": None, "name": "deleted user"}
AGAIN_SECONDS = 24 * 60 * 60  # so long a message may be said again, and is one


def key(room_id, name):
    """Return the key of something of a room. What is in braces, decides on the node."""
    return f"chat:{{{room_id}}}:{name}"


def place_of(cursor):
    epoch, seq = cursor
    return f"{epoch}-{seq}"


def cursor_of(place):
    epoch, _, seq = place.partition("-")
    return epoch, int(seq)


def said(place, entry):
    """Return the message of an entry: when it was said, and JSON of the rest."""
    at, _, told = entry.partition(" ")
    when = datetime.fromtimestamp(float(at), UTC).isoformat(timespec="milliseconds")
    epoch, seq = cursor_of(place)
    said_at = when.replace("+00:00", "Z")
    return Message(seq=seq, said_at=said_at, epoch=epoch, **json.loads(told))


def messages_of(entries):
    """Return the messages of entries. Others say where an epoch begins."""
    return [said(place, entry) for place, (kind, entry) in entries if kind == "said"]


class StreamLog:
    """Appends to the streams of rooms, and waits for what all servers append there."""

    again_seconds = 1  # until the next try, when the database is away

    def __init__(self, reactor, engine, reader, database):
        self.reactor = reactor
        self.engine = engine
        self.reader = reader
        self.database = database
        self.writer = Writer(reactor, self.store)
        self.rest = self.writer.rest
        self.seen = {}  # by room, the newest cursor that this server knows of
        self.run = None  # of the engine, when we looked at our rooms there
        engine.greeted.append(self.look_again)

    def look_again(self):
        """When the engine was started anew, find out what it has kept of our rooms."""
        if self.run == self.engine.run:
            return
        self.run = self.engine.run
        looked = self.database.run(storage.heads, list(self.seen))
        looked.addCallback(self.open_all).addErrback(self.look_later)

    def open_all(self, stored):
        opened = [self.open_after(stored, room_id) for room_id in stored]
        return DeferredList(opened, fireOnOneErrback=True, consumeErrors=True)

    def look_later(self, failure):
        self.run = None
        if self.engine.protocol:
            self.reactor.callLater(self.again_seconds, self.look_again)

    @inlineCallbacks
    def open(self, room_id):
        """Return a Deferred of where a room stands, which is begun if it has to be."""
        stored = yield self.database.run(storage.heads, [room_id])
        if room_id not in stored:
            raise NoSuchRoom
        return (yield self.open_after(stored, room_id))

    @inlineCallbacks
    def open_after(self, stored, room_id):
        # First: it may be another engine by then.
        yield self.engine.ready()
        epoch, seq = self.seen.get(room_id, ("0", 0))
        found = yield self.engine.script(
            scripts.OPEN,
            [key(room_id, "room"), key(room_id, "log")],
            *(self.engine.run, int(self.engine.proven), int(1000 * time.time())),
            *(stored[room_id], epoch, seq),
        )
        return self.see(room_id, found[0], int(found[1]))

    def see(self, room_id, epoch, seq):
        known = self.seen.get(room_id)
        if known is None or (int(epoch), seq) > (int(known[0]), known[1]):
            self.seen[room_id] = epoch, seq
        return epoch, seq

    def head(self, room_id):
        return self.open(room_id)

    def known(self, room_id):
        return self.seen[room_id]

    @inlineCallbacks
    def load(self, room_id, most=MessageStore.most):
        epoch, seq = yield self.open(room_id)
        last = place_of((epoch, seq))
        entries = yield self.engine.call(
            "XREVRANGE", key(room_id, "log"), last, "-", "COUNT", most + 1
        )
        # A copy that became the engine may lack what the database has.
        newest = _without_gap(messages_of(entries[::-1]), seq)[-most:]
        users = {message.author["id"] for message in newest}
        deleted = yield self.database.run(storage.gone, users)
        newest = [_without(message, deleted) for message in newest]
        # The older ones were moved to the database before they went out of the stream.
        first = newest[0].seq if newest else seq + 1
        older = []
        if len(newest) < most and first > 1:
            older = yield self.database.run(
                storage.before, room_id, first, most - len(newest)
            )
        return epoch, seq, _without_gap(older + newest, seq)

    def append(self, room_id, text, id, ticket):
        return self.writer.write(room_id, text, id, ticket)

    def store(self, batch):
        """Append what was said in some rooms: {room_id: {id: (text, ticket)}}."""
        rooms = [self.store_in(room_id, said) for room_id, said in batch.items()]
        stored = DeferredList(rooms, consumeErrors=True)
        return stored.addCallback(
            lambda found: {
                room_id: result if success else result.value
                for room_id, (success, result) in zip(batch, found, strict=True)
            }
        )

    @inlineCallbacks
    def store_in(self, room_id, texts):
        if room_id not in self.seen:
            yield self.open(room_id)
        for last_try in (False, True):
            try:
                answers = yield self.append_all(room_id, texts)
                break
            except Another:
                if last_try:
                    raise NotNow from None
                yield self.open(room_id)
        messages = {}
        for id, answer in zip(texts, answers, strict=True):
            place, _, entry = answer.partition(" ")
            epoch, seq = cursor_of(place)
            text, ticket = texts[id]
            if not entry:
                # It was said long ago, and is in the database only.
                old = yield self.database.run(storage.one, room_id, seq)
                messages[id] = old or said(place, f"0 {_told(id, text, ticket)}")
                continue
            if " " not in entry:
                entry = f"{entry} {_told(id, text, ticket)}"
                self.see(room_id, epoch, seq)
            messages[id] = said(place, entry)
        return messages

    def append_all(self, room_id, texts):
        epoch, _ = self.seen[room_id]
        # First: should we die after the next step, then somebody else moves it.
        noted = self.engine.call("SADD", TO_MOVE, room_id)
        noted.addErrback(lambda failure: failure.trap(NotNow) and None)
        ids = [key(room_id, f"said:{id}") for id in texts]
        told = [_told(id, text, ticket) for id, (text, ticket) in texts.items()]
        return self.engine.script(
            scripts.APPEND,
            [key(room_id, "room"), key(room_id, "log"), *ids],
            *(self.engine.run, epoch, AGAIN_SECONDS),
            *told,
        )

    def wait(self, room_id, cursor):
        news = self.reader.wait(key(room_id, "log"), place_of(cursor))
        return news.addCallback(self.news, room_id, cursor)

    def news(self, entries, room_id, cursor):
        epoch, seq = cursor_of(entries[-1][0])
        self.see(room_id, epoch, seq)
        messages = messages_of(entries)
        for _, (_, entry) in entries:
            if entry:
                watch.lag.observe(max(0, time.time() - float(entry.split(" ", 1)[0])))
        numbers = [message.seq for message in messages]
        expected = list(range(cursor[1] + 1, seq + 1))
        return News(epoch, messages, epoch == cursor[0] and numbers == expected)

    def forget(self, room_id):
        self.seen.pop(room_id, None)


def _told(id, text, ticket):
    author = {"id": ticket.user, "name": ticket.name}
    return json.dumps({"id": id, "text": text, "author": author})


def _without(message, deleted):
    """Return a message as it is told when its author may be deleted."""
    if message.author["id"] in deleted:
        return replace(message, author=NOBODY)
    return message


def _without_gap(messages, seq):
    """Return the newest messages, back to where the first one is missing."""
    whole = []
    for message in reversed(messages):
        if message.seq != seq:
            break
        whole.insert(0, message)
        seq -= 1
    return whole
