"""The chat server: what one client says, every client in the same room hears.

Clients come by WebSocket, or by long polling: they ask for all that is new, and the
answer waits until there is something. Both see one conversation. The first thing that
each client says is a token, which it has from its page: it opens one room, says who
speaks there, and is renewed before it ends. Who was here before says where it stands,
too, and is told what it missed. What is said is in Django's database before anybody
hears it.

Start it with:  twistd -n -y chatserver.py
"""

import os
import sys
from pathlib import Path

import django
from django.conf import settings
from twisted.application import internet, service, strports
from twisted.internet import reactor

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
from twisted_chat.door import Door, as_browsers_send
from twisted_chat.factories import ChatFactory
from twisted_chat.goodbye import Goodbye, InTurn
from twisted_chat.guard import GuardedSite
from twisted_chat.limits import Limits
from twisted_chat.resources import ChatResource, HttpChat
from twisted_chat.site import ChatSite, Root
from twisted_chat.watch import Lag, WatchSite

PORT = os.environ.get("CHAT_PORT") or "1025"
WATCH_PORT = os.environ.get("CHAT_WATCH_PORT")
DEFAULT_ORIGINS = "http://127.0.0.1:8000,http://localhost:8000"
NAMED = os.environ.get("CHAT_ORIGINS") or DEFAULT_ORIGINS
ORIGINS = [as_browsers_send(origin) for origin in NAMED.split(",")]

limits = Limits.from_environment()
database = Database(reactor)
factory = ChatFactory(reactor, database, limits)

http_chat = HttpChat(factory, reactor)

root = Root()
root.putChild(b"", http_chat)
root.putChild(b"ws", ChatResource(factory))
door = Door(factory, settings.ALLOWED_HOSTS, ORIGINS, settings.CHAT_PROXIES)
site = GuardedSite(ChatSite(root, door), limits, settings.CHAT_PROXIES, reactor)

# When the server stops, the last one is stopped first.
services = InTurn()
if WATCH_PORT:
    Lag(reactor).setServiceParent(services)
    watching = f"tcp:{WATCH_PORT}:interface=127.0.0.1"
    strports.service(watching, WatchSite(factory)).setServiceParent(services)
database.setServiceParent(services)
Goodbye(reactor, factory, site).setServiceParent(services)
forgetting = internet.TimerService(factory.patience, factory.forget_empty_rooms)
forgetting.setServiceParent(services)
# After a restart all come back at once. Whom the backlog does not hold, the system lets
# knock again after some seconds.
address = f"tcp:{PORT}:interface=127.0.0.1:backlog=1000"
strports.service(address, site).setServiceParent(services)

application = service.Application("chatserver")
services.setServiceParent(application)
