#!/usr/bin/env python
"""The project in one file: its settings, its addresses and its command line."""

import os
import sys
from pathlib import Path

import dj_database_url
from django.conf import settings
from django.core.management import execute_from_command_line

FOLDER = Path(__file__).resolve().parent

database = dj_database_url.config(default=f"sqlite:///{FOLDER}/chat.sqlite3")
if "sqlite" in database["ENGINE"]:
    database["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 2}

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DATABASES={"default": database},
    DEBUG=os.environ.get("DJANGO_DEBUG") != "0",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "chat",
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
    ],
    MIDDLEWARE=[
        "chat.names.only_our_names",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    ROOT_URLCONF="chat.pages",
    SECRET_KEY="a key for this machine only",
    STATIC_URL="static/",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    USE_TZ=True,
)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
