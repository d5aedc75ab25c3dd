"""One request for predictions as a dialect sees it, and its answer: free of the web framework that stands around."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from service import explanation, shapes
from service.config import Config
from service.contents import Label
from service.errors import DeadlineError, MediaTypeError, RequestError, TooLargeError
from service.model import Model, Prediction
from service.rows.inputs import Inputs

JSON, OCTETS = "application/json", "application/octet-stream"
BEGUN, FACTS, BODY = "cellar.begun", "cellar.facts", "cellar.body"
"""Where the WSGI environ keeps when a request began, what is known of it, and its body once it was read."""

REFUSED = "cellar.refused"
"""Where it keeps an error that the application has to answer with, before anything else."""

WAITING = "cellar.waiting"
"""Where our own server puts how many requests there are, with this one, for what answers it: event loop or threads."""

WAITED = "cellar.waited"
"""Where our own server puts a function that tells for how many seconds a request's client was waited for."""

PIECE = 1 << 13
"""Bytes that are unpacked at once: what follows a member is copied for the next, and there may be very many."""


class Facts(msgspec.Struct, omit_defaults=True):
    """What is told of one request: its JSON is the line in the log, the metrics count it."""

    at: datetime
    id: str
    method: str
    path: str
    status: int = 0
    ms: float = 0.0
    model_ms: float = 0.0
    route: str = ""
    model: str = ""
    version: int = 0
    rows: int = 0
    error: str = ""
    trace: str = ""
    body: str = ""
    dropped: int = 0


class Answer:
    """A dialect's reply with status 200: `body` is whole, or the pieces of `length` bytes."""

    def __init__(
        self,
        body: bytes | Iterable[bytes],
        media: str = JSON,
        headers: Sequence[tuple[str, str]] = (),
        length: int | None = None,
    ) -> None:
        self.body, self.media, self.headers = body, media, headers
        self.length = len(body) if isinstance(body, bytes) else length


class Call:
    """A request for predictions: which model is asked, and what was sent."""

    def __init__(self, environ: dict[str, Any], config: Config, model: Model) -> None:
        self.environ, self.config, self.model = environ, config, model
        self.facts: Facts = environ[FACTS]
        self.facts.model, self.facts.version = model.name, model.version
        named = environ.get("CONTENT_TYPE") or ""
        self.media: str = named if named == JSON else named.partition(";")[0].strip().lower()
        """The body's media type in lower case without its parameters, "" where none was named."""

    @property
    def id(self) -> str:
        """The request's id: the client's own, or ours."""
        return self.facts.id

    def header(self, name: str) -> str:
        """Return a header of the request, "" where it has none."""
        value: str = self.environ.get("HTTP_" + name.upper().replace("-", "_"), "")
        return value

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON, or of a type that the client forgot to name."""
        return self.media in ("", JSON) or self.media.endswith("+json")

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; RequestError where one is repeated."""
        text = self.environ.get("QUERY_STRING")
        if not text:
            return {}
        pairs = parse_qsl(text, keep_blank_values=True)
        found = dict(pairs)
        if len(found) != len(pairs):
            raise RequestError("the query names a parameter twice: name it once")
        return found

    def body(self) -> bytes:
        """Return the whole body, uncompressed; TooLargeError beyond CELLAR_MAX_BODY bytes."""
        if BODY not in self.environ:
            self.environ[BODY] = read_body(self.environ, self.config.max_body)
        body: bytes = self.environ[BODY]
        return body

    def json(self, beside: str = "") -> Any:
        """Return the body's JSON, whatever client forgot to name its type; RequestError, with what else is taken."""
        if not self.is_json:
            raise MediaTypeError(
                f"the body is {self.media[:80]}; send JSON with the header 'Content-Type: {JSON}'{beside}"
            )
        return decode(self.body())

    def check_count(self, count: int) -> None:
        """Raise TooLargeError if a request may not hold so many rows."""
        if count > self.config.max_rows:
            raise TooLargeError(
                f"the request holds {count} rows, the limit is {self.config.max_rows} (CELLAR_MAX_ROWS): "
                "send fewer at once"
            )

    def predict(self, inputs: Inputs) -> Prediction:
        """Return the model's prediction and take note of it; DeadlineError if it came too late."""
        count = len(inputs.numbers)
        self.check_count(count)
        start = time.perf_counter()
        prediction = self.model.predict(inputs, self.check_time)
        self.facts.rows += count
        self.facts.model_ms += (time.perf_counter() - start) * 1000
        return prediction

    def explain(self, inputs: Inputs, prediction: Prediction, label: Label | None = None) -> list[dict[str, Any]]:
        """Return the explanation of each row as replies hold it; `label` is the class that is asked for."""
        start = time.perf_counter()
        found = explanation.explain(self.model, inputs, prediction, label, self.check_time)
        self.facts.model_ms += (time.perf_counter() - start) * 1000
        return explanation.as_documents(self.model, found)

    def check_time(self) -> None:
        """Raise DeadlineError if the request takes longer than CELLAR_DEADLINE."""
        if self.seconds_left() < 0:
            raise too_late(self.config.deadline)

    def seconds_left(self) -> float:
        """Return what is left of CELLAR_DEADLINE, of which a client that sends slowly takes nothing."""
        return seconds_left(self.environ, self.config.deadline)


def seconds_left(environ: dict[str, Any], deadline: float) -> float:
    """Return what is left of the seconds that a request may take, of which its slow coming takes nothing."""
    waited = environ[WAITED]() if WAITED in environ else 0.0
    left: float = environ[BEGUN] + waited + deadline - time.perf_counter()
    return left


def decode(
    body: bytes, decoder: Callable[[bytes], Any] = msgspec.json.decode, example: str = '{"instances": [...]}'
) -> Any:
    """Return the JSON of a body as `decoder` makes it, or raise RequestError saying what is wrong with it."""
    if not body:
        raise RequestError(f"the body is empty: send JSON such as {example}")
    try:
        return decoder(body)
    except RecursionError as error:
        raise RequestError("the body nests too deeply") from error
    except msgspec.ValidationError as error:
        raise RequestError(shapes.misshapen(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the body is not JSON: {shapes.unreadable(error, body)}") from error


def read_body(environ: dict[str, Any], limit: int) -> bytes:
    """Return the body of a request, gzip or deflate undone; TooLargeError beyond `limit` bytes, counted after that."""
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        return _read(environ, limit)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise MediaTypeError(f"the Content-Encoding {encoding[:40]!r} is not spoken: send the body plain or as gzip")
    packed = _read(environ, limit)
    try:
        return _unpack(packed, encoding, limit)
    except zlib.error as error:
        raise RequestError(f"the body is not {encoding}: {error}") from error


def too_late(deadline: float) -> DeadlineError:
    """Return the error that names how long a request may take."""
    return DeadlineError(f"the request took longer than {deadline:g} s (CELLAR_DEADLINE): send fewer rows at once")


def too_large(limit: int) -> TooLargeError:
    """Return the error that names the limit of a body."""
    return TooLargeError(f"the body is larger than {limit} bytes (CELLAR_MAX_BODY): send fewer rows at once")


def _read(environ: dict[str, Any], limit: int) -> bytes:
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
    if length:
        if not length.isdecimal():
            raise RequestError("the header Content-Length is no number")
        if int(length) > limit:
            raise too_large(limit)
        body: bytes = stream.read(int(length))
        if len(body) < int(length):
            raise RequestError(f"the body ended after {len(body)} of {int(length)} bytes")
        return body
    if "HTTP_TRANSFER_ENCODING" not in environ and not environ.get("wsgi.input_terminated"):
        return b""
    body = stream.read(limit + 1)
    if len(body) > limit:
        raise too_large(limit)
    return body


def _unpack(packed: bytes, encoding: str, limit: int) -> bytes:
    # A "deflate" is a zlib stream by the standard, and a bare one by habit; gzip may hold several members.
    framed = packed[:1] and packed[0] & 15 == 8 and int.from_bytes(packed[:2]) % 31 == 0
    window = 47 if encoding != "deflate" or framed else -15
    pieces: list[bytes] = []
    unpacker, at, size = None, 0, 0
    while at < len(packed):
        unpacker = unpacker or zlib.decompressobj(window)
        piece = packed[at : at + PIECE]
        pieces.append(unpacker.decompress(piece, limit + 1 - size))
        at, size = at + len(piece), size + len(pieces[-1])
        if size > limit:
            raise too_large(limit)
        if unpacker.eof:
            at -= len(unpacker.unused_data)
            unpacker = None
    if unpacker:
        raise RequestError(f"the body is not whole: its {encoding} ends early")
    return b"".join(pieces)
