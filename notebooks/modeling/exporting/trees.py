"""Forests and boosted trees as ONNX: thresholds and sums in 64 bits, so that no row changes its leaf."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modeling.exporting.graph import ML, Graph, Tensor
from service.errors import DataError


class Tree(NamedTuple):
    """A tree's nodes, arrays `[n]`: a value at most the threshold goes left; `answers` are `[n, targets]`.

    The answers of its leaves are added to the targets from `first` on.
    """

    leaf: npt.NDArray[np.bool_]
    feature: npt.NDArray[Any]
    threshold: npt.NDArray[np.float64]
    left: npt.NDArray[Any]
    right: npt.NDArray[Any]
    missing_left: npt.NDArray[Any]
    answers: npt.NDArray[np.float64]
    first: int = 0


def boosted_classes(graph: Graph) -> None:
    """Write a `HistGradientBoostingClassifier`."""
    scores = _boosted(graph)
    several = len(graph.step.classes_) > 2
    probabilities = graph.node("Softmax", scores, axis=1) if several else graph.of_odds(scores)
    graph.classify(probabilities, probabilities)


def boosted_numbers(graph: Graph) -> None:
    """Write a `HistGradientBoostingRegressor`; a count's loss predicts a logarithm."""
    scores = _boosted(graph)
    if graph.step.loss in ("poisson", "gamma"):
        scores = np.exp(scores)
    graph.write(scores.astype(np.float32))


def forest_classes(graph: Graph) -> None:
    """Write a forest of classification trees, whose leaves hold the shares of the classes."""
    shares = _forest(graph)
    graph.classify(shares, shares)


def forest_numbers(graph: Graph) -> None:
    """Write a forest of regression trees."""
    graph.write(_forest(graph).astype(np.float32))


def _forest(graph: Graph) -> Tensor:
    """Return the mean of the trees' answers, `[n, targets]`."""
    fitted = [estimator.tree_ for estimator in graph.step.estimators_]
    trees = [
        Tree(
            tree.children_left < 0,
            tree.feature,
            tree.threshold,
            tree.children_left,
            tree.children_right,
            tree.missing_go_to_left,
            tree.value[:, 0, :] / len(fitted),
        )
        for tree in fitted
    ]
    return _sum(graph, trees, np.zeros(trees[0].answers.shape[1]))


def _boosted(graph: Graph) -> Tensor:
    """Return the raw scores, `[n, trees per iteration]`."""
    model = graph.step
    trees = []
    for iteration in model._predictors:
        for first, nodes in enumerate(tree.nodes for tree in iteration):
            if nodes["is_categorical"].any():
                raise DataError("splits of a boosted tree by category cannot be exported: encode categories as numbers")
            trees.append(
                Tree(
                    nodes["is_leaf"].astype(bool),
                    nodes["feature_idx"],
                    nodes["num_threshold"],
                    nodes["left"],
                    nodes["right"],
                    nodes["missing_go_to_left"],
                    nodes["value"][:, np.newaxis],
                    first,
                )
            )
    return _sum(graph, trees, model._baseline_prediction)


def _sum(graph: Graph, trees: list[Tree], base: Any) -> Tensor:
    """Return the sum of the trees' answers and `base`, `[n, targets]`."""
    leaf, feature, threshold, left, right, missing_left = (
        np.concatenate([tree[field] for tree in trees]) for field in range(6)
    )
    sizes = [len(tree.leaf) for tree in trees]
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    width = trees[0].answers.shape[1]
    targets = [np.tile(tree.first + np.arange(width), tree.leaf.sum()) for tree in trees]
    summed = graph.node(
        "TreeEnsembleRegressor",
        graph.read(),
        domain=ML,
        op_version=3,
        n_targets=np.size(base),
        nodes_treeids=tree_ids.tolist(),
        nodes_nodeids=node_ids.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_featureids=np.where(leaf, 0, feature).tolist(),
        nodes_truenodeids=np.where(leaf, 0, left).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, right).tolist(),
        nodes_missing_value_tracks_true=np.where(leaf, 0, missing_left).tolist(),
        nodes_values_as_tensor=_doubles(np.where(leaf, 0, threshold)),
        target_treeids=np.repeat(tree_ids[leaf], width).tolist(),
        target_nodeids=np.repeat(node_ids[leaf], width).tolist(),
        target_ids=np.concatenate(targets).tolist(),
        target_weights_as_tensor=_doubles(np.concatenate([tree.answers[tree.leaf] for tree in trees])),
        base_values_as_tensor=_doubles(base),
    )
    return summed.astype(np.float64)


def _doubles(values: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ravel(values).astype(np.float64))
