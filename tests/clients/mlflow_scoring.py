"""Ask by the client of MLflow's scoring server and print what it was answered."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

given = json.load(sys.stdin)
host, port = given["address"].split(":")
client = ScoringServerClient(host, port)


def frame(table: dict[str, Any]) -> pd.DataFrame:
    """Return a table whose gaps stay None."""
    return pd.DataFrame(table["rows"], columns=table["names"], dtype=object)


def invoke(data: Any, **options: Any) -> list[Any]:
    """Return the predictions as the client gives them."""
    found: list[Any] = client.invoke(data, **options).get_predictions("ndarray").tolist()
    return found


def refused(data: Any) -> str:
    """Return what the client raises."""
    try:
        client.invoke(data)
    except Exception as error:  # the client raises no class of its own
        return str(error)
    raise AssertionError("it was not refused")


client.wait_server_ready(timeout=20)
(table,) = given["tables"].values()
data = frame(table)
records = data.to_dict(orient="records")
answers = {
    "frame": invoke(data),
    "frame with another index": invoke(data.set_index(pd.Index(range(100, 100 + len(data))))),
    "frame, columns in another order": invoke(data[data.columns[::-1]]),
    "frame, one column more": invoke(data.assign(more="ignored")),
    "frame as a table": client.invoke(data).get_predictions()[0].tolist(),
    "records": invoke(records),
    "rows": invoke(table["rows"]),
    "dataframe_records": invoke(json.dumps({"dataframe_records": records})),
    "instances": invoke(json.dumps({"instances": table["rows"]})),
    "instances as records": invoke(json.dumps({"instances": records})),
    "inputs by column": invoke(json.dumps({"inputs": data.to_dict(orient="list")})),
    "with params": invoke(data, params={"temperature": 0.5}),
}
if set(table["kinds"]) == {"number"}:
    answers["array"] = invoke(np.array(table["rows"], dtype=float))
    answers["frame of floats"] = invoke(data.astype(float))
other = {
    "version": client.get_version(),
    "no rows": invoke(data.head(0)),
    "refused": {
        "a column missing": refused(data.drop(columns=data.columns[0])),
        "a list for a number": refused(data.assign(**{table["names"][0]: [[1.0]] * len(data)})),
        "NaN": refused(data.assign(**{table["names"][0]: np.nan})),
        "another width": refused(np.zeros((2, len(table["names"]) + 1))),
        "two forms": refused(json.dumps({"inputs": [], "instances": []})),
    },
}
print(json.dumps({"answers": answers, "other": other}))
