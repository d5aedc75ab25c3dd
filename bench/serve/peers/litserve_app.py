"""LitServe, two workers and two servers of HTTP."""

import os
import pickle
import sys

import litserve
import numpy as np


class Wine(litserve.LitAPI):
    """The pickled pipeline."""

    def setup(self, device):
        """Load the pipeline in a worker."""
        with open(os.environ["BENCH_FILES"] + "/model.pickle", "rb") as file:
            self.model = pickle.load(file)

    def decode_request(self, request):
        """Return the rows in `features`."""
        return np.array(request["features"])

    def predict(self, x):
        """Return the labels of `x`."""
        return self.model.predict(x)

    def encode_response(self, output):
        """Return the reply."""
        return {"prediction": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Wine(), accelerator="cpu", workers_per_device=2, fast_queue=True)
    options = {"num_api_servers": 2, "log_level": "warning", "generate_client_file": False, "access_log": False}
    server.run(host="127.0.0.1", port=int(sys.argv[1]), **options)
