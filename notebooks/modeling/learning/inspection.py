"""Looking inside a fitted pipeline: what a linear model weighs, what a tree relies on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler


def prepared_names(pipeline: Pipeline, X: pd.DataFrame) -> list[str]:
    """Return what the columns are called that the estimator sees, without the names of the steps."""
    return [str(name).split("__", 1)[-1] for name in pipeline[0].get_feature_names_out(X.columns)]


def coefficients(pipeline: Pipeline, X: pd.DataFrame) -> pd.DataFrame | None:
    """Return a linear model's coefficients, None for other models.

    A row for each prepared column. `for one unit` counts in the unit of the column as it came, before it was
    standardised, and for a regression in the unit of the target; of several classes it is that with the largest
    absolute value. `for one standard deviation` is that times the deviation over the rows `X`.
    """
    fitted = pipeline[-1]
    inner = getattr(fitted, "regressor_", fitted)
    if not hasattr(inner, "coef_"):
        return None
    by_class = np.atleast_2d(inner.coef_)
    strongest = by_class[np.abs(by_class).argmax(axis=0), np.arange(by_class.shape[1])]
    if inner is not fitted:
        strongest = strongest * fitted.transformer_.scale_[0]
    deviations = np.asarray(pipeline[0].transform(X)).std(axis=0)
    return pd.DataFrame(
        {"for one unit": strongest / _scales(pipeline), "for one standard deviation": strongest * deviations},
        index=prepared_names(pipeline, X),
    )


def importances(pipeline: Pipeline, X: pd.DataFrame) -> pd.Series | None:
    """Return how much each prepared column lessened a tree's or a forest's impurity, as shares; None without trees."""
    found = getattr(pipeline[-1], "feature_importances_", None)
    return None if found is None else pd.Series(found, prepared_names(pipeline, X))


def _scales(pipeline: Pipeline) -> np.ndarray:
    """Return by what each prepared column was divided."""
    scales = []
    prepare = pipeline[0]
    for name, part, _ in prepare.transformers_:
        width = prepare.output_indices_[name].stop - prepare.output_indices_[name].start
        last = part[-1] if isinstance(part, Pipeline) else part
        scales.append(last.scale_ if isinstance(last, StandardScaler) else np.ones(width))
    return np.concatenate(scales)
