from __future__ import annotations

import http.client
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from service import bundle
from service.live import Live
from service.registry import Registry
from service.web import exposition, metrics

Samples = dict[tuple[str, ...], float]


def samples(text: str, name: str) -> Samples:
    """Return the samples of one name, by the values of their labels in the order of the labels' names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


@pytest.fixture(scope="module")
def row(wine_artifacts: Path) -> list[Any]:
    """A row that fits `wine`, as a list."""
    return [feature.example for feature in bundle.read(wine_artifacts / "wine" / "1").manifest.features]


def test_requests_rows_and_errors_are_counted(client: FlaskClient, row: list[Any]):
    """Each request counts once by route, model and status; rows by version; refusals by kind."""
    for body in ([row], [row] * 4, [[1]], "x"):
        client.post("/predict", json=body)
    client.get("/models")
    text = client.get("/metrics").text
    requests = samples(text, "cellar_request_seconds_count")
    assert requests["wine", "native", "200"] == 2
    assert requests["wine", "native", "422"] == requests["wine", "native", "400"] == 1
    assert requests["", "catalogue.models", "200"] == 1
    assert samples(text, "cellar_rows_total") == {("wine", "1"): 5}
    assert samples(text, "cellar_errors_total") == {("InputError",): 1, ("RequestError",): 1}
    assert samples(text, "cellar_model_version") == {("wine",): 1}
    assert samples(text, "cellar_reloads_total") == {("wine", "loaded"): 1}
    assert samples(text, "cellar_inflight") == {(): 1}


def test_what_clients_invent_makes_no_series(client: FlaskClient):
    """Paths, models, methods and ids that do not exist are counted under names of ours: memory stays bounded."""
    for number in range(20):
        client.post(f"/models/m{number}/predict", json=[])
        client.get(f"/x{number}")
    assert len(samples(client.get("/metrics").text, "cellar_request_seconds_count")) == 2


def test_workers_are_summed(server: Any, row: list[Any]):
    """What every worker counted is in every answer, also what a worker did that was killed since."""
    count = 40
    for _ in range(count):
        assert _ask(server, "POST", "/predict", json.dumps([row]))[0] == 200
    time.sleep(2 * metrics.EVERY)  # until both workers have written what they counted
    workers = server.workers()
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        try:
            status, text = _ask(server, "GET", "/metrics")
        except OSError:
            time.sleep(0.1)
            continue
        assert status == 200
        assert samples(text, "cellar_request_seconds_count")["wine", "native", "200"] == count
        assert samples(text, "cellar_inflight") == {(): 1}
        return
    pytest.fail("no worker took the place of the one that was killed")


def _ask(server: Any, method: str, path: str, body: str = "") -> tuple[int, str]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def test_versions_that_differ_make_one_sample():
    """While one worker answers with an older version than another, the newest is told, once a model."""
    workers = [metrics.Figures(versions={"wine": 2}), metrics.Figures(versions={"wine": 1, "houses": 3})]
    told = exposition.text(workers).decode()
    assert samples(told, "cellar_model_version") == {("wine",): 2, ("houses",): 3}


def test_a_worker_tells_what_it_is_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A request that is being answered stands in the file also if nothing was counted since the last writing."""
    monkeypatch.setenv(metrics.FOLDER, str(tmp_path))
    monkeypatch.setattr(metrics, "EVERY", 0.01)
    running: set[int] = set()
    metrics.Metrics(Live(Registry(tmp_path / "none")), lambda: len(running))
    for wanted in (0, 1, 0):
        running = set(range(wanted))
        give_up = time.monotonic() + 10
        while _told(tmp_path) != wanted and time.monotonic() < give_up:
            time.sleep(0.01)
        assert _told(tmp_path) == wanted


def _told(folder: Path) -> int | None:
    """Return how many requests the one worker says that it is at."""
    return next((json.loads(path.read_bytes())["inflight"] for path in folder.glob("*.json")), None)
