from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from modeling.exporting import canonical
from service import runtime


def answers(model: bytes, rows: np.ndarray) -> list:
    """Return what a graph that reads `x` answers."""
    return runtime.session(model).run(None, {"x": rows})


def graph(names: list[str], order: list[int], rest: bool = False) -> onnx.ModelProto:
    """Return a graph of two sums and a loop over rows; its values are called `names`, its nodes stand in `order`."""
    one, two, left, right, inside, total, bias, node = names
    body = helper.make_graph(
        [helper.make_node("Add", [inside, bias], [total], name=node)],
        node,
        [helper.make_tensor_value_info(inside, TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info(total, TensorProto.FLOAT, [2])],
        initializer=[numpy_helper.from_array(np.float32([7, 9]), bias)],
    )
    nodes = [
        helper.make_node("Add", ["x", one], [left], name=node, doc_string=left),
        helper.make_node("Mul", ["x", two], [right], name=left),
        helper.make_node("Scan", [left], ["scanned"], body=body, num_scan_inputs=1),
        helper.make_node("Sub", ["scanned", right], ["y"], name=right),
        helper.make_node("Neg", [right], ["unused"]),
    ][: 5 if rest else 4]
    constants = [numpy_helper.from_array(np.float32(value), name) for value, name in ((1, one), (2, two))]
    made = helper.make_graph(
        [nodes[at] for at in order if at < len(nodes)],
        left,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        initializer=constants if order[0] % 2 else constants[::-1],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(made, ir_version=10, opset_imports=opsets if order[-1] % 2 else opsets[::-1])


PLAIN = list("abcdefgh")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.text("abc01_", min_size=2, max_size=4), min_size=8, max_size=8, unique=True),
    st.permutations(range(5)),
    st.booleans(),
)
def test_graphs_that_differ_in_names_and_order_only_are_the_same_bytes(names, order, rest):
    """Whatever values and nodes are called, in whatever order they stand, and whatever nobody uses."""
    assert canonical.to_bytes(graph(names, order, rest)) == canonical.to_bytes(graph(PLAIN, list(range(5))))


def test_graphs_that_differ_in_a_constant_stay_different():
    """Another number is another model."""
    other = graph(PLAIN, list(range(5)))
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32(3), other.graph.initializer[0].name))
    assert canonical.to_bytes(other) != canonical.to_bytes(graph(PLAIN, list(range(5))))


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
def test_the_canonical_form_answers_the_same(order):
    """It is a valid graph, reads and gives what it did by the same names, and doing it again changes nothing."""
    model = canonical.to_bytes(graph(PLAIN, order))
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    rows = np.float32([[1, 2], [3, -4]])
    np.testing.assert_array_equal(answers(model, rows)[0], rows + 1 + np.float32([7, 9]) - 2 * rows)
    assert canonical.to_bytes(onnx.load_from_string(model)) == model


def test_a_body_may_use_a_name_of_the_graph_around_it():
    """A loop whose own constant is called as one outside keeps its own."""
    names = ["a", "b", "c", "d", "e", "f", "a", "h"]
    rows = np.float32([[1, 2]])
    assert answers(canonical.to_bytes(graph(names, list(range(5)))), rows)[0].tolist() == [[7, 8]]
