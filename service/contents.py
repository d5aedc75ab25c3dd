"""What a bundle's JSON files hold: `manifest.json`, `golden.json` and `metrics.json`, as types that check them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import msgspec

from service.rows import dates

FORMAT = 1
"""Raise it when a reader of today would misread a bundle of tomorrow; say in docs/bundle.md what changed."""

Value = bool | int | float | str | None
Label = int | str


class Feature(msgspec.Struct, frozen=True):
    """One column that the model reads; min and max (a date's as ISO text), or categories, are what training saw."""

    name: str
    kind: Literal["number", "category", "boolean", "date"]
    unit: str = ""
    meaning: str = ""
    nullable: bool = False
    min: float | str | None = None
    max: float | str | None = None
    categories: list[str] = []
    example: Value = None

    def __post_init__(self) -> None:
        for limit in (self.min, self.max):
            if limit is not None and isinstance(limit, str) != (self.kind == "date"):
                raise ValueError(f"the range of {self.name[:80]!r} is not one of its kind, {self.kind}")
            if isinstance(limit, str):
                dates.read([limit])


class Target(msgspec.Struct, frozen=True):
    """What is predicted; `classes` in the order of the probability columns, empty for a regression."""

    name: str
    unit: str = ""
    meaning: str = ""
    classes: list[Label] = []


class Written(msgspec.Struct, frozen=True):
    """How the training table was written, "" what it did not show; `first` is what a column's dates begin with."""

    separator: str = ""
    decimal: str = ""
    thousands: str = ""
    encoding: str = ""
    first: dict[str, str] = {}


class Data(msgspec.Struct, frozen=True):
    """The table that the model was made from: `training` of its `rows` were learned from."""

    file: str
    rows: int
    training: int
    sha256: str
    written: Written = Written()


class Split(msgspec.Struct, frozen=True):
    """How rows were held out: by a hash of their content in `columns`, seeded."""

    seed: int
    test_size: float
    columns: list[str]


class Stamp(msgspec.Struct, frozen=True):
    """What every manifest has in common, whatever its format."""

    format: int


class Manifest(msgspec.Struct, frozen=True):
    """What a model is: enough to serve it, to describe it, and to make it again."""

    format: int
    model: str
    task: Literal["classification", "regression"]
    estimator: str
    features: list[Feature]
    target: Target
    data: Data
    split: Split
    parameters: dict[str, Any]
    cross_validation: dict[str, Any]
    notebook_sha256: str
    git_commit: str
    packages: dict[str, str]
    created: str
    settings: dict[str, Any] = {}


class Golden(msgspec.Struct, frozen=True):
    """Rows and the answers of scikit-learn's own pipeline for them; `tolerance` is absolute.

    `background` are training rows that a prediction is explained by: what it would be on average.
    """

    rows: list[dict[str, Value]]
    predict: list[Value]
    predict_proba: list[list[float]]
    tolerance: float
    background: list[dict[str, Value]] = []


class Metric(msgspec.Struct, frozen=True):
    """A measured figure with its 95 % interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Verdict(msgspec.Struct, frozen=True):
    """Whether the gate lets this version become champion, and why; `difference` is the headline metric's gain."""

    promote: bool
    reasons: list[str]
    champion: int | None = None
    difference: Metric | None = None

    @property
    def objection(self) -> str:
        """What speaks against the version: the reasons that do not say `passed`, or all of them if each does."""
        against = [reason for reason in self.reasons if not reason.startswith("passed")]
        return "; ".join(against or self.reasons)


class Calibration(msgspec.Struct, frozen=True):
    """Ascending conformity scores of held-out rows: |true - predicted|, or 1 - the true class's probability.

    `ranks` says which of the rows' scores each one is, counted from 1; empty means that all are kept.
    """

    rows: int
    scores: list[float]
    ranks: list[int] = []

    def __post_init__(self) -> None:
        ranks = self.ranks or range(1, len(self.scores) + 1)
        rising = all(low < high for low, high in pairwise(ranks))
        if not self.scores or len(ranks) != len(self.scores) or not rising or ranks[-1] != self.rows:
            raise ValueError("a calibration needs one score for each of its ranks, which rise up to its rows")
        if any(low > high for low, high in pairwise(self.scores)):
            raise ValueError("the scores of a calibration must not fall")


class Metrics(msgspec.Struct, frozen=True):
    """What the held-out rows showed."""

    rows: int
    headline: str
    held_out: dict[str, Metric]
    baseline: dict[str, float | None]
    cross_validation: dict[str, Any]
    per_class: dict[str, dict[str, float]]
    verdict: Verdict
    evaluated: str
    calibration: Calibration | None = None

    @property
    def headline_metric(self) -> Metric:
        """The headline metric, one without a value where it was not measured."""
        return self.held_out.get(self.headline, Metric(None))
