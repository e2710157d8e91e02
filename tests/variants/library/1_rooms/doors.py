"""One port for two protocols: who knocks with `GET /ws` wants a socket."""

from twisted.internet.protocol import Factory, Protocol

from sockets import Socket

KNOCK = b"GET /ws"


class Doors(Factory):
    """Opens the right door. `site` is the factory of what speaks HTTP."""

    def __init__(self, rooms, origins, site):
        self.rooms, self.origins, self.site = rooms, origins, site

    def doStart(self):
        self.site.doStart()
        super().doStart()

    def doStop(self):
        super().doStop()
        self.site.doStop()

    def buildProtocol(self, address):
        return Doorman(self, address)

    def open(self, came, address):
        """Return the protocol for a connection that begins with the bytes `came`."""
        if came.startswith(KNOCK):
            return Socket(self.origins, self.rooms)
        return self.site.buildProtocol(address)


class Doorman(Protocol):
    """Listens to how a connection begins, and hands it over."""

    def __init__(self, doors, address):
        self.doors, self.address, self.came = doors, address, b""

    def dataReceived(self, data):
        self.came += data
        if len(self.came) < len(KNOCK) and KNOCK.startswith(self.came):
            return  # It could still be either.
        protocol = self.doors.open(self.came, self.address)
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        protocol.dataReceived(self.came)
