"""vetiver: its own API around the pickled pipeline, records in, its prototype checked."""

import os
import pickle

import pandas as pd
import vetiver

with open(os.environ["BENCH_FILES"] + "/model.pickle", "rb") as file:
    pipeline = pickle.load(file)
names = os.environ["BENCH_NAMES"].split("\t")
prototype = pd.DataFrame([[1.5] * len(names)], columns=names)
app = vetiver.VetiverAPI(vetiver.VetiverModel(pipeline, "wine", prototype_data=prototype)).app
