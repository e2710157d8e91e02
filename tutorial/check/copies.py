"""Copies of a learner's folder, of whose making nothing is known, and where they live.

A check works on a copy. What is copied, what stays behind and why, is decided here,
for `check`, `check-class` and `pytest --path` alike.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tutorial.doctor.mistakes import printable
from tutorial.processes import kill_all, lock, marked
from tutorial.stages import TRACES

MOST_FILES, MOST_BYTES = 5_000, 100_000_000  # in a folder that is a project
PREFIX = "check-"  # of the folders that checks make in the temporary one
UNREADABLE = "it cannot be read"  # why something is not in a copy
OWNER = "owner.json"  # in such a folder: held by a lock for as long as the check lives

# What nobody misses. Whatever else stays behind is said.
UNMISSED = (
    *TRACES,
    *("node_modules", "site-packages", "__pypackages__", "__MACOSX"),
    *("._*", ".DS_Store", ".git", ".hg", ".svn", ".venv", ".tox", ".nox", ".direnv"),
    *(".*cache", ".hypothesis", ".coverage", ".eggs", ".ipynb_checkpoints"),
    *(".idea", ".vs", ".vscode", ".project", ".settings", ".*.sw?", ".fuse_hidden*"),
)


class Unfit(Exception):
    """The folder cannot be copied. `kind` is the word of what the check comes to."""

    def __init__(self, kind: str, says: str):
        super().__init__(says)
        self.kind = kind


# --- What is copied ---------------------------------------------------------


def is_environment(folder: Path) -> bool:
    """Whether this is where Python's packages live: of venv, virtualenv or conda."""
    marks = ["pyvenv.cfg", "conda-meta", "bin/activate", "Scripts/activate"]
    return any(os.path.lexists(folder / mark) for mark in marks)


def take_copy(folder: Path, target: Path) -> list[str]:
    """Copy a project to `target`, which must not exist yet.

    Environments, databases and caches stay behind. So do what is no file, what cannot
    be read, and links that lead out of the folder or round in a circle. Returns a
    sentence about each of these, and about hidden folders: they may be missed. Raises
    Unfit for what is too large, or cannot be read at all.
    """
    try:
        return _Copy(Path(os.path.realpath(folder)), target).make()
    except RecursionError:
        says = (
            f"{folder} has folders in folders, more than any project. What made them?"
        )
        raise Unfit("nothing", says) from None


@dataclass
class _Copy:
    folder: Path
    target: Path
    files: int = 0
    size: int = 0
    says: list[str] = field(default_factory=list)
    unmissed: tuple[str, ...] = ()  # in the folder itself, besides UNMISSED
    at_top: Counter = field(default_factory=Counter)  # by name there: files and bytes

    def make(self) -> list[str]:
        self.target.mkdir(parents=True)
        try:
            next(self.folder.iterdir(), None)
        except OSError as error:
            says = f"{self.folder} cannot be read: {error.strerror}."
            raise Unfit("tool", says) from error
        if is_environment(self.folder):  # made among the project's own files
            self.unmissed = ("bin", "include", "lib*", "share", "Scripts", "Lib")
        for at, folders, names in os.walk(self.folder, onerror=self._unreadable):
            here = Path(at)
            top = self.unmissed if here == self.folder else ()
            for found in (folders, names):
                found[:] = [name for name in found if not matches(name, top)]
            folders[:] = [name for name in folders if self._take_folder(here / name)]
            for name in names:
                if not matches(name, UNMISSED):
                    self._take(here / name)
        return self.says

    def _place(self, path: Path) -> Path:
        return self.target / path.relative_to(self.folder)

    def _leave(self, path: Path, why: str) -> None:
        name = printable(path.relative_to(self.folder).as_posix())
        self.says.append(f"{name} is not in the copy: {why}.")

    def _unreadable(self, error: OSError) -> None:
        self._leave(Path(error.filename), f"{UNREADABLE} ({error.strerror})")

    def _take_folder(self, path: Path) -> bool:
        """Make a folder in the copy. Returns whether to go into it."""
        if matches(path.name, UNMISSED) or is_environment(path):
            return False
        if path == self.target.parent:
            return False  # the temporary folder is in the project
        if path.is_symlink():
            self._take_link(path)
            return False
        if path.name.startswith("."):
            self._leave(path, "it is a hidden folder")
            return False
        self._place(path).mkdir()
        return True

    def _take_link(self, path: Path) -> None:
        """Copy a link to a folder as a link to the copy of that folder."""
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self.folder):
            self._leave(path, "it is a link that leads out of the folder")
        elif path.is_relative_to(real):
            self._leave(path, "it is a link that leads round in a circle")
        else:
            place = self._place(path)
            to = os.path.relpath(self._place(real), place.parent)
            try:
                place.symlink_to(to, target_is_directory=True)
            except OSError as error:  # Windows lets not everybody
                self._leave(path, f"it is a link ({error.strerror})")

    def _take(self, path: Path) -> None:
        """Copy a file, or a link to one."""
        try:
            what = path.stat()
        except OSError as error:
            why = f"{UNREADABLE} ({error.strerror})"
            if path.is_symlink():
                why = "it is a link to nothing"
            self._leave(path, why)
            return
        real = Path(os.path.realpath(path))
        if not stat.S_ISREG(what.st_mode):
            self._leave(path, "it is no file")
        elif not real.is_relative_to(self.folder):
            self._leave(path, "it is a link that leads out of the folder")
        else:
            self._copy(path, what)

    def _copy(self, path: Path, what: os.stat_result) -> None:
        self.files, self.size = self.files + 1, self.size + what.st_size
        self.at_top[path.relative_to(self.folder).parts[0]] += 1 + what.st_size
        if self.files > MOST_FILES or self.size > MOST_BYTES:
            [(most, _)] = self.at_top.most_common(1)
            raise Unfit(
                "nothing",
                f"{self.folder} holds more than {MOST_FILES} files, or more than "
                f"{MOST_BYTES // 1_000_000} MB. Is it the right folder? Most of it is "
                f"{printable(most)}.",
            )
        place = self._place(path)
        try:
            source = path.open("rb")
        except OSError as error:
            self._leave(path, f"{UNREADABLE} ({error.strerror})")
            return
        with source, place.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        # What others may not read, they may not read in the copy either.
        place.chmod((place.stat().st_mode & what.st_mode) | 0o600)


def contents(copy: Path) -> dict[str, bytes]:
    """What is in each file of a copy, by its name."""
    return {
        path.relative_to(copy).as_posix(): path.read_bytes()
        for path in copy.rglob("*")
        if path.is_file()
    }


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is like one of these."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


# --- Whether the original stayed as it was ----------------------------------


def look(folder: Path) -> dict[str, tuple]:
    """How all in a folder is: its mode, and a file's size, number and last change."""
    found = {}
    for at, folders, names in walk(folder):
        folders[:] = [
            name
            for name in folders
            if name not in ("node_modules", ".git")
            and not is_environment(Path(at, name))
        ]
        for name in (*folders, *names):
            path = os.path.join(at, name)  # noqa: PTH118
            with suppress(OSError):
                what = os.lstat(path)
                changed = (what.st_size, what.st_mtime_ns, what.st_ino)
                if stat.S_ISDIR(what.st_mode):
                    changed = ()  # what lies in it counts, and only that
                found[os.path.relpath(path, folder)] = (what.st_mode, *changed)
        if len(found) > 10 * MOST_FILES:
            break  # it is no project, and nothing of it will run
    return found


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """What os.walk gives, as far down as that goes."""
    with suppress(RecursionError):
        yield from os.walk(folder)


def differences(before: Mapping[str, tuple], after: Mapping[str, tuple]) -> list[str]:
    """The files, by name, that are not what they were before."""
    names = sorted({*before, *after})
    return [name for name in names if before.get(name) != after.get(name)]


def meddled(changed: list[str]) -> str:
    """A sentence about files of the original that changed while a copy was tried."""
    names = ", ".join(map(printable, changed[:5])) + ", ..." * (len(changed) > 5)
    return (
        f"While the check ran, this changed in your folder: {names}. If it was not you "
        "or a program of yours, then the code reaches past its copy: it has to name "
        "its files by BASE_DIR."
    )


# --- Where copies live ------------------------------------------------------


@contextmanager
def workspace(mark: str = "") -> Iterator[Path]:
    """A folder for a check, with a `tmp` in it for all that its tests make.

    What a check left that could not clear up, since it was killed, is cleared first.
    The processes of this one carry `mark`.
    """
    clear_leftovers()
    work = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    (work / "tmp").mkdir()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # PostgreSQL, which tests start there, is another user then: let it through,
        # whatever the umask.
        work.chmod(0o711)
        (work / "tmp").chmod(0o755)
    with (work / OWNER).open("w", encoding="utf-8") as owner:
        lock(owner)
        owner.write(json.dumps({"mark": mark}))
        owner.flush()
        try:
            yield work
        finally:
            for path in work.iterdir():
                if path.name != OWNER:
                    remove(path)
    remove(work)  # Windows removes no file that is open


def clear_leftovers() -> None:
    """End and remove what killed checks of this user left in the temporary folder."""
    for work in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError):
            what = work.lstat()
            if not stat.S_ISDIR(what.st_mode):
                continue
            if hasattr(os, "geteuid") and what.st_uid != os.geteuid():
                continue
            with (work / OWNER).open("r+", encoding="utf-8") as owner:
                text = owner.read()
                if not text or not lock(owner):
                    continue  # somebody is at work there
                if mark := json.loads(text)["mark"]:
                    kill_all(lambda mark=mark: marked(mark))
            remove(work)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it, whatever a program made of it."""
    for _ in range(5):  # what has just been ended may still be writing
        if path.is_dir() and not path.is_symlink():
            _open_up(path)
            try:
                shutil.rmtree(path, ignore_errors=True)
            except RecursionError:  # folders in folders, without end
                subprocess.run(["rm", "-rf", "--", str(path)], check=False)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        if not os.path.lexists(path):
            return
        time.sleep(0.1)


def _open_up(folder: Path) -> None:
    with suppress(OSError):
        folder.chmod(0o700)
    for at, folders, _ in walk(folder):
        for path in (Path(at, name) for name in folders):
            with suppress(OSError):
                if not path.is_symlink():
                    path.chmod(0o700)


def weigh(folder: Path) -> tuple[int, Path]:
    """How many bytes the files below a folder take, and which of them takes most."""
    total, most, largest = 0, -1, folder
    for at, _, names in walk(folder):
        for name in names:
            path = Path(at, name)
            with suppress(OSError):
                what = path.lstat()
                # A file may have holes, which take no place.
                size = getattr(what, "st_blocks", what.st_size // 512) * 512
                total += size
                if size > most:
                    most, largest = size, path
    return total, largest
