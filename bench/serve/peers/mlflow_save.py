"""Save the pickled pipeline as an MLflow model without a signature, which spares its server a check of types."""

import os
import pickle

import mlflow.sklearn

with open(os.environ["BENCH_FILES"] + "/model.pickle", "rb") as file:
    mlflow.sklearn.save_model(pickle.load(file), "mlflow-model", serialization_format="pickle")
