"""Writing files so that a crash leaves the old or the new content, and naming content by its hash.

What is half-written has a name of its own form, `beside` its final one, by which it is found and removed when its
writer died.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import math
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

AGAIN = 0.002
"""Seconds between two attempts at a lock."""

HALF_WRITTEN = re.compile(r"\..+-[0-9]+-[0-9a-f]{8}")
"""What `beside` names: nothing else that begins with a dot is ours to remove."""


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file of any length."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_regular(path: Path | str, most: int, folder: int | None = None) -> bytes:
    """Return a file of at most `most` bytes, below the open `folder` if one is given; OSError with what is wrong.

    No link is followed, nothing is waited for as one waits for a pipe, and what is too long is not read at all.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(path, "rb", opener=lambda name, _: os.open(name, flags, dir_fd=folder)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise OSError(errno.EINVAL, "shared or no file: a hard link, a pipe")
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"longer than {most:,} bytes")
        return file.read(found.st_size)


def beside(place: Path) -> Path:
    """Return a new path in the same folder for what is to take `place` once it is whole."""
    return place.with_name(f".{place.name}-{os.getpid()}-{os.urandom(4).hex()}")


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """Give the path of a file to write, which then replaces `place` for all readers at once."""
    written = beside(place)
    try:
        yield written
        sync(written)
        written.replace(place)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    sync(place.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that a reader sees the old or the new content, and wait until the disk has it."""
    with replacing(path) as written:
        written.write_bytes(data)


@contextmanager
def staged(place: Path) -> Iterator[Path]:
    """Make a folder for what is to come to `place`, or into it, and remove what is left there at the end."""
    folder = beside(place)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_folder(place: Path, content: Mapping[str, bytes]) -> None:
    """Write a new folder of files, by name, so that a reader sees all of it or none, and wait until the disk has it."""
    with staged(place) as folder:
        for name, data in content.items():
            (folder / name).write_bytes(data)
            sync(folder / name)
        sync(folder)
        folder.rename(place)
    sync(place.parent)


def half_written(folder: Path) -> list[Path]:
    """Return what is being written in a folder and in those in it, or was when its writer died; no link is followed."""
    found = (path for place in (folder, *folders(folder)) for path in place.glob(".*"))
    return sorted(path for path in found if HALF_WRITTEN.fullmatch(path.name))


def folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, without links and what is hidden."""
    return [path for path in folder.glob("[!.]*") if path.is_dir() and not path.is_symlink()]


def remove_half_written(folder: Path) -> list[Path]:
    """Remove what is `half_written` and return it; the caller holds the lock that whoever writes there holds, too."""
    found = half_written(folder)
    for path in found:
        with suppress(OSError):  # what somebody else owns stands in nobody's way
            delete(path)
    return [path for path in found if not os.path.lexists(path)]


def delete(path: Path) -> None:
    """Delete a file, or a folder with all that is in it, if it is there; of a link the link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless they are there, and wait until the disk has its name."""
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    # Even if it is there already: who made it may have died before the disk had it.
    sync(folder.parent)


def sync(path: Path) -> None:
    """Wait until the disk has the content of a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path, until: float = math.inf) -> Iterator[None]:
    """Keep other processes that ask for the same folder's lock out meanwhile.

    Where the lock is not had `until` a time of the monotonic clock, raise BlockingIOError.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, until)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, until: float) -> None:
    if until == math.inf:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    while time.monotonic() < until:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(AGAIN)
    raise BlockingIOError(errno.EAGAIN, "somebody else holds the lock")


@contextmanager
def writing(folder: Path, until: float = math.inf) -> Iterator[None]:
    """Keep other writers out of a folder and those in it, and remove what writers that died left there.

    Raise BlockingIOError where they keep it `until` a time of the monotonic clock.
    """
    with locked(folder, until):
        remove_half_written(folder)
        yield
