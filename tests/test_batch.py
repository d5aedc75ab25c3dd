from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modeling.exporting.export import as_inputs
from modeling.tables import columns
from modeling.tables import dataset as tables
from service.errors import CellarError, DataError, InputError
from service.model import load
from workshop import batch


@pytest.fixture
def wine(trained_wine):
    """The loaded model of wine."""
    return load(trained_wine.folder)


@pytest.fixture
def houses(trained_houses):
    """The loaded model of houses: mixed features, some of which may be missing."""
    return load(trained_houses.folder)


@pytest.fixture
def small_chunks(monkeypatch):
    """Read seven rows at a time."""
    monkeypatch.setattr(batch, "CHUNK", 7)


@pytest.fixture
def send(tmp_path):
    """The function that sends a table, or the text of one, through a model and returns what was written."""

    def through(model, rows: pd.DataFrame | str | bytes) -> pd.DataFrame:
        source, output = tmp_path / "rows.csv", tmp_path / "out.csv"
        content = rows.to_csv(index=False) if isinstance(rows, pd.DataFrame) else rows
        source.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            count, _ = batch.predict_file(model, source, output)
        finally:
            assert {path.name for path in tmp_path.iterdir()} <= {"rows.csv", "out.csv"}
        written = pd.read_csv(output)
        assert len(written) == count
        return written

    return through


@pytest.mark.parametrize("chunk", [1, 7, 178, 50_000])
def test_predictions_are_those_of_the_model(wine, send, monkeypatch, chunk):
    """Row for row, with each class's probability, however the file is cut into chunks."""
    monkeypatch.setattr(batch, "CHUNK", chunk)
    table = tables.load("../data/wine.csv").table
    expected = wine.predict(as_inputs(columns.as_model_input(table, wine.schema.names), wine.manifest.features))
    written = send(wine, table)
    assert list(written) == ["prediction", "probability_0", "probability_1", "probability_2"]
    assert written["prediction"].tolist() == expected.values.tolist()
    np.testing.assert_allclose(written.iloc[:, 1:], expected.probabilities, atol=1e-6)


@pytest.mark.usefixtures("small_chunks")
def test_a_regression_has_one_column(trained_prices, houses_csv, send):
    """Where there are no classes only the number is written."""
    prices = load(trained_prices.folder)
    rows = trained_prices.held_out
    written = send(prices, rows)
    assert list(written) == ["prediction"]
    np.testing.assert_allclose(
        written["prediction"],
        trained_prices.pipeline.predict(columns.as_model_input(rows, list(trained_prices.X))),
        rtol=1e-5,
    )


@pytest.mark.usefixtures("small_chunks")
def test_gaps_and_categories_are_read_as_in_training(trained_houses, houses, houses_csv, send):
    """Missing numbers and texts, texts with markup, quotes and commas, and columns in another order."""
    table = pd.read_csv(houses_csv)
    assert table.isna().any().any()
    written = send(houses, table[table.columns[::-1]])
    expected = trained_houses.pipeline.predict(columns.as_model_input(table, list(trained_houses.X)))
    assert written["prediction"].tolist() == expected.tolist()


def test_truth_values_are_read_as_in_training(tmp_path, send):
    """A column of truth values means the same in a file of rows as in the table that was trained on."""
    from conftest import evaluate, train

    rows = "".join(f"{n},{'True' if n * 7 % 5 > 2 else 'FALSE'},{int(n * 7 % 5 > 2)}\n" for n in range(60))
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "t.csv").write_text("a,b,y\n" + rows)
    trained = train(tmp_path / "house", tmp_path / "house" / "t.csv", target="y", estimator="logistic_regression")
    evaluate(trained)
    out, source = tmp_path / "out.csv", tmp_path / "house" / "t.csv"
    batch.predict_file(load(trained.folder), source, out)
    assert pd.read_csv(out)["prediction"].tolist() == pd.read_csv(source)["y"].tolist()


def test_codes_keep_their_zeros_as_in_training(tmp_path_factory, send):
    """A postcode is the text that it was in training, in a file where no other has a zero before it, too."""
    from conftest import train

    path = tmp_path_factory.mktemp("codes") / "t.csv"
    rows = [(f"{n % 2 * 9000 + 1067:05}", n * n % 7, n % 2 * 5 + n % 3 / 2) for n in range(80)]
    path.write_text("code,a,y\n" + "".join(f"{code},{a},{y}\n" for code, a, y in rows))
    model = load(train(path.parent, path, "codes", target="y").folder)
    (code,) = (feature for feature in model.manifest.features if feature.name == "code")
    assert (code.kind, code.categories) == ("category", ["01067", "10067"])
    low, high = (send(model, f"code,a\n{zip_code},3\n")["prediction"][0] for zip_code in ("01067", "10067"))
    assert high - low > 3


def test_extra_columns_are_ignored(wine, send):
    """Columns that the model does not know, its target among them, change nothing."""
    table = tables.load("../data/wine.csv").table[:9]
    bare = send(wine, table.drop(columns="cultivar"))
    assert send(wine, table.assign(note="<b>", other=1.5)).equals(bare)


def test_a_byte_order_mark_is_no_part_of_a_name(wine, send):
    """A file as a spreadsheet saves it is read."""
    text = tables.load("../data/wine.csv").table[:3].to_csv(index=False)
    assert len(send(wine, "\ufeff" + text)) == 3


def test_a_header_alone_gives_a_header(wine, send):
    """No rows, no predictions, and a file all the same."""
    written = send(wine, ",".join(wine.schema.names) + "\n")
    assert written.empty and written.columns[0] == "prediction"


ROW = "14.23,1.71,2.43,15.6,127,2.8,3.06,0.28,2.29,5.64,1.04,3.92,1065"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: "", r"rows\.csv is empty: give a CSV file with a header"),
        (lambda text: text.replace("hue", "huge"), r"rows\.csv has no column 'hue', which wine needs: add it"),
        (lambda text: text + ROW + ",5,6\n", r"rows\.csv is not a table: .*; correct it"),
        (lambda text: text.replace("\n", ",9\n").replace(",9", "", 1), r"rows\.csv is not a table: .*; correct it"),
        (lambda text: text.encode() + b"\0", r"rows\.csv is not a text: save the table as CSV"),
        (
            lambda text: text + '"14',
            r"rows\.csv is not a table: .*; correct it|row 20: 'malic_acid' must not be missing",
        ),
    ],
)
@pytest.mark.usefixtures("small_chunks")
def test_a_file_that_is_no_table_is_told(wine, send, tmp_path, change, told):
    """Empty, without a column, ragged, no text or torn: one sentence, and no output."""
    text = "\n".join([",".join(wine.schema.names), *[ROW] * 20]) + "\n"
    with pytest.raises(CellarError, match=told) as caught:
        send(wine, change(text))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("value", ["high", "", "inf", "1e39", "1_4", "True", "0x10"])
@pytest.mark.parametrize("row", [0, 6, 7, 16])
@pytest.mark.usefixtures("small_chunks")
def test_a_wrong_value_is_told_by_its_row_in_the_file(wine, send, tmp_path, row, value):
    """The row counts over the whole file from 0, the column is named, and nothing is written."""
    lines = [ROW] * 17
    lines[row] = ROW.replace("14.23", value)
    (tmp_path / "out.csv").write_text("as before")
    with pytest.raises(InputError, match=rf"^row {row}: 'alcohol' must ") as caught:
        send(wine, "\n".join([",".join(wine.schema.names), *lines]))
    assert caught.value.problems[0].row == row
    assert "np." not in str(caught.value)
    assert (tmp_path / "out.csv").read_text() == "as before"


def test_a_number_written_otherwise_is_still_one(wine, send):
    """Spaces and exponents in a column with an odd value elsewhere do not change the numbers."""
    lines = [ROW, ROW.replace("14.23", " 14.23 "), ROW.replace("14.23", "1.423e1")]
    written = send(wine, "\n".join([",".join(wine.schema.names), *lines]))
    assert written.drop_duplicates().shape[0] == 1


@pytest.mark.parametrize(
    ("source", "output", "told"),
    [
        ("no.csv", "out.csv", r"no\.csv cannot be read \(No such file or directory\): give another path"),
        (".", "out.csv", r"cannot be read \(Is a directory\)"),
        ("rows.csv", "no/out.csv", r"no/out\.csv cannot be written \(No such file or directory\): give another path"),
        ("rows.csv", "taken", r"taken is a folder: name a file for the predictions"),
    ],
)
def test_a_path_that_cannot_be_used_is_told(wine, tmp_path, source, output, told):
    """The sentence names the path that was given, and whether it was to be read or written."""
    (tmp_path / "rows.csv").write_text(",".join(wine.schema.names) + "\n" + ROW)
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match=told):
        batch.predict_file(wine, tmp_path / source, tmp_path / output)
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv", "taken"}


def test_the_output_appears_when_it_is_whole(wine, tmp_path, monkeypatch):
    """While rows are answered the output is not there yet; then it is, complete."""
    monkeypatch.setattr(batch, "CHUNK", 2)
    (tmp_path / "rows.csv").write_text("\n".join([",".join(wine.schema.names), *[ROW] * 6]))
    seen = []
    answers = batch._answers
    monkeypatch.setattr(batch, "_answers", lambda *w: seen.append((tmp_path / "out.csv").exists()) or answers(*w))
    assert batch.predict_file(wine, tmp_path / "rows.csv", tmp_path / "out.csv") == (6, [])
    assert seen == [False] * 3
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 7


def test_the_input_is_never_overwritten(wine, tmp_path):
    """An output that is the input, under whatever name, is refused and the input stays as it was."""
    rows = tmp_path / "rows.csv"
    whole = (tables.NOTEBOOKS.parent / "data" / "wine.csv").read_bytes()
    rows.write_bytes(whole)
    (tmp_path / "link.csv").symlink_to(rows)
    for output in (rows, tmp_path / "link.csv"):
        with pytest.raises(DataError, match=r"is the input: name another file for the predictions"):
            batch.predict_file(wine, rows, output)
    assert rows.read_bytes() == whole


@pytest.mark.usefixtures("small_chunks")
def test_what_is_new_to_the_model_is_told(wine, tmp_path):
    """Values outside the range of training are counted over chunks, with the row of the file."""
    rows = pd.read_csv(tables.NOTEBOOKS.parent / "data" / "wine.csv")
    rows.loc[5, "alcohol"] = 99
    rows.to_csv(tmp_path / "rows.csv", index=False)
    _, warned = batch.predict_file(wine, tmp_path / "rows.csv", tmp_path / "out.csv")
    assert (5, "alcohol", 99.0) in [(problem.row, problem.field, problem.value) for problem in warned]


def test_a_missing_input_is_told_though_the_output_exists(wine, tmp_path):
    """Comparing the two files does not stand in the way of the sentence for a missing one."""
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(DataError, match=r"rows\.csv cannot be read \(No such file or directory\)"):
        batch.predict_file(wine, tmp_path / "rows.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40), st.sampled_from(["\n", "", "\r\n"]))
def test_any_file_is_answered_or_refused(wine, tmp_path, content, end):
    """Whatever stands below a header, there is a prediction for each row or one sentence and no file."""
    rows, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    output.unlink(missing_ok=True)
    rows.write_bytes(",".join(wine.schema.names).encode() + end.encode() + content)
    told = ""
    try:
        count, _ = batch.predict_file(wine, rows, output)
        assert len(output.read_text().splitlines()) == count + 1
    except CellarError as error:
        told = str(error)
    assert output.exists() == (not told) and "\n" not in told


@pytest.fixture
def learned(tmp_path):
    """The function that trains on the text of a table, with a card, and returns the model and the table's path."""
    from conftest import evaluate, train

    def learn(text: str, card: str = ""):
        house = tmp_path / "house"
        house.mkdir()
        (house / "t.csv").write_text(text)
        (house / "t.toml").write_text(card)
        trained = train(house, house / "t.csv", target="y", estimator="linear_regression")
        evaluate(trained)
        return load(trained.folder), house / "t.csv"

    return learn


def answers(model, path, text: str) -> list[float]:
    """Return the predictions for the text of a file."""
    source = path.with_name("rows.csv")
    source.write_text(text)
    batch.predict_file(model, source, path.with_name("out.csv"))
    return pd.read_csv(path.with_name("out.csv"))["prediction"].tolist()


def test_a_file_is_read_as_the_training_table_was(learned, capfd):
    """Points are thousands where training showed it, though two rows show nothing; another separator is inferred."""
    rows = "".join(f"{n}.{n * 37 % 1000:03};{n % 7};{n},5\n" for n in range(1, 61))
    model, path = learned("area;rooms;y\n" + rows)
    (first,) = answers(model, path, "area;rooms\n7.685;1\n")
    told = "rows.csv is read as ;-separated, decimal comma, thousands set off by points, UTF-8."
    assert told in capfd.readouterr().err
    assert [first] == answers(model, path, "area,rooms\n7685,1\n") == answers(model, path, "area;rooms\n7685;1\n")
    assert "rows.csv is read as ;-separated" in capfd.readouterr().err


def test_a_card_goes_for_files_of_rows_as_well(learned):
    """What comes first in a date, and truth values of 0 and 1, are read as the card had training read them."""
    rows = "".join(f"{n % 12 + 1}/{n % 11 + 1}/2024,{n * 7 % 5 % 2},{n * 1.5}\n" for n in range(60))
    card = '[columns.sold]\nkind = "date"\nfirst = "day"\n[columns.b]\nkind = "boolean"\n'
    model, path = learned("sold,b,y\n" + rows, card)
    assert model.manifest.data.written.first == {"sold": "day"}
    batch.predict_file(model, path, path.with_name("out.csv"))
    assert len(pd.read_csv(path.with_name("out.csv"))) == 60
    assert answers(model, path, "sold,b\n2/3/2024,1\n") == answers(model, path, "sold,b\n2024-03-02,true\n")


def test_a_short_line_is_refused(learned):
    """A line without its last value is a mistake, though that value may be missing."""
    rows = "".join(f"{n}.5,{'' if n % 9 == 0 else n * 7 % 5},{n * 1.5}\n" for n in range(60))
    model, path = learned("x,z,y\n" + rows)
    assert len(answers(model, path, "x,z\n1.5,2.5\n1.5,\n")) == 2
    with pytest.raises(
        DataError, match=r"rows\.csv: line 3 has 1 values, the header names 2 columns: correct the line"
    ):
        answers(model, path, "x,z\n1.5,2.5\n1.5\n0.3,1\n")
