"""The command line: python -m tutorial"""

# Newer ways, which an old Python does not know (see bootstrap.py):
# ruff: noqa: PTH100, PTH110, PTH118, PTH120, UP031

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def forgotten(package):
    """Return a sentence for a Python that lacks `package`: often the wrong one."""
    missing = "%s has no package %r." % (sys.executable, package)
    venv = os.path.join(ROOT, ".venv")
    for parts in (("bin", "python"), ("Scripts", "python.exe")):
        python = os.path.join(venv, *parts)
        if os.path.exists(python):
            if os.path.realpath(sys.prefix) == os.path.realpath(venv):
                cure = "Install it with: %s tutorial/bootstrap.py run --again"
            else:
                cure = "The tutorial has a Python of its own: %s -m tutorial"
            return "%s %s" % (missing, cure % os.path.relpath(python))
    cure = "Set up first: make setup (or: %s tutorial/bootstrap.py test)"
    return "%s %s" % (missing, cure % sys.executable)


def start():
    """Run the command line, or say in a sentence why this Python cannot."""
    if not __package__:  # started as: python path/to/tutorial
        sys.path[0] = ROOT
    from tutorial.bootstrap import too_old

    complaint = too_old(sys.version_info, sys.executable)
    if complaint:
        sys.exit(complaint)
    try:
        from tutorial.cli import main
    except ImportError as error:
        name = getattr(error, "name", None) or ""
        if not name or name.startswith("tutorial"):
            raise
        sys.exit(forgotten(name))
    main(prog_name="python -m tutorial")


# The servers' reporters, which are processes too, import this file by another name.
if __name__ == "__main__":
    try:
        start()
    except KeyboardInterrupt:
        sys.exit(130)
