"""Unpack what somebody else has packed, and let nothing of it out of its folder.

What is wrong with an archive is a sentence, Unfit, and concerns its own row only.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import mmap
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from tutorial.check.copies import MOST_BYTES, MOST_FILES, UNMISSED, Unfit, matches
from tutorial.doctor.mistakes import printable

MOST_PACKED = 2 * MOST_BYTES  # bytes of an archive; it may hold an environment
MOST_READ = 5 * MOST_BYTES  # bytes read from one to find what is in it
MOST_ENTRIES = 100_000  # with all that stays behind
MOST_DEEP = 32  # folders in folders
MOST_IN_A_NAME = 200  # bytes
CHUNK = 1 << 16

STREAMS = {
    (".tar.gz", ".tgz"): gzip.open,
    (".tar.bz2", ".tbz2"): bz2.open,
    (".tar.xz", ".txz"): lzma.open,
    (".tar",): lambda path: path.open("rb"),
}
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError),
    *(gzip.BadGzipFile, struct.error, ValueError, NotImplementedError, RuntimeError),
)


class Entry(NamedTuple):
    """What an archive holds: a folder, a file, or a `link` to what has that name."""

    name: str
    is_folder: bool = False
    file: BinaryIO | None = None
    link: str = ""
    hard: bool = False  # does the link name its target from the top of the archive?


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip, or a tar in any of the usual forms, to `target`, a new folder.

    What a check leaves behind, such as an environment, stays packed. Raises Unfit for
    what is damaged, too large or of another form, and for what reaches out of the
    folder: by its name, or by a link.
    """
    name = printable(archive.name)
    try:
        if archive.stat().st_size > MOST_PACKED:
            raise _unfit(name, f"has more than {MOST_PACKED // 1_000_000} MB")
        target.mkdir(parents=True)
        _Unpacking(name, target).take(_entries(archive))
    except DAMAGED as error:
        raise _unfit(name, f"is damaged, or no archive ({_says(error)})") from error
    except OSError as error:
        raise _unfit(name, f"cannot be unpacked ({_says(error)})") from error


def _says(error: Exception) -> str:
    return printable(str(getattr(error, "strerror", "") or error or "it ends early"))


def _unfit(name: str, why: str) -> Unfit:
    return Unfit("nothing", f"{name} {why}.")


def _entries(archive: Path) -> Iterator[Entry]:
    low = archive.name.lower()
    if low.endswith(".zip"):
        return _of_zip(archive)
    for endings, opener in STREAMS.items():
        if low.endswith(endings):
            return _of_tar(archive, opener)
    raise _unfit(printable(archive.name), "is neither a zip nor a tar: pack it anew")


def _of_zip(archive: Path) -> Iterator[Entry]:
    name = printable(archive.name)
    with archive.open("rb") as file:
        # Each entry has this mark once. Its list would be read as a whole.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            count, at = 0, content.find(b"PK\x01\x02")
            while at >= 0:
                count, at = count + 1, content.find(b"PK\x01\x02", at + 4)
                if count > MOST_ENTRIES:
                    raise _unfit(name, f"holds more than {MOST_ENTRIES} files")
        with zipfile.ZipFile(file) as packed:
            for info in packed.infolist():
                if info.flag_bits & 1:
                    raise _unfit(name, "wants a password")
                mode = info.external_attr >> 16
                if info.is_dir():
                    yield Entry(info.filename, is_folder=True)
                elif stat.S_ISLNK(mode):
                    with packed.open(info) as link:
                        to = link.read(4096).decode("utf-8", "replace")
                    yield Entry(info.filename, link=to)
                elif not mode or stat.S_IFMT(mode) in (0, stat.S_IFREG):
                    with packed.open(info) as content:
                        yield Entry(info.filename, file=content)
                else:
                    raise _unfit(name, f"holds {printable(info.filename)}, no file")


class _Limited:
    """Reads from a stream, and no more than MOST_READ bytes in all."""

    def __init__(self, stream: BinaryIO, name: str):
        self.stream, self.name, self.left = stream, name, MOST_READ

    def read(self, size: int) -> bytes:
        found = self.stream.read(min(size, self.left + 1))
        self.left -= len(found)
        if self.left < 0:
            raise _too_large(self.name)
        return found


def _too_large(name: str) -> Unfit:
    most = f"{MOST_FILES} files, or more than {MOST_BYTES // 1_000_000} MB"
    return _unfit(name, f"holds more than {most}")


def _of_tar(archive: Path, opener) -> Iterator[Entry]:
    name = printable(archive.name)
    with opener(archive) as stream:
        limited = _Limited(stream, name)
        with tarfile.open(fileobj=limited, mode="r|") as packed:
            for info in packed:
                packed.members = []  # else it would keep them all
                if info.isdir():
                    yield Entry(info.name, is_folder=True)
                elif info.issym() or info.islnk():
                    yield Entry(info.name, link=info.linkname, hard=info.islnk())
                elif info.isreg():
                    yield Entry(info.name, file=packed.extractfile(info))
                else:
                    raise _unfit(name, f"holds {printable(info.name)}, no file")


class _Unpacking:
    """One archive, `name`, on its way into the folder `target`."""

    def __init__(self, name: str, target: Path):
        self.name, self.target = name, target
        self.files = self.size = 0
        self.links: list[tuple[Path, Entry]] = []

    def take(self, entries: Iterator[Entry]) -> None:
        for count, entry in enumerate(entries):
            if count >= MOST_ENTRIES:
                raise _unfit(self.name, f"holds more than {MOST_ENTRIES} files")
            place = self._place(entry.name)
            if place is None:
                continue
            if entry.is_folder:
                place.mkdir(parents=True, exist_ok=True)
            elif entry.file is None:
                self.links.append((place, entry))
            else:
                self._write(place, entry.file)
            self._count()
        # Last of all, so that nothing is written through one.
        for place, entry in self.links:
            self._link(place, entry)
        for place, entry in self.links:
            real = Path(os.path.realpath(place))
            if not real.is_relative_to(os.path.realpath(self.target)):
                raise self._outside(entry.name)

    def _outside(self, name: str) -> Unfit:
        return _unfit(self.name, f"reaches out of its folder, by {printable(name)}")

    def _place(self, name: str) -> Path | None:
        """Where it goes; None for what stays behind."""
        path = PurePosixPath(name.replace("\\", "/"))
        parts = [part for part in path.parts if part != "."]
        if (
            path.is_absolute()
            or ".." in parts
            or any(part[1:2] == ":" for part in parts)
        ):
            raise self._outside(name)
        if not parts or any(matches(part, UNMISSED) for part in parts):
            return None
        if len(parts) > MOST_DEEP:
            raise _unfit(self.name, f"has more than {MOST_DEEP} folders in folders")
        long = max(parts, key=len)
        if len(long.encode("utf-8", "surrogateescape")) > MOST_IN_A_NAME:
            says = f"holds a very long name, {printable(long[:40])}..."
            raise _unfit(self.name, says)
        return self.target.joinpath(*parts)

    def _count(self) -> None:
        self.files += 1
        if self.files > MOST_FILES or self.size > MOST_BYTES:
            raise _too_large(self.name)

    def _write(self, place: Path, file: BinaryIO) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as copy:
            while chunk := file.read(CHUNK):
                self.size += len(chunk)
                if self.size > MOST_BYTES:
                    raise _too_large(self.name)
                copy.write(chunk)

    def _link(self, place: Path, entry: Entry) -> None:
        # A hard link names its target from the top, a symbolic one from beside itself.
        start = self.target if entry.hard else place.parent
        to = Path(os.path.normpath(start / entry.link))
        if PurePosixPath(entry.link).is_absolute() or not to.is_relative_to(
            self.target
        ):
            raise self._outside(entry.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not entry.hard:
            place.symlink_to(os.path.relpath(to, place.parent))
        elif to.is_file() and not to.is_symlink():
            self.size += to.stat().st_size
            self._count()
            shutil.copyfile(to, place)
