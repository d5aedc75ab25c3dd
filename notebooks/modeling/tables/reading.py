"""Reading a file of rows as a table, once its form is known."""

from __future__ import annotations

import csv
import mmap
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from modeling.tables.form import Form, are_codes, begin_with_zeros, doubt
from service.errors import DataError

LEADING_ZERO = re.compile(rb"[\n\r,;\t|\"] *0[0-9]+ *(?:[\",;\t|\r\n]|\Z)")
"""What a cell looks like, in the encodings below, that would lose its zero as a number."""

ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")


def read_table(path: Path, form: Form, texts: Sequence[str] = ()) -> pd.DataFrame:
    """Return a file's rows; DataError if it is empty, ragged, or its names are not unique; `texts` stay as they are."""
    try:
        header = _header(path, form)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table: pd.DataFrame = pd.read_csv(path, dtype=dict.fromkeys(texts, "str"), **form.options())
        # A line that is too short lacks its last value: only where one is missing lines have to be counted.
        if table.empty or table.iloc[:, -1].isna().any():
            check_lines(path, form)
        check_quotes(path, form, len(table))
        if table.shape[1] != len(header):
            raise pd.errors.ParserError("its header can be read in two ways")
        _keep_texts(path, form, table)
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, csv.Error) as error:
        with suppress(csv.Error, UnicodeError):
            check_lines(path, form)
        raise DataError(f"{path.name} is not a table: {str(error).strip()}; correct it") from error
    except UnicodeError as error:
        raise DataError(f"{path.name} is not {form.encoding} text: correct `encoding` in its card") from error
    if table.empty:
        raise DataError(f"{path.name} has a header and no rows: add rows to learn from")
    table.columns = pd.Index(header)
    return table


def _is_whole(values: pd.Series) -> bool:
    return values.dtype.kind in "iu" or (values.dtype.kind == "f" and bool((values.dropna() % 1 == 0).all()))


def _may_lose_zeros(path: Path, form: Form) -> bool:
    if form.encoding not in ENCODINGS:
        return True
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return bool(LEADING_ZERO.search(content))


def named(header: Sequence[str]) -> list[str]:
    """Return the names of columns, `column 3` for the third if it has none."""
    return [name or f"column {at}" for at, name in enumerate(header, 1)]


def check_quotes(path: Path, form: Form, rows: int) -> None:
    """Raise DataError if a stray quote made one of many lines: where a file of `rows` has more lines than these."""
    with path.open("rb") as file:
        if sum(line.count(b"\n") for line in file) <= rows + 1 + form.skip:
            return
    with _opened(path, form) as file:
        lines = csv.reader(file, delimiter=form.separator, strict=True)
        before = width = 0
        try:
            for line in lines:
                width = width or len(line)
                if any(_swallows(cell, form.separator, width) for cell in line):
                    raise csv.Error(f"a quoted value holds whole lines with {width} values each")
                before = lines.line_num
        except csv.Error as error:
            fault = f"{path.name}: at line {before + 1 + form.skip} a quote is not closed where it should be"
            raise DataError(f"{fault} ({error}): correct it") from error


def _swallows(cell: str, separator: str, width: int) -> bool:
    """Whether a quoted value holds lines that look like rows: as many values each, some a number."""
    inner = [line.split(separator) for line in cell.splitlines()[1:-1]]
    whole = bool(inner) and width > 1 and all(len(line) == width for line in inner)
    return whole and all(any(NUMBER.fullmatch(value) for value in line) for line in inner)


NUMBER = re.compile(r"\s*[+-]?\d[\d.,]*\s*")


def check_lines(path: Path, form: Form) -> None:
    """Raise DataError unless every line has as many values as the header has names."""
    with _opened(path, form) as file:
        lines = csv.reader(file, delimiter=form.separator)
        width = 0
        for line in filter(None, lines):
            width = width or len(line)
            if len(line) != width:
                raise DataError(
                    f"{path.name}: line {lines.line_num + form.skip} has {len(line)} values, "
                    f"the header names {width} columns: correct the line"
                )


@contextmanager
def _opened(path: Path, form: Form) -> Iterator[TextIO]:
    """Open a file where its table begins."""
    with path.open(encoding=form.encoding, newline="") as file:
        for _ in range(form.skip):
            next(file)
        yield file


def _header(path: Path, form: Form) -> list[str]:
    with _opened(path, form) as file:
        rows = filter(None, csv.reader(file, delimiter=form.separator))
        header, first = named(next(rows, [])), next(rows, [])
    if not header:
        raise DataError(f"{path.name} is empty: give a CSV file with a header and rows")
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise DataError(f"{path.name} has more than one column {twice[0]!r}: rename one of them")
    # Where every line is too long pandas cuts them; where one is, it says so.
    if first and len(first) != len(header):
        check_lines(path, form)
    return header


def _keep_texts(path: Path, form: Form, table: pd.DataFrame) -> None:
    """Put the texts of the file where pandas made numbers of what may be none, of only some cells, or lost zeros."""
    columns = [table.iloc[:, place] for place in range(table.shape[1])]
    whole = {place for place, values in enumerate(columns) if _is_whole(values)}
    if whole and not _may_lose_zeros(path, form):
        whole = set()
    at = [place for place, values in enumerate(columns) if place in whole or _is_rounded(values, form)]
    if not at:
        return
    texts = pd.read_csv(path, dtype="str", usecols=at, **form.options())
    for place, name in zip(at, texts, strict=True):
        found = texts[name].dropna().unique()
        mixed = pd.api.types.is_object_dtype(columns[place])
        if mixed or doubt(found, form) or are_codes(found) or begin_with_zeros(found):
            table.isetitem(place, texts[name])


def _is_rounded(values: pd.Series, form: Form) -> bool:
    """Whether numbers may have been written otherwise than pandas read them: with an exponent, with thousands."""
    if values.dtype == object:
        return any(isinstance(value, int) and not isinstance(value, bool) for value in values)
    if values.dtype != "float64":
        return False
    numbers = np.abs(values.to_numpy()[np.isfinite(values)])
    if (numbers == numbers.round()).all():
        return bool(len(numbers))
    # Three decimals, times a thousand, are a whole number but for its last bits.
    near = np.abs(numbers * 1000 - (numbers * 1000).round()) < 1e-6
    return not form.decimal and bool(near.all() and (numbers < 1000).all())
