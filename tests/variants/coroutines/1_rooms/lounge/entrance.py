"""Where everybody arrives."""

from twisted.logger import Logger
from twisted.web.resource import ForbiddenResource, Resource

from lounge.polling import Polling
from lounge.visitors import Sockets

log = Logger()


class Entrance(Resource):
    """Lets nobody pass to the sockets who comes from somebody else's page."""

    def __init__(self, house, pages):
        super().__init__()
        self.sockets = Sockets(house)
        self.pages = pages
        self.putChild(b"", Polling(house, pages))

    def getChild(self, name, request):
        if name != b"ws":
            return super().getChild(name, request)
        if request.getHeader(b"origin") not in self.pages:
            log.info("nobody from elsewhere")
            return ForbiddenResource()
        return self.sockets
