"""How one client speaks."""

import json
from contextlib import suppress
from math import ceil

from chat.tokens import read_token
from django.core.signing import BadSignature, SignatureExpired
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from wsproto import Connection, ConnectionType
from wsproto.events import TextMessage
from wsproto.utilities import LocalProtocolError
from zope.interface import implementer

from . import watch
from .database import NoSuchRoom
from .limits import Refused
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
    refused = False
    ticket = None  # what its newest token says
    ending = None  # the delayed call for when that ends
    beating = None  # the delayed call for the next ping
    unanswered = 0  # pings since something was heard
    has_place = False  # of those that a user may have
    here = None  # the version of the list of who is here that it was told
    entering = None  # a Deferred, while the room is being loaded
    room = None
    paused = False
    next = None  # what is to be called when it has read

    def __init__(self, factory, tcp, address):
        self.factory = factory
        self.limits = factory.limits
        self.address = address
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
        self.tcp.becomes(self)
        log.info("Got new client!")
        self.setTimeout(self.token_seconds)

    def timeoutConnection(self):
        if self.paused:
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
        if self.has_place:
            self.factory.leave_place(self.ticket, "socket")
        self.stop()
        # Or they would hold each other in memory.
        del self.transport, self.tcp
        self.next = None

    def textMessageReceived(self, message):
        if self.refused:
            return  # It was on its way already.
        self.unanswered = 0
        if len(message) > self.limits.body:
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
                self.factory.ask(self.ticket, "")
                self.renew(token_in(said))
            elif "here" in said:
                self.send(self.factory.ask(self.ticket, self.room.here_frame()))
            else:
                raise ValueError("neither text nor token")
        except Refused as refused:
            self.slow_down(refused)
        except ValueError as error:
            # The codes from 4000 on are free for us. These remind of HTTP's.
            self.refuse(4400, f"bad message: {error}")

    def say(self, text, id):
        if len(text) > MAX_LENGTH:
            self.refuse(1009, "message too long")
            return
        newest = self.room.messages.seq
        said = self.room.say(text, id, self.ticket)
        said.addCallback(self.said, newest).addErrback(self.not_said, id)

    def said(self, message, newest):
        is_ours = message.epoch in (None, self.room.messages.epoch)
        if message.seq <= newest and is_ours and not self.refused:
            # It was said before, and who says it again has not heard it. What is under
            # way goes first, so that nobody hears a higher number before a lower one.
            self.room.tell()
            again = self.room.batch([message])
            self.send(text_frame(self.factory.ask(self.ticket, again)))

    def not_said(self, failure, id):
        if failure.check(NoSuchRoom):
            self.no_room(failure)
        elif self.refused:
            return
        elif failure.check(Refused):
            self.slow_down(failure.value, id=id)
        else:
            why = {"status": 0, "id": id, "error": "not stored, try again later"}
            self.send(text_frame(json.dumps(why)))

    def slow_down(self, refused, **what):
        """Say when it may be tried again, and close."""
        wait = ceil(refused.wait)
        why = {"status": 0, **what, "error": refused.why, "retry_after": wait}
        self.send(text_frame(json.dumps(why)))
        self.refuse(refused.close, refused.why, refused.reason)

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
            self.factory.take_place(ticket, "socket")
            self.has_place = True
            self.factory.welcome(self.address)
            self.hold(ticket)
            self.entering = self.factory.enter(ticket).ready()
            self.entering.addCallback(lambda room: room.comes_to(cursor))
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
            self.carefully(room.join, self, cursor)
            if self.refused:
                return
            self.beating = self.callLater(self.limits.ping_seconds, self.beat)

    def beat(self):
        """Ping the client, and drop it when two pings were not answered.

        Of a phone that is out of reach, no system tells us for a long time.
        """
        # Who has much to read already, is not read from.
        if not self.paused:
            if self.unanswered == 2:
                self.drop("nothing is heard from it")
                return
            if not self.tcp.disconnecting:
                self.unanswered += 1
                self.transport.ping()
        self.beating = self.callLater(self.limits.ping_seconds, self.beat)

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
        self.unanswered = 0

    def send(self, frames):
        """Send whole frames, when the client has read what waits for it already."""
        if self.refused or self.tcp.disconnecting:
            return  # After a close frame, nothing may follow.
        if not self.paused:
            self.tcp.write(frames)
            return
        self.behind += frames
        if len(self.behind) > self.limits.most_behind:
            self.drop()

    def when_read(self, function, *args):
        """Call this when what was sent has been read, unless somebody has gone."""
        if self.paused:
            self.next = function, *args
        else:
            self.carefully(function, *args)

    def carefully(self, function, *args):
        try:
            function(*args)
        except Refused as refused:
            self.slow_down(refused)

    def pauseProducing(self):
        # More than 64 kB wait in the transport. It may be a moment's burst.
        if self.paused:
            return
        self.paused = True
        self.tcp.pauseProducing()  # Who does not read has to be answered no more.
        if self.room and not self.refused:
            self.setTimeout(self.limits.reading_seconds)

    def resumeProducing(self):
        self.paused = False
        self.unanswered = 0  # What it says now was not read before.
        if self.tcp.disconnecting:
            self.transport.detachProducer()  # or the close goes on waiting for it
            return
        if self.room:
            self.setTimeout(None)
            self.room.presence.tell_soon()
        self.tcp.resumeProducing()
        behind, self.behind = self.behind, bytearray()
        self.tcp.write(bytes(behind))
        if self.next and not self.paused and not self.refused:
            following, self.next = self.next, None
            self.carefully(*following)

    def stopProducing(self):
        pass  # The connection is lost; connectionLost is told, too.

    def refuse(self, code, why, reason="bad"):
        watch.refused(reason, why, "Closing a client")
        self.close(code)

    def close(self, code):
        self.refused = True
        self.setTimeout(None)
        self.stop()
        with suppress(LocalProtocolError):
            self.transport.loseConnection(code)

    def drop(self, why="it does not read"):
        watch.refused("gone", why, "Dropping a client")
        self.refused = True
        self.stop()
        self.tcp.abortConnection()

    def stop(self):
        for later in (self.ending, self.beating):
            if later and later.active():
                later.cancel()
