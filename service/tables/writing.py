"""Writing answers as a table or as JSON, a batch at a time, to a file that is sent when it is whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import IO, Any

import msgspec
import numpy.typing as npt

from service.calls import JSON
from service.errors import TooLargeError
from service.tables.bodies import HELD

CSV, NDJSON = "text/csv", "application/x-ndjson"
PARQUET, ARROW = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"

ROW_GROUP = 100_000
"""Rows of a Parquet file that are held until they are written."""

SOME = 1 << 18
"""Bytes that are sent at once."""

Columns = dict[str, npt.NDArray[Any]]
Parts = dict[str, list[Any]]


def opened() -> IO[bytes]:
    """Return an empty file for an answer, in memory as long as it is short."""
    return tempfile.SpooledTemporaryFile(HELD)


def write_table(batches: Iterator[Columns], media: str, limit: int, file: IO[bytes]) -> None:
    """Write at least one batch of columns as `media`; TooLargeError if that takes more than `limit` bytes.

    What the batches raise goes through.
    """
    from arro3.core import RecordBatchReader

    failed: list[BaseException] = []
    first = _record_batch(next(batches))

    def all_of_them() -> Iterator[Any]:
        # The library would pass an error on as another one that has only its text.
        try:
            yield first
            for columns in batches:
                _check([file], limit)
                yield _record_batch(columns)
        except BaseException as error:
            failed.append(error)
            raise

    try:
        WRITERS[media](RecordBatchReader.from_batches(first.schema, all_of_them()), file)
    except BaseException as error:
        raise failed[0] if failed else error from None
    _check([file], limit)


def write_json(batches: Iterator[Parts], beside: Callable[[], dict[str, Any]], limit: int, file: IO[bytes]) -> None:
    """Write one object: each part of the batches as one list, then what `beside` returns at the end."""
    with ExitStack() as held:
        lists: dict[str, IO[bytes]] = {}
        for parts in batches:
            for name, values in parts.items():
                part = lists[name] if name in lists else lists.setdefault(name, held.enter_context(opened()))
                inside = msgspec.json.encode(values)[1:-1]
                part.write(b"," + inside if inside and part.tell() else inside)
            _check(lists.values(), limit)
        file.write(b"{")
        for name, part in lists.items():
            part.seek(0)
            file.write(msgspec.json.encode(name) + b":[")
            shutil.copyfileobj(part, file)
            file.write(b"],")
    file.write(msgspec.json.encode(beside())[1:])


def sent(file: IO[bytes]) -> Iterator[bytes]:
    """Yield what is left in a file, and close it."""
    with file:
        while piece := file.read(SOME):
            yield piece


def _check(files: Iterable[IO[bytes]], limit: int) -> None:
    if sum(file.tell() for file in files) > limit:
        raise TooLargeError(f"the answer is larger than {limit} bytes (CELLAR_MAX_TABLE): send the table in parts")


def _record_batch(columns: Columns) -> Any:
    from arro3.core import Array, DataType, RecordBatch

    arrays = [
        Array(values.tolist(), DataType.string()) if values.dtype.kind == "O" else Array.from_numpy(values)
        for values in columns.values()
    ]
    return RecordBatch.from_arrays(arrays, names=list(columns))


def _csv(rows: Any, file: IO[bytes]) -> None:
    from arro3.io import write_csv

    write_csv(rows, file)


def _ndjson(rows: Any, file: IO[bytes]) -> None:
    from arro3.io import write_ndjson

    write_ndjson(rows, file)


def _arrow(rows: Any, file: IO[bytes]) -> None:
    from arro3.io import write_ipc_stream

    write_ipc_stream(rows, file, compression=None)


def _parquet(rows: Any, file: IO[bytes]) -> None:
    from arro3.io import write_parquet

    write_parquet(rows, file, compression="zstd(1)", max_row_group_size=ROW_GROUP)


WRITERS: dict[str, Callable[[Any, IO[bytes]], None]] = {CSV: _csv, PARQUET: _parquet, ARROW: _arrow, NDJSON: _ndjson}
MEDIA = (JSON, *WRITERS)
