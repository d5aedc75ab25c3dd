"""Unpacking Parquet and compressed Arrow streams, which only a large library can, where it can do no harm.

A hostile file may declare gigabytes in a few bytes, and what then ends is not the request but the process. So a child
with limits on its memory and on what it writes turns the file into a plain Arrow stream, which is read as any other.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Literal

from service.errors import DeadlineError, RequestError
from service.tables import bodies

CHILD = Path(__file__).with_name("unpacking_child.py")
MEMORY = 2 << 30
"""Bytes of address space that the child may take: a row group's pages and dictionaries, not the table."""

TOO_LARGE, DAMAGED = 3, 4
"""With what status the child ends at a table larger than it may write, and at one that is damaged.

A signal ends it where a table takes too much memory; any other status is a fault of its own.
"""

Form = Literal["parquet", "arrow"]


def unpacked(packed: bodies.Body | memoryview, form: Form, limit: int, seconds: float) -> memoryview:
    """Return a table as a plain Arrow stream.

    RequestError tells what is damaged, TooLargeError a table of more than `limit` bytes, DeadlineError that it took
    longer than `seconds`.
    """
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink:
        if isinstance(packed, memoryview):
            source.write(packed)
        else:
            shutil.copyfileobj(packed, source, bodies.SOME)
        source.seek(0)
        _run(source, sink, form, limit, seconds)
        return bodies.mapped(sink)


def _run(source: IO[bytes], sink: IO[bytes], form: Form, limit: int, seconds: float) -> None:
    command = [sys.executable, "-I", str(CHILD), form, *map(str, (MEMORY, limit, TOO_LARGE, DAMAGED))]
    try:
        done = subprocess.run(
            command, stdin=source, stdout=sink, stderr=subprocess.PIPE, timeout=max(seconds, 0), check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineError("unpacking the table took too long (CELLAR_DEADLINE): send it in parts") from error
    if done.returncode == TOO_LARGE:
        raise bodies.too_large(limit)
    words = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode > 0 and done.returncode != DAMAGED:
        raise RuntimeError(f"the program that unpacks tables failed: {words[-2000:]}")
    if done.returncode:
        told = words.splitlines() if done.returncode == DAMAGED else []
        why = told[-1][:200] if told else f"it is damaged, or a part of it takes more than {MEMORY} bytes"
        raise RequestError(f"the {form.capitalize()} table cannot be read: {why}")
