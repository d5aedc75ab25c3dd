from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from modeling.grading import slices


def test_the_worst_slice_beyond_doubt_comes_first():
    """A planted weakness is found and told with its rows and interval; a tiny slice that is worse comes later."""
    random = np.random.default_rng(0)
    X = pd.DataFrame({"size": np.arange(400.0), "kind": np.where(np.arange(400) < 5, "rare", "usual")})
    errors = random.uniform(size=400) < np.where(X["size"] >= 300, 0.6, 0.05)
    errors[:3] = True
    found = slices.measure(X, errors, ["size (m)", "kind"])
    first = found.iloc[0]
    assert (first["feature"], first["slice"], first["rows"]) == ("size (m)", "300 to 399", 100)
    assert first["from"] < first["error"] < first["to"] and first["error"] == errors[300:].mean()
    rare = found[found["slice"] == "rare"].iloc[0]
    assert rare["error"] >= first["error"] and rare["from"] < first["from"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.none(), st.integers(-3, 3)), min_size=6, max_size=60), st.booleans())
def test_slices_of_a_feature_share_out_its_rows(values, text):
    """Every row is in one slice of a feature at most; only those of too few rows, or of all, are not told."""
    column = pd.Series(values, dtype=float)
    X = pd.DataFrame({"x": column.map(lambda value: "" if pd.isna(value) else f"c{value}") if text else column})
    found = slices.measure(X, np.arange(len(X), dtype=float))
    assert found["rows"].sum() <= len(X)
    assert (found["rows"] >= slices.FEWEST).all() and (found["rows"] < len(X)).all()
    assert not found["slice"].duplicated().any()
    assert (found["from"] <= found["error"]).all() and (found["error"] <= found["to"]).all()
    missing = int(column.isna().sum())
    if slices.FEWEST <= missing < len(X):
        assert found.loc[found["slice"] == "missing", "rows"].tolist() == [missing]


def test_nothing_to_cut():
    """A table too small for a slice has an empty list with the same columns, and a sentence."""
    found = slices.measure(pd.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]}), np.array([True, False]))
    assert found.empty and list(found) == ["feature", "slice", "rows", "error", "from", "to"]
    assert "Of 0 slices of 5 rows or more, 0 do worse" in slices.sentence(found, np.array([True, False]), "share", 0.0)


@pytest.mark.parametrize(("wrong", "rows", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)])
def test_shares_have_wilsons_interval(wrong, rows, low, high):
    """The interval of a share is Wilson's: of published values, and not without width where no row is wrong."""
    mean, *ends = slices.mean_interval(np.arange(rows) < wrong)
    assert mean == wrong / rows
    assert ends == pytest.approx([low, high], abs=1e-4)


def test_means_have_students_interval():
    """The interval of a mean error is Student's; it never reaches below zero, and one row has none."""
    mean, low, high = slices.mean_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (mean, low, high) == pytest.approx((3, 1.0368, 4.9632), abs=1e-4)
    assert slices.mean_interval(np.array([0.0, 10.0]))[1] == 0
    assert slices.mean_interval(np.array([2.0]))[2] == np.inf


def test_the_sentence_counts():
    """How many slices stand out is told beside how many would by chance."""
    errors = np.array([1.0] * 10 + [5.0] * 10 + [5.5, 4.5] * 5)
    parts = slices.measure(pd.DataFrame({"k": ["a"] * 10 + ["b"] * 10 + ["c"] * 10}), errors)
    told = slices.sentence(parts, errors, "mean error", 0.14)
    assert told.startswith("The mean error is 3.67 over all 30 rows. Of 3 slices of 5 rows or more, 2 do worse")
    assert told.endswith("where errors fall by chance alone, 0.1 of them do.")


def test_only_what_is_worse_beyond_doubt_is_named():
    """The slices that stand out are named, the worst first; where none does, that is said."""
    errors = np.array([1.0] * 10 + [5.0] * 10 + [5.5, 4.5] * 5)
    parts = slices.measure(pd.DataFrame({"k": ["a"] * 10 + ["b"] * 10 + ["c"] * 10}), errors)
    assert slices.worst(parts, errors) == "k is b (10 rows); k is c (10 rows)"
    assert slices.worst(parts, errors, most=1) == "k is b (10 rows)"
    right = np.zeros(30, dtype=bool)
    told = slices.worst(slices.measure(pd.DataFrame({"k": ["a"] * 10 + ["b"] * 20}), right), right)
    assert told == "no slice of 5 rows or more does worse beyond its interval"


def test_dates_and_truth_values_are_told_as_such():
    """A quarter of dates is named by dates, a part of truth values by the word, and large errors by whole numbers."""
    X = pd.DataFrame({"seen": np.arange(19400.0, 19440.0), "paid": [0.0, 1.0] * 20})
    errors = np.linspace(20_000, 30_000, 40)
    found = slices.measure(X, errors, kinds={"seen": "date", "paid": "boolean"})
    assert set(found.loc[found["feature"] == "paid", "slice"]) == {"true", "false"}
    assert "2023-02-12 to 2023-02-21" in set(found["slice"])
    assert slices.sentence(found, errors, "mean absolute error", 0.0).startswith(
        "The mean absolute error is 25,000 over"
    )


def test_a_share_has_wilsons_interval():
    """It is scipy's, for no error, for some and for nothing but errors."""
    for hits in (0, 3, 10):
        errors = np.arange(10) < hits
        expected = stats.binomtest(hits, 10).proportion_ci(0.95, "wilson")
        assert slices.mean_interval(errors)[1:] == pytest.approx(tuple(expected), abs=1e-12)


def test_what_chance_does_is_counted_and_not_assumed():
    """With rare errors and small slices far more stand out by chance than one in forty, as new draws show."""
    draw = np.random.default_rng(0)
    X = pd.DataFrame({f"k{at}": draw.choice(list("abcdefgh"), 80) for at in range(10)})
    errors = draw.permutation(np.arange(80) < 3)
    told = slices.by_chance(X, errors, seed=1, shuffles=60)
    seen = []
    for _ in range(60):
        shuffled = draw.permutation(errors)
        seen.append((slices.measure(X, shuffled)["from"] > errors.mean()).sum())
    assert told == pytest.approx(np.mean(seen), abs=1.2) and told > 1.2 * 0.025 * 80
