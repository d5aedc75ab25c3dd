"""What the notebooks make sure of before they go on; each mistake is told in one sentence with the cure."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd

from modeling.choices import check_choices
from modeling.tables.dataset import Dataset
from modeling.tables.kinds import is_number
from modeling.tables.target import check_target, otherwise, told
from service.contents import Manifest
from service.errors import DataError, meant


def check_parameters(cells: Sequence[str]) -> None:
    """Raise DataError if papermill was given a parameter that the notebook has not; `cells` is IPython's `In`."""
    for before, cell in pairwise(cells):
        if not cell.startswith("# Parameters\n"):
            continue
        known = _assigned(before)
        for name in _assigned(cell):
            if name not in known:
                near = meant(name, known, f"it has {', '.join(known)}")
                raise DataError(f"the notebook has no parameter {name!r}; {near}")


def _assigned(cell: str) -> list[str]:
    targets = [
        target
        for statement in ast.parse(cell).body
        for target in getattr(statement, "targets", [getattr(statement, "target", None)])
    ]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def check_rows_left(dataset: Dataset, table: pd.DataFrame) -> None:
    """Raise DataError if dropping rows with missing values left nothing to learn from."""
    if table.empty:
        raise DataError(f"{dataset.path.name}: every row has a missing value; set the parameter `missing` to impute")
    check_target(dataset.path, table[dataset.target], dataset.task)


def check_split(dataset: Dataset, y: pd.Series, held_out: pd.Series, folds: int) -> int:
    """Return how many folds the training rows allow: `folds`, or as many as the rarest class has rows.

    `y` is the target of all rows. Raise DataError unless there are rows to test on and, of each class, two to train on.
    """
    where, training = dataset.path.name, y[~held_out]
    check_choices(folds=folds)
    if not held_out.any():
        raise DataError(f"{where}: no row is held out of {len(y)}: add rows or raise `test_size`")
    if len(training) < 2 * folds:
        raise DataError(
            f"{where}: only {len(training)} rows are left to train on with {folds} folds: "
            "add rows, or lower `test_size` or `folds`"
        )
    if dataset.task == "regression":
        return folds
    counts = training.value_counts().reindex(y.unique(), fill_value=0)
    if counts.min() < 2:
        cure = otherwise("regression") if is_number(y) else ""
        raise DataError(
            f"{where}: only {counts.min()} training rows of class {told(counts.idxmin())} of {dataset.target!r}: "
            f"add rows of it, remove it, or lower `test_size`{cure}"
        )
    return min(folds, int(counts.min()))


def check_columns(dataset: Dataset, columns: Sequence[str]) -> None:
    """Raise DataError if the table lacks a column that decides which rows were held out."""
    absent = [name for name in columns if name not in dataset.table.columns]
    if absent:
        raise DataError(
            f"{dataset.path.name} has no column {absent[0]!r}, which the model's training table had: add it"
        )


def check_candidate(model: str, version: int, candidates: Sequence[int]) -> None:
    """Raise DataError unless `version` is one of the model's candidates: what was published keeps its metrics."""
    if not version:
        raise DataError(f"{model} has no candidate: run 02_train first, or give its name as the parameter `model`")
    if version not in candidates:
        known = ", ".join(map(str, candidates)) or "none"
        raise DataError(
            f"{model} version {version} is no candidate (candidates: {known}): what is published keeps its metrics, "
            "so run 02_train for a new one"
        )


def check_test(dataset: Dataset, held_out: pd.Series) -> None:
    """Raise DataError if there is no row to test on, or none beside them."""
    if not held_out.any() or held_out.all():
        raise DataError(
            f"{dataset.path.name}: {int(held_out.sum())} of {len(held_out)} rows are held out: add rows to tell from"
        )


def check_comparable(challenger: Manifest, champion: Manifest) -> None:
    """Raise DataError if two models answer different questions."""
    for what, ours, theirs in (
        ("predicts", challenger.target.name, champion.target.name),
        ("is a", challenger.task, champion.task),
        ("names its classes by", _kind(challenger), _kind(champion)),
    ):
        if ours != theirs:
            raise DataError(f"it {what} {theirs!r}, this one {ours!r}; publish this one under another `model`")


def _kind(manifest: Manifest) -> str:
    return type(manifest.target.classes[0]).__name__ if manifest.target.classes else "none"
