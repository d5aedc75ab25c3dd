from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import changed
from flask.testing import FlaskClient

from service import calibration
from service.app import create_app
from service.model import load


@pytest.fixture(scope="module")
def houses(houses_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of the service on `houses`, a classification, and `prices`, a regression."""
    return create_app({"artifacts": houses_artifacts, "reports": tmp_path_factory.mktemp("r")}).test_client()


def ask(client: FlaskClient, model: str, query: str) -> dict[str, Any]:
    """Ask for a model's answers to its golden rows."""
    live = client.application.extensions["live"]
    rows = live.get(model).bundle.golden.rows
    reply = client.post(f"/models/{model}/predict?{query}", json={"instances": rows})
    assert reply.status_code == 200, reply.text
    return reply.json


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_an_interval_lies_about_its_number(houses: FlaskClient, houses_artifacts: Path, coverage: float):
    """For a regression, each interval is the prediction less and plus the calibrated margin."""
    reply = ask(houses, "prices", f"include=interval&coverage={coverage}")
    scores = load(houses_artifacts / "prices" / "1").bundle.metrics.calibration
    margin = calibration.threshold(scores, coverage)
    for value, (low, high) in zip(reply["predictions"], reply["interval"], strict=True):
        assert np.isclose(low, value - margin) and np.isclose(high, value + margin)


def test_intervals_widen_with_the_coverage(houses: FlaskClient):
    """More coverage is never a narrower interval, nor a smaller set."""
    narrow, wide = (ask(houses, "prices", f"include=interval&coverage={c}")["interval"] for c in (0.5, 0.9))
    assert all(w[0] <= n[0] <= n[1] <= w[1] for n, w in zip(narrow, wide, strict=True))
    few, many = (ask(houses, "houses", f"include=interval&coverage={c}")["interval"] for c in (0.5, 0.9))
    assert all(set(f) <= set(m) for f, m in zip(few, many, strict=True))


def test_a_set_holds_the_predicted_class(houses: FlaskClient):
    """For a classification, each set is of the model's classes and holds the predicted one; 0.9 is the default."""
    reply = ask(houses, "houses", "include=probabilities,interval")
    assert reply["interval"] == ask(houses, "houses", "include=interval&coverage=0.9")["interval"]
    for label, held, likely in zip(reply["predictions"], reply["interval"], reply["probabilities"], strict=True):
        assert label in held and set(held) <= set(likely)


def test_numbers_have_no_probabilities(houses: FlaskClient):
    """Asking a regression for probabilities is answered by 400."""
    reply = houses.post("/models/prices/predict?include=probabilities", json={"instances": []})
    assert reply.status_code == 400 and "predicts a number" in reply.json["detail"]


@pytest.mark.parametrize("query", ["include=", "include=interval,", "include=,interval", "include=interval,,interval"])
def test_empty_words_are_refused(houses: FlaskClient, query: str):
    """A list of words with an empty one is answered by 400, as any unknown word is."""
    reply = houses.post(f"/models/prices/predict?{query}", json={"instances": []})
    assert reply.status_code == 400 and "known are" in reply.json["detail"]


@pytest.mark.parametrize("coverage", ["0", "1", "-1", "2", "nan", "inf", "high", "", "0.9999"])
@pytest.mark.parametrize("include", ["", "&include=interval"])
def test_a_coverage_that_cannot_be_is_refused(houses: FlaskClient, coverage: str, include: str):
    """No coverage outside of what can be promised passes in silence, whether an interval is asked for or not."""
    reply = houses.post(f"/models/prices/predict?coverage={coverage}{include}", json={"instances": []})
    assert reply.status_code == 400 and "coverage" in reply.json["detail"]


@pytest.mark.parametrize(("rows", "usual"), [(4, 4 / 5), (8, 8 / 9), (9, 0.9), (99, 0.9)])
def test_the_usual_coverage_can_be_promised(artifacts: Path, tmp_path: Path, rows: int, usual: float):
    """Where fewer than nine rows calibrated, an interval that is asked for without a coverage has the most there is.

    That is what every page and protocol says of it, and a little more is refused.
    """
    scores = [at / (rows + 1) for at in range(1, rows + 1)]
    changed(artifacts / "wine" / "1", metrics={"calibration": {"rows": rows, "scores": scores}})
    client = create_app({"artifacts": artifacts, "reports": tmp_path}).test_client()
    assert client.get("/models/wine").json["coverage"] == {"default": usual, "most": rows / (rows + 1)}
    found = ask(client, "wine", "include=interval")["interval"]
    assert found == ask(client, "wine", f"include=interval&coverage={usual!r}")["interval"]
    row = list(client.application.extensions["live"].get("wine").bundle.golden.rows[0].values())
    tensor = {"name": "all", "shape": [1, len(row)], "datatype": "FP64", "data": row}
    sent = {"inputs": [tensor], "outputs": [{"name": "interval"}]}
    (output,) = client.post("/v2/models/wine/infer", json=sent).json["outputs"]
    assert sum(output["data"]) == len(found[0])
    beyond = client.post(f"/predict?include=interval&coverage={rows / (rows + 1) + 1e-6}", json=[])
    assert beyond.status_code == 400 and "cannot be promised" in beyond.json["detail"]
