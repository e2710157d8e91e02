"""The command line: python -m tutorial"""

# Newer ways, which an old Python does not know (see bootstrap.py):
# ruff: noqa: PTH100, PTH110, PTH118, PTH120, PTH123, SIM115, UP031

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


def hold(prefix):
    """Lock the environment at `prefix` until we end, so that nobody makes it anew.

    Others may hold it as well. Returns the open file, or None.
    """
    try:
        import fcntl

        file = open(os.path.join(prefix, "pyvenv.cfg"), "rb")
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return file
    except (ImportError, OSError):
        return None  # on Windows what runs cannot be removed


def give_up(says):
    """End with a sentence. To `check`, code 1 would mean that the work is wrong."""
    sys.stderr.write("%s\n" % says)
    sys.exit(6 if sys.argv[1:2] in (["check"], ["check-class"], ["watch"]) else 1)


def start():
    """Run the command line, or say in a sentence why this Python cannot."""
    if not __package__:  # started as: python path/to/tutorial
        sys.path.insert(0, ROOT)
    from tutorial.bootstrap import too_old

    complaint = too_old(sys.version_info, sys.executable)
    if complaint:
        give_up(complaint)
    try:
        from tutorial.cli import main
    except ImportError as error:
        name = getattr(error, "name", None) or ""
        if not name or name.startswith("tutorial"):
            give_up("This clone is not whole: %s. Clone it anew." % error)
        give_up(forgotten(name))
    held = hold(sys.prefix)
    try:
        main(prog_name="python -m tutorial")
    finally:
        if held:
            held.close()


# The servers' reporters, which are processes too, import this file by another name.
if __name__ == "__main__":
    try:
        start()
    except KeyboardInterrupt:
        sys.exit(130)
