"""The form of a text file of rows that nobody prepared: its encoding, its separator, how its numbers are written."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec
import pandas as pd

from service.errors import DataError
from service.rows.values import MISSING_WORDS

HEAD = 1 << 20
"""How many bytes of a file are looked at for its form."""

SAMPLE = 1000
"""How many lines of them."""

SEPARATORS = {",": "comma-separated", ";": ";-separated", "\t": "tab-separated", "|": "|-separated"}
OTHER = {",": ".", ".": ","}
"""Where one of the two sets off thousands the other one is the decimal mark."""

MARKS = {"": "", ",": "commas", ".": "points", " ": "blanks", "\xa0": "blanks", "\u202f": "blanks", "'": "apostrophes"}
ENCODINGS = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252 (Latin-1)", "latin-1": "Latin-1"}
UNUSED = (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d")
"""Bytes that stand for nothing in Windows-1252."""

csv.field_size_limit(1 << 24)  # a text of 128 KiB, Python's own limit, is no mistake yet


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a file writes its table; a card gives what was found out wrongly, "" what is to be found out.

    `skip` is 1 where the first line is Excel's `sep=;`.
    Where nothing in a file shows which mark is the decimal one, `decimal` stays "" and a point is read as one.
    """

    separator: Literal["", ",", ";", "\t", "|"] = ""
    decimal: Literal["", ".", ","] = ""
    thousands: Literal["", ",", ".", " ", "\xa0", "\u202f", "'"] = ""
    encoding: str = ""
    skip: Literal[0, 1] = 0

    def told(self) -> str:
        """Return the form in words: `;-separated, decimal comma, UTF-8`."""
        words = [SEPARATORS[self.separator or ","], f"decimal {'comma' if self.decimal == ',' else 'point'}"]
        if self.thousands:
            words.append(f"thousands set off by {MARKS[self.thousands]}")
        return ", ".join([*words, ENCODINGS.get(self.encoding, self.encoding)])

    def options(self) -> dict[str, Any]:
        """Return what pandas has to know to read such a file."""
        # In parts, as pandas reads by default, "07" becomes 7 in one part and stays a text in another. And "None" or
        # "NA" is a class or a category like any other, unless it stands among numbers.
        return {
            "sep": self.separator,
            "decimal": self.decimal or ".",
            "encoding": self.encoding,
            "skiprows": self.skip,
            "index_col": False,
            "low_memory": False,
            "keep_default_na": False,
            "na_values": [""],
        }


def find_form(path: Path, given: Form) -> Form:
    """Return how a file writes its table, with what is `given` taken as it is; DataError if it is no text."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(0)
        encoding = given.encoding or find_encoding(iter(lambda: file.read(HEAD), b""), path.name)
    return form_of(head, msgspec.structs.replace(given, encoding=encoding), path.name)


def form_of(head: bytes, given: Form, name: str) -> Form:
    """Return how a file that begins with `head` writes its table; `name` is the file's, for an error."""
    encoding = given.encoding or find_encoding([head], name, whole=False)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except (LookupError, UnicodeError) as error:
        raise DataError(f"{name} cannot be read as {encoding[:40]!r}: correct `encoding` in its card") from error
    cut = len(head) >= HEAD
    first, _, rest = text.partition("\n")
    if first.startswith("#") and rest and not any(mark in first for mark in SEPARATORS):
        raise DataError(
            f"{name} begins with a comment, {first.strip()[:40]!r}: remove the line, the header comes first"
        )
    named = re.fullmatch(r"sep=([,;\t|])\r?", first)
    if named:
        text, given = rest, msgspec.structs.replace(given, separator=given.separator or named[1])
    separator: Any = given.separator or max(SEPARATORS, key=lambda mark: _fit(_rows(text, mark, cut)))
    columns = _columns(_rows(text, separator, cut))
    decimal: Any = given.decimal or OTHER.get(given.thousands) or _decimal(columns, separator)
    return Form(separator, decimal, given.thousands or _thousands(columns, decimal or "."), encoding, 1 if named else 0)


def find_encoding(blocks: Iterable[bytes], name: str, whole: bool = True) -> str:
    """Return the encoding of a text: by its byte order mark, UTF-8 where it is that, else Western European."""
    decoder, unused, first, plain = codecs.getincrementaldecoder("utf-8")(), False, True, True
    for block in blocks:
        if first and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if b"\0" in block:
            raise DataError(f"{name} is not a text: save the table as CSV")
        first, unused = False, unused or any(byte in block for byte in UNUSED)
        plain = plain and _decodes(decoder, block)
    if plain and (not whole or _decodes(decoder, b"", final=True)):
        return "utf-8-sig"
    return "latin-1" if unused else "cp1252"


def as_numbers(texts: pd.Series, form: Form) -> pd.Series:
    """Return texts `[n]` as numbers, NaN where one is none as the form writes them."""
    if form.decimal != "," and not form.thousands:
        # What has more than 64 bits is a number all the same, rounded.
        return pd.to_numeric(texts, errors="coerce").astype("float64")
    stripped = texts.astype("str").str.strip()
    written = stripped.where(stripped.str.fullmatch(_number(form.decimal or ".", form.thousands)))
    if form.thousands:
        written = written.str.replace(form.thousands, "", regex=False)
    return pd.to_numeric(written.str.replace(form.decimal or ".", ".", regex=False), errors="coerce").astype("float64")


def begin_with_zeros(texts: Iterable[str]) -> bool:
    """Whether texts are whole numbers of which some, as postcodes do, begin with a zero that a number would lose."""
    cells = [str(text).strip() for text in texts]
    return _all_match(r"\d+", cells) and any(re.match(r"0\d", cell, re.ASCII) for cell in cells)


def doubt(texts: Iterable[str], form: Form) -> str:
    """Return in words why numbers can be read in two ways as far as the form tells, "" if they cannot.

    A comma before three digits always; a point there beside whole numbers below 1000, because who writes three
    decimals writes them everywhere; blanks, with which telephone numbers are written as well.
    """
    cells = [str(text).strip() for text in texts]
    if "," not in (form.decimal, form.thousands) and _all_match(r"[+-]?\d+(,\d{3})?", cells):
        return _either(cells, ",", "the comma may be a decimal one or one of thousands")
    if not form.decimal and _all_match(r"[+-]?(0|[1-9]\d{0,2}(\.\d{3})?)", cells):
        mixed = not all("." in cell for cell in cells)
        return _either(cells, ".", "the point may be a decimal one or one of thousands") if mixed else ""
    if form.thousands != " " and _all_match(r"[+-]?\d{1,3}( \d{3})*", cells):
        return _either(cells, " ", "blanks may set off thousands or parts of a code")
    return ""


def are_codes(texts: Iterable[str]) -> bool:
    """Whether texts look like numbers but name something: most as `3E5`, or all of over 19 digits."""
    cells = [str(text).strip() for text in texts]
    exponents = sum("e" in cell.lower() for cell in cells) if _all_match(r"\d+([eE]\d+)?", cells) else 0
    return 0 < len(cells) <= 2 * exponents or _all_match(r"\d{20,}", cells)


def _all_match(pattern: str, cells: Sequence[str]) -> bool:
    matches = re.compile(pattern, re.ASCII).fullmatch
    return bool(cells) and all(map(matches, cells))


def _either(cells: Iterable[str], mark: str, why: str) -> str:
    such = next((cell[:40] for cell in cells if mark in cell), "")
    return such and f"in numbers such as {such!r} {why}"


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _rows(text: str, separator: str, cut: bool) -> list[list[str]]:
    """Return the first rows of a text, the last one left out where the text was cut off."""
    try:
        rows = [row for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), SAMPLE) if row]
    except csv.Error:
        return []
    return rows[:-1] if cut and 1 < len(rows) < SAMPLE else rows


def _fit(rows: list[list[str]]) -> tuple[bool, float, float]:
    """Return how well rows fit together: more than one value each, as many as the header names, numbers."""
    width, below = len(rows[0]) if rows else 0, rows[1:]
    even = sum(len(row) == width for row in below) / max(len(below), 1)
    cells = [cell for row in below for cell in row]
    numbers = sum(bool(re.fullmatch(r"\s*[+-]?[\d.,]*\s*", cell)) for cell in cells) / max(len(cells), 1)
    return width > 1, even, numbers


def _columns(rows: list[list[str]]) -> list[list[str]]:
    """Return what stands in each column below the header, without what is missing."""
    even = [row for row in rows[1:] if len(row) == len(rows[0])]
    columns = [[cell.strip() for cell in column] for column in zip(*even, strict=True)]
    return [[cell for cell in column if cell and cell not in MISSING_WORDS] for column in columns]


def _number(decimal: str, thousands: str = "") -> str:
    """Return the pattern of a number that is written so."""
    whole = rf"(?:\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|\d+)" if thousands else r"\d+"
    mark = re.escape(decimal)
    return rf"[+-]?(?:{whole}(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d+)?"


def _all_are(cells: Sequence[str], decimal: str, thousands: str = "") -> bool:
    pattern = re.compile(_number(decimal, thousands))
    return bool(cells) and all(map(pattern.fullmatch, cells))


def _decimal(columns: Sequence[Sequence[str]], separator: str) -> str:
    """Return the decimal mark that some numbers show, "" if none does; two groups of three digits show the other."""
    if _has_decimals(columns, "."):
        return "."
    if separator != "," and _has_decimals(columns, ","):
        return ","
    return next((OTHER[mark] for mark in OTHER if _has_groups(columns, mark)), "")


def _has_decimals(columns: Sequence[Sequence[str]], mark: str) -> bool:
    """Whether a column of numbers has a mark that can be no thousands mark."""
    groups = re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:\{mark}\d{{3}})+")
    return any(
        any(mark in cell and not groups.fullmatch(cell) for cell in cells)
        for cells in columns
        if any(_all_are(cells, mark, thousands) for thousands in MARKS if thousands != mark)
    )


def _has_groups(columns: Sequence[Sequence[str]], mark: str) -> bool:
    """Whether a column of numbers has a mark twice in one of them."""
    alike = (cells for cells in columns if _all_are(cells, OTHER[mark], mark))
    return any(cell.count(mark) > 1 for cells in alike for cell in cells)


def _thousands(columns: Sequence[Sequence[str]], decimal: str) -> Any:
    """Return the mark before each three digits of large numbers, where it can be nothing else."""
    for mark in (",", ".", " ", "\xa0", "\u202f", "'"):
        alike = [cells for cells in columns if mark != decimal and _all_are(cells, decimal, mark)]
        # A comma before three digits may also be a decimal one where none is known; a second group cannot. Blanks
        # stand in telephone numbers too, but not beside decimals.
        doubtful = {
            ",": re.compile(r"[^,]*(,\d{3})?"),
            " ": re.compile(rf"[^ ]*|[^{re.escape(decimal)}]*"),
        }.get(mark, re.compile(rf"[^{re.escape(mark)}]*"))
        if any(not all(map(doubtful.fullmatch, cells)) for cells in alike):
            return mark
    return ""
