"""The blogs' app: Flask, a pickled pipeline, gunicorn."""

import os
import pickle

import numpy as np
from flask import Flask, jsonify, request

app = Flask(__name__)
with open(os.environ["BENCH_FILES"] + "/model.pickle", "rb") as file:
    model = pickle.load(file)


@app.post("/predict")
def predict():
    """Answer the rows in `features`."""
    features = np.array(request.get_json()["features"])
    return jsonify({"prediction": model.predict(features).tolist()})
