"""The chat server.  Start it with:  twistd -n -y chatserver.py"""

import os
import sys
from pathlib import Path

from twisted.application import service, strports
from twisted.internet.protocol import Factory

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sockets import Socket

PORT = os.environ.get("CHAT_PORT") or "1025"
OURS = "http://127.0.0.1:8000,http://localhost:8000"
ORIGINS = {
    origin.strip(" /").lower().removesuffix(":80")
    for origin in (os.environ.get("CHAT_ORIGINS") or OURS).split(",")
}


class Chat(Factory):
    def __init__(self):
        self.members = set()

    def buildProtocol(self, address):
        return Socket(ORIGINS, self.members, self.say)

    def say(self, text):
        for member in self.members:
            member.hear(text)


application = service.Application("chat")
listener = strports.service(f"tcp:{PORT}:interface=127.0.0.1", Chat())
listener.setServiceParent(application)
