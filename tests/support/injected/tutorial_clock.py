"""Put on PYTHONPATH, this gives the code under test the clock that a test wants.

While the file named by SCRIPTED_CLOCK exists, `time.time()` returns the number in it
to callers whose file is below the current directory, and to Django's signing, which
wants to know how old a signature is. Twisted and the standard library keep the real
clock: timers have to go on. So does `datetime`, which asks the system.

By the seconds in the file beside it, `.passed`, all clocks are ahead, for everybody:
so a timer comes due that nobody wants to wait for.
"""

import os
import sys
import time
from pathlib import Path

_folder = str(Path.cwd()) + os.sep
_signing = ("django", "core", "signing.py")
_file = Path(os.environ["SCRIPTED_CLOCK"])
_ahead = _file.with_name(_file.name + ".passed")
_real, _real_ns, _real_monotonic = time.time, time.time_ns, time.monotonic


def _number(file):
    """The number in a file, None if there is none."""
    try:
        return float(file.read_text("utf-8"))
    except FileNotFoundError:
        return None


def _passed():
    return _number(_ahead) or 0.0


def _scripted(frame):
    """The reading for a caller in `frame`, None for the real clock."""
    # twistd -y compiles chatserver.py under its bare name.
    file = Path(frame.f_code.co_filename).absolute()
    if str(file).startswith(_folder) or file.parts[-3:] == _signing:
        return _number(_file)
    return None


def _time():
    reading = _scripted(sys._getframe(1))
    return _real() + _passed() if reading is None else reading


def _time_ns():
    reading = _scripted(sys._getframe(1))
    ahead = int(_passed() * 1_000_000_000)
    return _real_ns() + ahead if reading is None else int(reading * 1_000_000_000)


def _monotonic():
    return _real_monotonic() + _passed()


time.time, time.time_ns, time.monotonic = _time, _time_ns, _monotonic
