"""The chat server.  Start it with:  twistd -n -y chatserver.py"""

import os
import sys
from pathlib import Path

from twisted.application import internet, service, strports
from twisted.web.resource import Resource
from twisted.web.server import Site

sys.path.insert(0, str(Path(__file__).resolve().parent))

from chat_room import Rooms
from doors import Doors
from polls import Polls
from store import Store

PORT = os.environ.get("CHAT_PORT") or "1025"
OURS = "http://127.0.0.1:8000,http://localhost:8000"
ORIGINS = {
    origin.strip(" /").lower().removesuffix(":80")
    for origin in (os.environ.get("CHAT_ORIGINS") or OURS).split(",")
}

store = Store()
rooms = Rooms(store)
root = Resource()
root.putChild(b"", Polls(rooms, ORIGINS))

application = service.Application("chat")
store.setServiceParent(application)
internet.TimerService(60, rooms.tidy).setServiceParent(application)
doors = Doors(rooms, ORIGINS, Site(root))
listener = strports.service(f"tcp:{PORT}:interface=127.0.0.1", doors)
listener.setServiceParent(application)
