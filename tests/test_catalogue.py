from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import changed
from flask.testing import FlaskClient

from service import bundle
from service.app import create_app
from service.registry import Registry
from service.web.catalogue import curl

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
HOSTILE = ["..", "%2e%2e", "WINE", "beer", "%00", "w" * 300, "wine%0a", ".lock"]


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Reports of `wine` version 1, beside files that are nobody's business."""
    folder = tmp_path / "reports" / "wine" / "1"
    folder.mkdir(parents=True)
    for name in ("02_train", "03_evaluate"):
        (folder / f"{name}.html").write_text(f"<h1>{name}</h1>")
    (folder / "notes.txt").write_text("PRIVATE")
    (tmp_path / "reports" / "secret.html").write_text("PRIVATE")
    (tmp_path / "reports" / "wine" / "secret.html").write_text("PRIVATE")
    return tmp_path / "reports"


@pytest.fixture
def houses(houses_artifacts: Path, tmp_path: Path) -> FlaskClient:
    """A client of the service on `houses` and `prices`."""
    return create_app({"artifacts": houses_artifacts, "reports": tmp_path}).test_client()


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "image/png"])
def test_front_tells_a_program_that_the_service_is_alive(client: FlaskClient, accept: str | None):
    """Whoever does not ask for a page gets JSON."""
    reply = client.get("/", headers={"Accept": accept} if accept else {})
    assert reply.mimetype == "application/json"
    assert reply.json == {"status": "alive", "models": {"wine": 1}}


def test_front_shows_a_person_the_models(client: FlaskClient):
    """A browser gets a page with the model, its metrics and units, that loads nothing from elsewhere."""
    reply = client.get("/", headers=PAGE)
    assert reply.mimetype == "text/html"
    for text in ("wine", "version 1", "cultivar", "accuracy", "% vol", "alcohol", " to 14.83", "curl http://"):
        assert text in reply.text
    assert all(address.startswith(("/", "data:,")) for address in re.findall(r'(?:src|href)="([^"]*)"', reply.text))


def test_pages_have_a_content_security_policy(client: FlaskClient):
    """A page forbids scripts of its own text and everything from elsewhere; JSON needs no policy."""
    policy = client.get("/", headers=PAGE).headers["Content-Security-Policy"]
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(policy.split("; "))
    assert "unsafe" not in policy
    assert "Content-Security-Policy" not in client.get("/").headers


def test_names_from_outside_are_escaped(houses: FlaskClient):
    """Column names, categories, meanings and classes cannot put markup into the page."""
    page = houses.get("/", headers=PAGE).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;west&lt;/b&gt;" in page
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in page
    for markup in ("<script>", "<b>west", "<i>none"):
        assert markup not in page


def test_front_without_a_model_says_what_to_do(tmp_path: Path):
    """An empty house shows how to make a model."""
    client = create_app({"artifacts": tmp_path / "none", "reports": tmp_path}).test_client()
    assert "tasks.py pipeline" in client.get("/", headers=PAGE).text
    assert client.get("/").json == {"status": "alive", "models": {}}


def test_models_are_described(houses: FlaskClient):
    """Each model tells its task, features, target, headline metric with interval, and addresses that answer."""
    document = houses.get("/models").json
    assert document["refused"] == {}
    first, second = document["models"]
    assert (first["name"], first["task"], first["headline"]) == ("houses", "classification", "accuracy")
    assert (second["name"], second["task"], second["headline"]) == ("prices", "regression", "r2")
    assert first["target"]["classes"] == ["<i>none</i>", "grand", "schön"]
    assert set(first["metrics"]["accuracy"]) == {"value", "low", "high"}
    area, *_, side, heating = first["features"]
    assert (area["name"], area["unit"], area["nullable"]) == ("living area (m²)", "m²", False)
    assert side["categories"] == sorted(["<b>west</b>", "Süd", "北", 'the "left"'])
    assert (heating["kind"], heating["nullable"]) == ("category", True)
    assert houses.post(first["predict"], json={"instances": []}).status_code == 200


def test_one_model_is_described_by_name_and_by_version(client: FlaskClient):
    """The champion and a version by number have a description of their own, and headers that name them."""
    replies = [client.get("/models/wine"), client.get("/models/wine/versions/1")]
    assert replies[0].json == replies[1].json == client.get("/models").json["models"][0]
    assert all(reply.headers["X-Model"] == "wine" for reply in replies)


def test_versions_come_with_their_history(artifacts: Path, tmp_path: Path):
    """Versions are listed by number, with the one that answers and who was promoted when and why."""
    for number in (2, 10):
        shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / str(number))
    client = create_app({"artifacts": artifacts, "reports": tmp_path}).test_client()
    document = client.get("/models/wine/versions").json
    assert (document["versions"], document["serving"], document["champion"]) == ([1, 2, 10], 1, 1)
    (event,) = document["history"]
    assert (event["version"], event["action"], event["reason"]) == (1, "promote", "made for the tests")


def test_the_gates_verdict_stands_beside_each_version(artifacts: Path, tmp_path: Path):
    """What was held back, and why, is seen of every version, also of the one that is served, and a lost verdict."""
    for number in (2, 10):
        shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / str(number))
    changed(artifacts / "wine" / "2", metrics={"verdict": {"promote": False, "reasons": ["failed: worse"]}})
    (artifacts / "wine" / "10" / bundle.METRICS).write_bytes(b"x")
    Registry(artifacts).promote("wine", 2, "by force")
    client = create_app({"artifacts": artifacts, "reports": tmp_path}).test_client()
    verdicts = client.get("/models/wine/versions").json["verdicts"]
    assert verdicts == {"1": "passed", "2": "held back: worse", "10": "damaged"}
    assert client.get("/models").json["models"][0]["verdict"] == "held back: worse"
    assert client.get("/models/wine/versions/1").json["verdict"] == "passed"


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_a_misspelt_name_is_told_the_nearest(client: FlaskClient, version: str):
    """Whatever is asked of it, a name that is nearly a model's is answered with that one."""
    told = "no model is called 'wien'; did you mean 'wine'?"
    for path in (f"/models/wien{version}", f"/models/wien{version}/report"):
        assert client.get(path).json["detail"] == told
    for path in (f"/models/wien{version}/predict", f"/models/wien{version}/explain"):
        assert client.post(path, json=[[1]]).json["detail"] == told
    assert client.get("/models/wien/versions").json["detail"] == told


@pytest.mark.parametrize("name", HOSTILE)
def test_name_that_no_model_has_is_not_found(client: FlaskClient, name: str):
    """Every address below a model is answered by 404 where there is none, however hostile the name."""
    for rest in ("", "/versions", "/versions/1", "/report", "/03_evaluate.html", "/versions/1/report"):
        reply = client.get(f"/models/{name}{rest}", follow_redirects=True)
        assert (reply.status_code, reply.mimetype) == (404, "application/problem+json"), rest


@pytest.mark.parametrize(
    ("address", "title"),
    [
        ("/models/wine/report", "03_evaluate"),
        ("/models/wine/versions/1/report", "03_evaluate"),
        ("/models/wine/03_evaluate.html", "03_evaluate"),
        ("/models/wine/02_train.html", "02_train"),
        ("/models/wine/versions/1/02_train.html", "02_train"),
    ],
)
def test_report_is_sent(client: FlaskClient, reports: Path, address: str, title: str):
    """A version's report and the pages it links to are sent as pages, with the policy of pages."""
    reply = client.get(address, buffered=True, follow_redirects=True)
    assert (reply.status_code, reply.mimetype, reply.text) == (200, "text/html", f"<h1>{title}</h1>")
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert reply.headers["X-Model-Version"] == "1"


def test_the_report_of_a_version_that_cannot_be_loaded_is_sent(artifacts: Path, reports: Path):
    """To read about a version nobody needs to load it: a person is not told to ask again, or that it is damaged."""
    shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / "2")
    shutil.copytree(reports / "wine" / "1", reports / "wine" / "2")
    (artifacts / "wine" / "2" / bundle.MODEL).write_bytes(b"")
    client = create_app({"artifacts": artifacts, "reports": reports}).test_client()
    reply = client.get("/models/wine/versions/2/report", buffered=True)
    assert (reply.status_code, reply.headers["X-Model-Version"]) == (200, "2")
    assert client.get("/models/wine/versions/3/report").status_code == 404
    assert client.get("/models/wine/versions/2").status_code == 503


@pytest.mark.parametrize(
    "page",
    [
        "01_explore",
        "../secret",
        "..%2fsecret",
        "%2e%2e%2fsecret",
        "..%2f..%2fsecret",
        "..%5csecret",
        "%2fetc%2fpasswd",
        "notes.txt",
        "notes.txt%00",
        "SECRET",
        "",
        ".",
        "02_train.html",
        "a" * 5000,
    ],
    ids=lambda page: page[:20],
)
@pytest.mark.parametrize("place", ["/models/wine", "/models/wine/versions/1"])
def test_other_files_are_not_sent(client: FlaskClient, reports: Path, place: str, page: str):
    """A page that does not exist, and every way out of the folder, is answered by 404."""
    reply = client.get(f"{place}/{page}.html")
    assert reply.status_code == 404
    assert "PRIVATE" not in reply.text
    assert str(reports) not in reply.text


def test_report_below_a_relative_folder_is_sent(wine_artifacts: Path, reports: Path, monkeypatch: pytest.MonkeyPatch):
    """A relative reports folder means one below the working folder."""
    monkeypatch.chdir(reports.parent)
    client = create_app({"artifacts": wine_artifacts, "reports": "reports"}).test_client()
    assert client.get("/models/wine/report", buffered=True).status_code == 200


def test_health(client: FlaskClient):
    """Liveness says that the process answers, readiness which models do."""
    assert client.get("/health/live").json == {"live": True}
    assert client.get("/health/ready").json == {"ready": True, "models": ["wine"], "refused": {}}


@pytest.mark.parametrize("name", ["houses", "prices"])
def test_curl_command_survives_the_shell(name: str, houses_artifacts: Path, houses: FlaskClient):
    """The command to paste, split by a real shell, sends a row that the model answers, whatever the names hold."""
    manifest = bundle.read(houses_artifacts / name / "1").manifest
    command = curl(manifest, "http://localhost/")
    done = subprocess.run(
        ["sh", "-c", command.replace("curl ", "printf '%s\\0' ", 1)], capture_output=True, text=True, check=True
    )
    address, *_, body = done.stdout.split("\0")[:-1]
    assert shlex.split(command)[-1] == body
    reply: Any = houses.post(address.removeprefix("http://localhost"), data=body)
    assert reply.status_code == 200
    assert list(json.loads(body)["instances"][0]) == [feature.name for feature in manifest.features]
