"""What experiments are made on: versions of one model that answer differently, and a real server on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

from bench.serve.places import free_port
from bench.serve.trained import train
from service.config import ROOT
from service.model import load
from service.registry import Registry

ESTIMATORS = ("logistic_regression", "lda", "random_forest", "svm", "mlp", "extra_trees", "gradient_boosting", "rda")
WORKERS = 2
PATIENCE = 60


class House(NamedTuple):
    """Versions 1 to n of `wine`, rows that all answer differently, and these answers: label and probabilities."""

    registry: Registry
    rows: list[list[float]]
    answers: dict[int, list[Any]]


def house(folder: Path, versions: int, rows: int = 100) -> House:
    """Train `versions` models that differ and publish them in `folder`/artifacts, the first as champion."""
    artifacts = folder / "artifacts"
    for number, estimator in enumerate(ESTIMATORS[:versions], 1):
        trained = train(folder / estimator, estimator, rows)
        shutil.copytree(trained.artifacts / "wine" / "1", artifacts / "wine" / str(number))
    registry = Registry(artifacts)
    registry.promote("wine", 1, "to begin with")
    asked = trained.rows.tolist()
    answers = {number: _answers(registry.place("wine", number), asked) for number in registry.versions("wine")}
    telling = [at for at in range(rows) if len({str(each[at]) for each in answers.values()}) == versions]
    told = {number: [each[at] for at in telling] for number, each in answers.items()}
    return House(registry, [asked[at] for at in telling], told)


def _answers(place: Path, rows: Sequence[Sequence[float]]) -> list[Any]:
    model = load(place)
    found = []
    for row in rows:  # one by one, as the clients ask: a batch may differ in the last bits
        prediction = model.predict(model.schema.read_lists([list(row)]))
        assert prediction.probabilities is not None
        names = map(str, model.classes)
        [probabilities] = prediction.probabilities.astype(float).tolist()
        found.append([prediction.values.tolist(), [dict(zip(names, probabilities, strict=True))]])
    return found


class Served(NamedTuple):
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

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
    workers: int = WORKERS,
    program: Sequence[str] = ("-m", "service"),
    tracer: Sequence[str] = (),
    **settings: Any,
) -> Iterator[Served]:
    """Run the server, or what Python is told instead, on a free port of this machine, and end it with the context.

    `settings` are `CELLAR_*` variables, `tracer` the words of a command that starts another. It is ready to answer.
    """
    port = free_port()
    given = {"artifacts": artifacts, "reports": artifacts.parent, "log": "errors", **settings}
    with (artifacts.parent / "server.log").open("ab") as told:
        process = subprocess.Popen(
            [*tracer, sys.executable, *program, "--port", str(port), "--workers", str(workers)],
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


def wait_until_ready(served: Served, workers: int) -> None:
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
