"""FastAPI with a pydantic body, and onnxruntime."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # two workers, two processors
session = onnxruntime.InferenceSession(os.environ["BENCH_FILES"] + "/model.onnx", options)


class Body(BaseModel):
    """Rows, each a list in the order of the features."""

    features: list[list[float]]


@app.post("/predict")
async def predict(body: Body):
    """Answer the rows in `features`; without `async` each call would go through a pool of threads, which is slower."""
    labels, _ = session.run(None, {"numbers": np.array(body.features, dtype=np.float32)})
    return {"prediction": labels.tolist()}
