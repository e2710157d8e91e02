"""The chat server: what one client says, every client in the same room hears.

Clients come by WebSocket, or by long polling: they ask for the next message, and the
answer waits until there is one. Both see one conversation. The first thing that each
client says is a token, which it has from its page and which opens one room.

Start it with:  twistd -n -y chatserver.py
"""

import os
import sys
from pathlib import Path

from twisted.application import internet, service, strports
from twisted.web.resource import Resource
from twisted.web.server import Site

# twistd does not look for modules beside the file that it runs.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from twisted_chat.factories import ChatFactory
from twisted_chat.resources import ChatResource, HttpChat

PORT = os.environ.get("CHAT_PORT") or "1025"
DEFAULT_ORIGINS = "http://127.0.0.1:8000,http://localhost:8000"


def as_browsers_send(origin):
    """In small letters, and without the port that everybody knows."""
    scheme, _, host = origin.strip().rstrip("/").lower().partition("://")
    usual = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{host.removesuffix(usual)}".encode()


NAMED = os.environ.get("CHAT_ORIGINS") or DEFAULT_ORIGINS
ORIGINS = [as_browsers_send(origin) for origin in NAMED.split(",")]

factory = ChatFactory()
http_chat = HttpChat(factory, ORIGINS)

root = Resource()
root.putChild(b"", http_chat)
root.putChild(b"ws", ChatResource(factory, ORIGINS))

application = service.Application("chatserver")
chat_service = strports.service(f"tcp:{PORT}:interface=127.0.0.1", Site(root))
chat_service.setServiceParent(application)

# What comes by WebSocket wakes no request that waits; the sweep finds it.
sweep = internet.TimerService(http_chat.throttle, http_chat.processDelayedRequests)
sweep.setServiceParent(application)
