"""What experiments are made on: versions of one model that answer differently."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.serve.trained import train
from service.model import load
from service.registry import Registry

ESTIMATORS = ("logistic_regression", "lda", "random_forest", "svm", "mlp", "extra_trees", "gradient_boosting", "rda")


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
