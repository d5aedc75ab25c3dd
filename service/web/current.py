"""What the application that answers this request was put together from."""

from __future__ import annotations

from flask import current_app, g

from service.live import Live
from service.model import Model


def live() -> Live:
    """Return the models that this process answers with."""
    found: Live = current_app.extensions["live"]
    return found


def model(name: str, version: int | None = None) -> Model:
    """Return a model that is described, whose name and version the reply's headers and the log tell."""
    g.model = find(live(), name, version)
    found: Model = g.model
    return found


def find(live: Live, name: str, version: int | None = None) -> Model:
    """Return a model, or raise NotFoundError with the nearest name where none is called so."""
    if live.champions and name not in live.champions:
        live.registry.check_model(name)
    return live.get(name, version)
