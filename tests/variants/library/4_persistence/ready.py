"""Makes Django's models ready for a program that is not Django."""

import os

import django

os.environ["DJANGO_DEBUG"] = "0"  # Or it keeps every query.

import manage  # noqa: E402, F401

django.setup()
