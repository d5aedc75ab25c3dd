"""The set-ups: how each is started in its best setting, two workers each, access logs off, and what it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from bench.serve import wire
from bench.serve.wire import Wire

PEERS = Path(__file__).with_name("peers")

Role = Literal["ours", "limit", "app", "framework"]


class Case(NamedTuple):
    """So many rows a request, over so many connections."""

    name: str
    rows: int
    connections: int


ONE, HUNDRED, BULK = Case("1 row", 1, 8), Case("100 rows", 100, 8), Case("10,000 rows", 10_000, 1)
TENSOR, STREAM = Case("10,000 rows, tensor", 10_000, 1), Case("10,000 rows, Arrow", 10_000, 1)
JSON_CASES = (ONE, HUNDRED, BULK)
MOST = max(case.rows for case in JSON_CASES)


class Setup(NamedTuple):
    """One way to serve the model; `words`, `before` and `environ` hold {fields} that `servers.fill` knows."""

    name: str
    role: Role
    words: str
    path: str
    wire: Wire
    environment: str = ""
    """Whose packages it runs with: of `peers/<environment>.txt`, "" for the workshop's own."""
    before: str = ""
    """What makes ready, once, what is served."""
    environ: Mapping[str, str] = {}
    more: Mapping[Case, tuple[str, Wire]] = {}
    """Other cases, with the path and the format of each."""

    def asked(self) -> dict[Case, tuple[str, Wire]]:
        """Return all cases with path and format."""
        return {**dict.fromkeys(JSON_CASES, (self.path, self.wire)), **self.more}


GRANIAN = "{bin}/granian --interface wsgi --http 1 --no-ws --workers 2 --blocking-threads 1 --log-level warning"
UVICORN = "{bin}/uvicorn --workers 2 --no-access-log --log-level warning --port {port}"
FEATURES = wire.lists("features", "prediction")
CELLAR = {"CELLAR_ARTIFACTS": "{artifacts}", "CELLAR_REPORTS": "{scratch}", "PYTHONPATH": "{root}"}
PORTS = {"MLSERVER_HTTP_PORT": "{port}", "MLSERVER_GRPC_PORT": "{port2}", "MLSERVER_METRICS_PORT": "{port3}"}
MLSERVER = {
    **PORTS,
    "MLSERVER_DEBUG": "false",
    "MLSERVER_PARALLEL_WORKERS": "0",
    "MLSERVER_MODEL_NAME": "wine",
    "MLSERVER_MODEL_URI": "{files}/model.pickle",
    "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_sklearn.SKLearnModel",
}

OURS = Setup(
    "Cellar", "ours", "{python} -m service --workers 2 --port {port}", "/models/wine/predict",
    wire.lists("instances", "predictions"), environ=CELLAR,
    more={
        TENSOR: ("/v2/models/wine/infer", wire.V2_BINARY),
        STREAM: ("/models/wine/predict", wire.ARROW_STREAM),
    },
)  # fmt: skip
BLOGS = Setup(
    "Flask + pickle + gunicorn", "app", "{bin}/gunicorn -w 2 -b 127.0.0.1:{port} flask_pickle:app", "/predict",
    FEATURES, "flask_pickle",
)  # fmt: skip
FASTAPI = Setup("FastAPI + onnxruntime", "app", f"{UVICORN} fastapi_onnx:app", "/predict", FEATURES, "fastapi_onnx")
BARE = Setup("bare WSGI", "limit", f"{GRANIAN} --port {{port}} bare:app", "/", FEATURES, "granian")
BUFFER = Setup(
    "bare WSGI, rows into a buffer", "limit", f"{GRANIAN} --port {{port}} bare_buffer:app", "/", FEATURES, "granian"
)
SKETCH = Setup("a plain Flask view", "limit", f"{GRANIAN} --port {{port}} sketch:app", "/", FEATURES, "granian")
OWN_BARE = Setup(
    "the same on Cellar's server", "limit", "{python} {peers}/own_bare.py {port}", "/", FEATURES,
    environ={"PYTHONPATH": "{root}"},
)  # fmt: skip
ALWAYS = (OURS, BLOGS, FASTAPI, SKETCH, BARE, BUFFER, OWN_BARE)

JOBLIB = Setup("FastAPI + joblib", "app", f"{UVICORN} fastapi_joblib:app", "/predict", FEATURES, "fastapi_joblib")
ML_SERVER = Setup(
    "MLServer", "framework", "{bin}/mlserver start .", "/v2/models/wine/infer", wire.V2, "mlserver", environ=MLSERVER
)
MLFLOW = Setup(
    "MLflow models serve", "framework", "{bin}/mlflow models serve -m mlflow-model --env-manager local -w 2 -p {port}",
    "/invocations", wire.lists("inputs", "predictions"), "mlflow", before="{python} {peers}/mlflow_save.py",
    environ={"PATH": "{bin}:/usr/bin:/bin"},
)  # fmt: skip
BENTOML = Setup(
    "BentoML", "framework", "{bin}/bentoml serve bentoml_app:Wine --working-dir {peers} --port {port}", "/predict",
    wire.lists("features"), "bentoml", environ={"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "{scratch}"},
)  # fmt: skip
VETIVER = Setup(
    "vetiver", "framework", f"{UVICORN} vetiver_app:app", "/predict", wire.RECORDS, "vetiver",
    environ={"BENCH_NAMES": "{names}"},
)  # fmt: skip
LITSERVE = Setup("LitServe", "framework", "{python} {peers}/litserve_app.py {port}", "/predict", FEATURES, "litserve")
OPTIONAL = {setup.environment: setup for setup in (JOBLIB, ML_SERVER, MLFLOW, BENTOML, VETIVER, LITSERVE)}
