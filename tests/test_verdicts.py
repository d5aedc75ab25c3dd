"""Every row of the table of verdicts, in every protocol that can say it."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from speaking import BINARY, CSV, FLAT, LISTS, RECORDS, TABLES, Sent, predictions, told, wrong_rows

from service.app import create_app
from service.contents import Feature

JSON_FORMS = RECORDS | LISTS | FLAT
GAPPED = RECORDS | LISTS | BINARY | CSV
"""Bodies that have a sign for what is missing."""
FORMS = JSON_FORMS | BINARY | CSV | TABLES
MARK = 12345.6875
"""A number of 32 bits that stands for what is written into a body afterwards."""
PREDICT = ("/predict", "/invocations", "/v1/models/wine:predict", "/v2/models/wine/infer")
LAW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

Record = dict[str, Any]


def client_of(artifacts: Path, folder: Path, **settings: Any) -> FlaskClient:
    """Return a client of the service, whose only model is the default one."""
    return create_app({"artifacts": artifacts, "reports": folder, "log": "errors", **settings}).test_client()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder."""
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def wine(wine_artifacts: Path, reports: Path) -> FlaskClient:
    """A client of the service with `wine` as the default."""
    return client_of(wine_artifacts, reports)


@pytest.fixture(scope="module")
def houses(houses_artifacts: Path, reports: Path) -> FlaskClient:
    """A client of the service with `houses` as the default."""
    return client_of(houses_artifacts, reports, default_model="houses")


@pytest.fixture(scope="module")
def bottles(wine: FlaskClient) -> tuple[list[Feature], list[Record]]:
    """The features of `wine` and two rows that fit."""
    return _rows(wine, "wine")


@pytest.fixture(scope="module")
def homes(houses: FlaskClient) -> tuple[list[Feature], list[Record]]:
    """The features of `houses` and two rows that fit."""
    return _rows(houses, "houses")


def _rows(client: FlaskClient, model: str) -> tuple[list[Feature], list[Record]]:
    features = client.application.extensions["live"].get(model).manifest.features
    return features, [{one.name: one.example for one in features} for _ in range(2)]


def changed(records: list[Record], **changes: Any) -> list[Record]:
    """Return the rows with changes in the second."""
    return [records[0], {**records[1], **changes}]


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize("token", ["NaN", "-Infinity", "Infinity", "1e999", "nan", "0x1", "1_0", "'a'", ""])
def test_what_is_no_json(wine: FlaskClient, bottles: Any, form: str, token: str):
    """A token that JSON does not have is answered by 400."""
    features, records = bottles
    sent = JSON_FORMS[form]("wine", features, changed(records, alcohol=MARK))
    assert sent.body.count(b"12345.6875") == 1
    told(sent._replace(body=sent.body.replace(b"12345.6875", token.encode())).ask(wine), 400)


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize("depth", [65, 5_000, 200_000])
def test_what_nests_too_deeply(wine: FlaskClient, bottles: Any, form: str, depth: int):
    """A value that nests deeper than 64 levels is answered by 400."""
    features, records = bottles
    sent = JSON_FORMS[form]("wine", features, changed(records, alcohol=MARK))
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        deep = opening * depth + b"1" + closing * depth
        told(sent._replace(body=sent.body.replace(b"12345.6875", deep)).ask(wine), 400)


@pytest.mark.parametrize("path", PREDICT)
@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"1", b'"x"', b"{}", b"\xff\xfe", b'{"instances": 1}', b"[" * 10_000]
)
def test_what_is_no_request(wine: FlaskClient, path: str, body: bytes):
    """A body that is cut short, empty, or of another shape is answered by 400."""
    told(Sent(path, body).ask(wine), 400)


@pytest.mark.parametrize("form", RECORDS | BINARY)
def test_a_field_that_is_missing(wine: FlaskClient, bottles: Any, form: str):
    """The field is named with its row."""
    features, records = bottles
    few = [{name: value for name, value in record.items() if name != "alcohol"} for record in records]
    sent = (RECORDS | BINARY)[form]("wine", features, few)
    assert "row 0: 'alcohol' is missing" in told(sent.ask(wine), wrong_rows(sent.path))


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize(
    "value", [True, "high", "13.2", [1.0], {"a": 1}, None, 1e39, 10**400], ids=lambda value: repr(value)[:9]
)
def test_no_number_for_a_number(wine: FlaskClient, bottles: Any, form: str, value: Any):
    """A truth value, a text, a list, null where training saw none, or what 32 bits do not hold is named."""
    features, records = bottles
    sent = JSON_FORMS[form]("wine", features, changed(records, alcohol=value))
    assert "row 1: 'alcohol' must" in told(sent.ask(wine), wrong_rows(sent.path))


@pytest.mark.parametrize("form", [name for name in (RECORDS | LISTS) if name != "oip table"])
@pytest.mark.parametrize("value", [1, True, ["gas"], {"a": 1}, None, ""], ids=repr)
def test_no_text_for_a_category(houses: FlaskClient, homes: Any, form: str, value: Any):
    """A number, a truth value or a list is named, and so is nothing at all where training saw no gap."""
    features, records = homes
    side = "<script>alert(1)</script>"
    sent = (RECORDS | LISTS)[form]("houses", features, changed(records, **{side: value}))
    assert f"row 1: {side!r} must" in told(sent.ask(houses), wrong_rows(sent.path))


@pytest.mark.parametrize("form", GAPPED)
def test_a_gap_where_training_saw_one(houses: FlaskClient, homes: Any, form: str):
    """Where a field may be missing, null is taken, and so are NaN and the empty text in bytes, and an empty cell."""
    features, records = homes
    gaps = changed(records, **{"floors/level": None, "heating, by": None})
    reply = GAPPED[form]("houses", features, gaps).ask(houses)
    assert predictions(reply) == predictions(RECORDS["native"]("houses", features, gaps).ask(houses))


@pytest.mark.parametrize("form", {**BINARY, **CSV, **TABLES})
@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "must not be missing"), (float("inf"), "must lie between"), (float("-inf"), "must lie between")],
)
def test_nan_and_infinity_beside_json(wine: FlaskClient, bottles: Any, form: str, value: Any, reason: str):
    """NaN is wrong where training saw no gap; infinity is always wrong; row and field are named."""
    features, records = bottles
    sent = {**BINARY, **CSV, **TABLES}[form]("wine", features, changed(records, alcohol=value))
    sentence = told(sent.ask(wine), 400)
    assert "row 1: 'alcohol'" in sentence and reason in sentence


def test_infinity_where_a_gap_may_be(houses: FlaskClient, homes: Any):
    """Infinity is wrong where NaN is not, and a number that 32 bits do not hold is no gap."""
    features, records = homes
    for value in (float("inf"), 1e39):
        sent = BINARY["oip binary columns"]("houses", features, changed(records, **{"floors/level": value}))
        assert "row 1: 'floors/level' must lie between -3.4e38 and 3.4e38" in told(sent.ask(houses), 400)


@pytest.mark.parametrize("form", RECORDS | BINARY | CSV)
def test_a_field_that_is_not_known(wine: FlaskClient, bottles: Any, form: str):
    """The nearest name is offered; MLflow's protocol ignores it."""
    features, records = bottles
    more = [{**record, "alcohl": 1.0} for record in records]
    sent = (RECORDS | BINARY | CSV)[form]("wine", features, more)
    if sent.path == "/invocations":
        assert predictions(sent.ask(wine)) == predictions(RECORDS["native"]("wine", features, records).ask(wine))
    else:
        sentence = told(sent.ask(wine), wrong_rows(sent.path))
        assert "'alcohl' is not a feature; did you mean 'alcohol'?" in sentence


@pytest.mark.parametrize("form", GAPPED)
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("heating, by", "steam", "never seen in training"), ("living area (m²)", 5000.0, "outside the range")],
)
def test_what_training_never_saw(houses: FlaskClient, homes: Any, form: str, field: str, value: Any, reason: str):
    """An unseen category and a number out of range are answered, with a warning where the reply has room for one."""
    features, records = homes
    reply = GAPPED[form]("houses", features, changed(records, **{field: value})).ask(houses)
    assert len(predictions(reply)) == 2
    if form in ("vetiver", "native bare"):
        return
    if reply.request.path.startswith("/v2"):
        assert (
            f"row 1: {field!r}" in reply.json["parameters"]["warnings"]
            and reason in reply.json["parameters"]["warnings"]
        )
    else:
        (warning,) = reply.json["warnings"]
        assert (warning["row"], warning["field"], warning["value"]) == (1, field, value) and reason in warning["reason"]


@pytest.mark.parametrize("form", [*LISTS, "mlflow split", "mlflow columns", "oip columns"])
def test_rows_of_unequal_length(wine: FlaskClient, bottles: Any, form: str):
    """The row that is too short is named, or the column."""
    features, records = bottles
    short = [records[0], {name: value for name, value in records[1].items() if name != features[-1].name}]
    sent = (RECORDS | LISTS)[form]("wine", features, short)
    sentence = told(sent.ask(wine), wrong_rows(sent.path))
    assert "row 1" in sentence or form == "mlflow columns"


@pytest.mark.parametrize("form", [name for name in FORMS if name not in ("native features", "vetiver", "native bare")])
def test_no_rows(wine: FlaskClient, bottles: Any, form: str):
    """No rows have an empty answer."""
    features, _ = bottles
    assert predictions(FORMS[form]("wine", features, []).ask(wine)) == []


@pytest.mark.parametrize("form", FORMS)
def test_too_many_rows_or_bytes(wine_artifacts: Path, reports: Path, bottles: Any, form: str):
    """More rows or bytes than are allowed are answered by 413 with the name of the limit; as many are answered."""
    features, records = bottles
    sent = FORMS[form]("wine", features, records)
    rows = client_of(wine_artifacts, reports, max_rows=1)
    assert "CELLAR_MAX_ROWS" in told(sent.ask(rows), 413)
    size = len(sent.body)
    assert "CELLAR_MAX_BODY" in told(sent.ask(client_of(wine_artifacts, reports, max_body=size - 1)), 413)
    assert len(predictions(sent.ask(client_of(wine_artifacts, reports, max_body=size, max_rows=2)))) == 2


@pytest.mark.parametrize("form", FORMS)
def test_packed_bodies(wine_artifacts: Path, reports: Path, bottles: Any, form: str):
    """A packed body is answered as it is unpacked; its bytes are counted after that; one that is damaged is 400."""
    features, records = bottles
    sent = FORMS[form]("wine", features, records)
    client = client_of(wine_artifacts, reports, max_body=100_000)
    expected = predictions(sent.ask(client))
    for name, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        packed = sent._replace(body=pack(sent.body))
        assert predictions(packed.ask(client, **{"Content-Encoding": name})) == expected
        bomb = sent._replace(body=pack(sent.body + b" " * 200_000))
        assert len(bomb.body) < 2_000
        told(bomb.ask(client, **{"Content-Encoding": name}), 413)
        told(sent._replace(body=packed.body[:-9]).ask(client, **{"Content-Encoding": name}), 400)
    told(sent.ask(client, **{"Content-Encoding": "br"}), 415)


@pytest.mark.parametrize("path", PREDICT)
@pytest.mark.parametrize("media", ["text/plain", "multipart/form-data; boundary=x", "image/png"])
def test_a_media_type_that_is_not_spoken(wine: FlaskClient, path: str, media: str):
    """Another media type is answered by 415."""
    told(Sent(path, b"{}", {"Content-Type": media}).ask(wine), 415)


@pytest.mark.parametrize("path", PREDICT)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_a_method_that_is_not_spoken(wine: FlaskClient, path: str, method: str):
    """Another method is answered by 405 with those that are spoken."""
    reply = wine.open(path, method=method)
    told(reply, 405)
    assert "POST" in reply.headers["Allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/models/beer/predict",
        "/models/wine/versions/7/predict",
        "/v1/models/beer:predict",
        "/v1/models/wine/versions/7:predict",
        "/v1/models/wine/versions/x:predict",
        "/v1/models/wine:explode",
        "/v2/models/beer/infer",
        "/v2/models/wine/versions/7/infer",
        f"/v2/models/wine/versions/{'9' * 5000}/infer",
    ],
    ids=lambda path: path[:60],
)
def test_no_such_model_or_version(wine: FlaskClient, path: str):
    """Another model, version or verb is answered by 404."""
    told(wine.post(path, data="{}"), 404)


@pytest.mark.parametrize(
    "path",
    ["/v1/models/beer", "/v2/models/beer", "/v2/models/beer/ready", "/v1/x", "/v2/x", "/v2/models/wine/versions/7"],
)
def test_no_such_page(wine: FlaskClient, path: str):
    """What a protocol does not have is answered by 404 in its shape."""
    told(wine.get(path), 404)


@pytest.mark.parametrize("form", FORMS)
def test_too_many_requests_and_too_slow_ones(wine_artifacts: Path, reports: Path, bottles: Any, form: str):
    """A request beyond CELLAR_MAX_INFLIGHT is 503 with Retry-After; one over CELLAR_DEADLINE is 504."""
    features, records = bottles
    sent = FORMS[form]("wine", features, records)
    full = sent.ask(client_of(wine_artifacts, reports, max_inflight=0))
    assert "CELLAR_MAX_INFLIGHT" in told(full, 503)
    assert full.headers["Retry-After"] == "1"
    assert "CELLAR_DEADLINE" in told(sent.ask(client_of(wine_artifacts, reports, deadline=1e-9)), 504)


@pytest.mark.parametrize("form", FORMS)
def test_no_usable_model(tmp_path: Path, bottles: Any, form: str):
    """Before there is a model every protocol answers 503, and is not ready."""
    features, records = bottles
    client = client_of(tmp_path, tmp_path)
    told(FORMS[form]("wine", features, records).ask(client), 503)
    for path in ("/health/ready", "/ping", "/v1/models/wine", "/v2/health/ready", "/v2/models/wine/ready"):
        told(client.get(path), 503)
    assert client.get("/health/live").status_code == client.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize("form", FORMS)
def test_a_fault_of_the_service_blames_nobody(
    wine_artifacts: Path, reports: Path, bottles: Any, form: str, monkeypatch: pytest.MonkeyPatch
):
    """What nobody foresaw is a 500 in the protocol's shape that tells nothing of the machine."""
    features, records = bottles
    client = client_of(wine_artifacts, reports)
    model = client.application.extensions["live"].get("wine")

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr(model, "predict", broken)
    assert "secret" not in told(FORMS[form]("wine", features, records).ask(client), 500)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)
NAMES = st.sampled_from(["input", "alcohol", "predict", "predict_proba", "interval", "x"])
PARAMETERS = st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "coverage", "classification", "content_type"]), ANYTHING
)
TENSOR = st.fixed_dictionaries(
    {
        "name": NAMES | ANYTHING,
        "shape": st.lists(st.integers(-2, 14) | st.just(13) | st.just(10**30), max_size=3) | ANYTHING,
        "datatype": st.sampled_from(["FP32", "FP64", "INT64", "BYTES", "BOOL", "FP16", "UINT8", "BF16"]) | ANYTHING,
    },
    optional={
        "data": st.lists(st.floats(0, 9) | ANYTHING, max_size=13) | ANYTHING,
        "parameters": PARAMETERS | st.none(),
    },
)
BODIES = {
    "/predict": st.fixed_dictionaries({}, optional={"instances": ANYTHING, "features": ANYTHING}),
    "/invocations": st.fixed_dictionaries(
        {},
        optional={
            "dataframe_split": st.fixed_dictionaries({"columns": ANYTHING, "data": ANYTHING}) | ANYTHING,
            "dataframe_records": ANYTHING,
            "instances": ANYTHING,
            "inputs": ANYTHING,
            "params": ANYTHING,
        },
    ),
    "/v1/models/wine:predict": st.fixed_dictionaries({"instances": ANYTHING}, optional={"signature_name": ANYTHING}),
    "/v2/models/wine/infer": st.fixed_dictionaries(
        {"inputs": st.lists(TENSOR, max_size=3) | ANYTHING},
        optional={
            "id": ANYTHING,
            "parameters": PARAMETERS | ANYTHING,
            "outputs": st.lists(
                st.fixed_dictionaries({"name": NAMES}, optional={"parameters": PARAMETERS}), max_size=3
            ),
        },
    ),
    "/v2/repository/index": st.fixed_dictionaries({}, optional={"ready": ANYTHING}),
}
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(
            [
                "application/json",
                "application/json; charset=utf-8",
                "application/json; x",
                "application/octet-stream",
                ";",
            ]
        ),
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "identity", "br", ""]),
        "Inference-Header-Content-Length": st.integers(-1, 200).map(str) | st.sampled_from(["x", "²", "", "9" * 5000]),
        "Accept-Encoding": st.sampled_from(["gzip", "gzip;q=x", ",,", "*"]),
        "Accept": st.sampled_from(["*/*", "x", "application/json;q=2"]),
    },
)


@pytest.mark.parametrize("path", BODIES)
def test_a_fault_of_the_caller_is_never_the_services(wine: FlaskClient, path: str):
    """Whatever is sent, with whatever headers, is answered by 200 or by a 4xx in the protocol's shape."""

    @LAW
    @given(
        body=BODIES[path].map(lambda body: json.dumps(body).encode()) | st.binary(max_size=400),
        behind=st.binary(max_size=110),
        headers=HEADERS,
    )
    def law(body: bytes, behind: bytes, headers: dict[str, str]) -> None:
        if headers.get("Inference-Header-Content-Length", "x").isascii() and behind:
            body += behind
        reply = wine.post(
            path, data=body, headers={name: value.encode().decode("latin-1") for name, value in headers.items()}
        )
        if reply.status_code != 200:
            assert reply.status_code in (400, 413, 415, 422)
            told(reply, reply.status_code)

    law()


@LAW
@given(body=BODIES["/v2/models/wine/infer"], behind=st.binary(max_size=110))
def test_bytes_behind_any_json_are_the_callers_fault(wine: FlaskClient, body: Any, behind: bytes):
    """Whatever tensors a request says there are behind its JSON, it is answered by 200 or 400."""
    head = json.dumps(body).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    reply = wine.post("/v2/models/wine/infer", data=head + behind, headers=headers)
    if reply.status_code != 200:
        told(reply, 413 if reply.status_code == 413 else 400)
