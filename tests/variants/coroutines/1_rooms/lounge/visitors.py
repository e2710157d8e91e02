"""Those who come by WebSocket."""

from h11 import ProtocolError
from twisted.internet import reactor
from twisted.logger import Logger
from twisted.web.websocket import WebSocketResource
from wsproto.utilities import LocalProtocolError

import passes
from lounge.talk import LIMIT

PATIENCE = 5  # seconds until somebody has shown a pass

log = Logger()


class Visitor:
    """Somebody at the other end of a WebSocket."""

    def __init__(self, house):
        self.house = house
        self.talk = None  # until there was a pass
        self.leaving = False
        self.alarm = None

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        self.transport.detachProducer()
        self.alarm = reactor.callLater(PATIENCE, self.dismiss, 4408)

    def textMessageReceived(self, text):
        if self.leaving:
            return
        if len(text) > LIMIT:
            self.dismiss(1009)
        elif self.talk is None:
            self.enter(text)
        else:
            self.talk.say(text)

    def enter(self, token):
        self.alarm.cancel()
        try:
            self.talk = self.house.enter(token)
        except passes.NoPass:
            self.dismiss(4401)
        except passes.Expired:
            self.dismiss(4410)
        else:
            self.talk.visitors[id(self)] = self
            self.tell("connected ....")

    def bytesMessageReceived(self, data):
        if not self.leaving:
            self.dismiss(1003)

    def pongReceived(self, payload):
        pass

    def connectionLost(self, reason):
        self.leave()

    def leave(self):
        if self.alarm and self.alarm.active():
            self.alarm.cancel()
        if self.talk:
            self.talk.visitors.pop(id(self), None)

    def tell(self, text):
        try:
            self.transport.sendTextMessage(text)
        except LocalProtocolError:
            log.debug("too late to tell somebody")

    def dismiss(self, code):
        log.info("dismissing somebody: {code}", code=code)
        self.leaving = True
        self.leave()
        try:
            self.transport.loseConnection(code)
        except LocalProtocolError:
            log.debug("gone already")


class Sockets(WebSocketResource):
    def __init__(self, house):
        super().__init__(self)
        self.house = house

    def buildProtocol(self, request):
        return Visitor(self.house)

    def render_GET(self, request):
        try:
            return super().render_GET(request)
        except (ProtocolError, UnicodeDecodeError):
            log.info("that was no handshake")
            request.setResponseCode(400)
            return b"no handshake"
