"""BentoML, two workers."""

import os
import pickle

import bentoml
import numpy as np


@bentoml.service(workers=2, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Wine:
    """The pickled pipeline."""

    def __init__(self) -> None:
        with open(os.environ["BENCH_FILES"] + "/model.pickle", "rb") as file:
            self.model = pickle.load(file)

    @bentoml.api
    def predict(self, features: np.ndarray) -> np.ndarray:
        """Answer the rows in `features`."""
        return self.model.predict(features)
