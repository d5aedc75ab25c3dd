"""Columns as the model sees them: which are features, what the service gets, what it must know of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from modeling.dataset import Column, Dataset, is_number, stray_text, told
from service.bundle import Feature, Target, Value
from service.errors import DataError
from service.inputs import shortest

LEAVE_OUT = "leave it out by listing the others in `features`"


def choose_features(dataset: Dataset, wanted: Sequence[str]) -> list[str]:
    """Return the features to learn from, numbers first; raise DataError if one cannot be used.

    An empty `wanted` means every column but the target; then columns that hold nothing or one value are
    refused by name, so that leaving them out is somebody's decision.
    """
    columns = [name for name in dataset.table.columns if name != dataset.target]
    for name in wanted:
        if name == dataset.target:
            raise DataError(f"{name!r} is the target: take it out of `features`")
        if name not in columns:
            raise DataError(f"{dataset.path.name} has no column {name!r}: choose `features` among {', '.join(columns)}")
    chosen = list(dict.fromkeys(wanted)) or columns
    if not chosen:
        raise DataError(f"{dataset.path.name} has no column beside its target {dataset.target!r}: add a feature")
    for name in chosen:
        _check_feature(dataset, name)
    numbers = [name for name in chosen if is_number(dataset.table[name])]
    return [*numbers, *(name for name in chosen if name not in numbers)]


def as_model_input(table: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Return the features as the service will see them: 32-bit numbers, and texts with "" for a missing one.

    Numbers are rounded to 32 bits but stay in 64-bit columns, so that least squares loses no digits.
    """
    columns = {}
    for name in features:
        if is_number(table[name]):
            columns[name] = table[name].astype("float32").astype("float64")
        else:
            columns[name] = table[name].map(_as_text, na_action=None).astype(object)
    return pd.DataFrame(columns, index=table.index)


def has_whole_labels(values: pd.Series) -> bool:
    """Whether classes are whole numbers, small enough for every reader of JSON; otherwise they are texts."""
    return is_number(values) and bool((values.dropna() % 1 == 0).all() and (values.abs().max() < 2**53))


def as_labels(values: pd.Series, whole: bool) -> npt.NDArray[Any]:
    """Return classes `[n]` as whole numbers or as texts."""
    if whole:
        return values.to_numpy(dtype=np.int64)
    return np.array([_as_text(value) for value in values], dtype=object)


def as_known_labels(dataset: Dataset, values: pd.Series, classes: Sequence[int | str]) -> npt.NDArray[Any]:
    """Return classes `[n]` as a model names them, or raise DataError if there is one that it does not know."""
    labels = as_labels(values, whole=isinstance(classes[0], int) and has_whole_labels(values))
    unknown = [label for label in labels.tolist() if label not in classes]
    if unknown:
        raise DataError(
            f"{dataset.path.name}: the target {dataset.target!r} has the class {unknown[0]!r}, "
            "which the model never saw: train it again"
        )
    return labels


def answerable(table: pd.DataFrame, features: Sequence[Feature]) -> npt.NDArray[np.bool_]:
    """Return True for each row `[n]` that lacks no value which a model cannot do without."""
    needed = [feature.name for feature in features if not feature.nullable]
    return table[needed].notna().all(axis=1).to_numpy()


def describe_features(dataset: Dataset, X: pd.DataFrame, nullable: Collection[str]) -> list[Feature]:
    """Return what the service must know of each feature of the training table `X`."""
    return [_feature(dataset, X[name], name in nullable) for name in X.columns]


def positions(features: Sequence[Feature], kinds: str) -> list[int]:
    """Return where the features of some kinds, named with blanks between, stand."""
    return [at for at, feature in enumerate(features) if feature.kind in kinds.split()]


def describe_target(dataset: Dataset, classes: Sequence[int | str]) -> Target:
    """Return what the service must know of the target; `classes` in the estimator's order."""
    column = dataset.card.columns.get(dataset.target, Column())
    return Target(dataset.target, column.unit, column.meaning, list(classes))


def _feature(dataset: Dataset, values: pd.Series, nullable: bool) -> Feature:
    name = str(values.name)
    column = dataset.card.columns.get(name, Column())
    numeric = is_number(values)
    present = values.dropna() if numeric else values[values != ""]
    if present.empty:
        raise DataError(f"{dataset.path.name}: the column {name!r} has no values in the training rows: {LEAVE_OUT}")
    example: Value = shortest(present.iloc[0]) if numeric else str(present.iloc[0])
    return Feature(
        name=name,
        kind="number" if numeric else "category",
        unit=column.unit,
        meaning=column.meaning,
        nullable=nullable,
        min=shortest(present.min()) if numeric else None,
        max=shortest(present.max()) if numeric else None,
        categories=[] if numeric else sorted(present.unique()),
        example=example,
    )


def _check_feature(dataset: Dataset, name: str) -> None:
    values, where = dataset.table[name], f"{dataset.path.name}: the column {name!r}"
    if values.isna().all():
        raise DataError(f"{where} has no values: {LEAVE_OUT}")
    if values.nunique() == 1 and not values.isna().any():
        raise DataError(f"{where} is constant, always {told(values.iloc[0])}: {LEAVE_OUT}")
    stray = stray_text(values)
    if stray:
        raise DataError(f"{where} is a column of numbers, but {stray}: correct it, or {LEAVE_OUT}")
    if is_number(values) and (values.abs() > np.finfo(np.float32).max).any():
        raise DataError(f"{where} holds a number that is infinite or too large for 32 bits: correct it, or {LEAVE_OUT}")


def _as_text(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    return str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)
