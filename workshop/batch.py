"""A file of rows through a model, a chunk at a time, so that its length costs no memory."""

from __future__ import annotations

import codecs
import csv
import io
import sys
import warnings
from collections.abc import Generator, Iterable
from contextlib import closing
from io import BufferedReader
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
from tqdm import tqdm

from modeling.tables.form import HEAD, Form, as_numbers, form_of
from modeling.tables.reading import check_lines, check_quotes, named
from modeling.tables.written_dates import as_iso, date_order
from service.contents import Feature
from service.errors import DataError, InputError, Problem
from service.files import replacing
from service.live import Live
from service.model import Model
from service.registry import Registry
from service.rows.inputs import WARNED, Inputs
from service.rows.values import MISSING_WORDS, TRUTHS

CHUNK = 50_000

PLAIN = Form(encoding="utf-8-sig").told()


def predict_by(registry: Registry, name: str, version: int | None, rows: str, output: str) -> None:
    """Write the predictions for a CSV by a model, its champion unless a version is named, and say how many."""
    for option, path, such in (("--input", rows, "data/wine.csv"), ("--output", output, "predictions.csv")):
        if not path:
            raise DataError(f"{option} is missing: name a file, such as {option} {such}")
    registry.check_model(name)
    published = registry.versions(name)
    if version is not None and version not in published:
        raise DataError(f"{name} has no published version {version} (published: {', '.join(map(str, published))})")
    live = Live(registry)
    live.look()
    model = live.get(name, version)
    count, warned = predict_file(model, Path(rows), Path(output))
    print(f"{count} predictions of {name} version {model.version} written to {output}")
    if warned:
        print(f"{len(warned)} values or more are new to the model, first: {warned[0]}", file=sys.stderr)


def predict_file(model: Model, rows: Path, output: Path) -> tuple[int, list[Problem]]:
    """Write the predictions for a CSV to another CSV, row for row; return their number and the first warnings.

    The output has the column `prediction` and for classes a `probability_<class>` each. It appears when it is
    whole; DataError or InputError name the row and the column that cannot be used.
    """
    count, warned = 0, list[Problem]()
    try:
        if output.is_dir():
            raise DataError(f"{output} is a folder: name a file for the predictions")
        if output.exists() and output.samefile(rows):
            raise DataError(f"{output} is the input: name another file for the predictions")
        with (
            replacing(output) as written,
            BufferedReader(rows.open("rb", buffering=0), HEAD) as source,
            written.open("w", encoding="utf-8", newline="") as sink,
            tqdm(total=rows.stat().st_size, unit="B", unit_scale=True, desc=rows.name, disable=None) as bar,
            closing(_chunks(model, rows, source)) as chunks,
        ):
            for columns in chunks:
                inputs = _inputs(model, columns, count)
                warned += _moved(inputs.warnings, count)[: WARNED - len(warned)]
                answers = _answers(model, inputs)
                answers.to_csv(sink, index=False, header=not count, lineterminator="\n")
                count += len(inputs)
                bar.update(source.tell() - bar.n)
    except OSError as error:
        fault = f"{rows} cannot be read" if error.filename == str(rows) else f"{output} cannot be written"
        raise DataError(f"{fault} ({error.strerror}): give another path") from error
    return count, warned


def _moved(problems: Iterable[Problem], before: int) -> list[Problem]:
    """Return problems of a chunk with their rows counted in the whole file."""
    return [msgspec.structs.replace(problem, row=(problem.row or 0) + before) for problem in problems]


def _chunks(model: Model, rows: Path, source: Any) -> Generator[dict[str, Any], None, None]:
    """Yield the features' columns, a chunk at a time, with the values as JSON would have them."""
    form = _form(model, source.peek(HEAD), rows.name)
    options = {**form.options(), "skip_blank_lines": len(model.schema.names) > 1}
    texts = {feature.name: "str" for feature in model.schema.features if feature.kind in ("category", "date")}
    orders = dict(model.manifest.data.written.first)
    checked, count = False, 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            with pd.read_csv(source, chunksize=CHUNK, dtype=texts, **options) as reader:
                for table in reader:
                    count += len(table)
                    table.columns = pd.Index(map(_name, table.columns, range(table.shape[1])))
                    absent = [name for name in model.schema.names if name not in table.columns]
                    if absent:
                        raise DataError(f"{rows.name} has no column {absent[0]!r}, which {model.name} needs: add it")
                    # A line that is too short lacks its last value.
                    if not checked and table.iloc[:, -1].isna().any():
                        check_lines(rows, form)
                        checked = True
                    yield {f.name: _values(f, table[f.name], form, orders) for f in model.schema.features}
        check_quotes(rows, form, count)
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{rows.name} is empty: give a CSV file with a header") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeError) as error:
        raise DataError(f"{rows.name} is not a table: {str(error).strip()}; correct it") from error


def _form(model: Model, head: bytes, name: str) -> Form:
    """Return how a file is written: as the training table where its header is, else as it shows; tell what is odd."""
    form = form_of(head, Form(), name)
    written = model.manifest.data.written
    encoding = written.encoding if head.isascii() and written.encoding != "utf-16" else form.encoding
    alike = {"decimal": written.decimal, "thousands": written.thousands, "encoding": encoding}
    if written.separator and _names_all(model, head, written.separator, form.encoding):
        form = form_of(head, msgspec.convert({"separator": written.separator, **alike}, Form), name)
    if form.told() != PLAIN:
        tqdm.write(f"{name} is read as {form.told()}.", file=sys.stderr)
    return form


def _names_all(model: Model, head: bytes, separator: str, encoding: str) -> bool:
    """Whether the header of a file, so separated, names every feature."""
    text = codecs.getincrementaldecoder(encoding)().decode(head)
    text = text.partition("\n")[2] if text.startswith("sep=") else text
    header = next(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=separator)), [])
    return set(model.schema.names) <= set(named(header))


def _name(name: str, at: int) -> str:
    return named([""] * at + ["" if name == f"Unnamed: {at}" else name])[at]


def _values(feature: Feature, column: pd.Series, form: Form, orders: dict[str, str]) -> Any:
    """Return a column of a file as JSON would have it; `orders` remembers what its dates begin with."""
    if feature.kind == "number":
        return column.to_numpy() if column.dtype.kind in "fiu" else _numbers(column, form)
    if feature.kind == "category":
        return [None if value != value else value for value in column]
    missing = column.isna() | column.astype("str").str.strip().isin(("", *MISSING_WORDS))
    texts = [None if gone else str(value).strip() for value, gone in zip(column, missing, strict=True)]
    if feature.kind == "boolean":
        return [text if text is None else TRUTHS.get(text.lower(), text) for text in texts]
    given = orders.get(feature.name, "")
    order = orders[feature.name] = date_order(filter(None, texts), given) or given
    return [text if text is None else as_iso(text, order) for text in texts]


def _numbers(column: pd.Series, form: Form) -> list[Any]:
    """Return what stands in a column that is not all numbers: a number where it is one, else the text."""
    numbers = as_numbers(column.astype("str"), form)
    kept = numbers.notna() | column.isna() | column.astype("str").str.strip().isin(("", *MISSING_WORDS))
    return [number if good else value for number, good, value in zip(numbers, kept, column, strict=True)]


def _inputs(model: Model, columns: dict[str, Any], before: int) -> Inputs:
    try:
        return model.schema.read_columns(columns)
    except InputError as error:
        raise InputError(_moved(error.problems, before)) from error


def _answers(model: Model, inputs: Inputs) -> pd.DataFrame:
    prediction = model.predict(inputs)
    table = pd.DataFrame({"prediction": prediction.values})
    if prediction.probabilities is not None:
        for index, label in enumerate(model.classes):
            table[f"probability_{label}"] = prediction.probabilities[:, index]
    return table
