"""What all clients share: the rooms, and in each what its clients share."""

import json

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    fail,
    maybeDeferred,
    succeed,
)

from . import watch
from .database import NoSuchRoom, NotNow
from .limits import RETRY_SECONDS, Bucket, Places, Refused
from .messages import MessageStore, at_once, storable
from .presence import Presence
from .protocols import WebsocketChat, text_frame

LONG = 8192  # bytes of an answer, after which it counts as one more


class Room:
    """What is said here is heard here: the messages, and everybody who listens."""

    messages = None  # until they are loaded
    loading = False
    following = None  # a Deferred of what comes next

    catching_up_seconds = 5  # for a server to come to where a client has been already
    again_seconds = 1  # until the next try, when the log is away

    def __init__(self, id, factory):
        self.id = id
        self.factory = factory
        self.reactor = factory.reactor
        self.log = factory.log
        self.coming = []  # a Deferred for each who waits until they are loaded
        self.ahead = []  # a cursor and a Deferred for each who has heard more than we
        self.speaking = 0  # messages that are being stored
        self.unheard = {}  # by id, those that are, and that we have not heard yet
        self.clients = []
        self.delayed_requests = []  # a Deferred for each, which fires on news
        self.frames = []  # said, and not yet sent
        self.presence = Presence(self.reactor, self.tell_who_is_here)
        self.told_here = None  # the version of the list that was told last
        self.factory.roll.follow(self)

    def is_empty(self):
        return not (self.presence.tickets or self.coming or self.speaking)

    def forget(self):
        """Nobody is here: wait for nothing any more."""
        self.factory.roll.forget(self.id)
        self.log.forget(self.id)
        following, self.following = self.following, None
        if following:
            following.cancel()

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
            found = self.log.load(self.id)
            found.addCallback(self.loaded).addBoth(self.let_in)
        return ready

    def loaded(self, found):
        self.messages = MessageStore(*found)
        self.follow()
        return self

    def let_in(self, result):
        self.loading = False
        coming, self.coming = self.coming, []
        while coming:
            coming.pop(0).callback(result)

    def follow(self):
        """Wait for what is said after what we have, by way of whichever server."""
        self.following = self.log.wait(self.id, self.messages.cursor)
        self.following.addCallback(self.hear).addErrback(self.hear_later)

    def hear(self, news):
        if news.whole:
            self.take(news.messages)
            self.follow()
        else:
            self.begin_anew()

    def hear_later(self, failure):
        # Who is waited for no more has cancelled it.
        failure.trap(CancelledError, NotNow, NoSuchRoom)
        if not failure.check(CancelledError) and self.following:
            self.following = Deferred(lambda _: later.cancel())
            later = self.reactor.callLater(self.again_seconds, self.follow)

    def begin_anew(self):
        """Something is missing between what we have and what came: load it once more.

        What of it is there, comes before what is new. If not all is there, everybody is
        told so.
        """
        self.following = self.log.load(self.id)
        self.following.addCallback(self.begun_anew).addErrback(self.hear_later)

    def begun_anew(self, found):
        before = self.messages.cursor
        self.tell()
        self.messages = MessageStore(*found)
        self.unheard.clear()
        if self.clients:
            told, seq = self.catch_up(before)
            self.updateClients(text_frame(told))
            self.take_rest(seq)
        self.reached()
        self.processDelayedRequests()
        self.follow()

    def take_rest(self, seq):
        # What is more than fits into one answer, comes in others.
        while seq < self.messages.seq:
            told, seq = self.catch_up((self.messages.epoch, seq))
            self.updateClients(text_frame(told))

    def comes_to(self, cursor):
        """Return a Deferred of this room, when it has come to a cursor.

        Whoever has it from another server may have heard more than this one has yet. If
        nobody can have, or if it takes too long, then the room is as it is. Who brings
        none finds what this server has acknowledged.
        """
        if cursor is None or not self.messages.is_ahead(cursor):
            known = self.log.known(self.id)
            return maybeDeferred(self.wait_until, known, known)
        return self.log.head(self.id).addCallback(self.wait_until, cursor)

    def wait_until(self, head, cursor):
        epoch, seq = head
        if cursor[0] != epoch or cursor[1] > seq or not self.messages.is_ahead(cursor):
            return self
        here = Deferred(lambda _: self.ahead.remove((cursor, here)))
        self.ahead.append((cursor, here))
        return here.addTimeout(self.catching_up_seconds, self.reactor, lambda *_: self)

    def reached(self):
        """Let those go on to whose cursor we have come."""
        ahead, self.ahead = self.ahead, []
        while ahead:
            cursor, here = ahead.pop(0)
            if self.messages.is_ahead(cursor):
                self.ahead.append((cursor, here))
            else:
                here.callback(self)

    def say(self, text, id, ticket):
        """Store a message and have everybody told. Returns a Deferred of the message.

        If one with this id is stored, then it is that one, and that is all: its sender
        has not heard that we have it. The room has to be ready. Who says it is whom the
        ticket names.

        From another thread: reactor.callFromThread(room.say, text, id, ticket)
        """
        if known := self.messages.by_id.get(id) or self.unheard.get(id):
            return succeed(known)
        if self.factory.is_closing:
            return fail(NotNow())
        self.speaking += 1
        allowed = self.factory.speech.take(ticket.user)
        allowed.addCallback(self.append, storable(text), id, ticket)
        return allowed.addBoth(self.spoken)

    def append(self, wait, text, id, ticket):
        if wait:
            raise Refused(429, "too_fast", "too many messages", wait)
        return self.log.append(self.id, text, id, ticket).addCallback(self.remember)

    def remember(self, message):
        # Its sender is told so before we hear it, and may say it again at once.
        if message.seq > self.messages.seq:
            self.unheard[message.id] = message
        return message

    def spoken(self, result):
        self.speaking -= 1
        return result

    def take(self, news):
        """Make visible what was said, in its order."""
        watch.messages.inc(len(news))
        for message in news:
            self.unheard.pop(message.id, None)
            self.messages.add(message)
            self.frames.append(text_frame(self.batch([message])))
        self.reached()
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
        self.factory.roll.say(self)
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

    def batch(self, messages, reset=False, epoch=None):
        """Return what sockets and polls are told: the messages and the new cursor."""
        batch = {
            "status": 1,
            "epoch": epoch or self.messages.epoch,
            "seq": messages[-1].seq if messages else self.messages.seq,
            "reset": reset,
            "data": [message.told() for message in messages],
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

    def __init__(self, reactor, log, roll, speech, limits):
        self.reactor = reactor
        self.log = log
        self.roll = roll
        self.limits = limits
        self.rooms = {}  # by id
        self.speech = speech  # by user
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
                room.forget()
                del self.rooms[room.id]
