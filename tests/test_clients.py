"""The clients of other projects, as they are installed from their packages, against the real server on loopback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from conftest import ROOT, Trained
from outside import outside

from chaos.serving import Served, serving
from workshop.installers import without

pytestmark = pytest.mark.clients

ROWS = 40

Table = dict[str, Any]


@pytest.fixture(scope="module")
def server(all_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The real server, one for all clients."""
    with serving(all_artifacts, tmp_path_factory.mktemp("reports")) as running:
        yield running


@pytest.fixture(scope="module")
def tables(trained_wine: Trained, trained_houses: Trained) -> dict[str, Table]:
    """What the clients ask: `wine`, `houses` with gaps, and `whole` and `prices`, the same without."""
    wine, houses = trained_wine.X.head(ROWS), trained_houses.X.head(ROWS)
    whole = houses.dropna()
    assert 9 < len(whole) < len(houses)
    return {
        "wine": _table("wine", wine),
        "houses": _table("houses", houses),
        "whole": _table("houses", whole),
        "prices": _table("prices", whole),
    }


def _table(model: str, frame: Any) -> Table:
    # A float of 32 bits keeps its value in the clients that send no more.
    rows = [
        [None if value != value else value for value in row]
        for row in frame.astype({name: np.float32 for name in frame if frame[name].dtype != object}).values.tolist()
    ]
    kinds = ["category" if any(isinstance(row[at], str) for row in rows) else "number" for at in range(len(rows[0]))]
    return {"model": model, "names": list(frame), "kinds": kinds, "rows": rows}


@pytest.fixture(scope="module")
def native(server: Served, tables: dict[str, Table]) -> dict[str, Any]:
    """What the native interface answers for each table, everything included."""
    return {name: _ask(server, table, table["model"]) for name, table in tables.items()}


def _ask(server: Served, table: Table, model: str) -> Any:
    more = "interval" if model == "prices" else "probabilities,interval"
    address = f"{server.address}/models/{model}/predict?include={more}"
    answer = requests.post(address, json={"instances": table["rows"]}, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


def run(python: Path, script: str, server: Served, tables: dict[str, Table]) -> Any:
    """Run a script of a client and return what it printed."""
    given = json.dumps({"address": f"{server.host}:{server.port}", "tables": tables})
    path = ROOT / "tests" / "clients" / script
    # Importing these clients without bytecode takes three times as long.
    environ = without("PYTHONDONTWRITEBYTECODE")
    done = subprocess.run([python, path], input=given, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def cases(told: Any) -> int:
    """Return how many cases a script ran: each answer, each thing it was told, each refusal."""
    answers, other = told["answers"].values(), told["other"]
    return sum(len(one) if isinstance(one, dict) else 1 for one in answers) + len(other) - 1 + len(other["refused"])


def same(answers: dict[str, Any], expected: list[Any], cases: int) -> None:
    """Hold that a client got the same from each of so many cases or more, bit for bit."""
    assert len(answers) >= cases
    wrong = {case: got for case, got in answers.items() if got != expected}
    assert not wrong


def test_tritonclient_gets_the_same(clients_python, server, tables, native, record_testsuite_property):
    """JSON and binary, one tensor and per column, texts, packed both ways: the native labels and numbers."""
    told = run(clients_python, "triton.py", server, tables)
    record_testsuite_property("tritonclient", cases(told))
    for name, least in (("wine", 30), ("houses", 8), ("whole", 16), ("prices", 16)):
        same(told["answers"][name], native[name]["predictions"], least)
    other = told["other"]
    assert other["later"] == native["wine"]["predictions"]
    assert other["no rows"] == []
    proba = [list(row.values()) for row in native["wine"]["probabilities"]]
    assert other["probabilities"] == {"binary": proba, "json": proba}
    assert other["labels"] == dict.fromkeys(("binary", "json"), native["wine"]["predictions"])
    assert other["houses probabilities"] == [list(row.values()) for row in native["houses"]["probabilities"]]
    classes = list(native["houses"]["probabilities"][0])
    sets = [[name for name, held in zip(classes, row, strict=True) if held] for row in other["houses sets"]]
    assert sets == native["houses"]["interval"]
    assert other["prices intervals"] == native["prices"]["interval"]


def test_tritonclient_is_told_what_is_served(clients_python, server, tables):
    """Health, metadata, the index and its own request id come in the form that it reads."""
    other = run(clients_python, "triton.py", server, tables)["other"]
    assert all(other[name] is True for name in ("live", "ready", "model ready", "version ready"))
    assert other["unknown model ready"] is other["unknown version ready"] is False
    assert other["server"]["extensions"] == ["binary_tensor_data"]
    assert other["wine"]["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 13]}]
    assert {one["name"]: one["datatype"] for one in other["wine"]["outputs"]} == {
        "predict": "INT64",
        "predict_proba": "FP32",
        "interval": "BOOL",
    }
    assert [one["datatype"] for one in other["houses"]["inputs"]] == ["FP32", "FP32", "FP32", "BYTES", "BYTES"]
    assert {(one["name"], one["state"]) for one in other["index"]} == {
        ("wine", "READY"),
        ("houses", "READY"),
        ("prices", "READY"),
    }
    assert other["id"] == "my own"
    refused = {case: (status, message) for case, (status, message) in other["refused"].items()}
    assert {case: status for case, (status, _) in refused.items()} == {
        "unknown model": "404",
        "unknown version": "404",
        "another width": "400",
        "columns missing": "400",
        "infinity": "400",
        "NaN as JSON": "400",
        "another output": "400",
        "a table of texts": "400",
    }
    assert "did you mean 'predict'?" in refused["another output"][1]
    assert "row 0: 'alcohol' must lie between -3.4e38 and 3.4e38" in refused["infinity"][1]
    assert "[n, 13]" in refused["another width"][1]


def test_mlflow_gets_the_same(clients_python, server, tables, native, record_testsuite_property):
    """Data frames, arrays and every form of body: the native labels, and one exception for what is wrong."""
    told = run(clients_python, "mlflow_scoring.py", server, {"wine": tables["wine"]})
    record_testsuite_property("mlflow", cases(told))
    same(told["answers"], native["wine"]["predictions"], 14)
    assert told["other"]["no rows"] == []
    assert told["other"]["version"] == requests.get(f"{server.address}/version", timeout=20).text
    refused = told["other"]["refused"]
    assert all("error code 400" in text and "BAD_REQUEST" in text for text in refused.values())
    assert "row 0: 'alcohol' is missing" in refused["a column missing"]
    assert "row 0: 'alcohol' must be a number" in refused["a list for a number"]
    assert "exactly one of" in refused["two forms"]


def test_mlflow_sends_texts_and_gaps(
    clients_python, all_artifacts, tmp_path, tables, native, record_testsuite_property
):
    """The model with texts and missing values answers the same, where it is the default."""
    with serving(all_artifacts, tmp_path, default_model="houses") as running:
        told = run(clients_python, "mlflow_scoring.py", running, {"houses": tables["houses"]})
    record_testsuite_property("mlflow with texts", cases(told))
    same(told["answers"], native["houses"]["predictions"], 12)


def test_vetiver_gets_the_same(clients_python, server, tables, native, record_testsuite_property):
    """`predict` makes of each table the column that the native interface answers."""
    told = run(clients_python, "vetiver_predict.py", server, tables)
    record_testsuite_property("vetiver", cases(told))
    for name, answers in told["answers"].items():
        same(answers, native[name]["predictions"], 3)
    other, names = told["other"], tables["wine"]["names"]
    assert other["dict"] == other["series"] == native["wine"]["predictions"][:1]
    kind, text = other["refused"]["a column missing"]
    assert kind == "TypeError" and "'alcohol' is missing" in text
    assert other["refused"]["unknown model"][0] == "HTTPError"
    assert other["ping"] == {"ping": "pong"}
    assert other["metadata"]["version"] == "1"
    assert list(other["prototype"]["properties"]) == other["prototype"]["required"] == names


def test_kserve_gets_the_same(clients_python, server, tables, native, record_testsuite_property):
    """Both protocols: rows, records and tensors, live, ready and refused."""
    told = run(clients_python, "kserve_inference.py", server, tables)
    first, second = told["v1"], told["v2"]
    record_testsuite_property("kserve V1", cases(first))
    record_testsuite_property("kserve V2", cases(second))
    for name, table in tables.items():
        same(first["answers"][name], native[name]["predictions"], 2)
        same(second["answers"][name], native[name]["predictions"], 1 if name == "houses" else 2)
        assert len(table["rows"]) == len(native[name]["predictions"])
    assert first["other"]["live"] is first["other"]["model ready"] is True
    address = f"{server.address}/models/wine/predict?include=explanation"
    asked = requests.post(address, json={"instances": tables["wine"]["rows"][:2]}, timeout=20).json()
    assert first["other"]["explained"] == {"explanations": asked["explanations"]}
    assert "no model is called 'beer'" in first["other"]["refused"]["unknown model"]
    assert "'404 Not Found'" in first["other"]["refused"]["unknown model ready"]
    assert "row 0: 'alcohol' must be a number" in first["other"]["refused"]["a text for a number"]
    assert all(second["other"][name] is True for name in ("live", "ready", "model ready"))
    assert second["other"]["unknown model ready"] is False
    assert second["other"]["id"] == "my own"
    assert "no model is called 'beer'" in second["other"]["refused"]["unknown model"]


def test_curl_gets_the_same(server, tables, native, tmp_path):
    """curl, with a body from a file, gets the native labels from each dialect."""
    curl, rows = outside("curl"), tables["wine"]["rows"]
    body = tmp_path / "body.json"
    answers = {}
    for path, sent in {
        "/predict": {"instances": rows},
        "/invocations": {"inputs": rows},
        "/v1/models/wine:predict": {"instances": rows},
        "/v2/models/wine/infer": {
            "inputs": [{"name": "input", "shape": [len(rows), 13], "datatype": "FP32", "data": rows}]
        },
    }.items():
        body.write_text(json.dumps(sent))
        words = [curl, "-sf", "-H", "Content-Type: application/json", "-d", f"@{body}", "--compressed"]
        done = subprocess.run([*words, f"{server.address}{path}"], capture_output=True, check=True)
        told = json.loads(done.stdout)
        answers[path] = told["outputs"][0]["data"] if "outputs" in told else told["predictions"]
    same(answers, native["wine"]["predictions"], 4)


def test_requests_gets_the_same(server, tables, native):
    """requests, one connection for all, gets the native labels from each form of native body."""
    rows, names = tables["wine"]["rows"], tables["wine"]["names"]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    with requests.Session() as session:

        def ask(body: Any) -> Any:
            return session.post(f"{server.address}/predict", json=body, timeout=20).json()

        answers = {
            "instances": ask({"instances": rows})["predictions"],
            "instances as records": ask({"instances": records})["predictions"],
            "features": ask({"features": rows})["prediction"],
            "rows": ask(rows),
            "records": ask(records)["predict"],
            "one by one": [ask({"features": row})["prediction"] for row in rows],
        }
    same(answers, native["wine"]["predictions"], 6)
