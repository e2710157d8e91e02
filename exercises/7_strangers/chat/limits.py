"""How often somebody may try to log in, or to sign up.

CHAT_LOGINS says how many tries there are, and in how many seconds they all come back:
each after its share of that time. So one number tells everything, the moment when no
try is missing any more. It is in the database, because several processes have to know.
"""

import math
import time

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Greatest
from django.utils.crypto import salted_hmac

from .addresses import network
from .models import Tries

MINUTE = 60  # seconds


def sender(request):
    """Return whose tries a request uses up: those of the address it comes from."""
    return network(request.META["REMOTE_ADDR"])


def take(key):
    """Take one try of `key`. Return 0, or in how many seconds there is one."""
    most, seconds = settings.CHAT_LOGINS
    share = seconds / most
    now = time.time()
    latest = now + seconds - share  # With all back later than that, none is left.
    # What is over goes, and what cannot be: the clock was set back.
    over = Q(all_back__lt=now - MINUTE) | Q(all_back__gt=now + seconds + MINUTE)
    Tries.objects.filter(over).delete()
    row = Tries(key=stored(key), all_back=now)
    Tries.objects.bulk_create([row], ignore_conflicts=True)
    mine = Tries.objects.filter(key=row.key)
    # Looked at and changed in one statement: of two at once, none slips through.
    moved = Greatest(F("all_back"), now) + share
    if mine.filter(all_back__lte=latest).update(all_back=moved):
        return 0
    return math.ceil(mine.get().all_back - latest)


def take_all(keys):
    """Take one try of each. Return 0, or take none, and return when there is one."""
    for number, key in enumerate(keys):
        if wait := take(key):
            for taken in keys[:number]:
                give_back(taken)
            return wait
    return 0


def give_back(key):
    """Give back what was taken: it was no wrong try."""
    most, seconds = settings.CHAT_LOGINS
    row = Tries.objects.filter(key=stored(key))
    row.update(all_back=F("all_back") - seconds / most)


def stored(key):
    """Return `key` as nobody can read it: some type their password for their name."""
    return salted_hmac("chat.limits", ascii(key), algorithm="sha256").hexdigest()
