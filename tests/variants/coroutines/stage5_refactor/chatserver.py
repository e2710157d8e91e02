"""The chat server. Run it:  twistd -n -y chatserver.py"""

import os
import sys
from pathlib import Path

from twisted.application import internet, service
from twisted.web.server import Site

# twistd does not look beside this file.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lounge.entrance import Entrance
from lounge.talk import Talk

HOST, PORT = "127.0.0.1", int(os.environ.get("CHAT_PORT", "1025"))
PAGES = ",".join(
    page.strip(" /").lower().removesuffix(":80")
    for page in os.environ.get(
        "CHAT_ORIGINS", "http://127.0.0.1:8000,http://localhost:8000"
    ).split(",")
).encode()

application = service.Application("lounge")
site = Site(Entrance(Talk(), PAGES.split(b",")))
internet.TCPServer(PORT, site, interface=HOST).setServiceParent(application)
