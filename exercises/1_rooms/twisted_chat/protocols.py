"""How one client speaks."""

from contextlib import suppress

from django.core.signing import BadSignature, SignatureExpired
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from wsproto.utilities import LocalProtocolError

from .messages import MAX_LENGTH

log = Logger()


class WebsocketChat(TimeoutMixin):
    """One client: a browser window with an open WebSocket.

    The first thing that it says is its token. Until then it is in no room.
    """

    token_seconds = 5  # A page sends its token at once.
    refused = False
    room = None

    def __init__(self, factory):
        self.factory = factory

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        # Twisted's HTTP code still throttles this connection: it is registered as
        # its producer. Let go of it, or a close may never finish.
        self.transport.detachProducer()
        log.info("Got new client!")
        self.setTimeout(self.token_seconds)

    def timeoutConnection(self):
        self.refuse(4408, f"no token in {self.token_seconds} s")

    def connectionLost(self, reason):
        log.info("Lost a client!")
        self.setTimeout(None)
        if self.room:
            self.room.clients.remove(self)

    def textMessageReceived(self, message):
        if self.refused:
            return  # It was on its way already.
        if len(message) > MAX_LENGTH:
            self.refuse(1009, "message too long")
        elif self.room:
            self.room.say(message)
        else:
            self.join(message)

    def join(self, token):
        self.setTimeout(None)
        # The codes from 4000 on are free for us. These remind of HTTP's 401 and 410.
        try:
            self.room = self.factory.enter(token)
        except SignatureExpired:
            self.refuse(4410, "token expired")
        except BadSignature:
            self.refuse(4401, "no token of ours")
        else:
            self.room.clients.append(self)
            self.send("connected ....")

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
        self.setTimeout(None)
        with suppress(LocalProtocolError):
            self.transport.loseConnection(code)
