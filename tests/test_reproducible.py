"""The same inputs make the same files, whoever runs the notebooks and on how many processors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_any_table import cells, write
from test_pipeline import run

from service import bundle
from workshop.execution import ROOT, Job

pytestmark = pytest.mark.kernel


def trained(folder: Path, table: Path, **given) -> tuple[bytes, dict]:
    """Run 02_train in a house of its own; return the model's bytes and what was measured."""
    house = run(folder, Job(table, {"model": "same", **given}, ("02_train",)))
    assert [outcome.error for outcome in house.outcomes.values()] == [""]
    place = house.registry.place("same", 1)
    manifest = json.loads((place / bundle.MANIFEST).read_text())
    return (place / bundle.MODEL).read_bytes(), {key: manifest[key] for key in ("cross_validation", "settings")}


@pytest.mark.parametrize("table", ["wine", "diabetes"])
def test_processes_change_nothing(table, tmp_path):
    """The comparison of all families, on one processor and on two, ends in the same bytes and the same figures."""
    data = ROOT / "data" / f"{table}.csv"
    one, two = (trained(tmp_path / str(n), data, n_jobs=n, search="none") for n in (1, 2))
    assert one == two


def test_derived_features_and_dates_are_in_the_same_bytes_again(tmp_path):
    """A table of every kind of column, with features computed from others: twice the same, and served with them."""
    table = write(tmp_path / "houses.csv", cells())
    given = {"target": "price; net", "derived": ["`class` / (Class + 100)", "log(`living area (m²)`)"]}
    given |= {"estimator": "lasso", "n_jobs": 1}
    first, second = (trained(tmp_path / name, table, **given) for name in ("first", "second"))
    assert first == second
    manifest = bundle.read(tmp_path / "first" / "artifacts" / "same" / "1").manifest
    assert manifest.parameters["derived"] == given["derived"]
    assert {feature.kind for feature in manifest.features} == {"number", "boolean", "date", "category"}
