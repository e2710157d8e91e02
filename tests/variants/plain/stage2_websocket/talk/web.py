"""What the server answers at which address."""

from h11 import ProtocolError
from twisted.logger import Logger
from twisted.web.pages import errorPage
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.websocket import WebSocketResource

from .conversation import Conversation
from .guest import Guest

log = Logger()


def talk_site(origins):
    """Return a server for pages from `origins`, a set of bytes."""
    root = Resource()
    root.putChild(b"ws", Sockets(Conversation(), origins))
    return Site(root)


class Sockets(WebSocketResource):
    def __init__(self, conversation, origins):
        super().__init__(self)
        self.conversation, self.origins = conversation, origins

    def buildProtocol(self, request):
        return Guest(self.conversation)

    def render_GET(self, request):
        origin = request.getHeader(b"Origin")
        if origin not in self.origins:
            log.warn("No socket for a page of {origin!r}.", origin=origin)
            return errorPage(403, "Forbidden", "For our own pages.").render(request)
        try:
            return super().render_GET(request)
        except (ProtocolError, UnicodeDecodeError) as error:
            log.warn("No handshake: {error}", error=error)
            return errorPage(400, "Bad Request", "No handshake.").render(request)
