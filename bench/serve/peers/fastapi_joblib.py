"""FastAPI with a pydantic body, and the pickled pipeline."""

import os

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load(os.environ["BENCH_FILES"] + "/model.pickle")


class Body(BaseModel):
    """Rows, each a list in the order of the features."""

    features: list[list[float]]


@app.post("/predict")
async def predict(body: Body):
    """Answer the rows in `features`; without `async` each call would go through a pool of threads, which is slower."""
    return {"prediction": model.predict(np.array(body.features)).tolist()}
