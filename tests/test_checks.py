from __future__ import annotations

import pandas as pd
import pytest

from modeling import checks
from modeling.tables import dataset as tables
from service.errors import DataError

ROWS = "".join(f"{n},{n * n % 7},{n % 2}\n" for n in range(12))


def test_a_parameter_that_papermill_injected_must_be_known():
    """Papermill only warns of a parameter that the notebook has not; the notebook itself ends with the nearest name."""
    cell = 'data = "x"  # the table\nfeatures: list = []  # the columns'
    checks.check_parameters(["", cell, "import numpy"])
    checks.check_parameters(["", cell, '# Parameters\ndata = "y"\nfeatures = ["a"]\n', "import numpy"])
    with pytest.raises(DataError, match="the notebook has no parameter 'feature'; did you mean 'features'"):
        checks.check_parameters(["", cell, '# Parameters\nfeature = ["a"]\n'])
    with pytest.raises(DataError, match="no parameter 'zzz'; it has data, features"):
        checks.check_parameters(["", cell, "# Parameters\nzzz = 1\n"])


def test_there_are_no_more_folds_than_a_class_has_rows():
    """A rare class lowers the number of folds; one row of it is too few to learn from and to score."""
    wine = tables.load("../data/wine.csv")
    held_out = pd.Series([True] + [False] * 13 + [True])
    assert checks.check_split(wine, pd.Series([0] * 9 + [1] * 6), held_out, 5) == 5
    assert checks.check_split(wine, pd.Series([0] * 11 + [1] * 4), held_out, 5) == 3
    with pytest.raises(DataError, match=r"only 1 training rows of class 1 of 'cultivar': add rows of it, remove it"):
        checks.check_split(wine, pd.Series([0] * 13 + [1] * 2), held_out, 5)


def test_a_class_without_training_rows_is_refused():
    """A class whose rows were all held out is named, so that no model is made that never knew it."""
    wine = tables.load("../data/wine.csv")
    held_out = pd.Series([False] * 20 + [True] * 3)
    with pytest.raises(DataError, match=r"only 0 training rows of class 1 of 'cultivar'"):
        checks.check_split(wine, pd.Series([0] * 20 + [1] * 3), held_out, 5)


@pytest.mark.parametrize(
    ("held_out", "folds", "told"),
    [
        ([False] * 20, 5, r"wine\.csv: no row is held out of 20: add rows or raise `test_size`"),
        ([True] * 15 + [False] * 5, 5, r"wine\.csv: only 5 rows are left .* lower `test_size` or `folds`"),
        ([True] * 5 + [False] * 15, 1, r"the parameter `folds` must be a number of at least 2, got 1"),
    ],
)
def test_a_split_that_cannot_be_used_is_refused(held_out, folds, told):
    """A split without test rows, with too few training rows or too few folds ends in a sentence with the cure."""
    wine = tables.load("../data/wine.csv")
    with pytest.raises(DataError, match=told):
        checks.check_split(wine, pd.Series([0, 1] * 10), pd.Series(held_out), folds)


def test_dropping_every_row_is_refused():
    """Where each row lacks something and rows are dropped, the cure is to impute."""
    wine = tables.load("../data/wine.csv")
    with pytest.raises(DataError, match=r"every row has a missing value; set the parameter `missing` to impute"):
        checks.check_rows_left(wine, wine.table.iloc[:0])
    with pytest.raises(DataError, match="has only one row of class 2"):
        checks.check_rows_left(wine, wine.table.iloc[[0, 1, 80, 81, 177]])


def test_candidates_and_columns_are_checked():
    """A candidate that is not there and a lost column are named with the cure."""
    wine = tables.load("../data/wine.csv")
    with pytest.raises(DataError, match=r"wine has no candidate: run 02_train first"):
        checks.check_candidate("wine", 0, [])
    with pytest.raises(DataError, match=r"wine version 1 is no candidate \(candidates: 2\): .* run 02_train"):
        checks.check_candidate("wine", 1, [2])
    checks.check_candidate("wine", 2, [2])
    with pytest.raises(DataError, match=r"wine\.csv has no column 'sugar', .*: add it"):
        checks.check_columns(wine, ["alcohol", "sugar"])
