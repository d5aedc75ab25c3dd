"""`python -m service`: the application on granian, a production WSGI server."""

from __future__ import annotations

import argparse
import os
import tempfile

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

from service.web.figures import FOLDER


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cellar-metrics-") as folder:
        os.environ.setdefault(FOLDER, folder)
        serve(options)


def serve(options: argparse.Namespace) -> None:
    """Serve on what the options name."""
    Server(
        "service.app:app",
        address=options.host,
        port=options.port,
        workers=options.workers,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        # With more threads a worker's p99 is Python's switch interval, 5 ms, and its memory half as much again.
        blocking_threads=1,
        respawn_failed_workers=True,
        # A worker that is told to stop while it starts may miss the signal; it must not keep the others waiting.
        workers_kill_timeout=10,
        log_level=LogLevels.warning,
    ).serve()


if __name__ == "__main__":
    main()
