"""One end of a WebSocket."""

from twisted.logger import Logger
from wsproto.utilities import LocalProtocolError

from .conversation import LONGEST

TOO_LONG, NO_TEXT = 1009, 1003


class Guest:
    log = Logger()

    def __init__(self, conversation):
        self.conversation = conversation
        self.welcome = True

    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        # The HTTP channel would hold this transport back, and never end it.
        self.transport.detachProducer()
        self.conversation.guests.add(self)
        self.hear("connected ....")

    def connectionLost(self, reason):
        self.conversation.guests.discard(self)
        for guest in self.conversation.guests:
            guest.hear("somebody left")

    def textMessageReceived(self, text):
        if len(text) > LONGEST:
            self.show_out(TOO_LONG)
        elif self.welcome:
            self.conversation.say(text)

    def bytesMessageReceived(self, data):
        self.show_out(NO_TEXT)

    def pongReceived(self, payload):
        """Nobody asked; the interface wants it."""

    def hear(self, text):
        try:
            self.transport.sendTextMessage(text)
        except LocalProtocolError:
            self.log.debug("A guest who is leaving heard no more.")

    def show_out(self, code):
        """Close with `code`. What the guest has sent since is not heard."""
        if not self.welcome:
            return
        self.welcome = False
        self.log.warn("A guest is shown out, code {code}.", code=code)
        try:
            self.transport.loseConnection(code)
        except LocalProtocolError:
            self.log.debug("That guest was leaving already.")
