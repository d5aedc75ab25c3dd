"""Explanations of single predictions: how much each feature moved the output away from its mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from service.contents import Label
from service.errors import ExplanationError, RequestError, TooLargeError, meant
from service.model import Model, Prediction
from service.rows.inputs import Inputs

SEED = 0
"""Of the permutations, so that a row has one explanation, whenever it is asked for and whatever stands beside it."""

STEPS = 6_400
"""How many rows the model is given to explain one row, if its features are not too many for that."""

WORK = 1_000_000
"""How many rows the model is given to explain one request."""

CELLS = 1_000_000
"""How many values the model is given at once, so that many features need no more memory than few."""

Numbers = npt.NDArray[np.float64]


class Explanation(msgspec.Struct, frozen=True):
    """For n rows `base` [n], the mean output over the background, and `contributions` [n, features] in their order.

    `base + contributions.sum(axis=1)` is the output: the number that a regression predicts, or the probability of the
    row's class in `classes` [n], which is empty for a regression.
    """

    classes: list[Label]
    base: Numbers
    contributions: Numbers


def explain(
    model: Model,
    inputs: Inputs,
    prediction: Prediction,
    label: Label | None = None,
    check_time: Callable[[], None] = lambda: None,
) -> Explanation:
    """Return the Shapley value of each feature for each row of `inputs`, whose `prediction` is the model's.

    Explained is the number that a regression predicts, or the probability of the predicted class or of `label`. A
    feature's Shapley value is what it changes on average when it takes the row's value in place of a background row's,
    over the background rows of the bundle and the orders in which features can do so. The orders are sampled: each
    background row gets as many seeded permutations as STEPS allows, at least one, and their reverses (Castro et al.
    2009; Strumbelj and Kononenko 2014; Mitchell et al. 2022). That is exact for a linear model, and for each whose
    features interact in pairs at most. TooLargeError if there are more rows than `most_rows`, ExplanationError if the
    bundle has no background.
    """
    if len(inputs) > most_rows(model):
        raise TooLargeError(
            f"the request holds {len(inputs)} rows to explain, "
            f"the limit for {model.name} is {most_rows(model)}: send fewer at once"
        )
    classes = [] if not model.classes else prediction.values.tolist() if label is None else [label] * len(inputs)
    columns = [model.classes.index(name) for name in classes] or [0] * len(inputs)
    walks, ends = _Walks(model), _outputs(prediction)
    base, contributions = np.empty(len(inputs)), np.empty((len(inputs), len(model.schema.names)))
    for row, column in enumerate(columns):
        check_time()
        base[row] = walks.starts[:, column].mean()
        contributions[row] = walks.contributions(inputs, row, column, ends[row, column])
    return Explanation(classes, base, contributions)


def most_rows(model: Model) -> int:
    """Return how many rows of a model one request may ask to explain: the fewer, the more features it has."""
    return most_explained(len(_background(model)), len(model.schema.names))


def most_explained(background: int, features: int) -> int:
    """Return how many rows one request may ask to explain, by so many background rows and features."""
    return max(1, WORK // max(STEPS, 2 * background * (features - 1)))


def class_named(model: Model, name: str) -> Label:
    """Return the class that a text such as that of `?class=` names; RequestError with the nearest if there is none."""
    if not model.classes:
        raise RequestError(f"class={name[:40]!r} names no class: {model.name} predicts a number")
    named = {str(label): label for label in model.classes}
    if name not in named:
        known = f"the classes are {', '.join(repr(label[:40]) for label in list(named)[:20])}"
        raise RequestError(f"class={name[:40]!r} is not a class of {model.name}; {meant(name, named, known)}")
    return named[name]


def as_documents(model: Model, explanation: Explanation) -> list[dict[str, Any]]:
    """Return each row's explanation as replies hold it: `base`, `contributions` by feature, and the `class` if any."""
    rows = zip(explanation.base.tolist(), explanation.contributions.tolist(), strict=True)
    documents = [{"base": base, "contributions": dict(zip(model.schema.names, row, strict=True))} for base, row in rows]
    if not model.classes:
        return documents
    return [{"class": label, **document} for label, document in zip(explanation.classes, documents, strict=True)]


class _Walks:
    """Ways from background rows to a row: on each, one feature after the other takes the row's value."""

    def __init__(self, model: Model) -> None:
        self.model, self.background, schema = model, _background(model), model.schema
        self.starts = _outputs(model.predict(self.background))
        columns = {feature.name: at for at, feature in enumerate([*schema.numbers, *schema.categories])}
        self.columns = [columns[name] for name in schema.names]
        draws = len(self.background) * max(1, STEPS // max(1, _steps(model)))
        orders = np.tile(np.arange(len(columns)), (draws, 1))
        forward = np.random.default_rng(SEED).permuted(orders, axis=1)
        self.ranks = np.concatenate([forward, len(columns) - 1 - forward])

    def contributions(self, inputs: Inputs, row: int, output: int, end: float) -> Numbers:
        """Return [features]: how far each moved one of the outputs towards its `end`, as the mean of all walks."""
        walks, width = self.ranks.shape
        values = np.empty((walks, width + 1))
        values[:, 0] = np.tile(self.starts[:, output], walks // len(self.starts))
        values[:, 1:-1] = self._between(inputs, row, output).reshape(walks, width - 1)
        values[:, -1] = end
        moved = np.take_along_axis(np.diff(values), self.ranks, axis=1)
        found: Numbers = moved.mean(axis=0)[self.columns]
        return found

    def _between(self, inputs: Inputs, row: int, output: int) -> Numbers:
        """Return the output at each step of each walk, its start and end left out."""
        walks, width = self.ranks.shape
        found, chunk = np.empty(walks * (width - 1)), max(1, CELLS // width)
        for start in range(0, len(found), chunk):
            steps = np.arange(start, min(start + chunk, len(found)))
            found[steps] = _outputs(self.model.predict(self._mixed(inputs, row, steps)))[:, output]
        return found

    def _mixed(self, inputs: Inputs, row: int, steps: npt.NDArray[np.intp]) -> Inputs:
        """Return background rows in which the features that a step has come to have the row's values."""
        walk, step = np.divmod(steps, self.ranks.shape[1] - 1)
        taken, numbers = self.ranks[walk] <= step[:, None], inputs.numbers.shape[1]
        start = walk % len(self.background)
        return Inputs(
            np.where(taken[:, :numbers], inputs.numbers[row], self.background.numbers[start]),
            np.where(taken[:, numbers:], inputs.categories[row], self.background.categories[start]),
            [],
        )


def _background(model: Model) -> Inputs:
    if not len(model.background):
        raise ExplanationError(
            f"{model.name} version {model.version} keeps no rows to explain by, it is of an earlier Cellar: "
            "train it again"
        )
    return model.background


def _steps(model: Model) -> int:
    """Return how many rows lie between a row and the background, by one permutation for each and its reverse."""
    return 2 * len(_background(model)) * (len(model.schema.names) - 1)


def _outputs(prediction: Prediction) -> Numbers:
    """Return what is explained, `[rows, classes]`, or `[rows, 1]` for a regression."""
    found = prediction.values.reshape(-1, 1) if prediction.probabilities is None else prediction.probabilities
    return found.astype(np.float64)
