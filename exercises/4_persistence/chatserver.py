"""The chat server: what one client says, every client in the same room hears.

Clients come by WebSocket, or by long polling: they ask for all that is new, and the
answer waits until there is something. Both see one conversation. The first thing that
each client says is a token, which it has from its page and which opens one room. Who
was here before says where it stands, too, and is told what it missed. What is said is
in Django's database before anybody hears it.

Start it with:  twistd -n -y chatserver.py
"""

import os
import sys
from pathlib import Path

import django
from twisted.application import internet, service, strports
from twisted.internet import reactor
from twisted.web.resource import Resource

# twistd does not look for modules beside the file that it runs.
sys.path.insert(0, str(Path(__file__).resolve().parent))

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_twisted_chat.settings")
# Django would keep thousands of queries for an error page. There is none here.
os.environ.setdefault("DJANGO_DEBUG", "0")
# For PostgreSQL, in milliseconds. Django's own commands may take longer.
os.environ.setdefault("PGOPTIONS", "-c statement_timeout=5000")
# The models can be imported only after that.
django.setup()

from twisted_chat.database import Database
from twisted_chat.factories import ChatFactory
from twisted_chat.resources import ChatResource, ChatSite, HttpChat

PORT = os.environ.get("CHAT_PORT") or "1025"
DEFAULT_ORIGINS = "http://127.0.0.1:8000,http://localhost:8000"


def as_browsers_send(origin):
    """In small letters, and without the port that everybody knows."""
    scheme, _, host = origin.strip().rstrip("/").lower().partition("://")
    usual = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{host.removesuffix(usual)}".encode()


NAMED = os.environ.get("CHAT_ORIGINS") or DEFAULT_ORIGINS
ORIGINS = [as_browsers_send(origin) for origin in NAMED.split(",")]

database = Database(reactor)
factory = ChatFactory(reactor, database)
http_chat = HttpChat(factory, ORIGINS, reactor)

root = Resource()
root.putChild(b"", http_chat)
root.putChild(b"ws", ChatResource(factory, ORIGINS))

application = service.Application("chatserver")
database.setServiceParent(application)
# After a restart all come back at once. Whom the backlog does not hold, the system lets
# knock again after some seconds.
address = f"tcp:{PORT}:interface=127.0.0.1:backlog=1000"
chat_service = strports.service(address, ChatSite(root))
chat_service.setServiceParent(application)

forgetting = internet.TimerService(factory.patience, factory.forget_empty_rooms)
forgetting.setServiceParent(application)
