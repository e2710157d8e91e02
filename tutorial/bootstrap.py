"""Set up the environment of this tutorial: python tutorial/bootstrap.py run

This file and __main__.py keep to what a Python of ten years ago can read. It is the
one way in which such a Python can say that it is too old, instead of pointing at a
syntax it does not know.
"""

# Newer ways, which such a Python does not know:
# ruff: noqa: PTH100, PTH120, UP031

import os
import sys

OLDEST = (3, 11)


def too_old(version, executable):
    """Return a sentence for the learner if `version` is too old, else an empty one."""
    if tuple(version[:2]) >= OLDEST:
        return ""
    return (
        "This tutorial needs Python %d.%d or newer, and %s is Python %s. "
        "Install a newer one, or name one that you have: make run PYTHON=python3.12"
    ) % (OLDEST + (executable, ".".join(str(part) for part in version[:3])))


def main():
    """Check the Python that runs this file, then set up."""
    complaint = too_old(sys.version_info, sys.executable)
    if complaint:
        sys.exit(complaint)
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    from tutorial.setup.environment import main as set_up

    sys.exit(set_up(sys.argv[1:]))


if __name__ == "__main__":
    main()
