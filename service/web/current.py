"""What the application that answers this request was put together from."""

from __future__ import annotations

from typing import NamedTuple

from flask import current_app, g

from service.live import Live
from service.model import Model


class Named(NamedTuple):
    """A version that is told of and need not be loaded."""

    name: str
    version: int


def live() -> Live:
    """Return the models that this process answers with."""
    found: Live = current_app.extensions["live"]
    return found


def model(name: str, version: int | None = None) -> Model:
    """Return a model that is described, whose name and version the reply's headers and the log tell."""
    g.model = live().get(name, version)
    found: Model = g.model
    return found


def version(name: str, number: int | None = None) -> int:
    """Return the number of a published version that is told of, of the champion where none is given."""
    if number is None:
        return model(name).version
    live().check_published(name, number)
    g.model = Named(name, number)
    return number
