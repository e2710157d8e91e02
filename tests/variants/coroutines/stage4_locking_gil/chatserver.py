"""The chat server. Run it:  twistd -n -y chatserver.py"""

import json
import math
import os
import threading
import time
from collections import deque

from h11 import ProtocolError
from twisted.application import internet, service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.resource import ForbiddenResource, Resource
from twisted.web.server import NOT_DONE_YET, Site
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


class Talk:
    """What was said, who hears it at once, and who waits for it."""

    def __init__(self):
        self.began = time.time()
        self.said = deque()  # pairs of a stamp and a text
        self.visitors = {}
        self.sleepers = []  # a Deferred for each
        self.one_at_a_time = threading.Lock()

    def say(self, text):
        """Keep a text and tell everybody. Returns its stamp.

        A stamp counts messages, from the time at which the server began.
        """
        with self.one_at_a_time:
            # Counting and keeping are one step, or a stamp could come too late.
            stamp = self.began + (len(self.said) + 1) / 100_000
            self.said.append((stamp, text))
        for visitor in list(self.visitors.values()):
            visitor.tell(text)
        sleepers, self.sleepers = self.sleepers, []
        for sleeper in sleepers:
            sleeper.callback(None)
        return stamp

    async def after(self, cursor):
        """Wait for the first message after the cursor: a stamp and a text."""
        while True:
            # A copy, as somebody may speak meanwhile.
            for stamp, text in self.said.copy():
                if stamp > cursor:
                    return stamp, text
            sleeper = Deferred(self.sleepers.remove)
            self.sleepers.append(sleeper)
            await sleeper


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


class Polling(Resource):
    isLeaf = True

    def __init__(self, talk):
        super().__init__()
        self.talk = talk

    def render(self, request):
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"vary", b"Origin")
        origin = request.getHeader(b"origin")
        if origin is not None:
            if origin not in PAGES.split(b","):
                return self.complain(request, 403, "nobody from elsewhere")
            request.setHeader(b"access-control-allow-origin", origin)
        return super().render(request)

    def render_OPTIONS(self, request):
        request.setHeader(b"access-control-allow-methods", b"GET, HEAD, POST")
        request.setHeader(b"access-control-allow-headers", b"content-type, accept")
        request.setHeader(b"access-control-max-age", b"60")
        return b"You may."

    def render_GET(self, request):
        try:
            cursor = float(request.args.get(b"lastupdate", [b"0"])[-1])
        except ValueError:
            cursor = math.nan
        if not math.isfinite(cursor):
            return self.complain(request, 400, "that cursor is no number")
        if cursor < 0:
            return self.reply(0.0, "connected...")
        answer = Deferred.fromCoroutine(self.talk.after(cursor))
        answer.addCallback(lambda news: self.send(request, self.reply(*news)))
        answer.addErrback(lambda failure: failure.trap(CancelledError))
        request.notifyFinish().addErrback(lambda reason: answer.cancel())
        return NOT_DONE_YET

    def render_POST(self, request):
        try:
            text = str(request.args.get(b"new_message", [b""])[-1], "utf-8")
        except UnicodeDecodeError:
            return self.complain(request, 400, "send UTF-8")
        if not text.strip():
            return self.complain(request, 400, "say something")
        if len(text) > LIMIT:
            return self.complain(request, 413, f"at most {LIMIT} characters")
        return self.reply(self.talk.say(text), text)

    def reply(self, stamp, text):
        content = {"data": text, "timestamp": stamp, "status": 1}
        return json.dumps(content, ensure_ascii=False, indent=1).encode()

    def complain(self, request, status, sentence):
        log.info("{status}: {sentence}", status=status, sentence=sentence)
        request.setResponseCode(status)
        return json.dumps({"error": sentence, "status": 0}).encode()

    def send(self, request, answer):
        """Send the answer in two pieces, as it is long at times."""
        request.write(answer[:7])
        request.write(answer[7:])
        request.finish()


class Entrance(Resource):
    """Lets nobody pass to the sockets who comes from somebody else's page."""

    def __init__(self, talk):
        super().__init__()
        self.sockets = Sockets(talk)
        self.putChild(b"", Polling(talk))

    def getChild(self, name, request):
        if name != b"ws":
            return super().getChild(name, request)
        if request.getHeader(b"origin") not in PAGES.split(b","):
            log.info("nobody from elsewhere")
            return ForbiddenResource()
        return self.sockets


application = service.Application("lounge")
site = Site(Entrance(Talk()))
internet.TCPServer(PORT, site, interface=HOST).setServiceParent(application)
