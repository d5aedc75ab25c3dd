"""Looking through a table before anything is learned: outliers, what a column alone predicts, what is suspicious."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from modeling.tables.dataset import Dataset, quoted
from modeling.tables.kinds import is_date, is_number, is_truth
from modeling.tables.target import Task
from service.rows import dates

DRAWN = 20_000
"""How many rows figures and correlations are made from."""

TRIED = 5_000
"""How many rows a column is tried on alone."""

SUSPECT = 0.98
"""A column that alone predicts so much is more likely to be the answer than a hint."""


def draw(table: pd.DataFrame, seed: int, rows: int = DRAWN) -> pd.DataFrame:
    """Return the table, or of a long one as many rows as are wanted, drawn with the seed, in their order."""
    return table if len(table) <= rows else table.sample(rows, random_state=seed).sort_index()


def share_outlying(values: pd.Series) -> float:
    """Return the share of numbers beyond three scaled MADs of the median (Leys et al. 2013), NaN where MAD is 0."""
    present = values.dropna()
    distance = (present - present.median()).abs()
    deviation = 1.4826 * distance.median()
    return float((distance > 3 * deviation).mean()) if deviation > 0 else float("nan")


def alone(values: npt.NDArray[np.float64], y: pd.Series, task: Task, seed: int) -> float:
    """Return how well one column `[n]` predicts the target `[n]`: nothing 0, everything 1.

    The better of a tree and of what each value stands with, cross-validated; R² of a number's ranks, which a few
    large ones do not rule, for classes the balanced accuracy beyond chance.
    """
    from sklearn.metrics import balanced_accuracy_score, r2_score
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    column = values.reshape(-1, 1)
    if task == "regression":
        ranks, folds = y.rank().to_numpy(), KFold(3, shuffle=True, random_state=seed)
        tree = DecisionTreeRegressor(max_depth=6, min_samples_leaf=3)
        guesses = cross_val_predict(tree, column, ranks, cv=folds), _by_value(column, ranks, folds, _mean)
        return max(0.0, *(float(r2_score(ranks, guess)) for guess in guesses))
    classes = pd.factorize(y)[0]
    tree = DecisionTreeClassifier(max_leaf_nodes=max(64, 2 * y.nunique()), min_samples_leaf=2, class_weight="balanced")
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    guesses = cross_val_predict(tree, column, classes, cv=folds), _by_value(column, classes, folds, _majority)
    return max(0.0, *(float(balanced_accuracy_score(classes, guess, adjusted=True)) for guess in guesses))


def _by_value(
    column: npt.NDArray[np.float64], y: npt.NDArray[Any], folds: Any, told: Callable[[pd.Series, pd.Series], pd.Series]
) -> npt.NDArray[Any]:
    """Return for each row what its value stands with in the other folds, the most usual answer where it is new."""
    values, answers = pd.Series(pd.factorize(column[:, 0], use_na_sentinel=False)[0]), pd.Series(y)
    guessed = np.empty(len(y), dtype=np.float64)
    for learned, asked in folds.split(column, y):
        seen, known = values.iloc[learned], answers.iloc[learned]
        usual = told(pd.Series(0, index=seen.index), known).iloc[0]
        guessed[asked] = values.iloc[asked].map(told(seen, known)).fillna(usual)
    return guessed.astype(y.dtype)


def _mean(values: pd.Series, y: pd.Series) -> pd.Series:
    return y.groupby(values).mean()


def _majority(values: pd.Series, y: pd.Series) -> pd.Series:
    """Return for each value the class of which the largest share has it, as balanced accuracy counts."""
    pairs = pd.DataFrame({"value": values, "y": y, "weight": 1 / y.map(y.value_counts())})
    shares: pd.DataFrame = pairs.groupby(["value", "y"])["weight"].sum().reset_index()
    best: pd.Series = shares.sort_values(by="weight").drop_duplicates("value", keep="last").set_index("value")["y"]
    return best


def predictive_power(dataset: Dataset, seed: int) -> pd.Series:
    """Return what each column alone predicts of the target, and the rows' order (named ""), the strongest last."""
    table = draw(dataset.table.dropna(subset=[dataset.target]), seed, TRIED)
    y = table[dataset.target]
    if dataset.task == "classification":
        frequent = y.map(y.value_counts()) >= 3
        table, y = table[frequent], y[frequent].astype(str)
    enough = len(y) >= 6 and y.nunique() > 1
    columns = [name for name in table if name != dataset.target and table[name].nunique() > 1] if enough else []
    found = {name: alone(_ordered(table[name]), y, dataset.task, seed) for name in columns}
    if enough:
        found[""] = alone(np.asarray(table.index, dtype=np.float64), y, dataset.task, seed)
    return pd.Series(found, dtype=float).sort_values()


def suspects(power: pd.Series) -> list[str]:
    """Return as Markdown which columns look like the answer itself, and whether the rows are sorted by it."""
    told = [
        f"{quoted(name)} alone predicts the target almost perfectly ({value:.0%}): is it known before the target is?"
        for name, value in power[power > SUSPECT][::-1].items()
        if name
    ]
    if power.get("", 0) > SUSPECT:
        told.append("The rows are sorted by the target: a column that counts them would give it away.")
    return told


def strongest_pairs(table: pd.DataFrame, least: float = 0.9) -> pd.Series:
    """Return the pairs of numeric columns with a rank correlation beyond `least`, the strongest first."""
    correlation = table.corr(method="spearman").abs().to_numpy(dtype=np.float64)
    first, second = np.nonzero(np.triu(correlation > least, 1))
    pairs = zip(table.columns[first], table.columns[second], strict=True)
    return pd.Series(correlation[first, second], index=pd.Index(list(pairs), tupleize_cols=False)).sort_values()[::-1]


def _ordered(values: pd.Series) -> npt.NDArray[np.float64]:
    """Return a column as numbers in its own order: texts by the alphabet, NaN where missing."""
    if is_date(values):
        return dates.days(values.to_numpy())
    if is_number(values) or is_truth(values):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.abs(numbers) < np.finfo(np.float32).max, numbers, np.nan)
    codes = pd.factorize(values.astype(object), sort=True)[0].astype(np.float64)
    return np.where(codes < 0, np.nan, codes)
