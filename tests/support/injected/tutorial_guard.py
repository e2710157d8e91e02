"""Keeps the code under test, which is a copy, from its original.

However a path is spelt, it leads to a place, and what counts is where that is: nothing
may be written below TUTORIAL_KEPT, the original; and a database has to be below
TUTORIAL_FREE, where the copy is, since what is said in a test belongs nowhere else.
Reading is free.

Python asks before it does such a thing (PEP 578), for whichever library it is. What
Django reaches by a network is not asked about: of such a database, the settings have to
name the one that DATABASE_URL does.
"""

# It is asked with whatever its caller has, at every path that is opened.
# ruff: noqa: PTH116, PTH120

import os
import sys
from urllib.parse import unquote, urlsplit

# The events whose arguments are paths of what is going to change.
CHANGES = {
    *("os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.removexattr"),
    *("os.rename", "os.rmdir", "os.setxattr", "os.truncate", "os.utime"),
    *("shutil.chown", "shutil.rmtree"),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
KEPT, FREE = "kept", "free"


def _identity(path):
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


# By number: another name, another case, another mount make no difference.
_places = {
    _identity(os.environ["TUTORIAL_KEPT"]): KEPT,
    _identity(os.environ["TUTORIAL_FREE"]): FREE,
}
_places.pop(None, None)


def _place(path):
    """In which of the places `path` lies, which need not exist; None for neither."""
    here = os.path.realpath(path)
    while True:
        if found := _places.get(_identity(here)):
            return found
        parent = os.path.dirname(here)
        if parent == here:
            return None
        here = parent


def _refuse(path):
    raise PermissionError(
        f"{os.fsdecode(path)!r} is in your own folder. A check runs a copy of it, and "
        "changes nothing there. Write BASE_DIR instead of a path of its own."
    )


def _look_at_database(name):
    name = os.fsdecode(name)
    if not name or ":memory:" in name or "mode=memory" in name:
        return
    paths = [name]
    if name.startswith("file:"):  # which SQLite takes for a path or an address
        path = unquote(name[5:].partition("#")[0].partition("?")[0])
        paths.append("/" + path.lstrip("/") if path.startswith("/") else path)
    if any(_place(path) == KEPT for path in paths) or _place(paths[-1]) != FREE:
        raise PermissionError(
            f"The database {name!r} is not in the copy of your folder that is checked. "
            "It may be your own, and a check would put its rooms into it. In the "
            'settings, write BASE_DIR / "db.sqlite3".'
        )


def _look(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = flags & WRITING or {*(mode or "")} & {*"wax+"}
        if writes and not isinstance(path, int) and _place(path) == KEPT:
            _refuse(path)
    elif event == "sqlite3.connect":
        _look_at_database(arguments[0])
    elif event in CHANGES or event == "os.symlink":
        for path in arguments[event == "os.symlink" :]:
            if isinstance(path, str | bytes | os.PathLike) and _place(path) == KEPT:
                _refuse(path)


class _Databases:
    """Looks at the settings when Django comes to need the driver of a database."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        package, _, module = name.rpartition(".")
        local = ("django.db.backends.sqlite3", "django.db.backends.dummy")
        if module == "base" and package.startswith("django.db.backends."):
            from django.conf import settings

            for database in settings.DATABASES.values():
                engine = database.get("ENGINE")
                if engine == package and engine not in local:
                    _look_at_settings(database)


def _look_at_settings(database):
    given = urlsplit(os.environ.get("DATABASE_URL", ""))
    named = [str(database.get(key, "")) for key in ("HOST", "PORT", "NAME")]
    if named != [given.hostname, str(given.port), given.path[1:]]:
        raise PermissionError(
            f"The settings name the database {named[2]!r}, which may be your own, and "
            "a check would put its rooms into it. Have them read DATABASE_URL, and "
            'without it write BASE_DIR / "db.sqlite3".'
        )


sys.addaudithook(_look)
sys.meta_path.insert(0, _Databases)
