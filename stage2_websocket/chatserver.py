"""The chat server: what one client says, every client hears.

Start it with:  twistd -n -y chatserver.py
"""

import os
from contextlib import suppress

from h11 import ProtocolError
from twisted.application import service, strports
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.websocket import WebSocketResource
from wsproto.utilities import LocalProtocolError

PORT = os.environ.get("CHAT_PORT") or "1025"
DEFAULT_ORIGINS = "http://127.0.0.1:8000,http://localhost:8000"


def as_browsers_send(origin):
    """In small letters, and without the port that everybody knows."""
    scheme, _, host = origin.strip().rstrip("/").lower().partition("://")
    usual = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{host.removesuffix(usual)}".encode()


NAMED = os.environ.get("CHAT_ORIGINS") or DEFAULT_ORIGINS
ORIGINS = [as_browsers_send(origin) for origin in NAMED.split(",")]
MAX_LENGTH = 4096  # characters in one message

log = Logger("chatserver")


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
            for client in self.factory.clients:
                client.send(message)

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


class ChatFactory:
    """The one object that all clients share, so it knows who is there."""

    clients = []

    def buildProtocol(self, request):
        return WebsocketChat(self)


class ChatResource(WebSocketResource):
    """Opens a WebSocket, but only for our own pages."""

    def render_GET(self, request):
        # Browsers let any site open a WebSocket to any other, and say in the
        # Origin header which site it was. The server has to look.
        origin = request.getHeader(b"origin")
        if origin not in ORIGINS:
            return self.refuse(request, 403, f"origin {origin} may not speak here")
        try:
            return super().render_GET(request)
        except (ProtocolError, UnicodeDecodeError):
            return self.refuse(request, 400, "this is no WebSocket handshake")

    def refuse(self, request, code, why):
        log.warn("Refusing a client: {why}", why=why)
        request.setResponseCode(code)
        request.setHeader(b"content-type", b"text/plain")
        return why.encode()


root = Resource()
root.putChild(b"ws", ChatResource(ChatFactory()))

application = service.Application("chatserver")
chat_service = strports.service(f"tcp:{PORT}:interface=127.0.0.1", Site(root))
chat_service.setServiceParent(application)
