"""Numbers, dates and truth values as people read them, in sentences, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from service.rows import dates

SEPARATED = 10_000
"""Numbers from here on have their thousands separated; those below may be years."""

SMALL = 0.1
"""A column of smaller numbers would show little in three decimals."""

LARGEST = 1e15
"""From here on a number is told by its power of ten."""

MINUTES = 24 * 60


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, of a large one every digit before its point: 0.0123, 25,836."""
    shown = float(f"{value:.{digits}g}") + 0.0
    if 10 ** (digits - 1) <= abs(shown) < LARGEST:
        shown, digits = float(round(value)), 15
    separator = "," if SEPARATED <= abs(shown) < LARGEST else ""
    return f"{shown:{separator}.{digits}g}"


def value(found: Any, kind: str) -> str:
    """Return a value of the model's input as text: a date (to the minute) and a truth value are no numbers there."""
    if found is None or found != found or found == "":
        return "missing"
    if kind == "boolean":
        return "true" if found else "false"
    if kind == "date":
        return dates.text(round(found * MINUTES) / MINUTES).replace("T", " ")[:16]
    return found if isinstance(found, str) else number(found, 6)


def cell(found: Any) -> str:
    """Return a value of a table as it was read, a date or a truth value among them, as text."""
    return str(found).lower() if isinstance(found, (bool, np.bool_)) else str(found).removesuffix(" 00:00:00")


def table(frame: pd.DataFrame, kinds: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return a table to show: dates and truth values by their `kinds`, and large, small or whole numbers, as texts.

    The numbers of other columns are rounded to three decimals.
    """
    shown = frame.round(3)
    for at, name in enumerate(frame.columns):
        kind, column = (kinds or {}).get(name, "number"), frame.iloc[:, at]
        if kind in ("date", "boolean"):
            shown.isetitem(at, [value(one, kind) for one in column])
        elif pd.api.types.is_float_dtype(column) and not _reads_well(column):
            shown.isetitem(at, column.map(number, na_action="ignore").to_numpy())
    return shown


def _reads_well(column: pd.Series) -> bool:
    """Whether three decimals suit all of a column's numbers."""
    return bool(SMALL <= column.abs().max() < SEPARATED and (column.dropna() % 1 != 0).any())
