"""What skl2onnx does not convert, or not exactly: written in numpy's words, computed in 64 bits inside the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from modeling import date_parts, derived
from modeling.discriminant import RegularizedDiscriminantAnalysis, quadratic_form
from modeling.graph import ML, Graph, Tensor
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


def standard_scaler(graph: Graph) -> None:
    """Write a `StandardScaler`; in 32 bits a mean much larger than the deviation would cost digits."""
    values = graph.read()
    if graph.step.with_mean:
        values = values - graph.step.mean_
    if graph.step.with_std:
        values = values / graph.step.scale_
    graph.write(values.astype(np.float32))


def quadratic_discriminant(graph: Graph) -> None:
    """Write a quadratic or regularised discriminant analysis: the log posterior of each class, and their softmax."""
    X, scores = graph.read(), []
    for mean, whitening, constant in zip(*quadratic_form(graph.step), strict=True):
        whitened = (X - mean) @ whitening
        scores.append(constant - 0.5 * graph.node("ReduceSum", whitened * whitened, np.array([1]), keepdims=1))
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


def boosted_classes(graph: Graph) -> None:
    """Write a `HistGradientBoostingClassifier`."""
    scores = _boosted(graph)
    if len(graph.step.classes_) > 2:
        probabilities = graph.node("Softmax", scores, axis=1)
    else:
        second = 1 / (1 + np.exp(-scores))
        probabilities = graph.node("Concat", 1 - second, second, axis=1)
    graph.classify(probabilities, probabilities)


def boosted_numbers(graph: Graph) -> None:
    """Write a `HistGradientBoostingRegressor`; a count's loss predicts a logarithm."""
    scores = _boosted(graph)
    if graph.step.loss in ("poisson", "gamma"):
        scores = np.exp(scores)
    graph.write(scores.astype(np.float32))


def _boosted(graph: Graph) -> Tensor:
    """Return the raw scores `[n, trees per iteration]`, summed in 64 bits; so are the thresholds."""
    model = graph.step
    trees = [(at, tree.nodes) for iteration in model._predictors for at, tree in enumerate(iteration)]
    nodes = np.concatenate([nodes for _, nodes in trees])
    if nodes["is_categorical"].any():
        raise DataError("splits of a boosted tree by category cannot be exported: encode categories as numbers")
    sizes = [len(nodes) for _, nodes in trees]
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    leaf = nodes["is_leaf"].astype(bool)
    inner = {name: np.where(leaf, 0, nodes[name]) for name in ("feature_idx", "left", "right", "missing_go_to_left")}
    return graph.node(
        "TreeEnsembleRegressor",
        graph.read(),
        domain=ML,
        op_version=3,
        n_targets=model.n_trees_per_iteration_,
        nodes_treeids=tree_ids.tolist(),
        nodes_nodeids=node_ids.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_featureids=inner["feature_idx"].tolist(),
        nodes_truenodeids=inner["left"].tolist(),
        nodes_falsenodeids=inner["right"].tolist(),
        nodes_missing_value_tracks_true=inner["missing_go_to_left"].tolist(),
        nodes_values_as_tensor=_doubles(np.where(leaf, 0, nodes["num_threshold"])),
        target_treeids=tree_ids[leaf].tolist(),
        target_nodeids=node_ids[leaf].tolist(),
        target_ids=np.repeat([at for at, _ in trees], sizes)[leaf].tolist(),
        target_weights_as_tensor=_doubles(nodes["value"][leaf]),
        base_values_as_tensor=_doubles(model._baseline_prediction),
    ).astype(np.float64)


def _doubles(values: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ravel(values).astype(np.float64))


CONVERTERS: dict[type, Convert] = {
    derived.Derived: derived.convert,
    date_parts.DateParts: date_parts.convert,
    StandardScaler: standard_scaler,
    QuadraticDiscriminantAnalysis: quadratic_discriminant,
    RegularizedDiscriminantAnalysis: quadratic_discriminant,
    SVR: support_vectors,
    MLPRegressor: network,
    TransformedTargetRegressor: transformed_target,
    HistGradientBoostingClassifier: boosted_classes,
    HistGradientBoostingRegressor: boosted_numbers,
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
