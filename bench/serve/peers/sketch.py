"""The same without what a service needs: a plain Flask view, msgspec and onnxruntime on our server."""

import os

import msgspec
import numpy as np
import onnxruntime
from flask import Flask, Response, request

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_FILES"] + "/model.onnx", options)
app = Flask(__name__)


class Body(msgspec.Struct):
    """Rows, each a list in the order of the features."""

    features: list[list[float]]


@app.post("/")
def predict():
    """Answer the rows in `features`."""
    body = msgspec.json.decode(request.get_data(), type=Body)
    labels, _ = session.run(None, {"numbers": np.array(body.features, dtype=np.float32)})
    return Response(msgspec.json.encode({"prediction": labels.tolist()}), mimetype="application/json")
