"""Whether an exported model answers as scikit-learn does, above all where the two are most likely to differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from modeling.tables.kinds import is_number
from service import runtime
from service.contents import Feature, Value
from service.errors import DataError

TOLERANCE = 1e-5
"""How far ONNX may be from scikit-learn: absolute for probabilities, times the target's spread for numbers."""

COARSE = 0.01
"""The largest share of the target's spread that rounding to 32 bits may take."""

MOST_ROWS = 20_000
"""How many rows of a table parity is checked on, beside the edge rows."""

MOST_EDGES = 8000
MOST_THRESHOLDS = 2000
"""How many thresholds of a forest get edge rows."""


def parity_rows(pipeline: Pipeline, X: pd.DataFrame, features: Sequence[Feature]) -> pd.DataFrame:
    """Return the rows to compare ONNX and scikit-learn on: those of `X`, at most `MOST_ROWS` of them, and edge rows.

    Of a larger table a sample is drawn, always the same.
    """
    sample = X if len(X) <= MOST_ROWS else X.sample(MOST_ROWS, random_state=0)
    return pd.concat([sample, edge_rows(pipeline, X, features)], ignore_index=True)


def edge_rows(pipeline: Pipeline, X: pd.DataFrame, features: Sequence[Feature]) -> pd.DataFrame:
    """Return rows where a model is most likely to differ: extremes, missing values, and around tree thresholds.

    Each differs from a typical row in one value; of a table with thousands of columns at most `MOST_EDGES` are made.
    """
    truths = {feature.name for feature in features if feature.kind == "boolean"}
    changes = [(feature.name, value) for feature in features for value in _edges(feature, X[feature.name])]
    around = [(X.columns[column], value) for column, value in _around_thresholds(pipeline)]
    # A truth value is 0 or 1; what lies between is no row that anybody can send.
    changes += [(name, value) for name, value in around if name not in truths]
    changes = changes[:: 1 + len(changes) // MOST_EDGES]
    typical = {f.name: f.categories[0] if f.kind == "category" else _middle(X[f.name]) for f in features}
    columns: dict[str, npt.NDArray[Any]] = {
        name: np.full(len(changes), value, dtype=object if isinstance(value, str) else np.float64)
        for name, value in typical.items()
    }
    for row, (name, value) in enumerate(changes):
        columns[name][row] = value if isinstance(value, str) else np.float32(value)
    return pd.DataFrame(columns, columns=X.columns)


def tolerance(spread: float, answers: npt.NDArray[Any]) -> float:
    """Return how far answers may differ from these, `[n]` numbers in the target's unit; DataError if none would do.

    They are numbers of 32 bits, which are the farther apart the larger they are.
    """
    rounding = 4 * float(np.spacing(np.abs(answers).max().astype(np.float32)))
    if rounding > COARSE * spread:
        raise DataError(
            f"the target is so large, {np.abs(answers).max():.6g}, beside its standard deviation, {spread:.3g}, that "
            "answers in 32 bits cannot tell its values apart: subtract a constant from it"
        )
    return TOLERANCE * spread + rounding


def check_parity(model: bytes, pipeline: Pipeline, X: pd.DataFrame, spread: float = 1.0) -> float:
    """Return the largest difference between ONNX and scikit-learn over `X`; raise DataError if it is too large.

    The difference of numbers is counted in `spread`, the target's standard deviation. A label may differ only
    where scikit-learn itself has two classes within the tolerance.
    """
    first, *rest = run(model, X)
    if not rest:
        expected = pipeline.predict(X)
        difference, allowed = float(np.abs(first.reshape(-1) - expected).max()), tolerance(spread, expected)
    else:
        expected = pipeline.predict_proba(X)
        difference, allowed = float(np.abs(rest[0] - expected).max()), TOLERANCE
        if (first != pipeline.predict(X))[are_clear(expected)].any():
            raise DataError(
                "the exported model gives other labels than scikit-learn, which happens where neighbours are equally "
                "far: choose another `estimator`"
            )
    if not difference <= allowed:
        raise DataError(f"the exported model differs by {difference:.2g} from scikit-learn: choose another `estimator`")
    return difference / spread


def are_clear(probabilities: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return True for each row of probabilities `[n, classes]` whose two likeliest classes differ beyond tolerance."""
    best_two = np.sort(probabilities, axis=1)[:, -2:]
    clear: npt.NDArray[np.bool_] = best_two[:, 1] - best_two[:, 0] > TOLERANCE
    return clear


def run(model: bytes, X: pd.DataFrame) -> list[npt.NDArray[Any]]:
    """Return what a model answers for `X`: labels `[n]` and probabilities `[n, classes]`, or numbers `[n, 1]`."""
    session = runtime.session(model)
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
