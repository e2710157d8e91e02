"""Put on PYTHONPATH, this gives the code under test the clock that a test wants.

While the file named by SCRIPTED_CLOCK exists, `time.time()` returns the number in it
to callers whose file is below the current directory. Twisted and the standard library
keep the real clock: timers have to go on.
"""

import os
import sys
import time
from pathlib import Path

_folder = str(Path.cwd()) + os.sep
_file = Path(os.environ["SCRIPTED_CLOCK"])
_real = time.time


def _is_theirs(frame):
    # twistd -y compiles chatserver.py under its bare name.
    return str(Path(frame.f_code.co_filename).absolute()).startswith(_folder)


def _scripted():
    if _is_theirs(sys._getframe(1)):
        try:
            return float(_file.read_text())
        except FileNotFoundError:
            pass
    return _real()


time.time = _scripted
