from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from modeling.tables.form import HEAD, Form, find_form
from modeling.tables.reading import read_table
from service.errors import DataError

LAW = settings(deadline=None, max_examples=80)
SEPARATOR = st.sampled_from([",", ";", "\t", "|"])
ENCODING = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])
NUMBER = st.integers(-99_999_999, 99_999_999).map(lambda number: number / 100)
WORD = st.text(st.sampled_from("abzäöü é€,;|\"'\t\n<>&=0."), min_size=1, max_size=12)
ROWS = st.lists(st.tuples(NUMBER, WORD, NUMBER), min_size=3, max_size=30)


def written(rows: list[tuple], separator: str, decimal: str, end: str = "\r\n") -> str:
    """Return rows of numbers and texts as a file writes them."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator=end)
    writer.writerow(["a", "größe (m²)", "c"])
    writer.writerows([[str(v).replace(".", decimal) if isinstance(v, float) else v for v in row] for row in rows])
    return file.getvalue()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file to write to, again and again."""
    return tmp_path_factory.mktemp("reading") / "t.csv"


@LAW
@given(ROWS, SEPARATOR, st.booleans(), ENCODING, st.sampled_from(["\n", "\r\n"]))
def test_a_written_table_is_read_back(path, rows, separator, comma, encoding, end):
    """In whatever separator, decimal mark, encoding and line ends a table is written, it is read back the same."""
    comma = comma and separator != ","
    assume(any(round(number * 100) % 10 for row in rows for number in row if isinstance(number, float)))
    path.write_bytes(written(rows, separator, "," if comma else ".", end).encode(encoding))
    form = find_form(path, Form())
    assert (form.separator, form.decimal) == (separator, "," if comma else ".")
    table = read_table(path, form, ["größe (m²)"])
    assert list(table) == ["a", "größe (m²)", "c"]
    assert list(zip(table["a"], table["größe (m²)"], table["c"], strict=True)) == rows


def test_the_whole_file_decides_the_encoding(path):
    """A letter far down, after what is looked at for the form, still tells the encoding."""
    path.write_bytes(b"a,b\n" + b"1,x\n" * (HEAD // 4) + "2,ä\n".encode("latin-1"))
    form = find_form(path, Form())
    assert form.encoding == "cp1252" and read_table(path, form)["b"].iloc[-1] == "ä"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("code", ["007", '"007"', " 007 "])
def test_zeros_are_kept_wherever_they_stand(path, encoding, end, code):
    """One code with a zero before it, far down in the file, keeps every text of its column; numbers stay numbers."""
    rows = [f"{n};{n % 7},5;{n}" for n in range(100, 60_000)]
    path.write_bytes(("\n".join(["a;b;c", *rows, f"1;1,5;{code}"]) + end).encode(encoding))
    table = read_table(path, find_form(path, Form()))
    assert table.dtypes.iloc[:2].astype(str).tolist() == ["int64", "float64"]
    assert table["c"].iloc[0] == "100" and table["c"].iloc[-1] == code.strip('"')


def test_only_whole_numbers_have_zeros_to_keep(path):
    """A column with decimals, signs or other texts beside a zero is read as ever; gaps stay gaps."""
    path.write_text("a,b,c\n01,-01,\n1.5,2,01\n2,3,2\n")
    table = read_table(path, find_form(path, Form()))
    assert table["a"].tolist() == [1, 1.5, 2] and table["b"].tolist() == [-1, 2, 3]
    assert table["c"].isna().tolist() == [True, False, False] and table["c"][1] == "01"


def test_a_column_without_a_name_gets_one(path):
    """What pandas and R write as the rows' numbers is called by its place."""
    path.write_text(",b,\n1,2,\n")
    assert list(read_table(path, find_form(path, Form()))) == ["column 1", "b", "column 3"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a;b\n1;2\n3\n", "line 3 has 1 values, the header names 2 columns"),
        ("a;b\n1;2\n3;4;5\n", "line 3 has 3 values, the header names 2 columns"),
        ('a;b\n1;"x\ny"\n3\n', "line 4 has 1 values, the header names 2 columns"),
        ("a;b\n1;2;\n3;4;\n", "line 2 has 3 values, the header names 2 columns"),
    ],
)
def test_ragged_lines_are_told(path, text, told):
    """A line with too few or too many values is named, whatever separates them."""
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        read_table(path, find_form(path, Form()))


def test_names_are_taken_as_they_stand(path):
    """Blanks around a name, names that differ in case only, keywords, numbers and very long ones are kept."""
    names = [" a", "a", "A", "class", "2024", "größe/北", 'the "best"', "x" * 500, "a\nb", "a.1", "Unnamed: 3"]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, range(len(names))])
    assert list(read_table(path, find_form(path, Form()))) == names


TEXT = st.text(st.sampled_from("ab1.,;\t|\"'\r\n é-/\x1a"), max_size=60)


@settings(deadline=None, max_examples=300)
@given(st.builds(str.encode, TEXT, ENCODING) | st.binary(max_size=30))
@example('a,b\n"'.encode("utf-16")[:-1])
@example(b"a,b\n" + b"x" * (1 << 18) + b",1\n")
@example(b"a,b\n" + b"x" * (1 << 25) + b",1\n")
def test_any_file_is_a_table_or_is_refused(path, content):
    """Whatever a file holds, it is read with the names of its header, or refused in one sentence."""
    path.write_bytes(content)
    told, table = "", pd.DataFrame({"a": [1]})
    try:
        table = read_table(path, find_form(path, Form()))
    except DataError as error:
        told = str(error)
    assert "\n" not in told and len(told) < 400
    assert len(table) and table.columns.is_unique


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        (["346", "76.571"], True),
        (["1.234", "12.500"], False),
        (["346", "76.571", "1.5"], False),
        (["1.0", "2"], False),
        (["0E0", "1E1", "5E5"], True),
        (["1e+05", "2"], False),
        ([str(10**20 + 7), str(10**20 + 8)], True),
        (["1", str(10**23), ""], True),
        (["5", "inf", "1.25"], False),
    ],
)
def test_what_may_be_no_number_stays_a_text(path, cells, kept):
    """Where a number hides how it was written, and that matters, the column is what stands in the file."""
    path.write_text("a,b\n" + "".join(f"{cell},1\n" for cell in cells))
    table = read_table(path, find_form(path, Form()))
    assert pd.api.types.is_numeric_dtype(table["a"]) is not kept
    assert not kept or table["a"].fillna("").tolist() == cells


@pytest.mark.parametrize("end", ['"oops', 'oops"'])
def test_a_stray_quote_does_not_swallow_rows(path, end):
    """Two quotes that nobody meant are refused with their line, and texts of many lines are read."""
    rows = [f"word,{n},{n}.5" for n in range(60)]
    rows[5], rows[25] = '"oops,5,5.5', f"{end},25,25.5"
    path.write_text("t,a,b\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"t\.csv: at line 7 a quote is not closed where it should be"):
        read_table(path, find_form(path, Form()))
    path.write_text('t,a,b\n"one, 1\ntwo, 2, or so\n\nthree",1,2\nx,3,4\n')
    assert len(read_table(path, find_form(path, Form()))) == 2


def test_a_line_before_the_header_is_honoured_or_refused(path):
    """Excel's `sep=;` names the separator and is no header; a comment there is refused in one sentence."""
    path.write_text("sep=;\na,x;b\n1,5;2\n2,5;3\n")
    form = find_form(path, Form())
    table = read_table(path, form)
    assert form.separator == ";" and list(table) == ["a,x", "b"] and table["a,x"].tolist() == [1.5, 2.5]
    path.write_text("sep=;\na;b\n1;2\n3\n")
    with pytest.raises(DataError, match="line 4 has 1 values"):
        read_table(path, find_form(path, Form()))
    path.write_text("# made by hand\na,b\n1,2\n")
    with pytest.raises(DataError, match=r"t\.csv begins with a comment, '# made by hand': remove the line"):
        find_form(path, Form())
