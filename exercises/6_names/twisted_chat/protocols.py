"""How one client speaks."""

import json
from contextlib import suppress

from chat.tokens import read_token
from django.core.signing import BadSignature, SignatureExpired
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from wsproto import Connection, ConnectionType
from wsproto.events import TextMessage
from wsproto.utilities import LocalProtocolError
from zope.interface import implementer

from .database import NoSuchRoom
from .messages import MAX_ID, MAX_LENGTH, storable

log = Logger()


def text_frame(text):
    """The bytes that carry a message: a server sends the same ones to every client."""
    return Connection(ConnectionType.SERVER).send(TextMessage(text))


def read_object(frame):
    """Return the JSON object that a client sent. Raises ValueError if it is none."""
    try:
        said = json.loads(frame)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(said, dict):
        raise ValueError("no JSON object")
    return said


def token_in(said):
    """Return the token in what a client sent. Raises ValueError."""
    token = said.get("token")
    if not isinstance(token, str):
        raise ValueError("token is missing")
    token.encode()  # raises ValueError, too, where there is half a character
    return token


def read_hello(said):
    """Return the token in a hello, and the cursor or None. Raises ValueError."""
    token, seq = token_in(said), said.get("seq")
    if "epoch" not in said and "seq" not in said:
        return token, None
    if "epoch" not in said or type(seq) is not int:
        raise ValueError("seq is no number, or half of the cursor is missing")
    return token, (said["epoch"], seq)


def read_message(said):
    """Return the text and the id of a message. Raises ValueError."""
    text, id = said.get("text"), said.get("id")
    if not (isinstance(text, str) and isinstance(id, str)):
        raise ValueError("text or id is missing")
    if not 0 < len(id) <= MAX_ID or storable(id) != id:
        raise ValueError("id is empty, too long, or cannot be stored")
    return text, id


@implementer(IPushProducer)
class WebsocketChat(TimeoutMixin):
    """One client: a browser window with an open WebSocket.

    The first thing that it says is its token, and its cursor if it was here before.
    Until then it is in no room. Before a token ends, the client says the next one.
    """

    token_seconds = 5  # A page sends its token at once.
    goodbye_seconds = 5  # that a client who is refused has to go
    reading_seconds = 60  # for a client to read what waits in the transport
    most_behind = 1_000_000  # bytes that wait behind it
    beat_seconds = 20  # between two pings
    refused = False
    ticket = None  # what its newest token says
    ending = None  # the delayed call for when that ends
    beating = None  # the delayed call for the next ping
    heard = True  # since the last ping
    here = None  # the version of the list of who is here that it was told
    entering = None  # a Deferred, while the room is being loaded
    room = None
    paused = False

    def __init__(self, factory, tcp):
        self.factory = factory
        self.callLater = factory.reactor.callLater  # for setTimeout
        self.tcp = tcp  # what carries the WebSocket, and takes bytes
        self.behind = bytearray()  # frames for when the client has read others

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        # Twisted's HTTP code still throttles this connection: it is registered as
        # its producer. Let go of it, or a close may never finish. In its place, we
        # want to know of a client that reads too slowly.
        self.transport.detachProducer()
        self.transport.attachProducer(self)
        log.info("Got new client!")
        self.setTimeout(self.token_seconds)

    def timeoutConnection(self):
        if self.refused or self.paused:
            self.drop()  # It does not read, so a close cannot end.
            return
        self.refuse(4408, f"no token in {self.token_seconds} s")

    def connectionLost(self, reason):
        log.info("Lost a client!")
        self.setTimeout(None)
        self.refused = True  # whatever is still under way for it
        if self.entering:
            self.entering.cancel()
        if self.room:
            self.room.leave(self)
        self.stop()

    def textMessageReceived(self, message):
        if self.refused:
            return  # It was on its way already.
        self.heard = True
        if len(message) > 16 * MAX_LENGTH:  # in JSON, a character takes up to 12
            self.refuse(1009, "message too long")
            return
        try:
            said = read_object(message)
            if self.ticket is None:
                self.join(*read_hello(said))
            elif not self.room:
                self.refuse(4400, "speaks before it is let in")
            elif "text" in said:
                self.say(*read_message(said))
            elif "token" in said:
                self.renew(token_in(said))
            elif "here" in said:
                self.send(self.room.here_frame())
            else:
                raise ValueError("neither text nor token")
        except ValueError as error:
            # The codes from 4000 on are free for us. These remind of HTTP's.
            self.refuse(4400, f"bad message: {error}")

    def say(self, text, id):
        if len(text) > MAX_LENGTH:
            self.refuse(1009, "message too long")
            return
        newest = self.room.messages.seq
        said = self.room.say(text, id, self.ticket)
        said.addCallbacks(self.said, self.not_said, [newest], None, [id])

    def said(self, message, newest):
        if message.seq <= newest and not self.refused:
            # It was said before, and who says it again has not heard it. What is under
            # way goes first, so that nobody hears a higher number before a lower one.
            self.room.tell()
            self.send(text_frame(self.room.batch([message])))

    def not_said(self, failure, id):
        if failure.check(NoSuchRoom):
            self.no_room(failure)
        elif not self.refused:
            why = {"status": 0, "id": id, "error": "not stored, try again later"}
            self.send(text_frame(json.dumps(why)))

    def look_at(self, token):
        """Return what a token says, or None for one that the client is refused for."""
        try:
            return read_token(token)
        except SignatureExpired:
            self.refuse(4410, "token expired")
        except BadSignature:
            self.refuse(4401, "no token of ours")

    def join(self, token, cursor):
        self.setTimeout(None)
        ticket = self.look_at(token)
        if ticket:
            self.hold(ticket)
            self.entering = self.factory.enter(ticket).ready()
            self.entering.addCallbacks(self.entered, self.no_room, [cursor])

    def renew(self, token):
        old, new = self.ticket, self.look_at(token)
        if not new:
            return
        if (new.room, new.user) != (old.room, old.user):
            self.refuse(4401, "a token of another room, or of somebody else")
            return
        self.room.presence.renew(old, new)
        self.hold(new)

    def hold(self, ticket):
        """Speak with this ticket from now on, until it ends."""
        self.ticket = ticket
        left = max(0, ticket.seconds_left())
        if self.ending:
            self.ending.reset(left)
        else:
            self.ending = self.callLater(left, self.refuse, 4403, "the token has ended")

    def entered(self, room, cursor):
        self.entering = None
        if not self.refused:
            self.room = room
            room.join(self, cursor)
            self.beating = self.callLater(self.beat_seconds, self.beat)

    def beat(self):
        """Ping the client, and drop it if nothing was heard since the last ping.

        Of a phone that is out of reach, no system tells us for a long time.
        """
        # Who has much to read already, is not read from.
        if not self.paused:
            if not self.heard:
                self.drop("nothing is heard from it")
                return
            if not self.tcp.disconnecting:
                self.heard = False
                self.transport.ping()
        self.beating = self.callLater(self.beat_seconds, self.beat)

    def no_room(self, failure):
        self.entering = None
        if self.refused:
            return
        if failure.check(NoSuchRoom):
            self.refuse(4404, "the room was deleted")
        else:
            self.refuse(1013, "try again later")

    def bytesMessageReceived(self, data):
        if not self.refused:
            self.refuse(1003, "binary message")

    def pongReceived(self, payload):
        self.heard = True

    def send(self, frames):
        """Send whole frames, when the client has read what waits for it already."""
        if self.refused or self.tcp.disconnecting:
            return  # After a close frame, nothing may follow.
        if not self.paused:
            self.tcp.write(frames)
            return
        self.behind += frames
        if len(self.behind) > self.most_behind:
            self.drop()

    def pauseProducing(self):
        # More than 64 kB wait in the transport. It may be a moment's burst.
        if self.paused:
            return
        self.paused = True
        self.tcp.pauseProducing()  # Who does not read has to be answered no more.
        if self.room and not self.refused:
            self.setTimeout(self.reading_seconds)

    def resumeProducing(self):
        self.paused = False
        self.heard = True  # What it says now was not read before.
        if self.tcp.disconnecting:
            self.transport.detachProducer()  # or the close goes on waiting for it
            return
        if self.room:
            self.setTimeout(None)
            self.room.presence.tell_soon()
        self.tcp.resumeProducing()
        behind, self.behind = self.behind, bytearray()
        self.tcp.write(bytes(behind))

    def stopProducing(self):
        pass  # The connection is lost; connectionLost is told, too.

    def refuse(self, code, why):
        log.warn("Closing a client: {why}", why=why)
        self.refused = True
        self.stop()
        self.setTimeout(self.goodbye_seconds)
        with suppress(LocalProtocolError):
            self.transport.loseConnection(code)

    def drop(self, why="it does not read"):
        log.warn("Dropping a client: {why}", why=why)
        self.refused = True
        self.stop()
        self.tcp.abortConnection()

    def stop(self):
        for later in (self.ending, self.beating):
            if later and later.active():
                later.cancel()
