from __future__ import annotations

import os

import numpy as np
import psutil

from bench import million


def test_the_table_has_what_a_wide_table_has():
    """Twenty columns of every kind, some values missing, the same from the same seed."""
    table = million.make_table(500)
    assert table.shape == (500, 20)
    kinds = {kind for kind in "fbOM" for values in table.dtypes if values.kind == kind}
    assert {"f", "b", "M"} <= kinds and table["category 3"].nunique() > 20
    assert 0 < table.isna().sum().sum() < 500
    assert table.equals(million.make_table(500))


def test_the_price_depends_on_the_columns():
    """There is something to learn: the columns that made it explain most of it."""
    table = million.make_table(2000)
    explained = np.corrcoef(table["number 0"], table["price"])[0, 1] ** 2
    assert explained > 0.3


def test_memory_of_a_process_that_ended_is_none():
    """What ends while it is looked at counts nothing, what lives counts its pages."""
    assert million._held(psutil.Process(os.getpid())) > 10_000_000
    child = psutil.Popen(["true"])
    child.wait()
    assert million._held(child) == 0
