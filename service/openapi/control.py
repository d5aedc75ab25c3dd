"""Promotion and rollback in the OpenAPI document."""

from __future__ import annotations

from service.openapi import schemas
from service.openapi.operations import ALWAYS, WHEN, as_json, operation, ref, refusal
from service.openapi.schemas import Schema, closed
from service.promotion import Promotion, Rollback

TOLD = "control."
"""What the document calls a refusal here, before its status."""

SECURITY: list[dict[str, list[str]]] = [{"token": []}]
"""A bearer token alone: a browser is not to ask a person for it."""

REFUSED = (400, 403, 404, 409, 413, 415)
OWN = {
    401: "The token is missing or wrong (`CELLAR_TOKEN`).",
    403: "There is no token to ask for, and the caller is on another machine; or a page from elsewhere asks.",
    409: "It is no published version, the gate held it back, or there is no earlier champion.",
}


def paths(name: str) -> Schema:
    """Return the paths that change which version of a model is served."""
    return {
        f"/models/{name}/promote": _change(name, "promote", "make a published version champion", Promotion),
        f"/models/{name}/rollback": _change(name, "rollback", "go back to the champion before", Rollback),
    }


def responses() -> Schema:
    """Return the refusals, by the document's name and status."""
    return {f"{TOLD}{status}": refusal(status, {**WHEN, **OWN}[status]) for status in (*REFUSED, *ALWAYS)}


def schemas_of() -> Schema:
    """Return what the bodies and the reply have to be, by the document's names."""
    bodies = schemas.of_bodies(Promotion.example(), Rollback.example())
    version: Schema = {"type": "integer", "minimum": 1}
    previous = {"type": ["integer", "null"], "minimum": 1}
    event = {"description": "null where it was the champion already.", "anyOf": [ref("Event"), {"type": "null"}]}
    champion = closed({"model": {"type": "string"}, "champion": version, "previous": previous, "event": event})
    return {**bodies, "Champion": champion}


def _change(name: str, verb: str, summary: str, kind: type[Promotion | Rollback]) -> Schema:
    done = as_json(ref("Champion"), "Who is champion now; who answers follows at once.")
    made = operation(f"{verb}_{name}", summary, done, *REFUSED, tag=name, told=TOLD)
    body = {"required": True, "content": {"application/json": {"schema": ref(kind.__name__)}}}
    return {"post": {**made, "security": SECURITY, "requestBody": body}}
