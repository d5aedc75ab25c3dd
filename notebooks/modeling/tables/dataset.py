"""A table and its card: read, checked, and described column by column."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pandas as pd

from modeling.tables.form import Form, as_numbers, find_form
from modeling.tables.kinds import Column, Kind, is_number, read_column, stray_text
from modeling.tables.reading import read_table
from service.bundle import Written
from service.errors import DataError
from service.files import file_sha256

NOTEBOOKS = Path(__file__).resolve().parents[2]
Task = Literal["classification", "regression"]

MOST_CLASSES = 20
"""Whole numbers with at most so many values, each three times on average, are classes unless the card says no."""


POINT = Form(decimal=".")


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people know of a table that the table does not say itself."""

    title: str = ""
    question: str = ""
    target: str = ""
    task: Task | None = None
    intended_use: str = ""
    limits: str = ""
    contact: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    columns: dict[str, Column] = {}
    form: Form = Form()


class Dataset(msgspec.Struct, frozen=True):
    """A table with what is known of it; `table` is as read, nothing removed.

    `form` is how the file is written, `kinds` of what kind each column is, `notes` what was assumed of a column.
    """

    path: Path
    card: Card
    table: pd.DataFrame
    target: str
    task: Task
    sha256: str
    form: Form
    kinds: dict[str, Kind]
    notes: dict[str, str]
    first: dict[str, str] = {}

    @property
    def written(self) -> Written:
        """How the file writes its table, for a file of rows that is to be read alike."""
        # Numbers that were read as decimals settle what their point is, though nothing else in the file did.
        fractions = any((self.table[name] % 1 > 0).any() for name in self.table.select_dtypes("float"))
        form = self.form
        return Written(form.separator, form.decimal or "." * fractions, form.thousands, form.encoding, self.first)

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
    form = find_form(path, card.form)
    as_they_are = [name for name, column in card.columns.items() if column.kind in ("category", "text")]
    table = read_table(path, form, as_they_are)
    _check_card(path, card, table)
    target = target or card.target
    if not target:
        raise DataError(
            f"{path.name} has no card that names its target: give the parameter `target`, one of {_names(table)}"
        )
    if target not in table.columns:
        raise DataError(f"{path.name} has no column {target!r}: choose the target among {_names(table)}")
    kinds, notes, first = _understand(table, card, form, target)
    said = card.task if target == card.target else None
    if kinds[target] == "date" and not said:
        raise DataError(f"{path.name}: the target {target!r} holds dates, no classes or numbers: choose another target")
    task = said or _task_of(table[target])
    check_target(path, table[target], task, form)
    return Dataset(path, card, table, target, task, file_sha256(path), form, kinds, notes, first)


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


def drop_duplicates(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the first of each set of equal rows, numbered anew."""
    return table.drop_duplicates(ignore_index=True)


def slug(name: str) -> str:
    """Return a file's name as the name of a model: lower case, anything else than letters and digits as `_`."""
    found = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:64]
    if not found:
        raise DataError(f"the file's name {name[:80]!r} cannot name a model: give the parameter `model`")
    return found


def _understand(
    table: pd.DataFrame, card: Card, form: Form, target: str
) -> tuple[dict[str, Kind], dict[str, str], dict[str, str]]:
    """Put what each column was understood as into the table; return kinds, notes, and what dates begin with."""
    kinds: dict[str, Kind] = {}
    notes: dict[str, str] = {}
    first: dict[str, str] = {}
    for name in table.columns:
        found = read_column(table[name], card.columns.get(name, Column()), form)
        kinds[name] = found.kind
        if found.note:
            notes[name] = found.note
        if found.first:
            first[name] = found.first
        # A target that is a date has no task yet: it stays a text.
        if found.values is not table[name] and not (name == target and found.kind == "date"):
            table[name] = found.values
    return kinds, notes, first


def told(value: object) -> str:
    """Return a value as a sentence shows it: 1, not np.int64(1)."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def brief(text: object, most: int = 28) -> str:
    """Return a name as it fits beside an axis: on one line, and cut if it is long."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def quoted(name: object) -> str:
    """Return a column's name as Markdown shows it, as code, whatever it holds."""
    return f"`{brief(name, 60).replace('`', chr(39))}`"


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


def check_target(path: Path, target: pd.Series, task: Task, form: Form = POINT) -> None:
    """Raise DataError if there is nothing in a target to learn."""
    name = f"{path.name}: the target {target.name!r}"
    if target.isna().all():
        raise DataError(f"{name} has no values: choose another target")
    stray = stray_text(target, form)
    if stray:
        raise DataError(f"{name} is {stray}: correct it")
    if task == "regression" and not is_number(target):
        present = target.dropna()
        text = present[as_numbers(present, form).isna()].head(1).tolist() or present.tolist()
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
