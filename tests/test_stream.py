from __future__ import annotations

import io
import threading
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import RequestError
from service.server.stream import FULL, Stream


def never() -> None:
    """Fail: nothing was to be asked for."""
    raise AssertionError


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(1, 40), min_size=1))
def test_what_is_fed_is_read(pieces: list[bytes], sizes: list[int]):
    """Whatever the sizes of pieces and of reads, the bytes come in order and end once."""
    stream = Stream(never)
    for piece in pieces:
        assert stream.feed(piece)
    stream.end()
    file, found = io.BufferedReader(stream, 8), []
    while piece := file.read(sizes[len(found) % len(sizes)]):
        found.append(piece)
    assert b"".join(found) == b"".join(pieces)
    assert file.read(1) == b""


def test_a_reader_waits_for_what_comes():
    """A read that finds nothing returns as soon as something was fed, and not before."""
    stream, found = Stream(never), []
    reader = threading.Thread(target=lambda: found.append(stream.read(10)))
    reader.start()
    reader.join(0.1)
    assert reader.is_alive()
    stream.feed(b"abc")
    reader.join(10)
    assert found == [b"abc"]


def test_a_torn_end_is_an_error_to_who_waits_and_to_who_comes_later():
    """A sender that went away ends every read, also where something is left to read: it is not whole."""
    stream, caught = Stream(never), []

    def read() -> None:
        try:
            stream.read(10)
        except RequestError as error:
            caught.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    stream.end(RequestError("torn"))
    reader.join(10)
    assert caught == ["torn"]
    stream.feed(b"abc")
    with pytest.raises(RequestError):
        stream.read(10)


def test_only_the_time_of_the_sender_is_counted():
    """What a reader waits for the sender is told, while it waits too; what it does itself is not."""
    stream = Stream(never)
    stream.feed(b"abc")
    time.sleep(0.1)
    stream.read(3)
    assert stream.waited() == 0
    reader = threading.Thread(target=stream.read, args=(1,))
    reader.start()
    while stream.waited() < 0.2:
        time.sleep(0.01)
    stream.feed(b"d")
    reader.join(10)
    waited = stream.waited()
    time.sleep(0.1)
    assert stream.waited() == waited >= 0.2


def test_the_sender_waits_while_enough_is_held():
    """Beyond FULL bytes the sender is told to wait, and asked once for more when half of that was read."""
    asked: list[int] = []
    stream = Stream(lambda: asked.append(1))
    assert stream.feed(b"x" * (FULL - 1))
    assert not stream.feed(b"x")
    assert len(stream.read(FULL // 2)) == FULL // 2 and asked == []
    stream.read(1)
    assert asked == [1]
    stream.read(10)
    assert asked == [1]
    assert not stream.feed(b"x" * FULL)


def test_crumbs_take_no_more_room_than_they_hold():
    """A body in pieces of two bytes takes the memory of its bytes, not that of an object for each."""
    stream = Stream(never)
    tracemalloc.start()
    try:
        for number in range(200_000):
            stream.feed(b"%02d" % (number % 100))
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()
