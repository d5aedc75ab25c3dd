from __future__ import annotations

import pandas as pd
import pytest

from modeling.tables.form import Form, are_codes, as_numbers, doubt, find_encoding, form_of
from service.errors import DataError


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2.5\n", "comma-separated, decimal point, UTF-8"),
        ("a;b\n1;2,5\n", ";-separated, decimal comma, UTF-8"),
        ("a\tb\n1.234,5\tx\n", "tab-separated, decimal comma, thousands set off by points, UTF-8"),
        ("a|b\n1'234.5|x\n", "|-separated, decimal point, thousands set off by apostrophes, UTF-8"),
        ('a,b\n"1,234,567",x\n', "comma-separated, decimal point, thousands set off by commas, UTF-8"),
        ("a;b\n1\xa0234,5;1,5\n", ";-separated, decimal comma, thousands set off by blanks, UTF-8"),
        ("a;b\n1,234;x\n", ";-separated, decimal point, UTF-8"),
        ("a;b\n346;x\n2.066.291;y\n", ";-separated, decimal comma, thousands set off by points, UTF-8"),
        ("a;b\n1.234;2.5\n1.234.567;1\n", ";-separated, decimal point, UTF-8"),
        ("a,b\n100 200 300,1\n", "comma-separated, decimal point, UTF-8"),
        ("a,b\n1 200.5,1\n3 400,2\n", "comma-separated, decimal point, thousands set off by blanks, UTF-8"),
        ("a;b\n1,5;2.5\n", ";-separated, decimal point, UTF-8"),
        ("preis, netto;y\n1,5;2\n3,5;4\n", ";-separated, decimal comma, UTF-8"),
        ("one column\n1\n", "comma-separated, decimal point, UTF-8"),
        ("a,b;c,d\n1,2,3\n4,5,6\n", "comma-separated, decimal point, UTF-8"),
    ],
)
def test_the_form_is_found_and_told(text, told):
    """Separator, decimal mark and thousands mark follow from the values; where two are possible none is assumed."""
    assert form_of(text.encode(), Form(), "t.csv").told() == told


def test_what_is_given_is_not_looked_for():
    """A card's word on the form goes before what the file looks like."""
    form = form_of(b"a;b\n1,234;2\n", Form(decimal=",", encoding="latin-1"), "t.csv")
    assert form == Form(";", ",", "", "latin-1")


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"a,b\n", "utf-8-sig"),
        ("ä,b\n".encode(), "utf-8-sig"),
        ("ä,b\n".encode("latin-1"), "cp1252"),
        (b"\x81\xe4,b\n", "latin-1"),
        ("ä".encode("utf-16"), "utf-16"),
        (b"\xfe\xff\0a", "utf-16"),
    ],
)
def test_the_encoding_is_found(content, encoding):
    """By the byte order mark, by being UTF-8, or as what is left."""
    assert find_encoding([content], "t.csv") == encoding


def test_a_letter_may_be_cut_by_a_block():
    """A letter of several bytes at the end of a block is whole with the next, and cut off at the end of a head."""
    first, second = "ä".encode()[:1], "ä".encode()[1:]
    assert find_encoding([first, second], "t.csv") == "utf-8-sig"
    assert find_encoding([first], "t.csv", whole=False) == "utf-8-sig"
    assert find_encoding([first], "t.csv") == "cp1252"


def test_nul_bytes_are_no_text():
    """A spreadsheet or a picture is told to be none of our texts."""
    with pytest.raises(DataError, match=r"t\.xlsx is not a text: save the table as CSV"):
        find_encoding([b"PK\x03\x04\0\0"], "t.xlsx")


def test_numbers_are_read_as_the_form_writes_them():
    """What is not a number in the file's form is none, even if it is one in another."""
    texts = pd.Series(["1.234,5", "1234,5", " 7 ", "-0,5", "1,2,3", "12.34,5", "x", "1.5e3"])
    numbers = as_numbers(texts, Form(";", ",", ".", "utf-8"))
    assert numbers.dropna().tolist() == [1234.5, 1234.5, 7.0, -0.5]
    assert as_numbers(pd.Series(["1e3", "1,5"]), Form(",", ".")).isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("cells", "form", "told"),
    [
        (["346", "76.571"], Form(), "in numbers such as '76.571' the point may be a decimal one or one of thousands"),
        (["346", "76.571"], Form(decimal="."), ""),
        (["346", "76.571", "1.5"], Form(), ""),
        (["346", "76.571", "0.123"], Form(), ""),
        (["3460", "76.571"], Form(), ""),
        (["1.234", "12.500"], Form(), ""),
        (["12", "1,234"], Form(), "in numbers such as '1,234' the comma may be a decimal one or one of thousands"),
        (["12", "1,234"], Form(decimal=","), ""),
        (["100 200", "300"], Form(), "in numbers such as '100 200' blanks may set off thousands or parts of a code"),
        (["100 200", "300"], Form(thousands=" "), ""),
        (["1", "2"], Form(), ""),
        ([], Form(), ""),
    ],
)
def test_numbers_that_can_be_read_in_two_ways_are_told(cells, form, told):
    """A mark before three digits is doubtful unless the form, or another number beside it, says what it is."""
    assert doubt(cells, form) == told


def test_a_thousands_mark_says_which_mark_is_the_decimal_one():
    """A card that names points as marks of thousands need not say that decimals have a comma."""
    assert form_of(b"a;b\n346;1\n76.571;2\n", Form(thousands="."), "t.csv").decimal == ","


def test_codes_are_no_numbers():
    """Exponents without a sign in most of them and no decimals, or over 19 digits in all, name something."""
    assert are_codes(["0E0", "1E1", "300"]) and are_codes(["100000000000000000007"] * 2)
    assert not any(
        map(are_codes, (["1e+05", "2"], ["1", "2", "1e39"], ["1.5e3", "2E2"], ["1", "2"], ["1", "1" * 24], []))
    )
    assert as_numbers(pd.Series(["1" * 24, "2"]), Form(",", ".")).tolist() == [float("1" * 24), 2.0]
