from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from service import bundle, contents
from service.app import create_app
from service.contents import Feature
from service.errors import InputError, Problem
from service.openapi import schemas
from service.rows import dates
from service.rows.inputs import Schema

PLENTY = settings(deadline=None, max_examples=150, database=None, suppress_health_check=list(HealthCheck))
MODELS = ["wine", "houses", "prices", "sales"]

WRONG = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**39, schemas.LARGEST, schemas.LARGEST + 1, -schemas.LARGEST - 1, 1e39, 3.4028235677973366e38])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["2024-02-30", "2024-02-29", "0000-01-01", "2024-05-01\n", "0001-01-01T00:30+01:00"])
    | st.lists(st.integers(), max_size=2)
)


def fitting(feature: Feature) -> st.SearchStrategy[Any]:
    """Draw values of a feature's kind, most of which are taken."""
    drawn: dict[str, st.SearchStrategy[Any]] = {
        "number": st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6),
        "category": st.sampled_from(feature.categories or [""]) | st.text(max_size=4),
        "boolean": st.booleans(),
        "date": st.from_regex(dates.PATTERN, fullmatch=True) | st.dates().map(date_text),
    }
    return drawn[feature.kind] | st.none() if feature.nullable else drawn[feature.kind]


def date_text(day: Any) -> str:
    """Return a date as it is sent."""
    return str(day.isoformat())


@st.composite
def rows(draw: st.DrawFn, features: list[Feature], as_lists: bool) -> Any:
    """Draw a row, in one of three a wrong value, a field too many or one too few."""
    row = {feature.name: draw(fitting(feature)) for feature in features}
    spoilt = draw(st.sampled_from(["", "", "", "value", "more", "less"]))
    name = draw(st.sampled_from(sorted(row)))
    if spoilt == "value":
        row[name] = draw(WRONG)
    elif spoilt == "more":
        row[draw(st.text(max_size=3))] = 1
    elif spoilt == "less":
        del row[name]
    return list(row.values()) if as_lists else row


@st.composite
def bodies(draw: st.DrawFn, features: list[Feature]) -> Any:
    """Draw a body in one of the forms that there are, and now and then in none of them."""
    some = draw(st.lists(rows(features, draw(st.booleans())), max_size=3))
    odd = [{"features": some[:1], "instances": []}, some[0] if some else 5, {"instances": some[0] if some else None}]
    one = draw(rows(features, as_lists=True))
    return draw(st.sampled_from([{"instances": some}, {"features": some}, some, {"features": one}, [*some, one], *odd]))


@pytest.fixture(scope="module")
def every(every_model: Path) -> FlaskClient:
    """A client of the service on every model of the tests."""
    return create_app({"artifacts": every_model, "reports": every_model.parent / "reports"}).test_client()


@pytest.fixture(scope="module")
def document(every: FlaskClient) -> dict[str, Any]:
    """What the service says of itself."""
    found: dict[str, Any] = every.get("/openapi.json").json
    return found


def validator(document: dict[str, Any], name: str) -> Draft202012Validator:
    """Return what tells whether a value is as one of the document's schemas says."""
    return Draft202012Validator({"$ref": schemas.reference(name), "components": document["components"]})


@pytest.mark.parametrize("name", MODELS)
@PLENTY
@given(data=st.data())
def test_schema_and_service_take_the_same_bodies(
    every: FlaskClient, document: dict[str, Any], every_model: Path, name: str, data: st.DataObject
):
    """A body fits the schema if and only if it is answered, and the answer is what its own schema says."""
    features = bundle.read(every_model / name / "1").manifest.features
    body = data.draw(bodies(features))
    fits = validator(document, f"{name}.Request").is_valid(body)
    include = "interval" if name == "prices" else "probabilities,interval"
    reply = every.post(f"/models/{name}/predict?include={include}", data=json.dumps(body))
    assert (reply.status_code == 200) == fits, (reply.status_code, reply.text)
    validator(document, f"{name}.Reply" if fits else "ProblemDocument").validate(reply.json)


@given(st.text(max_size=30) | st.from_regex(dates.PATTERN, fullmatch=True) | st.datetimes().map(str))
@settings(deadline=None)
def test_pattern_of_dates_is_their_reader(text: str):
    """A text fits the pattern if and only if it is read as a date."""
    feature = Feature("sold", "date")
    fits = Draft202012Validator(schemas.feature(feature)).is_valid(text)
    try:
        Schema([feature]).read([[text]])
    except InputError:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize("value", [schemas.LARGEST, -schemas.LARGEST, 3.4028235677973362e38])
def test_largest_number_is_taken_and_the_next_is_not(value: float):
    """The limit is the last whole number that is finite in 32 bits, and decimals agree with it."""
    feature = Feature("width", "number", min=0.0, max=1.0)
    checked = Draft202012Validator(schemas.feature(feature))
    beyond = value + (1 if value > 0 else -1) if isinstance(value, int) else 3.4028235677973366e38
    assert checked.is_valid(value) and not checked.is_valid(beyond)
    assert len(Schema([feature]).read([[value]])) == 1
    with pytest.raises(InputError, match=r"must lie between -3\.4e38 and 3\.4e38"):
        Schema([feature]).read([[beyond]])


def test_description_tells_what_training_saw():
    """Unit, range, categories and gaps are told in words; range and unit also for programs."""
    width = schemas.feature(Feature("width", "number", "m", "how wide it is", True, min=0.5, max=2.0))
    assert width["description"] == (
        "How wide it is. In m. Training saw 0.5 to 2.0, what lies outside is answered with a warning. May be missing."
    )
    assert (width["x-unit"], width["x-range"], width["type"]) == ("m", [0.5, 2.0], ["number", "null"])
    assert "unit" not in str(schemas.feature(Feature("width", "number")))
    assert "description" not in schemas.feature(Feature("paid", "boolean"))


def test_many_categories_are_told_by_some():
    """A description names twenty categories and how many more there are, and refuses none."""
    names = [f"c{number}" for number in range(50)]
    made = schemas.feature(Feature("kind", "category", categories=names))
    assert "'c19' and 30 more" in made["description"] and "c20" not in made["description"]
    assert made["examples"] == names[:20]
    assert Draft202012Validator(made).is_valid("other")


def test_texts_from_outside_are_no_markup():
    """What a card says is shown as it stands, not as Markdown or HTML."""
    hostile = "<img src=x onerror=alert(1)> [a](javascript:1) ![b](http://c) `d` *e* _f_ &lt;"
    told = schemas.plain(hostile)
    assert not re.search(r"(?<!\\)[<>\[\]`*_&]", told)
    assert told.replace("\\", "") == hostile


@pytest.mark.parametrize("kind", [contents.Feature, contents.Target, contents.Data, contents.Metric])
def test_documents_are_described_whole(kind: type[msgspec.Struct]):
    """Every field is required and no other is allowed, also in what a document holds within."""
    for made in schemas.of_structs(kind).values():
        assert made["required"] == list(made["properties"]) and made["additionalProperties"] is False


def test_problems_are_described_as_they_are_written():
    """The schema of a problem has its fields, and takes what is written of it."""
    made = schemas.problem()
    assert set(made["properties"]) == {field.name for field in msgspec.structs.fields(Problem)}
    checked = Draft202012Validator(made)
    for value in (Problem("r"), Problem("r", 0, "f", 1.5), Problem("r", 3, "f", "text"), Problem("r", 1, "f", True)):
        checked.validate(msgspec.to_builtins(value))
