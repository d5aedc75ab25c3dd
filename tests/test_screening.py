from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.tables import dataset as tables
from modeling.tables import screening

DRAW = np.random.default_rng(0)


@pytest.fixture
def leaking(write):
    """A table of which one column is the target under another name, one is a date that helps, and one a bystander."""
    rows = []
    for at in range(200):
        y, day = "good" if at % 2 else "bad", DRAW.integers(1, 28)
        rows.append(
            f"{DRAW.normal():.3f},{1.5 if at % 2 else -1},2024-0{2 + 3 * (at % 10 < 8) * (at % 2)}-{day:02},{y}\n"
        )
    return tables.load(write("noise,leak,seen,y\n" + "".join(rows)), "y")


def test_a_short_table_is_not_drawn_from():
    """As many rows as are wanted are drawn with the seed, in their order; a short table stays whole."""
    table = pd.DataFrame({"a": range(100)})
    assert screening.draw(table, 0, 100) is table
    drawn = screening.draw(table, 0, 10)
    assert len(drawn) == 10 and drawn["a"].is_monotonic_increasing
    assert drawn.equals(screening.draw(table, 0, 10)) and not drawn.equals(screening.draw(table, 1, 10))


def test_outliers_are_counted_however_many_they_are():
    """A fifth of wild values does not hide itself; of values of which half are equal nothing can be said."""
    assert screening.share_outlying(pd.Series([*DRAW.normal(size=800), *[1000.0] * 200])) == pytest.approx(
        0.2, abs=0.01
    )
    assert np.isnan(screening.share_outlying(pd.Series([0.0] * 9 + [1.0])))
    assert np.isnan(screening.share_outlying(pd.Series([], dtype=float)))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1e6, 1e6), min_size=5), st.floats(0.5, 100), st.integers(-100, 100))
def test_outliers_do_not_depend_on_the_unit(values, scale, shift):
    """A column in another unit has the same outliers, but for those on the fence itself."""
    given_, moved = pd.Series(values).round(3), pd.Series(values).round(3) * scale + shift
    first, second = screening.share_outlying(given_), screening.share_outlying(moved)
    fence = (given_ - given_.median()).abs() / max((given_ - given_.median()).abs().median(), 1e-12) / 1.4826
    if not ((fence - 3).abs() < 1e-3).any() and (given_ - given_.median()).abs().median() > 1e-2:
        assert first == second


def test_what_a_column_alone_predicts(leaking):
    """The answer in disguise predicts all, a hint something, a bystander and the order of rows next to nothing."""
    power = screening.predictive_power(leaking, seed=0)
    assert power["leak"] == 1 and 0.4 < power["seen"] < 0.98
    assert power["noise"] < 0.3 and power[""] < 0.3
    assert power.index[-1] == "leak"


def test_suspects_are_told(leaking):
    """Only the column that predicts nearly all is named."""
    (told,) = screening.suspects(screening.predictive_power(leaking, seed=0))
    assert told == "`leak` alone predicts the target almost perfectly (100%): is it known before the target is?"


def test_sorted_rows_are_told():
    """The wines stand in the order of their cultivars, which a column of row numbers would give away."""
    (told,) = screening.suspects(screening.predictive_power(tables.load("../data/wine.csv"), seed=0))
    assert told.startswith("The rows are sorted by the target")


def test_numbers_are_predicted_by_the_variance_they_share(write):
    """For a regression it is R²: all of it from a copy, half from a copy with as much noise."""
    y = DRAW.normal(size=2000)
    table = pd.DataFrame({"copy": y, "half": y + DRAW.normal(size=2000), "none": DRAW.normal(size=2000), "y": y})
    power = screening.predictive_power(tables.load(write(table.to_csv(index=False)), "y"), seed=0)
    assert power["copy"] > 0.99 and power["half"] == pytest.approx(0.5, abs=0.08) and power["none"] < 0.05


def test_gaps_infinities_and_rare_classes_are_borne(write):
    """Missing and infinite values, a class of two rows and an empty column do not stop the screening."""
    rows = "".join(f"{'' if n % 3 else 'inf' if n % 2 else n},{['u', ''][n % 2]},,{n % 2}\n" for n in range(60))
    power = screening.predictive_power(tables.load(write("a,t,none,y\n" + rows + "1,v,,2\n2,v,,2\n"), "y"), seed=0)
    assert set(power.index) == {"a", ""} or set(power.index) == {"a", "t", ""}
    assert power.between(0, 1).all()


def test_a_table_that_is_too_small_is_not_screened(write):
    """With a handful of rows nothing is claimed."""
    assert screening.predictive_power(tables.load(write("a,y\n1,0\n2,0\n3,1\n4,1\n"), "y"), seed=0).empty


def test_pairs_that_say_the_same_are_found():
    """Each pair once, the strongest first; falling together counts as much as against each other."""
    a = DRAW.normal(size=300)
    table = pd.DataFrame({"a": a, "b": -a, "c": a + DRAW.normal(size=300) * 0.1, "d": DRAW.normal(size=300)})
    pairs = screening.strongest_pairs(table)
    assert pairs.index[0] == ("a", "b") and set(pairs.index) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert screening.strongest_pairs(table[["d"]]).empty and screening.strongest_pairs(pd.DataFrame()).empty


N = 3000
COPIES = {
    "lognormal": (lambda y: y, np.exp(DRAW.normal(size=N)), "regression"),
    "pareto": (lambda y: y, DRAW.pareto(1, size=N), "regression"),
    "hundred classes": (lambda y: y, DRAW.integers(0, 100, N), "classification"),
    "shuffled codes": (lambda y: DRAW.permutation(200)[y], DRAW.integers(0, 200, N), "regression"),
}


@pytest.mark.parametrize("case", COPIES)
def test_a_copy_is_suspected_whatever_the_target(case):
    """Skewed numbers, many classes, and codes in no order that each stand for one answer hide no copy."""
    made, y, task = COPIES[case]
    assert screening.alone(np.asarray(made(y), dtype=float), pd.Series(y), task, 0) > screening.SUSPECT


def test_an_honest_feature_is_not_suspected():
    """What explains most of a number, or of two classes, but not all of it, scores high and below the bar."""
    x = DRAW.normal(size=N)
    for noise, scale in ((0.3, lambda y: y), (0.3, np.exp)):
        y = pd.Series(scale(x + noise * DRAW.normal(size=N)))
        assert 0.8 < screening.alone(x, y, "regression", 0) < 0.95
    classes = pd.Series(x + 0.2 * DRAW.normal(size=N) > 0).astype(str)
    assert 0.75 < screening.alone(x, classes, "classification", 0) < screening.SUSPECT
    assert screening.alone(DRAW.normal(size=N), classes, "classification", 0) < 0.1
