"""Rows from outside, checked against the model's features and laid out as the tensors the model reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from service.contents import Feature
from service.errors import SHOWN, InputError, Problem, RequestError, meant
from service.rows import dates
from service.rows.values import FILL, fill_categories, limit, listed, problems_of, shortest, shown

DEPTH = 64
"""How deeply a body may nest; rows that fit nest at most four deep, so only refused rows are ever measured."""

WARNED = 100
"""How many warnings a reply holds."""

MISSING = "is missing"


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

    def __init__(self, features: Sequence[Feature], target: str = "") -> None:
        self.features, self.target = list(features), target
        self.names = [feature.name for feature in features]
        self.numbers = [feature for feature in features if feature.kind != "category"]
        self.categories = [feature for feature in features if feature.kind == "category"]
        self.only_numbers = {feature.kind for feature in features} == {"number"}
        self._known = frozenset(self.names)
        self._seen = {feature.name: frozenset(feature.categories) for feature in self.categories}
        self.low = np.array([limit(feature.min, -np.inf) for feature in self.numbers], dtype=np.float32)
        self.high = np.array([limit(feature.max, np.inf) for feature in self.numbers], dtype=np.float32)

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
                problems += problems_of(feature, held)
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
                problems += problems_of(feature, ((row, rows[row][index]) for row, good in enumerate(whole) if good))
            raise _refusal(problems, rows)
        columns = list(zip(*rows, strict=True)) or [()] * width
        return self.read_columns(dict(zip(self.names, columns, strict=True)))

    def read_table(self, columns: dict[str, Sequence[Any]], ignore_extra: bool = False) -> Inputs:
        """Return rows given by column, all of one length, in any order; what is wrong is told as of records."""
        if self._known == columns.keys() or (ignore_extra and self._known <= columns.keys()):
            return self.read_columns({name: columns[name] for name in self.names})
        rows = zip(*map(listed, columns.values()), strict=True)
        return self.read_records([dict(zip(columns, row, strict=True)) for row in rows], ignore_extra)

    def read_columns(self, columns: dict[str, Sequence[Any]]) -> Inputs:
        """Return rows given by column, all of one length, every feature present."""
        count = len(next(iter(columns.values()), ()))
        problems: list[Problem] = []
        numbers = np.empty((count, len(self.numbers)), dtype=np.float32)
        for index, feature in enumerate(self.numbers):
            if not FILL[feature.kind](numbers[:, index], feature, columns[feature.name]):
                problems += problems_of(feature, enumerate(listed(columns[feature.name])))
        categories = np.empty((count, len(self.categories)), dtype=object)
        for index, feature in enumerate(self.categories):
            if not fill_categories(categories[:, index], feature, columns[feature.name]):
                problems += problems_of(feature, enumerate(listed(columns[feature.name])))
        if problems:
            raise _refusal(problems, [values for values in columns.values() if not isinstance(values, np.ndarray)])
        return self.inputs(numbers, categories)

    def inputs(self, numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]) -> Inputs:
        """Return rows that were checked already, with the warnings that they deserve."""
        return Inputs(numbers, categories, self._warnings(numbers, categories))

    def check_names(self, names: Sequence[str], ignore_extra: bool = False) -> None:
        """Raise InputError unless the columns of a table are the features, each once, in whatever order.

        An unknown one is a problem unless `ignore_extra`.
        """
        given = Counter(names)
        problems = [Problem(MISSING, None, name) for name in self.names if name not in given]
        for name, count in given.items():
            if name not in self._known and ignore_extra:
                continue
            if name not in self._known:
                problems.append(Problem(f"is not a feature{self._nearest(name)}", None, name[:80]))
            elif count > 1:
                problems.append(Problem(f"is the name of {count} columns", None, name))
            if len(problems) > SHOWN:
                break
        if problems:
            raise InputError(problems)

    def _record_problems(self, row: int, record: Any, ignore_extra: bool) -> Iterator[Problem]:
        if not isinstance(record, dict):
            yield Problem(f"must be an object with the fields {_listed(self.names)}, got {shown(record)}", row)
            return
        yield from (Problem(MISSING, row, name) for name in self.names if name not in record)
        unknown = () if ignore_extra else (name for name in record if name not in self._known)
        yield from (Problem(f"is not a feature{self._nearest(name)}", row, name[:80]) for name in unknown)

    def _nearest(self, name: str) -> str:
        if name == self.target:
            return ": it is what the model predicts, leave it out"
        if not name.strip():
            return ": a column without a name may be a table's index, leave it out"
        return f"; {meant(name, self.names, f'the features are {_listed(self.names)}')}"

    def _warnings(self, numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]) -> list[Problem]:
        outside = (numbers < self.low) | (numbers > self.high)
        places = np.flatnonzero(outside)[:WARNED].tolist() if outside.any() else ()
        rows = (divmod(place, len(self.numbers)) for place in places)
        found = [_outside(self.numbers[column], row, numbers[row, column]) for row, column in rows]
        for index, feature in enumerate(self.categories):
            seen = self._seen[feature.name] | {""}
            unseen = (
                Problem("was never seen in training", row, feature.name, text[:80])
                for row, text in enumerate(categories[:, index])
                if text not in seen
            )
            found += islice(unseen, WARNED)
        return sorted(found, key=lambda problem: problem.row or 0)[:WARNED]


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
            if isinstance(inner, (list, tuple, dict))
        ]
        if not level:
            return False
    return True


def _row_reason(values: Any, width: int) -> str:
    if isinstance(values, list):
        return f"has {len(values)} values, the model has {width} features"
    return f"must be a list of {width} values, got {shown(values)}"


def _outside(feature: Feature, row: int, number: float) -> Problem:
    low, high = (f"{limit:g}" if isinstance(limit, float) else limit for limit in (feature.min, feature.max))
    value = dates.text(number) if feature.kind == "date" else shortest(number)
    return Problem(f"is outside the range seen in training, {low} to {high}", row, feature.name, value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"
