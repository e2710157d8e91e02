"""Those who ask."""

import json
import math

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from lounge.talk import LIMIT

log = Logger()


class Polling(Resource):
    isLeaf = True

    def __init__(self, talk, pages):
        super().__init__()
        self.talk = talk
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
