"""Real bundles, made by the project's own code without a kernel, and the service on top of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

# Two test processes whose libraries compute on two threads each wait for one another; the kernels compute on one too.
os.environ["OMP_NUM_THREADS"] = "1"

import outside
import pytest
from flask import Flask
from flask.testing import FlaskClient
from toy import Running, running

import workshop  # noqa: F401  before anything else imports jsonschema: it spares a second
from chaos.serving import Served, serving
from service import bundle, contents, files, publication
from service.app import create_app
from service.registry import Registry

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TEST_SIZE = 0.25
ROOT = Path(__file__).resolve().parent.parent
WINE = ROOT / "data" / "wine.csv"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `inv fuzz` ask for longer runs."""
    parser.addoption("--examples", type=int, default=5, help="requests for each operation in tests/test_fuzz.py")


def pytest_configure() -> None:
    """Hear Ctrl-C: what a shell starts in the background ignores it, and so would the commands that the tests stop."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Trained(NamedTuple):
    """A bundle with what it was made from: the fitted scikit-learn pipeline, training rows and held-out rows."""

    folder: Path
    pipeline: Any
    X: Any
    held_out: Any


def train(artifacts: Path, data: Path, model: str = "", **parameters: Any) -> Trained:
    """Make a candidate as 02_train does, without its tables and figures."""
    from modeling.exporting import export
    from modeling.learning import estimators
    from modeling.tables import columns
    from modeling.tables import dataset as tables

    seed = parameters.get("seed", 0)
    dataset = tables.load(data, parameters.get("target", ""))
    chosen = columns.choose_features(dataset, parameters.get("features", []))
    table = tables.drop_duplicates(dataset.table).dropna(subset=[dataset.target])
    out = _held_out(dataset, table, seed)
    X, y = columns.as_model_input(table[~out], chosen), _target(dataset, table.loc[~out, dataset.target])
    usual = {"classification": "decision_tree", "regression": "linear_regression"}
    family = estimators.find(parameters.get("estimator") or usual[dataset.task], dataset.task)
    pipeline = _pipeline(X, family.estimator(seed)).fit(X, y)
    described = columns.describe_features(dataset, X, [name for name in chosen if table[name].isna().any()])
    spread = 1.0 if dataset.task == "classification" else float(y.std())
    manifest = contents.Manifest(
        format=contents.FORMAT,
        model=bundle.model_name(model or tables.slug(dataset.name)),
        task=dataset.task,
        estimator=family.name,
        features=described,
        target=columns.describe_target(dataset, getattr(pipeline[-1], "classes_", y[:0]).tolist()),
        data=contents.Data(dataset.path.name, len(dataset.table), len(X), dataset.sha256, dataset.written),
        split=contents.Split(seed, TEST_SIZE, [column for column in table if column != dataset.target]),
        parameters={**parameters, "missing": "impute"},
        cross_validation={},
        **export.provenance("02_train.ipynb"),
    )
    golden = export.golden_rows(pipeline, X, described, spread)
    place = publication.write_candidate(artifacts, manifest, golden, export.to_onnx(pipeline, X))
    return Trained(place, pipeline, X, table[out])


def _held_out(dataset: Any, table: Any, seed: int) -> Any:
    from modeling.tables import split

    return split.held_out(table, dataset.target, TEST_SIZE, seed, stratify=dataset.task == "classification")


def _target(dataset: Any, y: Any) -> Any:
    from modeling.tables import columns

    if dataset.task == "regression":
        return y.to_numpy(dtype=float)
    return columns.as_labels(y, columns.has_whole_labels(y))


def _pipeline(X: Any, estimator: Any) -> Any:
    """Return an unfitted pipeline: numbers imputed and standardised, categories one-hot, then the estimator."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from modeling.tables.dataset import is_number

    numbers = [at for at, column in enumerate(X) if is_number(X[column])]
    categories = [at for at in range(X.shape[1]) if at not in numbers]
    prepare = [
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
    ]
    transformer = ColumnTransformer([part for part in prepare if part[2]])
    return Pipeline([("prepare", transformer), ("estimator", estimator)])


def evaluate(trained: Trained) -> None:
    """Publish a candidate and make it champion, as 03_evaluate does with promote=always."""
    from modeling.exporting import export
    from modeling.grading import conformal, evaluation
    from modeling.tables import columns
    from service.model import load

    challenger = load(trained.folder)
    manifest, table = challenger.manifest, trained.held_out
    X = columns.as_model_input(table, challenger.schema.names)
    y = _target(manifest, table[manifest.target.name])
    answer = challenger.predict(export.as_inputs(X, manifest.features))
    predicted = answer.values
    baseline = y[:1].repeat(len(y))
    metrics = contents.Metrics(
        rows=len(y),
        headline=evaluation.HEADLINE[manifest.task],
        held_out=evaluation.with_intervals(manifest.task, y, predicted, seed=0, rounds=20),
        baseline=evaluation.MEASURES[manifest.task](y, baseline),
        cross_validation=manifest.cross_validation,
        per_class={},
        verdict=evaluation.judge(manifest.task, y, predicted, baseline, None, None),
        evaluated="2026-01-01T00:00:00+00:00",
        calibration=conformal.calibrate(conformal.score(y, predicted, answer.probabilities, challenger.classes)[0]),
    )
    publication.publish(trained.folder, metrics)
    Registry(trained.folder.parents[1]).promote(manifest.model, int(trained.folder.name), "made for the tests")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the `CELLAR_*` variables of the person who runs the tests out of them."""
    for name in os.environ:
        if name.startswith("CELLAR_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def trained_wine(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`wine` version 1, champion: a classification in whole numbers, from numbers only."""
    trained = train(tmp_path_factory.mktemp("wine"), WINE, estimator="logistic_regression")
    evaluate(trained)
    return trained


@pytest.fixture(scope="session")
def wine_artifacts(trained_wine: Trained) -> Path:
    """The artifacts folder that holds `wine`; not to be written to."""
    return trained_wine.folder.parents[1]


@pytest.fixture(scope="session")
def houses_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with awkward column names, texts and missing values, and its card; `view` and `price` are targets."""
    import numpy as np
    import pandas as pd

    draw, rows = np.random.default_rng(0), 160
    area, floors = draw.uniform(20, 300, rows).round(1), draw.integers(1, 5, rows).astype(float)
    side = draw.choice(["Süd", "北", "<b>west</b>", 'the "left"'], rows)
    heating = draw.choice(["gas", "wood / coal"], rows)
    quoted = draw.normal(0, 1, rows).round(3)
    price = (area * 3 + floors * 40 + (side == "Süd") * 120 + quoted * 5 + draw.normal(0, 9, rows)).round(2)
    view = np.where(price > np.quantile(price, 0.66), "grand", np.where(side == "北", "<i>none</i>", "schön"))
    table = pd.DataFrame({"living area (m²)": area, "<script>alert(1)</script>": side, "floors/level": floors})
    table['it\'s "quoted"'], table["heating, by"], table["price"], table["view"] = quoted, heating, price, view
    table.loc[::7, "floors/level"] = None
    table.loc[3::11, "heating, by"] = None
    path = tmp_path_factory.mktemp("tables") / "houses.csv"
    table.to_csv(path, index=False)
    path.with_suffix(".toml").write_text(
        'title = "Houses"\ntarget = "view"\ntask = "classification"\n\n'
        '[columns."living area (m²)"]\nunit = "m²"\nmeaning = "<script>alert(2)</script>"\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="session")
def trained_houses(tmp_path_factory: pytest.TempPathFactory, houses_csv: Path) -> Trained:
    """`houses` version 1, champion: classes are texts; features are mixed and may be missing."""
    columns = ["living area (m²)", "<script>alert(1)</script>", "floors/level", 'it\'s "quoted"', "heating, by"]
    artifacts = tmp_path_factory.mktemp("houses")
    trained = train(artifacts, houses_csv, features=columns, estimator="logistic_regression")
    evaluate(trained)
    return trained


@pytest.fixture(scope="session")
def trained_prices(trained_houses: Trained, houses_csv: Path) -> Trained:
    """`prices` version 1, champion: a regression on the same mixed features, beside `houses`."""
    features = list(trained_houses.X)
    trained = train(trained_houses.folder.parents[1], houses_csv, "prices", target="price", features=features)
    evaluate(trained)
    return trained


@pytest.fixture(scope="session")
def houses_artifacts(trained_prices: Trained) -> Path:
    """The artifacts folder that holds `houses` and `prices`; not to be written to."""
    return trained_prices.folder.parents[1]


@pytest.fixture(scope="session")
def trained_sales(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`sales` version 1, champion: dates and truth values, one of each with gaps, beside a number."""
    import numpy as np
    import pandas as pd

    draw, rows = np.random.default_rng(1), 160
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 1500, rows), unit="D")
    table = pd.DataFrame({"sold": day.strftime("%Y-%m-%d"), "paid": draw.choice(["true", "false"], rows)})
    table["rented"], table["seen"] = draw.choice(["true", "false"], rows), day.strftime("%Y-%m-%d")
    table["size"] = draw.uniform(0, 9, rows)
    table.loc[::9, "rented"] = None
    table.loc[::8, "seen"] = None
    table["kind"] = np.where((table["size"] > 5) ^ (table["paid"] == "true"), "a", "b")
    path = tmp_path_factory.mktemp("tables") / "sales.csv"
    table.to_csv(path, index=False)
    trained = train(tmp_path_factory.mktemp("sales"), path, target="kind", estimator="logistic_regression")
    evaluate(trained)
    return trained


@pytest.fixture(scope="session")
def trained_stays(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`stays` version 1, champion: features of all four kinds, some of which may be missing."""
    import numpy as np
    import pandas as pd

    draw, rows = np.random.default_rng(1), 200
    table = pd.DataFrame(
        {
            "nights": draw.integers(1, 15, rows).astype(float),
            "arrived": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, rows), "D"),
            "pets": draw.random(rows) < 0.3,
            "room": draw.choice(["garden", "str\u00e4\u00dfe", "roof"], rows),
        }
    )
    table["paid"] = table["nights"] * 80 + table["pets"] * 25 + (table["room"] == "roof") * 40
    table["paid"] += draw.normal(0, 5, rows).round(2)
    table.loc[::9, "nights"] = None
    table.loc[4::9, "room"] = None
    folder = tmp_path_factory.mktemp("stays")
    table.to_csv(folder / "stays.csv", index=False)
    trained = train(folder / "artifacts", folder / "stays.csv", target="paid")
    evaluate(trained)
    return trained


@pytest.fixture(scope="session")
def every_model(
    tmp_path_factory: pytest.TempPathFactory, wine_artifacts: Path, houses_artifacts: Path, trained_sales: Trained
) -> Path:
    """A folder `artifacts` with every model of the tests, beside their `reports`; not to be written to."""
    house = tmp_path_factory.mktemp("every")
    for folder in (wine_artifacts, houses_artifacts, trained_sales.folder.parents[1]):
        shutil.copytree(folder, house / "artifacts", dirs_exist_ok=True)
    for model in (house / "artifacts").iterdir():
        place = house / "reports" / model.name / "1"
        place.mkdir(parents=True)
        for page in ("01_explore", "02_train", "03_evaluate"):
            (place / f"{page}.html").write_text(f"<h1>{page}</h1>")
    return house / "artifacts"


@pytest.fixture
def artifacts(wine_artifacts: Path, tmp_path: Path) -> Path:
    """A copy of `wine_artifacts` to damage, in the folder `artifacts`."""
    return shutil.copytree(wine_artifacts, tmp_path / "artifacts")


@pytest.fixture
def config(wine_artifacts: Path, tmp_path: Path) -> dict[str, Any]:
    """The settings of `app`; another test file overrides this fixture to serve something else."""
    return {"artifacts": wine_artifacts, "reports": tmp_path / "reports"}


@pytest.fixture
def app(config: dict[str, Any]) -> Flask:
    """The service on `wine`."""
    return create_app(config)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of `app` without a network."""
    return app.test_client()


@pytest.fixture
def reseal() -> Callable[[Path], None]:
    """The function that writes SHA256SUMS anew, as somebody would who changed a bundle on purpose."""
    return seal


def seal(folder: Path) -> None:
    """Write SHA256SUMS anew for the files that it names."""
    names = [line.split("  ")[1] for line in (folder / bundle.SUMS).read_text().splitlines()]
    lines = [f"{files.sha256((folder / name).read_bytes())}  {name}\n" for name in names]
    (folder / bundle.SUMS).write_text("".join(lines))


@pytest.fixture
def inv(tmp_path: Path, wine_artifacts: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The function that runs a command as a person does, in a house of their own that has one model."""

    def run(*words: str, before: Sequence[str] = (), **settings: object) -> subprocess.CompletedProcess[str]:
        house = {"artifacts": wine_artifacts, "reports": tmp_path / "reports", **settings}
        environ = {f"CELLAR_{name.upper()}": str(value) for name, value in house.items()}
        return subprocess.run(
            [*before, sys.executable, "-m", "invoke", *words],
            cwd=ROOT,
            env={**os.environ, **environ, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def changed(folder: Path, **changes: dict[str, Any]) -> None:
    """Change some of the JSON files of a bundle, by their names, and seal it again."""
    for name, change in changes.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    seal(folder)


PATCH = """
import os, pathlib, signal, sys, time
if "service.trial" in sys.orig_argv:
    (pathlib.Path(__file__).parent / str(os.getpid())).touch()
    import onnxruntime
    load = onnxruntime.InferenceSession
    def session(model, *given, **named):
        if os.environ["SPOILT"] in model.decode("latin-1"):
            {deed}
        return load(model, *given, **named)
    onnxruntime.InferenceSession = session
"""
"""What a trial begins with that leaves its number and does something bad when it loads a model that holds a word."""


@pytest.fixture
def spoil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """The function that has trials do something bad at a model that holds a word, and tells where they sign."""

    def spoil(word: str, deed: str) -> Path:
        place = tmp_path / "spoilt"
        place.mkdir(exist_ok=True)
        (place / "sitecustomize.py").write_text(PATCH.format(deed=deed))
        monkeypatch.setenv("PYTHONPATH", str(place))
        monkeypatch.setenv("SPOILT", word)
        return place

    return spoil


def mark(folder: Path, word: str) -> None:
    """Have a bundle's model hold a word that changes nothing, and seal it again."""
    import onnx

    path = folder / bundle.MODEL
    graph = onnx.load(path)
    graph.doc_string = word
    path.write_bytes(graph.SerializeToString())
    seal(folder)


@pytest.fixture(scope="session")
def clients_python() -> Path:
    """The Python of the environment that holds the clients of other projects."""
    return outside.clients()


@pytest.fixture(scope="session")
def all_artifacts(wine_artifacts: Path, houses_artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifacts folder that holds `wine`, `houses` and `prices`; not to be written to."""
    place = shutil.copytree(wine_artifacts, tmp_path_factory.mktemp("all") / "artifacts")
    return shutil.copytree(houses_artifacts, place, dirs_exist_ok=True)


@pytest.fixture
def server(all_artifacts: Path, tmp_path: Path) -> Iterator[Served]:
    """The real server with `wine`, `houses` and `prices`; it is ended with the test."""
    with serving(all_artifacts, tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def every_server(every_model: Path) -> Iterator[Served]:
    """The real server on every model of the tests, with their reports."""
    with serving(every_model, every_model.parent / "reports") as running:
        yield running


@pytest.fixture
def write(tmp_path):
    """The function that writes a table called t.csv and, if there is one, its card."""

    def put(content: str | bytes, card: str = "") -> Path:
        path = tmp_path / "t.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if card:
            path.with_suffix(".toml").write_text(card, encoding="utf-8")
        return path

    return put


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    path = outside.outside("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def toy() -> Iterator[Running]:
    """The toy on one worker."""
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def hasty() -> Iterator[Running]:
    """The toy on one worker that has little patience."""
    with running(PATIENCE=1, IDLE=2, TELL=1, EVERY=0.1) as server:
        yield server
