from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from service import bundle
from service.app import create_app
from service.calls import JSON
from service.config import Config
from service.openapi.document import PAGES, document
from service.tables.answering import COLUMNS, READERS
from service.tables.writing import CSV, MEDIA, NDJSON

UNDESCRIBED = {
    "/static/<path:filename>": "files of the pages, not of the interface",
    "/docs/<file>": "files of Swagger UI",
}
"""Routes that do not stand in the document, and why."""

Document = dict[str, Any]


@pytest.fixture(scope="module")
def every(every_model: Path) -> Flask:
    """The service on every model of the tests."""
    return create_app({"artifacts": every_model, "reports": every_model.parent / "reports"})


@pytest.fixture(scope="module")
def client(every: Flask) -> FlaskClient:
    """A client of `every`."""
    return every.test_client()


@pytest.fixture(scope="module")
def served(client: FlaskClient) -> Document:
    """The document of `every`."""
    found: Document = client.get("/openapi.json").json
    return found


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Return path, method and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def parameter(operation: Document, name: str) -> Document:
    """Return the schema of a parameter of the query."""
    (found,) = [one["schema"] for one in operation["parameters"] if one.get("name") == name]
    return found


def queries(operation: Document) -> list[str]:
    """Return a query that asks for nothing, and one for all that may be included."""
    if not any(one.get("name") == "include" for one in operation["parameters"]):
        return [""]
    return ["", f"?include={','.join(parameter(operation, 'include')['items']['enum'])}"]


def resolved(document: Document, part: Document) -> Document:
    """Return what a reference leads to, or what is none itself."""
    if "$ref" not in part:
        return part
    found = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def lines(reply: Any) -> list[Any]:
    """Return the rows of a table in JSON."""
    return [json.loads(line) for line in reply.text.splitlines()]


def check(document: Document, operation: Document, reply: Any) -> None:
    """Hold a reply against what the operation says of its status: media type, headers, body."""
    described = resolved(document, operation["responses"][str(reply.status_code)])
    for name, header in described.get("headers", {}).items():
        schema = resolved(document, header)["schema"]
        value: Any = reply.headers[name]
        Draft202012Validator(schema).validate(int(value) if schema["type"] == "integer" else value)
    if "content" in described:
        schema = described["content"][reply.mimetype]["schema"]
        value = reply.json if reply.is_json else lines(reply) if reply.mimetype == NDJSON else reply.text
        Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_every_route_is_described(every: Flask, served: Document):
    """Each address and method of the application stands in the document, or in the list of reasons."""
    described = {(path.replace("{page}", PAGES[0]), method.upper()) for path, method, _ in operations(served)}
    for rule in every.url_map.iter_rules():
        if rule.rule in UNDESCRIBED:
            continue
        pattern = re.sub(r"<int:\w+>", "[0-9]+", re.sub(r"<\w+>", "[a-z0-9_]+", rule.rule))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert any(re.fullmatch(pattern, path) and method == spoken for path, spoken in described), rule.rule
    assert {rule.rule for rule in every.url_map.iter_rules()} >= set(UNDESCRIBED)


def test_everything_described_is_routed(every: Flask, served: Document):
    """Each address of the document leads to a view, by the method that it names."""
    urls = every.url_map.bind("localhost")
    for path, method, _ in operations(served):
        assert urls.test(path.replace("{page}", PAGES[0]), method.upper()), path


def test_every_model_has_paths_of_its_own(served: Document):
    """Each model is asked by name, and by the version that answers."""
    for name in ("wine", "houses", "prices", "sales"):
        assert {f"/models/{name}/predict", f"/models/{name}/versions/1/predict"} <= served["paths"].keys()


def test_fields_stand_with_unit_range_and_example(served: Document, every_model: Path):
    """A model's row has exactly its features, and the example is that of the manifest."""
    manifest = bundle.read(every_model / "wine" / "1").manifest
    row = served["components"]["schemas"]["wine.Row"]
    assert row["required"] == list(row["properties"]) == [feature.name for feature in manifest.features]
    alcohol = row["properties"]["alcohol"]
    assert (alcohol["x-unit"], alcohol["x-range"]) == ("% vol", [manifest.features[0].min, manifest.features[0].max])
    assert row["examples"] == [{feature.name: feature.example for feature in manifest.features}]


def test_every_example_is_answered(client: FlaskClient, served: Document):
    """Each example of a body gets 200 and the reply that the document describes, with everything that can be asked."""
    count = 0
    for path, method, operation in operations(served):
        if operation.get("requestBody", {}).get("required"):
            for media, body in operation["requestBody"]["content"].items():
                for example, query in product(body.get("examples", {}).values(), queries(operation)):
                    value = example["value"]
                    data = json.dumps(value) if media == "application/json" else value
                    reply = client.open(path + query, method=method.upper(), data=data, content_type=media)
                    assert reply.status_code == 200, reply.text
                    check(served, operation, reply)
                    count += 1
    assert count == 9 * 2 * (4 + 4 + 2) + 1 + 1 + 4 * 2 * 3


@pytest.mark.parametrize("name", ["wine", "houses", "prices", "sales"])
def test_tables_are_described_as_they_are_answered(client: FlaskClient, served: Document, name: str):
    """Each media type goes in where the document says so, comes out as it says, and with the columns that it says."""
    operation = served["paths"][f"/models/{name}/predict"]["post"]
    asked, told = operation["requestBody"]["content"], operation["responses"]["200"]["content"]
    assert list(asked) == [JSON, *READERS] and set(told) == set(MEDIA)
    (example,) = asked[CSV]["examples"].values()
    included = [word for word in parameter(operation, "include")["items"]["enum"] if word in COLUMNS]
    for query in ("", f"?include={','.join(included)}"):
        for media in MEDIA:
            headers = {"Accept": media, "Content-Type": CSV}
            reply = client.post(f"/models/{name}/predict{query}", data=example["value"], headers=headers)
            assert (reply.status_code, reply.mimetype) == (200, media)
            if media == NDJSON:
                check(served, operation, reply)
                (columns,) = lines(reply)
    assert columns.keys() == resolved(served, told[NDJSON]["schema"])["items"]["properties"].keys()


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_every_page_is_as_described(client: FlaskClient, served: Document, accept: str):
    """Each address that can be got answers with status, media type, headers and body that the document names."""
    for path, method, operation in operations(served):
        if method == "get":
            for page in PAGES:
                reply = client.get(path.replace("{page}", page), headers={"Accept": accept}, buffered=True)
                check(served, operation, reply)
                assert reply.status_code in (200, 308)


@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        (b"{", {}, 400),
        (b'{"instances": [{"alcohol": "high"}]}', {}, 422),
        (b'{"instances": []}', {"content_type": "text/plain"}, 415),
        (b"[" + b"[]," * 100_000 + b"[]]", {}, 413),
        (b"[]", {"query_string": "coverage=2"}, 400),
    ],
)
def test_refusals_are_as_described(
    client: FlaskClient, served: Document, body: bytes, options: dict[str, Any], status: int
):
    """Each refusal has the status, media type and body that the document names."""
    reply = client.post("/models/wine/predict", data=body, **options)
    assert reply.status_code == status
    check(served, served["paths"]["/models/wine/predict"]["post"], reply)


@pytest.mark.parametrize("name", ["wine", "prices"])
def test_largest_coverage_is_the_one_that_can_be_promised(client: FlaskClient, served: Document, name: str):
    """The described maximum is answered, and a little more is refused, whether an interval is asked for or not."""
    most = parameter(served["paths"][f"/models/{name}/predict"]["post"], "coverage")["maximum"]
    for query in ("", "&include=interval"):
        assert client.post(f"/models/{name}/predict?coverage={most}{query}", data=b"[]").status_code == 200
        assert client.post(f"/models/{name}/predict?coverage={most + 1e-6}{query}", data=b"[]").status_code == 400


def test_schemas_are_schemas_and_references_lead_somewhere(served: Document):
    """Each part is sound by JSON Schema's own schema, and nothing refers to what is not there."""
    for schema in served["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(served))):
        assert resolved(served, {"$ref": f"#/{reference}"})
    names = [operation["operationId"] for _, _, operation in operations(served)]
    assert len(names) == len(set(names))


def test_token_is_described_where_it_is_asked_for(served: Document):
    """Without a token nothing is said of one; with one, all but health need it and may answer 401."""
    assert "security" not in served and "401" not in json.dumps(served)
    guarded = document([], Config(read_token="secret"))
    assert guarded["security"] == [{"token": []}, {"password": []}]
    for path, _, operation in operations(guarded):
        is_open = "/health" in path or path == "/ping"
        assert ("401" in operation["responses"], operation.get("security")) == (not is_open, [] if is_open else None)
    assert "secret" not in json.dumps(guarded)


def test_the_token_of_promotions_is_described_where_it_is_asked_for(every_model: Path):
    """Promotion and rollback need a bearer; nothing else does where readers need none."""
    wine = bundle.read(every_model / "wine" / "1")
    for config in (Config(token="secret"), Config(token="secret", read_token="reader"), Config()):
        made = document([wine], config)
        for path, _, operation in operations(made):
            if path.endswith(("/promote", "/rollback")):
                asked = [{"token": []}] if config.token else None
                assert (operation.get("security"), "401" in operation["responses"]) == (asked, bool(config.token))
                assert not config.token or resolved(made, operation["responses"]["401"])
            elif not config.read_token:
                assert "security" not in operation and "401" not in operation["responses"]
        assert ("securitySchemes" in made["components"]) == bool(config.token) and "secret" not in json.dumps(made)


def test_promotion_and_rollback_are_as_described(every_model: Path, tmp_path: Path):
    """Done and refused in every way, each reply is what the document says of its status; so is the body's example."""
    artifacts = shutil.copytree(every_model, tmp_path / "artifacts")
    shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / "3")
    client = create_app({"artifacts": artifacts, "reports": tmp_path}).test_client()
    made: Document = client.get("/openapi.json").json
    (body,) = made["components"]["schemas"]["Promotion"]["examples"]
    asked = (
        ("promote", 200, {"json": body}),
        ("promote", 409, {"json": {"version": 2}}),
        ("promote", 400, {"json": {"version": 0}}),
        ("promote", 415, {"data": "{}"}),
        ("promote", 403, {"json": body, "headers": {"Origin": "https://evil.example.org"}}),
        ("rollback", 200, {"json": made["components"]["schemas"]["Rollback"]["examples"][0]}),
        ("rollback", 409, {"json": {}}),
    )
    for verb, status, options in asked:
        operation = made["paths"][f"/models/wine/{verb}"]["post"]
        reply = client.post(f"/models/wine/{verb}", **options)
        assert reply.status_code == status, reply.text
        check(made, operation, reply)


def test_limits_are_those_of_the_service(every_model: Path):
    """A body holds as many rows as CELLAR_MAX_ROWS allows."""
    made = document([bundle.read(every_model / "wine" / "1")], Config(max_rows=7))
    checked = Draft202012Validator({"$ref": "#/components/schemas/wine.Request", "components": made["components"]})
    row = made["components"]["schemas"]["wine.Row"]["examples"][0]
    assert checked.is_valid([row] * 7) and not checked.is_valid([row] * 8)


def test_without_a_model_the_service_is_described(tmp_path: Path):
    """An empty house describes what answers, and no prediction."""
    client = create_app({"artifacts": tmp_path, "reports": tmp_path}).test_client()
    paths = client.get("/openapi.json").json["paths"]
    assert "/health/ready" in paths and not [path for path in paths if "predict" in path]
    check(client.get("/openapi.json").json, paths["/health/ready"]["get"], client.get("/health/ready"))
