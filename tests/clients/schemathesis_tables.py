"""What lets schemathesis send tables: it draws their rows from the document's schemas, and this writes them."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import schemathesis

CSV, NDJSON = "text/csv", "application/x-ndjson"
# Nothing in the clients' environment writes these, and random bytes would only ever be refused: tests/test_tables.py,
# whose libraries do, sends them.
UNWRITTEN = ("application/vnd.apache.arrow.stream", "application/vnd.apache.parquet")


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Leave out of requests what cannot be written."""
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            for media in UNWRITTEN:
                operation.get("requestBody", {}).get("content", {}).pop(media, None)


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Forgive that a CSV which JSON Schema refuses is taken: a cell is text, so 1 and "1", null and "" are the same."""
    wrong = (
        {place.value for place, part in case.meta.components.items() if part.mode.is_negative} if case.meta else set()
    )
    return not (case.media_type == CSV and wrong == {"body"} and type(failure).__name__ == "AcceptedNegativeData")


@schemathesis.serializer(NDJSON)
def lines(context: Any, value: Any) -> bytes:
    """Write a row a line; what is no list of rows is one line."""
    if isinstance(value, str):
        return value.encode()
    rows = value if isinstance(value, list) else [value]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@schemathesis.serializer(CSV)
def table(context: Any, value: Any) -> bytes:
    """Write a header with the names of the features, and of what else rows have, and the rows below it."""
    if not isinstance(value, list):
        return str(value).encode()
    rows = [row if isinstance(row, dict) else {"": row} for row in value]
    names = dict.fromkeys(name for row in rows for name in row) or dict.fromkeys(features(context.case))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names))
    writer.writeheader()
    writer.writerows({name: cell(each) for name, each in row.items()} for row in rows)
    return text.getvalue().encode()


def features(case: Any) -> list[str]:
    """Return the names of the columns that an operation reads."""
    document = case.operation.schema.raw_schema
    content = document["paths"][case.operation.path][case.operation.method]["requestBody"]["content"]
    model = content[CSV]["schema"]["$ref"].removesuffix(".Table").rpartition("/")[2]
    return list(document["components"]["schemas"][f"{model}.Row"]["properties"])


def cell(value: Any) -> str:
    """Write a value as it stands in a CSV."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
