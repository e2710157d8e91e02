"""Those who come by WebSocket."""

import json

from h11 import ProtocolError
from twisted.internet import reactor
from twisted.logger import Logger
from twisted.web.websocket import WebSocketResource
from wsproto.utilities import LocalProtocolError

import passes
from lounge.talk import LIMIT, LONGEST_ID

PATIENCE = 5  # seconds until somebody has shown a pass
TOO_MUCH = 1_000_000  # bytes for somebody who does not read
TOO_LONG = 60  # seconds without reading

log = Logger()


class Visitor:
    """Somebody at the other end of a WebSocket."""

    def __init__(self, house):
        self.house = house
        self.talk = None  # until there was a pass
        self.leaving = False
        self.alarm = None
        self.reads = True
        self.boredom = None

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        self.transport.detachProducer()
        self.transport.attachProducer(self)
        self.alarm = reactor.callLater(PATIENCE, self.dismiss, 4408)

    def textMessageReceived(self, text):
        if self.leaving:
            return
        try:
            match json.loads(text):
                case {"token": str(token), "epoch": str(epoch), "seq": seq} if (
                    self.talk is None and type(seq) is int
                ):
                    self.enter(token, (epoch, seq))
                case {"token": str(token), **rest} if (
                    self.talk is None and not rest.keys() & {"epoch", "seq"}
                ):
                    self.enter(token, None)
                case {"id": str(name), "text": str(words)} if (
                    self.talk and 0 < len(name) <= LONGEST_ID
                ):
                    self.speak(name, words)
                case _:
                    self.dismiss(4400)
        except (ValueError, RecursionError):
            self.dismiss(4400)

    def speak(self, name, words):
        if len(words) > LIMIT:
            self.dismiss(1009)
            return
        known = name in self.talk.ids
        message = self.talk.say(name, words)
        if known:
            self.tell(self.talk.batch([message]))

    def enter(self, token, cursor):
        self.alarm.cancel()
        try:
            self.talk = self.house.enter(token)
        except passes.NoPass:
            self.dismiss(4401)
        except passes.Expired:
            self.dismiss(4410)
        else:
            self.talk.visitors[id(self)] = self
            self.tell(self.talk.since(cursor))

    def bytesMessageReceived(self, data):
        if not self.leaving:
            self.dismiss(1003)

    def pongReceived(self, payload):
        pass

    def connectionLost(self, reason):
        self.leave()

    def wake_up(self):
        if self.boredom and self.boredom.active():
            self.boredom.cancel()

    def leave(self):
        self.wake_up()
        if self.alarm and self.alarm.active():
            self.alarm.cancel()
        if self.talk:
            self.talk.visitors.pop(id(self), None)

    # Twisted calls the next three: more is in its buffer than it likes, or nothing.

    def pauseProducing(self):
        if self.reads:  # Twisted calls this with each write.
            self.reads = False
            self.unread = 0
            self.boredom = reactor.callLater(TOO_LONG, self.hang_up)

    def resumeProducing(self):
        self.reads = True
        self.wake_up()
        if self.transport.transport.disconnecting:
            self.transport.detachProducer()  # or the transport waits for more

    def stopProducing(self):
        pass

    def tell(self, batch):
        text = json.dumps(batch)
        if not self.reads:
            self.unread += len(text)
            if self.unread > TOO_MUCH:
                self.hang_up()
                return
        try:
            self.transport.sendTextMessage(text)
        except LocalProtocolError:
            log.debug("too late to tell somebody")

    def hang_up(self):
        """End it at once: a goodbye would not be read."""
        log.info("somebody does not read")
        self.leaving = True
        self.leave()
        self.transport.transport.abortConnection()

    def dismiss(self, code):
        log.info("dismissing somebody: {code}", code=code)
        self.leaving = True
        self.leave()
        try:
            self.transport.detachProducer()
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
