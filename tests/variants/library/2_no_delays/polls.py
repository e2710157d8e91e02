"""Long polling: `GET /?lastupdate=...` and `POST /` with `new_message=...`."""

import json
import math

from twisted.internet import reactor
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from sockets import MAX_LENGTH
from tickets import BadSignature, SignatureExpired, number_on

HEADERS = {
    b"Content-Type": b"application/json; charset=utf-8",
    b"Cache-Control": b"no-store",
    b"Vary": b"Origin",
}
LONGEST = 25  # seconds for which a request waits

log = Logger()


def reply(stamp, texts):
    return json.dumps({"status": 1, "timestamp": stamp, "data": texts}).encode()


def refuse(request, status, why):
    log.warn("Refused with {status}: {why}", status=status, why=why)
    request.setResponseCode(status)
    return json.dumps({"status": 0, "error": why}).encode()


def first(request, name, default):
    """The first value of a parameter, as text. Raises UnicodeDecodeError."""
    return request.args.get(name, [default])[0].decode()


def ticket(request):
    """What the client shows, as text; nothing if it says something else.

    Raises UnicodeDecodeError.
    """
    shown = request.getHeader(b"Authorization") or b""
    kind, _, token = shown.decode().partition(" ")
    return token if kind.lower() == "bearer" else ""


@implementer(IPushProducer)
class Given:
    """An answer that is finished when it was read: the next one waits for that."""

    def __init__(self, request, body):
        self.request, self.late = request, None
        request.registerProducer(self, True)
        request.write(body)
        if self.late is None:
            self.resumeProducing()

    def pauseProducing(self):
        self.late = reactor.callLater(60, self.request.transport.abortConnection)

    def resumeProducing(self):
        self.stopProducing()
        self.request.unregisterProducer()
        self.request.finish()

    def stopProducing(self):
        if self.late and self.late.active():
            self.late.cancel()


class Polls(Resource):
    """The rooms, for those who ask for one message after the other."""

    def __init__(self, rooms, origins):
        super().__init__()
        self.rooms, self.origins = rooms, {origin.encode() for origin in origins}

    def render(self, request):
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        origin = request.getHeader(b"Origin")
        if origin is not None:
            if origin not in self.origins:
                return refuse(request, 403, "Only for pages of this chat.")
            request.setHeader(b"Access-Control-Allow-Origin", origin)
        if request.method in (b"GET", b"POST"):
            try:
                request.room = self.rooms[number_on(ticket(request))]
            except SignatureExpired:
                return self.not_let_in(request, "That ticket has expired.")
            except (BadSignature, UnicodeDecodeError):
                return self.not_let_in(request, "This takes a ticket.")
        return super().render(request)

    def not_let_in(self, request, why):
        request.setHeader(b"WWW-Authenticate", b"Bearer")
        return refuse(request, 401, why)

    def render_OPTIONS(self, request):
        request.setHeader(b"Access-Control-Allow-Methods", b"GET,POST,OPTIONS")
        request.setHeader(
            b"Access-Control-Allow-Headers", b"Authorization, Content-Type"
        )
        request.setHeader(b"Access-Control-Max-Age", b"600")
        return b"{}"

    def render_GET(self, request):
        try:
            cursor = float(first(request, b"lastupdate", b"0"))
        except ValueError:  # which UnicodeDecodeError is, too
            cursor = math.nan
        if not math.isfinite(cursor):
            return refuse(request, 400, "lastupdate is no number.")
        if cursor < 0:
            return reply(0.0, ["connected..."])
        stamp, texts = request.room.after(cursor)
        if texts:
            Given(request, reply(stamp, texts))
            return NOT_DONE_YET
        self.park(request, cursor)
        return NOT_DONE_YET

    def park(self, request, cursor):
        """Answer when there is something to say, unless the client leaves before."""

        def answer(stamp, texts):
            if bored.active():
                bored.cancel()
            if not gone:
                Given(request, reply(stamp, texts))

        def give_up():
            request.room.waiting.pop(answer, None)
            answer(cursor, [])

        def leave(reason):
            gone.append(reason)
            request.room.waiting.pop(answer, None)
            if bored.active():
                bored.cancel()

        gone = []
        bored = reactor.callLater(LONGEST, give_up)
        request.room.waiting[answer] = cursor
        request.notifyFinish().addErrback(leave)

    def render_POST(self, request):
        try:
            text = first(request, b"new_message", b"")
        except UnicodeDecodeError:
            return refuse(request, 400, "new_message is no UTF-8.")
        if not text.strip():
            return refuse(request, 400, "There is no new_message.")
        if len(text) > MAX_LENGTH:
            return refuse(request, 413, f"More than {MAX_LENGTH} characters.")
        return reply(request.room.say(text), [text])
