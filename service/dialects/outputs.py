"""What a model tells in the Open Inference Protocol: its outputs by name, as JSON or as bytes behind it."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import msgspec
import numpy.typing as npt
from werkzeug.http import parse_accept_header

from service import calibration, include
from service.calls import OCTETS, Answer
from service.contents import Manifest
from service.dialects import tensors
from service.dialects.tensors import BYTES, Parameters
from service.errors import RequestError, meant
from service.model import Model, Prediction

HEADER = "Inference-Header-Content-Length"

WORTH = 1024
"""Bytes from which on a reply is compressed for a client that takes it so."""


class Wanted(msgspec.Struct, frozen=True):
    """One output that is asked for."""

    name: str
    parameters: Parameters | None = None


class Output(msgspec.Struct, frozen=True):
    """One output: its values `[n]` or `[n, columns]`."""

    wanted: Wanted
    datatype: str
    values: npt.NDArray[Any]


def described(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the outputs that a model has, as its metadata lists them."""
    predicted = {"name": "predict", "datatype": _datatype(manifest), "shape": [-1]}
    classes = len(manifest.target.classes)
    if not classes:
        return [predicted, {"name": "interval", "datatype": "FP64", "shape": [-1, 2]}]
    probabilities = {"name": "predict_proba", "datatype": "FP32", "shape": [-1, classes]}
    return [predicted, probabilities, {"name": "interval", "datatype": "BOOL", "shape": [-1, classes]}]


def answer(head: dict[str, Any], outputs: list[Output], binary: bool) -> Answer:
    """Return the reply; outputs follow as bytes where they say so themselves, or else where the request does."""
    written, behind = [], []
    for output in outputs:
        values = output.values
        document: dict[str, Any] = {"name": output.wanted.name, "datatype": output.datatype, "shape": values.shape}
        if truth(output.wanted.parameters, "binary_data", binary):
            behind.append(tensors.encoded(values, output.datatype))
            document["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            document["data"] = values.ravel().tolist()
        written.append(document)
    body = msgspec.json.encode({**head, "outputs": written})
    if not behind:
        return Answer(body)
    return Answer(b"".join([body, *behind]), OCTETS, [(HEADER, str(len(body)))])


def compressed(found: Answer, accepted: str) -> Answer:
    """Return an answer compressed as the header Accept-Encoding prefers; HEADER counts what it was before."""
    assert isinstance(found.body, bytes)
    if not accepted or len(found.body) < WORTH:
        return found
    name = parse_accept_header(accepted).best_match(["gzip", "deflate"])
    if not name:
        return found
    body = gzip.compress(found.body, 1, mtime=0) if name == "gzip" else zlib.compress(found.body, 1)
    return Answer(body, found.media, [*found.headers, ("Content-Encoding", name), ("Vary", "Accept-Encoding")])


def check(model: Model, wanted: Wanted) -> None:
    """Raise RequestError unless the model can give this output."""
    known = [output["name"] for output in described(model.manifest)]
    if wanted.name not in known:
        near = meant(wanted.name, known, f"{model.name} has {', '.join(known)}")
        raise RequestError(f"the output {wanted.name[:80]!r} is not known; {near}")
    truth(wanted.parameters, "binary_data")
    if (wanted.parameters or {}).get("classification"):
        raise RequestError("'classification' is not spoken: ask for the output predict_proba")
    if wanted.name == "interval":
        calibration.threshold(include.measured(model), _coverage(model, wanted))


def truth(parameters: Parameters | None, name: str, otherwise: bool = False) -> bool:
    """Return a parameter that is true or false, `otherwise` where it is left out; RequestError if it is neither."""
    given = (parameters or {}).get(name, otherwise)
    if not isinstance(given, bool):
        raise RequestError(f"{name!r} must be true or false")
    return given


def _coverage(model: Model, wanted: Wanted) -> float:
    given = (wanted.parameters or {}).get("coverage", include.usual_coverage(include.measured(model)))
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 1:
        raise RequestError("'coverage' must be a number between 0 and 1")
    return given


def compute(model: Model, prediction: Prediction, wanted: Wanted) -> Output:
    """Return one output for the rows that were predicted."""
    if wanted.name == "predict":
        return Output(wanted, _datatype(model.manifest), prediction.values)
    if wanted.name == "interval" and not model.classes:
        limits = calibration.interval(prediction.values, include.measured(model), _coverage(model, wanted))
        return Output(wanted, "FP64", limits)
    assert prediction.probabilities is not None
    if wanted.name == "predict_proba":
        return Output(wanted, "FP32", prediction.probabilities)
    inside = calibration.members(prediction.probabilities, include.measured(model), _coverage(model, wanted))
    return Output(wanted, "BOOL", inside)


def _datatype(manifest: Manifest) -> str:
    classes = manifest.target.classes
    return "FP32" if not classes else BYTES if isinstance(classes[0], str) else "INT64"
