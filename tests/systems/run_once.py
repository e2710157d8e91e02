"""Type `make run`, look at the page that it names, and press Ctrl-C.

    python3 tests/systems/run_once.py python3.15

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request


def main(python: str) -> int:
    """Run once, with `python` for the environment. Returns the exit code of make."""
    made = subprocess.Popen(
        ["make", "run", f"PYTHON={python}"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    for line in made.stdout:
        print(line, end="")
        if "Press Ctrl-C" in line:
            break
        if found := re.search(r"Open (http://\S+)", line):
            address = found[1]
    else:
        return made.wait() or 1
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            print(answer.status, answer.url)
    finally:
        # As a terminal does: to the whole group.
        os.killpg(made.pid, signal.SIGINT)
        print(made.stdout.read(), end="")
    return made.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
