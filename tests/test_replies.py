from __future__ import annotations

from datetime import UTC, datetime

from flask import Flask

from service.calls import FACTS, Facts
from service.errors import InputError, Problem
from service.web import replies


def test_problem_holds_what_the_standard_names(app: Flask):
    """An error becomes a problem document with its parts in a known order, and the list of what is wrong."""
    known = {FACTS: Facts(datetime.now(UTC), "abc", "GET", "/")}
    with app.test_request_context(environ_overrides=known):
        reply = replies.problem(InputError([Problem("is missing", 2, "ash")]))
    assert reply.status_code == 422
    assert reply.content_type == "application/problem+json"
    assert list(reply.json) == ["type", "title", "status", "detail", "errors", "id"]
    assert reply.json == {
        "type": "about:blank",
        "title": "The rows do not fit the model",
        "status": 422,
        "detail": "row 2: 'ash' is missing",
        "errors": [{"reason": "is missing", "row": 2, "field": "ash"}],
        "id": "abc",
    }
