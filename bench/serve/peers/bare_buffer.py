"""The limit of the server where rows are read into a buffer: bare WSGI, simdjson and onnxruntime."""

import os

import msgspec
import numpy as np
import onnxruntime
import simdjson

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_FILES"] + "/model.onnx", options)
parser = simdjson.Parser()
encode = msgspec.json.Encoder().encode
WIDTH = session.get_inputs()[0].shape[1]


def app(environ, start_response):
    """Answer the rows in `features`; one thread a worker, so that one parser is enough."""
    rows = parser.parse(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))["features"]
    numbers = np.frombuffer(rows.as_buffer(of_type="d"), dtype=np.float64).reshape(-1, WIDTH)
    del rows  # the parser refuses to go on while its last document is held
    labels, _ = session.run(None, {"numbers": numbers.astype(np.float32)})
    reply = encode({"prediction": labels.tolist()})
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(reply)))])
    return [reply]
