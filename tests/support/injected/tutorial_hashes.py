"""Put on PYTHONPATH, this makes passwords quick to hash for the code under test.

Django computes a million rounds for each, which is half a second, so that nobody can
try many. Tests log in by the hundred. What is stored says still how many rounds there
should be, and all processes of a test do as few.
"""

import hashlib

ROUNDS = 1000

_real = hashlib.pbkdf2_hmac


def _quick(name, password, salt, iterations, dklen=None):
    return _real(name, password, salt, min(iterations, ROUNDS), dklen)


hashlib.pbkdf2_hmac = _quick
