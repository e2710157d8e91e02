"""A token opens one room: Django gives it out, the chat server looks at it.

It holds the room's id, the time, and a signature of both. Whoever has the key can check
it without asking anybody, so the two servers need not talk to each other.
"""

import os

from django.core import signing

# One key for both servers. This one everybody can read, and so make tokens: good enough
# on a machine of your own. Elsewhere, set CHAT_KEY for both, to a secret.
KEY = os.environ.get("CHAT_KEY") or "insecure-for-the-tutorial-only"
MAX_AGE = 24 * 60 * 60  # seconds

# With the salt, nothing else that this key may sign one day passes for a token. All
# settings are given here, because the chat server runs without Django's.
_signer = signing.TimestampSigner(key=KEY, salt="chat.room", fallback_keys=[])


def make_token(room_id):
    return _signer.sign(str(room_id))


def read_token(token):
    """Return the id of the room that `token` opens.

    Raises BadSignature if it is none of ours, SignatureExpired if it is too old.
    """
    room_id = _signer.unsign(token, max_age=MAX_AGE)
    try:
        return int(room_id)
    except ValueError:
        raise signing.BadSignature("It names no room.") from None
