"""From a fitted pipeline to a candidate bundle: ONNX, golden rows, provenance."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from modeling.exporting import canonical, converters
from modeling.exporting.parity import TOLERANCE, are_clear, check_parity, edge_rows, parity_rows, tolerance
from modeling.tables.columns import as_sent
from modeling.tables.dataset import NOTEBOOKS
from modeling.tables.kinds import is_number
from service.contents import Feature, Golden, Value
from service.errors import DataError
from service.files import sha256
from service.rows.inputs import Inputs, Schema

BACKGROUND = 64
"""How many training rows a bundle keeps to explain predictions by; `inv bench explain` shows what more would give."""

PACKAGES = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy", "pandas")


def to_onnx(pipeline: Pipeline, X: pd.DataFrame) -> bytes:
    """Return the fitted `pipeline`, preprocessing included, as ONNX reading `numbers` and `categories`."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    converters.register()
    numbers = sum(is_number(X[name]) for name in X)
    reads = [
        ("numbers", FloatTensorType([None, numbers])),
        ("categories", StringTensorType([None, X.shape[1] - numbers])),
    ]
    estimator = pipeline[-1]
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None
    with warnings.catch_warnings():
        # The converter looks at every attribute, deprecated ones included.
        warnings.simplefilter("ignore")
        model = convert_sklearn(
            pipeline,
            name="pipeline",
            initial_types=[(name, kind) for name, kind in reads if kind.shape[1]],
            options=options,
        )
    # The converter numbers names on and on in one process, and takes some things from sets.
    return canonical.to_bytes(model)


class Exported(NamedTuple):
    """A model as ONNX, and its largest difference from scikit-learn over a number of rows."""

    model: bytes
    rows: int
    difference: float


def checked(pipeline: Pipeline, X: pd.DataFrame, features: Sequence[Feature], spread: float = 1.0) -> Exported:
    """Return the fitted pipeline as ONNX, or raise DataError if it does not answer as scikit-learn does."""
    model = to_onnx(pipeline, X)
    rows = parity_rows(pipeline, X, features)
    return Exported(model, len(rows), check_parity(model, pipeline, rows, spread))


def golden_rows(pipeline: Pipeline, X: pd.DataFrame, features: Sequence[Feature], spread: float = 1.0) -> Golden:
    """Return rows as a client would send them with the answers that scikit-learn gives, for a service to replay.

    Beside them stand training rows, drawn by a fixed seed, that predictions are explained by.
    """
    sample = X.iloc[np.linspace(0, len(X) - 1, min(len(X), 10)).astype(int)]
    edges = edge_rows(pipeline, X, features)
    rows = pd.concat([sample, edges.iloc[np.linspace(0, len(edges) - 1, min(len(edges), 30)).astype(int)]])
    classifier = hasattr(pipeline, "predict_proba")
    probabilities = pipeline.predict_proba(rows) if classifier else np.empty((len(rows), 0))
    if classifier:
        clear = are_clear(probabilities)
        if not clear.any():
            raise DataError(
                "the model finds two classes equally likely for every row: add features that tell them apart"
            )
        rows, probabilities = rows[clear], probabilities[clear]
    return Golden(
        rows=_rows_as_sent(rows, features),
        predict=pipeline.predict(rows).tolist(),
        predict_proba=probabilities.tolist(),
        tolerance=TOLERANCE if classifier else tolerance(spread, pipeline.predict(rows)),
        background=_rows_as_sent(X.sample(min(len(X), BACKGROUND), random_state=0), features),
    )


def as_inputs(X: pd.DataFrame, features: Sequence[Feature]) -> Inputs:
    """Return a table as the service's checked inputs, by the service's own code."""
    return Schema(features).read_columns(
        {feature.name: _column_as_sent(X[feature.name], feature) for feature in features}
    )


def provenance(notebook: str) -> dict[str, Any]:
    """Return what a manifest says of where a model comes from: notebook, commit, packages, time."""
    return {
        "notebook_sha256": sha256((NOTEBOOKS / notebook).read_bytes()),
        "git_commit": _git_commit(),
        "packages": {name: version(name) for name in PACKAGES},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def show_version(model: str, number: int) -> None:
    """Show which bundle this notebook wrote, readable for a person and for the pipeline that runs it."""
    from IPython.display import display

    document = {"model": model, "version": number}
    display({"text/plain": f"{model}, version {number}", "application/vnd.cellar+json": document}, raw=True)  # type: ignore[no-untyped-call]


def _rows_as_sent(rows: pd.DataFrame, features: Sequence[Feature]) -> list[dict[str, Value]]:
    """Return rows as a client would send them."""
    columns = {
        feature.name: [as_sent(value, feature.kind) for value in rows[feature.name].tolist()] for feature in features
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _column_as_sent(values: pd.Series, feature: Feature) -> Sequence[Any]:
    """Return a column as `Schema` reads it: numbers as they are, since there may be millions of them."""
    if feature.kind == "number":
        return values.to_numpy()  # type: ignore[return-value]
    return [as_sent(value, feature.kind) for value in values.tolist()]


def _git_commit() -> str:
    """Return the commit of the house, with `+` where files differ from it, "" outside git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+"],
            cwd=Path(NOTEBOOKS), capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
