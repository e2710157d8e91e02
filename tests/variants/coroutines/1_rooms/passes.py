"""Passes: what Django writes into a page, and the chat server reads.

A pass is two parts with a dot between them: what it says, and a signature. Both servers
know the key, and nobody else does.
"""

import hashlib
import hmac
import json
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode

KEY = os.environ.get("CHAT_KEY", "for this machine only").encode()
GOOD_FOR = 24 * 60 * 60  # seconds


class NoPass(Exception):
    """That is none of ours."""


class Expired(Exception):
    """It was one."""


def sign(says):
    digest = hmac.new(KEY, says.encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


def write(room):
    content = json.dumps({"room": room, "until": time.time() + GOOD_FOR})
    says = urlsafe_b64encode(content.encode()).decode().rstrip("=")
    return f"{says}.{sign(says)}"


def read(text):
    """Return the number of the room. Raises NoPass or Expired."""
    whole = text.encode(errors="replace").decode()  # It may hold half a character.
    says, _, signature = whole.partition(".")
    if not hmac.compare_digest(signature.encode(), sign(says).encode()):
        raise NoPass
    content = json.loads(urlsafe_b64decode(says + "=" * (-len(says) % 4)))
    if content["until"] < time.time():
        raise Expired
    return content["room"]
