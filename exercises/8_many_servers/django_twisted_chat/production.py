"""Settings for a server that strangers reach: those of settings.py, and more.

It stands behind a proxy that does TLS, has one name for Django and the chat server, and
is told its secrets by the environment.
"""

import logging
import os
import re

from django.core.exceptions import ImproperlyConfigured

from .settings import *  # noqa: F403 (all of them)
from .settings import ALLOWED_HOSTS, BASE_DIR, CHAT_PROXIES, SECURE_CSP

NEEDED = ["DJANGO_SECRET_KEY", "CHAT_KEY", "CHAT_HOSTS", "DATABASE_URL"]
KEYS = ["DJANGO_SECRET_KEY", "CHAT_KEY", "DJANGO_SECRET_KEY_BEFORE", "CHAT_KEY_BEFORE"]
# Everybody has read them.
PUBLIC = ["django-insecure-for-the-tutorial-only", "insecure-for-the-tutorial-only"]
SHORTEST = 50  # characters of a key, as Django's own check wants it

given = {name: os.environ.get(name, "") for name in [*NEEDED, *KEYS]}
problems = [f"{name} is missing" for name in NEEDED if not given[name]]
problems += [f"{name} is public" for name in KEYS if given[name] in PUBLIC]
problems += [
    f"{name} is shorter than {SHORTEST} characters"
    for name in KEYS
    if 0 < len(given[name]) < SHORTEST and given[name] not in PUBLIC
]
if given["DJANGO_SECRET_KEY"] == given["CHAT_KEY"] != "":
    problems.append("DJANGO_SECRET_KEY is CHAT_KEY: one may leak without the other")
if any("*" in name for name in ALLOWED_HOSTS):
    problems.append("CHAT_HOSTS has a *: then every name is ours")
if problems:
    raise ImproperlyConfigured(f"In the environment {', '.join(problems)}.")

DEBUG = False
SECRET_KEY = given["DJANGO_SECRET_KEY"]
# Who was logged in with the key before stays logged in.
SECRET_KEY_FALLBACKS = [key for key in [given["DJANGO_SECRET_KEY_BEFORE"]] if key]

# Pages talk to the name that they came from. There, the proxy knows the chat servers.
CHAT_SERVERS = []
SECURE_CSP["connect-src"] = ["'self'", *(f"wss://{host}" for host in ALLOWED_HOSTS)]
# For the chat server, which is set up with these settings, too.
os.environ["CHAT_ORIGINS"] = os.environ.get("CHAT_ORIGINS") or ",".join(
    f"https://{host}" for host in ALLOWED_HOSTS
)

# Only a proxy can tell how a request has come. Without one, nobody is believed.
if CHAT_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_HSTS_SECONDS = 30 * 24 * 60 * 60
# Whether all names below this one speak TLS, and will for ever, is not ours to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# An address may hold an invitation. As a referrer it would be in logs.
SECURE_REFERRER_POLICY = "strict-origin"

STATIC_ROOT = BASE_DIR / "static"


class HideInvitations(logging.Filter):
    """Whoever has the link may enter, so no log has it."""

    def filter(self, record):
        said = re.sub(r"(/invitation/)[^/\s]+", r"\1...", record.getMessage())
        record.msg, record.args = said, ()
        return True


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"short": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "filters": {"invitations": {"()": HideInvitations}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "short",
            "filters": ["invitations"],
        },
    },
    "loggers": {"django": {"handlers": [], "level": "WARNING"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
