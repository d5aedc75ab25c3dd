"""Comparing families of estimators: their search, their scores in nested cross-validation, and which one is taken."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import model_selection
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from modeling.learning.estimators import Family
from service.errors import DataError

Rows = npt.NDArray[np.intp]

MOST_COMPARED = 10_000
"""More rows than these change the order of the families seldom and their time always."""

DRAWS = 3
"""How many settings a random search tries."""


def sample(y: npt.NDArray[Any], classify: bool, seed: int, most: int = MOST_COMPARED) -> Rows:
    """Return the numbers of the rows to compare on, in order: all, or `most` drawn, each class by its share."""
    rows = np.arange(len(y))
    if len(y) <= most:
        return rows
    _, counts = np.unique(y, return_counts=True)
    strata = y if classify and counts.min() > 1 and len(counts) <= min(most, len(y) - most) else None
    drawn, _ = train_test_split(rows, train_size=most, random_state=seed, stratify=strata)
    return np.sort(drawn)


def tuned(pipeline: Pipeline, family: Family, search: str, cv: Any, scoring: Any, seed: int) -> BaseEstimator:
    """Return `pipeline`, ending in the step `estimator`, with a search over the family's space around it.

    `search` is `grid`, `random` (DRAWS settings of the grid) or `none`.
    """
    space = {f"estimator__{name}": values for name, values in family.space.items()}
    if search == "none" or not space:
        return pipeline
    if search == "grid":
        return GridSearchCV(pipeline, space, scoring=scoring, cv=cv)
    draws = min(DRAWS, int(np.prod([len(values) for values in space.values()])))
    return RandomizedSearchCV(pipeline, space, n_iter=draws, scoring=scoring, cv=cv, random_state=seed)


def fit(estimator: BaseEstimator, X: pd.DataFrame, y: npt.NDArray[Any]) -> BaseEstimator:
    """Fit `estimator` to `X` and `y` on one thread, without its warnings, and return it.

    Two threads sum in another order than one, and the same data would give another file.
    """
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        return estimator.fit(X, y)


def score(
    estimator: BaseEstimator, X: pd.DataFrame, y: npt.NDArray[Any], train: Rows, test: Rows, scoring: dict[str, Any]
) -> dict[str, Any]:
    """Return {measure: score} on the rows `test` after fitting to the rows `train`, or {"failed": why}."""
    try:
        fitted = fit(clone(estimator), X.iloc[train], y[train])
        found: dict[str, Any] = check_scoring(fitted, scoring=scoring)(fitted, X.iloc[test], y[test])
    except np.linalg.LinAlgError:
        return {"failed": "a class has fewer rows than features, or features that others determine"}
    except (ValueError, DataError) as error:
        return {"failed": str(error).strip().splitlines()[-1]}
    return found


def summary(scores: pd.DataFrame, measure: str, folds: int) -> pd.DataFrame:
    """Return mean, standard deviation and standard error of a measure, a row for each candidate in its order.

    The folds share training rows, so the standard error is the corrected one (Nadeau and Bengio 2003): the variance
    times 1/k + 1/(k-1) for k folds, instead of 1/k.
    """
    grouped = scores.groupby("candidate", sort=False)[measure]
    # What failed in one fold was not measured.
    mean, deviation = (grouped.apply(each, skipna=False) for each in (pd.Series.mean, pd.Series.std))
    table = pd.DataFrame({"mean": mean, "standard deviation": deviation})
    table["standard error"] = table["standard deviation"] * np.sqrt(1 / folds + 1 / (folds - 1))
    return table


def preferred(table: pd.DataFrame, candidates: Sequence[str]) -> list[str]:
    """Return the candidates that were measured, in the order in which they are to be taken.

    `candidates` are ordered from simple to complex. First come those within one standard error of the best, the
    simplest first (Breiman, Friedman, Olshen and Stone 1984), then the others by their mean.
    """
    scored = table.loc[list(candidates)].dropna(subset="mean")
    if scored.empty:
        raise DataError("no family of estimators could be fitted: the table above says why")
    near = scored["mean"] >= least(scored)
    return [*scored.index[near], *scored[~near].sort_values("mean", ascending=False).index]


def least(scored: pd.DataFrame) -> float:
    """Return the mean that a candidate must reach: the best one's, less its standard error."""
    best = scored.iloc[int(np.nanargmax(scored["mean"].to_numpy()))]
    return float(best["mean"] - best["standard error"])


def reason(table: pd.DataFrame, order: Sequence[str]) -> str:
    """Return why the first of the candidates in `order` is taken, as the end of a sentence."""
    best = str(table.loc[list(order), "mean"].idxmax())
    if len(order) == 1:
        return "is the only one"
    if order[0] == best:
        return "has the highest mean, and no simpler one is within one standard error of it"
    return f"is the simplest within one standard error of `{best}`, which has the highest mean"


def learning_curve(
    estimator: BaseEstimator, X: pd.DataFrame, y: npt.NDArray[Any], cv: Any, scoring: Any, seed: int, n_jobs: int
) -> tuple[Rows, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return row counts `[5]`, and the scores `[5, folds]` on the rows fitted to and on others."""
    with warnings.catch_warnings(), threadpool_limits(1):
        # The smallest parts may lack a class: their score is missing then, and the curve starts later.
        warnings.simplefilter("ignore")
        counts, seen, unseen = model_selection.learning_curve(
            estimator, X, y, train_sizes=np.linspace(0.2, 1, 5), cv=cv, scoring=scoring, shuffle=True,
            random_state=seed, n_jobs=n_jobs,
        )  # fmt: skip
    return counts, seen, unseen


def outlook(unseen: npt.NDArray[np.float64]) -> str:
    """Return in a sentence whether more rows would help, by the scores `[sizes, folds]` of a learning curve.

    The last step is judged by its spread over the folds, which are the same at both sizes.
    """
    steps = unseen[-1] - unseen[-2]
    step, error = float(np.mean(steps)), float(np.std(steps, ddof=1) / np.sqrt(len(steps)))
    told = f"the last step of the learning curve is {step:+.3f}, give or take {2 * error:.3f}"
    if np.isnan(step):
        return "The learning curve could not be measured."
    if step > 2 * error:
        return f"More rows would help: {told}."
    if step + 2 * error < 0.01:
        return f"More rows of the same kind would change little: {told}."
    return f"Whether more rows would help cannot be told: {told}."


def told(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return a comparison as a manifest holds it: {candidate: {column: value}}, None for what was not measured."""
    return {
        str(name): {str(column): None if value != value else value for column, value in row.items()}
        for name, row in table.to_dict("index").items()
    }
