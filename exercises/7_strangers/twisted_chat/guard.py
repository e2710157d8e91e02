"""What a connection brings, counted while it is read, and before anything is parsed."""

import json
from collections import Counter
from http import HTTPStatus
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET

from chat.addresses import network
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import ISystemHandle
from twisted.protocols.policies import ProtocolWrapper, TimeoutMixin, WrappingFactory
from wsproto.utilities import LocalProtocolError

from . import watch
from .limits import Bucket, Places, Refused

MOST_HEAD = 12_000  # bytes. From 16,384 on, Twisted closes without a word.
PIECE = 4000  # bytes that are read at once, so that we count them first
MOST_UNHEARD = 4_000_000  # bytes, from who was refused and goes on sending
SYSTEM_BUFFER = 65_536  # bytes, each way
SOME_MORE = 50  # connections that are told, before we only close
GOODBYE_SECONDS = 5  # for who was refused to go
CLOSE = 8  # the opcode of a close frame: RFC 6455, section 5.2

# What a connection is at. Each but the last has its time.
HEAD, BODY, IDLE, BUSY = "a head", "a body", "another request", "an answer"


class Frames:
    """Reads what stands before each frame of a WebSocket, and counts."""

    def __init__(self, most, rate):
        self.most = most  # bytes of one message, in all its frames
        self.odd = Bucket(rate)  # for the frames that end no message
        self.head = b""  # of a frame, as far as it is there
        self.left = 0  # bytes of its payload that are to come
        self.size = 0  # bytes of the message so far
        self.finished = 0  # messages
        self.is_open = False  # A message has begun.
        self.ends = False  # This frame is its last.

    def is_in_the_middle(self):
        return bool(self.head or self.left or self.is_open)

    def read(self, data):
        """Count what has come. Raises Refused."""
        rest = memoryview(data)
        while rest:
            if self.left:
                here = min(self.left, len(rest))
                self.left -= here
            else:
                here = min(self.missing(), len(rest))
                self.head += rest[:here]
                if not self.missing():
                    self.begin()
            rest = rest[here:]
            if self.ends and not self.left and not self.head:
                self.finished += 1
                self.size, self.is_open, self.ends = 0, False, False

    def missing(self):
        """Return how many bytes of a head are to come, as far as that is known."""
        if len(self.head) < 2:
            return 2 - len(self.head)
        length = {126: 2, 127: 8}.get(self.head[1] & 127, 0)
        mask = 4 if self.head[1] & 128 else 0
        return 2 + length + mask - len(self.head)

    def begin(self):
        first, second = self.head[:2]
        length = self.head[2:-4] if second & 128 else self.head[2:]
        self.left = int.from_bytes(length, "big") if length else second & 127
        self.head = b""
        if first & 8:  # a control frame, which may come between others
            if first & 15 != CLOSE:
                self.count()
            return
        self.is_open = True
        self.ends = bool(first & 128)
        self.size += self.left
        if self.size > self.most:
            raise Refused(413, "too_large", "a message is too long", close=1009)
        if not self.ends:
            self.count()

    def count(self):
        if self.odd.take("here"):
            raise Refused(429, "frames", "too many frames that are no message")


class Guard(ProtocolWrapper, TimeoutMixin):
    """Stands between a connection and Twisted's HTTP, which has few limits itself."""

    refused = False  # We listen no more.
    unheard = 0  # bytes that came after that
    phase = HEAD
    size = 0  # bytes of the head so far
    place = None  # the address whose place this connection takes
    frames = None  # of a WebSocket, once it is one
    socket = None  # who speaks there

    def __init__(self, factory, wrapped):
        super().__init__(factory, wrapped)
        self.limits = factory.limits
        self.callLater = factory.reactor.callLater  # for setTimeout

    def makeConnection(self, transport):
        super().makeConnection(transport)
        if ISystemHandle.providedBy(transport):
            # The system keeps megabytes for who does not read, and tells us nothing.
            for buffer in (SO_SNDBUF, SO_RCVBUF):
                transport.getHandle().setsockopt(SOL_SOCKET, buffer, SYSTEM_BUFFER)
        self.expect(HEAD)
        # A proxy's connections are of many people. Each request says of whom.
        self.is_shared = transport.getPeer().host in self.factory.proxies
        self.is_in = not self.factory.is_full()
        if self.is_in and not self.is_shared:
            self.is_in = self.enter(self.peer)

    def let_in(self, address):
        """Return whether there is a place for a request from this address."""
        return self.is_in and (not self.is_shared or self.enter(address))

    def enter(self, address):
        if not self.factory.places.enter(address):
            return False
        self.place = address
        return True

    def is_done(self):
        """To be called when a request has its answer."""
        if self.is_shared:
            self.leave()
        if not self.refused:
            self.expect(IDLE)

    def leave(self):
        if self.place:
            self.factory.places.leave(self.place)
            self.place = None

    def expect(self, phase):
        self.phase = phase
        self.setTimeout(self.factory.times[phase])

    def dataReceived(self, data):
        while data:
            if self.disconnecting:
                self.ignore(data)
                return
            # No piece goes beyond the limit of a head.
            left = MOST_HEAD - self.size if self.phase == HEAD else PIECE
            most = min(left, PIECE)
            piece, data = data[:most], data[most:]
            if self.socket:
                self.read_frames(piece)
            else:
                self.read_request(piece)

    def ignore(self, data):
        self.unheard += len(data)
        if self.unheard > MOST_UNHEARD:
            self.transport.abortConnection()

    def read_request(self, piece):
        if self.phase == IDLE:
            self.size = 0
            self.expect(HEAD)
        self.size += len(piece)
        self.let_read(super().dataReceived, piece)
        if self.phase == HEAD and self.size >= MOST_HEAD and not self.refused:
            self.answer(Refused(431, "too_large", "a head is too long"))

    def let_read(self, read, *data):
        """Call what makes Twisted read on, and refuse what it cannot read."""
        try:
            read(*data)
        except ValueError:
            # int() takes some thousands of digits, and Twisted gives it any number.
            self.answer(Refused(400, "strange", "a length is no number"))

    def read_frames(self, piece):
        was_open, before = self.frames.is_in_the_middle(), self.frames.finished
        try:
            self.frames.read(piece)
        except Refused as refused:
            self.socket.refuse(refused.close, refused.why, refused.reason)
            return
        if not self.frames.is_in_the_middle():
            self.setTimeout(None)
        elif not was_open or self.frames.finished > before:
            # One time for the whole message: a byte now and then moves nothing.
            self.setTimeout(self.limits.message_seconds)
        try:
            super().dataReceived(piece)
        except LocalProtocolError:
            # Twisted answers a ping, even if it came behind what was refused.
            if not self.refused:
                raise

    def becomes(self, socket):
        """Count frames from now on. To be called when this is a WebSocket."""
        self.socket = socket
        self.frames = Frames(self.limits.body, self.limits.frames)
        self.setTimeout(None)

    def timeoutConnection(self):
        if self.refused or (self.phase == HEAD and not self.size):
            self.transport.abortConnection()
        elif self.socket:
            self.socket.refuse(1008, "a message is not finished", "too_slow")
        elif self.phase == IDLE:
            self.hang_up()
        else:
            self.answer(Refused(408, "too_slow", f"waited too long for {self.phase}"))

    def answer(self, refused):
        """Refuse a request that is not here yet, so that Twisted knows none of it."""
        watch.refused(refused.reason, refused.why)
        body = json.dumps({"status": 0, "error": refused.why}).encode()
        head = (
            f"HTTP/1.1 {refused.code} {HTTPStatus(refused.code).phrase}\r\n"
            "Connection: close\r\nContent-Type: application/json\r\n"
            f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.write(head.encode() + body)
        self.hang_up()

    def hang_up(self, seconds=GOODBYE_SECONDS):
        """Say no more, and listen no more, but let what was said arrive.

        If a connection is closed that has brought more than was read, the other side is
        told that first, and throws away what it has not read itself.
        """
        if self.refused:
            return
        self.refused = True
        self.disconnecting = True
        self.setTimeout(seconds)
        self.transport.resumeProducing()
        self.transport.loseWriteConnection()

    def send_away(self):
        """Close, because the server stops. Who waits for an answer still gets it."""
        if self.socket:
            self.socket.close(1012)
        elif self.phase != BUSY:
            self.hang_up()

    def loseConnection(self):
        """Close. Twisted does that behind an answer, too, which may be a long one."""
        is_answer = self.phase == IDLE and not self.socket
        self.hang_up(self.limits.reading_seconds if is_answer else GOODBYE_SECONDS)

    def write(self, data):
        if not self.refused:
            self.transport.write(data)

    def writeSequence(self, data):
        if not self.refused:
            self.transport.writeSequence(data)

    def connectionLost(self, reason):
        self.setTimeout(None)
        self.leave()
        super().connectionLost(reason)
        self.socket = None  # or each would hold the other


class GuardedSite(WrappingFactory):
    """Has a Guard for each connection, and knows how many there may be."""

    protocol = Guard
    leaving = None  # a Deferred, for who waits until all are gone

    def __init__(self, site, limits, proxies, reactor):
        super().__init__(site)
        self.limits = limits
        self.proxies = proxies
        self.reactor = reactor
        self.places = Places(limits.most_per_address)
        self.connected = Counter()  # by address, with those who got no place
        self.times = {
            HEAD: limits.head_seconds,
            BODY: limits.head_seconds,
            IDLE: limits.idle_seconds,
            BUSY: None,
        }
        watch.connections.labels("open").set_function(self.protocols.__len__)

    def registerProtocol(self, guard):
        super().registerProtocol(guard)
        self.connected[guard.peer] += 1

    def unregisterProtocol(self, guard):
        super().unregisterProtocol(guard)
        self.connected[guard.peer] -= 1
        if not self.connected[guard.peer]:
            del self.connected[guard.peer]
        if self.leaving and not self.protocols:
            self.leaving.callback(None)
            self.leaving = None

    def all_gone(self):
        """Return a Deferred that fires when nobody is connected."""
        if not self.protocols:
            return succeed(None)
        self.leaving = Deferred()
        return self.leaving

    def is_full(self):
        return len(self.protocols) > self.limits.most

    def buildProtocol(self, addr):
        # Some more are told that there is no place. It takes a connection to tell them.
        peer = network(addr.host)
        too_many = len(self.protocols) >= self.limits.most + SOME_MORE
        if addr.host not in self.proxies:
            from_there = self.limits.most_per_address + SOME_MORE
            too_many = too_many or self.connected[peer] >= from_there
        if too_many:
            watch.refused("most", "there is no place left")
            return None
        guard = super().buildProtocol(addr)
        guard.peer = peer
        return guard
