"""Regularised discriminant analysis, which scikit-learn lacks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from service.errors import DataError

Array = npt.NDArray[Any]


class RegularizedDiscriminantAnalysis(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Gaussian classes with regularised covariances (Friedman 1989, Journal of the American Statistical Association).

    `lam` in [0, 1], the paper's lambda, draws each class's covariance towards the pooled one, and `gamma` in [0, 1]
    the result towards a multiple of the identity. With gamma 0, lambda 0 is quadratic and lambda 1 linear discriminant
    analysis; with gamma 1, lambda 1 the nearest mean decides. Features should be standardised, as gamma mixes their
    units. `priors` `[classes]` are the classes' shares in the training rows unless given.

    A covariance that stays singular raises DataError.
    """

    def __init__(self, lam: float = 0.5, gamma: float = 0.1, priors: npt.ArrayLike | None = None) -> None:
        self.lam = lam
        self.gamma = gamma
        self.priors = priors

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Estimate means, priors and covariances from rows `[n, features]` and their classes `[n]`."""
        for name in ("lam", "gamma"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)!r}")
        rows, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, of_class, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if len(self.classes_) < 2:
            raise ValueError(f"two classes or more are needed to tell apart, got 1 class: {self.classes_[0]!r}")
        self.priors_ = self._checked_priors(counts)
        self.means_ = np.array([rows[of_class == k].mean(axis=0) for k in range(len(counts))])
        roots = [_triangle(rows[of_class == k] - mean) for k, mean in enumerate(self.means_)]
        pooled = _triangle(np.vstack(roots))
        spectra = [self._spectrum(k, roots[k], pooled, counts) for k in range(len(counts))]
        self.scalings_ = [scaling for scaling, _ in spectra]
        self.rotations_ = [rotation for _, rotation in spectra]
        return self

    def decision_function(self, X: npt.ArrayLike) -> Array:
        """Return each class's log density plus log prior, up to a constant, `[n, classes]`; the difference of two."""
        scores = self._scores(X)
        return scores if len(self.classes_) > 2 else scores[:, 1] - scores[:, 0]

    def predict(self, X: npt.ArrayLike) -> Array:
        """Return the most probable class of each row, `[n]`."""
        best: Array = self._scores(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """Return the classes' posterior probabilities, `[n, classes]`."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: npt.ArrayLike) -> Array:
        """Return the logarithms of `predict_proba`, exact where those are nearly 0."""
        logarithms: Array = log_softmax(self._scores(X), axis=1)
        return logarithms

    def _checked_priors(self, counts: Array) -> Array:
        if self.priors is None:
            return np.asarray(counts / counts.sum())
        priors = np.asarray(self.priors, dtype=np.float64)
        if priors.shape != counts.shape or (priors <= 0).any() or not np.isclose(priors.sum(), 1):
            raise ValueError(f"priors must be {len(counts)} positive shares with the sum 1, got {self.priors!r}")
        return priors

    def _spectrum(self, k: int, root: Array, pooled: Array, counts: Array) -> tuple[Array, Array]:
        """Return the eigenvalues and eigenvectors of a class's covariance, equations 16 to 18 of the paper."""
        stacked = np.vstack([np.sqrt(1 - self.lam) * root, np.sqrt(self.lam) * pooled])
        weight = (1 - self.lam) * counts[k] + self.lam * counts.sum()
        singular, axes = np.linalg.svd(stacked)[1:]
        features = stacked.shape[1]
        deviations = np.zeros(features)
        deviations[: len(singular)] = singular / np.sqrt(weight)
        variances = (1 - self.gamma) * deviations**2 + self.gamma * (deviations**2).mean()
        least = deviations.max() * max(counts.sum(), features) * np.finfo(np.float64).eps
        if np.sqrt(variances.min()) <= least:
            raise DataError(
                f"the covariance of class {self.classes_[k]} is singular: raise `gamma`, or leave out the features "
                "that are constant or that others determine"
            )
        return variances, axes.T

    def _scores(self, X: npt.ArrayLike) -> Array:
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        means, whitening, constants = quadratic_form(self)
        return np.stack(
            [
                constant - np.square((rows - mean) @ whiten).sum(axis=1) / 2
                for mean, whiten, constant in zip(means, whitening, constants, strict=True)
            ],
            axis=1,
        )


def _triangle(rows: Array) -> Array:
    """Return R with R'R = rows'rows: it stands for the scatter and keeps the digits that squaring loses."""
    return np.asarray(np.linalg.qr(rows, mode="r"))


def quadratic_form(fitted: Any) -> tuple[Array, Array, Array]:
    """Return means `[k, p]`, whitening matrices `[k, p, p]` and constants `[k]` of a Gaussian discriminant.

    A row x scores `constant - |(x - mean) whitening|² / 2` for each class. `fitted` has `means_`, `rotations_`,
    `scalings_` and `priors_`, as scikit-learn's quadratic discriminant analysis has.
    """
    scalings = np.array(fitted.scalings_)
    whitening = np.array(fitted.rotations_) / np.sqrt(scalings)[:, np.newaxis, :]
    return fitted.means_, whitening, np.log(fitted.priors_) - np.log(scalings).sum(axis=1) / 2
