"""How one client speaks."""

from contextlib import suppress

from django.core.signing import BadSignature, SignatureExpired
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from wsproto import Connection, ConnectionType
from wsproto.events import TextMessage
from wsproto.utilities import LocalProtocolError
from zope.interface import implementer

from .messages import MAX_LENGTH

log = Logger()


def text_frame(text):
    """The bytes that carry a message: a server sends the same ones to every client."""
    return Connection(ConnectionType.SERVER).send(TextMessage(text))


@implementer(IPushProducer)
class WebsocketChat(TimeoutMixin):
    """One client: a browser window with an open WebSocket.

    The first thing that it says is its token. Until then it is in no room.
    """

    token_seconds = 5  # A page sends its token at once.
    goodbye_seconds = 5  # that a client who is refused has to go
    reading_seconds = 60  # for a client to read what waits in the transport
    most_behind = 1_000_000  # bytes that wait behind it
    refused = False
    room = None
    paused = False

    def __init__(self, factory, tcp):
        self.factory = factory
        self.callLater = factory.reactor.callLater  # for setTimeout
        self.tcp = tcp  # what carries the WebSocket, and takes bytes
        self.behind = bytearray()  # frames for when the client has read others

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        # Twisted's HTTP code still throttles this connection: it is registered as
        # its producer. Let go of it, or a close may never finish. In its place, we
        # want to know of a client that reads too slowly.
        self.transport.detachProducer()
        self.transport.attachProducer(self)
        log.info("Got new client!")
        self.setTimeout(self.token_seconds)

    def timeoutConnection(self):
        if self.refused or self.paused:
            self.drop()  # It does not read, so a close cannot end.
            return
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
            self.send(text_frame("connected ...."))

    def bytesMessageReceived(self, data):
        if not self.refused:
            self.refuse(1003, "binary message")

    def pongReceived(self, payload):
        pass  # Twisted calls it, so it has to exist.

    def send(self, frames):
        """Send whole frames, when the client has read what waits for it already."""
        if self.refused or self.tcp.disconnecting:
            return  # After a close frame, nothing may follow.
        if not self.paused:
            self.tcp.write(frames)
            return
        self.behind += frames
        if len(self.behind) > self.most_behind:
            self.drop()

    def pauseProducing(self):
        # More than 64 kB wait in the transport. It may be a moment's burst.
        if self.paused:
            return
        self.paused = True
        self.tcp.pauseProducing()  # Who does not read has to be answered no more.
        if self.room and not self.refused:
            self.setTimeout(self.reading_seconds)

    def resumeProducing(self):
        self.paused = False
        if self.tcp.disconnecting:
            self.transport.detachProducer()  # or the close goes on waiting for it
            return
        if self.room:
            self.setTimeout(None)
        self.tcp.resumeProducing()
        behind, self.behind = self.behind, bytearray()
        self.tcp.write(bytes(behind))

    def stopProducing(self):
        pass  # The connection is lost; connectionLost is told, too.

    def refuse(self, code, why):
        log.warn("Closing a client: {why}", why=why)
        self.refused = True
        self.setTimeout(self.goodbye_seconds)
        with suppress(LocalProtocolError):
            self.transport.loseConnection(code)

    def drop(self):
        log.warn("Dropping a client: it does not read")
        self.refused = True
        self.tcp.abortConnection()
