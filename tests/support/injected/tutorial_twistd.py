"""On the PYTHONPATH of a twistd, this has it start one chat server after another.

The process goes as far as to open the file that the chapter's command names. Then it
goes on in copies of itself: it has read nothing of the folder under test. Of Twisted it
has loaded what a chat server loads in a moment. Stdin is the socket of tutorial_forks.
"""

import importlib
import os
import socket
import sys

from tutorial_forks import go_on

# None of these makes a reactor, which two processes cannot share.
AHEAD = (
    "twisted.application.internet",
    "twisted.application.strports",
    "twisted.web.server",
    "twisted.web.websocket",
)

del os.environ["TUTORIAL_FORKS"]  # It is not for what the chat server starts.
_stands_still = False


def _load_ahead():
    """Returns what came: the names of modules that are in no package."""
    before = {*sys.modules}
    for name in AHEAD:
        importlib.import_module(name)
    return {name for name in {*sys.modules} - before if "." not in name}


def _has_any(names):
    """Whether the folder has modules of these names, which may be meant instead."""
    return any(
        name.removesuffix(".py") in names
        for _, folders, files in os.walk(".")
        for name in (*folders, *files)
    )


def _look(event, arguments):
    global _stands_still
    if event != "open" or arguments[0] != sys.argv[-1] or _stands_still:
        return
    _stands_still = True
    came = _load_ahead()
    go_on(socket.socket(fileno=0), ready=lambda: not _has_any(came))
    os.setsid()
    if reads := sys.modules.get("tutorial_reads"):
        reads.begin()


sys.addaudithook(_look)
