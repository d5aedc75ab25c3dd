"""What kind each column is of: number, category, truth value or date; or an identifier or free text, left out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import msgspec
import pandas as pd

from modeling.tables.form import Form, are_codes, as_numbers, begin_with_zeros, doubt
from modeling.tables.written_dates import as_dates, date_order, looks_like_date
from service.errors import DataError
from service.rows.values import MISSING_WORDS, TRUTH

Kind = Literal["number", "category", "boolean", "date", "identifier", "text"]
LEARNED: tuple[Kind, ...] = ("number", "category", "boolean", "date")
"""The kinds that a model learns from unasked."""

MOST_CATEGORIES = 250
"""More different texts than that are no categories, unless the card says so."""

FEWEST_ROWS = 20
"""With fewer rows nothing can be said of whether values are different by chance."""

MOST_STRAY = 0.1
"""Where at most this share of a column's values are texts among numbers or dates, they are mistakes."""

FIRST = {"day": "day first", "month": "month first"}


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a card says of one column; `first` is what a date such as 1/5/2024 begins with."""

    unit: str = ""
    meaning: str = ""
    kind: Literal["", "number", "category", "boolean", "date", "identifier", "text"] = ""
    first: Literal["", "day", "month"] = ""


class Read(msgspec.Struct, frozen=True):
    """A column as it was understood: its kind, its values, and in words what was assumed or why it is left out."""

    kind: Kind
    values: pd.Series
    note: str = ""
    first: str = ""


def read_column(values: pd.Series, column: Column, form: Form) -> Read:
    """Return what a column of a file holds: by its card, else by its values; DataError if it is not of that kind."""
    if column.kind in ("category", "text"):
        return Read(column.kind, values, "" if column.kind == "category" else "the card says so")
    if column.kind == "identifier":
        return Read("identifier", read_column(values, Column(), form).values, "the card says so")
    for kind, reader in READERS.items():
        if column.kind in ("", kind):
            found = reader(values, column, form)
            if found:
                return found if column.kind or kind != "number" else _unless_counted(found)
            if column.kind:
                raise DataError(
                    f"the card calls the column {values.name!r} a {kind}, {_first_other(values, kind, form)}"
                )
    return _of_texts(values, form)


def is_number(column: pd.Series) -> bool:
    """Whether a column holds numbers; truth values and dates are none."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def is_date(column: pd.Series) -> bool:
    """Whether a column holds dates that were read as such."""
    return pd.api.types.is_datetime64_dtype(column)


def is_truth(column: pd.Series) -> bool:
    """Whether a column holds truth values that were read as such."""
    return pd.api.types.is_bool_dtype(column)


def known(values: pd.Series) -> pd.Series:
    """Return what stands in a column, without missing values and the words for one."""
    present = values.dropna()
    return present if is_number(values) else present[~present.astype("str").str.strip().isin(("", *MISSING_WORDS))]


def stray_text(values: pd.Series, form: Form) -> str:
    """Return where a column that is nearly all numbers, or dates, holds something else; "" if it does not."""
    if is_number(values) or is_truth(values) or is_date(values):
        return ""
    present = known(values)
    for kind in ("number", "date"):
        # Most texts are neither, and a thousand of them show it.
        if _others(present.head(1000), kind, form).mean() < 0.5:
            others = _others(present, kind, form)
            if 0 < others.sum() <= MOST_STRAY * len(present):
                at = int(others.to_numpy().argmax())
                return f"a column of {kind}s, but row {present.index[at]} is {present.iloc[at]!r}"
    return ""


def unclear(values: pd.Series, form: Form) -> str:
    """Return why numbers or dates can be read in two ways, and where to say in which; "" if they cannot."""
    if is_number(values) or is_truth(values) or is_date(values):
        return ""
    different = known(values).unique()
    numbers = doubt(different, form)
    if numbers:
        return f"{numbers}: say which as `decimal` or `thousands` under [form] in the card"
    if len(different) and all(map(looks_like_date, different)):
        note = f"dates such as {str(different[0])[:40]!r} may begin with the day or the month, or are none"
        return f'{note}: say `kind = "date"` and `first = "day"` or "month" in the card'
    return ""


def _others(present: pd.Series, kind: str, form: Form) -> pd.Series:
    return as_numbers(present, form).isna() if kind == "number" else ~present.map(looks_like_date).astype(bool)


def _numbers(values: pd.Series, column: Column, form: Form) -> Read | None:
    if is_number(values):
        return Read("number", values)
    rest = known(values)
    if rest.empty or is_truth(values) or set(map(type, rest.head(100))) != {str}:
        return None
    different = rest.unique()
    if doubt(different, form) or (not column.kind and (are_codes(different) or begin_with_zeros(different))):
        return None
    numbers = as_numbers(rest, form)
    return None if numbers.isna().any() else Read("number", numbers.reindex(values.index))


def _truths(values: pd.Series, column: Column, form: Form) -> Read | None:
    if column.kind and is_number(values) and set(values.dropna().unique()) <= {0, 1}:
        return Read("boolean", values.astype("boolean"))
    if is_number(values):
        return None
    rest = known(values)
    if rest.empty or str(rest.iloc[0]).strip().lower() not in TRUTH:
        return None
    if not {str(value).strip().lower() for value in rest.unique()} <= set(TRUTH):
        return None
    truths = rest.map(lambda value: TRUTH[str(value).strip().lower()])
    return Read("boolean", truths.reindex(values.index).astype("boolean"))


def _dates(values: pd.Series, column: Column, form: Form) -> Read | None:
    rest = known(values)
    if rest.empty or is_number(values) or not looks_like_date(rest.iloc[0]):
        return None
    different = [str(text).strip() for text in rest.unique()]
    order = date_order(different, column.first)
    if order is None:
        return None
    try:
        read = as_dates(rest, order).reindex(values.index)
    except ValueError:
        return None
    note = f"dates written {FIRST[order]}, such as {different[0]}" if order else ""
    return Read("date", read, note, order)


READERS = {"boolean": _truths, "number": _numbers, "date": _dates}


def _unless_counted(found: Read) -> Read:
    """Return a column of numbers as it is, unless they count the rows or are their keys."""
    values = found.values
    if len(values) < FEWEST_ROWS or values.isna().any() or not (values % 1 == 0).all() or not values.is_unique:
        return found
    counts = values.max() - values.min() < 2 * len(values)
    key = re.search(r"(^|[^a-z])(id|key|uuid|guid)$|[a-z]I[Dd]$", str(values.name), re.IGNORECASE if counts else 0)
    if not counts and not key:
        return found
    return Read("identifier", values, f"whole numbers, all {len(values)} different, that count the rows or are keys")


def _of_texts(values: pd.Series, form: Form) -> Read:
    present = values.dropna()
    different, why = present.unique(), unclear(values, form)
    if why:
        return Read("text", values, why)
    if len(present) < FEWEST_ROWS or len(different) <= min(MOST_CATEGORIES, len(present) / 2):
        return Read("category", values, _of_codes(known(values).unique()))
    words = sum(len(str(text).split()) for text in different[:1000]) / len(different[:1000])
    count = f"{len(different)} different values in {len(present)} rows"
    if len(different) > 0.9 * len(present) and words < 4:
        return Read("identifier", values, f"{count}, such as {str(different[0])[:40]!r}, that name the rows")
    return Read("text", values, f"{count}, such as {str(different[0])[:40]!r}, are too many for categories")


def _of_codes(texts: Iterable[str]) -> str:
    if not begin_with_zeros(texts):
        return ""
    first = next(str(text)[:40] for text in texts if str(text).strip().startswith("0"))
    return f"whole numbers with leading zeros, such as {first!r}, are kept as texts"


def _first_other(values: pd.Series, kind: str, form: Form) -> str:
    """Return what in a column is not of a kind, or that nothing is."""
    why = unclear(values, form) if kind == "number" else ""
    if why:
        return f"but {why}"
    for value in known(values).unique():
        if kind == "number" and not pd.isna(as_numbers(pd.Series([value]), form)[0]):
            continue
        if kind == "date" and looks_like_date(value):
            continue
        if kind == "boolean" and str(value).strip().lower() in TRUTH:
            continue
        return f"but it holds {str(value)[:80]!r}: correct one of the two"
    if kind == "date":
        return 'but it is not said what comes first: say `first = "day"` or "month" there'
    return "but it holds nothing of that kind: correct the card"
