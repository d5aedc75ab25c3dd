"""One form for equal ONNX graphs: nodes in the order of their use, names that only count, nothing left over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto


def to_bytes(model: ModelProto) -> bytes:
    """Return a model in its canonical form: graphs that differ in names and order only give the same bytes.

    The names of the graph's inputs and outputs stay, since they are its interface. `model` is changed.
    """
    names = {value.name: value.name for value in [*model.graph.input, *model.graph.output]}
    _rename(model.graph, {"": "", **names}, prefix="")
    model.graph.name = "pipeline"
    model.opset_import.sort(key=lambda used: used.domain)
    return bytes(model.SerializeToString(deterministic=True))


def _rename(graph: GraphProto, names: dict[str, str], prefix: str) -> None:
    """Order a graph's nodes and rename its values; `names` maps those of the graphs around it, and grows."""
    nodes = _in_order_of_use(graph)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    used: list[TensorProto] = []
    for at, node in enumerate(nodes):
        for name in [*node.input, *(outer for inner in _graphs(node) for outer in _captured(inner))]:
            if name in constants and name not in names:
                names[name] = f"{prefix}c{len(used)}"
                used.append(constants[name])
        for place, name in enumerate(node.output):
            names.setdefault(name, f"{prefix}v{at}_{place}")
        node.name = f"{prefix}n{at}"
        node.ClearField("doc_string")
        node.attribute.sort(key=lambda attribute: attribute.name)
        for depth, inner in enumerate(_graphs(node)):
            _rename_body(inner, names, f"{prefix}n{at}_{depth}_")
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for tensor in used:
        tensor.name = names[tensor.name]
        tensor.ClearField("doc_string")
    _replace(graph.node, nodes)
    _replace(graph.initializer, used)
    graph.ClearField("value_info")
    graph.ClearField("doc_string")


def _rename_body(graph: GraphProto, names: dict[str, str], prefix: str) -> None:
    """Rename the body of a loop, whose inputs and outputs are counted too."""
    own = _own_names(graph)
    inside = {name: known for name, known in names.items() if name not in own}
    inside |= {value.name: f"{prefix}in{at}" for at, value in enumerate(graph.input)}
    inside |= {value.name: f"{prefix}out{at}" for at, value in enumerate(graph.output) if value.name not in inside}
    _rename(graph, inside, prefix)
    graph.name = prefix
    for value in [*graph.input, *graph.output]:
        value.name = inside[value.name]


def _in_order_of_use(graph: GraphProto) -> list[NodeProto]:
    """Return copies of the nodes that the outputs need, each after those that it needs."""
    makers = {name: node for node in graph.node for name in node.output}
    ordered: dict[int, NodeProto] = {}
    open_nodes = [makers[value.name] for value in reversed(graph.output) if value.name in makers]
    while open_nodes:
        node = open_nodes[-1]
        needed = [makers[name] for name in _needs(node) if name in makers]
        waiting = [maker for maker in reversed(needed) if id(maker) not in ordered]
        if waiting:
            open_nodes += waiting
        else:
            ordered.setdefault(id(node), node)
            open_nodes.pop()
    return [_copy(node) for node in ordered.values()]


def _needs(node: NodeProto) -> Iterator[str]:
    yield from node.input
    for inner in _graphs(node):
        yield from _captured(inner)


def _captured(graph: GraphProto) -> Iterator[str]:
    """Yield the names that a body takes from the graphs around it."""
    own = _own_names(graph)
    needed = [name for node in graph.node for name in _needs(node)] + [value.name for value in graph.output]
    yield from (name for name in needed if name and name not in own)


def _own_names(graph: GraphProto) -> set[str]:
    given = [value.name for value in graph.input] + [tensor.name for tensor in graph.initializer]
    return {*given, *(name for node in graph.node for name in node.output if name)}


def _graphs(node: NodeProto) -> list[GraphProto]:
    return [attribute.g for attribute in node.attribute if attribute.type == AttributeProto.GRAPH]


def _copy(message: Any) -> Any:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _replace(field: Any, values: Iterable[Any]) -> None:
    kept = [_copy(value) for value in values]
    del field[:]
    field.extend(kept)
