from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modeling.tables import columns
from modeling.tables import dataset as tables
from service.errors import DataError

ROWS = "".join(f"{n},{n * n % 7},{n % 2}\n" for n in range(12))


def test_model_input_is_rounded_to_32_bits(write):
    """Training sees the numbers that the service will see, in columns of 64 bits."""
    given = pd.DataFrame({"a": [0.1, 16777217.0, None], "n": [1, 2, 3]})
    X = columns.as_model_input(given, ["a", "n"])
    assert X["a"].tolist()[:2] == [float(np.float32(0.1)), 16777216.0] and np.isnan(X["a"][2])
    assert set(X.dtypes) == {np.dtype("float64")}


def test_model_input_has_numeric_columns_first(write):
    """Numbers, truth values as 0 and 1 and dates as days stand before the texts, in which "" is missing."""
    given = pd.DataFrame({"t": ["u", None, " v "], "b": pd.Series([True, False, None], dtype="boolean")})
    given["d"] = np.array(["1970-01-02", "1969-12-31T12:00", "NaT"], dtype="datetime64[us]")
    given["n"] = [1, 2, 3]
    X = columns.as_model_input(given, ["t", "b", "d", "n"])
    assert list(X) == ["b", "d", "n", "t"]
    assert X["t"].tolist() == ["u", "", " v "] and X["t"].dtype == object
    assert np.array_equal(X[["b", "d", "n"]], [[1, 1, 1], [0, -0.5, 2], [np.nan, np.nan, 3]], equal_nan=True)
    assert set(X[["b", "d", "n"]].dtypes) == {np.dtype("float64")}


KINDS = "".join(
    f"{n / 8},{'true' if n % 2 else 'FALSE'},2024-01-{1 + n % 28:02},{'uv'[n % 2]},{n % 3}\n" for n in range(30)
)


def test_every_kind_is_described_as_clients_send_it(write):
    """Truth values have no range, dates one of dates; the examples are what JSON has for them."""
    dataset = tables.load(write("n,b,d,t,y\n" + KINDS), "y")
    X = columns.as_model_input(dataset.table, columns.choose_features(dataset, []))
    n, b, d, t = columns.describe_features(dataset, X, nullable=[])
    assert [f.kind for f in (n, b, d, t)] == ["number", "boolean", "date", "category"]
    assert (b.min, b.max, b.example, b.categories) == (None, None, False, [])
    assert (d.min, d.max, d.example) == ("2024-01-01", "2024-01-28", "2024-01-01")


def test_what_tells_nothing_is_left_out_and_told(write):
    """Constant and empty columns, identifiers, texts and numbers with mistakes in them do not stop a run."""
    rows = "".join(
        f"{n},{n * 7 % 5},x,,{f'customer-{n}'},{'three' if n == 4 else n * 1.5},{'inf' if n == 3 else n / 3},{n % 2}\n"
        for n in range(40)
    )
    dataset = tables.load(write("row,a,same,none,code,stray,huge,y\n" + rows), "y")
    assert columns.choose_features(dataset) == ["a"]
    left = columns.left_out(dataset)
    assert set(left) == {"row", "same", "none", "code", "stray", "huge"}
    assert left["same"] == "is constant, always 'x'" and left["none"] == "has no values"
    assert left["row"].startswith("is an identifier (whole numbers, all 40 different")
    assert left["code"].startswith("is an identifier (40 different values in 40 rows")
    assert left["stray"] == "is a column of numbers, but row 4 is 'three'"
    told = columns.told_left_out(left)
    assert "- `row` is left out: it is an identifier" in told and "Name a column in `features`" in told


def test_what_is_left_out_can_be_named(write):
    """An identifier that is named in `features` is learned from; a column that tells nothing is refused by name."""
    dataset = tables.load(write("row,a,same,y\n" + "".join(f"{n},{n * 7 % 5},1,{n % 2}\n" for n in range(40))), "y")
    assert columns.choose_features(dataset, ["row", "a"]) == ["row", "a"]
    with pytest.raises(DataError, match=r"t\.csv: the column 'same' is constant, always 1: correct it, or take it out"):
        columns.choose_features(dataset, ["same"])


def test_long_lists_of_what_is_left_out_are_cut():
    """A table of hundreds of useless columns is told in twenty lines."""
    told = columns.told_left_out({f"c{n}": "is constant" for n in range(300)})
    assert len(told.splitlines()) == 23 and "… and 280 more." in told


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
