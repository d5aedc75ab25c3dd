"""The body of a request that is longer than is waited for: fed as it arrives, read by the thread that answers it."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from typing import Any

from service.errors import CellarError

FULL = 1 << 20
"""Bytes that may wait to be read; then the sender has to."""


class Stream(io.RawIOBase):
    """A file of bytes still to come; `resume` asks for more of them, and is called by the reading thread."""

    def __init__(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        self._held = bytearray()
        self._ended, self._asked = False, True
        self._error: CellarError | None = None
        self._waited, self._waits = 0.0, 0.0
        self._changed = threading.Condition()

    def feed(self, piece: bytes | bytearray) -> bool:
        """Take a piece; return whether there is room for more."""
        with self._changed:
            self._held += piece
            self._asked = len(self._held) < FULL
            self._changed.notify()
            return self._asked

    def end(self, error: CellarError | None = None) -> None:
        """Say that nothing follows; the error, if there is one, is raised to the reader."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()

    @property
    def waits(self) -> bool:
        """Whether the reader waits for the sender."""
        return self._waits > 0

    def waited(self) -> float:
        """Return the seconds for which the reader waited for the sender: none of its own time."""
        with self._changed:
            return self._waited + (time.monotonic() - self._waits if self._waits else 0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, into: Any) -> int:
        """Read some bytes into a buffer, waiting for the first; RequestError if the sender went away."""
        with self._changed:
            self._wait()
            if self._error:
                raise type(self._error)(
                    str(self._error)
                )  # one that is kept would keep its traceback, and that the stream
            count = min(len(into), len(self._held))
            into[:count] = self._held[:count]
            del self._held[:count]
            resume = not self._asked and len(self._held) < FULL // 2
            self._asked = self._asked or resume
        if resume:
            self._resume()
        return count

    def _wait(self) -> None:
        if not (self._held or self._ended):
            self._waits = time.monotonic()
            self._changed.wait_for(lambda: self._held or self._ended)
            self._waited, self._waits = self._waited + time.monotonic() - self._waits, 0.0
