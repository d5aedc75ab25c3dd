"""Reading FlatBuffers, in which Arrow writes its messages: every offset is hostile until it lies inside the buffer."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

CODES = {"u8": "B", "u16": "H", "i16": "h", "i32": "i", "u32": "I", "i64": "q"}
SCALARS = {name: struct.Struct(f"<{code}").unpack_from for name, code in CODES.items()}


class FlatTable:
    """One table of a FlatBuffers message; fields are asked for by their slot in the format's `.fbs` files.

    Whatever lies outside of the buffer raises ValueError.
    """

    def __init__(self, buffer: memoryview, at: int) -> None:
        self._buffer, self._at = buffer, at
        self._slots = at - self._read("i32", at)
        if self._slots < 0:  # the only place that can lie before the buffer: all other offsets lead onward
            raise ValueError("an offset leads out of its message")
        self._size = self._read("u16", self._slots)

    @classmethod
    def root(cls, buffer: memoryview) -> FlatTable:
        """Return the table that a message begins with."""
        return cls(buffer, _read("u32", buffer, 0))

    def scalar(self, slot: int, kind: str, default: Any = 0) -> Any:
        """Return a number, `default` where the message leaves it out."""
        place = self._place(slot)
        return self._read(kind, place) if place else default

    def table(self, slot: int) -> FlatTable | None:
        """Return the table in a slot, or None."""
        place = self._place(slot)
        return FlatTable(self._buffer, self._follow(place)) if place else None

    def text(self, slot: int) -> str:
        """Return the text in a slot, "" where there is none."""
        place = self._place(slot)
        return str(self._span(self._follow(place), 1), "utf-8") if place else ""

    def tables(self, slot: int) -> Iterator[FlatTable]:
        """Yield the tables of a vector."""
        place = self._place(slot)
        if place:
            start = self._follow(place)
            for index in range(len(self._span(start, 4)) // 4):
                yield FlatTable(self._buffer, self._follow(start + 4 + 4 * index))

    def numbers(self, slot: int, width: int) -> list[tuple[int, ...]]:
        """Return a vector of structs of `width` 64-bit numbers each."""
        place = self._place(slot)
        span = self._span(self._follow(place), 8 * width) if place else b""
        return list(struct.iter_unpack(f"<{width}q", span))

    def _place(self, slot: int) -> int:
        entry = 4 + 2 * slot
        offset = self._read("u16", self._slots + entry) if entry + 2 <= self._size else 0
        return self._at + offset if offset else 0

    def _follow(self, place: int) -> int:
        return place + self._read("u32", place)

    def _span(self, at: int, size: int) -> memoryview:
        """Return the elements, of `size` bytes each, of the vector at `at`."""
        end = at + 4 + size * self._read("u32", at)
        if end > len(self._buffer):
            raise ValueError("a vector ends behind its message")
        return self._buffer[at + 4 : end]

    def _read(self, kind: str, at: int) -> int:
        return _read(kind, self._buffer, at)


def _read(kind: str, buffer: memoryview, at: int) -> int:
    try:
        number: int = SCALARS[kind](buffer, at)[0]
    except struct.error:
        raise ValueError("an offset leads out of its message") from None
    return number
