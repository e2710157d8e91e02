"""What all clients share: the rooms, and in each what its clients share."""

from collections import defaultdict

from chat.tokens import read_token
from twisted.internet.defer import Deferred, succeed

from .messages import MessageStore
from .protocols import WebsocketChat, text_frame


class Room:
    """What is said here is heard here: the messages, and everybody who listens."""

    def __init__(self, reactor):
        self.reactor = reactor
        self.clients = []
        self.delayed_requests = []  # a Deferred for each, which fires on news
        self.messages = MessageStore()
        self.frames = []  # said, and not yet sent

    def say(self, text):
        """Store a message and have everybody told. Returns the message.

        From another thread: reactor.callFromThread(room.say, text)
        """
        message = self.messages.add(text)
        self.frames.append(text_frame(text))
        if len(self.frames) == 1:
            # At once, but after what else has just been read: what comes together
            # goes out together.
            self.reactor.callLater(0, self.tell)
        return message

    def tell(self):
        frames, self.frames = self.frames, []
        self.updateClients(b"".join(frames))
        self.processDelayedRequests()

    def updateClients(self, frames):
        for client in self.clients:
            client.send(frames)

    def news_after(self, lastupdate):
        """Return a Deferred of all messages after `lastupdate`, when there are any.

        To look and to line up is one step. Were it two, a message that comes between
        them would wake nobody.
        """
        messages = self.messages.after(lastupdate)
        if messages:
            return succeed(messages)
        news = Deferred(self.delayed_requests.remove)  # is called to cancel it
        self.delayed_requests.append(news)
        return news.addCallback(lambda _: self.news_after(lastupdate))

    def processDelayedRequests(self):
        # Whoever asks again while others are being answered waits on a new list.
        waiting, self.delayed_requests = self.delayed_requests, []
        # Not a for loop: who hangs up meanwhile takes itself off this list.
        while waiting:
            waiting.pop(0).callback(None)


class ChatFactory:
    """The one object that all clients share, so it knows every room."""

    def __init__(self, reactor):
        self.reactor = reactor
        self.rooms = defaultdict(lambda: Room(reactor))  # by id

    def buildProtocol(self, request):
        return WebsocketChat(self, request.transport)

    def enter(self, token):
        """Return the room that `token` opens.

        Raises BadSignature, and makes no room, if it opens none.
        """
        return self.rooms[read_token(token)]
