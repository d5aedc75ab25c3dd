from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.tables import dataset as tables
from modeling.tables.split import columns_to_hash, held_out, row_hashes, untouched
from service.contents import Split
from service.errors import DataError

LAW = settings(deadline=None, max_examples=60)

CELL = st.sampled_from([0, 1, -2, 3.5, None])
WORD = st.sampled_from(["u", "v", "<b>", "", None, "ü"])
ROW = st.tuples(CELL, WORD, st.sampled_from(["p", "q", "r"]))
ROWS = st.lists(ROW, min_size=1, max_size=40)
OF_CLASS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("pqr")).map(lambda row: (f"{row[1]}{row[0]}", row[1])))
SEED = st.integers(0, 2**32 - 1)
SHARE = st.sampled_from([0.1, 0.25, 0.5, 0.9])


def table(rows: list[tuple]) -> pd.DataFrame:
    """Make a table of one column of numbers, one of texts, and the target `y`."""
    made = pd.DataFrame(rows, columns=["a", "t", "y"])
    return made.astype({"a": "float64", "t": "str"})


@LAW
@given(ROWS, ROWS, SEED, SHARE)
def test_appended_rows_move_nothing(rows, more, seed, share):
    """A row keeps its side whatever is appended, once the hashes give rows on both sides."""
    before = held_out(table(rows), "y", share, seed, stratify=False).tolist()
    by_hash = (row_hashes(table(rows), ["a", "t"], seed) < int(share * 2**64)).tolist()
    if set(by_hash) == {True, False}:
        assert before == by_hash
        assert held_out(table(rows + more), "y", share, seed, stratify=False)[: len(rows)].tolist() == before


@LAW
@given(OF_CLASS, OF_CLASS, SEED, SHARE)
def test_appended_rows_never_bring_a_held_out_row_into_training(rows, more, seed, share):
    """With stratify too: what was held out by its hash stays held out, so that no test row is ever learned from."""
    known = [(label + number, label) for label in "pqr" for number in "01"]
    small, large = (pd.DataFrame(known + extra, columns=["t", "y"]) for extra in (rows, rows + more))
    before = held_out(small, "y", share, seed, stratify=True)
    by_hash = row_hashes(small, ["t"], seed) < int(share * 2**64)
    assert held_out(large, "y", share, seed, stratify=True)[: len(small)][before & by_hash].all()


@LAW
@given(ROWS, SEED, SHARE, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, seed, share, stratify, random):
    """A shuffled table has the same rows held out."""
    order = list(range(len(rows)))
    random.shuffle(order)
    out = held_out(table(rows), "y", share, seed, stratify)
    shuffled = held_out(table([rows[at] for at in order]), "y", share, seed, stratify)
    assert shuffled.tolist() == [out[at] for at in order]


@LAW
@given(ROWS, SEED, SHARE, st.booleans())
def test_equal_rows_stand_on_one_side(rows, seed, share, stratify):
    """Rows with equal features, whatever their label, are never on both sides."""
    out = held_out(table(rows + rows[::2]), "y", share, seed, stratify)
    sides = out.groupby([repr((a, t or None)) for a, t, _ in rows + rows[::2]]).nunique()
    assert (sides == 1).all()


@LAW
@given(st.lists(st.integers(-(2**53), 2**53), min_size=1), st.lists(st.sampled_from("uv"), min_size=1), SEED)
def test_whole_numbers_hash_like_floats(numbers, words, seed):
    """A column of whole numbers keeps its hashes when a missing value makes it one of floats."""
    whole = pd.DataFrame({"a": numbers})
    floats = pd.DataFrame({"a": [*numbers, None]})
    assert whole["a"].dtype == "int64" and floats["a"].dtype == "float64"
    assert row_hashes(whole, ["a"], seed).tolist() == row_hashes(floats, ["a"], seed)[:-1].tolist()
    present, absent = pd.DataFrame({"t": words}), pd.DataFrame({"t": [*words, None]})
    assert row_hashes(present, ["t"], seed).tolist() == row_hashes(absent, ["t"], seed)[:-1].tolist()


@pytest.mark.parametrize(
    ("column", "appended"), [("1\n2\n-7\n", '""\n'), ("True\nFalse\nTrue\n", '""\n'), ("u\nv\n", '""\n')]
)
def test_a_file_keeps_its_hashes_when_a_gap_is_appended(column, appended):
    """The same holds for what is read from a file: numbers, truth values and texts."""
    before = pd.read_csv(io.StringIO("a\n" + column))
    after = pd.read_csv(io.StringIO("a\n" + column + appended))
    assert len(after) == len(before) + 1
    assert row_hashes(before, ["a"], 0).tolist() == row_hashes(after, ["a"], 0)[:-1].tolist()


def test_minus_zero_is_zero():
    """Two ways to write nought are one content."""
    first, second = row_hashes(pd.DataFrame({"a": [0.0, -0.0]}), ["a"], 1).tolist()
    assert first == second


@LAW
@given(OF_CLASS, SEED, SHARE)
def test_each_class_is_tested(rows, seed, share):
    """With stratify, every class with two different rows has some in the test set."""
    made = pd.DataFrame(rows, columns=["t", "y"], dtype="str")
    out = held_out(made, "y", share, seed, stratify=True)
    for label, group in made.groupby("y"):
        if group["t"].nunique() > 1:
            assert out[group.index].any(), label


@pytest.mark.parametrize("share", [0.1, 0.25])
@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_the_share_is_right_on_average(name, share):
    """Over many seeds the number of rows held out lies within five standard deviations of the binomial law."""
    data = tables.load(f"../data/{name}.csv")
    seeds, rows = 100, len(data.table)
    count = sum(held_out(data.table, data.target, share, seed, stratify=False).sum() for seed in range(seeds))
    expected = seeds * rows * share
    assert abs(count - expected) < 5 * np.sqrt(expected * (1 - share))


def test_seeds_hold_out_different_rows():
    """Two seeds share as many held-out rows as chance gives, within five standard deviations."""
    data = tables.load("../data/diabetes.csv")
    columns = [name for name in data.table if name != data.target]
    first, second = (row_hashes(data.table, columns, seed) < 2**63 for seed in (0, 1))
    assert abs((first & second).sum() - len(data.table) / 4) < 5 * np.sqrt(len(data.table) * 3 / 16)


def test_the_split_of_wine_is_the_one_published():
    """The rows held out today are those held out in every version before: the hash is a contract."""
    data = tables.load("../data/wine.csv")
    out = held_out(data.table, "cultivar", 0.25, 0, stratify=True)
    assert out.sum() == 47
    assert np.flatnonzero(out)[:8].tolist() == [1, 4, 17, 19, 29, 36, 38, 40]


@LAW
@given(ROWS, SEED, SHARE)
def test_untouched_knows_what_a_model_was_not_trained_on(rows, seed, share):
    """From the manifest alone, rows that were held out by their hash are told from those that may be known."""
    out = held_out(table(rows), "y", share, seed, stratify=False).tolist()
    found = untouched(table(rows), Split(seed, share, ["a", "t"])).tolist()
    assert found == out or len(set(found)) == 1


@LAW
@given(ROWS, ROWS, SEED, SEED, SHARE, SHARE, st.booleans())
def test_no_row_that_models_are_compared_on_was_learned_from(rows, more, seed, other, share, size, stratify):
    """Split by another seed and share, with data appended, duplicates and all: neither knows a row of the gate's."""
    small, large = table(rows), table(rows + more)
    test = held_out(large, "y", size, other, stratify)
    compared = large[test & untouched(large, Split(seed, share, ["a", "t"]))]
    known = [small[~held_out(small, "y", share, seed, stratify)], large[~test]]
    frames = [frame.fillna({"a": 99.0, "t": ""}) for frame in (compared, *known)]
    contents = [set(map(tuple, frame[["a", "t"]].to_numpy().tolist())) for frame in frames]
    assert not contents[0] & (contents[1] | contents[2])


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, float("nan"), float("inf")])
def test_a_share_outside_of_0_to_1_is_refused(share):
    """Holding out nothing, all, or no number at all ends in a sentence that names the parameter."""
    with pytest.raises(DataError, match=r"`test_size` must lie between 0 and 1, got"):
        held_out(table([(1, "u", "p")]), "y", share, 0, stratify=False)


def test_a_column_that_changes_its_type_moves_no_row():
    """An appended text in a column of numbers, or a first text in an empty one, leaves the other rows' hashes."""
    before = pd.DataFrame({"id": [1, 2, 3], "code": ["007", "7", "x"], "note": [None, None, None]})
    after = pd.DataFrame({"id": ["1", "2", "3", "A17"], "code": ["007", "7", "x", "y"], "note": [None] * 3 + ["late"]})
    assert (row_hashes(before, ["id", "code", "note"], 5) == row_hashes(after, ["id", "code", "note"], 5)[:3]).all()


CELLS = st.sampled_from(
    "7 007 01067 1.50 1,5 1.234,5 1,234,567 NA true FALSE 2024-05-01 01.05.2024 13/5/2024 5/13/2024 u ? -0 x,y".split()
)


@LAW
@given(st.lists(CELLS, min_size=1, max_size=12), CELLS, st.sampled_from([",", "."]))
def test_no_appended_cell_moves_a_row_of_a_file(tmp_path_factory, cells, more, decimal):
    """Whatever kind a column is read as, before or with another cell, the hashes of its rows stay."""
    path = tmp_path_factory.getbasetemp() / "appended.csv"
    hashes = []
    for column in (cells, [*cells, more]):
        path.write_text("a;y\n" + "".join(f"{cell};{n % 2}\n" for n, cell in enumerate([*column, *column])))
        path.with_suffix(".toml").write_text(f'[form]\nseparator = ";"\ndecimal = "{decimal}"\n')
        table = tables.load(path, "y").table
        hashes.append(row_hashes(table, ["a"], 0)[: len(cells)].tolist())
    assert hashes[0] == hashes[1]


def test_the_same_row_under_another_identifier_stays_on_its_side(write):
    """An identifier plays no part in the split: rows that are equal but for it are held out together."""
    rows = [f"{at},{at % 50},{at % 50 % 7},{at % 3}" for at in range(150)]
    dataset = tables.load(write("customer_id,a,b,y\n" + "\n".join(rows)), "y")
    content = columns_to_hash(dataset)
    assert content == ["a", "b"]
    out = held_out(dataset.table[[*content, "y"]], "y", 0.3, 0, stratify=True)
    assert (out.groupby(dataset.table["a"]).nunique() == 1).all() and 0 < out.sum() < 150
