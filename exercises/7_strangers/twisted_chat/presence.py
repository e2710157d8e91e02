"""Who is in a room now: a fact of this process and this moment, stored nowhere."""

import json
from collections import Counter
from hashlib import sha256


class Presence:
    """The tickets of all who are in one room, and the list of names that they make.

    A ticket counts once for each window and each poll that waits. Whoever has left
    stays on the list for some seconds: a page that connects anew was never away.
    """

    linger = 3  # seconds
    pause = 0.1  # seconds, at least, from one list that is told to the next

    def __init__(self, reactor, tell):
        self.reactor = reactor
        self.tell = tell  # is called soon after somebody comes or goes, or many do
        self.tickets = Counter()
        self.leaving = {}  # by ticket, what ends its last seconds
        self.telling = None
        self.known = None  # the list, until it changes

    def arrive(self, ticket):
        if ticket not in self.tickets:
            self.known = None
        self.tickets[ticket] += 1
        if ticket in self.leaving:
            self.leaving.pop(ticket).cancel()
        self.tell_soon()

    def leave(self, ticket):
        self.tickets[ticket] -= 1
        if not self.tickets[ticket]:
            later = self.reactor.callLater(self.linger, self.gone, ticket)
            self.leaving[ticket] = later

    def renew(self, old, new):
        """Who was here with one ticket is here with another. That is one step."""
        self.arrive(new)
        self.tickets[old] -= 1
        if not self.tickets[old]:
            self.gone(old)

    def gone(self, ticket):
        del self.tickets[ticket]
        self.leaving.pop(ticket, None)
        self.known = None
        self.tell_soon()

    def tell_soon(self):
        if self.telling is None:
            self.telling = self.reactor.callLater(self.pause, self.tell_now)

    def tell_now(self):
        self.telling = None
        self.tell()

    def here(self):
        """Return the list, in JSON as it is told, and its version.

        The version is made of the list, so that no other list has it, of no other
        process either.
        """
        if self.known is None:
            # Of a user with several names, the newest ticket has the right one.
            newest = sorted(self.tickets, key=lambda ticket: ticket.expires)
            names = {ticket.user: ticket.name for ticket in newest}
            by_name = sorted(names, key=lambda id: (names[id].casefold(), id))
            people = [{"id": id, "name": names[id]} for id in by_name]
            told = json.dumps(people)
            self.known = told, sha256(told.encode()).hexdigest()[:16]
        return self.known
