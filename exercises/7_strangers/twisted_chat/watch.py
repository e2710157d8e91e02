"""What whoever runs the server wants to know: counters, and a log with an end."""

from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.twisted import MetricsResource
from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.pages import forbidden
from twisted.web.resource import Resource
from twisted.web.server import Site

from .door import is_host
from .limits import Bucket, Rate

log = Logger()
registry = CollectorRegistry()
SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

connections = Gauge(
    "chat_connections",
    "Connections that are open, and of these the sockets and the polls that wait",
    ["kind"],
    registry=registry,
)
messages = Counter("chat_messages", "Messages that were stored", registry=registry)
refusals = Counter(
    "chat_refusals", "What was refused, by reason", ["reason"], registry=registry
)
loop_lag = Histogram(
    "chat_loop_lag_seconds",
    "How late the reactor comes to what is due",
    buckets=SECONDS,
    registry=registry,
)
commits = Histogram(
    "chat_commit_seconds",
    "How long it takes to store what came together",
    buckets=SECONDS,
    registry=registry,
)

# Who is refused a thousand times a second shall not fill the disk with lines about it.
lines = Bucket(Rate(100, 10))


def refused(reason, why, what="Refusing a request"):
    """Count a refusal, and write a line about it, if there were not too many."""
    refusals.labels(reason).inc()
    if not lines.take("refusals"):
        log.warn("{what}: {why}", what=what, why=why)


class Lag(Service):
    """Measures, twice a second, how late the reactor is."""

    every = 0.5  # seconds

    def __init__(self, reactor, seconds=monotonic):
        self.seconds = seconds
        self.looking = LoopingCall(self.look)
        self.looking.clock = reactor
        self.last = None

    def startService(self):
        super().startService()
        self.last = self.seconds()
        self.looking.start(self.every, now=False)

    def stopService(self):
        super().stopService()
        self.looking.stop()

    def look(self):
        now = self.seconds()
        loop_lag.observe(max(0, now - self.last - self.every))
        self.last = now


class Health(Resource):
    """Says 200 as long as new clients may come."""

    isLeaf = True

    def __init__(self, factory):
        super().__init__()
        self.factory = factory

    def render_GET(self, request):
        request.setHeader(b"content-type", b"text/plain")
        if self.factory.is_closing:
            request.setResponseCode(503)
            return b"closing\n"
        return b"ok\n"


class WatchSite(Site):
    """Shows /health and /metrics, to this machine only, and to no page of a browser.

    Whoever owns a name may have it lead here, so the Host header has to be an address.
    """

    def __init__(self, factory):
        root = Resource()
        root.putChild(b"health", Health(factory))
        root.putChild(b"metrics", MetricsResource(registry))
        super().__init__(root)

    def getResourceFor(self, request):
        if not is_host(request, ["127.0.0.1", "[::1]", "localhost"]):
            return forbidden()
        return super().getResourceFor(request)

    def log(self, request):
        pass  # Somebody asks every few seconds.
