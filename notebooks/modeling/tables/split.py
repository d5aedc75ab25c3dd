"""Which rows are held out for the final test: decided by each row's content, so that it never changes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from modeling.choices import check_choices
from modeling.tables.dataset import Dataset
from modeling.tables.kinds import is_date, is_number
from modeling.tables.written_dates import as_iso, looks_like_date
from service.contents import Split
from service.errors import DataError
from service.rows import dates
from service.rows.values import MISSING_WORDS, TRUTH

Hashes = npt.NDArray[np.uint64]

GROUPED = re.compile(r"[+-]?\d{1,3}(?:([.,' \xa0\u202f])\d{3})(?:\1\d{3})*(?:(?!\1)[.,]\d+)?")
"""A number with its thousands set off; the mark is the first group."""

NOTHING = pd.util.hash_array(np.array([""], dtype=object))[0]
"""What a missing value is hashed as."""


def row_hashes(table: pd.DataFrame, columns: Sequence[str], seed: int) -> Hashes:
    """Return one number in [0, 2**64) per row, the same for equal content in `columns` and the same seed.

    A cell that reads as a number, a truth value or a date is hashed as that and any other as its text, cell by cell,
    so that an appended row which changes the kind that a column is read as changes no other row's hash.
    """
    content = np.full(len(table), seed, dtype=np.uint64)
    for name in columns:
        content = _mix(content ^ _cell_hashes(table[name]))
    return content


def held_out(table: pd.DataFrame, target: str, test_size: float, seed: int, stratify: bool) -> pd.Series:
    """Return True for each row of the test set: about `test_size` of the rows, those whose hash is lowest.

    The hash covers every column but the target: equal rows, and rows that differ in their label only, stay
    together. With `stratify`, a class that would be missing from the test set has its nearest row moved there.
    """
    if not 0 <= seed < 2**32:
        raise DataError(f"the parameter `seed` must lie between 0 and {2**32 - 1}, got {seed}")
    check_choices(test_size=test_size)
    columns = [name for name in table.columns if name != target]
    hashes = pd.Series(row_hashes(table, columns, seed), index=table.index)
    out = hashes < int(test_size * 2**64)
    strata = table[target] if stratify else pd.Series("all", index=table.index)
    for _, group in hashes.groupby(strata):
        if group.nunique() > 1 and not out[group.index].any():
            out |= hashes == group.min()
    return out


def columns_to_hash(dataset: Dataset) -> list[str]:
    """Return the columns whose content decides which rows are held out: all but the target and identifiers.

    The same row under another identifier is the same row.
    """
    names = [str(name) for name in dataset.table if name != dataset.target]
    return [name for name in names if dataset.kinds[name] != "identifier"] or names


def untouched(table: pd.DataFrame, split: Split) -> npt.NDArray[np.bool_]:
    """Return True for each row `[n]` that a model split so was not trained on, whatever table it was trained on."""
    return row_hashes(table, split.columns, split.seed) < np.uint64(int(split.test_size * 2**64))


def _cell_hashes(values: pd.Series) -> Hashes:
    if is_number(values):
        return _number_hashes(values.to_numpy(dtype=np.float64, na_value=np.nan))
    if is_date(values):
        return _date_hashes(values.to_numpy(dtype="datetime64[us]"))
    codes, different = pd.factorize(values.astype(object))
    hashes = _text_hashes([_plain(str(value).strip()) for value in different])
    return np.append(hashes, NOTHING)[codes]


def _number_hashes(numbers: npt.NDArray[np.float64]) -> Hashes:
    hashes = pd.util.hash_array(numbers + 0.0)
    return np.where(np.isnan(numbers), NOTHING, hashes)


def _date_hashes(moments: npt.NDArray[np.datetime64]) -> Hashes:
    """Return hashes `[n]` that are the same with day and month exchanged: which is which, other rows decide."""
    to_month, to_day = moments.astype("datetime64[M]"), moments.astype("datetime64[D]")
    year = moments.astype("datetime64[Y]").astype(np.int64)
    month, day = to_month.astype(np.int64) % 12, (to_day - to_month).astype(np.int64)
    low, high = np.minimum(month, day), np.maximum(month, day)
    number = ((year * 31 + low) * 31 + high) * dates.DAY + (moments - to_day).astype(np.int64)
    return np.where(np.isnat(moments), NOTHING, pd.util.hash_array(number))


def _text_hashes(texts: Sequence[str]) -> Hashes:
    made = pd.Series(texts, dtype=object)
    numbers = pd.to_numeric(made, errors="coerce").to_numpy(dtype=np.float64)
    moments = np.array([_moment(text) for text in texts], dtype="datetime64[us]")
    by_text = np.where(np.isnat(moments), pd.util.hash_array(made.to_numpy()), _date_hashes(moments))
    return np.where(np.isnan(numbers), by_text, _number_hashes(numbers))


def _plain(text: str) -> str:
    """Return a cell as it is understood among its like: missing, a truth value, or a number with a point."""
    if text in MISSING_WORDS:
        return ""
    if text.lower() in TRUTH:
        return text.lower()
    grouped = GROUPED.fullmatch(text)
    # One group alone is a decimal part as well, and so it is taken.
    if grouped and (grouped[1] not in ".," or len(re.findall(r"[.,]", text)) > 1):
        text = text.replace(grouped[1], "")
    return text.replace(",", ".") if re.fullmatch(r"[+-]?\d+,\d+", text) else text


def _moment(text: str) -> np.datetime64 | None:
    if not looks_like_date(text):
        return None
    for order in ("day", "month"):
        try:
            moment: np.datetime64 = dates.read([as_iso(text, order)])[0]
            return moment
        except ValueError:
            continue
    return None


def _mix(values: Hashes) -> Hashes:
    """Return well-mixed 64-bit numbers (the finaliser of SplitMix64; Steele, Lea and Flood 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
