"""The limit of the server: bare WSGI, msgspec and onnxruntime, with no check but the type and no error told."""

import os

import msgspec
import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_FILES"] + "/model.onnx", options)


class Body(msgspec.Struct):
    """Rows, each a list in the order of the features."""

    features: list[list[float]]


decode = msgspec.json.Decoder(Body).decode
encode = msgspec.json.Encoder().encode


def app(environ, start_response):
    """Answer the rows in `features`."""
    body = decode(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    labels, _ = session.run(None, {"numbers": np.array(body.features, dtype=np.float32)})
    reply = encode({"prediction": labels.tolist()})
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(reply)))])
    return [reply]
