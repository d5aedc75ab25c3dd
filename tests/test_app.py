from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

import service.app
from service.app import create_app


@pytest.mark.parametrize("given", ["abc-123", "x" * 128, "a/b:c;d=e", "!~"])
def test_request_id_is_echoed(client: FlaskClient, given: str):
    """A request's own id comes back in the header and in the document."""
    reply = client.post("/predict", data="{", headers={"X-Request-Id": given})
    assert reply.headers["X-Request-Id"] == given
    assert reply.json["id"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 129, "a b", "caf\u00e9", "<script>\t"])
def test_request_id_is_made_where_none_is_usable(client: FlaskClient, given: str | None):
    """Without an id, or with one that is too long or not plain, the service makes one."""
    reply = client.get("/health/live", headers={} if given is None else {"X-Request-Id": given})
    assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["X-Request-Id"])


def test_request_ids_differ(client: FlaskClient):
    """Two requests never share an id that the service made."""
    assert len({client.get("/health/live").headers["X-Request-Id"] for _ in range(20)}) == 20


@pytest.mark.parametrize("address", ["/", "/models", "/nowhere", "/predict", "/static/../app.py"])
def test_every_reply_has_the_common_headers(client: FlaskClient, address: str):
    """Answers and refusals alike name the request and forbid guessing the type."""
    reply = client.get(address)
    assert reply.headers["X-Request-Id"]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [("GET", "/nowhere", 404), ("GET", "/predict", 405), ("DELETE", "/models", 405), ("POST", "/", 405)],
)
def test_bare_http_errors_are_problems(client: FlaskClient, method: str, address: str, status: int):
    """What Flask refuses by itself is answered as a problem document too, a 405 with the methods allowed."""
    reply = client.open(address, method=method)
    assert (reply.status_code, reply.mimetype) == (status, "application/problem+json")
    assert reply.json["status"] == status
    assert ("Allow" in reply.headers) == (status == 405)


def test_fault_of_the_service_tells_nothing(app: Flask, caplog: pytest.LogCaptureFixture):
    """An unexpected exception is answered by 500 without its text, and logged under the request's id."""

    @app.get("/fails")
    def fails() -> str:
        raise RuntimeError("a secret of the inside")

    with caplog.at_level(logging.ERROR, "cellar"):
        reply = app.test_client().get("/fails", headers={"X-Request-Id": "find-me"})
    assert (reply.status_code, reply.mimetype) == (500, "application/problem+json")
    assert "secret" not in reply.text
    assert "find-me" in caplog.text
    assert "a secret of the inside" in caplog.text


def test_settings_come_from_the_environment(wine_artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without an argument the application reads the CELLAR_* variables."""
    monkeypatch.setenv("CELLAR_ARTIFACTS", str(wine_artifacts))
    monkeypatch.setenv("CELLAR_REPORTS", str(tmp_path))
    assert create_app().test_client().get("/health/ready").json["models"] == ["wine"]


def test_default_model_is_a_setting(houses_artifacts: Path, tmp_path: Path):
    """CELLAR_DEFAULT_MODEL says who answers /predict."""
    settings = {"artifacts": houses_artifacts, "reports": tmp_path, "default_model": "prices"}
    assert create_app(settings).test_client().post("/predict", json={"instances": []}).json["model"] == "prices"


def test_application_is_made_when_a_server_asks_for_it(
    wine_artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`service.app:app` is made once, at its first use; other names do not exist."""
    monkeypatch.setenv("CELLAR_ARTIFACTS", str(wine_artifacts))
    monkeypatch.setenv("CELLAR_REPORTS", str(tmp_path))
    monkeypatch.delitem(vars(service.app), "app", raising=False)
    made = service.app.app
    assert isinstance(made, Flask)
    assert service.app.app is made
    monkeypatch.delitem(vars(service.app), "app")
    with pytest.raises(AttributeError):
        _ = service.app.application


def test_applications_do_not_share_anything(artifacts: Path, wine_artifacts: Path, tmp_path: Path):
    """Two applications in one process serve each its own folder."""
    shutil.rmtree(artifacts / "wine")
    empty = create_app({"artifacts": artifacts, "reports": tmp_path}).test_client()
    full = create_app({"artifacts": wine_artifacts, "reports": tmp_path}).test_client()
    assert empty.get("/health/ready").status_code == 503
    assert full.get("/health/ready").status_code == 200
