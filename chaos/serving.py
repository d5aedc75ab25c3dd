"""The service under an experiment: a small model, made by the project's own code, on the real server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.serve.trained import Trained, train

ROOT = Path(__file__).resolve().parents[1]
ROWS = 10_000
WORKERS = 2
PATIENCE = 30
"""Seconds in which the service has to start."""


class House(NamedTuple):
    """A folder with a model, one request for one row and one for ROWS, and the bodies of their answers."""

    folder: Path
    one: bytes
    many: bytes
    label: int
    labels: list[int]


class Service(NamedTuple):
    """The server's process and port."""

    process: subprocess.Popen[bytes]
    port: int

    def workers(self) -> list[int]:
        """Return the ids of the processes that serve."""
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def build(folder: Path) -> House:
    """Train and publish `wine` in a folder, with a report of several megabytes."""
    trained: Trained = train(folder, "logistic_regression", ROWS)
    place = folder / "reports" / "wine" / "1"
    place.mkdir(parents=True)
    (place / "03_evaluate.html").write_bytes(b"<p>" + b"x" * 6_000_000)
    rows = trained.rows.tolist()
    return House(folder, request(rows[:1]), request(rows), trained.labels[0], trained.labels)


def request(rows: list[list[float]]) -> bytes:
    """Return a whole request for predictions as bytes."""
    body = json.dumps(rows).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def served(house: House, program: Sequence[str] = ("-m", "service")) -> Iterator[Service]:
    """Run the service, or what Python is told instead, on a free port; it is ended, by its id, with the context."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"CELLAR_ARTIFACTS": f"{house.folder / 'artifacts'}", "CELLAR_REPORTS": f"{house.folder / 'reports'}"}
    process = subprocess.Popen(
        [sys.executable, *program, "--port", str(port), "--workers", str(WORKERS)],
        cwd=ROOT,
        env={**os.environ, **settings, "CELLAR_LOG": "errors"},
    )
    try:
        _wait(process, port)
        yield Service(process, port)
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    give_up = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"the service did not start (exit status {process.poll()})")
