"""The evaluation of tables of many kinds, by the real notebooks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from test_pipeline import House, run

from service import bundle, contents
from service.calibration import sets
from service.model import load
from workshop.execution import Job

pytestmark = pytest.mark.kernel


def twelve(draw: np.random.Generator) -> pd.DataFrame:
    """Twelve classes with long names that end differently."""
    X = draw.normal(size=(700, 3))
    kind = (X @ draw.normal(size=(3, 12)) * 3 + draw.gumbel(size=(700, 12))).argmax(axis=1)
    table = pd.DataFrame(X.round(3), columns=["a", "b", "c"])
    table["y"] = [f"a rather long name of the class number {number}" for number in kind]
    return table[table.groupby("y")["y"].transform("size") > 20]


def rare(draw: np.random.Generator) -> pd.DataFrame:
    """Two classes of which one is rare, a category with many values, a date and a truth value."""
    table = pd.DataFrame({"a": draw.normal(size=600).round(3), "kind": draw.choice([f"k{n}" for n in range(40)], 600)})
    table["y"] = np.where(table["a"] + draw.normal(size=600) * 0.3 > 1.5, "yes", "no")
    table["seen"] = (pd.Timestamp("2023-05-01") + pd.to_timedelta(draw.integers(0, 300, 600), "D")).strftime("%Y-%m-%d")
    return table.assign(paid=draw.choice(["true", "false"], 600))


def tiny(draw: np.random.Generator) -> pd.DataFrame:
    """A few rows, a feature that is hardly ever there, and one number to predict."""
    table = pd.DataFrame({"x": draw.normal(size=22).round(2), "seldom": [1.0, 2.0, 4.0] + [None] * 19})
    return table.assign(y=(table["x"] * 2 + draw.normal(size=22)).round(2))


def wide(draw: np.random.Generator) -> pd.DataFrame:
    """More columns than a reader goes through, all of a kind but one and the target."""
    table = pd.DataFrame(draw.normal(size=(60, 60)).round(3), columns=[f"x{n}" for n in range(60)])
    return table.assign(side=draw.choice(["left", "right"], 60), y=draw.normal(size=60).round(3))


KINDS = {"twelve": (twelve, "logistic_regression"), "rare": (rare, "logistic_regression"), "tiny": (tiny, "ridge")}


@pytest.fixture(scope="module")
def house(tmp_path_factory, houses_csv) -> House:
    """Each kind of table, and the awkward one as a regression, through the whole pipeline."""
    folder = tmp_path_factory.mktemp("kinds")
    jobs = [Job(houses_csv, {"target": "price", "model": "prices", "estimator": "ridge", "coverage": 0.8})]
    for name, (make, estimator) in KINDS.items():
        make(np.random.default_rng(0)).to_csv(folder / f"{name}.csv", index=False)
        jobs.append(Job(folder / f"{name}.csv", {"target": "y", "estimator": estimator, "folds": 2}))
    wide(np.random.default_rng(0)).to_csv(folder / "wide.csv", index=False)
    return run(folder, *jobs, Job(folder / "wide.csv", {"target": "y"}, ("01_explore",)))


def document(house: House, name: str) -> list[dict]:
    """Return every output of an evaluation."""
    path: Path = house.folder / "reports" / name / "1" / "03_evaluate.ipynb"
    return [out for cell in nbformat.read(path, as_version=4).cells for out in cell.get("outputs", [])]


def metrics(house: House, name: str) -> contents.Metrics:
    """Return what an evaluation published."""
    found = bundle.read(house.registry.place(name, 1)).metrics
    assert found
    return found


@pytest.mark.parametrize("name", [*KINDS, "prices"])
def test_it_is_evaluated_without_a_murmur(house, name):
    """The report is made, with a text for every figure and nothing printed that nobody asked for."""
    outcome = house.outcomes[name]
    assert (outcome.error, outcome.version) == ("", 1)
    outputs = document(house, name)
    assert not [out for out in outputs if out["output_type"] in ("stream", "error")]
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) >= 3
    assert all(len(out["metadata"]["image/png"]["alt"]) > 20 for out in pictures)


def test_dates_and_truth_values_are_shown_as_such(house):
    """Slices and wrong rows tell dates and words, and nowhere days since 1970."""
    tables = " ".join(table.text for table in house.page("rare", "1", "03_evaluate.html")("table"))
    assert re.search(r"seen\s+2023-\d\d-\d\d to 202[34]-\d\d-\d\d\s", tables) and re.search(r"paid\s+true\s", tables)
    assert not re.search(r"\b19[4-9]\d\d\b", tables)


def test_of_many_columns_those_that_differ_are_listed(house):
    """How many there are of each kind is told, and the list holds what is not of the usual one."""
    page = house.page("wide", "explored", "01_explore.html")
    assert "62 columns: 61 of the kind number, 1 of the kind category." in page.text
    assert [row.th.text for row in page.find("table").tbody("tr")] == ["side"]


@pytest.mark.parametrize(("name", "headline"), [("twelve", "accuracy"), ("rare", "roc_auc"), ("tiny", "r2")])
def test_the_headline_fits_the_table(house, name, headline):
    """Uneven classes are listed and judged by their ranking, and the report says so."""
    found = metrics(house, name)
    assert found.headline == headline and found.held_out.keys() == found.baseline.keys()
    told = "The classes are uneven" in json.dumps(document(house, name))
    assert told == (headline == "roc_auc")


@pytest.mark.parametrize("name", [*KINDS, "prices"])
def test_the_calibration_is_that_of_the_held_out_rows(house, name):
    """As many rows as were held out calibrate, and the page tells what is promised, or that they are too few."""
    found = metrics(house, name)
    assert found.calibration.rows == len(found.calibration.scores) == found.rows
    text = house.page(name, "1", "03_evaluate.html").text
    if name == "tiny":
        assert found.rows < 9 and f"{found.rows} usable held-out rows are too few to promise a coverage of 0.9" in text
    else:
        assert f"with probability {0.8 if name == 'prices' else 0.9}" in text and "of the other half" in text


def test_sets_of_a_published_model_hold(house):
    """The sets of the bundle that is served, at the coverage that they were calibrated for, hold the held-out rows.

    Of the n rows that calibrated, the smallest whole number not below (n + 1) c lies within the threshold.
    """
    model = load(house.registry.place("twelve", 1))
    table = pd.read_csv(house.folder / "twelve.csv")
    answer = model.predict(model.schema.read_records(table[["a", "b", "c"]].to_dict("records")))
    found = sets(answer.probabilities, model.classes, model.bundle.metrics.calibration, 0.9)
    held = np.mean([true in one for true, one in zip(table["y"], found, strict=True)])
    assert held > 0.85 and all(found)


def test_the_model_card_is_filled_in_and_visibly_blank(house):
    """The page ends with a card whose figures are the bundle's, and whose unstated parts say so."""
    text = house.page("prices", "1", "03_evaluate.html").text
    card = text[text.index("Model card") :]
    assert "— not stated —" in card and "held-out rows lie outside what training saw" in card
    assert f"r2 {metrics(house, 'prices').held_out['r2'].value:.3f} (95 % interval" in card
