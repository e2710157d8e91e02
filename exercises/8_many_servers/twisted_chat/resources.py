"""The addresses of the chat server: /ws for sockets, / for long polling."""

from chat.tokens import read_token
from django.core.signing import BadSignature, SignatureExpired
from h11 import ProtocolError
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.web.http import parse_qs
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.websocket import WebSocketResource
from zope.interface import implementer

from .database import NoSuchRoom, NotNow
from .limits import Refused
from .messages import MAX_ID, MAX_LENGTH, storable

log = Logger()


class ChatResource(WebSocketResource):
    """Opens a WebSocket, but only for our own pages."""

    def render_GET(self, request):
        if request.getHeader(b"origin") is None:
            raise Refused(403, "origin", "a page says of which site it is")
        self.factory.knock(request.address)
        try:
            answer = super().render_GET(request)
        except (ProtocolError, UnicodeDecodeError):
            raise Refused(400, "strange", "this is no WebSocket handshake") from None
        if answer is NOT_DONE_YET:
            # It is a request no more. They would keep each other in memory.
            request.channel.requests.clear()
        return answer


@implementer(IPushProducer)
class Answer(TimeoutMixin):
    """Writes an answer, and finishes the request when the client has read it.

    When a request is finished, Twisted answers the next one on its connection, whether
    or not somebody reads.
    """

    paused = False

    def __init__(self, request, body, reactor, reading_seconds):
        self.request = request
        self.reading_seconds = reading_seconds
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
        self.request.unregisterProducer()


class HttpChat(Resource):
    """Long polling: a client asks what comes after its cursor, again and again."""

    longest_poll = 25  # seconds: many a proxy gives up after 30

    def __init__(self, factory, reactor):
        super().__init__()
        self.factory = factory
        self.reactor = reactor

    def render(self, request):
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        return super().render(request)

    def render_OPTIONS(self, request):
        # Before an unusual request, a browser asks whether it may send it. A token
        # makes every request unusual, so it is good to be asked rarely.
        request.setHeader(b"access-control-allow-methods", b"GET, POST")
        request.setHeader(
            b"access-control-allow-headers", b"authorization, content-type"
        )
        request.setHeader(b"access-control-max-age", b"600")
        return b""

    def expired(self):
        return Refused(401, "token", "the token has expired")

    def ticket(self, request):
        """Return what the request's token says. Raises Refused."""
        # In a header, because addresses are written into logs.
        header = request.getHeader(b"authorization") or b""
        scheme, _, token = header.partition(b" ")
        if scheme.lower() != b"bearer":
            token = b""
        try:
            return read_token(token.decode("latin-1"))
        except SignatureExpired:
            self.factory.knock(request.address)
            raise self.expired() from None
        except BadSignature:
            self.factory.knock(request.address)
            raise Refused(
                401, "token", "the token is missing or none of ours"
            ) from None

    def render_GET(self, request):
        ticket = self.ticket(request)
        try:
            cursor = self.cursor(request.args)
        except ValueError:
            raise Refused(400, "bad", "epoch and seq are no cursor") from None
        here = request.args.get(b"here", [None])[0]
        if here is not None:
            here = here.decode("latin-1")
        batch = self.factory.enter(ticket).ready()
        batch.addCallback(lambda room: room.comes_to(cursor))
        if cursor is None or request.args.get(b"wait") == [b"0"]:
            batch.addCallback(self.look_in, ticket, cursor)
        else:
            batch.addCallback(self.wait_for_news, ticket, cursor, here)
        return self.answer_later(batch, request)

    def look_in(self, room, ticket, cursor):
        room.presence.arrive(ticket)
        room.presence.leave(ticket)
        return self.factory.ask(ticket, room.answer(cursor))

    def wait_for_news(self, room, ticket, cursor, here):
        def leave(answer):
            room.presence.leave(ticket)
            self.factory.leave_place(ticket, "poll")
            return answer

        def time_is_up(*_):
            if left <= self.longest_poll:
                raise self.expired()
            return room.answer(cursor)  # with nothing new

        self.factory.take_place(ticket, "poll")
        room.presence.arrive(ticket)
        left = max(0, ticket.seconds_left())
        news = room.news_after(cursor, here)
        if news.called:
            news.addCallback(lambda answer: self.factory.ask(ticket, answer))
        news.addTimeout(min(left, self.longest_poll), self.reactor, time_is_up)
        return news.addBoth(leave)

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
        batch.addCallback(self.answer, request)
        batch.addErrback(self.explain, request)
        return NOT_DONE_YET

    def answer(self, text, request):
        patience = self.factory.limits.reading_seconds
        Answer(request, text.encode(), self.reactor, patience)

    def explain(self, failure, request):
        why = failure.trap(CancelledError, NoSuchRoom, NotNow, Refused)
        if why is NoSuchRoom:
            request.refuse(Refused(404, "room", "the room was deleted"))
        elif why is NotNow:
            request.refuse(Refused(503, "database", "not now, try again later", 1))
        elif why is Refused:
            request.refuse(failure.value)

    def render_POST(self, request):
        ticket = self.ticket(request)
        form = parse_qs(request.content.read(), keep_blank_values=True)
        try:
            text, id = (
                form.get(name, [b""])[0].decode() for name in (b"new_message", b"id")
            )
        except UnicodeDecodeError:
            raise Refused(400, "bad", "new_message is not UTF-8") from None
        if not text.strip():
            raise Refused(400, "bad", "new_message is missing or blank")
        if not 0 < len(id) <= MAX_ID or storable(id) != id:
            raise Refused(400, "bad", "id is missing, too long, or not storable")
        if len(text) > MAX_LENGTH:
            raise Refused(413, "too_large", "new_message is too long")
        room = self.factory.enter(ticket)
        stored = room.ready().addCallback(lambda room: room.say(text, id, ticket))
        # Its number may be one of an epoch that this server has not come to yet.
        batch = stored.addCallback(
            lambda message: room.batch([message], epoch=message.epoch)
        )
        return self.answer_later(batch, request)
