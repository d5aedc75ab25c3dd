from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import Trained
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from speaking import BINARY, CSV, FLAT, LISTS, RECORDS, TABLES, predictions

from service.app import create_app
from service.contents import Feature

LAW = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


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
    named = RECORDS | CSV | ({} if any(one.kind == "boolean" and one.nullable for one in features) else BINARY)

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
