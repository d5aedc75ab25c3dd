"""Looking through a table before anything is learned: outliers, what a column alone predicts, what is suspicious."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from modeling.tables.dataset import Dataset, quoted
from modeling.tables.kinds import is_date, is_number, is_truth
from modeling.tables.target import Task
from service import dates

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

    A small tree, cross-validated; R² of a number, for classes the balanced accuracy beyond chance.
    """
    from sklearn.metrics import balanced_accuracy_score, r2_score
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if task == "regression":
        tree, folds = DecisionTreeRegressor(max_depth=6, min_samples_leaf=3), KFold(3, shuffle=True, random_state=seed)
        return max(0.0, float(r2_score(y, cross_val_predict(tree, values.reshape(-1, 1), y, cv=folds))))
    tree = DecisionTreeClassifier(max_depth=6, min_samples_leaf=2, class_weight="balanced")
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    guessed = cross_val_predict(tree, values.reshape(-1, 1), y, cv=folds)
    return max(0.0, float(balanced_accuracy_score(y, guessed, adjusted=True)))


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
