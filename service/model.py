"""One loaded model: checked rows in, answers out; whatever is served or graded is answered here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from service import bundle, onnx_file, runtime
from service.bundle import Bundle
from service.contents import Golden, Label, Value
from service.errors import BundleError, CellarError
from service.rows.inputs import Inputs, Schema
from service.rows.json_rows import RowReader

CHUNK = 50_000
"""Rows given to onnxruntime at once: more gains nothing and costs memory."""


NO_PROBABILITIES = np.empty(0, dtype=np.float32)


class Prediction(msgspec.Struct, frozen=True):
    """Answers for n rows: `values` are n labels or n numbers; `probabilities` is `[n, classes]`, or None."""

    values: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float32] | None


class Model:
    """A bundle that was verified, loaded and answered its golden rows."""

    def __init__(self, source: Bundle) -> None:
        self.bundle = source
        self.manifest = source.manifest
        self.name, self.version = source.manifest.model, source.version
        self.schema = Schema(source.manifest.features, source.manifest.target.name)
        self.rows = RowReader(self.schema)
        self.classes: list[Label] = source.manifest.target.classes
        self._session = _session(source)
        # Its own wrapper looks at the names of all tensors each time, which takes as long as a small model.
        self._answer = getattr(self._session, "_sess", self._session).run
        self._reads = {given.name for given in self._session.get_inputs()}
        self._gives = [given.name for given in self._session.get_outputs()]
        _replay(self)
        self.background = _read_golden(self, source.golden.background)

    def predict(self, inputs: Inputs, check_time: Callable[[], None] = lambda: None) -> Prediction:
        """Return the prediction for every row of `inputs`; what `check_time` raises ends it between two chunks."""
        count = len(inputs.numbers)
        values, probabilities = self._run(inputs if count <= CHUNK else _cut(inputs, 0))
        check_time()
        if count > CHUNK:
            parts = [(values, probabilities)]
            for start in range(CHUNK, count, CHUNK):
                parts.append(self._run(_cut(inputs, start)))
                check_time()
            values, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Prediction(values, probabilities if self.classes else None)

    def _run(self, inputs: Inputs) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
        found = self._answer(self._gives, {name: getattr(inputs, name) for name in self._reads}, None)
        return found[0].reshape(-1), found[1] if len(found) > 1 else NO_PROBABILITIES


def _cut(inputs: Inputs, start: int) -> Inputs:
    rows = slice(start, start + CHUNK)
    return Inputs(inputs.numbers[rows], inputs.categories[rows], [])


def load(folder: Path) -> Model:
    """Return the model in a bundle's folder, or raise BundleError if it is damaged or answers otherwise than it did."""
    return Model(bundle.read(folder))


def _session(source: Bundle) -> Any:
    onnx_file.refuse_external_tensors(source.model)
    try:
        return runtime.session(source.model)
    except Exception as error:  # onnxruntime raises a dozen classes of its own that share no other base
        why = str(error)[:200] or type(error).__name__
        raise BundleError(f"{bundle.told(source.folder / bundle.MODEL)} cannot be loaded: {why}") from error


def _replay(model: Model) -> None:
    """Raise BundleError unless the model answers its golden rows as it did when it was trained."""
    golden, folder = model.bundle.golden, model.bundle.folder
    rows = _read_golden(model, golden.rows)
    try:
        same = _agrees(model.predict(rows), golden, bool(model.classes))
    except Exception as error:  # as in _session: a graph that loads may still fail when it runs
        raise BundleError(f"{bundle.told(folder, 2)} fails on its golden rows: {str(error)[:200]}") from error
    if not golden.rows or not same:
        raise BundleError(f"{bundle.told(folder, 2)} does not answer its golden rows as it did when it was trained")


def _read_golden(model: Model, rows: list[dict[str, Value]]) -> Inputs:
    try:
        return model.schema.read_records(rows)
    except CellarError as error:
        place = bundle.told(model.bundle.folder / bundle.GOLDEN)
        raise BundleError(f"{place} does not fit the manifest: {error}") from error


def _agrees(answer: Prediction, golden: Golden, classify: bool) -> bool:
    if not classify:
        return _near(answer.values, golden.predict, golden.tolerance)
    same = answer.values.tolist() == golden.predict
    return same and _near(answer.probabilities, golden.predict_proba, golden.tolerance)


def _near(actual: Any, expected: Any, tolerance: float) -> bool:
    wanted = np.asarray(expected, dtype=np.float64)
    return actual.shape == wanted.shape and bool(np.all(np.abs(actual - wanted) <= tolerance))
