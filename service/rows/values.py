"""Single values: what each kind of feature takes, what becomes of it, and what is said of one that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from service.contents import Feature
from service.errors import SHOWN, Problem
from service.rows import dates

TRUTH = {"true": True, "false": False}
"""Truth values where all values are texts, as in a CSV; in any case."""

TRUTHS = {**TRUTH, "0": False, "1": True, "0.0": False, "1.0": True}
"""The same in a column known to hold them: pandas writes 0 and 1 as 0.0 and 1.0 where some are missing."""

MISSING_WORDS = ("NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "#N/A", "?", "-")
"""What stands for a missing value among numbers, truth values and dates in a text."""

WANTED = {
    "number": "must be a number",
    "category": "must be a text",
    "boolean": "must be true or false",
    "date": f"must be a date such as {dates.SUCH}",
}
"""What a value of another kind is told."""


def shortest(value: float) -> float:
    """Return the shortest number that is the same in 32 bits: 14.23, not 14.229999542236328."""
    return float(str(np.float32(value)))


def limit(value: float | str | None, default: float) -> float:
    """Return a limit of a feature's range as the number that the model reads, `default` where there is none."""
    if isinstance(value, str):
        return float(dates.days(dates.read([value]))[0])
    return default if value is None else value


def _fill_numbers(into: npt.NDArray[np.float32], feature: Feature, values: Sequence[Any]) -> bool:
    """Write `values` into the column and return True, or return False if one of them is wrong."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return _fill_array(into, feature, values)
    kinds = set(map(type, values))
    if not kinds <= ({int, float, type(None)} if feature.nullable else {int, float}):
        return False
    try:
        with np.errstate(over="ignore"):
            into[:] = np.array(values, dtype=np.float64)
    except OverflowError:
        return False
    return _complete(into, feature)


def _fill_array(into: npt.NDArray[np.float32], feature: Feature, values: npt.NDArray[Any]) -> bool:
    # Whole numbers of 64 bits go by way of 64-bit floats, as in JSON: rounded at once they may end elsewhere.
    wide = values.dtype.kind in "iu" and values.dtype.itemsize == 8
    with np.errstate(over="ignore"):
        column = (values.astype(np.float64) if wide else values).astype(np.float32, copy=False)
    into[:] = column
    return _complete(column, feature)


def _complete(column: npt.NDArray[np.float32], feature: Feature) -> bool:
    return bool(np.isfinite(column).all()) or (feature.nullable and not np.isinf(column).any())


def _fill_truths(into: npt.NDArray[np.float32], feature: Feature, values: Sequence[Any]) -> bool:
    """Write truth values as 0 and 1 into the column and return True, or return False if one of them is wrong."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        into[:] = values
        return True
    given = listed(values)
    if not set(map(type, given)) <= ({bool, type(None)} if feature.nullable else {bool}):
        return False
    into[:] = [np.nan if value is None else value for value in given]
    return True


def _fill_dates(into: npt.NDArray[np.float32], feature: Feature, values: Sequence[Any]) -> bool:
    """Write dates as days into the column and return True, or return False if one of them is wrong."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return _fill_moments(into, feature, values)
    if not set(map(type, values)) <= ({str, type(None)} if feature.nullable else {str}):
        return False
    try:
        into[:] = dates.days(dates.read(values))
    except ValueError:
        return False
    return True


def _fill_moments(into: npt.NDArray[np.float32], feature: Feature, values: npt.NDArray[np.datetime64]) -> bool:
    if not dates.are_told(values) or (np.isnat(values).any() and not feature.nullable):
        return False
    into[:] = dates.days(values)
    return True


def fill_categories(into: npt.NDArray[np.object_], feature: Feature, values: Sequence[Any]) -> bool:
    """Write `values` into the column and return True, or return False if one of them is wrong."""
    if not set(map(type, values)) <= ({str, type(None)} if feature.nullable else {str}):
        return False
    into[:] = [value or "" for value in values]
    return feature.nullable or "" not in into


FILL = {"number": _fill_numbers, "boolean": _fill_truths, "date": _fill_dates}


def problems_of(feature: Feature, held: Any) -> list[Problem]:
    """Return a problem for each (row, value) that the feature does not take, for as many as are told."""
    wrong = (
        Problem(reason, row, feature.name, _echo(value)) for row, value in held if (reason := _reason(feature, value))
    )
    return list(islice(wrong, SHOWN + 1))


def _reason(feature: Feature, value: Any) -> str | None:
    """Return why `value` is wrong for `feature`, or None if it is not."""
    nothing = {"number": isinstance(value, float) and value != value, "category": value == ""}
    if value is None or nothing.get(feature.kind, False):
        return None if feature.nullable else "must not be missing: training saw no missing value here"
    if not _is_of(feature, value):
        return f"{WANTED[feature.kind]}, got {shown(value)}"
    fits = feature.kind != "number" or _fits(value)
    return None if fits else f"must lie between -3.4e38 and 3.4e38, got {shown(value)}"


def _is_of(feature: Feature, value: Any) -> bool:
    if feature.kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if feature.kind == "date":
        return isinstance(value, date) or (isinstance(value, str) and _is_date(value))
    return isinstance(value, bool if feature.kind == "boolean" else str)


def _is_date(text: str) -> bool:
    try:
        dates.read([text])
    except ValueError:
        return False
    return True


def _fits(value: float) -> bool:
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.float64(value).astype(np.float32)))
    except OverflowError:
        return False


def listed(values: Sequence[Any]) -> list[Any]:
    """Return a column as Python's own values; a moment that no calendar has is a number."""
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def shown(value: Any) -> str:
    """Return how a value is told in a sentence: what it is, never the whole of it."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, date):
        return f"the date {value.isoformat()}"
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a number of more than 40 digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _echo(value: Any) -> bool | int | float | str | None:
    if isinstance(value, str):
        return value[:80]
    return value if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53) else None
