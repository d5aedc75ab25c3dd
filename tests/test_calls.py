from __future__ import annotations

import gzip
import io
import os
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from service import calls
from service.errors import CellarError, MediaTypeError, RequestError, TooLargeError

LIMIT = 1000


def environ(body: bytes, **headers: Any) -> dict[str, Any]:
    """Return a WSGI environ that holds a body."""
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), **headers}


def bare_deflate(data: bytes) -> bytes:
    """Return data as a deflate stream without zlib's frame, as some clients send it."""
    return packed_by(zlib.compressobj(wbits=-15), data)


def packed_by(packer: Any, data: bytes) -> bytes:
    """Return data as a packer of zlib writes it."""
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("length", [0, 1, LIMIT])
def test_a_body_is_read_whole(length: int):
    """As many bytes as the header says, up to the limit."""
    assert calls.read_body(environ(b"x" * length), LIMIT) == b"x" * length


def test_only_the_stated_length_is_read():
    """What follows the body on the connection belongs to the next request."""
    assert calls.read_body(environ(b"bodynext", CONTENT_LENGTH="4"), LIMIT) == b"body"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZip ", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("deflate", lambda data: packed_by(zlib.compressobj(wbits=9), data)),
        ("identity", bytes),
    ],
)
@pytest.mark.parametrize("data", [b"{}", b"x" * LIMIT])
def test_compression_is_undone(encoding: str, pack: Any, data: bytes):
    """gzip and both forms of deflate give what was packed."""
    assert calls.read_body(environ(pack(data), HTTP_CONTENT_ENCODING=encoding), LIMIT) == data


def test_members_of_a_gzip_are_put_together():
    """A gzip of several members is all of them, as gzip's own tools have it."""
    packed = gzip.compress(b"one ") + gzip.compress(b"two")
    assert calls.read_body(environ(packed, HTTP_CONTENT_ENCODING="gzip"), LIMIT) == b"one two"


@pytest.mark.parametrize("members", [1, 3])
def test_a_bomb_is_stopped_at_the_limit(members: int):
    """What unpacks to more than the limit is refused without unpacking it all."""
    packed = gzip.compress(b"0" * (40_000_000 // members), 9) * members
    body = environ(packed, HTTP_CONTENT_ENCODING="gzip")
    with pytest.raises(TooLargeError, match="larger than 100000 bytes"):
        calls.read_body(body, 100_000)


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        (environ(b"x" * (LIMIT + 1)), TooLargeError, "larger than 1000 bytes"),
        (environ(b"x", CONTENT_LENGTH="9"), RequestError, "ended after 1 of 9 bytes"),
        (environ(b"x", CONTENT_LENGTH="-1"), RequestError, "no number"),
        (environ(b"x", CONTENT_LENGTH="1e3"), RequestError, "no number"),
        (environ(b"x", HTTP_CONTENT_ENCODING="br"), MediaTypeError, "'br' is not spoken"),
        (environ(b"x", HTTP_CONTENT_ENCODING="gzip, gzip"), MediaTypeError, "is not spoken"),
        (environ(b"plain", HTTP_CONTENT_ENCODING="gzip"), RequestError, "is not gzip"),
        (environ(gzip.compress(b"x" * 99)[:-9], HTTP_CONTENT_ENCODING="gzip"), RequestError, "ends early"),
        (environ(gzip.compress(b"x") + b"more", HTTP_CONTENT_ENCODING="gzip"), RequestError, "is not gzip"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(given: dict[str, Any], error: type[CellarError], told: str):
    """Each fault of a body is told in a sentence."""
    with pytest.raises(error, match=told):
        calls.read_body(given, LIMIT)


@pytest.mark.parametrize("header", [{"HTTP_TRANSFER_ENCODING": "chunked"}, {"wsgi.input_terminated": True}])
def test_a_body_of_unstated_length_is_read_to_its_end(header: dict[str, Any]):
    """A chunked body is taken whole and limited too; without either sign there is no body."""
    body = {"wsgi.input": io.BytesIO(b"x" * LIMIT), **header}
    assert len(calls.read_body(body, LIMIT)) == LIMIT
    with pytest.raises(TooLargeError):
        calls.read_body({"wsgi.input": io.BytesIO(b"x" * LIMIT), **header}, LIMIT - 1)
    assert calls.read_body({"wsgi.input": io.BytesIO(b"x")}, LIMIT) == b""


def test_json_comes_as_python_has_it():
    """Whole numbers of any size stay whole, texts are texts."""
    assert calls.decode(b'{"a": [1, 2.5, null, "\xc3\xbc", 100000000000000000000]}') == {
        "a": [1, 2.5, None, "ü", 10**20]
    }


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b"1e999", b"\xff", b"[" * 10_000, b"{} {}"], ids=lambda b: repr(b[:9])
)
def test_broken_json_is_refused(body: bytes):
    """Whatever cannot be read as JSON is a RequestError."""
    with pytest.raises(RequestError):
        calls.decode(body)


@pytest.mark.parametrize("media", ["text/json", "text/plain", "application/jsonx", "json", "application/x+json2"])
def test_other_media_are_refused_with_the_cure(client: Any, media: str):
    """What calls itself something else than JSON is refused, and the message says what to send."""
    reply = client.post("/predict", data=b"[]", content_type=media)
    assert reply.status_code == 415 and "Content-Type: application/json" in reply.json["detail"]


@pytest.mark.parametrize(
    "media", ["Application/JSON", "application/json; charset=utf-8", "application/vnd.x+json", None]
)
def test_json_by_any_name_is_taken(client: Any, media: str | None):
    """Capitals, parameters, a +json type or no type at all: it is JSON."""
    assert client.post("/predict", data=b"[]", content_type=media).status_code == 200


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("inclued=probabilities", "'inclued' is not known; did you mean 'include'"),
        ("x=1", "known are include"),
        ("include=probabilities&include=interval", "names a parameter twice"),
        ("include=intervall", "did you mean 'interval'"),
        ("include=interval&coverage=much", "coverage must be a number between 0 and 1, got 'much'"),
        ("include=interval&coverage=1", "coverage must lie between 0 and 1"),
        ("include=interval&coverage=nan", "coverage must lie between 0 and 1"),
        ("include=interval&coverage=0.9999", "cannot be promised by"),
    ],
)
def test_an_odd_query_is_refused(client: Any, query: str, told: str):
    """A parameter that is misspelt, repeated or impossible is answered by 400 with the cure."""
    reply = client.post(f"/predict?{query}", json={"instances": []})
    assert reply.status_code == 400 and told in reply.json["detail"]


def test_gzipped_rows_are_answered(client: Any, wine_artifacts: Path):
    """A compressed request gets the same answer as the plain one, and damaged ones 400."""
    row = [feature["example"] for feature in client.get("/models/wine").json["features"]]
    plain = client.post("/predict", json=[row])
    body = gzip.compress(str([row]).encode())
    packed = client.post("/predict", data=body, headers={"Content-Encoding": "gzip"})
    assert plain.status_code == packed.status_code == 200 and plain.json == packed.json
    assert client.post("/predict", data=body[:-3], headers={"Content-Encoding": "gzip"}).status_code == 400


def test_many_members_take_no_longer_than_their_bytes():
    """A body of a hundred thousand empty members is read in time that grows with its length, not with its square."""
    packed = gzip.compress(b"", mtime=0) * 100_000
    start = time.process_time()
    assert calls.read_body(environ(packed, HTTP_CONTENT_ENCODING="gzip"), len(packed)) == b""
    assert time.process_time() - start < 1


@pytest.mark.parametrize("size", [calls.PIECE - 1, calls.PIECE, calls.PIECE + 1, 5 * calls.PIECE])
def test_members_of_any_length_are_put_together(size: int):
    """Members may end wherever pieces of the body do."""
    data = os.urandom(size)
    packed = gzip.compress(data, 0) + gzip.compress(data[:100]) + gzip.compress(b"")
    assert calls.read_body(environ(packed, HTTP_CONTENT_ENCODING="gzip"), len(packed)) == data + data[:100]
    with pytest.raises(RequestError, match="ends early"):
        calls.read_body(environ(packed[:-1], HTTP_CONTENT_ENCODING="gzip"), len(packed))
