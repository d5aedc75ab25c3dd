"""A table and its card: read, checked, and described column by column."""

from __future__ import annotations

import csv
import difflib
import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd

from service.errors import DataError

NOTEBOOKS = Path(__file__).resolve().parent.parent
Task = Literal["classification", "regression"]

MOST_CLASSES = 20
"""Whole numbers with at most so many values, each three times on average, are classes unless the card says no."""


# In parts, as pandas reads by default, "07" becomes 7 in one part and stays a text in another. And "None" or "NA" is a
# class or a category like any other, unless it stands among numbers.
FORM: dict[str, Any] = {
    "encoding": "utf-8-sig",
    "index_col": False,
    "low_memory": False,
    "keep_default_na": False,
    "na_values": [""],
}
"""How pandas reads a CSV, to learn from and to predict."""

MISSING_WORDS = ("NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "#N/A", "?", "-")
"""What stands for a missing value among numbers."""

MOST_STRAY = 0.1
"""Where at most this share of a column's values are texts among numbers, they are mistakes and not categories."""


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
    _check_card(path, card, table)
    target = target or card.target
    if not target:
        raise DataError(
            f"{path.name} has no card that names its target: give the parameter `target`, one of {_names(table)}"
        )
    if target not in table.columns:
        raise DataError(f"{path.name} has no column {target!r}: choose the target among {_names(table)}")
    task = card.task if card.task and target == card.target else _task_of(table[target])
    check_target(path, table[target], task)
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
        table: pd.DataFrame = pd.read_csv(path, **FORM).apply(_typed)
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


def stray_text(values: pd.Series) -> str:
    """Return where a column that is nearly all numbers holds a text, "" if it holds numbers only or texts as such."""
    if is_number(values) or pd.api.types.is_bool_dtype(values):
        return ""
    present = values.dropna()
    texts = present[pd.to_numeric(present, errors="coerce").isna()]
    if texts.empty or len(texts) > MOST_STRAY * len(present):
        return ""
    return f"row {texts.index[0]} is {told(texts.iloc[0])}"


def slug(name: str) -> str:
    """Return a file's name as the name of a model: lower case, anything else than letters and digits as `_`."""
    found = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:64]
    if not found:
        raise DataError(f"the file's name {name[:80]!r} cannot name a model: give the parameter `model`")
    return found


def is_number(column: pd.Series) -> bool:
    """Whether a column holds numbers; truth values count as categories."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _typed(values: pd.Series) -> pd.Series:
    """Return a column as numbers if it holds nothing but numbers and words for a missing one."""
    if is_number(values) or pd.api.types.is_bool_dtype(values):
        return values
    rest = values[~values.isin(MISSING_WORDS) & values.notna()]
    if rest.empty or pd.to_numeric(rest, errors="coerce").isna().any():
        return values
    return pd.to_numeric(values.where(~values.isin(MISSING_WORDS)))


def _check_form(path: Path) -> None:
    """Raise DataError unless every line has as many values as the header has names, all different."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        header = next(filter(None, lines), [])
        if not header:
            raise DataError(f"{path.name} is empty: give a CSV file with a header and rows")
        if len(header) == 1 and re.search(r"[;\t|]", header[0]):
            separator = re.findall(r"[;\t|]", header[0])[0]
            raise DataError(f"{path.name} is separated by {separator!r}: save it with commas")
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


def told(value: object) -> str:
    """Return a value as a sentence shows it: 1, not np.int64(1)."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def _check_card(path: Path, card: Card, table: pd.DataFrame) -> None:
    for name in card.columns:
        if name not in table.columns:
            close = difflib.get_close_matches(name, table.columns, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"its columns are {_names(table)}"
            raise DataError(f"the card {path.stem}.toml describes {name!r}, which {path.name} has not; {meant}")


def _task_of(target: pd.Series) -> Task:
    if not is_number(target):
        return "classification"
    whole = bool((target.dropna() % 1 == 0).all())
    few = target.nunique() <= min(MOST_CLASSES, target.count() / 3)
    return "classification" if whole and few else "regression"


def check_target(path: Path, target: pd.Series, task: Task) -> None:
    """Raise DataError if there is nothing in a target to learn."""
    name = f"{path.name}: the target {target.name!r}"
    if target.isna().all():
        raise DataError(f"{name} has no values: choose another target")
    stray = stray_text(target)
    if stray:
        raise DataError(f"{name} is a column of numbers, but {stray}: correct it")
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
            f"{name} has only one value, {told(target.dropna().iloc[0])}: "
            "there is nothing to learn; add rows of another"
        )
    if task == "classification" and target.value_counts().min() < 2:
        rare = target.value_counts().idxmin()
        raise DataError(f"{name} has only one row of class {told(rare)}: add rows of it or remove it")


def _names(table: pd.DataFrame) -> str:
    names = [str(name) for name in table.columns]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
