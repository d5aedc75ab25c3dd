from __future__ import annotations

import base64
import gc
import json
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from service.app import create_app
from service.web.edge import Ending

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def row(client: FlaskClient) -> list[Any]:
    """A row that fits `wine`."""
    return [feature["example"] for feature in client.get("/models/wine").json["features"]]


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged since the last look."""
    return [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]


def made(config: dict[str, Any], **more: Any) -> FlaskClient:
    """Return a client of the service with other settings."""
    return create_app({**config, **more}).test_client()


def test_one_line_is_logged_for_each_request(client: FlaskClient, row: list[Any], capfd: pytest.CaptureFixture[str]):
    """The line tells who asked what, how it ended and how long it took, and no value of a feature."""
    lines(capfd)
    client.post("/predict", json=[row, row], headers={"X-Request-Id": "mine", "traceparent": TRACE})
    client.post("/models/wine/predict?include=x", json=[row])
    client.get("/nowhere")
    first, second, third = lines(capfd)
    assert first.pop("at").endswith("Z") and 0 < first.pop("model_ms") < first.pop("ms")
    assert first == {
        "id": "mine",
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "route": "native",
        "model": "wine",
        "version": 1,
        "rows": 2,
        "trace": TRACE,
    }
    assert (second["status"], second["error"], second["path"]) == (400, "RequestError", "/models/wine/predict")
    assert (third["status"], third["error"]) == (404, "NotFound")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_values_are_logged_only_when_asked(
    config: dict[str, Any], row: list[Any], capfd: pytest.CaptureFixture[str], kind: str
):
    """With CELLAR_LOG=values the line holds what was sent; with errors, only faults of the service have one."""
    sent = {"data": json.dumps([row]), "content_type": kind}
    lines(capfd)
    made(config, log="values").post("/predict", **sent)
    assert json.loads(lines(capfd)[0]["body"]) == [row]
    quiet = made(config, log="errors")
    quiet.post("/predict", **sent)
    quiet.post("/predict", data="nonsense")
    assert lines(capfd) == []


@pytest.mark.parametrize("name", ["ümlaut", "a b", "x" * 129, "", 'a"\tb'])
def test_an_odd_request_id_is_replaced(client: FlaskClient, row: list[Any], name: str):
    """Only printable ASCII of up to 128 characters is taken for an id: it goes into a header and a log."""
    reply = client.post("/predict", json=[row], headers={"X-Request-Id": name.encode().decode("latin-1")})
    assert len(reply.headers["X-Request-Id"]) == 32


def test_a_trace_is_passed_on(client: FlaskClient, row: list[Any]):
    """A well-formed traceparent comes back; another is dropped."""
    assert client.post("/predict", json=[row], headers={"traceparent": TRACE}).headers["traceparent"] == TRACE
    assert "traceparent" not in client.get("/models", headers={"traceparent": "00-<script>"}).headers


def test_timing_is_told(client: FlaskClient, row: list[Any]):
    """Server-Timing names the milliseconds in the model and in all."""
    model, total = client.post("/predict", json=[row]).headers["Server-Timing"].split(", ")
    assert 0 < float(model.removeprefix("model;dur=")) < float(total.removeprefix("total;dur="))


@pytest.mark.parametrize("address", ["/predict", "/models", "/", "/nowhere", "/metrics"])
def test_reading_needs_the_token_where_there_is_one(config: dict[str, Any], row: list[Any], address: str):
    """Without the token everything but health is 401; with it, as a bearer or a browser's password, all is open."""
    client = made(config, read_token="sésame")
    method = "POST" if address == "/predict" else "GET"
    basic = base64.b64encode("anyone:sésame".encode()).decode()
    bearer = "sésame".encode().decode("latin-1")
    for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic %%%"}, {"Authorization": "Bearer "}):
        reply = client.open(address, method=method, json=[row], headers=wrong)
        assert reply.status_code == 401 and "Basic" in reply.headers["WWW-Authenticate"]
    for right in (f"Bearer {bearer}", f"bearer {bearer}", f"Basic {basic}"):
        reply = client.open(address, method=method, json=[row], headers={"Authorization": right})
        assert reply.status_code == (404 if address == "/nowhere" else 200)
    assert client.get("/health/live").status_code == client.get("/health/ready").status_code == 200


def test_too_many_at_once_are_turned_away(config: dict[str, Any], row: list[Any], tmp_path: Path):
    """While as many as may be are answered, the next gets 503 with Retry-After; then there is room again."""
    page = tmp_path / "reports" / "wine" / "1" / "03_evaluate.html"
    page.parent.mkdir(parents=True)
    page.write_bytes(b"<p>" + b"x" * 6_000_000)
    client = made(config, max_inflight=1)
    long = client.get("/models/wine/report")  # a reply in pieces that nobody has taken yet
    turned_away = client.post("/predict", json=[row])
    assert turned_away.status_code == 503 and turned_away.headers["Retry-After"] == "1"
    assert "CELLAR_MAX_INFLIGHT" in turned_away.json["detail"]
    assert client.get("/health/live").status_code == client.get("/ping").status_code == 200
    long.close()
    assert client.post("/predict", json=[row]).status_code == 200


def test_no_slot_is_lost(config: dict[str, Any], row: list[Any]):
    """Whatever requests end in, from several threads, the count of those in flight returns to none."""
    app = create_app({**config, "max_inflight": 3})

    def ask() -> None:
        client = app.test_client()
        for body in ([row], [[1]], "x", [row] * 500):
            client.post("/predict", json=body)
            client.get("/models")

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert app.wsgi_app.running == set()
    assert app.test_client().post("/predict", json=[row]).status_code == 200


def test_a_late_answer_is_none(config: dict[str, Any], row: list[Any], capfd: pytest.CaptureFixture[str]):
    """A prediction that took longer than the deadline is answered by 504, and computed once."""
    client = made(config, deadline=1e-9)
    lines(capfd)
    reply = client.post("/predict", json=[row])
    assert reply.status_code == 504 and "CELLAR_DEADLINE" in reply.json["detail"]
    assert lines(capfd)[0]["error"] == "DeadlineError"


def test_a_fault_is_the_services_own(app: Flask, row: list[Any], monkeypatch: pytest.MonkeyPatch):
    """What nobody foresaw is a 500 that tells nothing of the machine; the next request is answered."""
    model = app.extensions["live"].get("wine")

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("/secret/path")

    with monkeypatch.context() as patch:
        patch.setattr(model, "predict", broken)
        reply = app.test_client().post("/predict", json=[row])
    assert reply.status_code == 500 and "secret" not in reply.text
    assert app.test_client().post("/predict", json=[row]).status_code == 200


def test_an_ending_ends_once():
    """A reply in pieces tells its end with the last piece or when it is given up, never twice."""
    ended: list[int] = []
    whole = Ending([b"a", b"b"], lambda: ended.append(1))
    assert list(whole) == [b"a", b"b"] and ended == [1]
    whole.close()
    assert ended == [1]
    Ending([b"a"], lambda: ended.append(2)).close()
    assert ended == [1, 2]


class Environ(dict[str, Any]):
    """A WSGI environ that tells when it is gone."""


@pytest.mark.parametrize("body", [b'[["x"]]', b"nonsense", b"[]"])
def test_a_body_is_gone_with_its_request(app: Flask, body: bytes):
    """No circle of references keeps what was sent until the garbage collector looks for it."""
    app.test_client().post("/predict", data=b"nonsense")  # what is made at the first request stays
    environ = Environ(
        EnvironBuilder("/predict", method="POST", data=body, content_type="application/json").get_environ()
    )
    gone = weakref.ref(environ)
    gc.disable()
    try:
        list(app.wsgi_app(environ, lambda *_: None))
        del environ
        assert gone() is None
    finally:
        gc.enable()


def test_a_table_is_read_whatever_headers_it_has(client: FlaskClient, row: list[Any]):
    """The header of binary tensors beside a CSV changes nothing."""
    names = [feature["name"] for feature in client.get("/models/wine").json["features"]]
    table = f"{','.join(names)}\n{','.join(map(str, row))}\n"
    headers = {"Inference-Header-Content-Length": "3"}
    reply = client.post("/predict", data=table, content_type="text/csv", headers=headers)
    assert reply.status_code == 200 and len(reply.json["predictions"]) == 1


@pytest.mark.parametrize("number", ["\u0661", "9" * 19, "9" * 5000, "-1", "x"])
def test_an_odd_version_is_not_found(client: FlaskClient, row: list[Any], number: str):
    """A version is written in the digits that every client writes."""
    for path in ("/models/wine/versions/%s/predict", "/v1/models/wine/versions/%s:predict"):
        assert client.post(path % number, json={"instances": [row]}).status_code == 404


def test_the_script_of_the_documentation_comes_whole(app: Flask):
    """It is handed to the server at once, so that no slow line keeps a worker."""
    environ = EnvironBuilder("/docs/swagger-ui-bundle.js").get_environ()
    reply = app.wsgi_app(environ, lambda *_: None)
    assert isinstance(reply, list) and len(reply[0]) > 1_000_000


def test_a_log_that_nobody_reads_costs_no_answer(config: dict[str, Any], row: list[Any]):
    """Lines for which a pipe has no room are dropped, and counted in the first one that is taken again."""
    reading, writing = os.pipe()
    kept = os.dup(1)
    client = made(config, log="values")
    os.dup2(writing, 1)
    try:
        asked = sum(client.post("/predict", json=[row] * 100).status_code == 200 for _ in range(30))
        os.set_blocking(reading, False)
        taken = os.read(reading, 1 << 20)
        client.post("/predict", json=[row])
        last = os.read(reading, 1 << 20)
    finally:
        os.dup2(kept, 1)
        for each in (reading, writing, kept):
            os.close(each)
    whole = [json.loads(line) for line in taken.splitlines(keepends=True) if line.endswith(b"\n")]
    assert asked == 30 and len(taken) <= 1 << 16 and 0 < len(whole) < 30
    assert json.loads(last)["dropped"] == 30 - len(whole)
    assert last.startswith(b"\n") is not taken.endswith(b"\n")
