"""Those who come by WebSocket."""

import json

from h11 import ProtocolError
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.websocket import WebSocketResource
from wsproto.utilities import LocalProtocolError

import passes
from lounge.talk import LIMIT, Gone, NotNow
from lounge.words import is_id, mend

PATIENCE = 5  # seconds until somebody has shown a pass
TOO_MUCH = 1_000_000  # bytes for somebody who does not read
TOO_LONG = 60  # seconds without reading

log = Logger()


class Visitor:
    """Somebody at the other end of a WebSocket."""

    def __init__(self, house):
        self.house = house
        self.entering = False
        self.talk = None  # until it is let in
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
                    not self.entering and type(seq) is int
                ):
                    self.start(self.enter(token, (epoch, seq)))
                case {"token": str(token), **rest} if (
                    not self.entering and not rest.keys() & {"epoch", "seq"}
                ):
                    self.start(self.enter(token, None))
                case {"id": str(name), "text": str(words)} if self.talk and is_id(name):
                    self.start(self.speak(name, words))
                case _:
                    self.dismiss(4400)
        except (ValueError, RecursionError):
            self.dismiss(4400)

    def start(self, coroutine):
        Deferred.fromCoroutine(coroutine).addErrback(
            lambda failure: log.failure("a visitor", failure)
        )

    async def speak(self, name, words):
        if len(words) > LIMIT:
            self.dismiss(1009)
            return
        heard = self.talk.count
        try:
            message = await self.talk.say(name, mend(words))
        except Gone:
            return  # and so is everybody in it
        except NotNow:
            error = "the database is away"
            self.tell({"status": 0, "id": name, "error": error})
            return
        if message["seq"] <= heard:
            self.tell(self.talk.batch([message]))

    async def enter(self, token, cursor):
        self.entering = True
        self.alarm.cancel()
        try:
            talk = await self.house.enter(passes.read(token))
        except passes.NoPass:
            self.dismiss(4401)
        except passes.Expired:
            self.dismiss(4410)
        except Gone:
            self.dismiss(4404)
        except NotNow:
            self.dismiss(1013)
        else:
            if not self.leaving:
                self.talk = talk
                talk.visitors[id(self)] = self
                self.tell(talk.since(cursor))

    def bytesMessageReceived(self, data):
        if not self.leaving:
            self.dismiss(1003)

    def pongReceived(self, payload):
        pass

    def connectionLost(self, reason):
        self.leaving = True
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
        if self.leaving:
            return
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
        if self.leaving:
            return
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
