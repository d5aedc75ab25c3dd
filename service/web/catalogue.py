"""What is served: the models, their versions and reports, health, and the front page."""

from __future__ import annotations

import re
import shlex
from typing import Any

import msgspec
from flask import Blueprint, Response, current_app, make_response, render_template, request, send_from_directory

from service import bundle, calibration, include, promotion
from service.config import Config
from service.contents import Manifest, Metrics
from service.errors import BundleError, NotFoundError
from service.model import Model
from service.registry import Registry
from service.web import current
from service.web.replies import json_reply

catalogue = Blueprint("catalogue", __name__)

REPORT = "03_evaluate"

UNITLESS = ("", "1", "code", "not stated")
"""Units that a person need not read."""

FRONT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""What the front page may load: its own scripts and styles, and nothing that stands in the page itself."""


@catalogue.get("/")
def front() -> Response:
    """Show a person what is served; tell a program that the service is alive."""
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        default = _config().default_model
        served = sorted(current.live().champions.values(), key=lambda model: (model.name != default, model.name))
        shown = [(model, describe(model)["report"]) for model in served]
        given = {"refused": current.live().refused, "curl": curl, "figure": figure, "unitless": UNITLESS}
        page = make_response(render_template("front.html", models=shown, **given))
        page.headers["Content-Security-Policy"] = FRONT_POLICY
        return page
    return json_reply({"status": "alive", "models": {m.name: m.version for m in current.live().champions.values()}})


@catalogue.get("/models")
def models() -> Response:
    """List every model with its features, classes, headline metrics and report, and what was refused."""
    served = [describe(model) for model in current.live().champions.values()]
    return json_reply({"models": served, "refused": current.live().refused})


@catalogue.get("/models/<name>")
def model(name: str) -> Response:
    """Describe the champion of one model."""
    return json_reply(describe(current.model(name)))


@catalogue.get("/models/<name>/versions")
def versions(name: str) -> Response:
    """List the published versions of one model, with the one that answers and its history."""
    registry = current.live().registry
    registry.check_model(name)
    numbers = registry.versions(name)
    champion = current.live().champions.get(name)
    return json_reply(
        {
            "model": name,
            "versions": numbers,
            "verdicts": {str(number): _verdict(registry, name, number) for number in numbers},
            "serving": champion.version if champion else None,
            "champion": registry.champion(name),
            "history": registry.history(name),
        }
    )


@catalogue.get("/models/<name>/versions/<int:version>")
def one_version(name: str, version: int) -> Response:
    """Describe one published version of a model."""
    return json_reply(describe(current.model(name, version)))


@catalogue.get("/models/<name>/report", defaults={"page": REPORT})
@catalogue.get("/models/<name>/<page>.html")
@catalogue.get("/models/<name>/versions/<int:version>/report", defaults={"page": REPORT})
@catalogue.get("/models/<name>/versions/<int:version>/<page>.html")
def report(name: str, page: str, version: int | None = None) -> Response:
    """Send the report of a version: its evaluation, which links to the other notebooks' pages."""
    number = current.version(name, version)
    folder = _config().reports / name / str(number)
    if not re.fullmatch(r"[0-9a-z_]{1,64}", page) or not (folder / f"{page}.html").is_file():
        raise NotFoundError(f"{name} version {number} has no report page {page[:40]!r}")
    return send_from_directory(folder, f"{page}.html")


@catalogue.get("/health/live")
def live() -> Response:
    """Say that the process answers."""
    return json_reply({"live": True})


@catalogue.get("/health/ready")
def ready() -> Response:
    """Say whether a verified model can answer, and what was refused."""
    current.live().check_ready()
    return json_reply({"ready": True, "models": sorted(current.live().champions), "refused": current.live().refused})


def describe(model: Model) -> dict[str, Any]:
    """Return what a consumer needs to know of a model."""
    manifest, metrics = model.manifest, model.bundle.metrics
    assert metrics is not None
    address = f"/models/{model.name}/versions/{model.version}"
    page = _config().reports / model.name / str(model.version) / f"{REPORT}.html"
    return {
        "name": model.name,
        "version": model.version,
        "task": manifest.task,
        "estimator": manifest.estimator,
        "features": msgspec.to_builtins(manifest.features),
        "target": msgspec.to_builtins(manifest.target),
        "headline": metrics.headline,
        "metrics": msgspec.to_builtins(metrics.held_out),
        "held_out_rows": metrics.rows,
        "verdict": promotion.verdict(promotion.objection(metrics)),
        "data": msgspec.to_builtins(manifest.data),
        "coverage": _coverage(metrics),
        "created": manifest.created,
        "report": f"{address}/report" if page.is_file() else None,
        "predict": f"{address}/predict",
    }


def _verdict(registry: Registry, name: str, version: int) -> str:
    try:
        return promotion.verdict(promotion.objection(bundle.read_metrics(registry.place(name, version))))
    except BundleError:
        return "damaged"


def _coverage(metrics: Metrics) -> dict[str, float] | None:
    """Return the coverage that intervals have unless another is asked for, and the most that can be promised."""
    measured = metrics.calibration
    return {"default": include.usual_coverage(measured), "most": calibration.most(measured.rows)} if measured else None


def figure(value: float) -> str:
    """Return a metric as a person reads it: 0.851, 55.1, 53,460."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def curl(manifest: Manifest, base: str) -> str:
    """Return a command that can be pasted into a shell and asks for one prediction."""
    row = {feature.name: feature.example for feature in manifest.features}
    body = shlex.quote(msgspec.json.encode({"instances": [row]}).decode())
    return f"curl {base}models/{manifest.model}/predict -H 'Content-Type: application/json' -d {body}"


def _config() -> Config:
    config: Config = current_app.config["CELLAR"]
    return config
