"""Ask by KServe's client, protocols V1 and V2, and print what it was answered."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

given = json.load(sys.stdin)
home = f"http://{given['address']}"
TYPES = {"number": ("FP32", np.float32), "category": ("BYTES", np.object_)}


def request(table: dict[str, Any], binary: bool) -> InferRequest:
    """Return a table as a request with a tensor per column."""
    inputs = []
    for name, kind, values in zip(table["names"], table["kinds"], zip(*table["rows"], strict=True), strict=True):
        datatype, dtype = TYPES[kind]
        made = InferInput(name, [len(values)], datatype)
        gap = "" if kind == "category" else np.nan
        made.set_data_from_numpy(
            np.array([gap if value is None else value for value in values], dtype=dtype), binary_data=binary
        )
        inputs.append(made)
    return InferRequest(model_name=table["model"], infer_inputs=inputs, request_id="my own")


async def refused(answer: Awaitable[Any]) -> str:
    """Return what the client raises."""
    try:
        await answer
    except httpx.HTTPStatusError as error:
        return str(error)
    raise AssertionError("it was not refused")


async def v1(client: InferenceRESTClient) -> dict[str, Any]:
    """Ask everything that the first protocol has."""
    answers: dict[str, dict[str, Any]] = {}
    for name, table in given["tables"].items():
        records = [dict(zip(table["names"], row, strict=True)) for row in table["rows"]]
        answers[name] = {
            "rows": (await client.infer(home, {"instances": table["rows"]}, model_name=table["model"]))["predictions"],
            "records": (await client.infer(home, {"instances": records}, model_name=table["model"]))["predictions"],
        }
    rows = {"instances": given["tables"]["wine"]["rows"][:2]}
    other = {
        "live": await client.is_server_live(home),
        "model ready": await client.is_model_ready(home, "wine"),
        "explained": await client.explain(home, "wine", rows),
        "refused": {
            "unknown model": await refused(client.infer(home, rows, model_name="beer")),
            "unknown model ready": await refused(client.is_model_ready(home, "beer")),
            "a text for a number": await refused(client.infer(home, {"instances": [["a"] * 13]}, model_name="wine")),
        },
    }
    return {"answers": answers, "other": other}


async def v2(client: InferenceRESTClient) -> dict[str, Any]:
    """Ask everything that the second protocol has."""
    answers: dict[str, dict[str, Any]] = {}
    for name, table in given["tables"].items():
        gaps = any(None in row for row in table["rows"])  # JSON has no NaN for this client to send
        answers[name] = {}
        for binary in (True,) if gaps else (True, False):
            found = await client.infer(home, request(table, binary), model_name=table["model"])
            answers[name]["binary" if binary else "json"] = found.outputs[0].data
    table = given["tables"]["wine"]
    few = {**table, "names": table["names"][:3], "kinds": table["kinds"][:3], "rows": [r[:3] for r in table["rows"]]}
    other = {
        "live": await client.is_server_live(home),
        "ready": await client.is_server_ready(home),
        "model ready": await client.is_model_ready(home, "wine"),
        "unknown model ready": await client.is_model_ready(home, "beer"),
        "id": (await client.infer(home, request(table, True), model_name="wine")).id,
        "refused": {
            "unknown model": await refused(client.infer(home, request(table, True), model_name="beer")),
            "columns missing": await refused(client.infer(home, request(few, True), model_name="wine")),
        },
    }
    return {"answers": answers, "other": other}


async def main() -> None:
    """Ask by both protocols."""
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        first = await v1(client)
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        second = await v2(client)
    print(json.dumps({"v1": first, "v2": second}))


asyncio.run(main())
