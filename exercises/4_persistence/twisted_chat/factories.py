"""What all clients share: the rooms, and in each what its clients share."""

import json
from dataclasses import asdict

from chat.tokens import read_token
from twisted.internet.defer import Deferred, succeed

from . import storage
from .database import NoSuchRoom, Writer
from .messages import MessageStore, storable
from .protocols import WebsocketChat, text_frame


class Room:
    """What is said here is heard here: the messages, and everybody who listens."""

    messages = None  # until they are loaded
    loading = False

    def __init__(self, id, reactor, database, writer):
        self.id = id
        self.reactor = reactor
        self.database = database
        self.writer = writer
        self.coming = []  # a Deferred for each who waits until they are loaded
        self.speaking = 0  # messages that are being stored
        self.clients = []
        self.delayed_requests = []  # a Deferred for each, which fires on news
        self.frames = []  # said, and not yet sent

    def is_empty(self):
        return not (
            self.clients or self.delayed_requests or self.coming or self.speaking
        )

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

    def say(self, text, id):
        """Store a message and have everybody told. Returns a Deferred of the message.

        If one with this id is stored, then it is that one, and that is all: its sender
        has not heard that we have it. The room has to be ready.

        From another thread: reactor.callFromThread(room.say, text, id)
        """
        if id in self.messages.by_id:
            return succeed(self.messages.by_id[id])
        return self.writer.write(self, storable(text), id)

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

        That is one step. Were it two, a message that comes between them would be in
        neither.
        """
        self.tell()  # What is under way is for the others: it is in the history, too.
        client.send(text_frame(self.catch_up(cursor)))
        self.clients.append(client)

    def catch_up(self, cursor):
        """Return the batch for who stands at `cursor`; None is for who is new here."""
        messages = None if cursor is None else self.messages.after(cursor)
        if messages is None:
            return self.batch(self.messages.messages, reset=cursor is not None)
        return self.batch(messages)

    def batch(self, messages, reset=False):
        """Return what sockets and polls are told: the messages and the new cursor."""
        batch = {
            "status": 1,
            "epoch": self.messages.epoch,
            "seq": messages[-1].seq if messages else self.messages.seq,
            "reset": reset,
            "data": [asdict(message) for message in messages],
        }
        return json.dumps(batch)

    def news_after(self, cursor):
        """Return a Deferred of the batch for who stands at `cursor`, when there is any.

        To look and to line up is one step. Were it two, a message that comes between
        them would wake nobody.
        """
        if self.messages.after(cursor) != []:
            return succeed(self.catch_up(cursor))
        news = Deferred(self.delayed_requests.remove)  # is called to cancel it
        self.delayed_requests.append(news)
        return news.addCallback(lambda _: self.news_after(cursor))

    def processDelayedRequests(self):
        # Whoever asks again while others are being answered waits on a new list.
        waiting, self.delayed_requests = self.delayed_requests, []
        # Not a for loop: who hangs up meanwhile takes itself off this list.
        while waiting:
            waiting.pop(0).callback(None)


class ChatFactory:
    """The one object that all clients share, so it knows every room."""

    patience = 60  # seconds between two looks for empty rooms

    def __init__(self, reactor, database):
        self.reactor = reactor
        self.database = database
        self.writer = Writer(reactor, database)
        self.rooms = {}  # by id

    def buildProtocol(self, request):
        return WebsocketChat(self, request.transport)

    def enter(self, token):
        """Return the room that `token` opens.

        Raises BadSignature, and makes no room, if it opens none.
        """
        id = read_token(token)
        if id not in self.rooms:
            self.rooms[id] = Room(id, self.reactor, self.database, self.writer)
        return self.rooms[id]

    def forget_empty_rooms(self):
        """Forget the rooms where nobody is. The database has what was said there."""
        for room in list(self.rooms.values()):
            if room.is_empty():
                del self.rooms[room.id]
