"""A file of rows through a model, a chunk at a time, so that its length costs no memory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from tqdm import tqdm

from modeling.dataset import FORM, MISSING_WORDS
from service.errors import DataError, InputError, Problem
from service.inputs import WARNED, Inputs, is_truth
from service.model import Model

CHUNK = 50_000


def predict_file(model: Model, rows: Path, output: Path) -> tuple[int, list[Problem]]:
    """Write the predictions for a CSV to another CSV, row for row; return their number and the first warnings.

    The output has the column `prediction` and for classes a `probability_<class>` each. It appears when it is
    whole; DataError or InputError name the row and the column that cannot be used.
    """
    beside = output.with_name(f".{output.name}-{os.getpid()}")
    count, warned = 0, list[Problem]()
    try:
        if output.exists() and output.samefile(rows):
            raise DataError(f"{output} is the input: name another file for the predictions")
        with (
            rows.open("rb") as source,
            beside.open("w", encoding="utf-8", newline="") as sink,
            tqdm(total=rows.stat().st_size, unit="B", unit_scale=True, desc=rows.name, disable=None) as bar,
            closing(_chunks(model, rows, source)) as tables,
        ):
            for table in tables:
                inputs = _inputs(model, table, count)
                warned += _moved(inputs.warnings, count)[: WARNED - len(warned)]
                answers = _answers(model, inputs)
                answers.to_csv(sink, index=False, header=not count, lineterminator="\n")
                count += len(table)
                bar.update(source.tell() - bar.n)
        beside.replace(output)
    except OSError as error:
        fault = f"{rows} cannot be read" if error.filename == str(rows) else f"{output} cannot be written"
        raise DataError(f"{fault} ({error.strerror}): give another path") from error
    finally:
        beside.unlink(missing_ok=True)
    return count, warned


def _moved(problems: Iterable[Problem], before: int) -> list[Problem]:
    """Return problems of a chunk with their rows counted in the whole file."""
    return [msgspec.structs.replace(problem, row=(problem.row or 0) + before) for problem in problems]


def _chunks(model: Model, rows: Path, source: object) -> Generator[pd.DataFrame, None, None]:
    form = {**FORM, "skip_blank_lines": len(model.schema.names) > 1}
    texts = {feature.name: "str" for feature in model.schema.categories}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            with pd.read_csv(source, chunksize=CHUNK, dtype=texts, **form) as reader:  # type: ignore[call-overload]
                for table in reader:
                    absent = [name for name in model.schema.names if name not in table.columns]
                    if absent:
                        raise DataError(f"{rows.name} has no column {absent[0]!r}, which {model.name} needs: add it")
                    yield table
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{rows.name} is empty: give a CSV file with a header") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        raise DataError(f"{rows.name} is not a table: {str(error).strip()}; correct it") from error


def _inputs(model: Model, table: pd.DataFrame, before: int) -> Inputs:
    columns: dict[str, Any] = {}
    for feature in model.schema.numbers:
        values = table[feature.name].to_numpy()
        columns[feature.name] = values if values.dtype.kind in "fiu" else [_number(value) for value in values]
    for feature in model.schema.categories:
        # Training has truth values in lower case, whatever case the file writes.
        column = table[feature.name].str.lower() if is_truth(feature) else table[feature.name]
        columns[feature.name] = [None if value != value else value for value in column]
    try:
        return model.schema.read_columns(columns)
    except InputError as error:
        raise InputError(_moved(error.problems, before)) from error


def _number(value: object) -> object:
    """Return what stands in a column that is not all numbers: a number where it is one, else the text."""
    try:
        # Python reads 1_6 as 16; a table does not mean that.
        return np.nan if value != value or value in MISSING_WORDS else float(str(value).replace("_", "?"))
    except ValueError:
        return value


def _answers(model: Model, inputs: Inputs) -> pd.DataFrame:
    prediction = model.predict(inputs)
    table = pd.DataFrame({"prediction": prediction.values})
    if prediction.probabilities is not None:
        for index, label in enumerate(model.classes):
            table[f"probability_{label}"] = prediction.probabilities[:, index]
    return table
