"""A table and its card: read, checked, and described column by column."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from service.bundle import Feature, Target, Value
from service.errors import DataError
from service.inputs import shortest

NOTEBOOKS = Path(__file__).resolve().parent.parent
Task = Literal["classification", "regression"]

MOST_CLASSES = 20
"""A whole-number target with at most so many values is taken for classes unless the card says otherwise."""

LEAVE_OUT = "leave it out by listing the others in `features`"


class Column(msgspec.Struct, frozen=True):
    """What a card says of one column."""

    unit: str = ""
    meaning: str = ""


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people know of a table that the table does not say itself."""

    title: str = ""
    question: str = ""
    target: str = ""
    task: Task | None = None
    source: str = ""
    licence: str = ""
    citation: str = ""
    columns: dict[str, Column] = {}


class Dataset(msgspec.Struct, frozen=True):
    """A table with what is known of it; `table` is as read, nothing removed."""

    path: Path
    card: Card
    table: pd.DataFrame
    target: str
    task: Task
    sha256: str

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def unit(self, column: str) -> str:
        """Return the unit of a column, "" where the card states none or one without a name."""
        unit = self.card.columns.get(column, Column()).unit
        return "" if unit in ("1", "code", "not stated") else unit

    def label(self, column: str) -> str:
        """Return the text for an axis: the column's name and, where it is known, its unit."""
        unit = self.unit(column)
        return f"{column} ({unit})" if unit else column


def load(data: str | Path, target: str = "") -> Dataset:
    """Read a CSV and the card beside it; raise DataError in one sentence where they cannot be used for training.

    `data` is a path (one that is relative is looked for here and then beside the notebooks); an empty `target`
    means the card's.
    """
    path = find(data)
    card = read_card(path)
    table = read_table(path)
    target = target or card.target
    if not target:
        raise DataError(
            f"{path.name} has no card that names its target: give the parameter `target`, one of {_names(table)}"
        )
    if target not in table.columns:
        raise DataError(f"{path.name} has no column {target!r}: choose the target among {_names(table)}")
    task = card.task if card.task and target == card.target else _task_of(table[target])
    _check_target(path, table[target], task)
    return Dataset(path, card, table, target, task, hashlib.sha256(path.read_bytes()).hexdigest())


def find(data: str | Path) -> Path:
    """Return the path of a table, or raise DataError if there is no such file."""
    for folder in (Path(), NOTEBOOKS):
        path = folder / os.path.expanduser(data)
        if os.path.isfile(path):
            return path.resolve()
    raise DataError(f"there is no table {str(data)[:200]!r}: give the path of a CSV file")


def read_card(path: Path) -> Card:
    """Return the card beside a table, an empty one if there is none."""
    card = path.with_suffix(".toml")
    if not card.is_file():
        return Card()
    try:
        return msgspec.convert(tomllib.loads(card.read_text(encoding="utf-8")), Card)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise DataError(f"the card {card.name} cannot be read: {error}; correct it") from error


def read_table(path: Path) -> pd.DataFrame:
    """Return a CSV as a table, or raise DataError if it is empty, ragged, or its names are not unique."""
    try:
        _check_form(path)
        # In parts, as pandas reads by default, "07" becomes 7 in one part and stays a text in another.
        table = pd.read_csv(path, encoding="utf-8-sig", index_col=False, low_memory=False)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from error
    except (pd.errors.ParserError, csv.Error) as error:
        raise DataError(f"{path.name} is not a table: {str(error).strip()}; correct it") from error
    if table.empty:
        raise DataError(f"{path.name} has a header and no rows: add rows to learn from")
    return table


def drop_duplicates(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the first of each set of equal rows, numbered anew."""
    return table.drop_duplicates(ignore_index=True)


def choose_features(dataset: Dataset, wanted: Sequence[str]) -> list[str]:
    """Return the features to learn from, numbers first; raise DataError if one cannot be used.

    An empty `wanted` means every column but the target; then columns that hold nothing or one value are
    refused by name, so that leaving them out is somebody's decision.
    """
    columns = [name for name in dataset.table.columns if name != dataset.target]
    for name in wanted:
        if name == dataset.target:
            raise DataError(f"{name!r} is the target: take it out of `features`")
        if name not in columns:
            raise DataError(f"{dataset.path.name} has no column {name!r}: choose `features` among {', '.join(columns)}")
    chosen = list(dict.fromkeys(wanted)) or columns
    if not chosen:
        raise DataError(f"{dataset.path.name} has no column beside its target {dataset.target!r}: add a feature")
    for name in chosen:
        _check_feature(dataset, name)
    numbers = [name for name in chosen if is_number(dataset.table[name])]
    return [*numbers, *(name for name in chosen if name not in numbers)]


def check_choice(parameter: str, value: str, allowed: Sequence[str]) -> None:
    """Raise DataError unless `value` is one that the parameter may have."""
    if value not in allowed:
        raise DataError(f"the parameter `{parameter}` must be one of {', '.join(allowed)}, got {value!r}")


def check_rows_left(dataset: Dataset, table: pd.DataFrame) -> None:
    """Raise DataError if dropping rows with missing values left nothing to learn from."""
    if table.empty:
        raise DataError(f"{dataset.path.name}: every row has a missing value; set the parameter `missing` to impute")
    _check_target(dataset.path, table[dataset.target], dataset.task)


def check_split(dataset: Dataset, y: pd.Series, held_out: pd.Series, folds: int) -> None:
    """Raise DataError unless there are rows to test on and, of each class, enough to train on; `y` is the target."""
    where, training = dataset.path.name, y[~held_out]
    if folds < 2:
        raise DataError(f"the parameter `folds` must be at least 2, got {folds}")
    if not held_out.any():
        raise DataError(f"{where}: no row is held out of {len(y)}: add rows or raise `test_size`")
    if len(training) < 2 * folds:
        raise DataError(
            f"{where}: only {len(training)} rows are left to train on with {folds} folds: "
            "add rows, or lower `test_size` or `folds`"
        )
    if dataset.task == "classification":
        counts = training.value_counts().reindex(y.unique(), fill_value=0)
        if counts.min() < folds:
            raise DataError(
                f"{where}: only {counts.min()} training rows of class {_told(counts.idxmin())} of {dataset.target!r} "
                f"for {folds} folds: add rows or lower `folds`"
            )


def check_columns(dataset: Dataset, columns: Sequence[str]) -> None:
    """Raise DataError if the table lacks a column that decides which rows were held out."""
    absent = [name for name in columns if name not in dataset.table.columns]
    if absent:
        raise DataError(
            f"{dataset.path.name} has no column {absent[0]!r}, which the model's training table had: add it"
        )


def check_candidate(model: str, version: int) -> None:
    """Raise DataError if there is nothing to evaluate."""
    if not version:
        raise DataError(f"{model} has no candidate: run 02_train first, or give its name as the parameter `model`")


def slug(name: str) -> str:
    """Return a file's name as the name of a model: lower case, anything else than letters and digits as `_`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:64] or "model"


def is_number(column: pd.Series) -> bool:
    """Whether a column holds numbers; truth values count as categories."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def as_model_input(table: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Return the features as the service will see them: 32-bit numbers, and texts with "" for a missing one.

    Numbers are rounded to 32 bits but stay in 64-bit columns, so that least squares loses no digits.
    """
    columns = {}
    for name in features:
        if is_number(table[name]):
            columns[name] = table[name].astype("float32").astype("float64")
        else:
            columns[name] = table[name].map(_as_text, na_action=None).astype(object)
    return pd.DataFrame(columns, index=table.index)


def as_labels(values: pd.Series) -> npt.NDArray[Any]:
    """Return classes `[n]` as whole numbers where they are, else as texts."""
    if is_number(values) and (values % 1 == 0).all():
        return values.to_numpy(dtype=np.int64)
    return np.array([_as_text(value) for value in values], dtype=object)


def describe_features(dataset: Dataset, X: pd.DataFrame, nullable: Collection[str]) -> list[Feature]:
    """Return what the service must know of each feature of the training table `X`."""
    return [_feature(dataset, X[name], name in nullable) for name in X.columns]


def describe_target(dataset: Dataset, classes: Sequence[int | str]) -> Target:
    """Return what the service must know of the target; `classes` in the estimator's order."""
    column = dataset.card.columns.get(dataset.target, Column())
    return Target(dataset.target, column.unit, column.meaning, list(classes))


def _feature(dataset: Dataset, values: pd.Series, nullable: bool) -> Feature:
    name = str(values.name)
    column = dataset.card.columns.get(name, Column())
    numeric = is_number(values)
    present = values.dropna() if numeric else values[values != ""]
    if present.empty:
        raise DataError(f"{dataset.path.name}: the column {name!r} has no values in the training rows: {LEAVE_OUT}")
    example: Value = shortest(present.iloc[0]) if numeric else str(present.iloc[0])
    return Feature(
        name=name,
        kind="number" if numeric else "category",
        unit=column.unit,
        meaning=column.meaning,
        nullable=nullable,
        min=shortest(present.min()) if numeric else None,
        max=shortest(present.max()) if numeric else None,
        categories=[] if numeric else sorted(present.unique()),
        example=example,
    )


def _check_form(path: Path) -> None:
    """Raise DataError unless every line has as many values as the header has names, all different."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        header = next(filter(None, lines), [])
        if not header:
            raise DataError(f"{path.name} is empty: give a CSV file with a header and rows")
        if "" in header:
            raise DataError(f"{path.name}: column {header.index('') + 1} has no name: name it or remove it")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise DataError(f"{path.name} has more than one column {twice[0]!r}: rename one of them")
        for line in filter(None, lines):
            if len(line) != len(header):
                raise DataError(
                    f"{path.name}: line {lines.line_num} has {len(line)} values, "
                    f"the header names {len(header)} columns: correct the line"
                )


def _told(value: object) -> str:
    """Return a value as a sentence shows it: 1, not np.int64(1)."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def _as_text(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    return str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)


def _task_of(target: pd.Series) -> Task:
    if not is_number(target):
        return "classification"
    whole = bool((target.dropna() % 1 == 0).all())
    return "classification" if whole and target.nunique() <= MOST_CLASSES else "regression"


def _check_target(path: Path, target: pd.Series, task: Task) -> None:
    name = f"{path.name}: the target {target.name!r}"
    if target.isna().all():
        raise DataError(f"{name} has no values: choose another target")
    if task == "regression" and not is_number(target):
        present = target.dropna()
        text = present[pd.to_numeric(present, errors="coerce").isna()].head(1).tolist() or present.tolist()
        raise DataError(
            f"{name} holds texts such as {text[0]!r}: a regression needs numbers, "
            "so correct them or set the task to classification in the card"
        )
    if is_number(target) and np.isinf(target).any():
        raise DataError(f"{name} holds an infinite number: correct it or remove the row")
    if target.nunique() < 2:
        raise DataError(
            f"{name} has only one value, {_told(target.dropna().iloc[0])}: "
            "there is nothing to learn; add rows of another"
        )
    if task == "classification" and target.value_counts().min() < 2:
        rare = target.value_counts().idxmin()
        raise DataError(f"{name} has only one row of class {_told(rare)}: add rows of it or remove it")


def _check_feature(dataset: Dataset, name: str) -> None:
    values, where = dataset.table[name], f"{dataset.path.name}: the column {name!r}"
    if values.isna().all():
        raise DataError(f"{where} has no values: {LEAVE_OUT}")
    if values.nunique() == 1 and not values.isna().any():
        raise DataError(f"{where} is constant, always {_told(values.iloc[0])}: {LEAVE_OUT}")
    if is_number(values) and (values.abs() > np.finfo(np.float32).max).any():
        raise DataError(f"{where} holds a number that is infinite or too large for 32 bits: correct it, or {LEAVE_OUT}")


def _names(table: pd.DataFrame) -> str:
    names = [str(name) for name in table.columns]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
