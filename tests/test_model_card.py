from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest

from modeling.grading import model_card
from modeling.tables import columns
from modeling.tables.dataset import Card
from service import bundle
from service.contents import Feature
from service.model import load
from service.rows import dates


def written(trained, card: Card, **facts: str) -> dict[str, str]:
    """Write the model card of a published version and return {part: statement}."""
    found = bundle.read(trained.folder)
    table = model_card.write(found.manifest, found.version, card, found.metrics, facts)
    assert list(table) == ["statement"]
    return table["statement"].to_dict()


def test_what_was_measured_is_filled_in(trained_prices):
    """Model, data, features and figures are told from the bundle, facts of the notebook as given."""
    told = written(trained_prices, Card(), Intervals="as wide as a barn")
    metric = bundle.read(trained_prices.folder).metrics.held_out["r2"]
    assert told["Model"].startswith("prices version 1, linear regression, ")
    assert told["Reads"] == "3 numbers, 2 categories; 2 of them may be missing"
    assert told["Data"].startswith("houses.csv: 160 rows, ")
    assert told["Measured"].startswith(f"r2 {metric.value:.3f} (95 % interval {metric.low:.3f} to")
    assert told["Intervals"] == "as wide as a barn"
    assert "against the baseline's" in told["The gate"]


def test_one_feature_of_a_kind_is_told_as_one(trained_prices):
    """A single date and a single category are no plural; several are."""
    found = bundle.read(trained_prices.folder)
    features = [Feature("d", "date"), Feature("t", "category"), Feature("a", "number"), Feature("b", "number")]
    manifest = msgspec.structs.replace(found.manifest, features=features)
    reads = model_card.write(manifest, 1, Card(), found.metrics, {}).loc["Reads", "statement"]
    assert reads == "1 date, 1 category, 2 numbers; none may be missing"


def test_what_nobody_stated_is_visibly_blank(trained_wine):
    """Parts that the table's card leaves open say so."""
    told = written(trained_wine, Card())
    for part in ("Question", "Intended use", "Limits that people know of", "Whom to ask", "Source", "Licence"):
        assert told[part] == model_card.BLANK


def test_what_people_state_is_told(trained_wine):
    """A card's own words stand in the model card."""
    card = Card(question="Which?", intended_use="Teaching.", limits="Italy only, one vintage")
    told = written(trained_wine, card)
    assert (told["Question"], told["Intended use"]) == ("Which?", "Teaching.")
    assert told["Limits that people know of"] == "Italy only, one vintage"
    assert told["Predicts"].startswith("cultivar, one of 3 classes: ")


@pytest.mark.parametrize("name", ["trained_wine", "trained_houses"])
def test_rows_out_of_range_are_those_the_service_warns_of(name, request):
    """A row is counted as outside exactly where the service would warn of it."""
    trained = request.getfixturevalue(name)
    model = load(trained.folder)
    X = columns.as_model_input(trained.held_out, model.schema.names).reset_index(drop=True)
    first = model.schema.numbers[0].name
    X.loc[3, first] = 1e6
    if model.schema.categories:
        X.loc[5, model.schema.categories[0].name] = "never seen"
    warned = {
        row
        for row, record in enumerate(X.replace(np.nan, None).to_dict("records"))
        if model.schema.read_records([record]).warnings
    }
    assert set(np.flatnonzero(model_card.outside(X, model.manifest.features)).tolist()) == warned >= {3}
    assert model_card.warned(X, model.manifest.features).startswith(f"{len(warned)} of {len(X)} held-out rows")


def test_a_missing_value_is_in_range():
    """What is missing is neither below nor above."""
    features = [Feature("a", "number", nullable=True, min=0.1, max=0.2), Feature("b", "category", categories=["u"])]
    X = pd.DataFrame({"a": [np.nan, np.float32(0.1), 0.3], "b": ["", "u", "u"]})
    assert model_card.outside(X, features).tolist() == [False, False, True]
    assert msgspec.to_builtins(features[0])["nullable"]


def test_dates_have_a_range_and_truth_values_have_none():
    """A day after the last that training saw is outside; true and false never are."""
    features = [Feature("day", "date", min="2024-05-01", max="2024-05-03"), Feature("new", "boolean")]
    X = pd.DataFrame({"day": dates.days(dates.read(["2024-05-03", "2024-05-04"])), "new": [0.0, 1.0]})
    assert model_card.outside(X, features).tolist() == [False, True]
