"""The addresses of the chat server: /ws for sockets, / for long polling."""

import json
import math

from django.core.signing import BadSignature, SignatureExpired
from h11 import ProtocolError
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.websocket import WebSocketResource

from .messages import MAX_LENGTH, Message

log = Logger()


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


class HttpChat(Resource):
    """Long polling: a client asks what comes after `lastupdate`, again and again."""

    throttle = 1  # seconds between two looks at the requests that wait

    def __init__(self, factory, origins):
        super().__init__()
        self.factory = factory
        self.origins = origins

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
            request.lastupdate = float(request.args.get(b"lastupdate", [b"0"])[0])
        except ValueError:
            request.lastupdate = math.nan
        if not math.isfinite(request.lastupdate):
            return self.refuse(request, 400, "lastupdate is not a number")
        if request.lastupdate < 0:
            return self.format_response(Message(0.0, "connected..."))
        message = room.messages.next_after(request.lastupdate)
        if message:
            return self.format_response(message)
        room.delayed_requests.append(request)
        # Fires if the client leaves while it waits: nobody is left to answer.
        request.notifyFinish().addErrback(
            lambda reason: room.delayed_requests.remove(request)
        )
        return NOT_DONE_YET

    def render_POST(self, request):
        room = self.enter(request)
        try:
            text = request.args.get(b"new_message", [b""])[0].decode()
        except UnicodeDecodeError:
            return self.refuse(request, 400, "new_message is not UTF-8")
        if not text.strip():
            return self.refuse(request, 400, "new_message is missing or blank")
        if len(text) > MAX_LENGTH:
            return self.refuse(request, 413, "new_message is too long")
        message = room.say(text)
        self.process_room(room)
        return self.format_response(message)

    def processDelayedRequests(self):
        for room in list(self.factory.rooms.values()):
            self.process_room(room)

    def process_room(self, room):
        """Answer the requests that wait, where there is something to say now."""
        # A copy, because the loop takes requests off the list.
        for request in list(room.delayed_requests):
            message = room.messages.next_after(request.lastupdate)
            # A POST that waits behind it on its connection runs as soon as it is
            # answered, and comes here, too: who was answered there is off the list.
            if message and request in room.delayed_requests:
                room.delayed_requests.remove(request)
                request.write(self.format_response(message))
                request.finish()

    def refuse(self, request, code, why):
        log.warn("Refusing a request: {why}", why=why)
        request.setResponseCode(code)
        if code == 401:
            request.setHeader(b"www-authenticate", b"Bearer")
        return json.dumps({"status": 0, "error": why}).encode()

    def format_response(self, message):
        reply = {"status": 1, "timestamp": message.published_at, "data": message.text}
        return json.dumps(reply).encode()
