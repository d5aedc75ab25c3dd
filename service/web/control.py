"""Promotion and rollback over HTTP: for who has the token, or without one for callers on this machine."""

from __future__ import annotations

import ipaddress
import time
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from flask import Blueprint, Response, current_app, request

from service import promotion, shapes
from service.calls import JSON, decode, read_body, seconds_left
from service.config import Config
from service.errors import ControlTokenError, ForbiddenError, MediaTypeError, RequestError, check_names
from service.promotion import Promotion, Rollback
from service.registry import Event
from service.web import current
from service.web.replies import json_reply
from service.web.tokens import BEARER, carries

control = Blueprint("control", __name__)

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "Via")
"""Headers of a proxy, behind which everybody seems to call from this machine."""

Asked = TypeVar("Asked", Promotion, Rollback)


@control.post("/models/<name>/promote")
def promote(name: str) -> Response:
    """Make a published version champion."""
    asked = _asked(Promotion)
    registry, version = current.live().registry, int(asked.version)
    event = promotion.promote(registry, name, version, asked.reason, asked.force, _caller(), _until())
    return _told(name, version, event.previous if event else version, event)


@control.post("/models/<name>/rollback")
def rollback(name: str) -> Response:
    """Go back to the champion before."""
    asked = _asked(Rollback)
    event = promotion.rollback(current.live().registry, name, asked.reason, _caller(), _until())
    return _told(name, event.version, event.previous, event)


def _asked(kind: type[Asked]) -> Asked:
    """Return the body of a request whose caller may make it."""
    config: Config = current_app.config["CELLAR"]
    _check_caller(config.token)
    if request.mimetype != JSON:  # a page from elsewhere cannot send that without being asked for leave
        raise MediaTypeError(f"send JSON with the header 'Content-Type: {JSON}'")
    example = msgspec.json.encode(kind.example()).decode()
    for name in request.args:
        raise RequestError(f"the query's parameter {name[:40]!r} is not known: ask by the body, as in {example}")
    body = decode(read_body(request.environ, config.max_body), example=example)
    if isinstance(body, dict):
        check_names("the field ", body, kind.__struct_fields__)
    return shapes.convert(body, kind)


def _check_caller(token: str) -> None:
    """Raise ControlTokenError or ForbiddenError unless who calls may change what is served."""
    if token and not carries(request.environ, [token], [BEARER]):
        raise ControlTokenError("this needs the token of CELLAR_TOKEN: send 'Authorization: Bearer <token>'")
    if not token and not _is_local():
        raise ForbiddenError("without CELLAR_TOKEN only callers on the service's own machine may do this: set one")
    if _is_foreign():
        raise ForbiddenError("a page from elsewhere may not do this: ask from a program or from the service's own page")


def _is_local() -> bool:
    """Whether the caller is on this machine and calls it so: a page elsewhere may give its own name our address."""
    proxied = any(name in request.headers for name in FORWARDED)
    host, _ = _place(f"//{_host()}")
    return not proxied and _is_loopback(request.environ.get("REMOTE_ADDR", "")) and _is_loopback(host)


def _is_loopback(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _is_foreign() -> bool:
    """Whether a browser says that it asks on behalf of a page of another origin."""
    origin = request.headers.get("Origin")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return True
    if origin is None:
        return False
    # By the origin's own scheme: a proxy in front may have taken the encryption off.
    ours, theirs = _place(f"{origin.partition(':')[0]}://{_host()}"), _place(origin)
    return not theirs[0] or ours != theirs


def _host() -> str:
    host: str = request.environ.get("HTTP_HOST", "")
    return host


def _place(address: str) -> tuple[str, int | None]:
    """Return the host and port of an address, "" where it has none."""
    try:
        parts = urlsplit(address)
        return parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", None


def _caller() -> str:
    """Return who asks, as far as it is known: the address at the other end, which may be a proxy's."""
    return f"http from {request.environ.get('REMOTE_ADDR') or 'an unknown address'}"


def _until() -> float:
    """Return when, by the monotonic clock, the caller is told that it took too long: nothing is promoted after that."""
    return time.monotonic() + seconds_left(request.environ, current_app.config["CELLAR"].deadline)


def _told(name: str, champion: int, previous: int | None, event: Event | None) -> Response:
    return json_reply({"model": name, "champion": champion, "previous": previous, "event": event})
