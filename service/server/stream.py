"""The body of a request that is longer than is waited for: fed as it arrives, read by the thread that answers it."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from service.errors import RequestError

FULL = 1 << 20
"""Bytes that may wait to be read; then the sender has to."""


class Stream(io.RawIOBase):
    """A file of bytes still to come; `resume` asks for more of them, and is called by the reading thread."""

    def __init__(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        self._pieces: deque[memoryview] = deque()
        self._waiting, self._ended, self._torn, self._asked = 0, False, False, True
        self._changed = threading.Condition()

    def feed(self, piece: bytes) -> bool:
        """Take a piece; return whether there is room for more."""
        with self._changed:
            self._pieces.append(memoryview(piece))
            self._waiting += len(piece)
            self._asked = self._waiting < FULL
            self._changed.notify()
            return self._asked

    def end(self, torn: bool = False) -> None:
        """Say that nothing follows; a torn end is an error to the reader."""
        with self._changed:
            self._ended, self._torn = True, torn
            self._changed.notify()

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self._ended

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, into: Any) -> int:
        """Read some bytes into a buffer, waiting for the first; RequestError if the sender went away."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._ended)
            if not self._pieces:
                if self._torn:
                    raise RequestError("the body ended early: send it again")
                return 0
            piece = self._pieces.popleft()
            count = min(len(into), len(piece))
            into[:count] = piece[:count]
            if count < len(piece):
                self._pieces.appendleft(piece[count:])
            self._waiting -= count
            resume = not self._asked and self._waiting < FULL // 2
            self._asked = self._asked or resume
        if resume:
            self._resume()
        return count
