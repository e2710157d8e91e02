"""A token says who may speak where: Django gives it out, the chat server looks at it.

It holds the room's id, the user's id and name, the time at which it ends, and a
signature of all of them. Whoever has the key can check it without asking anybody, so
the two servers need not talk to each other.
"""

import os
import time
import unicodedata
from dataclasses import asdict, dataclass

from django.core import signing

# One key for both servers. This one everybody can read, and so make tokens: good enough
# on a machine of your own. Elsewhere, set CHAT_KEY for both, to a secret.
KEY = os.environ.get("CHAT_KEY") or "insecure-for-the-tutorial-only"
# The key before it. While keys are renewed, tokens that it has signed are still about.
BEFORE = [key for key in [os.environ.get("CHAT_KEY_BEFORE")] if key]
# Who is logged out, or put out of a room, can speak there until the last token ends.
# The page asks for the next one long before, so that the two clocks may differ a bit.
MAX_AGE = int(os.environ.get("CHAT_TOKEN_SECONDS") or 600)
MAX_NAME = 150  # characters, as in Django's User

# With the salt, nothing else that this key may sign one day passes for a token. All
# settings are given here, because the chat server runs without Django's.
_signer = signing.Signer(key=KEY, salt="chat.names", fallback_keys=BEFORE)


@dataclass(frozen=True)
class Ticket:
    """What a token says: until `expires`, `user` may speak in `room`, as `name`."""

    room: int
    user: int
    name: str
    expires: float  # seconds since the epoch

    def seconds_left(self):
        return self.expires - time.time()


def make_token(room_id, user):
    # Normalised, so that no two names look the same and are not.
    name = unicodedata.normalize("NFKC", user.get_username())[:MAX_NAME]
    ticket = Ticket(room_id, user.pk, name, time.time() + MAX_AGE)
    return _signer.sign_object(asdict(ticket))


def read_token(token):
    """Return the Ticket that `token` is.

    Raises BadSignature if it is none of ours, SignatureExpired if it has ended.
    """
    ticket = Ticket(**_signer.unsign_object(token))
    if type(ticket.room) is not int or ticket.room < 1:
        # To Python, 1, 1.0 and True are one key. To the database, "01" is 1, too.
        raise signing.BadSignature("It names no room.")
    if ticket.seconds_left() <= 0:
        raise signing.SignatureExpired("It has ended.")
    return ticket
