"""The engine: a Valkey or Redis server, by which many chat servers are one."""

import secrets
from urllib.parse import unquote, urlsplit

from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from txredisapi import ConnectionError, RedisError, RedisProtocol

from . import watch
from .database import NotNow

log = Logger()

CONNECT_SECONDS = 2
# Of whoever answers this we want no more. The next try may lead to another server.
AWAY = ("LOADING", "READONLY", "MASTERDOWN")
NOBODY = "0" * 40


class Another(Exception):
    """The engine was started anew, or a room is in another epoch."""


def endpoint(reactor, url):
    """Return where a URL leads, its password and the number of its database."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return UNIXClientEndpoint(reactor, parts.path, CONNECT_SECONDS), None, None
    if parts.scheme != "redis" or not parts.hostname:
        raise SystemExit(f"REDIS_URL is not like redis://127.0.0.1:6379/0: {url!r}")
    host, port = parts.hostname, parts.port or 6379
    where = HostnameEndpoint(reactor, host, port, CONNECT_SECONDS)
    password = unquote(parts.password) if parts.password else None
    return where, password, int(parts.path.strip("/") or 0)


class EngineFactory(Factory):
    """Makes the connections to one engine."""

    noisy = False

    def __init__(self, seconds, made):
        self.seconds = seconds  # for an answer
        self.made = made  # is called with each connection

    def buildProtocol(self, address):
        # Some texts look like numbers.
        protocol = RedisProtocol(replyTimeout=self.seconds, convertNumbers=False)
        protocol.factory = self
        protocol.whenConnected().addCallback(self.made)
        return protocol


class Connection(Service):
    """A connection to the engine, which is made again when it breaks."""

    first_wait, longest_wait = 0.1, 1.0  # seconds between two tries
    most_asking = 10_000  # questions
    patience = 2.0  # seconds for which a question waits for a connection

    def __init__(self, reactor, url, seconds):
        self.reactor = reactor
        self.asking = []  # a Deferred for each question that waits for a connection
        where, self.password, self.dbid = endpoint(reactor, url)
        self.protocol = None  # while there is one
        self.run = None  # by which one start of the engine is told from the next
        self.proven = False  # It keeps what it acknowledges, also when it is killed.
        self.greeted = []  # called each time, when it is connected
        factory = EngineFactory(seconds, self.greet)
        self.client = ClientService(where, factory, self.pause, reactor)

    def pause(self, attempt):
        return min(self.first_wait * 2 ** min(attempt - 1, 5), self.longest_wait)

    def startService(self):
        super().startService()
        self.client.startService()

    def stopService(self):
        super().stopService()
        asking, self.asking = self.asking, []
        for ready in asking:
            ready.errback(NotNow())
        return self.client.stopService()

    @inlineCallbacks
    def greet(self, protocol):
        """Look whom we have: one that still reads its files is no use, nor a copy."""
        try:
            if self.password:
                yield protocol.auth(self.password)
            if self.dbid:
                yield protocol.select(self.dbid)
            said = yield protocol.execute_command("INFO")
        except RedisError as error:
            log.warn("The engine does not let us in: {why}", why=error)
            protocol.transport.abortConnection()
            return
        about = dict(line.split(":", 1) for line in said.split("\r\n") if ":" in line)
        if about["role"] != "master" or about["loading"] == "1":
            protocol.transport.abortConnection()
            return
        self.run = about["run_id"]
        # A copy that became the engine may lack what the one before it acknowledged.
        copied = about.get("master_replid2", NOBODY) != NOBODY
        self.proven = about["aof_enabled"] == "1" and not copied
        self.protocol = protocol
        watch.engine_up.set(1)
        protocol.whenDisconnected().addCallback(lambda _: self.lost(protocol))
        for greeted in self.greeted:
            greeted()
        asking, self.asking = self.asking, []
        for ready in asking:
            ready.callback(None)

    def lost(self, protocol):
        if self.protocol is protocol:
            self.protocol = None
            watch.engine_up.set(0)

    def call(self, *command):
        """Return a Deferred of the answer, or of NotNow."""
        return self.ask(lambda protocol: protocol.execute_command(*command))

    def script(self, script, keys, *args):
        """Have a script run. Returns a Deferred of what it returns."""
        return self.ask(lambda protocol: protocol.eval(script, keys, args))

    @inlineCallbacks
    def ask(self, question, again=True):
        """Ask something, and once more if the connection breaks meanwhile.

        The engine may have done it already. So it has to be something that makes little
        difference if it is done twice: a token of a bucket, at most.
        """
        yield self.ready()
        protocol = self.protocol
        try:
            return (yield question(protocol))
        except ConnectionError as error:
            self.lost(protocol)
            protocol.transport.abortConnection()
            if not again:
                self.explain(error)
        except RedisError as error:
            self.explain(error)
        return (yield self.ask(question, again=False))

    def explain(self, error):
        """Raise what an error of the engine is to us."""
        if str(error).startswith("ANOTHER"):
            raise Another
        if self.running and not watch.lines.take("engine"):
            log.warn("The engine is away: {why}", why=error)
        if str(error).startswith(AWAY):
            self.hang_up()
        raise NotNow

    def ready(self):
        """Return a Deferred that fires when there is a connection, or with NotNow.

        A connection that broke is there again in a moment, and nobody has to know.
        """
        if self.protocol:
            return succeed(None)
        if not self.running or len(self.asking) >= self.most_asking:
            return fail(NotNow())

        def too_late(*_):
            raise NotNow

        ready = Deferred(lambda _: self.asking.remove(ready))
        self.asking.append(ready)
        return ready.addTimeout(self.patience, self.reactor, too_late)

    def hang_up(self):
        if self.protocol:
            self.protocol.transport.abortConnection()


class Engine(Connection):
    """The connection for all that is answered at once."""

    answer_seconds = 2

    def __init__(self, reactor, url):
        super().__init__(reactor, url, self.answer_seconds)
        self.url = url
        self.server = secrets.token_hex(8)  # No other server has this name.
