"""A ticket opens one room. Django writes it, and the chat server reads it."""

import os
from datetime import timedelta

from django.core.signing import BadSignature, SignatureExpired, TimestampSigner

KEY = os.environ.get("CHAT_KEY") or "a key for this machine only"
DAY = timedelta(days=1)
__all__ = ["BadSignature", "SignatureExpired", "number_on", "ticket_for"]

signer = TimestampSigner(key=KEY, salt="chat.room", fallback_keys=[])


def ticket_for(number):
    return signer.sign(str(number))


def number_on(ticket):
    """The room's number. Raises BadSignature, of which SignatureExpired is one."""
    return int(signer.unsign(ticket, max_age=DAY))
