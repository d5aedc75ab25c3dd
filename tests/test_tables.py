from __future__ import annotations

import csv
import gzip
import io
import json
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader
from arro3.core import Schema as ArrowSchema
from arro3.io import read_ipc_stream, read_parquet, write_ipc_stream, write_parquet
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from service.app import create_app
from service.contents import Feature
from service.errors import CellarError, InputError, RequestError, TooLargeError
from service.rows.inputs import Inputs, Schema
from service.tables import answering, arrow, bodies, texts, unpacking
from service.tables.writing import ARROW, CSV, NDJSON, PARQUET

MEDIA = (CSV, NDJSON, ARROW, PARQUET)
TYPES = {"number": DataType.float64(), "category": DataType.string()}
FEW = settings(deadline=None, max_examples=25, database=None, suppress_health_check=list(HealthCheck))
PLENTY = settings(deadline=None, max_examples=300, database=None, suppress_health_check=list(HealthCheck))

Record = dict[str, Any]


@pytest.fixture(scope="module")
def house(houses_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service on `houses` and `prices`, in which numbers and texts may be missing."""
    reports = tmp_path_factory.mktemp("reports")
    return create_app({"artifacts": houses_artifacts, "reports": reports, "default_model": "houses"}).test_client()


@pytest.fixture(scope="module")
def wine(wine_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service on `wine`, which takes numbers only, none of them missing."""
    return create_app({"artifacts": wine_artifacts, "reports": tmp_path_factory.mktemp("reports")}).test_client()


@pytest.fixture(scope="module")
def bottle(wine: FlaskClient) -> Record:
    """A row that fits `wine`."""
    return {feature["name"]: feature["example"] for feature in wine.get("/models/wine").json["features"]}


@pytest.fixture(scope="module")
def home(house: FlaskClient) -> Record:
    """A row that fits `houses` and `prices`."""
    return {feature["name"]: feature["example"] for feature in house.get("/models/houses").json["features"]}


def array(values: list[Any]) -> Array:
    """Return a column of texts or of numbers."""
    texts_only = any(isinstance(value, str) for value in values)
    return Array(values, TYPES["category" if texts_only else "number"])


def batch(rows: list[Record]) -> RecordBatch:
    """Return records as one record batch."""
    return RecordBatch.from_pydict({name: array([row[name] for row in rows]) for name in rows[0]})


def stream(table: Any, compression: str | None = None) -> bytes:
    """Return a table as an Arrow stream."""
    file = io.BytesIO()
    write_ipc_stream(table, file, compression=compression)
    return file.getvalue()


def parquet(table: Any, compression: str = "snappy") -> bytes:
    """Return a table as a Parquet file."""
    file = io.BytesIO()
    write_parquet(table, file, compression=compression)
    return file.getvalue()


def as_csv(rows: list[Record]) -> bytes:
    """Return records as CSV, as Python writes it."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def as_lines(rows: list[Record]) -> bytes:
    """Return records as JSON, one a line."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


WRITE: dict[str, Callable[[list[Record]], bytes]] = {
    CSV: as_csv,
    NDJSON: as_lines,
    ARROW: lambda rows: stream(batch(rows)),
    PARQUET: lambda rows: parquet(batch(rows)),
}


def ask(
    client: FlaskClient, body: bytes, media: str, accept: str = "", path: str = "/predict", **headers: str
) -> TestResponse:
    """Send a table."""
    given = {"Accept": accept} if accept else {}
    return client.post(path, data=body, content_type=media, headers={**given, **headers})


def table_of(reply: TestResponse) -> dict[str, list[Any]]:
    """Return the columns of a reply that is a table, texts of a CSV as they are."""
    assert reply.status_code == 200, reply.text
    assert int(reply.headers["Content-Length"]) == len(reply.data)
    if reply.mimetype == CSV:
        header, *rows = csv.reader(io.StringIO(reply.text, newline=""), strict=True)
        return {name: [row[at] for row in rows] for at, name in enumerate(header)}
    if reply.mimetype == NDJSON:
        records = [json.loads(line) for line in reply.text.splitlines()]
        return {name: [record[name] for record in records] for name in records[0]} if records else {}
    read = read_ipc_stream if reply.mimetype == ARROW else read_parquet
    found = read(io.BytesIO(reply.data)).read_all()
    return {name: found.column(name).to_pylist() for name in found.column_names}


def bits(values: list[Any]) -> list[bytes]:
    """Return numbers as what they are in 32 bits."""
    return [np.float32(value).tobytes() for value in values]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "living area (m²)": st.floats(0, 1000) | st.floats(1, 9, width=32),
            "<script>alert(1)</script>": st.sampled_from(["Süd", "北", '"x", y', "007", "=1+1", " a\r\nb "]),
            "floors/level": st.none() | st.integers(0, 9).map(float),
            'it\'s "quoted"': st.floats(-1e30, 1e30),
            "heating, by": st.none() | st.sampled_from(["gas", "NA", "null", "-"]),
        }
    ),
    min_size=1,
    max_size=9,
)


@FEW
@given(ROWS, st.randoms(use_true_random=False))
def test_the_same_rows_give_the_same_bits_in_every_form(house: FlaskClient, rows: list[Record], draw: Any):
    """CSV, NDJSON, Arrow and Parquet, columns in any order, answer what JSON answers, to the last bit."""
    expected = house.post("/models/prices/predict", json={"instances": rows}).json
    for media, write in WRITE.items():
        names = list(rows[0])
        draw.shuffle(names)
        reply = ask(house, write([{name: row[name] for name in names} for row in rows]), media, path=PRICES).json
        assert "predictions" in reply, (reply, media)
        assert bits(reply["predictions"]) == bits(expected["predictions"]), media
        assert reply.get("warnings") == expected.get("warnings")


PRICES = "/models/prices/predict"


@FEW
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_come_out_as_they_went_in(values: list[float]):
    """A number's shortest text in a CSV or a line of JSON reads back to the same 32 bits."""
    schema = Schema([Feature("x", "number")])
    for text in ("x\n" + "".join(f"{value!r}\n" for value in values), "x\n" + "".join(f"{v:.17e}\n" for v in values)):
        (read,) = texts.read_csv(as_body(text.encode()), schema)
        assert bits(read.numbers[:, 0].tolist()) == bits(values)


@pytest.mark.parametrize("accept", MEDIA)
@pytest.mark.parametrize("media", MEDIA)
def test_a_table_goes_in_and_a_table_comes_out(house: FlaskClient, home: Record, media: str, accept: str):
    """Whatever goes in, the reply is what `Accept` asks for, with one column, whose texts are the labels."""
    expected = house.post("/predict", json={"instances": [home] * 3}).json["predictions"]
    reply = ask(house, WRITE[media]([home] * 3), media, accept)
    assert reply.mimetype == accept
    assert reply.headers["X-Model"] == "houses"
    assert table_of(reply) == {"prediction": expected}


@pytest.mark.parametrize("accept", MEDIA)
def test_probabilities_and_sets_have_a_column_for_each_class(wine: FlaskClient, bottle: Record, accept: str):
    """A class's probability is the number that JSON has, and whether it is in the set is a truth value."""
    path = "/predict?include=probabilities,interval&coverage=0.8"
    expected = wine.post(path, json={"instances": [bottle]}).json
    columns = table_of(ask(wine, WRITE[accept]([bottle]), accept, accept, path))
    assert list(columns) == ["prediction", *(f"{what}_{c}" for what in ("probability", "set") for c in (0, 1, 2))]
    assert [str(label) for label in columns["prediction"]] == [str(label) for label in expected["predictions"]]
    for label, probability in expected["probabilities"][0].items():
        assert bits(columns[f"probability_{label}"]) == bits([probability])
    held = [label for label in (0, 1, 2) if str(columns[f"set_{label}"][0]).lower() == "true"]
    assert held == expected["interval"][0]


@pytest.mark.parametrize("accept", MEDIA)
def test_an_interval_has_a_column_for_each_end(house: FlaskClient, home: Record, accept: str):
    """A regression's limits are `lower` and `upper`."""
    path = f"{PRICES}?include=interval"
    expected = house.post(path, json={"instances": [home, home]}).json["interval"]
    columns = table_of(ask(house, as_lines([home, home]), NDJSON, accept, path))
    assert list(columns) == ["prediction", "lower", "upper"]
    for row in (0, 1):
        assert [float(columns[name][row]) for name in ("lower", "upper")] == pytest.approx(expected[row])


def test_labels_keep_their_types(wine: FlaskClient, bottle: Record, house: FlaskClient, home: Record):
    """Whole numbers are int64, texts utf8, numbers float32."""
    for client, row, path, kind in (
        (wine, bottle, "/predict", DataType.int64()),
        (house, home, "/predict", DataType.string()),
        (house, home, PRICES, DataType.float32()),
    ):
        reply = ask(client, stream(batch([row])), ARROW, ARROW, path)
        assert read_ipc_stream(io.BytesIO(reply.data)).schema.field(0).type == kind


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("text/csv;q=0.5, application/x-ndjson", NDJSON),
        ("text/*", CSV),
        (f"{PARQUET}, application/json;q=0.1", PARQUET),
    ],
)
def test_accept_decides_what_comes_out(wine: FlaskClient, bottle: Record, accept: str, media: str):
    """The most wanted media type that is spoken, and JSON where none was named."""
    assert ask(wine, as_csv([bottle]), CSV, accept).mimetype == media


@pytest.mark.parametrize("media", MEDIA)
def test_a_table_may_be_gzipped(wine: FlaskClient, bottle: Record, media: str):
    """Every form, in several members too."""
    body = WRITE[media]([bottle] * 50)
    packed = gzip.compress(body[:99]) + gzip.compress(body[99:])
    reply = ask(wine, packed, media, **{"Content-Encoding": "gzip"})
    assert reply.json["predictions"] == ask(wine, body, media).json["predictions"]


@pytest.mark.parametrize("media", MEDIA)
def test_no_rows_give_no_answers(wine: FlaskClient, bottle: Record, media: str):
    """A table of a header alone is answered by an empty table of the same columns."""
    empty = {
        CSV: as_csv([bottle]).partition(b"\r\n")[0],
        NDJSON: b"",
        ARROW: stream(RecordBatchReader.from_batches(batch([bottle]).schema, [])),
        PARQUET: parquet(batch([bottle]).slice(0, 0)),
    }
    assert ask(wine, empty[media], media).json["predictions"] == []
    assert ask(wine, empty[media], media, CSV).text.strip() == "prediction"
    assert table_of(ask(wine, empty[media], media, ARROW)) == {"prediction": []}


@pytest.mark.parametrize("media", MEDIA)
def test_a_wrong_value_is_told_by_its_row_in_the_whole_table(
    wine: FlaskClient, bottle: Record, media: str, monkeypatch: pytest.MonkeyPatch
):
    """Rows count from 0 over all batches, the field and the value are named, and nothing was half-sent."""
    monkeypatch.setattr(texts, "ROWS", 7)
    monkeypatch.setattr(arrow, "MOST_VALUES", 13 * 7)
    rows = [dict(bottle) for _ in range(40)]
    rows[33]["alcohol"], rows[34]["hue"] = float("inf"), None
    body = WRITE[media](rows).replace(b"Infinity", b"1e39")
    problem = ask(wine, body, media, media)
    assert (problem.status_code, problem.mimetype) == (422, "application/problem+json")
    assert [(found["row"], found["field"]) for found in problem.json["errors"]] == [(33, "alcohol"), (34, "hue")]
    assert "must lie between -3.4e38 and 3.4e38" in problem.json["errors"][0]["reason"]
    assert "must not be missing" in problem.json["errors"][1]["reason"]


@pytest.mark.parametrize("media", MEDIA)
def test_warnings_count_their_rows_over_the_whole_table(
    wine: FlaskClient, bottle: Record, media: str, monkeypatch: pytest.MonkeyPatch
):
    """What lies outside the range of training is told where the reply is JSON, the first hundred of them."""
    monkeypatch.setattr(texts, "ROWS", 7)
    monkeypatch.setattr(arrow, "MOST_VALUES", 13 * 7)
    rows = [{**bottle, "alcohol": 99.0 if row >= 30 else bottle["alcohol"]} for row in range(150)]
    warned = ask(wine, WRITE[media](rows), media).json["warnings"]
    assert [warning["row"] for warning in warned] == list(range(30, 130))


@pytest.mark.parametrize("media", [CSV, ARROW, PARQUET])
def test_columns_are_matched_by_name(wine: FlaskClient, bottle: Record, media: str):
    """One that is missing is named, one that is unknown is offered the nearest name, both in one reply."""
    row = {name.replace("alcohol", "alcohl"): value for name, value in bottle.items()}
    reply = ask(wine, WRITE[media]([row]), media)
    assert reply.status_code == 422
    told = {found["field"]: found["reason"] for found in reply.json["errors"]}
    assert told["alcohol"] == "is missing"
    assert told["alcohl"] == "is not a feature; did you mean 'alcohol'?"
    assert not any("row" in found for found in reply.json["errors"])


def test_a_column_may_not_stand_twice(wine: FlaskClient, bottle: Record):
    """Of two columns of one name none is taken for the right one."""
    twice = RecordBatch.from_arrays(
        [array([value]) for value in [*bottle.values(), 1.0]], names=[*bottle, next(iter(bottle))]
    )
    body = as_csv([bottle]).decode().splitlines()
    text = "\n".join([body[0] + ",alcohol", body[1] + ",1"]).encode()
    for media, sent in ((ARROW, stream(twice)), (CSV, text), (PARQUET, parquet(twice))):
        reply = ask(wine, sent, media)
        assert reply.status_code == 422
        assert "is the name of 2 columns" in reply.json["detail"]


def test_a_text_where_a_number_belongs_is_told_alike(house: FlaskClient, home: Record):
    """The same wrong rows get the same problems in every form."""
    rows = [dict(home), {**home, "living area (m²)": "wide"}]
    expected = house.post("/predict", json={"instances": rows}).json["errors"]
    assert expected[0]["row"] == 1
    for media in (CSV, NDJSON):
        assert ask(house, WRITE[media](rows), media).json["errors"] == expected
    texts_only = [{**row, "living area (m²)": str(row["living area (m²)"])} for row in rows]
    for media in (ARROW, PARQUET):
        told = ask(house, WRITE[media](texts_only), media).json["errors"]
        assert told[1] == expected[0]


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("text/csv; charset=utf-8", 200),
        ("text/csv; charset=UTF-8; header=present", 200),
        ("text/csv; charset=latin-1", 415),
        ("text/csv; header=absent", 415),
        ("application/x-ndjson; charset=utf-16", 415),
        ("text/plain", 415),
    ],
)
def test_parameters_of_the_media_type_are_followed_or_refused(
    wine: FlaskClient, bottle: Record, media: str, status: int
):
    """UTF-8 with a header is what is read; what says otherwise is not spoken."""
    assert ask(wine, as_csv([bottle]) if "csv" in media else as_lines([bottle]), media).status_code == status


@pytest.mark.parametrize("media", MEDIA)
def test_what_is_too_large_is_refused(wine_artifacts: Path, tmp_path: Path, bottle: Record, media: str):
    """CELLAR_MAX_TABLE counts bytes after unpacking, and those of the answer; CELLAR_MAX_ROWS does not apply."""
    limits = {"max_table": 30_000, "max_rows": 10, "max_body": 1000}
    client = create_app({"artifacts": wine_artifacts, "reports": tmp_path, **limits}).test_client()
    assert ask(client, WRITE[media]([bottle] * 50), media).status_code == 200
    long = WRITE[media]([bottle] * 2000)
    for body, headers in ((long, {}), (gzip.compress(long), {"Content-Encoding": "gzip"})):
        reply = ask(client, body, media, **headers)
        assert reply.status_code == 413
        assert "CELLAR_MAX_TABLE" in reply.json["detail"]


def test_an_answer_that_grows_too_large_is_refused(wine_artifacts: Path, tmp_path: Path, bottle: Record):
    """A few bytes may hold very many rows, whose answers would fill the disk."""
    client = create_app({"artifacts": wine_artifacts, "reports": tmp_path, "max_table": 180_000}).test_client()
    columns = {name: Array([value] * 3000, DataType.float32()) for name, value in bottle.items()}
    body, path = stream(RecordBatch.from_pydict(columns)), "/predict?include=probabilities"
    assert len(body) < 180_000
    for accept in (NDJSON, "application/json"):
        reply = ask(client, body, ARROW, accept, path)
        assert reply.status_code == 413
        assert "the answer is larger than 180000 bytes (CELLAR_MAX_TABLE)" in reply.json["detail"]
    assert ask(client, body, ARROW, PARQUET, path).status_code == 200


def as_body(data: bytes) -> bodies.Body:
    """Return bytes as the body of a request."""
    return bodies.opened({"wsgi.input": io.BytesIO(data), "CONTENT_LENGTH": str(len(data))}, 1 << 30)


def column(data: bytes, kind: str, nullable: bool = True) -> list[Any]:
    """Return the one column `x` of a table as a model would read it."""
    schema = Schema([Feature("x", kind, nullable=nullable)])  # type: ignore[arg-type]
    view = memoryview(data)
    if data[:4] == b"PAR1":
        view = unpacking.unpacked(view, "parquet", 1 << 24, 20)
    elif arrow.is_compressed(view):
        view = unpacking.unpacked(view, "arrow", 1 << 24, 20)
    (read,) = list(arrow.read(view, schema)) or [Inputs(np.empty((0, 1), np.float32), np.empty((0, 1), object), [])]
    return (read.categories if kind == "category" else read.numbers)[:, 0].tolist()


def cells(text: str, kind: str, nullable: bool = True) -> list[Any]:
    """Return the one column `x` of a CSV as a model would read it."""
    schema = Schema([Feature("x", kind, nullable=nullable)])  # type: ignore[arg-type]
    found = list(texts.read_csv(as_body(b"x\n" + text.encode()), schema))
    return [
        value for read in found for value in (read.categories if kind == "category" else read.numbers)[:, 0].tolist()
    ]


NAN = pytest.approx(float("nan"), nan_ok=True)
NUMBERS = [1.0, NAN, 3.0]
FORMS = {
    "int8": DataType.int8(),
    "int16": DataType.int16(),
    "int32": DataType.int32(),
    "int64": DataType.int64(),
    "uint8": DataType.uint8(),
    "uint16": DataType.uint16(),
    "uint32": DataType.uint32(),
    "uint64": DataType.uint64(),
    "float32": DataType.float32(),
    "float64": DataType.float64(),
    "float16": DataType.float16(),
    "decimal": DataType.decimal128(20, 3),
    "dictionary": DataType.dictionary(DataType.int16(), DataType.float64()),
}


def written(values: list[Any], first: DataType, *then: DataType) -> list[bytes]:
    """Return a column `x`, made as one type and cast to others, as Arrow stream, compressed stream and Parquet file."""
    made = Array(values, first)
    for form in then:
        made = made.cast(form)
    table = RecordBatch.from_arrays([made], names=["x"])
    return [stream(table), stream(table, "zstd"), parquet(table)]


@pytest.mark.parametrize("form", FORMS)
def test_every_type_of_number_is_read(form: str):
    """Whole numbers of any width, floats, decimals and dictionaries, with what is missing."""
    for data in written([1.0, None, 3.0], DataType.float64(), FORMS[form]):
        assert column(data, "number") == NUMBERS
        with pytest.raises(InputError, match="row 1: 'x' must not be missing"):
            column(data, "number", nullable=False)


@pytest.mark.parametrize(
    "form",
    [
        DataType.string(),
        DataType.large_string(),
        DataType.string_view(),
        DataType.dictionary(DataType.int8(), DataType.string()),
        DataType.dictionary(DataType.uint32(), DataType.large_string()),
    ],
    ids=str,
)
def test_every_type_of_text_is_read(form: DataType):
    """Short and long texts of any script in any layout, with what is missing."""
    values = ["a", "été", None, "", "longer than twelve bytes, 北", "a"]
    for data in written(values, DataType.string(), form):
        assert column(data, "category") == [value or "" for value in values]
        with pytest.raises(InputError, match="row 2: 'x' must not be missing"):
            column(data, "category", nullable=False)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "+00:00"])
def test_every_type_of_date_is_read(unit: Any, zone: str | None):
    """Dates and moments of any unit, in UTC where they have a zone, are the days that their texts would be."""
    seconds = [19844 * 86400 + 43200, None, -86400]
    expected = [19844.5, NAN, -1.0]
    assert cells('2024-05-01T12:00\n""\n1969-12-31\n', "date") == expected
    for data in written(seconds, DataType.int64(), DataType.timestamp("s"), DataType.timestamp(unit, tz=zone)):
        assert column(data, "date") == expected


def test_days_are_read():
    """Dates without a time, and texts of dates, in the years 1 to 9999."""
    days = [-719162, None, 2932896]
    for form in (DataType.date32(), DataType.date64()):
        for data in written(days, DataType.int32(), DataType.date32(), form):
            assert column(data, "date") == [-719162.0, NAN, 2932896.0]
    for data in written(["0001-01-01", None, "9999-12-31"], DataType.string()):
        assert column(data, "date") == [-719162.0, NAN, 2932896.0]
    for data in written([2**60, 1], DataType.int64(), DataType.timestamp("s"))[:2]:
        with pytest.raises(InputError, match="row 0: 'x' must be a date such as 2024-05-01, got 1152921504606846976"):
            column(data, "date")


def test_truth_values_are_read():
    """Truth values, and nothing else, are truth values."""
    for data in written([True, None, False], DataType.bool()):
        assert column(data, "boolean") == [1.0, NAN, 0.0]
    for data in written([True, False] * 9, DataType.bool()):
        assert column(data, "boolean", nullable=False) == [1.0, 0.0] * 9
    for data in written([1, 0], DataType.int8()):
        with pytest.raises(InputError, match="row 0: 'x' must be true or false, got 1"):
            column(data, "boolean")


@pytest.mark.parametrize(
    ("form", "kind", "told"),
    [
        (DataType.bool(), "number", "row 0: 'x' must be a number, got true"),
        (DataType.int8(), "category", "row 0: 'x' must be a text, got 1"),
        (DataType.date32(), "number", "row 0: 'x' must be a number, got the date 1970-01-02"),
        (DataType.date32(), "category", "row 0: 'x' must be a text, got the date 1970-01-02"),
        (DataType.int8(), "date", "row 0: 'x' must be a date such as 2024-05-01, got 1"),
        (DataType.time32("s"), "date", "'x' must be a date such as 2024-05-01, got a column of type time of day"),
        (DataType.duration("s"), "number", "'x' must be a number, got a column of type duration"),
        (DataType.list(DataType.int8()), "number", "'x' must be a number, got a column of type list"),
        (DataType.struct([]), "number", "'x' must be a number, got a column of type struct"),
        (DataType.binary(), "category", "'x' must be a text, got a column of type binary"),
    ],
    ids=str,
)
def test_a_column_of_another_kind_is_told(form: DataType, kind: str, told: str):
    """Values of another kind are told by row, columns that hold no single values by name."""
    values = RecordBatchReader.from_batches(arro3_schema(form), [])
    data = stream(values)
    if "row 0" in told:
        data = stream(RecordBatch.from_arrays([Array([1], DataType.int32()).cast(form)], names=["x"]))
    with pytest.raises(InputError) as caught:
        column(data, kind)
    assert str(caught.value) == told


def arro3_schema(form: DataType) -> Any:
    """Return the schema of a table with the one column `x`."""
    return ArrowSchema([Field("x", form)])


@FEW
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(2**53, 2**54), min_size=1, max_size=9))
def test_whole_numbers_are_rounded_as_in_json(values: list[int]):
    """A number of 64 bits becomes the same 32 bits whether it came as JSON, as CSV or in a column."""
    expected = bits(Schema([Feature("x", "number")]).read([[value] for value in values]).numbers[:, 0].tolist())
    assert bits(cells("\n".join(map(str, values)), "number")) == expected
    assert bits(column(stream(RecordBatch.from_pydict({"x": Array(values, DataType.int64())})), "number")) == expected


@FEW
@given(st.lists(st.decimals(-(10**16), 10**16, places=3), min_size=1, max_size=9))
def test_decimals_are_rounded_as_their_text(values: list[Any]):
    """A decimal is the number that its text is."""
    expected = bits(cells("\n".join(map(str, values)), "number"))
    table = RecordBatch.from_pydict({"x": Array([str(v) for v in values], DataType.string()).cast(FORMS["decimal"])})
    assert bits(column(stream(table), "number")) == expected


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("number", "14.23\n 14.23 \n1.423e1\n+14.23\n014.23\n", [np.float32(14.23)] * 5),
        ("number", ".5\n5.\n-0\n007\n", [0.5, 5.0, 0.0, 7.0]),
        ("number", '""\nNaN\nNA\nnull\n', [NAN] * 4),
        ("number", "1\r\n2\r3\n", [1.0, 2.0, 3.0]),
        ("category", '007\n"a\r\nb"\n"say ""hi"""\nNA\n  x \n=1\n', ["007", "a\r\nb", 'say "hi"', "NA", "  x ", "=1"]),
        ("category", '""\n,\n'.replace(",", '""'), ["", ""]),
        ("boolean", "true\nFALSE\n 1 \n0.0\nNA\n", [1.0, 0.0, 1.0, 0.0, NAN]),
        ("date", "2024-05-01\n 2024-05-01T12:00Z \nnull\n", [19844.0, 19844.5, NAN]),
    ],
)
def test_cells_are_read_as_what_they_mean(kind: str, text: str, expected: list[Any]):
    """Numbers however they are written with a point, texts as they stand, and what is missing."""
    assert cells(text, kind) == expected


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("number", "1,5", "row 0: has 2 values, the header names 1 columns"),
        ("number", '1\n"1,5"', "row 1: 'x' must be a number, got '1,5'"),
        ("number", '"1,000"', "row 0: 'x' must be a number, got '1,000'"),
        ("number", "1_4", "row 0: 'x' must be a number, got '1_4'"),
        ("number", "१४", "row 0: 'x' must be a number, got '१४'"),
        ("number", "0x10", "row 0: 'x' must be a number, got '0x10'"),
        ("number", "1e999", "row 0: 'x' must lie between -3.4e38 and 3.4e38, got inf"),
        ("number", "1e39", "row 0: 'x' must lie between -3.4e38 and 3.4e38, got 1e+39"),
        ("number", "-inf", "row 0: 'x' must lie between -3.4e38 and 3.4e38, got -inf"),
        ("number", "high\ninf", "row 0: 'x' must be a number, got 'high' (and 1 more)"),
        ("boolean", "yes", "row 0: 'x' must be true or false, got 'yes'"),
        ("date", "1.5.2024", "row 0: 'x' must be a date such as 2024-05-01, got '1.5.2024'"),
    ],
)
def test_a_wrong_cell_is_told(kind: str, text: str, told: str):
    """Thousands, decimal commas, other notations and what is no finite number are wrong, by row."""
    with pytest.raises(InputError) as caught:
        cells(text, kind)
    assert str(caught.value) == told


def test_a_cell_may_be_missing_only_where_training_saw_it():
    """An empty cell, and a word for nothing among numbers, are missing values."""
    for text in ('""', "NaN", "NA"):
        with pytest.raises(InputError, match="row 0: 'x' must not be missing"):
            cells(text, "number", nullable=False)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"", 400, "the table is empty"),
        (b"alcohol;malic_acid\n1;2\n", 400, "the header has no comma"),
        (b"\xff\xfe", 400, "is not UTF-8"),
        ("größe\n".encode("latin-1"), 400, "is not UTF-8"),
        (b'"alcohol', 400, "is no CSV: unexpected end of data"),
        (b'"alcohol"x,hue\n', 400, "is no CSV"),
        (b"a" * (1 << 20) + b"\n", 400, "is no CSV|has more than"),
        (b"a," * (1 << 20), 400, "a row has more than 1048576 characters"),
        (b'HEAD\n1\n"' + b"\n" * (1 << 21), 422, "'alcohol' is missing"),
    ],
)
def test_what_is_no_csv_is_told(wine: FlaskClient, body: bytes, status: int, told: str):
    """One sentence that says what is wrong, and never a fault of the service."""
    reply = ask(wine, body, CSV)
    assert reply.status_code == status
    assert re.search(told, reply.json["detail"]), reply.json["detail"]


def test_a_quote_that_is_never_closed_ends_early():
    """A row of a gigabyte is not held to find that out."""
    with pytest.raises(RequestError, match=r"a row has more than 1048576 characters|larger than field limit"):
        cells('"' + "a,b\n" * (1 << 19), "category")


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 400, "line 1 is not JSON"),
        (b"\n\n[1\n,2]\n", 400, "line 3 is not JSON"),
        (b"NaN\n", 400, "line 1 is not JSON"),
        (b"[" * 100_000 + b"\n", 400, "line 1 nests too deeply"),
        (b" " * ((1 << 20) + 1), 400, "a row has more than 1048576 characters"),
        (b"\xff\n", 400, "line 1 is not JSON"),
        (b"5\n", 422, "row 0: must be a list of 13 values, got 5"),
        (b'"x"\n', 422, "row 0: must be a list of 13 values"),
        (b"[1]\n{}\n", 422, "row 0: has 1 values, the model has 13 features (and 1 more)"),
        (b"{}\n[1]\n", 422, "row 0: 'alcohol' is missing (and 13 more)"),
    ],
)
def test_what_is_no_ndjson_is_told(wine: FlaskClient, body: bytes, status: int, told: str):
    """A line that is no JSON is named, a row that does not fit told as in JSON."""
    reply = ask(wine, body, NDJSON)
    assert (reply.status_code, told in reply.json["detail"]) == (status, True), reply.json["detail"]


@pytest.mark.parametrize("media", [ARROW, PARQUET])
@pytest.mark.parametrize(
    "body", [b"", b"\0", b"PAR1", b"ARROW1\0\0", b"PAR1" + b"\xff" * 99 + b"PAR1", b"\xff" * 64, b"{}"]
)
def test_what_is_no_such_table_is_told(wine: FlaskClient, media: str, body: bytes):
    """Wrong magic, an empty body, a file of another kind."""
    reply = ask(wine, body, media)
    assert (reply.status_code, reply.json["title"]) == (400, "Bad request")


@pytest.mark.parametrize("media", [CSV, ARROW])
def test_a_torn_gzip_is_told(wine: FlaskClient, bottle: Record, media: str):
    """Cut, bent or none at all; and what follows the last member is no table."""
    packed = gzip.compress(WRITE[media]([bottle] * 99))
    for body in (packed[:-9], packed[:20], b"no gzip", packed + b"more", packed[:40] + b"\0\0\0" + packed[43:]):
        reply = ask(wine, body, media, **{"Content-Encoding": "gzip"})
        assert reply.status_code == 400
        assert "is not gzip" in reply.json["detail"]
    assert ask(wine, packed, media, **{"Content-Encoding": "br"}).status_code == 415


def test_a_bomb_is_not_unpacked(wine_artifacts: Path, tmp_path: Path, bottle: Record):
    """A gigabyte of nothing in a megabyte is refused where the limit is reached."""
    client = create_app({"artifacts": wine_artifacts, "reports": tmp_path, "max_table": 1 << 20}).test_client()
    bomb = gzip.compress(as_csv([bottle]) + b"\n" * (1 << 27))
    for media in MEDIA:
        reply = ask(client, bomb, media, **{"Content-Encoding": "gzip"})
        assert reply.status_code in (400, 413), media
    assert len(bomb) < 1 << 18


def test_a_body_that_ends_early_is_told(bottle: Record):
    """Fewer bytes than the header promised are no table, though what came could be read."""
    body = as_csv([bottle] * 3)
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body) + 5)}
    with pytest.raises(RequestError, match=f"the body ended after {len(body)} of {len(body) + 5} bytes"):
        list(texts.read_csv(bodies.opened(environ, 1 << 20), Schema([Feature(name, "number") for name in bottle])))
    with pytest.raises(RequestError, match="Content-Length is no number"):
        bodies.opened({**environ, "CONTENT_LENGTH": "-5"}, 1 << 20)


@pytest.mark.parametrize("where", range(6))
def test_absurd_lengths_are_told(where: int):
    """A message that declares more than there is costs nothing and ends nothing."""
    data = bytearray(stream(RecordBatch.from_pydict({"x": array([1.0, 2.0, 3.0]), "y": array(["a", "b", "c"])})))
    schema = Schema([Feature("x", "number"), Feature("y", "category")])
    (size,) = struct.unpack_from("<i", data, 4)
    at = 8 + size
    (more,) = struct.unpack_from("<i", data, at + 4)
    body = len(data) - 8 - (at + 8 + more)
    (length, rows) = (data.find(struct.pack("<q", value), at) for value in (body, 3))
    value, place, form = [
        (0x7FFFFFFF, 4, "<i"),
        (-1, at + 4, "<i"),
        (1 << 40, length, "<q"),
        (-1, length, "<q"),
        (1 << 40, rows, "<q"),
        (-3, rows, "<q"),
    ][where]
    struct.pack_into(form, data, place, value)
    with pytest.raises(RequestError, match="the Arrow stream is damaged"):
        list(arrow.read(memoryview(data), schema))


ODD = RecordBatch.from_arrays(
    [
        Array([1.0, None, 3.5], DataType.float64()),
        Array(["a", None, "longer than twelve bytes"], DataType.string_view()),
        Array(["x", "y", "x"], DataType.string()).cast(DataType.dictionary(DataType.int8(), DataType.string())),
        Array([True, None, False], DataType.bool()),
        Array([19844] * 3, DataType.int32()).cast(DataType.date32()),
    ],
    names=["number", "view", "dictionary", "boolean", "date"],
)
ODD_SCHEMA = Schema(
    [
        Feature("number", "number", nullable=True),
        Feature("view", "category", nullable=True),
        Feature("dictionary", "category", nullable=True),
        Feature("boolean", "boolean", nullable=True),
        Feature("date", "date", nullable=True),
    ]
)
CHANGES = st.one_of(
    st.tuples(st.just("<B"), st.integers(0, 255)),
    st.tuples(st.just("<i"), st.sampled_from([-1, 1, 2**31 - 1, -(2**31), 2**30])),
    st.tuples(st.just("<q"), st.sampled_from([-1, 2**62, 2**40, -(2**63), 2**63 - 1])),
)


@PLENTY
@given(st.lists(st.tuples(st.integers(0, 10_000), CHANGES), max_size=4), st.none() | st.integers(0, 3000))
def test_any_stream_is_read_or_refused(changes: list[Any], end: int | None):
    """Whatever is bent or cut, an error of the client's is raised or rows are there, never anything else."""
    data = bytearray(stream(ODD))
    for place, (form, value) in changes:
        struct.pack_into(form, data, place % (len(data) - 8), value)
    try:
        read = list(arrow.read(memoryview(data[:end]), ODD_SCHEMA))
    except (RequestError, TooLargeError):
        return
    assert all(len(inputs.categories) == len(inputs) for inputs in read)


@pytest.mark.parametrize("compression", ["snappy", "zstd(1)", "uncompressed"])
def test_any_file_is_read_or_refused(compression: str):
    """A bent Parquet file, or a bent compressed stream, is told in one sentence without a word of the library's."""
    draw, told = np.random.default_rng(0), []
    whole = parquet(ODD, compression) if compression != "uncompressed" else stream(ODD, "lz4")
    form: unpacking.Form = "parquet" if compression != "uncompressed" else "arrow"
    for _ in range(12):
        data = bytearray(whole)
        for place in draw.integers(0, len(data), 4):
            data[place] ^= 1 << int(draw.integers(8))
        try:
            list(arrow.read(unpacking.unpacked(memoryview(data), form, 1 << 20, 20), ODD_SCHEMA))
        except RequestError as error:
            told.append(str(error))
    assert told
    assert not any("called `" in text or "\n" in text for text in told)


def test_unpacking_has_limits():
    """What would be written beyond the limit is refused, and so is what takes too long."""
    data = memoryview(parquet(RecordBatch.from_pydict({"x": array([1.0] * 10_000)})))
    assert len(data) < 2000
    with pytest.raises(TooLargeError, match="larger than 20000 bytes"):
        unpacking.unpacked(data, "parquet", 20_000, 20)
    with pytest.raises(CellarError, match="took too long") as caught:
        unpacking.unpacked(data, "parquet", 1 << 20, 0)
    assert caught.value.status == 504


def test_few_bytes_of_text_do_not_become_many(monkeypatch: pytest.MonkeyPatch):
    """One long text that a dictionary names a thousand times is not taken a thousand times."""
    table = RecordBatch.from_pydict({"x": Array(["long " * 100] * 1000, DataType.string())})
    schema = Schema([Feature("x", "category")])
    monkeypatch.setattr("service.tables.arrow_columns.TEXTS", 100_000)
    for form in (DataType.string(), DataType.dictionary(DataType.int8(), DataType.string()), DataType.string_view()):
        data = stream(RecordBatch.from_arrays([table.column("x").cast(form)], names=["x"]))
        with pytest.raises(TooLargeError, match="more than 100000 bytes of text"):
            list(arrow.read(memoryview(data), schema))


def test_dictionaries_may_grow():
    """A stream may replace a dictionary before the next rows."""
    form = DataType.dictionary(DataType.int8(), DataType.string())
    parts = [Array(values, DataType.string()).cast(form) for values in (["a", "b"], ["c", "a"])]
    tables = [RecordBatch.from_arrays([part], names=["x"]) for part in parts]
    data = stream(RecordBatchReader.from_batches(tables[0].schema, tables))
    read = list(arrow.read(memoryview(data), Schema([Feature("x", "category")])))
    assert [inputs.categories[:, 0].tolist() for inputs in read] == [["a", "b"], ["c", "a"]]


@PLENTY
@given(st.lists(st.integers(0, 25), max_size=12))
def test_batches_do_not_depend_on_how_rows_were_cut(sizes: list[int]):
    """Rows come in batches of one length, the last shorter, in order, whatever pieces they arrived in."""
    ends = np.cumsum([0, *sizes])
    numbers = np.arange(ends[-1], dtype=np.float32).reshape(-1, 1)
    texts_too = numbers.astype(object)
    pieces = [Inputs(numbers[start:end], texts_too[start:end], []) for start, end in pairwise(ends)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering, "CHUNK", 10)
        cut = [len(inputs) for inputs in answering.batches(iter(pieces or [Inputs(numbers, texts_too, [])]))]
        assert cut == [10] * (ends[-1] // 10) + [ends[-1] % 10] * bool(ends[-1] % 10 or not ends[-1])
        joined = [n for inputs in answering.batches(iter(pieces)) for n in inputs.numbers[:, 0]] if pieces else []
        assert joined == numbers[:, 0].tolist()


def test_a_long_table_waits_outside_of_memory(wine: FlaskClient, bottle: Record, monkeypatch: pytest.MonkeyPatch):
    """What is longer than what is held goes through temporary files, both ways, and is the same."""
    body = WRITE[ARROW]([bottle] * 5000)
    expected = ask(wine, body, ARROW, ARROW).data
    monkeypatch.setattr("service.tables.bodies.HELD", 1000)
    monkeypatch.setattr("service.tables.writing.HELD", 1000)
    monkeypatch.setattr("service.tables.answering.SOME", 1000)
    assert ask(wine, body, ARROW, ARROW).data == expected
    assert len(ask(wine, body, ARROW).json["predictions"]) == 5000


def test_a_table_that_takes_too_long_is_ended(wine_artifacts: Path, tmp_path: Path, bottle: Record):
    """CELLAR_DEADLINE ends it between two batches."""
    client = create_app({"artifacts": wine_artifacts, "reports": tmp_path, "deadline": 1e-9}).test_client()
    for media in MEDIA:
        assert ask(client, WRITE[media]([bottle]), media).status_code == 504


def test_nothing_is_loaded_for_tables_before_one_comes():
    """The service starts without the library that writes them."""
    program = "import sys, service.app; print(any(name.startswith('arro3') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_full_disk_is_no_fault_of_the_table():
    """What the program that unpacks cannot do for reasons of this machine is not told as a damaged table."""
    with tempfile.TemporaryFile() as source, Path("/dev/full").open("wb") as sink:
        source.write(parquet(ODD))
        source.seek(0)
        with pytest.raises(RuntimeError, match="space"):
            unpacking._run(source, sink, "parquet", 1 << 20, 20)


def test_a_missing_program_is_no_fault_of_the_table(monkeypatch: pytest.MonkeyPatch):
    """Neither is a program that cannot begin."""
    monkeypatch.setattr(unpacking, "CHILD", Path("/nowhere/at/all.py"))
    with pytest.raises(RuntimeError, match="failed"):
        unpacking.unpacked(memoryview(parquet(ODD)), "parquet", 1 << 20, 20)


def test_a_dictionary_grows_in_place():
    """What a stream adds to a dictionary, again and again, does not copy all that was there before."""
    data = bytearray(stream(RecordBatch.from_pydict({"x": Array(["a", "b"], DataType.string())})))
    (rows,) = [(header, body) for kind, header, body in arrow._messages(memoryview(data)) if kind == arrow.RECORDS]
    columns = [arrow.Column("x", arrow.kind_of(5, rows[0]), arrow.fixed("<i1"), 7)]
    held: dict[int, Any] = {}
    arrow._learn(Addition(rows[0], 0), rows[1], columns, held)  # type: ignore[arg-type]
    first = held[7]
    for _ in range(2):
        arrow._learn(Addition(rows[0], 1), rows[1], columns, held)  # type: ignore[arg-type]
    assert held[7] is first and first == ["a", "b"] * 3


class Addition:
    """A dictionary's message, as far as it is read: number 7, its values, and whether they are added."""

    def __init__(self, values: Any, added: int) -> None:
        self.values, self.added = values, added

    def scalar(self, slot: int, kind: str) -> int:
        """Return the number, or whether values are added."""
        return self.added if slot == 2 else 7

    def table(self, slot: int) -> Any:
        """Return the values."""
        return self.values
