from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Trained
from flask.testing import FlaskClient
from speaking import HEADER, RECORDS, TABLES, Sent, outputs, predictions, told, with_bytes

from service.app import create_app
from service.contents import Feature
from service.dialects import tensors
from service.dialects.tensors import Tensor
from service.model import Model


@pytest.fixture(scope="module")
def client(all_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service with `wine`, `houses` and `prices`."""
    config = {"artifacts": all_artifacts, "reports": tmp_path_factory.mktemp("reports"), "log": "errors"}
    return create_app(config).test_client()


def model_of(client: FlaskClient, name: str) -> Model:
    """Return a model that is served."""
    return client.application.extensions["live"].get(name)


def rows_of(client: FlaskClient, name: str, count: int = 1) -> tuple[list[Feature], list[dict[str, Any]]]:
    """Return what a model reads, and rows that fit."""
    features = model_of(client, name).manifest.features
    return features, [{one.name: one.example for one in features}] * count


def wine_tensor(**changes: Any) -> dict[str, Any]:
    """Return a tensor of two rows that fits `wine`, with changes; what is changed to None is left out."""
    made = {"name": "input", "shape": [2, 13], "datatype": "FP32", "data": [1.0] * 26, **changes}
    return {name: value for name, value in made.items() if value is not None}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, "the body lacks the field 'inputs'"),
        ({"inputs": []}, "'inputs' must hold one tensor"),
        ({"inputs": [wine_tensor(), wine_tensor()]}, "each name once"),
        ({"inputs": [{"name": "input"}]}, "'inputs[0]' lacks the field 'shape'"),
        ({"inputs": [wine_tensor(shape=[True, 13])]}, "'inputs[0].shape[0]' must be a whole number, got a truth value"),
        ({"inputs": [wine_tensor(shape=[-1, 13])]}, "'input' has the shape [-1, 13], it must have [n, 13]"),
        ({"inputs": [wine_tensor(shape=[26])]}, "it must have [n, 13]"),
        ({"inputs": [wine_tensor(shape=[])]}, "it must have [n, 13]"),
        ({"inputs": [wine_tensor(shape=[3, 13])]}, "holds 2 rows, its shape says 3"),
        ({"inputs": [wine_tensor(data=[1.0] * 25)]}, "data of 25 values does not make rows of 13"),
        ({"inputs": [wine_tensor(data=[[1.0] * 13] * 3)]}, "holds 3 rows, its shape says 2"),
        ({"inputs": [wine_tensor(data=[[1.0] * 13, [1.0] * 12])]}, "row 1: has 12 values, the model has 13"),
        ({"inputs": [wine_tensor(data=[[1.0] * 13, 1.0])]}, "row 1: must be a list of 13 values, got 1.0"),
        ({"inputs": [wine_tensor(data=None)]}, "has no data"),
        ({"inputs": [wine_tensor(data="AAAA")]}, "has no data, a list of values"),
        ({"inputs": [wine_tensor(datatype="FP8")]}, "'FP8'; known are BOOL, INT8"),
        ({"inputs": [wine_tensor(parameters={"binary_data_size": 104})]}, "does not hold those bytes"),
        ({"inputs": [wine_tensor(parameters={"binary_data_size": "104"})]}, "does not hold those bytes"),
        ({"inputs": [wine_tensor(parameters={"binary_data_size": 0})]}, "both data and binary_data_size"),
        ({"inputs": [wine_tensor(name="alcohol")]}, "'alcohol' has the shape [2, 13], it must have [n] or [n, 1]"),
        ({"inputs": [wine_tensor(name="alcohol", shape=[2])]}, "holds 26 values, its shape says 2"),
        ({"inputs": [wine_tensor()], "outputs": [{"name": "predicted"}]}, "did you mean 'predict'?"),
        ({"inputs": [wine_tensor()], "outputs": [{"name": "loss"}]}, "wine has predict, predict_proba, interval"),
        (
            {"inputs": [wine_tensor()], "outputs": [{"name": "predict", "parameters": {"classification": 3}}]},
            "'classification' is not spoken",
        ),
        (
            {"inputs": [wine_tensor()], "outputs": [{"name": "interval", "parameters": {"coverage": 10**400}}]},
            "a number between 0 and 1",
        ),
        (
            {"inputs": [wine_tensor()], "outputs": [{"name": "interval", "parameters": {"coverage": 0.9999}}]},
            "ask for at most",
        ),
    ],
)
def test_a_request_that_does_not_hold_together(client: FlaskClient, request_: Any, expected: str):
    """What contradicts itself is told in one sentence."""
    sent = Sent("/v2/models/wine/infer", json.dumps(request_).encode())
    assert expected in told(sent.ask(client), 400)


def test_a_number_has_no_probabilities(client: FlaskClient):
    """A regression has the outputs that its metadata names."""
    features, records = rows_of(client, "prices")
    sent = json.loads(RECORDS["oip columns"]("prices", features, records).body)
    reply = client.post("/v2/models/prices/infer", json={**sent, "outputs": [{"name": "predict_proba"}]})
    assert "the output 'predict_proba' is not known" in told(reply, 400)


@pytest.mark.parametrize("length", ["x", "-1", "1.5", "9999", "²", "9" * 5000])
def test_a_header_that_is_no_length(client: FlaskClient, length: str):
    """The length of the JSON is a whole number that the body is long enough for."""
    headers = {HEADER: length.encode().decode("latin-1")}
    sent = Sent("/v2/models/wine/infer", json.dumps({"inputs": [wine_tensor()]}).encode(), headers)
    assert HEADER in told(sent.ask(client), 400)


@pytest.mark.parametrize(
    ("raw", "size", "expected"),
    [
        (b"\0" * 104, 100, "holds 4 bytes behind its tensors"),
        (b"\0" * 104, 105, "does not hold those bytes"),
        (b"\0" * 104, -1, "does not hold those bytes"),
        (b"\0" * 104, True, "does not hold those bytes"),
        (b"\0" * 100, 100, "has 100 bytes, 26 of FP32 take 104"),
    ],
)
def test_bytes_that_do_not_fit(client: FlaskClient, raw: bytes, size: Any, expected: str):
    """Bytes are as many as the parameter, the shape and the datatype say."""
    head = wine_tensor(data=None, parameters={"binary_data_size": size})
    assert expected in told(with_bytes("wine", [head], [raw]).ask(client), 400)


@pytest.mark.parametrize(
    "raw", [b"", b"\1", b"\1\0\0\0", b"\xff\xff\xff\xff", b"\1\0\0\0\xff", b"\1\0\0\0ab", b"\1\0\0\0a" * 2]
)
def test_texts_that_are_damaged(client: FlaskClient, raw: bytes):
    """A text that ends early, is not UTF-8 or has something behind it is told."""
    features, (record,) = rows_of(client, "houses")
    sent = json.loads(RECORDS["oip columns"]("houses", features, [record]).body)
    for tensor in sent["inputs"]:
        if tensor["name"] == "heating, by":
            del tensor["data"]
            tensor["parameters"] = {"binary_data_size": len(raw)}
    reply = with_bytes("houses", sent["inputs"], [raw]).ask(client)
    assert "'heating, by' must hold 1 texts in UTF-8" in told(reply, 400)


def test_columns_of_unequal_length(client: FlaskClient):
    """A column that is shorter than the first is named with the row that it lacks."""
    features, records = rows_of(client, "wine", 3)
    sent = json.loads(RECORDS["oip columns"]("wine", features, records).body)
    sent["inputs"][4] |= {"shape": [2], "data": [1.0, 2.0]}
    sentence = told(client.post("/v2/models/wine/infer", json=sent), 400)
    assert sentence == f"row 2: {features[4].name!r} has 2 rows, 'alcohol' has 3"


@pytest.mark.parametrize(("model", "raw"), [("wine", b"\0" * 51), ("houses", b"\0" * 20)])
def test_a_bare_tensor_that_is_none(client: FlaskClient, model: str, raw: bytes):
    """A body without JSON is whole rows of numbers, for a model that reads only numbers."""
    sentence = told(Sent(f"/v2/models/{model}/infer", raw, {HEADER: "0"}).ask(client), 400)
    assert "must be one FP32 tensor" in sentence


def test_the_index_is_asked_by_an_object(client: FlaskClient):
    """The repository's index takes no body, or an object."""
    assert len(client.post("/v2/repository/index", data='{"ready": false}').json) == 3
    told(client.post("/v2/repository/index", data="[]"), 400)


@pytest.mark.parametrize("datatype", ["INT64", "UINT8", "INT16", "FP16", "BOOL"])
def test_tensors_of_other_datatypes(client: FlaskClient, datatype: str):
    """Whole and half numbers are numbers, truth values are none."""
    features, _ = rows_of(client, "wine")
    rows = [[float(at + column) for column in range(13)] for at in range(3)]
    raw = np.array(rows).astype(tensors.DTYPES[datatype]).tobytes()
    head = {"name": "x", "shape": [3, 13], "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
    reply = with_bytes("wine", [head], [raw]).ask(client)
    if datatype == "BOOL":
        assert "row 0: 'alcohol' must be a number, got false" in told(reply, 400)
    else:
        records = [dict(zip([one.name for one in features], row, strict=True)) for row in rows]
        assert predictions(reply) == predictions(RECORDS["native"]("wine", features, records).ask(client))


def test_whole_numbers_are_rounded_as_in_json(client: FlaskClient):
    """A whole number of 64 bits becomes the same 32-bit number from bytes as from JSON, where it is rounded twice."""
    schema = model_of(client, "wine").schema
    twice = 2**60 + 2**36 + 1  # at once it would be rounded up
    rows = [[twice] * 13]
    tensor = Tensor("x", [1, 13], "INT64", memoryview(np.array(rows, dtype="<i8").tobytes()))
    assert tensors.table(tensor, schema).numbers.tolist() == schema.read_lists(rows).numbers.tolist()
    assert schema.read_lists(rows).numbers[0, 0] == 2**60


@pytest.mark.parametrize("model", ["wine", "houses", "prices"])
def test_every_output_is_what_the_native_interface_tells(client: FlaskClient, model: str):
    """Labels, probabilities, sets and intervals are the same, as JSON and as bytes."""
    features, records = rows_of(client, model, 3)
    more = "interval" if model == "prices" else "interval,probabilities"
    address = f"/models/{model}/predict?include={more}&coverage=0.8"
    native = client.post(address, json={"instances": records}).json
    sent = json.loads(RECORDS["oip columns"](model, features, records).body)
    names = ["predict", "interval"] if model == "prices" else ["predict", "predict_proba", "interval"]
    sent["outputs"] = [{"name": name, "parameters": {"coverage": 0.8}} for name in names]
    plain = client.post(f"/v2/models/{model}/infer", json=sent).json["outputs"]
    found = {one["name"]: np.reshape(one["data"], one["shape"]).tolist() for one in plain}
    raw = client.post(f"/v2/models/{model}/infer", json={**sent, "parameters": {"binary_data_output": True}})
    assert dict(outputs(raw)) == found
    assert found["predict"] == native["predictions"]
    if model == "prices":
        assert found["interval"] == native["interval"]
        return
    assert found["predict_proba"] == [list(row.values()) for row in native["probabilities"]]
    classes = model_of(client, model).classes
    held = [[label for label, is_in in zip(classes, row, strict=True) if is_in] for row in found["interval"]]
    assert held == native["interval"]


def test_outputs_say_for_themselves_whether_they_are_bytes(client: FlaskClient):
    """What an output says comes before what the request says."""
    features, records = rows_of(client, "wine")
    sent = json.loads(RECORDS["oip columns"]("wine", features, records).body)
    asked = [{"name": "predict", "parameters": {"binary_data": False}}, {"name": "predict_proba"}]
    reply = client.post(
        "/v2/models/wine/infer", json={**sent, "outputs": asked, "parameters": {"binary_data_output": True}}
    )
    head = json.loads(reply.data[: int(reply.headers[HEADER])])
    assert ["data" in output for output in head["outputs"]] == [True, False]
    assert len(reply.data) == int(reply.headers[HEADER]) + 12


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate, br", "gzip"), ("br", None), ("gzip;q=0", None)],
)
def test_replies_are_compressed_as_asked(client: FlaskClient, accepted: str, encoding: str | None):
    """A long reply is packed in what the client takes, and a short one never."""
    features, records = rows_of(client, "wine", 1000)
    undo = {None: bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}
    long = TABLES["oip FP32"]("wine", features, records)
    headers = {"X-Request-Id": "same"}
    packed = long.ask(client, **headers, **{"Accept-Encoding": accepted})
    assert packed.headers.get("Content-Encoding") == encoding
    assert undo[encoding](packed.data) == long.ask(client, **headers).data
    short = TABLES["oip FP32"]("wine", features, records[:1]).ask(client, **{"Accept-Encoding": accepted})
    assert "Content-Encoding" not in short.headers


def test_the_service_and_its_models_are_described(trained_stays: Trained, tmp_path: Path):
    """Metadata names each tensor with its datatype and shape."""
    client = create_app({"artifacts": trained_stays.folder.parents[1], "reports": tmp_path}).test_client()
    assert client.get("/v2/").json == client.get("/v2").json
    described = client.get("/v2/models/stays").json
    assert described["inputs"] == [
        {"name": "nights", "datatype": "FP32", "shape": [-1]},
        {"name": "arrived", "datatype": "BYTES", "shape": [-1]},
        {"name": "pets", "datatype": "BOOL", "shape": [-1]},
        {"name": "room", "datatype": "BYTES", "shape": [-1]},
    ]
    assert [(one["name"], one["datatype"], one["shape"]) for one in described["outputs"]] == [
        ("predict", "FP32", [-1]),
        ("interval", "FP64", [-1, 2]),
    ]
    for path in ("/v2/models/stays/ready", "/v2/models/stays/versions/1/ready"):
        assert client.get(path).json == {"name": "stays", "ready": True}
    assert client.get("/v2/health/ready").json == {"ready": True, "live": True}


def test_the_index_tells_what_was_refused(artifacts: Path, tmp_path: Path):
    """A model that cannot be served stands in the repository's index with the reason, unless ready ones are asked."""
    path = artifacts / "wine" / "1" / "model.onnx"
    path.write_bytes(path.read_bytes() + b"x")
    client = create_app({"artifacts": artifacts, "reports": tmp_path}).test_client()
    (entry,) = client.post("/v2/repository/index").json
    assert (entry["name"], entry["state"]) == ("wine", "UNAVAILABLE")
    assert "damaged" in entry["reason"]
    assert client.post("/v2/repository/index", json={"ready": True}).json == []


@pytest.mark.parametrize("name", ["predict", "predict_proba"])
def test_an_output_is_asked_for_once(client: FlaskClient, name: str):
    """A short request cannot make a reply as long as it likes."""
    asked = {"inputs": [wine_tensor()], "outputs": [{"name": name}] * 2}
    reply = client.post("/v2/models/wine/infer", json=asked)
    assert reply.status_code == 400 and "names an output twice" in reply.json["error"]


@pytest.mark.parametrize("given", ["false", 1, None])
def test_whether_outputs_are_bytes_is_true_or_false(client: FlaskClient, given: Any):
    """A text such as "false" is refused: it would count as true."""
    for asked in (
        {"parameters": {"binary_data_output": given}},
        {"outputs": [{"name": "predict", "parameters": {"binary_data": given}}]},
    ):
        reply = client.post("/v2/models/wine/infer", json={"inputs": [wine_tensor()], **asked})
        assert reply.status_code == 400 and "must be true or false" in reply.json["error"]
