"""How one client speaks."""

from contextlib import suppress

from twisted.logger import Logger
from wsproto.utilities import LocalProtocolError

from .messages import MAX_LENGTH

log = Logger()


class WebsocketChat:
    """One client: a browser window with an open WebSocket."""

    def __init__(self, factory):
        self.factory = factory

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        # HTTP is over, but its channel is still registered with the transport,
        # and a transport that waits for a producer may never close.
        self.transport.detachProducer()
        log.info("Got new client!")
        self.factory.clients.append(self)
        self.send("connected ....")

    def connectionLost(self, reason):
        log.info("Lost a client!")
        self.factory.clients.remove(self)

    def textMessageReceived(self, message):
        if len(message) > MAX_LENGTH:
            self.refuse(1009, "message too long")
        else:
            self.factory.say(message)

    def bytesMessageReceived(self, data):
        self.refuse(1003, "binary message")

    def pongReceived(self, payload):
        pass

    def send(self, message):
        # A client that is closing raises this. The speaker must not pay for it.
        with suppress(LocalProtocolError):
            self.transport.sendTextMessage(message)

    def refuse(self, code, why):
        log.warn("Closing a client: {why}", why=why)
        with suppress(LocalProtocolError):
            self.transport.loseConnection(code)
