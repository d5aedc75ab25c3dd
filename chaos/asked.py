"""Requests of one row and of many, with the answers that they are to get, and a large report beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.serve.trained import Trained, train
from chaos.clients import Client, again, post
from chaos.serving import Served, serving

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
    return Asked(folder, post(rows[:1]), post(rows), trained.labels[0], trained.labels, report)


def crowd(house: Asked, port: int, patience: float = 30) -> list[Client]:
    """Return clients of each kind: one connection or many, one row or many."""
    ones, many = [(house.one, [house.label])] * 3, (house.many, house.labels)
    kinds = [(*kind, fresh) for kind in (*ones, many) for fresh in (False, True)]
    return [Client(port, again(sent, expected), fresh, patience) for sent, expected, fresh in kinds]


@contextmanager
def served(house: Asked, program: Sequence[str] = ("-m", "service")) -> Iterator[Served]:
    """Run the service on a house, or what Python is told instead."""
    folder = house.folder
    with serving(folder / "artifacts", folder / "reports", program) as running:
        yield running
