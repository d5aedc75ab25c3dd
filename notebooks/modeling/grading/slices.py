"""Parts of the held-out rows, by one feature each, and how the model does in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from modeling import legible
from modeling.tables.kinds import is_number

Array = npt.NDArray[Any]

FEWEST = 5
"""Fewer rows tell nothing of a slice."""

QUANTILES = 4
SHUFFLES = 20
"""How often errors are shuffled to count what chance does."""


def measure(
    X: pd.DataFrame, errors: Array, labels: Sequence[str] = (), kinds: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return every slice of five rows or more: feature, slice, rows, mean error, and its 95 % interval.

    `errors[n]` is True for a wrong class, or by how much a number was missed; `labels` are texts for X's columns,
    `kinds` says which of them hold dates and truth values.
    The slices that are worst beyond doubt come first: ordered by the lower end of the interval, few rows weigh less.
    """
    columns = ["feature", "slice", "rows", "error", "from", "to"]
    called = dict(zip(X.columns, labels or X.columns, strict=True))
    found = [(called[name], told, len(rows), *mean_interval(errors[rows])) for name, told, rows in _slices(X, kinds)]
    return pd.DataFrame(found, columns=columns).sort_values("from", ascending=False, ignore_index=True)


def by_chance(X: pd.DataFrame, errors: Array, seed: int, shuffles: int = SHUFFLES) -> float:
    """Return how many slices do worse than the whole beyond their interval on average when errors are shuffled.

    The intervals of few rows and of rare errors hold less often than 95 %, and slices overlap: so it is counted.
    """
    parts = [rows for _, _, rows in _slices(X, None)]
    generator, whole = np.random.default_rng(seed), errors.mean()
    counts = []
    for _ in range(shuffles):
        shuffled = generator.permutation(errors)
        counts.append(sum(mean_interval(shuffled[rows])[1] > whole for rows in parts))
    return float(np.mean(counts))


def mean_interval(errors: Array) -> tuple[float, float, float]:
    """Return the mean of `errors[n]` and its 95 % interval, Wilson's (1927) for a share, Student's (1908) else."""
    mean, count = float(errors.mean()), len(errors)
    if errors.dtype == bool:
        square = stats.norm.ppf(0.975) ** 2 / count
        margin = np.sqrt(square * mean * (1 - mean) + square**2 / 4)
        low, high = np.clip((mean + square / 2 + np.array([-margin, margin])) / (1 + square), 0, 1)
    else:
        margin = stats.t.ppf(0.975, count - 1) * errors.std(ddof=1) / np.sqrt(count) if count > 1 else np.inf
        low, high = max(0.0, mean - margin), mean + margin
    return mean, float(low), float(high)


def sentence(parts: pd.DataFrame, errors: Array, what: str, chance: float) -> str:
    """Return how many slices do worse than the whole beyond their interval, and how many would by chance alone."""
    worse = int((parts["from"] > errors.mean()).sum())
    return (
        f"The {what} is {legible.number(errors.mean())} over all {len(errors)} rows. "
        f"Of {len(parts)} slices of {FEWEST} rows or more, {worse} do worse beyond their interval; "
        f"where errors fall by chance alone, {chance:.1f} of them do."
    )


def worst(parts: pd.DataFrame, errors: Array, most: int = 3) -> str:
    """Return the slices that do worse than the whole beyond their interval, the worst first, in words."""
    found = parts[parts["from"] > errors.mean()].head(most)
    named = [f"{feature} is {told} ({rows} rows)" for feature, told, rows in found.iloc[:, :3].itertuples(index=False)]
    return "; ".join(named) or f"no slice of {FEWEST} rows or more does worse beyond its interval"


def _slices(X: pd.DataFrame, kinds: Mapping[str, str] | None) -> Iterator[tuple[str, str, npt.NDArray[np.intp]]]:
    """Yield the column, the name and the row numbers of each slice that is neither too small nor everything."""
    for name in X.columns:
        for told, rows in _parts(X[name], (kinds or {}).get(name, "number")):
            if FEWEST <= len(rows) < len(X):
                yield str(name), told, rows


def _parts(values: pd.Series, kind: str) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
    """Yield each part of a column, its name and its row numbers: quarters of numbers, else values."""
    if is_number(values) and values.nunique() > QUANTILES:
        parts = pd.qcut(values, QUANTILES, duplicates="drop")
        codes = np.asarray(parts.cat.codes)
        present = values.groupby(codes).agg(["min", "max"])
        names = {code: _range(low, high, kind) for code, low, high in present.itertuples() if code >= 0}
    else:
        codes, categories = pd.factorize(values.where(values != ""), sort=True)
        names = {code: legible.value(category, kind) for code, category in enumerate(categories)}
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        if len(rows):
            yield names.get(codes[rows[0]], "missing"), rows


def _range(low: float, high: float, kind: str) -> str:
    first, last = legible.value(low, kind), legible.value(high, kind)
    return first if first == last else f"{first} to {last}"
