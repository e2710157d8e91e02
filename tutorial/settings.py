"""What comes by the environment, read by one rule wherever it is read."""

from __future__ import annotations

from collections.abc import Mapping

MARK = "TUTORIAL_RUN"  # marks each server of a run
KEPT = "TUTORIAL_KEPT"  # names the original to all that a check starts
SHUT_IN = "TUTORIAL_SHUT_IN"  # says that nothing that they start can be trusted
TO_THE_END = "TUTORIAL_TO_THE_END"  # tells its tests to go on after a failure
SHARED = "TUTORIAL_SHARED"  # the folder in which a lane says which tests it takes

# A check of a folder says nothing about the shell that it is started from. What only
# that shell is meant for, by name or by how the name begins, reaches none of its
# programs: settings of the chat, Python, PostgreSQL, Redis, Django and pytest, the
# language, a proxy.
OF_THE_SHELL = {
    *("DATABASE_URL", "REDIS_URL", "LANG", "LANGUAGE"),
    *("ALL_PROXY", "FTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("DEBUG", "NODE_OPTIONS"),
}
BEGIN = ("CHAT_", "DJANGO_", "GIT_", "LC_", "PG", "PYTEST_", "PYTHON")


def plain(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what is meant for this shell only."""
    return {
        name: text
        for name, text in environ.items()
        if name.upper() not in OF_THE_SHELL and not name.upper().startswith(BEGIN)
    }


USUAL_PORTS = {"DJANGO_PORT": 8000, "CHAT_PORT": 1025}

# Browsers open no page on these, and no connection (https://fetch.spec.whatwg.org,
# "bad port"): other protocols live there.
BAD_PORTS = {
    *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79),
    *(87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137),
    *(139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540),
    *(548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049),
    *(3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679),
    *(6697, 10080),
}


def as_browsers_send(origin: str) -> str:
    """An origin as it comes in the header, as each chatserver.py writes it, too.

    In small letters, and without the port that everybody knows.
    """
    scheme, _, host = origin.strip().rstrip("/").lower().partition("://")
    usual = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{host.removesuffix(usual)}"


def origins_of(port: int) -> list[str]:
    """The origins of the pages that Django serves on `port` of this machine."""
    hosts = ("127.0.0.1", "localhost")
    return [as_browsers_send(f"http://{host}:{port}") for host in hosts]


def read_origins(environ: Mapping[str, str]) -> list[str]:
    """The origins that CHAT_ORIGINS names, as browsers send them; none without it."""
    named = environ.get("CHAT_ORIGINS")
    return [as_browsers_send(origin) for origin in named.split(",")] if named else []


def is_debug(environ: Mapping[str, str]) -> bool:
    """What DJANGO_DEBUG says, as the settings of exercise 4 read it."""
    text = environ.get("DJANGO_DEBUG") or "1"
    return text.lower() in ("1", "true", "yes", "on")
