from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from modeling.tables import columns
from modeling.tables import dataset as tables
from service.errors import DataError

ROWS = "".join(f"{n},{n * n % 7},{n % 2}\n" for n in range(12))
REGRESSION = 'target = "y"\ntask = "regression"\n'


def use(path: Path, target: str = "y", features: tuple[str, ...] = ()) -> list[str]:
    """Read a table and choose its features, as every notebook does."""
    return columns.choose_features(tables.load(path, target), features)


BAD = {
    "empty": (b"", "", r"t\.csv is empty: give a CSV file with a header and rows"),
    "blank": (b"\n\n", "", r"t\.csv is empty: give"),
    "header only": ("a,b,y\n", "", r"t\.csv has a header and no rows: add rows"),
    "no such target": ("a,b,z\n1,2,0\n", "", r"t\.csv has no column 'y': choose the target among a, b, z"),
    "one class": ("a,b,y\n1,2,0\n2,3,0\n", "",
        r"t\.csv: the target 'y' has only one value, 0: .*; add rows of another"),
    "rare class": ("a,b,y\n1,2,p\n2,3,p\n3,4,q\n", "", r"t\.csv: the target 'y' has only one row of class 'q'"),
    "rare text": ("a,b,y\n1,2,u\n2,3,u\n3,4,v\n", "", r"the target 'y' has only one row of class 'v': add rows"),
    "no target value": ("a,b,y\n1,2,\n2,3,\n", "", r"t\.csv: the target 'y' has no values: choose another target"),
    "text target": ("a,y\n1,5\n2,high\n3,6\n", REGRESSION,
        r"t\.csv: the target 'y' holds texts such as 'high': .*correct"),
    "truth target": ("a,y\n1,True\n2,False\n", REGRESSION,
        r"t\.csv: the target 'y' holds texts such as True: .*correct"),
    "infinite target": ("a,y\n1,1.5\n2,inf\n3,2.5\n", "",
        r"t\.csv: the target 'y' holds an infinite number: correct it"),
    "duplicate names": ("a,a,y\n" + ROWS, "", r"t\.csv has more than one column 'a': rename one of them"),
    "long row": ("a,b,y\n1,2,0\n1,2,0,9\n", "", r"t\.csv: line 3 has 4 values, the header names 3 columns: correct"),
    "long rows": ("a,b,y\n1,2,0,\n1,2,1,\n", "", r"t\.csv: line 2 has 4 values, the header names 3 columns: correct"),
    "short row": ("a,b,y\n" + ROWS + "1,2\n", "", r"t\.csv: line 14 has 2 values, the header names 3 columns: correct"),
    "no text": (b"a,b,y\n\0\1,1,2\n", "", r"t\.csv is not a text: save the table as CSV"),
    "odd encoding": ("a,b,y\n" + ROWS, '[form]\nencoding = "klingon"',
        r"t\.csv cannot be read as 'klingon': correct `encoding` in its card"),
    "other kind": ("a,b,y\n" + ROWS + "x,1,1\n", '[columns.a]\nkind = "number"',
        r"the card calls the column 'a' a number, but it holds 'x': correct one of the two"),
    "no such kind": ("a,b,y\n" + ROWS, '[columns.a]\nkind = "colour"',
        r"the card t\.toml cannot be read: .*'colour'.*; correct it"),
    "broken card": ("a,b,y\n" + ROWS, 'task = "regr', r"the card t\.toml cannot be read: .*; correct it"),
    "odd task": ("a,b,y\n" + ROWS, 'task = "clustering"',
        r"the card t\.toml cannot be read: .*'clustering'.*; correct it"),
    "misspelt key": ("a,b,y\n" + ROWS, 'tarket = "y"', r"the card t\.toml cannot be read: .*`tarket`; correct it"),
    "target only": ("y\n0\n0\n1\n1\n", "", r"t\.csv has no column beside its target 'y': add a feature"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_told_in_one_sentence(write, case):
    """What is wrong with a table is one line that names the file, the column and the cure, without a warning."""
    content, card, told = BAD[case]
    with pytest.raises(DataError, match=told) as caught:
        use(write(content, card))
    assert "\n" not in str(caught.value) and "np." not in str(caught.value)


BAD_FEATURE = {
    "constant": ("1 1 1 1", r"is constant, always 1"),
    "constant text": ("u u u u", r"is constant, always 'u'"),
    "all missing": (", , , ,", r"has no values"),
    "infinite": ("inf 1 2 3", r"holds a number that is infinite or too large for 32 bits"),
    "too large": ("1e39 1 2 3", r"holds a number that is infinite or too large for 32 bits"),
}


@pytest.mark.parametrize("case", BAD_FEATURE)
def test_a_feature_that_cannot_be_learned_from_is_refused(write, case):
    """A column that is asked for by name and tells nothing ends in a sentence with the cure."""
    values, why = BAD_FEATURE[case]
    rows = "".join(f"{value.strip(',')},{n},{n % 2}\n" for n, value in enumerate(values.split()))
    with pytest.raises(DataError, match=rf"t\.csv: the column 'a' {why}: correct it, or take it out of `features`"):
        use(write("a,b,y\n" + rows), features=("a", "b"))


def test_a_table_with_nothing_to_learn_from_is_refused(write):
    """Where every column is left out the first of them is told with its reason."""
    with pytest.raises(DataError, match=r"t\.csv has no column to learn from \('a' is constant, always 1\): add one"):
        use(write("a,y\n" + "1,0\n1,1\n" * 3))


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (("a", "q"), r"t\.csv has no column 'q': choose `features` among a, b"),
        (("a", "y"), r"'y' is the target: take it out of `features`"),
    ],
)
def test_a_wrong_feature_is_refused(write, features, told):
    """A feature that the table has not, or that is the target, is named with the cure."""
    with pytest.raises(DataError, match=told):
        use(write("a,b,y\n" + ROWS), features=features)


@pytest.mark.parametrize("data", ["no/such.csv", "~nobody-here/t.csv", "t\0.csv", "x" * 5000, "."])
def test_a_missing_file_is_told(data):
    """A path with nothing behind it, whatever it looks like, ends in a short sentence."""
    with pytest.raises(DataError, match=r"there is no table .*: give the path of a CSV file") as caught:
        tables.load(data)
    assert len(str(caught.value)) < 300


def test_without_a_card_the_target_must_be_given(write):
    """A table without a card and without the parameter says which columns there are."""
    with pytest.raises(DataError, match=r"t\.csv has no target: give the parameter `target` .*, one of a, b, y"):
        tables.load(write("a,b,y\n" + ROWS))


def test_many_columns_are_told_shortly(write):
    """A message lists at most twenty columns."""
    header = ",".join(f"c{n}" for n in range(50))
    with pytest.raises(DataError, match=r"c19 and 30 more$"):
        tables.load(write(f"{header}\n{','.join('1' * 50)}\n"), "y")


def test_names_are_taken_as_they_stand(write):
    """A byte order mark is no part of a name; spaces, quotes, commas and letters of any script are."""
    path = write('\ufeff" a ""x"", b",größe,北\n'.encode() + ROWS.encode())
    assert use(path, "北") == [' a "x", b', "größe"]


def test_a_path_may_be_relative_to_the_notebooks(monkeypatch, tmp_path):
    """The notebooks' own default path is found from any working folder."""
    monkeypatch.chdir(tmp_path)
    assert tables.find("../data/wine.csv").name == "wine.csv"


def test_a_long_column_has_one_type(write):
    """A text far down in a long table makes the whole column text, not only the part that pandas reads with it."""
    rows = "".join(f"0{n % 9},{n},{n % 2}\n" for n in range(200_000))
    table = tables.load(write("a,b,y\n" + rows + "zz,1,1\n"), "y").table
    assert set(table["a"].map(type)) == {str}
    assert table["a"][:2].tolist() == ["00", "01"]


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ("0 1 2 0 1 2 0 1 2", "classification"),
        ("150 160 170 150", "regression"),
        ("0.5 1.5 2.5 0.5 1.5 2.5", "regression"),
        ("u v w u v w", "classification"),
        ("True False True False True False", "classification"),
        (" ".join(map(str, [*range(25), *range(25)])), "regression"),
    ],
)
def test_the_task_follows_from_the_target(write, values, task):
    """Texts and a few whole numbers are classes, other numbers are a regression."""
    path = write("a,y\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values.split())))
    assert tables.load(path, "y").task == task


def test_the_card_says_the_task_of_its_target_only(write):
    """A card's task holds for the target that it names, not for another that is asked for."""
    path = write("a,b,y\n" + ROWS, REGRESSION)
    assert tables.load(path).task == "regression"
    assert tables.load(path, "b").task == "classification"


def test_features_come_numbers_first_and_once(write):
    """Numbers stand before texts, in the order asked for, and a feature named twice is taken once."""
    rows = "".join(f"{'uvw'[n % 3]},{n},{n * 2},{n % 2}\n" for n in range(9))
    path = write("t,a,b,y\n" + rows)
    assert use(path) == ["a", "b", "t"]
    assert use(path, features=("t", "b", "t")) == ["b", "t"]


@pytest.mark.parametrize(
    ("name", "slug"),
    [("wine", "wine"), ("My Data (1)", "my_data_1"), ("x" * 99, "x" * 64)],
)
def test_a_file_name_becomes_a_model_name(name, slug):
    """Whatever a file is called, its model has a name that the bundle allows."""
    from service.bundle import model_name

    assert model_name(tables.slug(name)) == slug


def test_labels_of_axes_have_units():
    """An axis tells the unit where the card knows one."""
    wine = tables.load("../data/wine.csv")
    assert wine.label("alcohol") == "alcohol (% vol)"
    assert wine.label("hue") == "hue"
    assert wine.unit("cultivar") == wine.unit("no such column") == ""


def test_duplicates_are_dropped_and_rows_numbered_anew():
    """Of equal rows the first stays."""
    table = pd.DataFrame({"a": [1, 1, 2], "b": ["x", "x", "x"]})
    assert tables.drop_duplicates(table).to_dict("list") == {"a": [1, 2], "b": ["x", "x"]}
    assert list(tables.drop_duplicates(table).index) == [0, 1]


def test_a_text_among_numbers_is_a_mistake(write):
    """A column or a target that is nearly all numbers is not silently made categories of: the row is told."""
    rows = "".join(f"{n},{n % 2},{n * 1.5}\n" for n in range(20))
    dataset = tables.load(write("a,y,z\n" + rows + "three,1,2\n"), "y")
    with pytest.raises(DataError, match=r"t\.csv: the column 'a' is .* numbers, but row 20 is 'three': correct"):
        columns.choose_features(dataset, ["a"])
    with pytest.raises(DataError, match=r"t\.csv: the target 'z' is a column of numbers, but row 20 is '894,000'"):
        tables.load(write("a,y,z\n" + rows + '3,1,"894,000"\n'), "z")


def test_a_card_names_columns_that_are_there(write):
    """A misspelt column in a card is told with the nearest name."""
    path = write("area,y\n" + "".join(f"{n},{n % 2}\n" for n in range(9)))
    path.with_suffix(".toml").write_text('[columns.arae]\nunit = "m²"\n')
    with pytest.raises(DataError, match=r"t\.toml describes 'arae', which t\.csv has not; did you mean 'area'"):
        tables.load(path, "y")


IDENTIFIER = "is an identifier (whole numbers, all 40 different, that count the rows or are keys): "
UNLEARNABLE = {
    "counts": (list(range(40)), IDENTIFIER + 'choose another target, or say `kind = "number"` of it in'),
    "names": ([f"customer-{n}" for n in range(40)], "is an identifier (40 different values in 40 rows"),
    "remarks": ([f"house {n} is fine; or nearly so" for n in range(40)], "is a free text (40 different values"),
    "commas": ([f'"{300 + n},998"' for n in range(40)], ": in numbers such as '300,998' the comma may be a decimal"),
    "slashes": ([f"{n % 12 + 1}/1/2024" for n in range(40)], ": dates such as '1/1/2024' may begin with the day"),
    "rare number": ([*[2023, 2024] * 19, 2023, 2025], "has only one row of class 2025: add rows of it or"),
}


def of_target(values: list) -> str:
    """Return a table of a number and the target `y` with these values."""
    return "a,y\n" + "".join(f"{n * 7 % 5},{value}\n" for n, value in enumerate(values))


@pytest.mark.parametrize("case", UNLEARNABLE)
def test_a_target_that_cannot_be_learned_is_told_why(write, case):
    """A target that names the rows, is a free text or can be read in two ways is refused before anything is trained."""
    values, told = UNLEARNABLE[case]
    with pytest.raises(DataError, match=re.escape(told)) as caught:
        tables.load(write(of_target(values)), "y")
    assert "card" in str(caught.value) and "\n" not in str(caught.value)


def test_who_says_the_task_or_the_kind_is_believed(write):
    """A number that counts the rows is learned once the parameter or the card says so; and so is a rare year."""
    counts, _ = UNLEARNABLE["counts"]
    assert tables.load(write(of_target(counts)), "y", "regression").task == "regression"
    assert tables.load(write(of_target(counts), '[columns.y]\nkind = "number"'), "y").task == "regression"
    assert tables.load(write(of_target(UNLEARNABLE["rare number"][0]), ""), "y", "regression").task == "regression"
    commas = of_target(UNLEARNABLE["commas"][0])
    assert tables.load(write(commas, '[form]\nthousands = ","'), "y").table["y"][0] == 300_998


def test_the_task_that_is_asked_for_goes_before_the_cards(write):
    """The parameter is stronger than the card; what is no task is refused with the two that there are."""
    path = write("a,b,y\n" + ROWS, REGRESSION)
    assert tables.load(path, task="classification").task == "classification"
    with pytest.raises(DataError, match=r"`task` must be one of classification, regression, or empty, got 'cluster'"):
        tables.load(path, task="cluster")


def test_a_measured_target_is_no_identifier(write):
    """Numbers that are all different and do not count the rows are learned as they are."""
    for values in ([n * n for n in range(40)], [n / 8 for n in range(40)], [n // 2 for n in range(80)]):
        assert tables.load(write(of_target(values)), "y").task == "regression"


def test_a_postcode_keeps_its_zeros(write):
    """Whole numbers of which some begin with a zero are texts as they stand, whether they are few or many."""
    rows = "".join(f"0{1000 + n % 5},{n:05},{n % 7},{n % 2}\n" for n in range(40))
    dataset = tables.load(write("postcode,number,a,y\n" + rows), "y")
    assert dataset.table["postcode"][:2].tolist() == ["01000", "01001"]
    assert dataset.kinds == {"postcode": "category", "number": "identifier", "a": "number", "y": "number"}
    assert dataset.notes["postcode"] == "whole numbers with leading zeros, such as '01000', are kept as texts"
    card = '[columns.postcode]\nkind = "number"'
    assert tables.load(write("postcode,number,a,y\n" + rows, card), "y").table["postcode"][1] == 1001


@pytest.mark.parametrize("name", ["北", "..", ""])
def test_a_file_name_without_letters_names_no_model(name):
    """Where nothing is left of a file's name, a name is asked for, so that two tables never become one model."""
    with pytest.raises(DataError, match="cannot name a model: give the parameter `model`"):
        tables.slug(name)


def test_words_for_a_missing_value_are_values_among_texts(write):
    """`NA` and `None` are missing among numbers and stay what they are among texts."""
    table = tables.load(write("a,b\n" + "1,None\nNA,mild\n?,severe\n" * 9), "b").table
    assert table["a"].isna().sum() == 18 and tables.is_number(table["a"])
    assert sorted(table["b"].unique()) == ["None", "mild", "severe"]


def test_what_was_assumed_is_told(write):
    """A table says how its file was read, of what kind its columns are, and what was assumed of them."""
    rows = "".join(f"{n}.03.2024;{n},5;{'ja' if n % 2 else 'nein'}\n" for n in range(1, 25))
    dataset = tables.load(write(("tag;größe;y\n" + rows).encode("latin-1")), "y")
    assert dataset.form.told() == ";-separated, decimal comma, Windows-1252 (Latin-1)"
    assert dataset.kinds == {"tag": "date", "größe": "number", "y": "category"}
    assert dataset.notes == {"tag": "dates written day first, such as 1.03.2024"}


def test_a_card_corrects_what_was_inferred(write):
    """The card has the last word on the form of the file and on the kind of a column."""
    rows = "".join(f"{n:03};{n % 3}/{4}/2024;1,{n % 9}00;{n % 2}\n" for n in range(1, 40) if n % 3)
    card = '[form]\nthousands = ","\n[columns.code]\nkind = "category"\n[columns.day]\nkind = "date"\nfirst = "month"\n'
    dataset = tables.load(write("code;day;n;y\n" + rows, card), "y")
    assert dataset.kinds == {"code": "category", "day": "date", "n": "number", "y": "number"}
    assert dataset.table["code"][0] == "001" and dataset.table["n"][0] == 1100
    assert dataset.table["day"][0] == pd.Timestamp("2024-01-04")


def test_a_target_of_dates_is_refused(write):
    """A date is no target: with or without a task it is told what it holds."""
    rows = "".join(f"{n % 7},2024-01-{1 + n % 28}\n" for n in range(30))
    with pytest.raises(DataError, match=r"t\.csv: the target 'y' holds dates, .*: choose another target"):
        tables.load(write("a,y\n" + rows), "y")
    with pytest.raises(DataError, match=r"the target 'y' holds texts such as '2024-01-1': a regression needs numbers"):
        tables.load(write("a,y\n" + rows, REGRESSION))
