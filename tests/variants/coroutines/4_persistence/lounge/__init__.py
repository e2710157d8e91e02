"""The chat server's parts: talk, visitors, polling, and the entrance to them."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
os.environ["DJANGO_DEBUG"] = "0"  # or Django would remember every query

django.setup()
