"""Imported in the shell of a manage.py, this runs one command of it after another.

Each runs in a copy of this process, where Django is set up already: to load it takes
longer than most commands do. Stdin is the socket of tutorial_forks. What a command
prints goes where this process prints.
"""

import os
import socket
import sys
import traceback

from django.core.management import execute_from_command_line
from tutorial_forks import go_on


def _run(words):
    sys.argv = ["manage.py", *words]
    try:
        execute_from_command_line(sys.argv)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


_code = _run(go_on(socket.socket(fileno=0)))
sys.stdout.flush()
sys.stderr.flush()
os._exit(_code)
