"""The body of a request that is longer than is waited for: fed as it arrives, read by the thread that answers it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

from service.errors import RequestError

FULL = 1 << 20
"""Bytes that may wait to be read; then the sender has to."""


class Stream(io.RawIOBase):
    """A file of bytes still to come; `resume` asks for more of them, and is called by the reading thread."""

    def __init__(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        self._held = bytearray()
        self._ended, self._torn, self._asked = False, False, True
        self._changed = threading.Condition()

    def feed(self, piece: bytes | bytearray) -> bool:
        """Take a piece; return whether there is room for more."""
        with self._changed:
            self._held += piece
            self._asked = len(self._held) < FULL
            self._changed.notify()
            return self._asked

    def end(self, torn: bool = False) -> None:
        """Say that nothing follows; a torn end is an error to the reader."""
        with self._changed:
            self._ended, self._torn = True, torn
            self._changed.notify()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, into: Any) -> int:
        """Read some bytes into a buffer, waiting for the first; RequestError if the sender went away."""
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._ended)
            if self._torn:
                raise RequestError("the body ended early: send it again")
            count = min(len(into), len(self._held))
            into[:count] = self._held[:count]
            del self._held[:count]
            resume = not self._asked and len(self._held) < FULL // 2
            self._asked = self._asked or resume
        if resume:
            self._resume()
        return count
