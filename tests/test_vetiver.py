from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from conftest import Trained
from flask.testing import FlaskClient

from service.app import create_app


@pytest.fixture
def stays(trained_stays: Trained, tmp_path: Path) -> FlaskClient:
    """A client of the service with `stays` as the default, whose features are of all four kinds."""
    config = {"artifacts": trained_stays.folder.parents[1], "reports": tmp_path, "default_model": "stays"}
    return create_app(config).test_client()


def test_metadata_has_the_fields_of_a_pin(stays: FlaskClient):
    """The default model is described in the fields that vetiver's metadata has."""
    told = stays.get("/metadata").json
    assert told.keys() == {"user", "version", "url", "required_pkgs", "python_version"}
    assert told["user"] == {"model": "stays", "task": "regression", "estimator": "linear_regression"}
    assert stays.get(told["url"]).json["version"] == int(told["version"])


def test_the_prototype_is_the_schema_of_a_row(stays: FlaskClient):
    """The example fits it and is answered; a gap fits only where it may be one, and another field nowhere."""
    schema = stays.get("/prototype").json
    (row,) = schema["examples"]
    jsonschema.validate(row, schema)
    assert len(stays.post("/predict", json=[row]).json["predict"]) == 1
    for name, gap in (("nights", 200), ("room", 200), ("pets", 422), ("arrived", 422)):
        fits = not list(jsonschema.Draft202012Validator(schema).iter_errors({**row, name: None}))
        assert stays.post("/predict", json=[{**row, name: None}]).status_code == gap == (200 if fits else 422)
    assert not jsonschema.Draft202012Validator(schema).is_valid({**row, "colour": "red"})


def test_who_is_not_there_is_not_described(tmp_path: Path):
    """Before there is a model both pages are 503."""
    client = create_app({"artifacts": tmp_path, "reports": tmp_path}).test_client()
    assert client.get("/metadata").status_code == client.get("/prototype").status_code == 503
