"""The body of a request as it comes in: unpacked, counted, and kept where it costs no memory."""

from __future__ import annotations

import gzip
import mmap
import shutil
import tempfile
import zlib
from io import BufferedReader, RawIOBase
from typing import IO, Any, Protocol

from service.errors import MediaTypeError, RequestError, TooLargeError

HELD = 8 * 1024 * 1024
"""Bytes that are held in memory; what is longer waits in a temporary file."""

SOME = 1 << 20
"""Bytes that are read at once."""


class Body(RawIOBase):
    """What a client sends, unpacked, up to a limit; reading more raises TooLargeError, a torn end RequestError."""

    def __init__(self, source: Readable, length: int | None, limit: int) -> None:
        self._source, self._length, self._limit = source, length, limit
        self._count = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, none at the end."""
        if self._length is not None:
            size = min(size, self._length - self._count)
        piece = self._source.read(size) if size else b""
        self._count += len(piece)
        if self._count > self._limit:
            raise too_large(self._limit)
        if self._length is not None and not piece and size:
            raise RequestError(f"the body ended after {self._count} of {self._length} bytes")
        return piece

    def readinto(self, into: Any) -> int:
        """Read some bytes into a buffer."""
        piece = self.read(len(into))
        into[: len(piece)] = piece
        return len(piece)


class Readable(Protocol):
    """What has bytes to read."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


class _Unpacked:
    """A gzip stream whose faults are told as the client's."""

    def __init__(self, packed: Body) -> None:
        self._packed = gzip.GzipFile(fileobj=BufferedReader(packed, 1 << 16), mode="rb")

    def read(self, size: int, /) -> bytes:
        try:
            return self._packed.read(size)
        except (EOFError, OSError, zlib.error) as error:
            raise RequestError(f"the body is not gzip, or not all of it: {error}") from error


def opened(environ: dict[str, Any], limit: int) -> Body:
    """Return the body of a WSGI request as a file to read from, unpacked if it is gzip.

    Reading beyond `limit` bytes, packed or unpacked, raises TooLargeError.
    """
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise MediaTypeError(f"the Content-Encoding {encoding[:40]!r} is not spoken: send the table plain or as gzip")
    body = Body(environ["wsgi.input"], _length(environ, limit), limit)
    return Body(_Unpacked(body), None, limit) if "gzip" in encoding else body


def whole(body: Body) -> memoryview:
    """Return all bytes of a body, from memory if they are few, else from a temporary file."""
    head = body.read(HELD)
    more = body.read(SOME)
    if not more:
        return memoryview(head)
    with tempfile.TemporaryFile() as file:
        file.write(head + more)
        shutil.copyfileobj(body, file, SOME)
        return mapped(file)


def mapped(file: IO[bytes]) -> memoryview:
    """Return the bytes of a file, which may be closed meanwhile, without reading them."""
    file.flush()
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def let_go(data: memoryview) -> None:
    """Free the memory of what was read from a file, which can be read again."""
    if isinstance(data.obj, mmap.mmap):
        data.obj.madvise(mmap.MADV_DONTNEED)


def too_large(limit: int) -> TooLargeError:
    """Return the error that names the limit of a table."""
    return TooLargeError(f"the table is larger than {limit} bytes (CELLAR_MAX_TABLE): send it in parts")


def _length(environ: dict[str, Any], limit: int) -> int | None:
    """Return how long the body is, None if that is not known before its end."""
    told = environ.get("CONTENT_LENGTH") or ""
    if not told:
        chunked = "HTTP_TRANSFER_ENCODING" in environ or environ.get("wsgi.input_terminated")
        return None if chunked else 0
    if not told.isdecimal():
        raise RequestError("the header Content-Length is no number")
    if int(told) > limit:
        raise too_large(limit)
    return int(told)
