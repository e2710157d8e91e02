"""How the server stops: what is under way is finished, and everybody is told."""

from math import ceil

from twisted.application.service import MultiService, Service
from twisted.internet.defer import TimeoutError, inlineCallbacks, maybeDeferred
from twisted.internet.task import deferLater


class InTurn(MultiService):
    """Services that stop one after the other, the last one first, within some seconds.

    An engine that hangs would keep some of them for longer. What they leave undone,
    another server does, or this one when it is back.
    """

    def __init__(self, reactor, seconds):
        super().__init__()
        self.reactor = reactor
        self.seconds = seconds

    @inlineCallbacks
    def stopService(self):
        Service.stopService(self)
        end = self.reactor.seconds() + self.seconds
        for service in reversed(list(self)):
            stopped = maybeDeferred(service.stopService)
            stopped.addTimeout(max(0, end - self.reactor.seconds()), self.reactor)
            stopped.addErrback(lambda failure: failure.trap(TimeoutError))
            yield stopped


class Goodbye(Service):
    """Sends everybody away when it is stopped. Nobody new may come by then."""

    pause = 0.05  # seconds, from one batch of sockets to the next

    def __init__(self, reactor, factory, site):
        self.reactor = reactor
        self.factory = factory
        self.site = site

    def stopService(self):
        super().stopService()
        # Some of the time is for the database, which is stopped after this.
        most = 0.8 * self.factory.limits.stop_seconds
        going = self.send_away(most / 2).addTimeout(most, self.reactor)
        going.addErrback(lambda failure: failure.trap(TimeoutError))
        return going.addCallback(self.drop_the_rest)

    @inlineCallbacks
    def send_away(self, seconds):
        """Answer the polls, store what is under way, and close all in `seconds`."""
        self.factory.is_closing = True
        for room in self.factory.rooms.values():
            room.processDelayedRequests()
        yield self.factory.log.rest()
        for room in self.factory.rooms.values():
            room.tell()
        guards = list(self.site.protocols)
        # All who are sent away come back, and not all in the same moment.
        size = ceil(len(guards) * self.pause / seconds) or 1
        for at in range(0, len(guards), size):
            for guard in guards[at : at + size]:
                guard.send_away()
            yield deferLater(self.reactor, self.pause)
        yield self.site.all_gone()

    def drop_the_rest(self, _):
        for guard in list(self.site.protocols):
            guard.transport.abortConnection()
