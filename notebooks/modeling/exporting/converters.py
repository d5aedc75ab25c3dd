"""What skl2onnx does not convert, or not exactly: written in numpy's words, computed in 64 bits inside the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from modeling.exporting import trees
from modeling.exporting.graph import Graph, Tensor
from modeling.learning import date_parts, derived
from modeling.learning.discriminant import RegularizedDiscriminantAnalysis, quadratic_form
from service.errors import DataError

Convert = Callable[[Graph], None]

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "exponential": np.exp,
}
"""What the layers of a network apply, by scikit-learn's names."""


def derived_features(graph: Graph) -> None:
    """Write the expressions of a `Derived`."""
    columns, step = graph.read(), graph.step
    graph.write(graph.stack(derived.evaluate(term, columns, step.names) for term in step.terms_))


def parts_of_dates(graph: Graph) -> None:
    """Write the calendar of `DateParts`; in 64 bits it is exact."""
    graph.write(graph.stack(date_parts.all_parts(graph.read(), graph.step.timed_)).astype(np.float32))


def standard_scaler(graph: Graph) -> None:
    """Write a `StandardScaler`; in 32 bits a mean much larger than the deviation would cost digits."""
    values = graph.read()
    if graph.step.with_mean:
        values = values - graph.step.mean_
    if graph.step.with_std:
        values = values / graph.step.scale_
    graph.write(values.astype(np.float32))


def linear_discriminant(graph: Graph) -> None:
    """Write a `LinearDiscriminantAnalysis`; skl2onnx takes two classes for three."""
    scores = graph.read() @ graph.step.coef_.T + graph.step.intercept_
    if len(graph.step.classes_) > 2:
        graph.classify(scores, graph.node("Softmax", scores, axis=1))
    else:
        probabilities = graph.of_odds(scores)
        graph.classify(probabilities, probabilities)


def gaussian_classes(graph: Graph) -> None:
    """Write a `GaussianNB`; in 32 bits the square of a far value is infinite."""
    model, X = graph.step, graph.read()
    constants = np.log(model.class_prior_) - np.log(2 * np.pi * model.var_).sum(axis=1) / 2
    forms = zip(model.theta_, model.var_, constants, strict=True)
    _classify_gaussians(graph, [((X - mean) * variance**-0.5, constant) for mean, variance, constant in forms])


def quadratic_discriminant(graph: Graph) -> None:
    """Write a quadratic or regularised discriminant analysis: the log posterior of each class, and their softmax."""
    X, forms = graph.read(), zip(*quadratic_form(graph.step), strict=True)
    _classify_gaussians(graph, [((X - mean) @ whitening, constant) for mean, whitening, constant in forms])


def _classify_gaussians(graph: Graph, classes: list[tuple[Tensor, float]]) -> None:
    """Write the classes of Gaussian densities: for each, rows whitened about its mean, and its constant."""
    squares = [graph.node("ReduceSum", white * white, np.array([1]), keepdims=1) for white, _ in classes]
    scores = [constant - 0.5 * square for square, (_, constant) in zip(squares, classes, strict=True)]
    posterior = graph.node("Concat", *scores, axis=1)
    graph.classify(posterior, graph.node("Softmax", posterior, axis=1))


def support_vectors(graph: Graph) -> None:
    """Write an `SVR`; a sum over many support vectors with a large C loses digits in 32 bits."""
    model, X = graph.step, graph.read()
    vectors = model.support_vectors_
    similarity = X @ vectors.T
    if model.kernel == "rbf":
        length = graph.node("ReduceSum", X * X, np.array([1]), keepdims=1)
        similarity = np.exp(-model._gamma * (length + (vectors**2).sum(axis=1) - 2 * similarity))
    elif model.kernel != "linear":
        raise DataError(f"the kernel {model.kernel!r} of an SVR cannot be exported: use rbf or linear")
    graph.write((similarity @ model.dual_coef_.T + model.intercept_).astype(np.float32))


def network(graph: Graph) -> None:
    """Write an `MLPRegressor`, layer by layer."""
    model, values = graph.step, graph.read()
    activations = [model.activation] * (len(model.coefs_) - 1) + [model.out_activation_]
    for weights, bias, activation in zip(model.coefs_, model.intercepts_, activations, strict=True):
        values = ACTIVATIONS[activation](values @ weights + bias)
    graph.write(values.astype(np.float32))


def transformed_target(graph: Graph) -> None:
    """Write a `TransformedTargetRegressor` whose target was standardised."""
    model = graph.step
    if not isinstance(model.transformer_, StandardScaler):
        raise DataError(
            f"a target transformed by {type(model.transformer_).__name__} cannot be exported: use a StandardScaler"
        )
    predicted = graph.inner(model.regressor_).astype(np.float64)
    graph.write((predicted * model.transformer_.scale_ + model.transformer_.mean_).astype(np.float32))


CONVERTERS: dict[type, Convert] = {
    derived.Derived: derived_features,
    date_parts.DateParts: parts_of_dates,
    StandardScaler: standard_scaler,
    LinearDiscriminantAnalysis: linear_discriminant,
    GaussianNB: gaussian_classes,
    QuadraticDiscriminantAnalysis: quadratic_discriminant,
    RegularizedDiscriminantAnalysis: quadratic_discriminant,
    SVR: support_vectors,
    MLPRegressor: network,
    TransformedTargetRegressor: transformed_target,
    RandomForestClassifier: trees.forest_classes,
    ExtraTreesClassifier: trees.forest_classes,
    RandomForestRegressor: trees.forest_numbers,
    ExtraTreesRegressor: trees.forest_numbers,
    HistGradientBoostingClassifier: trees.boosted_classes,
    HistGradientBoostingRegressor: trees.boosted_numbers,
}


def register() -> None:
    """Tell skl2onnx of `CONVERTERS`; doing it again changes nothing."""
    from skl2onnx import update_registered_converter

    for step, convert in CONVERTERS.items():
        options = {"zipmap": [True, False, "columns"]} if hasattr(step, "predict_proba") else None
        update_registered_converter(step, f"Cellar{step.__name__}", _shapes, _converter(convert), options=options)


def _converter(convert: Convert) -> Callable[[Any, Any, Any], None]:
    def add_to(scope: Any, operator: Any, container: Any) -> None:
        convert(Graph(scope, operator, container))

    return add_to


def _shapes(operator: Any) -> None:
    """Say of what type and shape a step's outputs are: labels and probabilities, numbers, or features."""
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    step = operator.raw_operator
    if hasattr(step, "classes_"):
        labels = StringTensorType if isinstance(step.classes_[0], str) else Int64TensorType
        operator.outputs[0].type = labels([None])
        operator.outputs[1].type = FloatTensorType([None, len(step.classes_)])
        return
    width = 1 if hasattr(step, "predict") else len(step.get_feature_names_out())
    operator.outputs[0].type = FloatTensorType([None, width])
