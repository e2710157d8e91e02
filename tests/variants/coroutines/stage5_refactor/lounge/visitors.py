"""Those who come by WebSocket."""

from h11 import ProtocolError
from twisted.logger import Logger
from twisted.web.websocket import WebSocketResource
from wsproto.utilities import LocalProtocolError

from lounge.talk import LIMIT

log = Logger()


class Visitor:
    """Somebody at the other end of a WebSocket."""

    def __init__(self, talk):
        self.talk = talk
        self.leaving = False

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        self.transport.detachProducer()
        self.talk.visitors[id(self)] = self
        self.tell("connected ....")

    def textMessageReceived(self, text):
        if self.leaving:
            return
        if len(text) > LIMIT:
            self.dismiss(1009)
        else:
            self.talk.say(text)

    def bytesMessageReceived(self, data):
        if not self.leaving:
            self.dismiss(1003)

    def pongReceived(self, payload):
        pass

    def connectionLost(self, reason):
        self.talk.visitors.pop(id(self), None)

    def tell(self, text):
        try:
            self.transport.sendTextMessage(text)
        except LocalProtocolError:
            log.debug("too late to tell somebody")

    def dismiss(self, code):
        log.info("dismissing somebody: {code}", code=code)
        self.leaving = True
        self.talk.visitors.pop(id(self), None)
        try:
            self.transport.loseConnection(code)
        except LocalProtocolError:
            log.debug("gone already")


class Sockets(WebSocketResource):
    def __init__(self, talk):
        super().__init__(self)
        self.talk = talk

    def buildProtocol(self, request):
        return Visitor(self.talk)

    def render_GET(self, request):
        try:
            return super().render_GET(request)
        except (ProtocolError, UnicodeDecodeError):
            log.info("that was no handshake")
            request.setResponseCode(400)
            return b"no handshake"
