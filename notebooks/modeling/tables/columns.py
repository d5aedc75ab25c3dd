"""Columns as the model sees them: which are features, what the service gets, what it must know of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from modeling.tables.dataset import Dataset, Described, brief, quoted
from modeling.tables.kinds import LEARNED, Column, is_date, is_number, is_truth, stray_text
from modeling.tables.target import told
from service.contents import Feature, Target
from service.errors import DataError
from service.rows import dates
from service.rows.values import shortest


def choose_features(dataset: Dataset, wanted: Sequence[str] = ()) -> list[str]:
    """Return the features to learn from, categories last; raise DataError if one that is wanted cannot be used.

    An empty `wanted` means every column but the target and what is `left_out`.
    """
    columns = [name for name in dataset.table.columns if name != dataset.target]
    for name in wanted:
        if name == dataset.target:
            raise DataError(f"{name!r} is the target: take it out of `features`")
        if name not in columns:
            raise DataError(f"{dataset.path.name} has no column {name!r}: choose `features` among {', '.join(columns)}")
        fault = _fault(dataset, name)
        if fault:
            raise DataError(
                f"{dataset.path.name}: the column {name!r} {fault}: correct it, or take it out of `features`"
            )
    left = left_out(dataset)
    chosen = list(dict.fromkeys(wanted)) or [name for name in columns if name not in left]
    if not columns:
        raise DataError(f"{dataset.path.name} has no column beside its target {dataset.target!r}: add a feature")
    if not chosen:
        name, why = next(iter(left.items()))
        raise DataError(
            f"{dataset.path.name} has no column to learn from ({name!r} {why}): add one, or name `features`"
        )
    numeric = [name for name in chosen if _is_numeric(dataset.table[name])]
    return list(dict.fromkeys([*numeric, *chosen]))


def left_out(dataset: Described) -> dict[str, str]:
    """Return the columns that are not learned from unless they are named in `features`, each with why."""
    why = {name: _reason(dataset, name) for name in dataset.table.columns if name != dataset.target}
    return {name: reason for name, reason in why.items() if reason}


def told_left_out(left: dict[str, str]) -> str:
    """Return in words, as Markdown, what is left out and how to keep it."""
    if not left:
        return "Every column but the target is learned from."
    lines = [f"- {quoted(name)} is left out: it {brief(why, 200)}." for name, why in left.items()]
    shown = lines[:20] + ([f"- … and {len(lines) - 20} more."] if len(lines) > 20 else [])
    cure = "Name a column in `features` to learn from it all the same, or give its `kind` in the card."
    return "\n".join([*shown, "", cure])


def as_model_input(table: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Return the features as the model reads them: the numeric ones first, and texts with "" for a missing one.

    Truth values become 0 and 1, dates days since 1970-01-01. All are rounded to the 32 bits that the service sends
    but stay in 64-bit columns, so that least squares loses no digits.
    """
    numeric = [name for name in features if _is_numeric(table[name])]
    columns: dict[str, pd.Series] = {name: _as_number(table[name]) for name in numeric}
    texts = [name for name in features if name not in columns]
    columns |= {name: table[name].map(_as_text).astype(object) for name in texts}
    return pd.DataFrame(columns, index=table.index, copy=False)


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
    present = values[values != ""] if values.dtype == object else values.dropna()
    if present.empty:
        raise DataError(
            f"{dataset.path.name}: the column {name!r} has no values in the training rows: "
            "leave it out by listing the others in `features`"
        )
    kind = _kind_in_model(dataset.table[name]) if name in dataset.table else _kind_in_model(values)
    low, high, example = (as_sent(value, kind) for value in (present.min(), present.max(), present.iloc[0]))
    ranged = kind in ("number", "date")
    return Feature(
        name=name,
        kind=kind,
        unit=column.unit,
        meaning=column.meaning,
        nullable=nullable,
        min=low if ranged else None,
        max=high if ranged else None,
        categories=sorted(present.unique()) if kind == "category" else [],
        example=example,
    )


def as_sent(value: Any, kind: str) -> Any:
    """Return a value of the model's input as a client sends it: null where missing, a date as its text."""
    if kind == "category":
        return value or None
    if value != value:
        return None
    if kind == "boolean":
        return bool(value)
    return dates.text(value) if kind == "date" else shortest(value)


def _is_numeric(values: pd.Series) -> bool:
    return is_number(values) or is_truth(values) or is_date(values)


def _kind_in_model(values: pd.Series) -> Literal["number", "category", "boolean", "date"]:
    if is_truth(values) or is_date(values):
        return "boolean" if is_truth(values) else "date"
    return "number" if is_number(values) else "category"


def _as_number(values: pd.Series) -> pd.Series:
    dated = is_date(values)
    numbers = dates.days(values.to_numpy()) if dated else values.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(numbers.astype(np.float32).astype(np.float64), index=values.index)


def _reason(dataset: Described, name: str) -> str:
    """Return why a column is not learned from unasked, "" if it is."""
    fault = _fault(dataset, name)
    if fault or dataset.kinds[name] in LEARNED:
        return fault
    return f"{NAMED[dataset.kinds[name]]} ({dataset.notes.get(name, 'the card says so')})"


NAMED = {"identifier": "is an identifier", "text": "is a text"}


def _fault(dataset: Described, name: str) -> str:
    """Return why nothing can be learned from a column, "" if something can."""
    values = dataset.table[name]
    if values.isna().all():
        return "has no values"
    if values.nunique() == 1 and not values.isna().any():
        return f"is constant, always {told(values.iloc[0])}"
    stray = "" if dataset.card.columns.get(name, Column()).kind else stray_text(values, dataset.form)
    if stray:
        return f"is {stray}"
    if is_number(values) and (values.abs() > np.finfo(np.float32).max).any():
        return "holds a number that is infinite or too large for 32 bits"
    return ""


def _as_text(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    return str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)
