"""Answering a table: rows are read, checked and predicted a batch at a time, and the reply is sent when it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import msgspec
import numpy as np
import numpy.typing as npt
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from service import calibration, include
from service.calls import JSON, Answer, Call
from service.errors import InputError, MediaTypeError, Problem
from service.include import Asked
from service.model import CHUNK, Prediction
from service.rows.inputs import WARNED, Inputs, Schema
from service.tables import arrow, bodies, texts, unpacking
from service.tables.writing import (
    ARROW,
    CSV,
    MEDIA,
    NDJSON,
    PARQUET,
    SOME,
    Columns,
    Parts,
    opened,
    sent,
    write_json,
    write_table,
)

READERS: dict[str, Callable[[bodies.Body, Call], Iterator[Inputs]]] = {
    CSV: lambda body, call: texts.read_csv(body, call.model.schema),
    NDJSON: lambda body, call: texts.read_ndjson(body, call.model.schema),
    ARROW: lambda body, call: arrow.read(_plain(bodies.whole(body), call), call.model.schema),
    PARQUET: lambda body, call: arrow.read(_unpacked(body, "parquet", call), call.model.schema),
}
"""The media types that a table may come in, and what reads them."""

PARAMETERS = {CSV: {"charset": ("utf-8", "utf8"), "header": ("present",)}}
"""What may stand beside a media type."""

COLUMNS = ("probabilities", "interval")
"""What `include` may ask for where the reply is a table."""


def answer(call: Call) -> Answer:
    """Answer the table in the body of a request, as the media type that its header `Accept` prefers, else as JSON."""
    _check_parameters(call)
    media = parse_accept_header(call.header("Accept"), MIMEAccept).best_match(MEDIA, JSON)
    asked = include.read(call, include.INCLUDES if media == JSON else COLUMNS)
    file = opened()
    try:
        _write(Table(call, asked), media, file)
        size = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    if size <= SOME:
        return Answer(b"".join(sent(file)), media)
    return Answer(sent(file), media, length=size)


def _write(table: Table, media: str, file: IO[bytes]) -> None:
    limit = table.call.config.max_table
    if media == JSON:
        write_json(table.parts(), table.beside, limit, file)
    else:
        write_table(table.columns(), media, limit, file)


class Table:
    """The rows of one request on their way through the model; `rows` and `warnings` are those met so far."""

    def __init__(self, call: Call, asked: Asked) -> None:
        self.call, self.asked = call, asked
        self.rows = 0
        self.warnings: list[Problem] = []

    def parts(self) -> Iterator[Parts]:
        """Yield what a JSON reply lists, a batch at a time."""
        for inputs, prediction in self._predictions():
            yield {
                "predictions": prediction.values.tolist(),
                **include.beside(self.call, self.asked, msgspec.structs.replace(inputs, warnings=[]), prediction),
            }

    def columns(self) -> Iterator[Columns]:
        """Yield the columns of a reply that is a table, a batch at a time."""
        for _, prediction in self._predictions():
            yield _columns(self.call, self.asked, prediction)

    def beside(self) -> dict[str, object]:
        """Return what stands beside the lists of a JSON reply."""
        model = self.call.model
        named = {"model": model.name, "version": model.version, "id": self.call.id}
        return {**named, "warnings": self.warnings} if self.warnings else named

    def _predictions(self) -> Iterator[tuple[Inputs, Prediction]]:
        for inputs in batches(self._pieces()):
            start = time.perf_counter()
            prediction = self.call.model.predict(inputs)
            self.call.facts.model_ms += (time.perf_counter() - start) * 1000
            self.call.facts.rows += len(inputs)
            yield inputs, prediction

    def _pieces(self) -> Iterator[Inputs]:
        """Yield checked rows, at least once, and take note of them."""
        body = bodies.opened(self.call.environ, self.call.config.max_table)
        for inputs in counted(READERS[self.call.media](body, self.call)):
            self.call.check_time()
            self.warnings += inputs.warnings[: WARNED - len(self.warnings)]
            self.rows += len(inputs)
            yield inputs
        if not self.rows:
            yield self.call.model.schema.read([])


def counted(pieces: Iterator[Inputs]) -> Iterator[Inputs]:
    """Yield pieces of a table; their problems and warnings count rows over the whole of it."""
    rows = 0
    try:
        for inputs in pieces:
            yield msgspec.structs.replace(inputs, warnings=_moved(inputs.warnings, rows))
            rows += len(inputs)
    except InputError as error:
        raise InputError(_moved(error.problems, rows)) from error


def whole(pieces: Iterator[Inputs], schema: Schema) -> Inputs:
    """Return all the rows of a table at once, with as many of their warnings as a reply holds."""
    held = list(counted(pieces)) or [schema.read([])]
    warnings = [warning for piece in held for warning in piece.warnings]
    return msgspec.structs.replace(_joined(held), warnings=warnings[:WARNED])


def batches(pieces: Iterator[Inputs]) -> Iterator[Inputs]:
    """Yield pieces, at least one, in batches as long as those that a model runs in, the last one shorter.

    So the same rows get the same bits however they were cut on their way.
    """
    held: list[Inputs] = []
    rows, yielded = 0, False
    for piece in pieces:
        held.append(piece)
        rows += len(piece)
        while rows >= CHUNK:
            joined = _joined(held)
            yield _cut(joined, slice(0, CHUNK))
            held, rows = [_cut(joined, slice(CHUNK, None))], rows - CHUNK
            yielded = True
    if rows or not yielded:
        yield _joined(held)


def _joined(pieces: list[Inputs]) -> Inputs:
    if len(pieces) == 1:
        return pieces[0]
    return Inputs(
        np.concatenate([piece.numbers for piece in pieces]), np.concatenate([piece.categories for piece in pieces]), []
    )


def _cut(inputs: Inputs, rows: slice) -> Inputs:
    return Inputs(inputs.numbers[rows], inputs.categories[rows], [])


def _moved(problems: list[Problem], before: int) -> list[Problem]:
    """Return problems with their rows counted from the table's first; one of a column has none."""
    return [
        problem if problem.row is None else msgspec.structs.replace(problem, row=problem.row + before)
        for problem in problems
    ]


def _plain(data: memoryview, call: Call) -> memoryview:
    return _unpacked(data, "arrow", call) if arrow.is_compressed(data) else data


def _unpacked(packed: bodies.Body | memoryview, form: unpacking.Form, call: Call) -> memoryview:
    return unpacking.unpacked(packed, form, call.config.max_table, call.seconds_left())


def _columns(call: Call, asked: Asked, prediction: Prediction) -> Columns:
    columns: Columns = {"prediction": prediction.values}
    if "probabilities" in asked.include and prediction.probabilities is not None:
        columns |= _by_class("probability", call, prediction.probabilities)
    if "interval" in asked.include:
        measured = include.measured(call.model)
        if prediction.probabilities is not None:
            held = calibration.members(prediction.probabilities, measured, asked.coverage)
            return columns | _by_class("set", call, held)
        limits = calibration.interval(prediction.values, measured, asked.coverage)
        columns |= {"lower": np.ascontiguousarray(limits[:, 0]), "upper": np.ascontiguousarray(limits[:, 1])}
    return columns


def _by_class(name: str, call: Call, values: npt.NDArray[Any]) -> Columns:
    return {f"{name}_{label}": np.ascontiguousarray(values[:, at]) for at, label in enumerate(call.model.classes)}


def _check_parameters(call: Call) -> None:
    """Raise MediaTypeError at a parameter of the media type that the service cannot follow."""
    _, given = parse_options_header(call.environ.get("CONTENT_TYPE"))
    known = PARAMETERS.get(call.media, {})
    for name, value in given.items():
        if value.lower() not in known.get(name, ()):
            raise MediaTypeError(f"{name}={value[:40]} of {call.media} is not spoken: send UTF-8 with a header line")
