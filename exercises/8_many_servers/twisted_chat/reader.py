"""The one reader of a server: what any of them has appended comes from here."""

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from .database import NotNow
from .engine import Connection

log = Logger()


class Reader(Connection):
    """Waits on a connection of its own for news in streams, and wakes who waits.

    It reads from where each of them stands, so what was appended while it was away
    comes then. A message that says "there is news" may be missed. An entry stays.
    """

    block_seconds = 5
    at_once = 200  # entries of a stream

    def __init__(self, reactor, engine):
        patience = self.block_seconds + engine.answer_seconds
        super().__init__(reactor, engine.url, patience)
        self.engine = engine
        self.waiting = {}  # by key: after which entry, and a Deferred of those after it
        self.bell = f"chat:{{bell:{engine.server}}}"  # a stream of our own
        self.rung = "0-0"  # its newest entry that was read
        self.ringing = self.later = None
        self.is_blocked = False  # The engine waits for news, of these keys only.
        self.greeted.append(self.read_soon)

    def wait(self, key, after):
        """Return a Deferred of the entries of a stream that come after this one."""
        news = Deferred(lambda _: self.waiting.pop(key, None))
        self.waiting[key] = after, news
        if self.is_blocked:
            self.ring_soon()
        return news

    def ring_soon(self):
        """Have the read that is under way end, so that the next one has all keys."""
        if self.ringing is None:
            self.ringing = self.reactor.callLater(0, self.ring)

    def ring(self):
        self.ringing = None
        rung = self.engine.call("XADD", self.bell, "MAXLEN", 1, "*", "ring", "")
        self.engine.call("EXPIRE", self.bell, 60).addErrback(lambda _: None)
        rung.addErrback(self.ring_again)

    def ring_again(self, failure):
        failure.trap(NotNow)
        if self.is_blocked and self.running:
            self.ring_soon()

    def read_soon(self, _=None):
        # After what is being done now: who was woken waits again by then.
        if self.later is None:
            self.later = self.reactor.callLater(0, self.read)

    def read(self):
        self.later = None
        if self.protocol is None or self.is_blocked:
            return
        places = {self.bell: self.rung}
        places.update((key, after) for key, (after, _) in self.waiting.items())
        self.is_blocked = True
        found = self.ask(lambda protocol: self.block(protocol, places), again=False)
        found.addCallbacks(self.found, lambda _: [])
        found.addErrback(lambda failure: log.failure("News was not told", failure))
        found.addBoth(self.again)

    def block(self, protocol, places):
        return protocol.execute_command(
            *("XREAD", "COUNT", self.at_once, "BLOCK", 1000 * self.block_seconds),
            *("STREAMS", *places, *places.values()),
        )

    def again(self, _):
        self.is_blocked = False
        if self.running:
            self.read_soon()

    def found(self, streams):
        self.is_blocked = False  # Who is woken now waits for the next read.
        for key, entries in streams or []:
            if key == self.bell:
                self.rung = entries[-1][0]
            elif key in self.waiting:
                _, news = self.waiting.pop(key)
                news.callback(entries)

    def stopService(self):
        for call in (self.ringing, self.later):
            if call and call.active():
                call.cancel()
        if self.protocol:
            self.protocol.transport.abortConnection()  # It would block for a while.
        return super().stopService()
