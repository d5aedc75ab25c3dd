"""Run as a program by `unpacking`: a table on standard input becomes a plain Arrow stream on standard output."""

from __future__ import annotations

import resource
import sys

BATCH = 10_000


def main(form: str, memory: int, limit: int, too_large: int, damaged: int) -> None:
    """Unpack within `memory` bytes.

    Leave with status `too_large` where more than `limit` bytes would be written, with `damaged` and the reason on
    standard error where the table cannot be read; whatever else goes wrong is no fault of the table.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    from arro3.io import read_ipc_stream, read_parquet, write_ipc_stream

    source, sink = sys.stdin.buffer, sys.stdout.buffer
    try:
        rows = read_parquet(source, batch_size=BATCH) if form == "parquet" else read_ipc_stream(source)
        write_ipc_stream(rows, sink, compression=None)
        sink.flush()
    except BaseException as error:
        if "os error 27" in str(error) or "Errno 27" in str(error):
            sys.exit(too_large)
        if any(f"{word} 28" in str(error) for word in ("os error", "Errno")):  # no space is left
            raise
        # A panic of the library is no Exception, and its text is for those who mend the library.
        print(str(error).partition("\n")[0] if isinstance(error, Exception) else "it is damaged", file=sys.stderr)
        sys.exit(damaged)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
