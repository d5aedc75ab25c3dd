"""A table and its card: read, checked, and described column by column."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Literal

import msgspec
import pandas as pd

from modeling.choices import check_choices
from modeling.tables.form import Form, find_form
from modeling.tables.kinds import Column, Kind, read_column
from modeling.tables.kinds import is_number as is_number  # the notebooks know it from here
from modeling.tables.reading import read_table
from modeling.tables.target import Task as Task
from modeling.tables.target import check_kind, check_target, check_written, task_of
from service.contents import Written
from service.errors import DataError, meant
from service.files import file_sha256

NOTEBOOKS = Path(__file__).resolve().parents[2]


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people know of a table that the table does not say itself."""

    title: str = ""
    question: str = ""
    target: str = ""
    task: Task | Literal[""] = ""
    intended_use: str = ""
    limits: str = ""
    contact: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    columns: dict[str, Column] = {}
    form: Form = Form()


class Described(msgspec.Struct, frozen=True):
    """A table with what is known of it, whether its target can be learned or not; `table` has all rows as read.

    `target` is "" where nobody named one, `form` is how the file is written, `kinds` of what kind each column is,
    `notes` what was assumed of a column.
    """

    path: Path
    card: Card
    table: pd.DataFrame
    target: str
    form: Form
    kinds: dict[str, Kind]
    notes: dict[str, str]
    first: dict[str, str]

    @property
    def written(self) -> Written:
        """How the file writes its table, for a file of rows that is to be read alike."""
        # Numbers that were read as decimals settle what their point is, though nothing else in the file did.
        fractions = any((self.table[name] % 1 > 0).any() for name in self.table.select_dtypes("float"))
        form = self.form
        return Written(form.separator, form.decimal or "." * fractions, form.thousands, form.encoding, self.first)

    @property
    def stated_task(self) -> Task | Literal[""]:
        """The card's task, which holds for the card's own target only."""
        return self.card.task if self.target == self.card.target else ""


class Dataset(Described, frozen=True):
    """A table with a target to learn."""

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


def load(data: str | Path, target: str = "", task: Task | Literal[""] = "") -> Dataset:
    """Read a CSV and the card beside it; raise DataError in one sentence where they cannot be used for training.

    `data` is a path (one that is relative is looked for here and then beside the notebooks); an empty `target`
    means the card's, an empty `task` the card's or what the target's values are.
    """
    check_choices(task=task)
    return learnable(describe(data, target), task)


def describe(data: str | Path, target: str = "") -> Described:
    """Read a CSV and the card beside it as `load` does, whether there is a target to learn or not."""
    path = find(data)
    card = read_card(path)
    form = find_form(path, card.form)
    as_they_are = [name for name, column in card.columns.items() if column.kind in ("category", "text")]
    table = read_table(path, form, as_they_are)
    _check_card(path, card, table)
    target = target or card.target
    if target and target not in table.columns:
        raise DataError(f"{path.name} has no column {target!r}: choose the target among {_names(table)}")
    kinds, notes, first = _understand(table, card, form, target)
    return Described(path, card, table, target, form, kinds, notes, first)


def learnable(described: Described, task: Task | Literal[""] = "") -> Dataset:
    """Return a table with its task; raise DataError if it has no target, or one that cannot be learned."""
    path, name, form = described.path, described.target, described.form
    if not name:
        raise DataError(
            f"{path.name} has no target: give the parameter `target` or name it in the card, "
            f"one of {_names(described.table)}"
        )
    values, stated = described.table[name], task or described.stated_task
    if not described.card.columns.get(name, Column()).kind and stated != "classification":
        check_written(path, values, described.kinds[name], form)
    if not stated:
        check_kind(path, values, described.kinds[name], described.notes.get(name, ""))
    found = stated or task_of(values)
    check_target(path, values, found, form)
    return Dataset(**msgspec.structs.asdict(described), task=found, sha256=file_sha256(path))


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
            near = meant(name, table.columns, f"its columns are {_names(table)}")
            raise DataError(f"the card {path.stem}.toml describes {name!r}, which {path.name} has not; {near}")


def _names(table: pd.DataFrame) -> str:
    names = [str(name) for name in table.columns]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
