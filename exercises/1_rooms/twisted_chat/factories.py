"""What all clients share: the rooms, and in each what its clients share."""

from collections import defaultdict

from chat.tokens import read_token

from .messages import MessageStore
from .protocols import WebsocketChat


class Room:
    """What is said here is heard here: the messages, and everybody who listens."""

    def __init__(self):
        self.clients = []
        self.delayed_requests = []
        self.messages = MessageStore()

    def say(self, text):
        """Store a message and tell every socket. Returns the message.

        From another thread: reactor.callFromThread(room.say, text)
        """
        message = self.messages.add(text)
        self.updateClients(text)
        return message

    def updateClients(self, message):
        for client in self.clients:
            client.send(message)


class ChatFactory:
    """The one object that all clients share, so it knows every room."""

    def __init__(self):
        self.rooms = defaultdict(Room)  # by id

    def buildProtocol(self, request):
        return WebsocketChat(self)

    def enter(self, token):
        """Return the room that `token` opens.

        Raises BadSignature, and makes no room, if it opens none.
        """
        return self.rooms[read_token(token)]
