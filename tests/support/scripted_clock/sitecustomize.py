"""Put on PYTHONPATH, this gives the code under test the clock that a test wants.

While the file named by SCRIPTED_CLOCK exists, `time.time()` returns the number in it
to callers whose file is below the current directory, and to Django's signing, which
wants to know how old a signature is. Twisted and the standard library keep the real
clock: timers have to go on. So does `datetime`, which asks the system.
"""

import os
import sys
import time
from pathlib import Path

_folder = str(Path.cwd()) + os.sep
_signing = ("django", "core", "signing.py")
_file = Path(os.environ["SCRIPTED_CLOCK"])
_real, _real_ns = time.time, time.time_ns


def _scripted(frame):
    """The reading for a caller in `frame`, None for the real clock."""
    # twistd -y compiles chatserver.py under its bare name.
    file = Path(frame.f_code.co_filename).absolute()
    if str(file).startswith(_folder) or file.parts[-3:] == _signing:
        try:
            return float(_file.read_text())
        except FileNotFoundError:
            pass
    return None


def _time():
    reading = _scripted(sys._getframe(1))
    return _real() if reading is None else reading


def _time_ns():
    reading = _scripted(sys._getframe(1))
    return _real_ns() if reading is None else int(reading * 1_000_000_000)


time.time, time.time_ns = _time, _time_ns
