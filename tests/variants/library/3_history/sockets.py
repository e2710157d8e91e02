"""WebSockets: the protocol is that of `websockets`, the connections are Twisted's.

`websockets` has a part that touches no connection. It is given bytes, and says what
they mean and what to answer. Any event loop can carry them.
"""

import json
from http import HTTPStatus

from twisted.internet import reactor
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from websockets.frames import CloseCode, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from chat_room import LONGEST_ID
from tickets import BadSignature, SignatureExpired, number_on

MAX_LENGTH = 4096  # characters in a message
MAX_BYTES = 13 * MAX_LENGTH  # that so many characters may have in JSON, and more

SECONDS = 5  # for showing a ticket
NO_FRAME = 4400
NO_TICKET, TOO_LATE, TOO_OLD = 4401, 4408, 4410

MOST_WAITING = 1_000_000  # bytes for one client
SILENCE = 60  # seconds without reading

log = Logger()


def words(frame):
    """What somebody says. Raises LookupError, TypeError or ValueError."""
    id, text = frame["id"], frame["text"]
    if not (isinstance(id, str) and isinstance(text, str)):
        raise TypeError("An id and a text are texts.")
    if not 1 <= len(id) <= LONGEST_ID:
        raise ValueError("An id has 1 to 64 characters.")
    return {"id": id, "text": text}


def entrance(frame):
    """What a client begins with. Raises LookupError or TypeError."""
    token, cursor = frame["token"], None
    if "epoch" in frame or "seq" in frame:
        cursor = frame["epoch"], frame["seq"]
        # For Python, True is a number.
        if not (isinstance(cursor[0], str) and type(cursor[1]) is int):
            raise TypeError("A cursor is a text and a number.")
    if not isinstance(token, str):
        raise TypeError("A token is a text.")
    return {"token": token, "cursor": cursor}


class Socket(Protocol):
    """One client. It is in one of the `rooms` as soon as it has shown a ticket."""

    refused = False
    room = None
    deadline = None
    silence = None
    waiting = None  # bytes, since the transport took no more; None while it does

    def __init__(self, origins, rooms):
        self.ws = ServerProtocol(max_size=MAX_BYTES)
        self.origins, self.rooms = origins, rooms
        self.parts = []  # of the message that is coming in

    def dataReceived(self, data):
        self.ws.receive_data(data)
        for event in self.ws.events_received():
            if isinstance(event, Request):
                self.open(event)
            elif not self.refused:
                self.take(event)
        self.flush()

    def connectionLost(self, reason):
        if self.room:
            self.room.members.discard(self)
        self.stop_waiting()
        self.stop_silence()

    def open(self, request):
        response = self.refusal(request)
        try:
            response = response or self.ws.accept(request)
        except UnicodeEncodeError:  # `websockets` quotes what it did not like
            response = self.ws.reject(HTTPStatus.BAD_REQUEST, "Bytes in a header.\n")
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            log.warn("Refused with {status}.", status=response.status_code)
        self.ws.send_response(response)
        if self.ws.state is State.OPEN:
            self.transport.registerProducer(self, True)
            self.deadline = reactor.callLater(SECONDS, self.run_out)

    def refusal(self, request):
        """What to answer to whom `websockets` would let in, and we do not."""
        if request.path.partition("?")[0] != "/ws":
            return self.ws.reject(HTTPStatus.NOT_FOUND, "Nothing here.\n")
        if "Host" not in request.headers:
            return self.ws.reject(HTTPStatus.BAD_REQUEST, "No Host.\n")
        said = request.headers.get_all("Origin")
        if len(said) != 1 or said[0] not in self.origins:
            return self.ws.reject(HTTPStatus.FORBIDDEN, "Not from this page.\n")
        return None

    def take(self, frame):
        """Take in a frame; with the last one of a message, say it to all."""
        if frame.opcode is Opcode.BINARY:
            self.refuse(CloseCode.UNSUPPORTED_DATA)
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self.parts.append(bytes(frame.data))
            if frame.fin:
                whole, self.parts = b"".join(self.parts), []
                self.take_message(whole)

    def take_message(self, data):
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.refuse(CloseCode.INVALID_DATA)
            return
        try:
            frame = json.loads(text)
            if self.room:
                self.take_words(**words(frame))
            else:
                self.stop_waiting()
                self.enter(**entrance(frame))
        except (LookupError, TypeError, ValueError, RecursionError):
            self.refuse(NO_FRAME)

    def enter(self, token, cursor):
        try:
            number = number_on(token)
        except SignatureExpired:
            self.refuse(TOO_OLD)
        except BadSignature:
            self.refuse(NO_TICKET)
        else:
            self.room = self.rooms[number]
            self.hear(self.room.after(*cursor) if cursor else self.room.everything())
            self.room.members.add(self)

    def take_words(self, id, text):
        if len(text) > MAX_LENGTH:
            self.refuse(CloseCode.MESSAGE_TOO_BIG)
            return
        known = self.room.messages.get(id)
        if known:
            self.hear(self.room.batch([known]))
        else:
            self.room.say(id, text)

    def run_out(self):
        self.refuse(TOO_LATE)
        self.flush()

    def stop_waiting(self):
        if self.deadline and self.deadline.active():
            self.deadline.cancel()

    def refuse(self, code):
        """Close, and hear nothing more of what is on its way."""
        log.warn("Closed a client with {code}.", code=int(code))
        self.refused = True
        self.ws.fail(code)

    def hear(self, batch):
        """Send `batch`, if nobody has begun to close."""
        if self.ws.state is State.OPEN:
            self.ws.send_text(json.dumps(batch).encode())
            self.flush()

    def flush(self):
        for data in self.ws.data_to_send():
            if data:
                if self.waiting is not None:
                    self.waiting += len(data)
                self.transport.write(data)
            else:
                self.transport.unregisterProducer()
                self.transport.loseConnection()
        if self.waiting is not None and self.waiting > MOST_WAITING:
            log.warn("Dropped a client that does not read.")
            if self.room:
                self.room.members.discard(self)
            self.transport.abortConnection()

    def pauseProducing(self):
        if self.waiting is None:
            self.waiting = 0
            abort = self.transport.abortConnection
            self.silence = reactor.callLater(SILENCE, abort)

    def resumeProducing(self):
        self.waiting = None
        self.stop_silence()

    def stop_silence(self):
        if self.silence and self.silence.active():
            self.silence.cancel()

    def stopProducing(self):
        self.transport.unregisterProducer()
