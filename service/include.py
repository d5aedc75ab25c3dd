"""What a reply holds beside its predictions, as the query asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from service import calibration
from service.calls import Answer, Call
from service.contents import Calibration, Label
from service.errors import RequestError, check_names
from service.explanation import class_named
from service.model import Model, Prediction
from service.rows.inputs import Inputs

INCLUDES = ("probabilities", "interval", "explanation")
PARAMETERS = ("include", "coverage", "class")
COVERAGE = 0.9
"""How often an interval holds the truth where nothing else is asked for and so much can be promised."""


class Asked(msgspec.Struct, frozen=True):
    """What was asked for, checked against what the model can give."""

    include: tuple[str, ...] = ()
    coverage: float = COVERAGE
    label: Label | None = None


NOTHING = Asked()


def read(call: Call, offered: Sequence[str] = INCLUDES) -> Asked:
    """Return what the query asks for, or raise RequestError at what is unknown or cannot be given."""
    if not call.query:
        return NOTHING
    check_names("the query's parameter ", call.query, PARAMETERS)
    include = tuple(call.query["include"].split(",")) if "include" in call.query else ()
    check_names("include=", include, offered)
    if "probabilities" in include and not call.model.classes:
        raise RequestError(f"{call.model.name} predicts a number and has no probabilities")
    coverage = COVERAGE
    if "interval" in include or "coverage" in call.query:
        coverage = _coverage(call)
    label = class_named(call.model, call.query["class"]) if "class" in call.query else None
    return Asked(include, coverage, label)


def beside(call: Call, asked: Asked, inputs: Inputs, prediction: Prediction) -> dict[str, Any]:
    """Return the parts of a reply that stand beside its predictions."""
    parts: dict[str, Any] = {}
    if "probabilities" in asked.include:
        parts["probabilities"] = probabilities(call.model, prediction)
    if "interval" in asked.include:
        parts["interval"] = interval(call.model, prediction, asked.coverage)
    if "explanation" in asked.include:
        parts["explanations"] = call.explain(inputs, prediction, asked.label)
    if inputs.warnings:
        parts["warnings"] = inputs.warnings
    return parts


def predictions(call: Call, inputs: Inputs) -> Answer:
    """Answer rows as the protocols do that ask for nothing but predictions; warnings stand beside them."""
    prediction = call.predict(inputs)
    parts = beside(call, NOTHING, inputs, prediction)
    return Answer(msgspec.json.encode({"predictions": prediction.values.tolist(), **parts}))


def probabilities(model: Model, prediction: Prediction) -> list[dict[str, float]]:
    """Return for each row the probability of each class by its name."""
    assert prediction.probabilities is not None
    names = [str(label) for label in model.classes]
    return [dict(zip(names, row, strict=True)) for row in prediction.probabilities.tolist()]


def interval(model: Model, prediction: Prediction, coverage: float) -> list[list[Any]]:
    """Return for each row the conformal interval `[low, high]` of a number, or the set of classes."""
    if model.classes:
        assert prediction.probabilities is not None
        return calibration.sets(prediction.probabilities, model.classes, measured(model), coverage)
    limits: list[list[Any]] = calibration.interval(prediction.values, measured(model), coverage).tolist()
    return limits


def measured(model: Model) -> Calibration:
    """Return the model's calibration, or raise RequestError if its evaluation made none."""
    found = model.bundle.metrics and model.bundle.metrics.calibration
    if not found:
        raise RequestError(f"{model.name} version {model.version} was not calibrated: run 03_evaluate on more rows")
    return found


def usual_coverage(measured: Calibration) -> float:
    """Return the coverage of intervals where none is asked for: COVERAGE, or the most that can be promised."""
    return min(COVERAGE, calibration.most(measured.rows))


def _coverage(call: Call) -> float:
    """Return the coverage that is asked for or usual; what cannot be promised is refused before any work."""
    found = measured(call.model)
    if "coverage" not in call.query:
        return usual_coverage(found)
    text = call.query["coverage"]
    try:
        coverage = float(text)
    except ValueError:
        raise RequestError(f"coverage must be a number between 0 and 1, got {text[:40]!r}") from None
    calibration.threshold(found, coverage)
    return coverage
