"""From a fitted pipeline to a candidate bundle: ONNX, parity with scikit-learn, golden rows, provenance."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd
from sklearn.pipeline import Pipeline

from modeling.columns import as_sent
from modeling.dataset import NOTEBOOKS
from modeling.discriminant import register_converter
from modeling.kinds import is_number
from service.bundle import Feature, Golden, Value
from service.errors import DataError
from service.files import sha256
from service.inputs import Inputs, Schema

PACKAGES = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy", "pandas")
TOLERANCE = 1e-5
"""How far ONNX may be from scikit-learn: absolute for probabilities, times the target's spread for numbers."""

MOST_THRESHOLDS = 2000


def to_onnx(pipeline: Pipeline, X: pd.DataFrame) -> bytes:
    """Return the fitted `pipeline`, preprocessing included, as ONNX reading `numbers` and `categories`."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    register_converter()
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
        graph = convert_sklearn(
            pipeline,
            name="pipeline",
            initial_types=[(name, kind) for name, kind in reads if kind.shape[1]],
            options=options,
        )
    # The converter takes them from a set: their order, and so the file, would change from process to process.
    graph.opset_import.sort(key=lambda used: used.domain)
    return bytes(graph.SerializeToString())


def edge_rows(pipeline: Pipeline, X: pd.DataFrame, features: Sequence[Feature]) -> pd.DataFrame:
    """Return rows where a model is most likely to differ: extremes, missing values, and tree thresholds."""
    typical = pd.Series({f.name: _typical(X[f.name], f.kind) for f in features})
    rows = []
    for feature in features:
        category = feature.kind == "category"
        values = [*feature.categories, "never seen"] if category else [X[feature.name].min(), X[feature.name].max()]
        if feature.nullable:
            values.append("" if category else np.nan)
        rows += [{**typical, feature.name: value} for value in values]
    numbers = {f.name: "float32" for f in features if f.kind != "category"}
    truths = {f.name for f in features if f.kind == "boolean"}
    thresholds = [(X.columns[column], value) for column, value in _thresholds(pipeline[-1], len(numbers))]
    # A truth value is 0 or 1; what lies between is no row that anybody can send.
    rows += [{**typical, name: value} for name, value in thresholds if name not in truths]
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
        rows=[dict(zip(rows.columns, sent, strict=True)) for sent in zip(*_as_sent(rows, features), strict=True)],
        predict=pipeline.predict(rows).tolist(),
        predict_proba=probabilities.tolist(),
        tolerance=TOLERANCE * spread,
    )


def as_inputs(X: pd.DataFrame, features: Sequence[Feature]) -> Inputs:
    """Return a table as the service's checked inputs, by the service's own code."""
    return Schema(features).read_columns(dict(zip(X.columns, _as_sent(X, features), strict=True)))


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


def _thresholds(estimator: Any, width: int) -> list[tuple[int, float]]:
    """Return (column, threshold) for the splits of a tree or forest, none for other estimators."""
    trees = np.ravel(np.asarray(getattr(estimator, "estimators_", [estimator]), dtype=object))
    pairs = {
        (int(column), float(np.float32(threshold)))
        for tree in trees
        if hasattr(tree, "tree_")
        for column, threshold in zip(tree.tree_.feature, tree.tree_.threshold, strict=True)
        if 0 <= column < width
    }
    ordered = sorted(pairs)
    return ordered[:: max(1, len(ordered) // MOST_THRESHOLDS)]


def _typical(values: pd.Series, kind: str) -> Any:
    """Return a value that a client could send: the median of numbers, else the most frequent."""
    return values.median() if kind in ("number", "date") else values[values != ""].mode()[0]


def _as_sent(X: pd.DataFrame, features: Sequence[Feature]) -> list[list[Value]]:
    """Return each column of `X` as a client would send it."""
    kinds = {feature.name: feature.kind for feature in features}
    return [[as_sent(value, kinds[str(name)]) for value in X[name].tolist()] for name in X]


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
