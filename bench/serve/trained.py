"""The model that every set-up serves, made by the project's own code, and the rows that it is asked for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from modeling.exporting import export
from modeling.grading import evaluation
from modeling.learning import estimators
from modeling.tables import columns, split
from modeling.tables import dataset as tables
from service import bundle, contents, publication
from service.registry import Registry

WINE = Path(__file__).resolve().parents[2] / "data" / "wine.csv"
SEED = 0


class Trained(NamedTuple):
    """A published bundle, the folder of what the others serve, rows `[n, features]` and the answers expected."""

    artifacts: Path
    files: Path
    names: list[str]
    rows: npt.NDArray[np.float64]
    labels: list[int]


def train(folder: Path, estimator: str, count: int) -> Trained:
    """Publish `wine` in `folder`/artifacts, keep its graph and its pickle in `folder`/files, draw `count` rows."""
    dataset = tables.load(WINE, "")
    table = tables.drop_duplicates(dataset.table)
    out = split.held_out(table, dataset.target, 0.25, SEED, stratify=True)
    X = columns.as_model_input(table, columns.choose_features(dataset, []))
    y = columns.as_labels(table[dataset.target], True)
    pipeline = make_pipeline(StandardScaler(), estimators.find(estimator, dataset.task).estimator(SEED))
    place = _publish(folder / "artifacts", dataset, pipeline.fit(X[~out], y[~out]), X, y, out)
    files = _keep(folder / "files", place, clone(pipeline).fit(X[~out].to_numpy(), y[~out]))
    # Rows of the training table: no value is new to the model, and so no reply carries warnings.
    drawn = np.random.default_rng(SEED).integers(0, (~out).sum(), count)
    rows = table.loc[~out, list(X)].iloc[drawn].to_numpy(dtype=float)
    labels = pipeline.predict(X[~out].iloc[drawn]).tolist()
    return Trained(folder / "artifacts", files, list(X), rows, labels)


def _publish(artifacts: Path, dataset: Any, pipeline: Pipeline, X: pd.DataFrame, y: Any, out: Any) -> Path:
    """Write the bundle as 02_train does, and publish and promote it as 03_evaluate does; return its folder."""
    features = columns.describe_features(dataset, X[~out], [])
    manifest = contents.Manifest(
        format=contents.FORMAT,
        model="wine",
        task=dataset.task,
        estimator=type(pipeline[-1]).__name__,
        features=features,
        target=columns.describe_target(dataset, pipeline.classes_.tolist()),
        data=contents.Data(dataset.path.name, len(dataset.table), int((~out).sum()), dataset.sha256, dataset.written),
        split=contents.Split(SEED, 0.25, list(X)),
        parameters={},
        cross_validation={},
        **export.provenance("02_train.ipynb"),
    )
    golden = export.golden_rows(pipeline, X[~out], features)
    place = publication.write_candidate(artifacts, manifest, golden, export.checked(pipeline, X[~out], features).model)
    publication.publish(place, _metrics(dataset.task, y[out], pipeline.predict(X[out]), y[~out][:1]))
    Registry(artifacts).promote("wine", int(place.name), "made for the benchmark")
    return place


def _metrics(task: Any, y: Any, predicted: Any, most: Any) -> contents.Metrics:
    baseline = most.repeat(len(y))
    return contents.Metrics(
        rows=len(y),
        headline=evaluation.HEADLINE[task],
        held_out=evaluation.with_intervals(task, y, predicted, seed=SEED, rounds=20),
        baseline=evaluation.MEASURES[task](y, baseline),
        cross_validation={},
        per_class={},
        verdict=evaluation.judge(task, y, predicted, baseline, None, None),
        evaluated="2026-01-01T00:00:00+00:00",
    )


def _keep(files: Path, place: Path, plain: Pipeline) -> Path:
    """Keep the bundle's graph, and the pipeline fitted on a plain array, which spares its users a warning a call."""
    files.mkdir(parents=True)
    (files / "model.onnx").write_bytes((place / bundle.MODEL).read_bytes())
    (files / "model.pickle").write_bytes(pickle.dumps(plain))
    return files
