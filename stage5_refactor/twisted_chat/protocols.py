"""How one client speaks."""

from contextlib import suppress

from twisted.logger import Logger
from wsproto.utilities import LocalProtocolError

from .messages import MAX_LENGTH

log = Logger()


class WebsocketChat:
    """One client: a browser window with an open WebSocket."""

    refused = False

    def __init__(self, factory):
        self.factory = factory

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        # Twisted's HTTP code still throttles this connection: it is registered as
        # its producer. Let go of it, or a close may never finish.
        self.transport.detachProducer()
        log.info("Got new client!")
        self.factory.clients.append(self)
        self.send("connected ....")

    def connectionLost(self, reason):
        log.info("Lost a client!")
        self.factory.clients.remove(self)

    def textMessageReceived(self, message):
        if self.refused:
            return  # It was on its way already.
        if len(message) > MAX_LENGTH:
            self.refuse(1009, "message too long")
        else:
            self.factory.say(message)

    def bytesMessageReceived(self, data):
        if not self.refused:
            self.refuse(1003, "binary message")

    def pongReceived(self, payload):
        pass  # Twisted calls it, so it has to exist.

    def send(self, message):
        # Sending to a client that is closing raises this, in the middle of what
        # somebody else says. The speaker must not pay for it.
        with suppress(LocalProtocolError):
            self.transport.sendTextMessage(message)

    def refuse(self, code, why):
        log.warn("Closing a client: {why}", why=why)
        self.refused = True
        with suppress(LocalProtocolError):
            self.transport.loseConnection(code)
