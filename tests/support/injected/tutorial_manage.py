"""Imported in the shell of a manage.py, this runs one command of it after another.

Each runs in a copy of this process, where Django is set up already: to load it takes
longer than most commands do. Stdin is a socket. A line of JSON comes by it, the words
of a command, and a line goes back, the exit code. What a command prints goes where this
process prints.
"""

import json
import os
import socket
import sys
import traceback

from django.core.management import execute_from_command_line


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


def _serve(line):
    for words in line.makefile():
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            line.close()
            code = _run(json.loads(words))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        line.sendall(f"{code}\n".encode())


_serve(socket.socket(fileno=os.dup(0)))
