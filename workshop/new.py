"""Taking a table into the house: a copy beside the others, and a card with what was inferred, for people to correct."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from modeling.tables.columns import left_out
from modeling.tables.dataset import Described, describe, find, learnable
from modeling.tables.kinds import unclear
from service import bundle
from service.errors import DataError
from service.files import replace_file, replacing

HEAD = """\
# What is known of {file}. Everything here may be corrected, left blank or taken out.
# What is blank is not known: no unit is shown in a figure, and no meaning in /models.
"""
COLUMNS = """\
# kind: number, category, boolean or date; identifier and text are left out unless they are named in `features`.
# unit: such as "m²"; "1" for a plain ratio, "code" for a number that only names a category.
"""


class Taken(NamedTuple):
    """What was taken in: its card, the table, and its task, or in a sentence why its target cannot be learned."""

    card: Path
    table: Described
    task: str
    fault: str = ""

    @property
    def told(self) -> str:
        """What was taken in, as sentences."""
        rows, columns = self.table.table.shape
        found = "" if self.fault else f"; a {self.task} of {self.table.target!r}"
        fault = f"Its target cannot be learned yet: {self.fault}\n" if self.fault else ""
        read = f"{rows} rows, {columns} columns, read as {self.table.form.told()}{found}"
        return f"{read}\n{fault}What was inferred stands in {self.card}"


def take_in(name: str, source: str, folder: Path, target: str = "", overwrite: bool = False) -> Taken:
    """Write `<name>.toml` and then `<name>.csv` into the folder, whether the target can be learned or not.

    DataError if the table cannot be read, the name cannot be a model's, or one of the files is there already and is
    not to be overwritten.
    """
    if not bundle.MODEL_NAME.fullmatch(name):
        raise DataError(f"{name[:80]!r} cannot name a table: use small letters, digits, - and _, such as houses")
    table, card = folder / f"{name}.csv", folder / f"{name}.toml"
    path = find(source)
    for there in (card, table):
        if there.exists() and not overwrite and not there.samefile(path):
            raise DataError(f"{there.name} is there already: choose another name, or say --overwrite")
    described = describe(path, target)
    try:
        taken = Taken(card, described, learnable(described).task)
    except DataError as error:
        taken = Taken(card, described, described.stated_task, str(error))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(card, card_text(described, taken.task, table.name).encode())
        if not table.exists() or not table.samefile(path):
            with replacing(table) as written:
                shutil.copyfile(path, written)
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror}): set CELLAR_DATA") from error
    return taken


def card_text(dataset: Described, task: str, file: str) -> str:
    """Return a card, as TOML, that holds what is known and what was inferred of a table."""
    card, form = dataset.card, dataset.form
    known = {
        "title": card.title,
        "question": card.question,
        "target": dataset.target,
        "task": task,
        "intended_use": card.intended_use,
        "limits": card.limits,
        "contact": card.contact,
        "source": card.source,
        "licence": card.licence,
        "citation": card.citation,
    }
    written = {
        "separator": form.separator,
        "decimal": form.decimal,
        "thousands": form.thousands,
        "encoding": form.encoding,
    }
    lines = [HEAD.format(file=file), *_pairs(known), "", "[form]", *_pairs(written), "", "[columns]", COLUMNS.rstrip()]
    left = left_out(dataset)
    return "\n".join([*lines, *(_column(dataset, name, left.get(name, "")) for name in dataset.table.columns)]) + "\n"


def _column(dataset: Described, name: str, why_left: str) -> str:
    """Return the line of one column; where something is wrong with it, its kind is not pinned down."""
    column = dataset.card.columns.get(name)
    said = {"unit": column.unit if column else "", "meaning": column.meaning if column else ""}
    kind = dataset.kinds[name]
    doubtful = kind == "text" and unclear(dataset.table[name], dataset.form)
    if name != dataset.target and not doubtful and (not why_left or kind in ("identifier", "text")):
        said = {"kind": kind, **said}
    elif column and column.kind:
        said = {"kind": column.kind, **said}
    if dataset.first.get(name):
        said["first"] = dataset.first[name]
    present = dataset.table[name].dropna()
    remarks = ["the target"] if name == dataset.target else []
    remarks += [f"such as {_toml(str(present.iloc[0]).removesuffix(' 00:00:00')[:40])}"] if len(present) else []
    note = f"left out: it {why_left}" if why_left else dataset.notes.get(name, "")
    remarks += [note] if note else []
    pairs = ", ".join(_pairs(said))
    return f"{_toml(name)} = {{ {pairs} }}  # {' '.join('; '.join(remarks).split())}"


def _pairs(values: dict[str, str]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(text: str) -> str:
    """Return a text as TOML quotes it: as JSON does, and the one control character that JSON leaves."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
