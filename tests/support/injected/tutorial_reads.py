"""Put on PYTHONPATH, this notes which files of its folder the code under test reads.

Their names go into a file that is called by the number of the process, in the folder
that TUTORIAL_READS names. Whoever keeps a server between two changes learns so which
of them concern it. What Django only hands to a browser, it reads anew each time: that
is left out.
"""

# It is asked with whatever its caller has, at every path that is opened.
# ruff: noqa: PTH100, PTH109, PTH118, PTH123, SIM115

import os
import sys

_MOST = 5_000  # as many as a project may have
_SERVING = os.path.join("django", "views", "static.py")
_WRITING = os.O_WRONLY | os.O_RDWR

_folder = os.getcwd() + os.sep


def begin():
    """Know of nothing yet. To be called again in a copy of the process."""
    global _notes, _known
    file = os.path.join(os.environ["TUTORIAL_READS"], str(os.getpid()))
    _notes, _known = open(file, "a", encoding="utf-8"), set()


def _is_served(frame):
    for _ in range(4):  # itself, and what it opens a file with
        if frame is None:
            return False
        if frame.f_code.co_filename.endswith(_SERVING):
            return True
        frame = frame.f_back
    return False


def _look(event, arguments):
    if event != "open" or len(_known) > _MOST:
        return
    path, _, flags = arguments
    if flags & _WRITING or not isinstance(path, str | bytes | os.PathLike):
        return
    name = os.path.abspath(os.fsdecode(path))
    if name.startswith(_folder) and name not in _known:
        if _is_served(sys._getframe(1)):
            return
        _known.add(name)
        _notes.write(name[len(_folder) :].replace("\n", " ") + "\n")
        _notes.flush()


begin()
sys.addaudithook(_look)
