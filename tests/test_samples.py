"""The sample data sets and their cards."""

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_wine

from workshop import samples

DATA = Path(__file__).parents[1] / "data"
NAMES = ["wine", "diabetes"]


def card(name: str) -> dict:
    """Read a data set's card."""
    return tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))


def table(name: str) -> pd.DataFrame:
    """Read a data set's rows."""
    return pd.read_csv(DATA / f"{name}.csv")


def test_write_gives_the_files_in_data(tmp_path):
    """What is written equals what lies in data/, byte for byte, and nothing else is left behind."""
    written = samples.write(tmp_path)
    assert [path.name for path in written] == ["wine.csv", "diabetes.csv"]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    for path in written:
        assert path.read_bytes() == (DATA / path.name).read_bytes()


def test_write_again_changes_nothing(tmp_path):
    """Writing over existing files gives the same bytes."""
    first = [path.read_bytes() for path in samples.write(tmp_path)]
    assert [path.read_bytes() for path in samples.write(tmp_path)] == first


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    """A write that fails leaves the file as it was and no half-written one beside it."""
    (tmp_path / "wine.csv").write_text("old")

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        samples.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["wine.csv"]
    assert (tmp_path / "wine.csv").read_text() == "old"


@pytest.mark.parametrize(("name", "shape"), [("wine", (178, 14)), ("diabetes", (442, 11))])
def test_shape(name, shape):
    """Each data set has its known number of rows and columns."""
    assert table(name).shape == shape


@pytest.mark.parametrize(
    ("name", "load"),
    [("wine", load_wine), ("diabetes", lambda **kw: load_diabetes(scaled=False, **kw))],
)
def test_values_are_those_of_scikit_learn(name, load):
    """Read with pandas, every value and feature name is exactly scikit-learn's."""
    expected, rows = load(as_frame=True).frame, table(name)
    assert list(rows.columns[:-1]) == list(expected.columns[:-1])
    np.testing.assert_array_equal(rows.to_numpy(float), expected.to_numpy(float))


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_short(name):
    """Whole numbers carry no decimal point, no number ends in a needless zero, lines end in \\n."""
    raw = (DATA / f"{name}.csv").read_bytes()
    assert b"\r" not in raw and raw.endswith(b"\n")
    for number in raw.decode().replace("\n", ",").split(","):
        assert "." not in number or not number.endswith(("0", ".")), number


@pytest.mark.parametrize("name", NAMES)
def test_card_describes_every_column(name):
    """A card has a unit and a meaning for each column, in the CSV's order, and names no other."""
    columns = card(name)["columns"]
    assert list(columns) == list(table(name).columns)
    for column, about in columns.items():
        assert set(about) == {"unit", "meaning"}, column
        assert about["unit"].strip() and about["meaning"].strip(), column


@pytest.mark.parametrize("name", NAMES)
def test_card_says_where_the_data_come_from(name):
    """A card has a title, a question, a source, a licence and a citation."""
    for key in ("title", "question", "source", "licence", "citation"):
        assert card(name)[key].strip(), key


@pytest.mark.parametrize(
    ("name", "target", "task"),
    [("wine", "cultivar", "classification"), ("diabetes", "progression", "regression")],
)
def test_target_and_task(name, target, task):
    """The target is the last column, holds whole numbers, and the task fits it."""
    about, rows = card(name), table(name)
    assert (about["target"], about["task"]) == (target, task)
    assert rows.columns[-1] == target
    assert rows[target].dtype == "int64"
    assert (set(rows[target]) == {0, 1, 2}) == (task == "classification")
