"""A served model as a scikit-learn estimator, so that scikit-learn's own tools look at what is served."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from modeling.exporting.export import as_inputs
from service.errors import BundleError
from service.rows.inputs import Inputs

Array = npt.NDArray[Any]


class _Served(BaseEstimator):  # type: ignore[misc]
    """What both kinds have in common; `model` is a `service.model.Model`."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: pd.DataFrame, y: Any = None) -> _Served:
        """Return itself: an exported model was fitted before it was exported."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def read(self, X: pd.DataFrame) -> Inputs:
        """Return a table of features as checked rows, by the code that reads a request."""
        return as_inputs(X, self.model.manifest.features)

    def predict(self, X: pd.DataFrame) -> Array:
        """Return the predicted classes or numbers `[n]`, numbers in 64 bits."""
        values: Array = self.model.predict(self.read(X)).values
        return values if self.model.classes else values.astype(np.float64)


class ServedRegressor(RegressorMixin, _Served):  # type: ignore[misc]
    """A regression that is served."""


class ServedClassifier(ClassifierMixin, _Served):  # type: ignore[misc]
    """A classification that is served."""

    @property
    def classes_(self) -> Array:
        """The classes, in the order of the probabilities."""
        return np.array(self.model.classes, dtype=object if isinstance(self.model.classes[0], str) else np.int64)

    def predict_proba(self, X: pd.DataFrame) -> Array:
        """Return the probabilities `[n, classes]`."""
        found: Array = self.model.predict(self.read(X)).probabilities
        return found


def as_estimator(model: Any) -> ServedClassifier | ServedRegressor:
    """Return a `service.model.Model` as a fitted estimator of scikit-learn."""
    return ServedClassifier(model) if model.classes else ServedRegressor(model)


def first_sound(load: Callable[[Path], Any], places: Iterable[Path]) -> tuple[Any, list[BundleError]]:
    """Return the first of the bundles that can be loaded, None if none can, and what is wrong with those before it."""
    damaged: list[BundleError] = []
    for place in places:
        try:
            return load(place), damaged
        except BundleError as error:
            damaged.append(error)
    return None, damaged
