"""Which rows are held out for the final test: decided by each row's content, so that it never changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from modeling.dataset import is_number
from service.bundle import Split
from service.errors import DataError

Hashes = npt.NDArray[np.uint64]


def row_hashes(table: pd.DataFrame, columns: Sequence[str], seed: int) -> Hashes:
    """Return one number in [0, 2**64) per row, the same for equal content in `columns` and the same seed.

    A cell that reads as a number is hashed as that number and any other as its text, cell by cell, so that an
    appended row which changes the type that a column is read with changes no other row's hash.
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
    if not 0 < test_size < 1:
        raise DataError(f"the parameter `test_size` must lie between 0 and 1, got {test_size}")
    columns = [name for name in table.columns if name != target]
    hashes = pd.Series(row_hashes(table, columns, seed), index=table.index)
    out = hashes < int(test_size * 2**64)
    strata = table[target] if stratify else pd.Series("all", index=table.index)
    for _, group in hashes.groupby(strata):
        if group.nunique() > 1 and not out[group.index].any():
            out |= hashes == group.min()
    return out


def untouched(table: pd.DataFrame, split: Split) -> npt.NDArray[np.bool_]:
    """Return True for each row `[n]` that a model split so was not trained on, whatever table it was trained on."""
    return row_hashes(table, split.columns, split.seed) < np.uint64(int(split.test_size * 2**64))


def _cell_hashes(values: pd.Series) -> Hashes:
    if is_number(values):
        numbers, texts = values.astype("float64"), pd.Series("", index=values.index)
    else:
        texts = values.map(lambda value: "" if value is None or value != value else str(value).strip())
        numbers = pd.to_numeric(texts, errors="coerce").astype("float64")
    by_number = pd.util.hash_array((numbers + 0.0).to_numpy())
    by_text = pd.util.hash_array(texts.to_numpy(dtype=object))
    return np.where(numbers.isna(), by_text, by_number).astype(np.uint64)


def _mix(values: Hashes) -> Hashes:
    """Return well-mixed 64-bit numbers (the finaliser of SplitMix64; Steele, Lea and Flood 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
