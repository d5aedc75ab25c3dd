from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, g

from service import replies
from service.errors import InputError, MediaTypeError, Problem, RequestError


def read(app: Flask, body: bytes, **options: Any) -> Any:
    """Read a request's body as a view would."""
    with app.test_request_context("/predict", method="POST", data=body, **options):
        return replies.json_body()


def test_body_is_read(app: Flask):
    """JSON comes as Python's own values, whole numbers of any size as such."""
    assert read(app, b'{"a": [1, 2.5, null, "\xc3\xbc", 100000000000000000000]}') == {"a": [1, 2.5, None, "ü", 10**20]}


@pytest.mark.parametrize("media", ["text/json", "text/plain", "application/jsonx", "json"])
def test_other_media_are_refused_with_the_cure(app: Flask, media: str):
    """What calls itself something else than JSON is refused, and the message says what to send."""
    with pytest.raises(MediaTypeError, match="Content-Type: application/json"):
        read(app, b"{}", content_type=media)


@pytest.mark.parametrize("encoding", ["gzip", "br", "x" * 500])
def test_encoded_bodies_are_refused(app: Flask, encoding: str):
    """A body in an encoding is refused by that encoding's name, not taken for broken JSON."""
    with pytest.raises(MediaTypeError, match="is not spoken; send it plain") as caught:
        read(app, b"\x1f\x8b", headers={"Content-Encoding": encoding})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"1e999", b"\xff", b"[" * 10_000, b"{} {}"], ids=repr)
def test_broken_json_is_refused(app: Flask, body: bytes):
    """Whatever cannot be read as JSON is a RequestError."""
    with pytest.raises(RequestError):
        read(app, body)


def test_problem_holds_what_the_standard_names(app: Flask):
    """An error becomes a problem document with its parts in a known order, and the list of what is wrong."""
    with app.test_request_context():
        g.request_id = "abc"
        reply = replies.problem(InputError([Problem("is missing", 2, "ash")]))
    assert reply.status_code == 422
    assert reply.content_type == "application/problem+json"
    assert reply.json == {
        "type": "about:blank",
        "title": "The rows do not fit the model",
        "status": 422,
        "detail": "row 2: 'ash' is missing",
        "errors": [{"reason": "is missing", "row": 2, "field": "ash"}],
        "id": "abc",
    }
