"""What all clients share: the rooms, and in each what its clients share."""

import json

from twisted.internet.defer import Deferred, fail, succeed

from . import storage, watch
from .database import NoSuchRoom, NotNow, Writer
from .limits import RETRY_SECONDS, Bucket, Places, Refused
from .messages import MessageStore, at_once, storable
from .presence import Presence
from .protocols import WebsocketChat, text_frame

LONG = 8192  # bytes of an answer, after which it counts as one more


class Room:
    """What is said here is heard here: the messages, and everybody who listens."""

    messages = None  # until they are loaded
    loading = False

    def __init__(self, id, factory):
        self.id = id
        self.factory = factory
        self.reactor = factory.reactor
        self.database = factory.database
        self.writer = factory.writer
        self.coming = []  # a Deferred for each who waits until they are loaded
        self.speaking = 0  # messages that are being stored
        self.clients = []
        self.delayed_requests = []  # a Deferred for each, which fires on news
        self.frames = []  # said, and not yet sent
        self.presence = Presence(self.reactor, self.tell_who_is_here)
        self.told_here = None  # the version of the list that was told last

    def is_empty(self):
        return not (self.presence.tickets or self.coming or self.speaking)

    def ready(self):
        """Return a Deferred of this room, when its newest messages are loaded.

        However many come meanwhile, they are loaded once.
        """
        if self.messages is not None:
            return succeed(self)
        ready = Deferred(self.coming.remove)  # is called to cancel it
        self.coming.append(ready)
        if not self.loading:
            self.loading = True
            found = self.database.run(storage.load, self.id, MessageStore.most)
            found.addCallback(self.loaded).addBoth(self.let_in)
        return ready

    def loaded(self, found):
        if found is None:
            raise NoSuchRoom
        self.messages = MessageStore(*found)
        return self

    def let_in(self, result):
        self.loading = False
        coming, self.coming = self.coming, []
        while coming:
            coming.pop(0).callback(result)

    def say(self, text, id, ticket):
        """Store a message and have everybody told. Returns a Deferred of the message.

        If one with this id is stored, then it is that one, and that is all: its sender
        has not heard that we have it. The room has to be ready. Who says it is whom the
        ticket names.

        From another thread: reactor.callFromThread(room.say, text, id, ticket)
        """
        if id in self.messages.by_id:
            return succeed(self.messages.by_id[id])
        if self.factory.is_closing:
            return fail(NotNow())
        if wait := self.factory.speech.take(ticket.user):
            return fail(Refused(429, "too_fast", "too many messages", wait))
        return self.writer.write(self, storable(text), id, ticket)

    def take(self, news):
        """Make visible what has been stored, in its order."""
        for message in news:
            self.messages.add(message)
            self.frames.append(text_frame(self.batch([message])))
        if len(self.frames) == len(news) > 0:
            # At once, but after what else has just been read: what comes together
            # goes out together.
            self.reactor.callLater(0, self.tell)

    def tell(self):
        frames, self.frames = self.frames, []
        if frames:
            self.updateClients(b"".join(frames))
            self.processDelayedRequests()

    def updateClients(self, frames):
        for client in self.clients:
            client.send(frames)

    def join(self, client, cursor):
        """Send a socket what it missed since `cursor`, and from now on what is said.

        If that is much, it is sent in parts, each when the one before has been read. To
        send the last part and to be in is one step. Were it two, a message that comes
        between them would be in neither.
        """
        self.presence.arrive(client.ticket)
        self.catch_up_in_parts(client, cursor)

    def catch_up_in_parts(self, client, cursor):
        self.tell()  # What is under way is for the others: it is in the history, too.
        told, seq = self.catch_up(cursor)
        client.send(text_frame(self.factory.ask(client.ticket, told)))
        if seq < self.messages.seq:
            client.when_read(self.catch_up_in_parts, client, (self.messages.epoch, seq))
        else:
            self.clients.append(client)

    def leave(self, client):
        if client in self.clients:
            self.clients.remove(client)
        self.presence.leave(client.ticket)

    def here_frame(self):
        people, _ = self.presence.here()
        return text_frame(f'{{"status": 1, "here": {people}}}')

    def tell_who_is_here(self):
        """Tell who is here to all who were not told, or told otherwise."""
        _, version = self.presence.here()
        unaware = [
            client
            for client in self.clients
            # A list that nobody reads is soon an old one.
            if client.here != version and not client.paused
        ]
        frame = self.here_frame() if unaware else b""
        for client in unaware:
            client.here = version
            client.send(frame)
        if version != self.told_here:
            self.told_here = version
            self.processDelayedRequests()

    def catch_up(self, cursor):
        """Return what is told to who stands at `cursor`, and its last number.

        None is for who is new here, and is told of the newest as many as fit.
        """
        messages = None if cursor is None else self.messages.after(cursor)
        if messages is None:
            newest = at_once(self.messages.messages[::-1])[::-1]
            return self.batch(newest, reset=cursor is not None), self.messages.seq
        some = at_once(messages)
        return self.batch(some), some[-1].seq if some else self.messages.seq

    def batch(self, messages, reset=False):
        """Return what sockets and polls are told: the messages and the new cursor."""
        batch = {
            "status": 1,
            "epoch": self.messages.epoch,
            "seq": messages[-1].seq if messages else self.messages.seq,
            "reset": reset,
            "data": [vars(message) for message in messages],
        }
        return json.dumps(batch)

    def answer(self, cursor):
        """Return what a poll is told: the batch, and who is here."""
        people, version = self.presence.here()
        batch = self.catch_up(cursor)[0].removesuffix("}")
        # The list may be long. It is the same for all, so it becomes JSON only once.
        return f'{batch}, "here": {people}, "here_version": "{version}"}}'

    def news_after(self, cursor, here):
        """Return a Deferred of the answer for who stands at `cursor`, when it is news.

        Who is here is news for whoever knows another version of that list than `here`;
        None is for who does not ask.

        To look and to line up is one step. Were it two, a message that comes between
        them would wake nobody.
        """
        _, version = self.presence.here()
        is_news = self.messages.after(cursor) != [] or here not in (None, version)
        if is_news or self.factory.is_closing:
            return succeed(self.answer(cursor))
        news = Deferred(self.delayed_requests.remove)  # is called to cancel it
        self.delayed_requests.append(news)
        return news.addCallback(lambda _: self.news_after(cursor, here))

    def processDelayedRequests(self):
        # Whoever asks again while others are being answered waits on a new list.
        waiting, self.delayed_requests = self.delayed_requests, []
        # Not a for loop: who hangs up meanwhile takes itself off this list.
        while waiting:
            waiting.pop(0).callback(None)


class ChatFactory:
    """The one object that all clients share, so it knows every room."""

    patience = 60  # seconds between two looks for empty rooms

    def __init__(self, reactor, database, limits):
        self.reactor = reactor
        self.database = database
        self.limits = limits
        self.writer = Writer(reactor, database)
        self.rooms = {}  # by id
        self.speech = Bucket(self.limits.messages)  # by user
        self.asks = Bucket(self.limits.asks)  # by user
        self.knocks = Bucket(self.limits.knocks)  # by address
        self.places = Places(self.limits.most_per_user)
        self.is_closing = False  # Nobody new may come.

    def buildProtocol(self, request):
        return WebsocketChat(self, request.transport, request.address)

    def ask(self, ticket, answer):
        """Count an answer that nobody waited for, or raise Refused."""
        cost = min(1 + len(answer) // LONG, self.limits.asks.most // 10)
        if wait := self.asks.take(ticket.user, cost):
            raise Refused(429, "asks", "too many questions", wait)
        return answer

    def knock(self, address):
        """Count somebody who has shown no token, or raise Refused."""
        if wait := self.knocks.take(address):
            raise Refused(429, "knocks", "too much without a token", wait)

    def welcome(self, address):
        """Forget a knock: a token was shown after it."""
        self.knocks.give_back(address)

    def take_place(self, ticket, kind):
        """Let one more window of a user in, or raise Refused."""
        if not self.places.enter(ticket.user):
            raise Refused(503, "most", "too many windows", RETRY_SECONDS, 1013)
        watch.connections.labels(kind).inc()

    def leave_place(self, ticket, kind):
        self.places.leave(ticket.user)
        watch.connections.labels(kind).dec()

    def enter(self, ticket):
        """Return the room of a ticket."""
        id = ticket.room
        if id not in self.rooms:
            self.rooms[id] = Room(id, self)
        return self.rooms[id]

    def forget_empty_rooms(self):
        """Forget the rooms where nobody is. The database has what was said there."""
        for room in list(self.rooms.values()):
            if room.is_empty():
                del self.rooms[room.id]
