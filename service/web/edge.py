"""The layer in front of Flask: it names, limits, times, counts and logs every request, and answers the plain ones.

What is not plain, or goes wrong, is handed on to the application with all that was read: it says what is wrong.
"""

from __future__ import annotations

import os
import re
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from random import getrandbits
from typing import Any

import msgspec

from service.calls import BEGUN, BODY, FACTS, REFUSED, WAITING, Answer, Facts
from service.config import Config
from service.errors import OverloadError, UnauthorizedError
from service.live import Live
from service.web.lane import Dialect, Environ, Lane
from service.web.metrics import Metrics
from service.web.tokens import carries

OPEN = re.compile(r"/health/\w+|/v2/health/\w+|/ping|/health")
"""What is answered without a token, and however busy the service is: who watches it would end it otherwise."""

ID = re.compile(r"[\x21-\x7e]{1,128}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
VALUES_SHOWN = 10_000

SMALL = 4 << 20
"""Bytes up to which the application's reply is put together before it is sent, the script of /docs among them.

A reply in pieces keeps a worker until its client has taken the last one, on however slow a line.
"""

REASONS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}

Reply = Iterable[bytes]


class Edge:
    """A WSGI application around another."""

    def __init__(self, inner: Any, dialects: Iterable[Dialect], live: Live, config: Config, metrics: Metrics) -> None:
        self.inner, self.config, self.metrics = inner, config, metrics
        self.lane = Lane(dialects, live, config)
        self.running: set[int] = set()
        self.log = Log()
        metrics.inflight = lambda: len(self.running)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Reply:
        """Answer one request."""
        environ[BEGUN] = time.perf_counter()
        facts = environ[FACTS] = _facts(environ)
        self.running.add(id(environ))
        reply: Reply
        try:
            if self._is_one_too_many(environ):
                environ[REFUSED] = OverloadError("more requests are being answered than CELLAR_MAX_INFLIGHT: try again")
            elif self.config.read_token and not self._may_read(environ):
                environ[REFUSED] = UnauthorizedError("reading needs the token: send 'Authorization: Bearer <token>'")
            answer = self._answer(environ)
            if answer is None:
                reply = self._hand_on(environ, start_response)
            else:
                facts.status = 200
                length = ("Content-Length", str(answer.length))
                start_response("200 OK", [("Content-Type", answer.media), length, *answer.headers, *_headers(environ)])
                reply = [answer.body] if isinstance(answer.body, bytes) else answer.body
        except BaseException:
            self._end(environ)
            raise
        if isinstance(reply, list):
            self._end(environ)
            return reply
        return Ending(reply, lambda: self._end(environ))

    def is_quick(self, environ: Environ) -> bool:
        """Whether a request takes no time to speak of, so that a server need not give it a thread."""
        return (
            self.lane.is_short(environ)
            or self._is_one_too_many(environ)
            or OPEN.fullmatch(environ["PATH_INFO"]) is not None
        )

    def _answer(self, environ: Environ) -> Answer | None:
        """Answer a plain prediction; None is for the application to answer."""
        route = None if REFUSED in environ else self.lane.find(environ)
        if route is None:
            return None
        try:
            return self.lane.answer(route, environ)
        except Exception as error:  # whatever it is, the application tells it
            environ[REFUSED] = error
            return None

    def _is_one_too_many(self, environ: Environ) -> bool:
        waiting: int = environ.get(WAITING) or len(self.running)
        return waiting > self.config.max_inflight and not OPEN.fullmatch(environ["PATH_INFO"])

    def _hand_on(self, environ: Environ, start_response: Callable[..., Any]) -> Reply:
        """Return the application's reply, whole unless it is long."""
        small = False

        def started(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            nonlocal small
            code = environ[FACTS].status = int(status[:3])
            lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
            small = bool(lengths) and lengths[0] <= SMALL
            # Werkzeug shouts the reason, which clients show to people.
            return start_response(REASONS.get(code, status), headers + _headers(environ), error)

        reply: Reply = self.inner(environ, started)
        if not small:
            return reply
        try:
            return [b"".join(reply)]
        finally:
            _close(reply)

    def _end(self, environ: Environ) -> None:
        facts = environ[FACTS]
        self.running.discard(id(environ))
        environ.pop(REFUSED, None)  # its traceback holds the environ: a circle that would keep the body in memory
        facts.ms = round((time.perf_counter() - environ[BEGUN]) * 1000, 3)
        self.metrics.count(facts)
        if self.config.log == "values" and BODY in environ:
            facts.body = environ[BODY][:VALUES_SHOWN].decode("utf-8", "replace")
        if self.config.log != "errors" or facts.status >= 500:
            self.log.write(facts)

    def _may_read(self, environ: Environ) -> bool:
        # Who may change what is served may also see it.
        tokens = (self.config.read_token, self.config.token)
        return OPEN.fullmatch(environ["PATH_INFO"]) is not None or carries(environ, tokens)


class Ending:
    """A reply in pieces that tells when it ends: with its last piece, or when the server gives it up."""

    def __init__(self, pieces: Reply, end: Callable[[], None]) -> None:
        self._pieces, self._end = pieces, end

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        self.close()

    def close(self) -> None:
        """End the reply, once."""
        end, self._end = self._end, lambda: None
        _close(self._pieces)
        end()


def _close(reply: Reply) -> None:
    close = getattr(reply, "close", None)
    if close:
        close()


def _facts(environ: Environ) -> Facts:
    given = environ.get("HTTP_X_REQUEST_ID", "")
    name = given if given and ID.fullmatch(given) else f"{getrandbits(128):032x}"
    trace = environ.get("HTTP_TRACEPARENT", "")
    return Facts(
        datetime.now(UTC),
        name,
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"][:200],
        trace=trace if trace and TRACEPARENT.fullmatch(trace) else "",
    )


class Log:
    """Lines on standard output; one for which there is no room is dropped at once, and counted in the next."""

    def __init__(self) -> None:
        self._lock, self._room = threading.Lock(), select.poll()
        self._room.register(1, select.POLLOUT)
        self._dropped, self._torn = 0, b""

    def write(self, facts: Facts) -> None:
        """Write what is told of a request."""
        with self._lock:
            facts.dropped = self._dropped
            line = self._torn + msgspec.json.encode(facts) + b"\n"
            written = self._write(line)
            if written == len(line):
                self._dropped, self._torn = 0, b""
            else:
                self._dropped += 1
                self._torn = b"\n" if written else self._torn

    def _write(self, line: bytes) -> int:
        """Write so much of a line as there is room for: where there is any, a pipe has it for so many bytes."""
        for at in range(0, len(line), select.PIPE_BUF):
            try:
                if not self._room.poll(0):
                    return at
                os.write(1, line[at : at + select.PIPE_BUF])
            except OSError:
                return at  # there is nobody any more
        return len(line)


def _headers(environ: Environ) -> list[tuple[str, str]]:
    facts, total = environ[FACTS], (time.perf_counter() - environ[BEGUN]) * 1000
    headers = [
        ("X-Request-Id", facts.id),
        ("X-Content-Type-Options", "nosniff"),
        ("Server-Timing", f"model;dur={facts.model_ms:.3f}, total;dur={total:.3f}"),
    ]
    if facts.model:
        headers += [("X-Model", facts.model), ("X-Model-Version", str(facts.version))]
    if facts.trace:
        headers.append(("traceparent", facts.trace))
    return headers
