"""Print the shap package's values for the rows and the model that standard input describes, all as JSON."""

import json
import sys

import numpy as np
import onnxruntime
import shap

given = json.load(sys.stdin)
background, rows = (np.array(given[name], dtype=np.float32) for name in ("background", "rows"))
masker = shap.maskers.Independent(background, max_samples=len(background))
session = onnxruntime.InferenceSession(given["model"])


def output(numbers: np.ndarray) -> np.ndarray:
    """Return what is explained: the number, or the probability of a class."""
    found = session.run(None, {"numbers": numbers.astype(np.float32)})
    return found[0].reshape(-1) if given["output"] is None else found[1][:, given["output"]]


if "linear" in given:
    coefficients, intercept = given["linear"]
    explainer = shap.LinearExplainer((np.array(coefficients), intercept), masker)
elif "tree" in given:
    tree = {name: np.array(values) for name, values in given["tree"].items()}
    explainer = shap.TreeExplainer({"trees": [tree]}, background, feature_perturbation="interventional")
else:
    explainer = shap.ExactExplainer(output, masker)
found = explainer(rows)
json.dump({"base": np.broadcast_to(found.base_values, len(rows)).tolist(), "values": found.values.tolist()}, sys.stdout)
