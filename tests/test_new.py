from __future__ import annotations

import tomllib

import pytest
from conftest import ROOT
from test_any_table import TARGET, cells, write

from modeling.tables import dataset as tables
from service.errors import CellarError
from workshop.new import take_in


@pytest.fixture
def path(tmp_path):
    """A table with awkward names and every kind of column, outside of the house."""
    return write(tmp_path / "mine.csv", cells(60))


def test_a_table_is_taken_in(path, tmp_path):
    """The copy is byte for byte the file, and its card makes the same of it as was inferred."""
    card, before, task, fault = take_in("houses", str(path), tmp_path / "data", TARGET)
    assert {file.name for file in card.parent.iterdir()} == {"houses.csv", "houses.toml"}
    assert (card.parent / "houses.csv").read_bytes() == path.read_bytes()
    after = tables.load(card.parent / "houses.csv")
    assert (after.target, after.task, after.form, after.kinds) == (
        before.target,
        task,
        before.form,
        before.kinds,
    )
    assert after.table.equals(before.table) and fault == ""


def test_the_card_can_be_read_by_people(path, tmp_path):
    """A line for each column says its kind, a blank unit and meaning, an example, and why it is left out."""
    card, dataset, *_ = take_in("houses", str(path), tmp_path / "data", TARGET)
    lines = card.read_text(encoding="utf-8").splitlines()
    told = tomllib.loads("\n".join(lines))
    assert told["title"] == told["licence"] == "" and list(told["columns"]) == list(dataset.table.columns)
    assert '"furnished" = { kind = "boolean", unit = "", meaning = "" }  # such as "False"' in lines
    (nr,) = [line for line in lines if line.startswith('"nr" = { kind = "identifier"')]
    assert nr.endswith(
        "left out: it is an identifier (whole numbers, all 60 different, that count the rows or are keys)"
    )
    (price,) = [line for line in lines if line.startswith(f'"{TARGET}"')]
    assert price.startswith(f'"{TARGET}" = {{ unit = "", meaning = "" }}  # the target; such as ')
    assert not [line for line in lines if line.startswith('"empty" = { kind')]


def test_what_a_card_said_is_kept(tmp_path):
    """A table that has a card keeps its title, units and meanings."""
    card, dataset, *_ = take_in("mine", str(ROOT / "data" / "wine.csv"), tmp_path)
    again = tables.read_card(card)
    assert (again.title, again.citation) == (dataset.card.title, dataset.card.citation)
    assert again.columns["alcohol"].unit == "% vol" and again.columns["alcohol"].meaning


@pytest.mark.parametrize("there", ["houses.csv", "houses.toml"])
def test_nothing_is_overwritten_untold(path, tmp_path, there):
    """A table or a card of that name stays as it is, unless it is said to be overwritten."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / there).write_text("mine")
    with pytest.raises(CellarError, match=f"{there} is there already: choose another name, or say --overwrite"):
        take_in("houses", str(path), tmp_path / "data", TARGET)
    assert [file.read_text() for file in (tmp_path / "data").iterdir()] == ["mine"]
    take_in("houses", str(path), tmp_path / "data", TARGET, overwrite=True)
    assert tables.load(tmp_path / "data" / "houses.csv").target == TARGET


def test_a_table_of_the_house_gets_its_card(path, tmp_path):
    """A CSV that lies in data/ already is described where it is."""
    table = path.rename(tmp_path / "houses.csv")
    before = table.read_bytes()
    card, *_ = take_in("houses", str(table), tmp_path, TARGET)
    assert card.is_file() and table.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "file", "target", "told"),
    [
        ("../x", "mine.csv", TARGET, r"'\.\./x' cannot name a table: use small letters"),
        ("Houses", "mine.csv", TARGET, "'Houses' cannot name a table"),
        ("houses", "no.csv", TARGET, "there is no table"),
        ("houses", "mine.csv", "cost", "has no column 'cost': choose the target among"),
    ],
)
def test_a_mistake_writes_nothing(path, tmp_path, name, file, target, told):
    """What cannot be taken in ends in a sentence before anything is written."""
    with pytest.raises(CellarError, match=told):
        take_in(name, str(path.with_name(file)), tmp_path / "data", target)
    assert not (tmp_path / "data").exists()


UNLEARNABLE = {
    "no target": ("", 'y"', "has no target: give the parameter `target` or name it in the card, one of a, y"),
    "doubtful": ("y", '"y" = { unit', "the comma may be a decimal one or one of thousands: say which as `decimal` or"),
}


@pytest.mark.parametrize("case", UNLEARNABLE)
def test_a_target_that_cannot_be_learned_gets_a_card_all_the_same(tmp_path, case):
    """The card is where people correct things, so it is written, without a task, and what is wrong is told."""
    target, line, told = UNLEARNABLE[case]
    source = tmp_path / "mine.csv"
    source.write_text("a,y\n" + "".join(f'"{n % 9 + 1},500","{300 + n},998"\n' for n in range(40)))
    card, described, task, fault = take_in("houses", str(source), tmp_path / "data", target)
    assert told in fault and task == "" and described.target == target
    text = card.read_text(encoding="utf-8")
    assert line in text and 'task = ""' in text and 'thousands = ""' in text
    assert (card.parent / "houses.csv").read_bytes() == source.read_bytes()


def test_a_card_that_is_corrected_is_learned_from(tmp_path):
    """Saying the thousands mark and the target in the written card is all there is to do, features included."""
    source = tmp_path / "mine.csv"
    source.write_text("a,y\n" + "".join(f'"{n % 9 + 1},500","{300 + n},998"\n' for n in range(40)))
    card, *_ = take_in("houses", str(source), tmp_path / "data")
    text = card.read_text(encoding="utf-8").replace('target = ""', 'target = "y"')
    card.write_text(text.replace('thousands = ""', 'thousands = ","'), encoding="utf-8")
    dataset = tables.load(card.with_suffix(".csv"), task="regression")
    assert dataset.kinds["a"] == "number" and dataset.table.iloc[0].tolist() == [1500, 300_998]


def test_a_folder_that_cannot_be_written_is_told(path, tmp_path):
    """A file in the folder's place is told with the setting that names the folder."""
    (tmp_path / "data").write_text("a file")
    with pytest.raises(CellarError, match=r"data cannot be written .*: set CELLAR_DATA"):
        take_in("houses", str(path), tmp_path / "data", TARGET)
