"""Shut each folder of a class in: what it starts sees the tests, its copy, and no more.

With bubblewrap it sees no file but its copy's, the clone's and the system's, may write
into its copy only, has a network of its own with nobody else in it, sees no process but
its own, and all of them end with it. With `unshare` it has all of that but the files.
https://github.com/containers/bubblewrap, and man 1 unshare of util-linux
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tutorial.doctor.checks import find_browser
from tutorial.stages import ROOT

# What programs need of the system. Of /etc only what says who and where one is.
SYSTEM = ("/usr", "/opt", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = (
    *("passwd", "group", "hosts", "nsswitch.conf", "resolv.conf", "localtime"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts", "ssl"),
    *("mime.types", "machine-id", "chromium", "chromium.d", "postgresql-common"),
)
# Root without these cannot undo the fence; PostgreSQL has to become another user.
OF_ROOT = (
    *("CAP_SETUID", "CAP_SETGID", "CAP_KILL"),
    *("CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE"),
)
# $0 is the folder; what follows it is the program.
MOUNT = 'mount --rbind "$0" "$0" && mount -o remount,bind,ro "$0" && '


class Fence:
    """Words before a command: it runs shut in, and may write into one folder only."""

    name = ""
    hides_files = False

    def words(self, work: Path) -> list[str]:
        """The words for what may write into `work`."""
        raise NotImplementedError

    def holds(self) -> bool:
        """Whether this system has it, and lets us."""
        with tempfile.TemporaryDirectory(prefix="fence-") as place:
            words = [*self.words(Path(place)), sys.executable, "-c", ""]
            try:
                tried = subprocess.run(words, capture_output=True, timeout=30)
            except (OSError, subprocess.TimeoutExpired):
                return False
        return tried.returncode == 0


class Bubblewrap(Fence):
    """Everything apart: files, processes, network."""

    name = "bubblewrap"
    hides_files = True

    def words(self, work: Path) -> list[str]:
        """The words for what may write into `work`."""
        # Nobody inside can end the first process, and there is no other that holds the
        # pipe by which results are told.
        found = ["bwrap", "--die-with-parent", "--as-pid-1"]
        found += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
        if os.geteuid() == 0:
            found += ["--cap-drop", "ALL"]
            for cap in OF_ROOT:
                found += ["--cap-add", cap]
        found += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        for path in map(Path, SYSTEM):
            if path.is_symlink():
                found += ["--symlink", str(path.readlink()), str(path)]
            elif path.exists():
                found += ["--ro-bind", str(path), str(path)]
        # What bubblewrap makes by the way, nobody but its maker may enter; and
        # PostgreSQL, which tests start, is another user if we are root.
        for path in ("/etc", *map(str, reversed(work.parents[:-1]))):
            found += ["--dir", path]
        for name in ETC:
            found += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        found += ["--ro-bind-try", "/var/cache/fontconfig", "/var/cache/fontconfig"]
        for path in self._needed():
            found += ["--ro-bind", path, path]
        found += ["--bind", str(work), str(work), "--chdir", str(ROOT)]
        home = work / "tmp"
        return [*found, "--setenv", "HOME", str(home), "--"]

    def _needed(self) -> list[str]:
        """Our own files, and Python's, wherever they are."""
        places = {ROOT, Path(sys.prefix), Path(sys.base_prefix)}
        places.add(Path(os.path.realpath(sys.executable)).parent)
        if browser := find_browser():
            places.add(Path(os.path.realpath(browser)).parent)
        return sorted(str(path) for path in places if str(path) != "/")


class Unshare(Fence):
    """Processes and network apart. Files are what the user may read and write."""

    name = "unshare"

    def words(self, work: Path) -> list[str]:
        """The words for what should write into `work` only, and can elsewhere."""
        found = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        then = 'exec "$@"'
        if os.geteuid() != 0:
            # Whoever may do this is root there; the program shall be who it is here.
            found += ["--user", "--map-root-user"]
            who = f"--map-user={os.geteuid()} --map-group={os.getegid()}"
            then = f'exec unshare --user {who} "$@"'
        elif shutil.which("setpriv"):
            # So that root, too, looks into no other process.
            then = 'exec setpriv --bounding-set -sys_ptrace "$@"'
        return [*found, "sh", "-c", f"ip link set lo up && {then}", "fence"]


@cache
def find_fence() -> Fence | None:
    """The best that this system has and lets us use."""
    if sys.platform != "linux":
        return None
    for fence in (Bubblewrap(), Unshare()):
        if shutil.which(fence.words(Path("/tmp"))[0]) and fence.holds():
            return fence
    return None


def how_shut_in(fence: Fence | None) -> str:
    """A sentence for whoever judges the programs of others."""
    if fence is None:
        says = "Nothing here shuts the folders in: what is in them runs as you."
    elif fence.hides_files:
        says = f"Each folder is shut in by {fence.name}."
    else:
        says = f"Each folder is shut in by {fence.name}, but may read and write files."
    return says


@cache
def read_only(folder: Path) -> tuple[str, ...]:
    """The words before a command to which `folder` is read-only; none if that fails.

    Where Linux lets us, it is mounted once more, for that command.
    """
    if sys.platform != "linux" or not shutil.which("unshare"):
        return ()
    if os.geteuid() == 0:
        words = ("unshare", "--mount", "sh", "-c", MOUNT + 'exec "$@"', str(folder))
    else:
        # Whoever may mount is root there; the program shall be who it is here.
        who = f"--map-user={os.geteuid()} --map-group={os.getegid()}"
        script = f'{MOUNT}exec unshare --user {who} "$@"'
        words = ("unshare", "--user", "--map-root-user", "--mount")
        words += ("sh", "-c", script, str(folder))
    tried = subprocess.run([*words, "true"], capture_output=True)
    return words if tried.returncode == 0 else ()
