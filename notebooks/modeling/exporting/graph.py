"""Graphs in numpy's words: a converter writes `np.log(x) + 1`, and nodes are added to the ONNX graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

ML = "ai.onnx.ml"
"""The domain of the operators for trees and labels."""

NODES: dict[np.ufunc, str] = {
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.true_divide: "Div",
    np.power: "Pow",
    np.matmul: "MatMul",
    np.negative: "Neg",
    np.absolute: "Abs",
    np.sqrt: "Sqrt",
    np.exp: "Exp",
    np.tanh: "Tanh",
    np.log: "Log",
    np.floor: "Floor",
    np.minimum: "Min",
    np.maximum: "Max",
}


class Tensor(NDArrayOperatorsMixin):
    """A value of the graph; numpy's operators and functions of `NODES` on it give values of the graph."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options or ufunc not in NODES:
            return NotImplemented
        given = [value if isinstance(value, Tensor) else np.asarray(value, dtype=np.float64) for value in inputs]
        return self.graph.node(NODES[ufunc], *given)

    def __getitem__(self, key: tuple[slice, int]) -> Tensor:
        """Return column `[n]` of a matrix: `x[:, 2]`."""
        return self.graph.node("Gather", self, np.int64(key[1]), axis=1)

    def astype(self, dtype: npt.DTypeLike) -> Tensor:
        """Return the value as another type of number."""
        return self.graph.node("Cast", self, to=_element_type(dtype))


class Graph:
    """The part of an ONNX graph that belongs to one step of a pipeline, inside a converter of skl2onnx."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self._scope, self._operator, self._container = scope, operator, container

    @property
    def step(self) -> Any:
        """The fitted transformer or estimator that is converted."""
        return self._operator.raw_operator

    def read(self, dtype: npt.DTypeLike = np.float64) -> Tensor:
        """Return what the step reads, `[n, k]`, as numbers of `dtype`."""
        return Tensor(self, self._operator.inputs[0].full_name).astype(dtype)

    def write(self, *values: Tensor) -> None:
        """Make `values` what the step gives."""
        for value, output in zip(values, self._operator.outputs, strict=True):
            self._container.add_node("Identity", [value.name], [output.full_name])

    def node(self, kind: str, *inputs: Any, domain: str = "", **attributes: Any) -> Tensor:
        """Return what a new node gives for its inputs: values of the graph, or constants."""
        return self.nodes(kind, inputs, 1, domain, **attributes)[0]

    def nodes(self, kind: str, inputs: Iterable[Any], outputs: int, domain: str, **attributes: Any) -> list[Tensor]:
        """Return all that a new node with several outputs gives."""
        names = [self._scope.get_unique_variable_name(kind) for _ in range(outputs)]
        given = [value.name if isinstance(value, Tensor) else self._constant(value) for value in inputs]
        self._container.add_node(kind, given, names, op_domain=domain, **attributes)
        return [Tensor(self, name) for name in names]

    def stack(self, columns: Iterable[Tensor]) -> Tensor:
        """Return columns `[n]` side by side, `[n, k]`."""
        apart = [self.node("Unsqueeze", column, np.array([1])) for column in columns]
        return self.node("Concat", *apart, axis=1)

    def of_odds(self, odds: Tensor) -> Tensor:
        """Return the probabilities `[n, 2]` of two classes for the log odds `[n, 1]` of the second."""
        second = 1 / (1 + np.exp(-odds))
        return self.node("Concat", 1 - second, second, axis=1)

    def classify(self, scores: Tensor, probabilities: Tensor) -> None:
        """Make the classes of the largest `scores`, and `probabilities`, both `[n, classes]`, what the step gives."""
        largest = self.node("ArgMax", scores, axis=1, keepdims=0)
        self.write(self.node("Gather", self.step.classes_, largest), probabilities.astype(np.float32))

    def inner(self, estimator: Any) -> Tensor:
        """Return what an estimator inside this one predicts, by its own converter."""
        from skl2onnx._supported_operators import sklearn_operator_name_map
        from skl2onnx.common.data_types import FloatTensorType

        operator = self._scope.declare_local_operator(sklearn_operator_name_map[type(estimator)], estimator)
        operator.inputs.extend(self._operator.inputs)
        predicted = self._scope.declare_local_variable("inner", FloatTensorType([None, 1]))
        operator.outputs.append(predicted)
        return Tensor(self, predicted.full_name)

    def _constant(self, value: Any) -> str:
        array = np.asarray(value)
        if array.dtype.kind in "OU":
            array = np.asarray(array, dtype=object)
        name: str = self._scope.get_unique_variable_name("constant")
        content = [str(text).encode() for text in array.flat] if array.dtype.kind == "O" else array.ravel()
        self._container.add_initializer(name, _element_type(array.dtype), list(array.shape), content)
        return name


def _element_type(dtype: npt.DTypeLike) -> int:
    from onnx import helper

    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
