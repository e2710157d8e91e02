"""The conversation for those who ask and ask again."""

import json
from math import isfinite

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from .conversation import LONGEST


class Refused(Exception):
    """An HTTP status, and why."""


class Polls(Resource):
    log = Logger()
    greeting = 0.0, "connected..."

    def __init__(self, conversation, origins):
        super().__init__()
        self.conversation, self.origins = conversation, origins

    def render(self, request):
        request.setHeader("Cache-Control", "no-store")
        request.setHeader("Content-Type", "application/json")
        request.setHeader("Vary", "origin")
        try:
            self.check_origin(request)
            return super().render(request)
        except Refused as refused:
            status, why = refused.args
            self.log.warn("Refused with {status}: {why}.", status=status, why=why)
            request.setResponseCode(status)
            return json.dumps({"status": 0, "error": why}).encode()

    def check_origin(self, request):
        origin = request.getHeader(b"Origin")
        if origin is None:
            return  # no browser
        if origin not in self.origins:
            raise Refused(403, "this is for our own pages")
        request.setHeader(b"Access-Control-Allow-Origin", origin)

    def render_OPTIONS(self, request):
        request.setHeader("Access-Control-Allow-Methods", "*")
        request.setHeader("Access-Control-Allow-Headers", "*")
        request.setResponseCode(204)
        return b""

    def render_GET(self, request):
        try:
            [cursor] = request.args.get(b"lastupdate", [b"0"])
            stamp = float(cursor)
        except ValueError:
            raise Refused(400, "lastupdate should be a number") from None
        if not isfinite(stamp):
            raise Refused(400, "lastupdate should be a finite number")
        if stamp < 0:
            return reply(*self.greeting)

        answer = self.conversation.line_after(stamp)
        request.notifyFinish().addErrback(lambda gone: answer.cancel())
        answer.addCallback(lambda line: finish(request, reply(*line)))
        answer.addErrback(lambda failure: failure.trap(CancelledError))
        return NOT_DONE_YET

    def render_POST(self, request):
        try:
            text = request.args.get(b"new_message", [b""])[0].decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(400, "new_message should be UTF-8") from None
        if not text or text.isspace():
            raise Refused(400, "new_message should be there, and not blank")
        if len(text) > LONGEST:
            raise Refused(413, f"new_message should have {LONGEST} characters at most")
        return reply(*self.conversation.say(text))


def reply(stamp, text):
    line = {"data": text, "timestamp": stamp, "status": 1}
    return json.dumps(line, indent=1).encode()


def finish(request, body):
    for part in body.splitlines(keepends=True):
        request.write(part)
    request.finish()
