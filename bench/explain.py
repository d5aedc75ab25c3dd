"""Print how long one wine row's explanation takes for every estimator, and how far it is from exact Shapley values."""

from __future__ import annotations

import math
import time
import warnings
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from modeling.exporting import export
from modeling.learning import estimators
from modeling.tables import columns, dataset
from service import bundle
from service.config import ROOT
from service.explanation import as_documents, explain
from service.inputs import Inputs
from service.model import Model

ROUNDS, ROWS = 5, 2


def wine(name: str, background: int) -> Model:
    """Return a family of estimators fitted to all of wine, with so many rows to explain by."""
    data = dataset.load(ROOT / "data" / "wine.csv")
    X = columns.as_model_input(data.table, columns.choose_features(data, []))
    y = columns.as_labels(data.table[data.target], True)
    family = estimators.find(name, "classification")
    scale = StandardScaler() if family.scaled else "passthrough"
    prepare = ColumnTransformer([("numbers", scale, list(range(X.shape[1])))])
    pipeline = Pipeline([("prepare", prepare), ("estimator", family.estimator(0))]).fit(X, y)
    features = columns.describe_features(data, X, [])
    manifest = bundle.Manifest(
        format=bundle.FORMAT,
        model="wine",
        task="classification",
        estimator=name,
        features=features,
        target=columns.describe_target(data, pipeline[-1].classes_.tolist()),
        data=bundle.Data("wine.csv", len(X), len(X), data.sha256),
        split=bundle.Split(0, 0.0, []),
        parameters={},
        cross_validation={},
        **export.provenance("02_train.ipynb"),
    )
    export.BACKGROUND = background
    golden = export.golden_rows(pipeline, X, features)
    return Model(bundle.Bundle(Path("wine/1"), 1, manifest, golden, export.to_onnx(pipeline, X), None))


def exact(model: Model, inputs: Inputs, row: int, output: int) -> np.ndarray:
    """Return the Shapley values of a row by their definition: over all coalitions of its features."""
    width = len(model.schema.names)
    coalitions = np.array(list(product([False, True], repeat=width)))
    worth = np.zeros(len(coalitions))
    for start in model.background.numbers:
        mixed = np.where(coalitions, inputs.numbers[row], start)
        worth += model.predict(Inputs(mixed, np.empty((len(mixed), 0), dtype=object), [])).probabilities[:, output]
    worth /= len(model.background)
    found = np.empty(width)
    weights = [1 / (width * math.comb(width - 1, size)) for size in range(width)]
    for feature in range(width):
        without = np.flatnonzero(~coalitions[:, feature])
        gained = worth[without + (1 << (width - 1 - feature))] - worth[without]
        found[feature] = np.take(weights, coalitions[without].sum(axis=1)) @ gained
    return found


def measure(name: str, background: int) -> None:
    """Print the milliseconds that one row takes, and its deviation from exact Shapley values."""
    model = wine(name, background)
    rows = model.bundle.golden.rows[: 10 : 10 // ROWS]
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        inputs = model.schema.read_records(rows[:1])
        as_documents(model, explain(model, inputs, model.predict(inputs)))
        took.append((time.perf_counter() - start) * 1000)
    inputs = model.schema.read_records(rows)
    found = explain(model, inputs, model.predict(inputs))
    true = np.array([exact(model, inputs, row, model.classes.index(name)) for row, name in enumerate(found.classes)])
    off = np.abs(found.contributions - true)
    print(f"{name:24}{background:>11}{median(took):>8.1f}{off.mean():>12.4f}{off.max():>12.4f}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"{'estimator':24}{'background':>11}{'ms':>8}{'mean off':>12}{'largest off':>12}")
    for name in estimators.names("classification"):
        for background in (32, 64, 128):
            measure(name, background)
