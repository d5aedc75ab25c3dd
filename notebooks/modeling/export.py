"""From a fitted pipeline to a candidate bundle: ONNX, parity with scikit-learn, golden rows, provenance."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from modeling import canonical, converters
from modeling.columns import as_sent
from modeling.dataset import NOTEBOOKS
from modeling.kinds import is_number
from service.bundle import Feature, Golden, Value
from service.errors import DataError
from service.files import sha256
from service.inputs import Inputs, Schema

PACKAGES = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy", "pandas")
TOLERANCE = 1e-5
"""How far ONNX may be from scikit-learn: absolute for probabilities, times the target's spread for numbers."""

MOST_ROWS = 20_000
"""How many rows of a table parity is checked on, beside the edge rows."""

MOST_THRESHOLDS = 2000
"""How many thresholds of a forest get edge rows."""


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


def parity_rows(pipeline: Pipeline, X: pd.DataFrame, features: Sequence[Feature]) -> pd.DataFrame:
    """Return the rows to compare ONNX and scikit-learn on: those of `X`, at most `MOST_ROWS` of them, and edge rows.

    Of a larger table a sample is drawn, always the same.
    """
    sample = X if len(X) <= MOST_ROWS else X.sample(MOST_ROWS, random_state=0)
    return pd.concat([sample, edge_rows(pipeline, X, features)], ignore_index=True)


def edge_rows(pipeline: Pipeline, X: pd.DataFrame, features: Sequence[Feature]) -> pd.DataFrame:
    """Return rows where a model is most likely to differ: extremes, missing values, and around tree thresholds."""
    typical = {f.name: f.categories[0] if f.kind == "category" else _middle(X[f.name]) for f in features}
    rows = [{**typical, feature.name: value} for feature in features for value in _edges(feature, X[feature.name])]
    truths = {feature.name for feature in features if feature.kind == "boolean"}
    around = [(X.columns[column], value) for column, value in _around_thresholds(pipeline)]
    # A truth value is 0 or 1; what lies between is no row that anybody can send.
    rows += [{**typical, name: value} for name, value in around if name not in truths]
    numbers = {feature.name: "float32" for feature in features if feature.kind != "category"}
    return pd.DataFrame(rows, columns=X.columns).astype(numbers).astype(dict.fromkeys(numbers, "float64"))


def check_parity(model: bytes, pipeline: Pipeline, X: pd.DataFrame, spread: float = 1.0) -> float:
    """Return the largest difference between ONNX and scikit-learn over `X`; raise DataError if it is too large.

    The difference of numbers is counted in `spread`, the target's standard deviation. A label may differ only
    where scikit-learn itself has two classes within the tolerance.
    """
    first, *rest = _run(model, X)
    if not rest:
        difference = float(np.abs(first.reshape(-1) - pipeline.predict(X)).max() / spread)
    else:
        expected = pipeline.predict_proba(X)
        difference = float(np.abs(rest[0] - expected).max())
        best_two = np.sort(expected, axis=1)[:, -2:]
        clear = best_two[:, 1] - best_two[:, 0] > TOLERANCE
        if (first != pipeline.predict(X))[clear].any():
            raise DataError(
                "the exported model gives other labels than scikit-learn, which happens where neighbours are equally "
                "far: choose another `estimator`"
            )
    if not difference <= TOLERANCE:
        raise DataError(f"the exported model differs by {difference:.2g} from scikit-learn: choose another `estimator`")
    return difference


def golden_rows(pipeline: Pipeline, X: pd.DataFrame, features: Sequence[Feature], spread: float = 1.0) -> Golden:
    """Return rows as a client would send them with the answers that scikit-learn gives, for a service to replay."""
    sample = X.iloc[np.linspace(0, len(X) - 1, min(len(X), 10)).astype(int)]
    edges = edge_rows(pipeline, X, features)
    rows = pd.concat([sample, edges.iloc[np.linspace(0, len(edges) - 1, min(len(edges), 30)).astype(int)]])
    classifier = hasattr(pipeline, "predict_proba")
    probabilities = pipeline.predict_proba(rows) if classifier else np.empty((len(rows), 0))
    if classifier:
        best_two = np.sort(probabilities, axis=1)[:, -2:]
        clear = best_two[:, 1] - best_two[:, 0] > TOLERANCE
        if not clear.any():
            raise DataError(
                "the model finds two classes equally likely for every row: add features that tell them apart"
            )
        rows, probabilities = rows[clear], probabilities[clear]
    return Golden(
        rows=_rows_as_sent(rows, features),
        predict=pipeline.predict(rows).tolist(),
        predict_proba=probabilities.tolist(),
        tolerance=TOLERANCE * spread,
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


def _run(model: bytes, X: pd.DataFrame) -> list[npt.NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    numbers = [name for name in X if is_number(X[name])]
    tensors = {
        "numbers": X[numbers].to_numpy(dtype=np.float32),
        "categories": X[[name for name in X if name not in numbers]].to_numpy(dtype=object),
    }
    found: list[npt.NDArray[Any]] = session.run(
        None, {given.name: tensors[given.name] for given in session.get_inputs()}
    )
    return found


def _middle(values: pd.Series) -> float:
    """Return a value of the column that is in its middle, where the median may be none of its values."""
    return float(values.quantile(0.5, interpolation="nearest"))


def _edges(feature: Feature, values: pd.Series) -> list[Value]:
    if feature.kind == "category":
        return [*feature.categories, "never seen", *([""] if feature.nullable else [])]
    return [values.min(), values.max(), *([np.nan] if feature.nullable else [])]


def _around_thresholds(pipeline: Pipeline) -> list[tuple[int, float]]:
    """Return (column of the table, value) on both sides of the splits of trees, none for other estimators."""
    columns = _columns_split(pipeline)
    pairs = sorted({(columns[at], value) for at, value in _splits(pipeline[-1]) if at in columns})
    chosen = pairs[:: 1 + len(pairs) // MOST_THRESHOLDS]
    return [(column, float(side)) for column, value in chosen for side in _neighbours(value)]


def _neighbours(threshold: float) -> tuple[np.float32, np.float32]:
    """Return the largest 32-bit number that is at most `threshold`, and the next."""
    nearest = np.float32(threshold)
    below = nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf))
    return below, np.nextafter(below, np.float32(np.inf))


def _columns_split(pipeline: Pipeline) -> dict[int, int]:
    """Return the table's column for each column that the estimator sees, of those that are prepared as numbers."""
    if not isinstance(pipeline[0], ColumnTransformer):
        return {at: at for at in range(pipeline[-1].n_features_in_)}
    read = {name: columns for name, _, columns in pipeline[0].transformers_}
    seen = pipeline[0].output_indices_.get("numbers", slice(0))
    return dict(zip(range(seen.start or 0, seen.stop), read.get("numbers", []), strict=False))


def _splits(estimator: Any) -> list[tuple[int, float]]:
    """Return (column, threshold) of every split, by which scikit-learn parts values at most the threshold."""
    if hasattr(estimator, "_predictors"):
        nodes = np.concatenate([tree.nodes for trees in estimator._predictors for tree in trees])
        inner = nodes[nodes["is_leaf"] == 0]
        columns, thresholds = inner["feature_idx"], inner["num_threshold"]
    else:
        trees = np.ravel(np.asarray(getattr(estimator, "estimators_", [estimator]), dtype=object))
        grown = [tree.tree_ for tree in trees if hasattr(tree, "tree_")]
        columns = np.concatenate([[], *(tree.feature[tree.feature >= 0] for tree in grown)])
        thresholds = np.concatenate([[], *(tree.threshold[tree.feature >= 0] for tree in grown)])
    found = np.unique(np.column_stack([columns, thresholds]), axis=0)
    # An infinite threshold parts the missing values from all others.
    found = found[np.isfinite(found[:, 1])]
    return [(int(column), float(threshold)) for column, threshold in found]


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
