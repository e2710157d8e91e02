"""Settings for working on the chat on your own machine. A server has production.py."""

import os
import re
from pathlib import Path

import dj_database_url
import django
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent


def named(variable, otherwise=""):
    """Return what a variable of the environment lists, with commas in between."""
    names = (os.environ.get(variable) or otherwise).split(",")
    return [name.strip() for name in names if name.strip()]


# Good enough for 127.0.0.1. A real site reads its key from the environment.
SECRET_KEY = "django-insecure-for-the-tutorial-only"
DEBUG = (os.environ.get("DJANGO_DEBUG") or "1").lower() in ("1", "true", "yes", "on")
ALLOWED_HOSTS = named("CHAT_HOSTS", "127.0.0.1,localhost,[::1]")
# Who is believed when they say for which client they ask.
CHAT_PROXIES = named("CHAT_PROXIES")

INSTALLED_APPS = [
    "chat",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "chat.middleware.believe_proxies",
    "chat.middleware.refuse_other_hosts",
    "chat.middleware.refuse_other_encodings",
    "django.middleware.security.SecurityMiddleware",
    # From version 6 on, Django brings its own.
    "django.middleware.csp.ContentSecurityPolicyMiddleware"
    if django.VERSION >= (6,)
    else "chat.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "chat.middleware.keep_session",
    # Every page is closed to strangers, but those that say otherwise.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "django_twisted_chat.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# DATABASE_URL names another one: postgres://user:password@host/name
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
    }
}
if os.environ.get("DATABASE_URL"):
    DATABASES["default"] = dj_database_url.config()

# A database that does not answer is away. Nobody should wait for it for long.
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    OPTIONS = {
        "timeout": 2,  # seconds, while somebody else writes
        "transaction_mode": "IMMEDIATE",  # or else that may end in an error at once
        # With WAL, who writes and who reads do not wait for each other. With FULL, what
        # is committed is on the disk, whatever happens to the machine.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    OPTIONS = {
        "connect_timeout": 2,  # seconds
        "tcp_user_timeout": 5000,  # milliseconds
    }
DATABASES["default"]["OPTIONS"] = {**OPTIONS, **DATABASES["default"].get("OPTIONS", {})}

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "index"
LOGOUT_REDIRECT_URL = "login"
# So many wrong logins and sign-ups, in so many seconds.
LOGINS = os.environ.get("CHAT_LOGINS") or "20/300"
if not re.fullmatch("[1-9][0-9]*/[1-9][0-9]*", LOGINS):
    raise ImproperlyConfigured(f"CHAT_LOGINS is {LOGINS!r}, and not like 20/300.")
CHAT_LOGINS = [int(number) for number in LOGINS.split("/")]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"

# Where chatserver.py listens, for the pages that talk to it: to any of them, each time.
PORT = os.environ.get("CHAT_PORT") or "1025"
CHAT_SERVERS = named("CHAT_SERVERS", f"127.0.0.1:{PORT}")

# What a page may load, and whom it may talk to. Should a text ever be taken for markup,
# its script does not run.
SECURE_CSP = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "connect-src": [
        "'self'",
        *(f"ws://{server}" for server in CHAT_SERVERS),
        *(f"http://{server}" for server in CHAT_SERVERS),
    ],
    "form-action": ["'self'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}
