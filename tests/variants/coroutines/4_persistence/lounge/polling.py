"""Those who ask."""

import json

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

import passes
from lounge.talk import LIMIT, Gone, NotNow
from lounge.words import is_id, mend

AT_MOST = 25  # seconds that somebody waits for an answer

log = Logger()


@implementer(IPushProducer)
class Slowly:
    """Finishes a request when its answer was read: then comes the next one's turn."""

    def __init__(self, request, answer):
        self.request, self.reads = request, True
        request.registerProducer(self, True)
        # In two pieces, as it is long at times.
        request.write(answer[:7])
        request.write(answer[7:])
        if self.reads:
            self.resumeProducing()

    def pauseProducing(self):
        self.reads = False
        self.boredom = reactor.callLater(60, self.request.transport.abortConnection)

    def resumeProducing(self):
        self.stopProducing()
        self.request.unregisterProducer()
        self.request.finish()

    def stopProducing(self):
        if not self.reads and self.boredom.active():
            self.boredom.cancel()


class Polling(Resource):
    isLeaf = True

    def __init__(self, house, pages):
        super().__init__()
        self.house = house
        self.pages = pages

    def render(self, request):
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"vary", b"Origin")
        origin = request.getHeader(b"origin")
        if origin is not None:
            if origin not in self.pages:
                return self.complain(request, 403, "nobody from elsewhere")
            request.setHeader(b"access-control-allow-origin", origin)
        if request.method == b"OPTIONS":
            return super().render(request)
        try:
            header = request.getHeader(b"authorization") or b""
            scheme, _, token = header.partition(b" ")
            if scheme.lower() != b"bearer":
                raise passes.NoPass
            request.room = passes.read(token.decode())
        except passes.Expired:
            return self.stop(request, "that token has expired")
        except (UnicodeDecodeError, passes.NoPass):
            return self.stop(request, "there is no good token")
        return super().render(request)

    def stop(self, request, sentence):
        request.setHeader(b"www-authenticate", b"Bearer")
        return self.complain(request, 401, sentence)

    def render_OPTIONS(self, request):
        request.setHeader(b"access-control-allow-methods", b"GET, HEAD, POST")
        request.setHeader(
            b"access-control-allow-headers", b"content-type, authorization"
        )
        request.setHeader(b"access-control-max-age", b"600")
        return b"You may."

    def render_GET(self, request):
        cursor = None
        if b"epoch" in request.args or b"seq" in request.args:
            try:
                seq = int(request.args[b"seq"][0])
                cursor = request.args[b"epoch"][0].decode(), seq
            except (KeyError, ValueError):
                return self.complain(request, 400, "a cursor is an epoch and a number")
        at_once = request.args.get(b"wait") == [b"0"]
        return self.later(request, self.listen(request.room, cursor, at_once))

    async def listen(self, room, cursor, at_once):
        talk = await self.house.enter(room)
        if at_once:
            return talk.since(cursor)
        news = Deferred.fromCoroutine(talk.news(cursor))
        news.addTimeout(AT_MOST, reactor, lambda failure, after: talk.batch([]))
        return await news

    def render_POST(self, request):
        try:
            name = str(request.args.get(b"id", [b""])[-1], "utf-8")
            text = str(request.args.get(b"new_message", [b""])[-1], "utf-8")
        except UnicodeDecodeError:
            return self.complain(request, 400, "send UTF-8")
        if not is_id(name):
            return self.complain(request, 400, "give it an id")
        if not text.strip():
            return self.complain(request, 400, "say something")
        if len(text) > LIMIT:
            return self.complain(request, 413, f"at most {LIMIT} characters")
        return self.later(request, self.speak(request.room, name, mend(text)))

    async def speak(self, room, name, text):
        talk = await self.house.enter(room)
        return talk.batch([await talk.say(name, text)])

    def later(self, request, coroutine):
        """Answer with the batch that the coroutine returns."""
        answer = Deferred.fromCoroutine(coroutine)
        answer.addCallback(lambda batch: json.dumps(batch, indent=1).encode())
        answer.addErrback(self.explain, request)
        answer.addCallback(self.send, request)
        answer.addErrback(lambda failure: failure.trap(CancelledError))
        answer.addErrback(lambda failure: log.failure("an answer", failure))
        request.notifyFinish().addErrback(lambda reason: answer.cancel())
        return NOT_DONE_YET

    def explain(self, failure, request):
        if failure.check(Gone):
            return self.complain(request, 404, "that room is gone")
        failure.trap(NotNow)
        request.setHeader(b"retry-after", b"2")
        return self.complain(request, 503, "the database is away")

    def complain(self, request, status, sentence):
        log.info("{status}: {sentence}", status=status, sentence=sentence)
        request.setResponseCode(status)
        return json.dumps({"error": sentence, "status": 0}).encode()

    def send(self, answer, request):
        Slowly(request, answer)
