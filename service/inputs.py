"""Rows from outside, checked against the model's features and laid out as the tensors the model reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from service import dates
from service.bundle import Feature
from service.errors import SHOWN, InputError, Problem, RequestError

DEPTH = 64
"""How deeply a body may nest; rows that fit nest at most four deep, so only refused rows are ever measured."""

WARNED = 100
"""How many warnings a reply holds."""

TRUTH = {"true": True, "false": False}
"""Truth values where all values are texts, as in a CSV; in any case."""

MISSING = "is missing"

WANTED = {
    "number": "must be a number",
    "category": "must be a text",
    "boolean": "must be true or false",
    "date": f"must be a date such as {dates.SUCH}",
}
"""What a value of another kind is told."""


class Inputs(msgspec.Struct, frozen=True):
    """Checked rows: numbers `[n, k]` float32, NaN where missing; categories `[n, m]` text, "" where missing.

    Truth values are the numbers 0 and 1, dates the days since 1970-01-01; all numbers stand in the features' order.
    """

    numbers: npt.NDArray[np.float32]
    categories: npt.NDArray[np.object_]
    warnings: list[Problem]

    def __len__(self) -> int:
        return len(self.numbers)


class Schema:
    """The features of a model, in order, and what may be said for each."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = list(features)
        self.names = [feature.name for feature in features]
        self.numbers = [feature for feature in features if feature.kind != "category"]
        self.categories = [feature for feature in features if feature.kind == "category"]
        self._known = frozenset(self.names)
        self._seen = {feature.name: frozenset(feature.categories) for feature in self.categories}
        self._low = np.array([_limit(feature.min, -np.inf) for feature in self.numbers], dtype=np.float32)
        self._high = np.array([_limit(feature.max, np.inf) for feature in self.numbers], dtype=np.float32)

    def read(self, rows: Sequence[Any], ignore_extra: bool = False) -> Inputs:
        """Return rows given as records (dicts) or as lists in feature order; raise InputError with every problem."""
        if rows and isinstance(rows[0], dict):
            return self.read_records(rows, ignore_extra)
        return self.read_lists(rows)

    def read_records(self, records: Sequence[Any], ignore_extra: bool = False) -> Inputs:
        """Return records, one dict a row; an unknown field is a problem unless `ignore_extra`."""
        wrong = (
            problem
            for row, record in enumerate(records)
            if not isinstance(record, dict) or record.keys() != self._known
            for problem in self._record_problems(row, record, ignore_extra)
        )
        problems = list(islice(wrong, SHOWN + 1))
        if problems:
            # The values of rows that have all fields are looked at too, so that one reply tells all.
            present = [(row, record) for row, record in enumerate(records) if isinstance(record, dict)]
            for feature in self.features:
                held = [(row, record[feature.name]) for row, record in present if feature.name in record]
                problems += _value_problems(feature, held)
            raise _refusal(problems, records)
        return self.read_columns({name: [record[name] for record in records] for name in self.names})

    def read_lists(self, rows: Sequence[Any]) -> Inputs:
        """Return rows given as lists of values in feature order."""
        width = len(self.names)
        whole = [isinstance(values, list) and len(values) == width for values in rows]
        if not all(whole):
            wrong = (Problem(_row_reason(rows[row], width), row) for row, good in enumerate(whole) if not good)
            problems = list(islice(wrong, SHOWN + 1))
            for index, feature in enumerate(self.features):
                problems += _value_problems(
                    feature, ((row, rows[row][index]) for row, good in enumerate(whole) if good)
                )
            raise _refusal(problems, rows)
        columns = list(zip(*rows, strict=True)) or [()] * width
        return self.read_columns(dict(zip(self.names, columns, strict=True)))

    def read_columns(self, columns: dict[str, Sequence[Any]]) -> Inputs:
        """Return rows given by column, all of one length, every feature present."""
        count = len(next(iter(columns.values()), ()))
        problems: list[Problem] = []
        numbers = np.empty((count, len(self.numbers)), dtype=np.float32)
        for index, feature in enumerate(self.numbers):
            if not FILL[feature.kind](numbers[:, index], feature, columns[feature.name]):
                problems += _value_problems(feature, enumerate(_listed_values(columns[feature.name])))
        categories = np.empty((count, len(self.categories)), dtype=object)
        for index, feature in enumerate(self.categories):
            if not _fill_categories(categories[:, index], feature, columns[feature.name]):
                problems += _value_problems(feature, enumerate(_listed_values(columns[feature.name])))
        if problems:
            raise _refusal(problems, [_listed_values(values) for values in columns.values()])
        return Inputs(numbers, categories, self._warnings(numbers, categories))

    def _record_problems(self, row: int, record: Any, ignore_extra: bool) -> Iterator[Problem]:
        if not isinstance(record, dict):
            yield Problem(f"must be an object with the fields {_listed(self.names)}, got {_shown(record)}", row)
            return
        yield from (Problem(MISSING, row, name) for name in self.names if name not in record)
        unknown = () if ignore_extra else (name for name in record if name not in self._known)
        yield from (Problem(f"is not a feature{self._nearest(name)}", row, name[:80]) for name in unknown)

    def _nearest(self, name: str) -> str:
        close = difflib.get_close_matches(name[:80], self.names, n=1)
        return f"; did you mean {close[0]!r}?" if close else f"; the features are {_listed(self.names)}"

    def _warnings(self, numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]) -> list[Problem]:
        found = [
            _outside(self.numbers[column], int(row), numbers[row, column])
            for row, column in np.argwhere((numbers < self._low) | (numbers > self._high))[:WARNED]
        ]
        for index, feature in enumerate(self.categories):
            seen = self._seen[feature.name] | {""}
            found += [
                Problem("was never seen in training", row, feature.name, text[:80])
                for row, text in enumerate(categories[:, index])
                if text not in seen
            ]
        return sorted(found, key=lambda problem: problem.row or 0)[:WARNED]


def shortest(value: float) -> float:
    """Return the shortest number that is the same in 32 bits: 14.23, not 14.229999542236328."""
    return float(str(np.float32(value)))


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
    with np.errstate(over="ignore"):
        into[:] = values
    return _complete(into, feature)


def _complete(column: npt.NDArray[np.float32], feature: Feature) -> bool:
    return bool(np.isfinite(column).all()) or (feature.nullable and not np.isinf(column).any())


def _fill_truths(into: npt.NDArray[np.float32], feature: Feature, values: Sequence[Any]) -> bool:
    """Write truth values as 0 and 1 into the column and return True, or return False if one of them is wrong."""
    listed = _listed_values(values)
    if not set(map(type, listed)) <= ({bool, type(None)} if feature.nullable else {bool}):
        return False
    into[:] = [np.nan if value is None else value for value in listed]
    return True


def _fill_dates(into: npt.NDArray[np.float32], feature: Feature, values: Sequence[Any]) -> bool:
    """Write dates as days into the column and return True, or return False if one of them is wrong."""
    if not set(map(type, values)) <= ({str, type(None)} if feature.nullable else {str}):
        return False
    try:
        into[:] = dates.days(dates.read(values))
    except ValueError:
        return False
    return True


FILL = {"number": _fill_numbers, "boolean": _fill_truths, "date": _fill_dates}


def _fill_categories(into: npt.NDArray[np.object_], feature: Feature, values: Sequence[Any]) -> bool:
    """Write `values` into the column and return True, or return False if one of them is wrong."""
    if not set(map(type, values)) <= ({str, type(None)} if feature.nullable else {str}):
        return False
    into[:] = [value or "" for value in values]
    return feature.nullable or "" not in into


def _value_problems(feature: Feature, held: Any) -> list[Problem]:
    """Return a problem for each (row, value) that the feature does not take, for as many as are told."""
    wrong = (
        Problem(f"{reason}, got {_shown(value)}", row, feature.name, _echo(value))
        for row, value in held
        if (reason := _reason(feature, value))
    )
    return list(islice(wrong, SHOWN + 1))


def _reason(feature: Feature, value: Any) -> str | None:
    """Return why `value` is wrong for `feature`, or None if it is not."""
    missing = value is None or value == "" or (isinstance(value, float) and value != value)
    if missing and (value != "" or feature.kind == "category"):
        return None if feature.nullable else "must not be missing: training saw no missing value here"
    if not _is_of(feature, value):
        return WANTED[feature.kind]
    return None if feature.kind != "number" or _fits(value) else "must be a finite 32-bit number"


def _is_of(feature: Feature, value: Any) -> bool:
    if feature.kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if feature.kind == "date":
        return isinstance(value, str) and _is_date(value)
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


def _refusal(problems: list[Problem], given: Sequence[Any]) -> RequestError:
    if _deeper_than(given, DEPTH):
        return RequestError(f"the body nests deeper than {DEPTH} levels")
    return InputError(sorted(problems, key=lambda problem: (problem.row or 0, problem.reason == MISSING)))


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (list, dict))
        ]
        if not level:
            return False
    return True


def _row_reason(values: Any, width: int) -> str:
    if isinstance(values, list):
        return f"has {len(values)} values, the model has {width} features"
    return f"must be a list of {width} values, got {_shown(values)}"


def _outside(feature: Feature, row: int, number: float) -> Problem:
    low, high = (f"{limit:g}" if isinstance(limit, float) else limit for limit in (feature.min, feature.max))
    value = dates.text(number) if feature.kind == "date" else shortest(number)
    return Problem(f"is outside the range seen in training, {low} to {high}", row, feature.name, value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"


def _shown(value: Any) -> str:
    """Return how a value is told in a sentence: what it is, never the whole of it."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a number of more than 40 digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _listed_values(values: Sequence[Any]) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _echo(value: Any) -> bool | int | float | str | None:
    if isinstance(value, str):
        return value[:80]
    return value if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53) else None


def _limit(value: float | str | None, default: float) -> float:
    if isinstance(value, str):
        return float(dates.days(dates.read([value]))[0])
    return default if value is None else value
