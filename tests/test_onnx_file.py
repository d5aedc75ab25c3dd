from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from service import bundle, model, onnx_file, runtime
from service.errors import BundleError


def inner_tensor() -> onnx.TensorProto:
    """Return a tensor that is inside the file."""
    return helper.make_tensor("inside", onnx.TensorProto.FLOAT, [1], [1.0])


def outer_tensor() -> onnx.TensorProto:
    """Return a tensor whose numbers are in another file."""
    tensor = onnx.TensorProto(name="outside", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor


def node(name: str, **attributes: object) -> onnx.NodeProto:
    """Return a node with attributes."""
    return helper.make_node(name, [], ["out"], **attributes)


def graph(tensor: onnx.TensorProto) -> onnx.GraphProto:
    """Return a graph with one initializer."""
    return helper.make_graph([], "inner", [], [], [tensor])


def sparse(tensor: onnx.TensorProto, indices: onnx.TensorProto | None = None) -> onnx.SparseTensorProto:
    """Return a sparse tensor."""
    return onnx.SparseTensorProto(values=tensor, indices=indices or inner_tensor(), dims=[1])


def in_function(tensor: onnx.TensorProto, found: onnx.ModelProto) -> None:
    """Put a tensor into a node of a function of the model's own."""
    found.functions.add(name="f", domain="d").node.append(node("Constant", value=tensor))


def in_default(tensor: onnx.TensorProto, found: onnx.ModelProto) -> None:
    """Put a tensor into the default value of a function's attribute."""
    found.functions.add(name="f", domain="d").attribute_proto.append(helper.make_attribute("a", tensor))


PLACES: dict[str, Callable[[onnx.TensorProto, onnx.ModelProto], object]] = {
    "initializer": lambda tensor, found: found.graph.initializer.append(tensor),
    "sparse initializer": lambda tensor, found: found.graph.sparse_initializer.append(sparse(tensor)),
    "sparse indices": lambda tensor, found: found.graph.sparse_initializer.append(sparse(inner_tensor(), tensor)),
    "attribute": lambda tensor, found: found.graph.node.append(node("Constant", value=tensor)),
    "attribute, list": lambda tensor, found: found.graph.node.append(node("X", values=[inner_tensor(), tensor])),
    "attribute, sparse": lambda tensor, found: found.graph.node.append(node("X", value=sparse(tensor))),
    "attribute, sparse list": lambda tensor, found: found.graph.node.append(node("X", values=[sparse(tensor)])),
    "subgraph": lambda tensor, found: found.graph.node.append(node("If", then_branch=graph(tensor))),
    "subgraph, list": lambda tensor, found: found.graph.node.append(
        node("X", branches=[graph(inner_tensor()), graph(tensor)])
    ),
    "subgraph of a subgraph": lambda tensor, found: found.graph.node.append(
        node("If", then_branch=helper.make_graph([node("If", then_branch=graph(tensor))], "outer", [], []))
    ),
    "function": in_function,
    "function, attribute": in_default,
    "training": lambda tensor, found: found.training_info.add().initialization.initializer.append(tensor),
}


@pytest.fixture
def wine(artifacts: Path) -> Path:
    """A published bundle to damage."""
    return artifacts / "wine" / "1"


@pytest.fixture
def found(wine: Path) -> onnx.ModelProto:
    """The model of that bundle, to put things into."""
    return onnx.load_model_from_string((wine / bundle.MODEL).read_bytes())


@pytest.mark.parametrize("place", PLACES)
def test_tensor_outside_the_file_is_refused_without_looking_for_it(
    place: str,
    found: onnx.ModelProto,
    wine: Path,
    reseal: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
):
    """Wherever a model refers to another file, it is refused though its hash is right, and the file stays unread."""
    PLACES[place](outer_tensor(), found)
    (wine / bundle.MODEL).write_bytes(found.SerializeToString())
    reseal(wine)
    # Whoever opened the pipe to read would wait for its other end for ever.
    os.mkfifo(wine / "secret.bin")
    monkeypatch.chdir(wine)
    with pytest.raises(BundleError, match="keeps tensors outside the file"):
        model.load(wine)


@pytest.mark.parametrize("place", PLACES)
def test_tensor_inside_the_file_is_taken(place: str, found: onnx.ModelProto):
    """In the same places a tensor of the file's own is no reason to refuse it."""
    PLACES[place](inner_tensor(), found)
    onnx_file.refuse_external_tensors(found.SerializeToString())


@pytest.mark.parametrize("mark", ["location", "data"])
def test_either_mark_of_an_external_tensor_is_enough(found: onnx.ModelProto, mark: str):
    """A tensor that only says it is elsewhere, or only says where, is refused as well."""
    tensor = outer_tensor()
    if mark == "location":
        tensor.ClearField("external_data")
    else:
        tensor.ClearField("data_location")
    found.graph.initializer.append(tensor)
    with pytest.raises(BundleError, match="outside the file"):
        onnx_file.refuse_external_tensors(found.SerializeToString())


@pytest.mark.parametrize("high", [1 << 32, 1 << 33, 1 << 40])
def test_field_number_with_high_bits_hides_nothing(found: onnx.ModelProto, high: int):
    """A graph whose field number has bits that onnxruntime drops is refused, not passed over."""
    found.graph.initializer.append(outer_tensor())
    hidden = found.graph.SerializeToString()
    found.ClearField("graph")
    raw = found.SerializeToString() + varint(high | (7 << 3) | 2) + varint(len(hidden)) + hidden
    with pytest.raises(BundleError, match="is not an ONNX file"):
        onnx_file.refuse_external_tensors(raw)


def test_the_runtime_takes_onnx_alone(wine: Path, tmp_path: Path):
    """onnxruntime would read a format of its own, too, which is not looked into; ours does not, whatever the bytes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(wine / bundle.MODEL, options)
    other = (tmp_path / "model.ort").read_bytes()
    onnxruntime.InferenceSession(other)
    with pytest.raises(Exception, match=r"(?i)protobuf"):
        runtime.session(other)


def test_deep_nesting_is_refused():
    """A model that nests graphs without end is refused instead of exhausting the stack."""
    raw = b""
    for _ in range(5000):
        for field in (6, 5, 1):  # a graph in an attribute of a node of a graph
            raw = varint(field << 3 | 2) + varint(len(raw)) + raw
    with pytest.raises(BundleError, match="nested too deeply"):
        onnx_file.refuse_external_tensors(varint(7 << 3 | 2) + varint(len(raw)) + raw)


def test_truncation_is_refused_or_harmless(wine: Path):
    """A model cut anywhere raises BundleError or nothing."""
    whole = (wine / bundle.MODEL).read_bytes()
    refused = 0
    for size in range(0, len(whole), 7):
        try:
            onnx_file.refuse_external_tensors(whole[:size])
        except BundleError:
            refused += 1
    assert refused > len(whole) // 14


@settings(deadline=None, max_examples=200, database=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_harmless(content: bytes):
    """Whatever is no model raises BundleError or nothing."""
    with contextlib.suppress(BundleError):
        onnx_file.refuse_external_tensors(content)


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
