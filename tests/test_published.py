from __future__ import annotations

import ast
import csv
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling import published

NIST = Path(__file__).parents[1] / "data" / "nist"
SETS = published.read()["nist"]


def solve(matrix: list, sides: list) -> list:
    """Return the exact solutions of linear equations, by Gauss and Jordan."""
    rows = [[*left, *right] for left, right in zip(matrix, sides, strict=True)]
    for at in range(len(rows)):
        pivot = next(row for row in rows[at:] if row[at])
        rows.remove(pivot)
        rows.insert(at, pivot := [value / pivot[at] for value in pivot])
        rows = [
            row if n == at else [a - row[at] * b for a, b in zip(row, pivot, strict=True)] for n, row in enumerate(rows)
        ]
    return [row[len(rows) :] for row in rows]


def least_squares(name: str) -> tuple[list, list, Fraction]:
    """Return coefficients, their variances and the residual variance of a data set, as exact fractions."""
    with (NIST / f"{name}.csv").open(encoding="utf-8") as file:
        table = [[Fraction(value) for value in line] for line in list(csv.reader(file))[1:]]
    degrees = range(1, SETS[name]["degree"] + 1)
    X = [[Fraction(1), *(value**degree for value in line[1:] for degree in degrees)] for line in table]
    columns = list(zip(*X, strict=True))
    gram = [[sum(a * b for a, b in zip(one, other, strict=True)) for other in columns] for one in columns]
    inverse = solve(gram, [[Fraction(one == other) for other in range(len(gram))] for one in range(len(gram))])
    moments = [sum(a * line[0] for a, line in zip(column, table, strict=True)) for column in columns]
    coefficients = [sum(a * b for a, b in zip(row, moments, strict=True)) for row in inverse]
    fitted = [sum(a * b for a, b in zip(coefficients, row, strict=True)) for row in X]
    squares = sum((line[0] - value) ** 2 for line, value in zip(table, fitted, strict=True))
    variance = squares / (len(X) - len(columns))
    return coefficients, [variance * inverse[at][at] for at in range(len(columns))], variance


def digits(value: Fraction, root: bool = False) -> str:
    """Return a number, or its square root, rounded to the fifteen digits that NIST certifies."""
    with localcontext() as context:
        context.prec = 60
        number = Decimal(value.numerator) / Decimal(value.denominator)
        return f"{number.sqrt() if root else number:.14e}"


def certified(text: str) -> str:
    """Return a certified number in the same form."""
    return f"{Decimal(text):.14e}"


@pytest.mark.parametrize("name", SETS)
def test_the_data_give_the_certified_values_exactly(name):
    """Least squares in fractions, without any rounding, gives every certified digit: no digit was mistyped."""
    coefficients, variances, variance = least_squares(name)
    assert [digits(value) for value in coefficients] == [certified(text) for text in SETS[name]["coefficients"]]
    assert [digits(value, root=True) for value in variances] == [certified(text) for text in SETS[name]["deviations"]]
    assert digits(variance, root=True) == certified(SETS[name]["residual_deviation"])


def test_every_table_says_where_it_is_from():
    """Each set of published values has a title and a source."""
    known = published.read()
    for about in [*(known[name] for name in known if name != "nist"), *SETS.values()]:
        assert about["title"] and about["source"]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (1.0, "1.00000000000000", 15.0),
        (1.001, "1.00000000000000", 3.0),
        (-1.0, "1.00000000000000", 0.0),
        (95.506, "96.1", 2.2),
        (12, "12", 2.0),
        (0.001, "0.00", 1.0),
        (math.nan, "1.0", 0.0),
        (math.inf, "1.0", 0.0),
    ],
)
def test_digits_are_counted_by_the_relative_error(ours, theirs, expected):
    """The log relative error, between none and as many digits as were printed."""
    assert published.correct_digits(ours, theirs) == expected


@given(value=st.floats(1e-6, 1e6), places=st.integers(1, 14))
def test_a_rounded_number_is_the_same(value, places):
    """What is printed of a number compares as the same, with nearly as many digits as were printed and no reason."""
    told = published.compare("it", f"{value:.{places}e}", value, "never said")
    assert told.same and told.reason == ""
    assert told.digits >= places


@given(value=st.floats(1e-3, 1e3), off=st.sampled_from([-3, -1.6, 1.6, 3]))
def test_a_number_that_differs_in_its_last_digit_is_different(value, off):
    """More than half a unit off in the last printed digit is a difference, told with its reason."""
    text = f"{value:.3f}"
    told = published.compare("it", text, float(text) + off / 1000, "for a reason")
    assert not told.same and told.reason == "for a reason"


def test_texts_are_compared_as_they_are():
    """An order of names is the same or not, and has no digits."""
    assert published.compare("order", "3, 9", "3, 9", "why").same
    told = published.compare("order", "3, 9", "9, 3", "why")
    assert (told.same, told.digits, told.reason) == (False, None, "why")


def test_lists_that_do_not_match_are_an_error():
    """One value too few is not passed over."""
    with pytest.raises(ValueError, match="shorter"):
        published.compare_all(["a", "b"], ["1", "2"], [1.0], "why")


@pytest.fixture
def shown(capsys):
    """The function that shows a table of comparisons and returns its text, which Python alone prints with the rest."""

    def show(*comparisons) -> str:
        published.show("t", {"title": "Title", "source": "a source"}, comparisons)
        return ast.literal_eval(capsys.readouterr().out)["text/plain"]

    return show


def test_a_table_names_what_differs_with_the_reason(shown):
    """The text holds each value beside ours, and below it what differs and why, once for each reason."""
    text = shown(
        *published.compare_all(["a", "b", "c"], ["1.0", "2.0", "3.0"], [1.0, 2.2, 3.3], "rounding"),
    )
    lines = [line.split() for line in text.splitlines()]
    assert lines[:3] == [["Title"], "quantity same digits published ours".split(), ["a", "yes", "2.0", "1.0", "1"]]
    assert text.count("rounding") == 1 and "Different: b, c. rounding" in text


def test_a_table_in_which_nothing_agrees_says_so(shown):
    """No list of every name."""
    assert "All differ. why" in shown(*published.compare_all(["a", "b"], ["1.0", "2.0"], [3.0, 4.0], "why"))
