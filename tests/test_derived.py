from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from test_graph import as_onnx

from modeling.learning.derived import DEEPEST, LONGEST, Derived, check_expressions, parse
from service.errors import DataError

NAMES = ["rooms", "households", "living area (m²)", "class", "café"]
TERMS = ["rooms", "households", "`living area (m²)`", "`class`", "café", "2", "0.5", "1e3"]
VALUES = st.floats(width=32, allow_nan=True, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 3.4e38, -3.4e38, 1e-45, np.nan]
)
ROWS = st.lists(st.lists(VALUES, min_size=5, max_size=5), min_size=1, max_size=8).map(
    lambda rows: np.array(rows, dtype=np.float32).astype(np.float64)
)
ORDINARY = np.array([[4.0, 2.0, 55.0, 3.0, 1.5], [5.0, 3.0, 120.0, 1.0, 2.5]])

exact = st.recursive(
    st.sampled_from(TERMS),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("(-{})".format, inner),
        st.builds("({} ** 2)".format, inner),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
        st.builds("{}({})".format, st.sampled_from(["abs", "sqrt"]), inner),
    ),
    max_leaves=6,
)
"""Expressions of which every operation is rounded exactly, so that two machines agree to the last bit."""

POWERS = st.sampled_from(["3", "-1", "0.5", "1.7", "-2"])
powers = st.builds("({}) ** {}".format, exact, POWERS)
rounded = powers | exact.map("log({})".format) | exact.map("exp({})".format)


def fit(text: str) -> Derived:
    """Return the transformer of one expression, where it can be computed at all."""
    try:
        return Derived([text], NAMES).fit(ORDINARY)
    except DataError:
        assume(False)
        raise


@settings(deadline=None)
@given(exact, ROWS)
def test_the_graph_computes_what_scikit_learn_computes(text, rows):
    """Random expressions of random rows, gaps, zeros and the largest numbers included, agree bit for bit."""
    step = fit(text)
    np.testing.assert_array_equal(as_onnx(make_pipeline(step), 5)(rows), step.transform(rows))


@settings(deadline=None, max_examples=60)
@given(rounded, ROWS)
def test_logarithms_exponentials_and_powers_agree_to_the_last_bits(text, rows):
    """What libraries round each in their own way differs in the last place of 32 bits at most."""
    step = fit(text)
    ours, theirs = step.transform(rows), as_onnx(make_pipeline(step), 5)(rows)
    np.testing.assert_allclose(theirs, ours, rtol=2.5e-7, atol=1e-44)


@settings(deadline=None)
@given(exact, st.lists(st.lists(st.floats(0.125, 64, width=32), min_size=5, max_size=5), min_size=1).map(np.array))
def test_it_is_what_pandas_computes(text, rows):
    """On values for which pandas' own expressions have a finite result, these are the same."""
    step = fit(text)
    table = pd.DataFrame(rows, columns=NAMES)
    functions = {"min": np.minimum, "max": np.maximum, "abs": np.abs, "sqrt": np.sqrt}
    plain = text.replace("`living area (m²)`", "area").replace("`class`", "kind")
    columns = dict(zip(["rooms", "households", "area", "kind", "café"], table.to_numpy().T, strict=True))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            expected = eval(plain, {**functions, **columns})
        except ZeroDivisionError:
            assume(False)
    expected = np.broadcast_to(np.asarray(expected, dtype=np.float64), len(rows)).astype(np.float32)
    found = step.transform(rows)[:, 0]
    sound = ~np.isnan(found)
    np.testing.assert_array_equal(found[sound], expected[sound])


def test_pandas_reads_the_same_expressions():
    """An expression with backticks means what it means in `DataFrame.eval`."""
    table = pd.DataFrame(ORDINARY, columns=NAMES)
    texts = ["rooms / households", "`living area (m²)` / rooms ** 2 - 3", "-rooms + (households - 1) * café"]
    expected = np.column_stack([table.eval(text) for text in texts])
    np.testing.assert_allclose(Derived(texts, NAMES).fit(table).transform(table), expected, rtol=1e-7)


def test_without_a_finite_result_the_value_is_missing():
    """Division by zero, the logarithm of nothing, roots of negatives and numbers beyond 32 bits, anywhere."""
    texts = ["rooms / households", "log(households)", "sqrt(households)", "rooms ** 20", "rooms / (1 / households)"]
    rows = np.vstack([ORDINARY, [1e3, 0, 1, 1, 1], [1e3, -1, 1, 1, 1], [np.nan, np.nan, 1, 1, 1]])
    missing = np.isnan(Derived(texts, NAMES).fit(ORDINARY).transform(rows))
    assert missing.tolist() == [
        *[[False] * 5] * 2,
        [True, True, False, True, True],
        [False, True, True, True, False],
        [True] * 5,
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no expression: write one such as"),
        ("rooms / houshold", r"names 'houshold' at character 9, .*; did you mean 'households'\?"),
        ("café + `né` / zzzzz", r"names 'zzzzz' at character 15|names 'né' at character 8"),
        (
            "rooms * `kind`",
            "names 'kind' at character 9, which is no feature of numbers: use another",
        ),
        ("rooms / class", "cannot be read at character 9: .* needs `backticks`"),
        ("living area (m²)", "cannot be read at character .* `backticks`"),
        ("((rooms)", "cannot be read at character"),
        ("rooms; rooms", "cannot be read at character 6"),
        ("rooms\0", "cannot be read"),
        ("1 + 2", "names no column: write an expression of columns"),
        ("log(rooms, households)", r"has 'log\(rooms, households\)' at character 1, which takes 1 value: correct it"),
        ("min(rooms)", "which takes 2 values: correct it"),
        ("rooms ** households", "has the exponent 'households' at character 10: write a number other than 0"),
        ("rooms ** 0", "has the exponent '0'"),
        ("rooms ** -0.0", "has the exponent '-0.0'"),
        ("rooms * 1e999", "'1e999' at character 9, a number too large"),
        (f"rooms * 0x{'F' * 280}", "a number too large"),
        ("-" * (DEEPEST + 1) + "rooms", f"nests deeper than {DEEPEST} operations: make two of it"),
        ("rooms+" * LONGEST, f"is longer than {LONGEST} characters: make two of it"),
    ],
)
def test_a_wrong_expression_is_told_with_place_and_cure(text, told):
    """One sentence says which expression, where in it, and what to do."""
    with pytest.raises(DataError, match=rf"(?s)the parameter `derived`: .*({told})"):
        parse(text, NAMES, ["kind"])


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "rooms.real", "rooms[0]", "open('x')", "eval('1')", "rooms if rooms else 1",
        "rooms and 1", "rooms < 1", "rooms // 2", "rooms % 2", "rooms @ rooms", "+rooms", "~rooms", "not rooms",
        "rooms + True", "rooms + 1j", "'a' * rooms", "f'{rooms}'", "lambda: rooms", "[rooms for rooms in rooms]",
        "log(rooms, base=2)", "log(*rooms)", "(log)(log)(rooms)", "(rooms := 1)", "rooms + ...", "tan(rooms)",
    ],
)  # fmt: skip
def test_nothing_but_arithmetic_is_understood(text):
    """Whatever else Python can say is refused, and never run."""
    with pytest.raises(DataError, match="which cannot be computed: use columns, numbers, "):
        parse(text, NAMES)


@settings(deadline=None)
@given(st.text("()+-*/` .,0123456789abrooms\n²é\0#'\"", max_size=40))
def test_any_text_is_an_expression_or_refused(text):
    """No text ends in anything but a term or one sentence."""
    told = ""
    try:
        parse(text, [*NAMES, "a", "b"])
    except DataError as refused:
        told = str(refused)
    assert not told or told.startswith("the parameter `derived`: ")


def test_expressions_are_checked_against_a_table_before_training():
    """Categories are told as such, and an expression that is given twice is too."""
    check_expressions(["rooms ** 2", "log(rooms)"], ["rooms"], ["rooms", "heating"])
    with pytest.raises(DataError, match="'heating' at character 1, which is no feature of numbers"):
        check_expressions(["heating * 2"], ["rooms"], ["rooms", "heating"])
    with pytest.raises(DataError, match=r"'rooms \*\* 2' is given twice: leave one out"):
        check_expressions(["rooms ** 2", "rooms ** 2"], ["rooms"], [])


def test_a_feature_that_is_missing_in_every_row_is_refused():
    """There would be nothing to impute it from."""
    with pytest.raises(DataError, match=r"'log\(0 - rooms\)' has no finite result in any row: correct it"):
        Derived(["log(0 - rooms)"], NAMES).fit(ORDINARY)


@pytest.mark.parametrize("again", [clone, lambda step: pickle.loads(pickle.dumps(step))])
def test_it_can_be_copied_and_sent_to_another_process(again):
    """Cross-validation clones it, parallel jobs pickle it; its names are the expressions."""
    step = Derived(["rooms / households", "log(rooms + 1)"], NAMES).fit(ORDINARY)
    other = again(step).fit(ORDINARY)
    np.testing.assert_array_equal(other.transform(ORDINARY), step.transform(ORDINARY))
    assert other.get_feature_names_out().tolist() == ["rooms / households", "log(rooms + 1)"]
