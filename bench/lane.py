"""Where the microseconds of one request go: the WSGI application is called without a network, its environ made once.

The functions on a request's way are wrapped in a stopwatch that gives each its own time, without what it called. The
total is measured without the stopwatch; what the stages add up to beyond it is the stopwatch's own time. As a worker
of the server does, this process counts into files, and its log goes to a file, too.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from bench.serve import wire
from bench.serve.figures import markdown
from bench.serve.wire import Wire

CALLS = 2_000
"""How often a request of one row is repeated; larger ones as many times fewer as they take longer, 50 at least."""

V1 = wire.lists("instances", "predictions")


class Ask(NamedTuple):
    """One request: what it is called, where it goes, its format and how many rows it holds."""

    name: str
    path: str
    wire: Wire
    rows: int = 1


ASKS = (
    Ask("native, lists", "/models/wine/predict", V1),
    Ask("native, lists", "/models/wine/predict", V1, 100),
    Ask("native, lists", "/models/wine/predict", V1, 10_000),
    Ask("native, records (vetiver)", "/predict", wire.RECORDS),
    Ask("native, records (vetiver)", "/predict", wire.RECORDS, 100),
    Ask("native, Arrow", "/models/wine/predict", wire.ARROW_STREAM, 10_000),
    Ask("KServe V1", "/v1/models/wine:predict", V1),
    Ask("MLflow, inputs", "/invocations", wire.lists("inputs", "predictions")),
    Ask("V2, JSON", "/v2/models/wine/infer", wire.V2),
    Ask("V2, binary", "/v2/models/wine/infer", wire.V2_BINARY),
    Ask("V2, binary", "/v2/models/wine/infer", wire.V2_BINARY, 10_000),
)


class Stopwatch:
    """Gives every watched function its own time, in seconds by stage, without the watched ones that it called."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    def watch(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with its time added to a stage."""

        def timed(*given: Any, **named: Any) -> Any:
            self._inner.append(0.0)
            started = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                took = time.perf_counter() - started
                self.spent[stage] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        return timed


def stages(dialects: Sequence[Any]) -> list[tuple[str, Any, str]]:
    """Return the stages of a request in their order: what to call each, and the owner and name of its function."""
    import msgspec

    from service.calls import Call
    from service.model import Model
    from service.rows.json_rows import RowReader
    from service.web import edge
    from service.web.metrics import Metrics

    return [
        ("name it", edge, "_facts"),
        ("read the body", Call, "body"),
        ("rows into tensors", RowReader, "read"),
        ("onnxruntime", Model, "_run"),
        ("around onnxruntime", Model, "predict"),
        ("JSON of reply and log", msgspec.json, "encode"),
        *(("rest of the dialect", dialect, "predict") for dialect in dialects),
        ("headers", edge, "_headers"),
        ("metrics", Metrics, "count"),
        ("write the log", edge.os, "write"),
        ("rest of the layer", edge.Edge, "__call__"),
    ]


def environ_of(ask: Ask, request: wire.Request) -> dict[str, Any]:
    """Return the environ of a request, without its body."""
    from werkzeug.test import EnvironBuilder

    builder = EnvironBuilder(path=ask.path, method="POST", headers=request.headers)
    return {**builder.get_environ(), "CONTENT_LENGTH": str(len(request.body))}


def call(app: Any, environ: dict[str, Any], body: bytes) -> tuple[float, str, dict[str, str], bytes]:
    """Send one request; return the seconds it took, and status, headers and body of the reply."""
    told: list[Any] = []
    given = {**environ, "wsgi.input": io.BytesIO(body)}
    started = time.perf_counter()
    reply = app(given, lambda status, headers, error=None: told.append((status, dict(headers))))
    whole = b"".join(reply)
    took = time.perf_counter() - started
    getattr(reply, "close", lambda: None)()
    return took, *told[0], whole


def budget(app: Any, watched: Sequence[tuple[str, Any, str]], environ: dict[str, Any], body: bytes) -> list[float]:
    """Return microseconds, medians over many calls: of the whole request, then of each stage in its order."""
    first = statistics.median(call(app, environ, body)[0] for _ in range(50))
    count = max(50, min(CALLS, round(CALLS * 1e-4 / first)))
    total = statistics.median(call(app, environ, body)[0] for _ in range(count))
    labels = list(dict.fromkeys(stage for stage, _, _ in watched))
    laps = []
    stopwatch = Stopwatch()
    with ExitStack() as patched:
        for stage, owner, name in watched:
            patched.enter_context(mock.patch.object(owner, name, _bound(stopwatch, stage, owner, name)))
        for _ in range(count):
            stopwatch.spent.clear()
            call(app, environ, body)
            laps.append([stopwatch.spent[stage] for stage in labels])
    return [total * 1e6, *(statistics.median(lap) * 1e6 for lap in zip(*laps, strict=True))]


def _bound(stopwatch: Stopwatch, stage: str, owner: Any, name: str) -> Callable[..., Any]:
    return stopwatch.watch(stage, getattr(owner, name))


@contextmanager
def _log_into(path: Path) -> Iterator[None]:
    """Send what is written to file descriptor 1 to a file meanwhile."""
    sys.stdout.flush()
    kept = os.dup(1)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def measure(folder: Path, asks: Sequence[Ask] = ASKS) -> list[list[str]]:
    """Return the table, its heading first: a line for each request that is answered rightly, microseconds by stage."""
    from bench.serve.trained import train
    from service.app import DIALECTS, create_app

    trained = train(folder, "logistic_regression", max(ask.rows for ask in asks))
    app = create_app({"artifacts": trained.artifacts, "reports": folder}).wsgi_app
    watched = stages(DIALECTS)
    table = [["request", "rows", "total, µs", *dict.fromkeys(stage for stage, _, _ in watched)]]
    for ask in asks:
        request = ask.wire.write(trained.rows[: ask.rows], trained.names)
        environ = environ_of(ask, request)
        with _log_into(folder / "log"):
            _, status, headers, body = call(app, environ, request.body)
            right = status == "200 OK" and ask.wire.read(body, headers) == trained.labels[: ask.rows]
            figures = budget(app, watched, environ, request.body) if right else []
        if right:
            table.append([ask.name, f"{ask.rows:,}", *(f"{figure:,.1f}" for figure in figures)])
        else:
            print(f"{ask.name} is left out: it was answered {status}: {body[:100]!r}", file=sys.stderr)
    return table


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as name:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = name  # read when the service is first imported
        print(markdown(measure(Path(name))))


if __name__ == "__main__":
    main()
