"""Who is in the rooms, by way of all servers."""

import json

from twisted.application.service import Service
from twisted.internet.defer import DeferredList
from twisted.internet.task import LoopingCall

from . import scripts
from .database import NotNow
from .streams import key


class Roll(Service):
    """Tells the other servers who is here by way of this one, and hears of the others.

    What a server says is good for some seconds, and it says so again before they are
    over. So a server that is killed takes its names with it.
    """

    every = 4  # seconds
    lasts = 9  # seconds: two times may fail

    def __init__(self, reactor, engine, reader):
        self.engine = engine
        self.reader = reader
        self.rooms = {}  # by id, with what we have read of it
        self.calling = LoopingCall(self.call_all)
        self.calling.clock = reactor

    def startService(self):
        super().startService()
        self.calling.start(self.every, now=False)

    def stopService(self):
        super().stopService()
        self.calling.stop()
        gone = [self.tell(room_id, "") for room_id in self.rooms]
        return DeferredList(gone, consumeErrors=True)

    def call_all(self):
        for room, _ in list(self.rooms.values()):
            self.say(room)

    def say(self, room):
        """Say who is in a room by way of this server."""
        people = room.presence.own()
        self.tell(room.id, json.dumps(people) if people else "")

    def tell(self, room_id, people):
        names = [key(room_id, name) for name in ("here", "until", "who")]
        told = self.engine.script(
            scripts.HERE, names, self.engine.server, people, 1000 * self.lasts
        )
        return told.addErrback(lambda failure: failure.trap(NotNow) and None)

    def follow(self, room, after="0-0"):
        """Have a room hear of who is there by way of other servers."""
        news = self.reader.wait(key(room.id, "who"), after)
        self.rooms[room.id] = room, news
        news.addCallback(self.hear, room)
        news.addErrback(lambda failure: None)  # It was cancelled.

    def hear(self, entries, room):
        place, (_, found) = entries[-1]
        self.follow(room, place)
        said = json.loads(found) or []  # To Lua, an empty list is an empty object.
        others = dict(zip(said[::2], said[1::2], strict=True))
        others.pop(self.engine.server, None)
        room.presence.hear_of_others([json.loads(said) for said in others.values()])

    def forget(self, room_id):
        if room_id in self.rooms:
            _, news = self.rooms.pop(room_id)
            news.cancel()
