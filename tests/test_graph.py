from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline, make_pipeline

from modeling.exporting import canonical, converters
from service import runtime


def as_onnx(pipeline: Pipeline, width: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that runs a fitted pipeline of numbers through ONNX."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    converters.register()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = convert_sklearn(pipeline, initial_types=[("numbers", FloatTensorType([None, width]))])
    session = runtime.session(canonical.to_bytes(model))
    return lambda rows: session.run(None, {"numbers": np.asarray(rows, dtype=np.float32)})[0]


class Formula(TransformerMixin, BaseEstimator):
    """One column that a function computes from the columns it gets."""

    def __init__(self, function: Callable) -> None:
        self.function = function

    def fit(self, X, y=None):
        """Nothing is learned."""
        return self

    def transform(self, X):
        """Return the column."""
        return self.function(X)[:, np.newaxis]

    def get_feature_names_out(self, input_features=None):
        """Return its name."""
        return np.array(["formula"], dtype=object)


FORMULAS = [
    lambda x: x[:, 0] + 2 * x[:, 1] - x[:, 0] / x[:, 1],
    lambda x: -(np.floor(x[:, 0] * 0.7) ** 3),
    lambda x: np.minimum(np.abs(x[:, 0]), np.maximum(x[:, 1], 1.5)),
    lambda x: np.sqrt(np.exp(x[:, 0])) + np.log(np.abs(x[:, 1])),
    lambda x: (x @ np.array([[1.0], [2.0]]))[:, 0],
]


@pytest.mark.parametrize("function", FORMULAS)
def test_numpys_words_build_the_graph_of_what_they_compute(monkeypatch, function):
    """One function gives numbers for arrays, and for a graph the nodes that give these numbers."""
    monkeypatch.setitem(
        converters.CONVERTERS,
        Formula,
        lambda graph: graph.write(graph.stack([function(graph.read())]).astype(np.float32)),
    )
    rows = np.random.default_rng(0).normal(0, 3, (50, 2)).astype(np.float32)
    expected = function(rows.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(as_onnx(make_pipeline(Formula(function)), 2)(rows)[:, 0], expected, rtol=3e-7)


def test_a_function_without_a_node_is_refused(monkeypatch):
    """A converter that uses another function of numpy fails at once, not with a wrong graph."""
    monkeypatch.setitem(converters.CONVERTERS, Formula, lambda graph: graph.write(np.sin(graph.read())))
    with pytest.raises(TypeError, match="sin"):
        as_onnx(make_pipeline(Formula(np.sin)), 1)
