"""What all clients share."""

from .protocols import WebsocketChat


class ChatFactory:
    """The one object that all clients share, so it knows who is there."""

    def __init__(self, messages):
        self.clients = []
        self.messages = messages

    def buildProtocol(self, request):
        return WebsocketChat(self)

    def say(self, text):
        """Store a message and tell every socket. Returns the message.

        From another thread: reactor.callFromThread(factory.say, text)
        """
        message = self.messages.add(text)
        self.updateClients(text)
        return message

    def updateClients(self, message):
        for client in self.clients:
            client.send(message)
