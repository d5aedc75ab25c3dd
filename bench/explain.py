"""Print how long one wine row's explanation takes for every estimator, and how far it is from exact Shapley values."""

from __future__ import annotations

import math
import sys
import time
import warnings
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from modeling.exporting import export
from modeling.learning import estimators
from modeling.tables import columns, dataset
from service import bundle, contents
from service.config import ROOT
from service.explanation import as_documents, explain
from service.model import Model
from service.rows.inputs import Inputs

ROUNDS, ROWS = 9, 4


def fitted(name: str) -> Model:
    """Return a family of estimators fitted to all of wine, as the service loads it."""
    data = dataset.load(ROOT / "data" / "wine.csv")
    X = columns.as_model_input(data.table, columns.choose_features(data, []))
    y = columns.as_labels(data.table[data.target], True)
    family = estimators.find(name, "classification")
    scale = StandardScaler() if family.scaled else "passthrough"
    prepare = ColumnTransformer([("numbers", scale, list(range(X.shape[1])))])
    pipeline = Pipeline([("prepare", prepare), ("estimator", family.estimator(0))]).fit(X, y)
    features = columns.describe_features(data, X, [])
    manifest = contents.Manifest(
        format=contents.FORMAT,
        model="wine",
        task="classification",
        estimator=name,
        features=features,
        target=columns.describe_target(data, pipeline[-1].classes_.tolist()),
        data=contents.Data("wine.csv", len(X), len(X), data.sha256),
        split=contents.Split(0, 0.0, []),
        parameters={},
        cross_validation={},
        **export.provenance("02_train.ipynb"),
    )
    golden = export.golden_rows(pipeline, X, features)
    return Model(bundle.Bundle(Path("wine/1"), 1, manifest, golden, export.to_onnx(pipeline, X), None))


def exact(model: Model, numbers: np.ndarray, output: int) -> np.ndarray:
    """Return a row's Shapley values by their definition: over all coalitions of its features."""
    width = len(numbers)
    coalitions = np.array(list(product([False, True], repeat=width)))
    worth = np.zeros(len(coalitions))
    for start in model.background.numbers:
        mixed = Inputs(np.where(coalitions, numbers, start), np.empty((len(coalitions), 0), dtype=object), [])
        worth += model.predict(mixed).probabilities[:, output] / len(model.background)
    weights = np.array([1 / (width * math.comb(width - 1, size)) for size in range(width)])
    found = np.empty(width)
    for feature in range(width):
        without = np.flatnonzero(~coalitions[:, feature])
        gained = worth[without + (1 << (width - 1 - feature))] - worth[without]
        found[feature] = weights[coalitions[without].sum(axis=1)] @ gained
    return found


def milliseconds(model: Model, row: dict[str, Any]) -> float:
    """Return how long it takes to read a row, predict and explain it, the median of some rounds."""
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        inputs = model.schema.read([row])
        as_documents(model, explain(model, inputs, model.predict(inputs)))
        took.append((time.perf_counter() - start) * 1000)
    return median(took)


def measure(name: str) -> None:
    """Print the time that a family of estimators takes and its deviation, in probability."""
    model = fitted(name)
    rows = model.bundle.golden.rows[:10][:: 10 // ROWS][:ROWS]
    inputs = model.schema.read(rows)
    found = explain(model, inputs, model.predict(inputs))
    outputs = [model.classes.index(label) for label in found.classes]
    true = np.array([exact(model, *row) for row in zip(inputs.numbers, outputs, strict=True)])
    off = np.abs(found.contributions - true)
    print(f"{name:24}{milliseconds(model, rows[0]):>8.1f}{off.mean():>12.4f}{off.max():>12.4f}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    export.BACKGROUND = int(sys.argv[1]) if len(sys.argv) > 1 else export.BACKGROUND
    print(f"{export.BACKGROUND} rows to explain by; deviations in probability\n")
    print(f"{'estimator':24}{'ms':>8}{'mean off':>12}{'largest off':>12}")
    for name in estimators.names("classification"):
        measure(name)
