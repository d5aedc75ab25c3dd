"""Ask by vetiver's client and print what it was answered."""

from __future__ import annotations

import json
import sys
from typing import Any

import pandas as pd
import requests
from vetiver import predict, vetiver_endpoint

given = json.load(sys.stdin)


def endpoint(model: str) -> str:
    """Return the address that vetiver's helper makes of one that ends with a slash."""
    address: str = vetiver_endpoint(f"http://{given['address']}/models/{model}/predict/")
    return address


def refused(data: Any, url: str) -> list[str]:
    """Return the class and the text of what the client raises."""
    try:
        predict(url, data)
    except (TypeError, requests.exceptions.HTTPError) as error:
        return [type(error).__name__, str(error)]
    raise AssertionError("it was not refused")


answers = {}
for name, table in given["tables"].items():
    frame = pd.DataFrame(table["rows"], columns=table["names"], dtype=object)
    url = endpoint(table["model"])
    answers[name] = {
        "frame": predict(url, frame)["predict"].tolist(),
        "frame, columns in another order": predict(url, frame[frame.columns[::-1]])["predict"].tolist(),
        "list of records": predict(url, frame.to_dict(orient="records"))["predict"].tolist(),
    }
first = given["tables"]["wine"]
frame = pd.DataFrame(first["rows"], columns=first["names"])
home = f"http://{given['address']}"
other = {
    "dict": predict(f"{home}/predict", frame.iloc[0].to_dict())["predict"].tolist(),
    "series": predict(f"{home}/predict", frame.iloc[0])["predict"].tolist(),
    "refused": {
        "a column missing": refused(frame.drop(columns="alcohol"), f"{home}/predict"),
        "unknown model": refused(frame, endpoint("beer")),
    },
    "ping": requests.get(f"{home}/ping", headers={"Accept": "application/json"}, timeout=20).json(),
    "metadata": requests.get(f"{home}/metadata", timeout=20).json(),
    "prototype": requests.get(f"{home}/prototype", timeout=20).json(),
}
print(json.dumps({"answers": answers, "other": other}))
