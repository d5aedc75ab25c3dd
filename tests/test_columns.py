from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modeling import columns
from modeling import dataset as tables
from service.errors import DataError

ROWS = "".join(f"{n},{n * n % 7},{n % 2}\n" for n in range(12))


def test_model_input_is_rounded_to_32_bits(write):
    """Training sees the numbers that the service will see, in columns of 64 bits."""
    given = pd.DataFrame({"a": [0.1, 16777217.0, None], "n": [1, 2, 3]})
    X = columns.as_model_input(given, ["a", "n"])
    assert X["a"].tolist()[:2] == [float(np.float32(0.1)), 16777216.0] and np.isnan(X["a"][2])
    assert set(X.dtypes) == {np.dtype("float64")}


def test_model_input_keeps_texts_and_truth_values():
    """A missing text is "", and truth values are the texts that JSON has for them."""
    given = pd.DataFrame({"t": ["u", None, " v "], "b": pd.Series([True, False, None], dtype=object), "c": [True] * 3})
    X = columns.as_model_input(given, ["t", "b", "c"])
    assert X.to_numpy().tolist() == [["u", "true", "true"], ["", "false", "true"], [" v ", "", "true"]]


def test_labels_are_whole_numbers_where_they_are():
    """1.0 is the class 1, text stays text, truth values become texts, and halves are no classes of numbers."""
    for given, labels in (
        ([1.0, 2.0], [1, 2]),
        (["u", "v"], ["u", "v"]),
        ([True, False], ["true", "false"]),
        ([0.5, 1.0], ["0.5", "1.0"]),
        ([2**53, 2**53 + 2], [str(2**53), str(2**53 + 2)]),
    ):
        values = pd.Series(given)
        assert columns.as_labels(values, columns.has_whole_labels(values)).tolist() == labels


def test_features_are_described(write):
    """The service learns range, categories, unit, meaning, example and whether a value may be missing."""
    rows = "".join(f"{n / 10},{'vu '[n % 3].strip()},{n % 2}\n" for n in range(1, 12))
    path = write("a,t,y\n" + rows, 'target = "y"\n[columns.a]\nunit = "kg"\nmeaning = "weight"\n')
    dataset = tables.load(path)
    a, t = columns.describe_features(dataset, columns.as_model_input(dataset.table, ["a", "t"]), nullable=["t"])
    assert (a.kind, a.unit, a.meaning, a.nullable, a.min, a.max, a.example) == (
        "number", "kg", "weight", False, 0.1, 1.1, 0.1,
    )  # fmt: skip
    assert (t.kind, t.nullable, t.categories, t.example) == ("category", True, ["u", "v"], "u")
    assert columns.describe_target(dataset, [0, 1]).classes == [0, 1]


def test_a_feature_without_training_values_is_refused(write):
    """A column whose few values were all held out is named with the cure."""
    dataset = tables.load(write("a,b,y\n" + ROWS), "y")
    with pytest.raises(DataError, match=r"t\.csv: the column 'a' has no values in the training rows: leave it out"):
        columns.describe_features(dataset, pd.DataFrame({"a": [np.nan, np.nan]}), nullable=["a"])


def test_a_class_that_the_model_never_saw_is_told():
    """Rows of a new class are refused, in whatever type the new table holds its labels."""
    wine = tables.load("../data/wine.csv")
    assert columns.as_known_labels(wine, pd.Series([1.0, 2.0]), [0, 1, 2]).tolist() == [1, 2]
    assert columns.as_known_labels(wine, pd.Series([1.0, 2.5]), ["1.0", "2.5"]).tolist() == ["1.0", "2.5"]
    for values in ([0, 7], ["0", "x"], [0.5]):
        with pytest.raises(DataError, match=r"wine\.csv: the target 'cultivar' has the class .*: train it again"):
            columns.as_known_labels(wine, pd.Series(values), [0, 1, 2])
