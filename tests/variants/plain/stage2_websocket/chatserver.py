"""twistd -n -y chatserver.py"""

import os
import sys
from pathlib import Path

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

sys.path.append(str(Path(__file__).resolve().parent))

from talk.web import talk_site

port = int(os.environ.get("CHAT_PORT", 1025))
origins = os.environ.get("CHAT_ORIGINS", "http://127.0.0.1:8000,http://localhost:8000")

application = Application("talk")
StreamServerEndpointService(
    TCP4ServerEndpoint(reactor, port, interface="127.0.0.1"),
    talk_site(
        {
            origin.strip(" /").lower().removesuffix(":80").encode()
            for origin in origins.split(",")
        }
    ),
).setServiceParent(application)
