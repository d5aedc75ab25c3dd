"""Requests of one row and of many, with the answers that they are to get, and a large report beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.serve.trained import Trained, train
from chaos.house import Served, serving

ROWS = 10_000


class Asked(NamedTuple):
    """A folder with a model, one request for one row and one for ROWS, what they are answered, and a report's bytes."""

    folder: Path
    one: bytes
    many: bytes
    label: int
    labels: list[int]
    report: bytes


def build(folder: Path) -> Asked:
    """Train and publish `wine` in a folder, with a report of several megabytes."""
    trained: Trained = train(folder, "logistic_regression", ROWS)
    place = folder / "reports" / "wine" / "1"
    place.mkdir(parents=True)
    report = b"<p>" + b"x" * 6_000_000
    (place / "03_evaluate.html").write_bytes(report)
    rows = trained.rows.tolist()
    return Asked(folder, request(rows[:1]), request(rows), trained.labels[0], trained.labels, report)


def request(rows: list[list[float]]) -> bytes:
    """Return a whole request for predictions as bytes."""
    body = json.dumps(rows).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def served(house: Asked, program: Sequence[str] = ("-m", "service")) -> Iterator[Served]:
    """Run the service on a house, or what Python is told instead."""
    folder = house.folder
    with serving(folder / "artifacts", program=program, reports=folder / "reports") as running:
        yield running
