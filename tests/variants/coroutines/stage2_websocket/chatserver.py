"""The chat server. Run it:  twistd -n -y chatserver.py"""

import os

from h11 import ProtocolError
from twisted.application import internet, service
from twisted.logger import Logger
from twisted.web.resource import ForbiddenResource, Resource
from twisted.web.server import Site
from twisted.web.websocket import WebSocketResource
from wsproto.utilities import LocalProtocolError

HOST, PORT = "127.0.0.1", int(os.environ.get("CHAT_PORT", "1025"))
PAGES = ",".join(
    page.strip(" /").lower().removesuffix(":80")
    for page in os.environ.get(
        "CHAT_ORIGINS", "http://127.0.0.1:8000,http://localhost:8000"
    ).split(",")
).encode()
LIMIT = 4096

log = Logger("lounge")


class Visitor:
    """Somebody at the other end of a WebSocket."""

    def __init__(self, visitors):
        self.visitors = visitors
        self.leaving = False

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        self.transport.detachProducer()
        self.visitors[id(self)] = self
        self.tell("connected ....")

    def textMessageReceived(self, text):
        if self.leaving:
            return
        if len(text) > LIMIT:
            self.dismiss(1009)
            return
        for visitor in list(self.visitors.values()):
            visitor.tell(text)

    def bytesMessageReceived(self, data):
        if not self.leaving:
            self.dismiss(1003)

    def pongReceived(self, payload):
        pass

    def connectionLost(self, reason):
        self.visitors.pop(id(self), None)

    def tell(self, text):
        try:
            self.transport.sendTextMessage(text)
        except LocalProtocolError:
            log.debug("too late to tell somebody")

    def dismiss(self, code):
        log.info("dismissing somebody: {code}", code=code)
        self.leaving = True
        self.visitors.pop(id(self), None)
        try:
            self.transport.loseConnection(code)
        except LocalProtocolError:
            log.debug("gone already")


class Sockets(WebSocketResource):
    def __init__(self):
        super().__init__(self)
        self.visitors = {}

    def buildProtocol(self, request):
        return Visitor(self.visitors)

    def render_GET(self, request):
        try:
            return super().render_GET(request)
        except (ProtocolError, UnicodeDecodeError):
            log.info("that was no handshake")
            request.setResponseCode(400)
            return b"no handshake"


class Entrance(Resource):
    """Lets nobody pass who comes from somebody else's page."""

    def __init__(self):
        super().__init__()
        self.sockets = Sockets()

    def getChild(self, name, request):
        if name != b"ws":
            return super().getChild(name, request)
        if request.getHeader(b"origin") not in PAGES.split(b","):
            log.info("nobody from elsewhere")
            return ForbiddenResource()
        return self.sockets


application = service.Application("lounge")
internet.TCPServer(PORT, Site(Entrance()), interface=HOST).setServiceParent(application)
