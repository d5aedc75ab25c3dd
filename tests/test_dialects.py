from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Trained, evaluate, train
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from speaking import BINARY, FLAT, HEADER, LISTS, RECORDS, TABLES, binary_table, outputs, predictions

from service.app import create_app
from service.bundle import Feature

LAW = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def trained_stays(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`stays` version 1, champion: features of all four kinds, some of which may be missing."""
    draw, rows = np.random.default_rng(1), 200
    table = pd.DataFrame(
        {
            "nights": draw.integers(1, 15, rows).astype(float),
            "arrived": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, rows), "D"),
            "pets": draw.random(rows) < 0.3,
            "room": draw.choice(["garden", "str\u00e4\u00dfe", "roof"], rows),
        }
    )
    table["paid"] = table["nights"] * 80 + table["pets"] * 25 + (table["room"] == "roof") * 40
    table["paid"] += draw.normal(0, 5, rows).round(2)
    table.loc[::9, "nights"] = None
    table.loc[4::9, "room"] = None
    folder = tmp_path_factory.mktemp("stays")
    table.to_csv(folder / "stays.csv", index=False)
    trained = train(folder / "artifacts", folder / "stays.csv", target="paid")
    evaluate(trained)
    return trained


def client_of(artifacts: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """Return a client of the service with one model as the default."""
    config = {"artifacts": artifacts, "reports": tmp_path_factory.mktemp("reports"), "default_model": model}
    return create_app({**config, "log": "errors"}).test_client()


@pytest.fixture(scope="module")
def wine(wine_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service with `wine` as the default."""
    return client_of(wine_artifacts, "wine", tmp_path_factory)


@pytest.fixture(scope="module")
def houses(houses_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service with `houses` as the default, and `prices`."""
    return client_of(houses_artifacts, "houses", tmp_path_factory)


@pytest.fixture(scope="module")
def prices(houses_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service with `prices` as the default."""
    return client_of(houses_artifacts, "prices", tmp_path_factory)


@pytest.fixture(scope="module")
def stays(trained_stays: Trained, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service with `stays` as the default."""
    return client_of(trained_stays.folder.parents[1], "stays", tmp_path_factory)


def features_of(client: FlaskClient, model: str) -> list[Feature]:
    """Return what a model reads."""
    return client.application.extensions["live"].get(model).manifest.features


def values_of(feature: Feature) -> st.SearchStrategy[Any]:
    """Return values that a feature takes, inside and outside of what training saw."""
    kinds = {
        "number": st.floats(-1e6, 1e6) | st.integers(-(2**60), 2**60) | st.floats(0, 20, width=32),
        "category": st.sampled_from(feature.categories or ["x"]) | st.text(min_size=1, max_size=8),
        "boolean": st.booleans(),
        "date": st.dates(date(1900, 1, 1), date(2100, 1, 1)).map(str),
    }
    return st.none() | kinds[feature.kind] if feature.nullable else kinds[feature.kind]


def rows_of(features: list[Feature]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return a few records that a model takes."""
    names = [one.name for one in features]
    rows = st.tuples(*map(values_of, features)).map(lambda row: dict(zip(names, row, strict=True)))
    return st.lists(rows, min_size=1, max_size=5)


@pytest.mark.parametrize("model", ["wine", "houses", "prices", "stays"])
def test_the_same_rows_get_the_same_numbers_in_every_protocol(model: str, request: pytest.FixtureRequest):
    """Whatever the rows and the order of their columns, every form of body is answered with the same bits."""
    client: FlaskClient = request.getfixturevalue(model)
    features = features_of(client, model)
    numbers = all(feature.kind == "number" for feature in features)
    fixed = LISTS | (FLAT | TABLES if numbers else {})
    # A gap among truth values has no sign in bytes.
    named = RECORDS | ({} if any(one.kind == "boolean" and one.nullable for one in features) else BINARY)

    @LAW
    @given(records=rows_of(features), order=st.permutations([feature.name for feature in features]))
    def law(records: list[dict[str, Any]], order: list[str]) -> None:
        expected = predictions(RECORDS["native"](model, features, records).ask(client))
        assert len(expected) == len(records)
        shuffled = [{name: record[name] for name in order} for record in records]
        for form, make in named.items():
            assert predictions(make(model, features, shuffled).ask(client)) == expected, form
        for form, make in fixed.items():
            if form not in ("oip FP32", "oip bare"):
                assert predictions(make(model, features, records).ask(client)) == expected, form

    law()


@LAW
@given(data=st.data())
def test_numbers_of_32_bits_are_the_same_as_bytes(wine: FlaskClient, data: st.DataObject):
    """A tensor of 32-bit numbers, with JSON before it or bare, is answered as those numbers in JSON are."""
    features = features_of(wine, "wine")
    rows = data.draw(
        st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=13, max_size=13), min_size=1, max_size=5)
    )
    records = [dict(zip([one.name for one in features], row, strict=True)) for row in rows]
    expected = predictions(RECORDS["native"]("wine", features, records).ask(wine))
    for form, make in TABLES.items():
        assert predictions(make("wine", features, records).ask(wine)) == expected, form


@pytest.mark.parametrize("datatype", ["INT64", "UINT8", "INT16", "FP16", "BOOL"])
def test_tensors_of_other_datatypes(wine: FlaskClient, datatype: str):
    """Whole and half numbers are numbers, truth values are none."""
    features = features_of(wine, "wine")
    rows = [[float(at + column) for column in range(13)] for at in range(3)]
    records = [dict(zip([one.name for one in features], row, strict=True)) for row in rows]
    dtype = {"INT64": "<i8", "UINT8": "u1", "INT16": "<i2", "FP16": "<f2", "BOOL": "?"}[datatype]
    raw = np.array(rows).astype(dtype).tobytes()
    head = {"name": "x", "shape": [3, 13], "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
    body = json.dumps({"inputs": [head]}).encode()
    reply = wine.post("/v2/models/wine/infer", data=body + raw, headers={HEADER: str(len(body))})
    if datatype == "BOOL":
        assert reply.status_code == 400 and "must be a number, got" in reply.json["error"]
    else:
        assert predictions(reply) == predictions(RECORDS["native"]("wine", features, records).ask(wine))


def test_whole_numbers_are_rounded_as_in_json(wine: FlaskClient):
    """A whole number of 64 bits becomes the same 32-bit number from bytes as from JSON, where it is rounded twice."""
    features = features_of(wine, "wine")
    twice = 2**60 + 2**36 + 1  # at once it would round up
    records = [{feature.name: twice for feature in features}]
    sent = binary_table("INT64")("wine", features, records)
    inputs = []
    for ask in (sent, RECORDS["native"]("wine", features, records)):
        inputs.append(predictions(ask.ask(wine)))
    assert inputs[0] == inputs[1]
    model = wine.application.extensions["live"].get("wine")
    assert model.schema.read(records).numbers[0, 0] == 2**60


def test_every_output_is_what_the_native_interface_tells(houses: FlaskClient, prices: FlaskClient):
    """Labels, probabilities, sets and intervals are the same, as JSON and as bytes."""
    for model, client in (("houses", houses), ("prices", prices)):
        features = features_of(client, model)
        records = [{one.name: one.example for one in features}] * 3
        include = "interval" if model == "prices" else "interval,probabilities"
        native = client.post(
            f"/models/{model}/predict?include={include}&coverage=0.8", json={"instances": records}
        ).json
        names = ["predict", "interval"] if model == "prices" else ["predict", "predict_proba", "interval"]
        sent = json.loads(RECORDS["oip columns"](model, features, records).body)
        asked = [{"name": name, "parameters": {"coverage": 0.8}} for name in names]
        plain = client.post(f"/v2/models/{model}/infer", json={**sent, "outputs": asked}).json["outputs"]
        found = {one["name"]: np.reshape(one["data"], one["shape"]).tolist() for one in plain}
        raw = client.post(
            f"/v2/models/{model}/infer",
            json={**sent, "outputs": asked, "parameters": {"binary_data_output": True}},
        )
        assert dict(outputs(raw)) == found
        assert found["predict"] == native["predictions"]
        if model == "prices":
            assert found["interval"] == native["interval"]
        else:
            assert found["predict_proba"] == [list(row.values()) for row in native["probabilities"]]
            classes = list(native["probabilities"][0])
            held = [[name for name, is_in in zip(classes, row, strict=True) if is_in] for row in found["interval"]]
            assert held == native["interval"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate, br", "gzip"), ("br", None), ("gzip;q=0", None)],
)
def test_replies_are_compressed_as_asked(wine: FlaskClient, accepted: str, encoding: str | None):
    """A long reply is packed in what the client takes, and a short one never."""
    import gzip
    import zlib

    features = features_of(wine, "wine")
    record = {one.name: one.example for one in features}
    undo = {None: bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}
    long = TABLES["oip FP32"]("wine", features, [record] * 1000)
    headers = {"X-Request-Id": "same"}
    plain = long.ask(wine, **headers)
    packed = long.ask(wine, **headers, **{"Accept-Encoding": accepted})
    assert packed.headers.get("Content-Encoding") == encoding
    assert undo[encoding](packed.data) == plain.data
    short = TABLES["oip FP32"]("wine", features, [record]).ask(wine, **{"Accept-Encoding": accepted})
    assert "Content-Encoding" not in short.headers


def test_kserve_and_vetiver_describe_the_model(stays: FlaskClient):
    """The lists, states and schemas that the protocols ask for name the model, its version and its features."""
    assert stays.get("/v1/models").json == {"models": ["stays"]}
    status = stays.get("/v1/models/stays/versions/1").json
    assert status["ready"] is True and status["model_version_status"][0]["state"] == "AVAILABLE"
    assert stays.get("/metadata").json["user"]["model"] == "stays"
    prototype = stays.get("/prototype").json
    kinds = {name: told.get("type") or told["anyOf"][0]["type"] for name, told in prototype["properties"].items()}
    assert kinds == {"nights": "number", "arrived": "string", "pets": "boolean", "room": "string"}
    described = stays.get("/v2/models/stays").json
    assert {one["name"]: one["datatype"] for one in described["inputs"]} == {
        "nights": "FP32",
        "arrived": "BYTES",
        "pets": "BOOL",
        "room": "BYTES",
    }
    assert [one["datatype"] for one in described["outputs"]] == ["FP32", "FP64"]
    assert stays.get("/v2/").json == stays.get("/v2").json


def test_the_index_tells_what_was_refused(artifacts: Path, tmp_path: Path):
    """A model that cannot be served stands in the repository's index with the reason, unless ready ones are asked."""
    path = artifacts / "wine" / "1" / "model.onnx"
    path.write_bytes(path.read_bytes() + b"x")
    client = create_app({"artifacts": artifacts, "reports": tmp_path}).test_client()
    (entry,) = client.post("/v2/repository/index").json
    assert (entry["name"], entry["state"]) == ("wine", "UNAVAILABLE")
    assert "damaged" in entry["reason"]
    assert client.post("/v2/repository/index", json={"ready": True}).json == []
    assert client.post("/v2/repository/index", data="[]").status_code == 400
