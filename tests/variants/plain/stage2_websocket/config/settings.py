"""One machine, one developer: not for production."""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]

DEBUG = True
SECRET_KEY = "of no worth outside 127.0.0.1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "config.urls"
USE_TZ = True

TALK_PORT = os.environ.get("CHAT_PORT", "1025")

DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "data.sqlite3"}
}

STATIC_URL = "/assets/"
STATICFILES_DIRS = [HERE / "assets"]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "templates"],
        "APP_DIRS": True,  # the admin's
        "OPTIONS": {
            "context_processors": [
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.request",
            ]
        },
    }
]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "chat.apps.Chat",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
