"""The real server on a folder of artifacts, for experiments and tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

from service.config import ROOT
from workshop.server import free_port

WORKERS = 2
PATIENCE = 60
"""Seconds that the server has to get ready, to serve another version, or to end."""


class Served(NamedTuple):
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    host: str = "127.0.0.1"

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"

    def workers(self) -> list[int]:
        """Return the ids of the processes that serve."""
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def count(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        from prometheus_client.parser import text_string_to_metric_families as families

        text = requests.get(f"{self.address}/metrics", timeout=PATIENCE).text
        samples = [sample for family in families(text) for sample in family.samples if sample.name == name]
        return sum(each.value for each in samples if labels.items() <= each.labels.items())


@contextmanager
def serving(
    artifacts: Path,
    reports: Path | None = None,
    program: Sequence[str] = ("-m", "service"),
    under: Sequence[str] = (),
    workers: int = WORKERS,
    **settings: Any,
) -> Iterator[Served]:
    """Run the server, or what Python is told instead, on a free port of this machine, and end it with the context.

    `under` is a command that runs it, `settings` are `CELLAR_*` variables. It is ready to answer, and what it tells is
    kept beside the artifacts.
    """
    port = free_port()
    given = {"artifacts": artifacts, "reports": reports or artifacts.parent, "log": "errors", **settings}
    with (artifacts.parent / "server.log").open("ab") as told:
        process = subprocess.Popen(
            [*under, sys.executable, *program, "--port", str(port), "--workers", str(workers)],
            cwd=ROOT,
            env={**os.environ, **{f"CELLAR_{name.upper()}": str(value) for name, value in given.items()}},
            stdout=told,
            stderr=told,
        )
    served = Served(process, port)
    try:
        wait_until_ready(served, workers)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        finally:
            process.kill()


def wait_until_ready(served: Served, workers: int = WORKERS) -> None:
    """Return when all workers are there and a model answers; TimeoutError if that takes too long."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up and served.process.poll() is None:
        try:
            ready = requests.get(f"{served.address}/health/ready", timeout=PATIENCE).status_code == 200
        except requests.ConnectionError:
            ready = False
        if ready and len(served.workers()) == workers:
            return
        time.sleep(0.02)
    raise TimeoutError("the server does not answer")


def wait_until_serving(served: Served, name: str, version: int, times: int = 20) -> None:
    """Return when `times` requests in a row were answered with a version: by every worker, as far as they can tell."""
    give_up, same = time.monotonic() + PATIENCE, 0
    while same < times:
        if time.monotonic() > give_up:
            raise TimeoutError(f"version {version} of {name} is not served")
        models = requests.get(served.address, timeout=PATIENCE).json()["models"]
        same = same + 1 if models[name] == version else 0
