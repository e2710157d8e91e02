"""The chat server: what one client says, every client hears.

Clients come by WebSocket, or by long polling: they ask for the next message, and the
answer waits until there is one. Both see one conversation.

Start it with:  twistd -n -y chatserver.py
"""

import json
import math
import os
import threading
import time
from contextlib import suppress

from h11 import ProtocolError
from twisted.application import internet, service, strports
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.websocket import WebSocketResource
from wsproto.utilities import LocalProtocolError

PORT = os.environ.get("CHAT_PORT") or "1025"
DEFAULT_ORIGINS = "http://127.0.0.1:8000,http://localhost:8000"


def as_browsers_send(origin):
    """In small letters, and without the port that everybody knows."""
    scheme, _, host = origin.strip().rstrip("/").lower().partition("://")
    usual = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{host.removesuffix(usual)}".encode()


NAMED = os.environ.get("CHAT_ORIGINS") or DEFAULT_ORIGINS
ORIGINS = [as_browsers_send(origin) for origin in NAMED.split(",")]
MAX_LENGTH = 4096  # characters in one message

log = Logger("chatserver")


class WebsocketChat:
    """One client: a browser window with an open WebSocket."""

    refused = False

    def __init__(self, factory):
        self.factory = factory

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        # Twisted's HTTP code still throttles this connection: it is registered as
        # its producer. Let go of it, or a close may never finish.
        self.transport.detachProducer()
        log.info("Got new client!")
        self.factory.clients.append(self)
        self.send("connected ....")

    def connectionLost(self, reason):
        log.info("Lost a client!")
        self.factory.clients.remove(self)

    def textMessageReceived(self, message):
        if self.refused:
            return  # It was on its way already.
        if len(message) > MAX_LENGTH:
            self.refuse(1009, "message too long")
        else:
            self.factory.store(message)
            self.factory.updateClients(message)

    def bytesMessageReceived(self, data):
        if not self.refused:
            self.refuse(1003, "binary message")

    def pongReceived(self, payload):
        pass  # Twisted calls it, so it has to exist.

    def send(self, message):
        # Sending to a client that is closing raises this, in the middle of what
        # somebody else says. The speaker must not pay for it.
        with suppress(LocalProtocolError):
            self.transport.sendTextMessage(message)

    def refuse(self, code, why):
        log.warn("Closing a client: {why}", why=why)
        self.refused = True
        with suppress(LocalProtocolError):
            self.transport.loseConnection(code)


class ChatFactory:
    """The one object that all clients share, so it knows who is there."""

    clients = []
    messages = {}  # stamp -> text
    write_lock = threading.Lock()

    def buildProtocol(self, request):
        return WebsocketChat(self)

    def store(self, message):
        """Stamp a message and make it visible, as one step. Returns the stamp.

        Today only the reactor's thread comes here (see `python -m lab threads`), so
        nobody waits for the lock. It counts on the day that another thread posts.
        """
        with self.write_lock:
            newest = next(reversed(self.messages), 0.0)  # the last one stored
            # Later than the newest, even if the clock stood still or was set back.
            stamp = max(time.time(), math.nextafter(newest, math.inf))
            self.messages[stamp] = message
        return stamp

    def updateClients(self, message):
        for client in self.clients:
            client.send(message)


class ChatResource(WebSocketResource):
    """Opens a WebSocket, but only for our own pages."""

    def render_GET(self, request):
        # Browsers let any site open a WebSocket to any other, and say in the
        # Origin header which site it was. The server has to look.
        origin = request.getHeader(b"origin")
        if origin not in ORIGINS:
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

    def __init__(self, factory):
        super().__init__()
        self.factory = factory
        self.messages = factory.messages
        self.delayed_requests = []

    def render(self, request):
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"vary", b"Origin")
        origin = request.getHeader(b"origin")
        if origin in ORIGINS:
            request.setHeader(b"access-control-allow-origin", origin)
        elif origin is not None:  # a program that is no browser sends none
            return self.refuse(request, 403, f"origin {origin} may not speak here")
        return super().render(request)

    def render_OPTIONS(self, request):
        # Before an unusual request, a browser asks whether it may send it.
        request.setHeader(b"access-control-allow-methods", b"GET, POST")
        request.setHeader(b"access-control-allow-headers", b"content-type")
        return b""

    def render_GET(self, request):
        try:
            request.lastupdate = float(request.args.get(b"lastupdate", [b"0"])[0])
        except ValueError:
            request.lastupdate = math.nan
        if not math.isfinite(request.lastupdate):
            return self.refuse(request, 400, "lastupdate is not a number")
        if request.lastupdate < 0:
            return self.__format_response(1, "connected...", 0.0)
        message = self.getData(request.lastupdate)
        if message:
            return self.__format_response(1, message.text, message.published_at)
        self.delayed_requests.append(request)
        # Fires if the client leaves while it waits: nobody is left to answer.
        request.notifyFinish().addErrback(
            lambda reason: self.delayed_requests.remove(request)
        )
        return NOT_DONE_YET

    def render_POST(self, request):
        try:
            text = request.args.get(b"new_message", [b""])[0].decode()
        except UnicodeDecodeError:
            return self.refuse(request, 400, "new_message is not UTF-8")
        if not text.strip():
            return self.refuse(request, 400, "new_message is missing or blank")
        if len(text) > MAX_LENGTH:
            return self.refuse(request, 413, "new_message is too long")
        published_at = self.factory.store(text)
        self.factory.updateClients(text)
        self.processDelayedRequests()
        return self.__format_response(1, text, published_at)

    def getData(self, lastupdate):
        """Return the next message after `lastupdate`, None if there is none yet."""
        for published_at in sorted(self.messages):
            if published_at > lastupdate:
                # A class made on the fly, because Python can.
                attributes = {
                    "published_at": published_at,
                    "text": self.messages[published_at],
                }
                return type("Message", (), attributes)()
        return None

    def processDelayedRequests(self):
        """Answer the requests that wait, where there is something to say now."""
        for request in self.delayed_requests:
            message = self.getData(request.lastupdate)
            if message:
                reply = self.__format_response(1, message.text, message.published_at)
                self.delayed_requests.remove(request)
                request.write(reply)
                request.finish()

    def refuse(self, request, code, why):
        log.warn("Refusing a request: {why}", why=why)
        request.setResponseCode(code)
        return json.dumps({"status": 0, "error": why}).encode()

    def __format_response(self, status, data, timestamp=time.time()):
        reply = {"status": status, "timestamp": timestamp, "data": data}
        return json.dumps(reply).encode()


factory = ChatFactory()
http_chat = HttpChat(factory)

root = Resource()
root.putChild(b"", http_chat)
root.putChild(b"ws", ChatResource(factory))

application = service.Application("chatserver")
chat_service = strports.service(f"tcp:{PORT}:interface=127.0.0.1", Site(root))
chat_service.setServiceParent(application)

# What comes by WebSocket wakes no request that waits; the sweep finds it.
sweep = internet.TimerService(http_chat.throttle, http_chat.processDelayedRequests)
sweep.setServiceParent(application)
