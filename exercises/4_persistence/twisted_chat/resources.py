"""The addresses of the chat server: /ws for sockets, / for long polling."""

import json

from django.core.signing import BadSignature, SignatureExpired
from h11 import ProtocolError
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.websocket import WebSocketResource
from zope.interface import implementer

from .database import NoSuchRoom, NotNow
from .messages import MAX_ID, MAX_LENGTH, storable

log = Logger()


class ChatSite(Site):
    """Logs what was refused. A line for each poll would cost as much as the poll."""

    def log(self, request):
        if request.code >= 400:
            super().log(request)


class ChatResource(WebSocketResource):
    """Opens a WebSocket, but only for our own pages."""

    def __init__(self, factory, origins):
        super().__init__(factory)
        self.origins = origins

    def render_GET(self, request):
        # Browsers let any site open a WebSocket to any other, and say in the
        # Origin header which site it was. The server has to look.
        origin = request.getHeader(b"origin")
        if origin not in self.origins:
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


@implementer(IPushProducer)
class Answer(TimeoutMixin):
    """Writes an answer, and finishes the request when the client has read it.

    When a request is finished, Twisted answers the next one on its connection, whether
    or not somebody reads.
    """

    reading_seconds = 60
    paused = False

    def __init__(self, request, body, reactor):
        self.request = request
        self.callLater = reactor.callLater  # for setTimeout
        request.setHeader(b"content-length", b"%d" % len(body))
        request.registerProducer(self, True)
        request.write(body)
        if not self.paused:
            self.resumeProducing()

    def pauseProducing(self):
        # More than 64 kB wait in the transport.
        self.paused = True
        self.setTimeout(self.reading_seconds)

    def resumeProducing(self):
        self.setTimeout(None)
        self.request.unregisterProducer()
        self.request.finish()

    def timeoutConnection(self):
        log.warn("Dropping a request: nobody reads the answer")
        self.request.transport.abortConnection()

    def stopProducing(self):
        self.setTimeout(None)  # The connection is lost.


class HttpChat(Resource):
    """Long polling: a client asks what comes after its cursor, again and again."""

    longest_poll = 25  # seconds: many a proxy gives up after 30

    def __init__(self, factory, origins, reactor):
        super().__init__()
        self.factory = factory
        self.origins = origins
        self.reactor = reactor

    def render(self, request):
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"vary", b"Origin")
        origin = request.getHeader(b"origin")
        if origin in self.origins:
            request.setHeader(b"access-control-allow-origin", origin)
        elif origin is not None:  # a program that is no browser sends none
            return self.refuse(request, 403, f"origin {origin} may not speak here")
        try:
            return super().render(request)
        except SignatureExpired:
            return self.refuse(request, 401, "the token has expired")
        except BadSignature:
            return self.refuse(request, 401, "the token is missing or none of ours")

    def render_OPTIONS(self, request):
        # Before an unusual request, a browser asks whether it may send it. A token
        # makes every request unusual, so it is good to be asked rarely.
        request.setHeader(b"access-control-allow-methods", b"GET, POST")
        request.setHeader(
            b"access-control-allow-headers", b"authorization, content-type"
        )
        request.setHeader(b"access-control-max-age", b"600")
        return b""

    def enter(self, request):
        """Return the room that the request's token opens. Raises BadSignature."""
        # In a header, because addresses are written into logs.
        header = request.getHeader(b"authorization") or b""
        scheme, _, token = header.partition(b" ")
        if scheme.lower() != b"bearer":
            token = b""
        return self.factory.enter(token.decode("latin-1"))

    def render_GET(self, request):
        room = self.enter(request)
        try:
            cursor = self.cursor(request.args)
        except ValueError:
            return self.refuse(request, 400, "epoch and seq are no cursor")
        batch = room.ready()
        if cursor is None or request.args.get(b"wait") == [b"0"]:
            batch.addCallback(lambda room: room.catch_up(cursor))
        else:
            batch.addCallback(self.wait_for_news, cursor)
        return self.answer_later(batch, request)

    def wait_for_news(self, room, cursor):
        news = room.news_after(cursor)
        # After that time it is answered with nothing new.
        return news.addTimeout(
            self.longest_poll, self.reactor, lambda *_: room.catch_up(cursor)
        )

    def cursor(self, args):
        """Return where a client stands, None if it is new. Raises ValueError."""
        epoch, seq = (args.get(name, [None])[0] for name in (b"epoch", b"seq"))
        if epoch is None and seq is None:
            return None
        if epoch is None or seq is None:
            raise ValueError("half of the cursor is missing")
        return epoch.decode("latin-1"), int(seq)

    def answer_later(self, batch, request):
        """Answer with the batch of which this is a Deferred."""
        # Fires if the client leaves while it waits: nobody is left to answer.
        request.notifyFinish().addErrback(lambda reason: batch.cancel())
        batch.addCallbacks(str.encode, self.explain, errbackArgs=[request])
        batch.addCallback(self.answer, request)
        batch.addErrback(lambda failure: failure.trap(CancelledError))
        return NOT_DONE_YET

    def explain(self, failure, request):
        if failure.trap(NoSuchRoom, NotNow) is NoSuchRoom:
            return self.refuse(request, 404, "the room was deleted")
        request.setHeader(b"retry-after", b"1")
        return self.refuse(request, 503, "try again later")

    def answer(self, body, request):
        Answer(request, body, self.reactor)

    def render_POST(self, request):
        room = self.enter(request)
        try:
            text, id = (
                request.args.get(name, [b""])[0].decode()
                for name in (b"new_message", b"id")
            )
        except UnicodeDecodeError:
            return self.refuse(request, 400, "new_message is not UTF-8")
        if not text.strip():
            return self.refuse(request, 400, "new_message is missing or blank")
        if not 0 < len(id) <= MAX_ID or storable(id) != id:
            return self.refuse(request, 400, "id is missing, too long, or not storable")
        if len(text) > MAX_LENGTH:
            return self.refuse(request, 413, "new_message is too long")
        stored = room.ready().addCallback(lambda room: room.say(text, id))
        batch = stored.addCallback(lambda message: room.batch([message]))
        return self.answer_later(batch, request)

    def refuse(self, request, code, why):
        log.warn("Refusing a request: {why}", why=why)
        request.setResponseCode(code)
        if code == 401:
            request.setHeader(b"www-authenticate", b"Bearer")
        return json.dumps({"status": 0, "error": why}).encode()
