"""The lane past Flask: which requests are plain predictions, and the function of a dialect that answers each.

Flask's own cycle costs several times what a prediction does. So a well-formed prediction is answered here, by the
same function of its dialect; whatever is anything else, or goes wrong, is the application's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

from flask import Response

from service.calls import FACTS, JSON, OCTETS, Answer, Call
from service.config import Config
from service.live import Live

FOUND = "cellar.lane"
"""Where the WSGI environ keeps who answers it here, so that it is looked at once."""

LONG = re.compile("explanation|%")
"""What a query may hold that asks for an answer of many milliseconds a row."""
FEW = 1 << 14
"""Bytes of a body whose rows are answered in well under a millisecond by most models."""

Environ = dict[str, Any]


class Dialect(Protocol):
    """What a module in `dialects/` offers."""

    @property
    def NAME(self) -> str:
        """What metrics and log call it."""

    @property
    def PREDICT(self) -> tuple[str, ...]:
        """Where it is asked for predictions, as Flask writes routes."""

    @property
    def PATHS(self) -> tuple[str, ...]:
        """What paths begin with whose errors it tells in a shape of its own."""

    def predict(self, call: Call) -> Answer:
        """Answer one request."""

    def error(self, status: int, detail: str) -> Response:
        """Tell an error."""


Route = tuple[Dialect, str]
"""A dialect, and the model that it is asked for."""


class Lane:
    """The paths at which each model is asked for predictions, known by heart."""

    def __init__(self, dialects: Iterable[Dialect], live: Live, config: Config) -> None:
        self.dialects, self.live, self.config = list(dialects), live, config
        self.learn()
        live.on_new_model = self.learn

    def learn(self) -> None:
        """Learn the paths of the models that there are now."""
        self.routes: dict[str, Route] = {
            rule.replace("<name>", name): (dialect, name)
            for dialect in self.dialects
            for rule in dialect.PREDICT
            for name in (self.live.champions if "<name>" in rule else [self.config.default_model])
            if "<int:" not in rule
        }

    def find(self, environ: Environ) -> Route | None:
        """Return who answers a request if it is a plain prediction, else None."""
        if FOUND not in environ:
            route = self.routes.get(environ["PATH_INFO"])
            environ[FOUND] = route if route and self._is_plain(environ) else None
        found: Route | None = environ[FOUND]
        return found

    def is_short(self, environ: Environ) -> bool:
        """Whether a request is a plain prediction of a few rows, which takes no time to speak of."""
        return (
            self.find(environ) is not None
            and int(environ["CONTENT_LENGTH"]) <= FEW
            and not LONG.search(environ.get("QUERY_STRING") or "")
        )

    def answer(self, route: Route, environ: Environ) -> Answer:
        """Return the answer to a plain prediction."""
        dialect, name = route
        environ[FACTS].route = dialect.NAME
        call = Call(environ, self.config, self.live.get(name))
        call.body()
        return dialect.predict(call)

    def _is_plain(self, environ: Environ) -> bool:
        length = environ.get("CONTENT_LENGTH") or ""
        media = environ.get("CONTENT_TYPE") or JSON
        return (
            environ["REQUEST_METHOD"] == "POST"
            and (media == JSON or (media == OCTETS and "HTTP_INFERENCE_HEADER_CONTENT_LENGTH" in environ))
            and "HTTP_CONTENT_ENCODING" not in environ
            and length.isdecimal()
            and int(length) <= self.config.max_body
        )
