"""Every command of Cellar: `inv NAME`, or `python3 tasks.py NAME` on a machine that has only Python."""

from __future__ import annotations

from workshop import environment

if __name__ == "__main__":
    environment.enter()  # makes .venv where it is missing and goes on inside it

# What a command needs is imported in its body, so that the menu appears at once.
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.program import Program

from workshop.menu import command, program, typed

ROOT = Path(__file__).resolve().parent
FOLLOWS = "a service that runs follows within a second or two"
OPTIONS = {
    "data": "a table: its name in data/ or a path; without it, every table in data/",
    "target": "the column to predict, where the table's card does not say it",
    "model": "the name to publish under; without it, the table's",
    "estimator": "decision_tree, linear_regression, random_forest, … (notebooks/modeling/learning/estimators.py)",
    "seed": "of the split, the folds and the estimator",
    "force": "run although nothing has changed since the last time",
    "parameter": "any other parameter of the notebooks, as name=value; can be given again",
}


@command()
def setup(c: Any) -> None:
    """Make or renew the environment and say where it is."""
    print(f"The environment is ready: {sys.prefix}")


@command()
def doctor(c: Any) -> None:
    """Check the machine, the folders and the published models."""
    from workshop.doctor import examine
    from workshop.verification import tell

    tell(examine())


@command()
def data(c: Any) -> None:
    """Write the sample tables in data/ again."""
    from workshop.samples import write

    for path in write(ROOT / "data"):
        print(path.relative_to(ROOT))


@command()
def lab(c: Any) -> None:
    """Open the notebooks in JupyterLab."""
    from workshop import programs

    root = ["--allow-root"] if os.geteuid() == 0 else []
    programs.run("jupyter", "lab", f"--notebook-dir={ROOT / 'notebooks'}", *root)


@command(
    positional=["name", "path"],
    help={
        "name": "what to call it, and its model",
        "path": "a file of rows",
        "target": "the column to predict",
        "overwrite": "replace a table and a card of that name",
    },
)
def new(c: Any, name: str, path: str, target: str = "", overwrite: bool = False) -> None:
    """Take a table into data/, with a card of what was inferred."""
    from service import config
    from workshop.new import take_in

    print(take_in(name, path, config.read().data, target, overwrite).told)
    print(f"Correct what was inferred there, then: {typed(f'pipeline --data {name}')}")


@command(help={name: OPTIONS[name] for name in ("data", "target", "parameter")}, iterable=["parameter"])
def explore(c: Any, data: str = "", target: str = "", parameter: Sequence[str] | None = None) -> None:
    """Run 01_explore: what is in a table?"""
    _run_notebooks(steps=["01_explore"], data=data, parameter=parameter, target=target)


@command(help={name: text for name, text in OPTIONS.items() if name != "force"}, iterable=["parameter"])
def train(
    c: Any,
    data: str = "",
    target: str = "",
    model: str = "",
    estimator: str = "",
    seed: str = "",
    parameter: Sequence[str] | None = None,
) -> None:
    """Run 02_train: make a candidate, not served until evaluated."""
    named = {"target": target, "model": model, "estimator": estimator, "seed": seed}
    _run_notebooks(steps=["02_train"], data=data, parameter=parameter, **named)


@command(
    help={
        "version": "the candidate; without it, the newest",
        **{k: OPTIONS[k] for k in ("data", "model", "parameter")},
    },
    iterable=["parameter"],
)
def evaluate(
    c: Any, data: str = "", model: str = "", version: str = "", parameter: Sequence[str] | None = None
) -> None:
    """Run 03_evaluate: measure, publish, promote if better."""
    _run_notebooks(steps=["03_evaluate"], data=data, parameter=parameter, model=model, version=version)


@command(help=OPTIONS, iterable=["parameter"])
def pipeline(
    c: Any,
    data: str = "",
    target: str = "",
    model: str = "",
    estimator: str = "",
    seed: str = "",
    parameter: Sequence[str] | None = None,
    force: bool = False,
) -> None:
    """All three: explore, train, evaluate and publish."""
    named = {"target": target, "model": model, "estimator": estimator, "seed": seed}
    _run_notebooks(data=data, parameter=parameter, force=force, **named)


@command(help={"host": "address to listen on", "port": "port to listen on", "workers": "processes that answer"})
def serve(c: Any, host: str = "127.0.0.1", port: str = "5000", workers: str = "2") -> None:
    """Serve the champions; run the pipeline first if it never ran."""
    from workshop import server

    port_, workers_ = server.whole("--port", port, 65535), server.whole("--workers", workers, 64)
    sys.exit(server.serve(host, port_, workers_, _registry()))


@command(
    positional=[],
    help={
        "model": "which model",
        "input": "CSV with a header",
        "output": "CSV to write",
        "version": "without it, the champion",
    },
)
def predict(c: Any, input: str = "", output: str = "", model: str = "wine", version: str = "") -> None:
    """Send a CSV of rows through a model into another CSV."""
    from workshop.batch import predict_by
    from workshop.server import whole

    number = whole("--version", version, 999_999_999) if version else None
    predict_by(_registry(), model, number, input, output)


@command()
def models(c: Any) -> None:
    """List versions and champions, with metric, time and reason."""
    from workshop.listing import table

    print(table(_registry(), shutil.get_terminal_size().columns if sys.stdout.isatty() else None))


@command(
    positional=["model", "version"],
    help={
        "model": "which model",
        "version": "which version, a number",
        "reason": "why, for the record",
        "force": "promote what the gate held back; needs a reason",
    },
)
def promote(c: Any, model: str, version: str, reason: str = "", force: bool = False) -> None:
    """Make a published version the one that is served."""
    from service import promotion
    from workshop.server import whole

    registry, number = _registry(), whole("a version", version, 999_999_999)
    if promotion.promote(registry, model, number, reason, force):
        print(f"{model} version {number} is champion now; {FOLLOWS}")
    else:
        print(f"{model} version {number} is the champion already: nothing is changed")


@command(positional=["model"], help={"model": "which model", "reason": "why, for the record"})
def rollback(c: Any, model: str, reason: str = "") -> None:
    """Go back to the champion before."""
    from service import promotion

    print(f"{model} version {promotion.rollback(_registry(), model, reason).version} is champion again; {FOLLOWS}")


@command()
def verify(c: Any) -> None:
    """Check every bundle, champion and history."""
    from workshop.verification import tell, verify_all

    tell(verify_all(_registry()), "; each says what to do")


@command(help={"keep": "how many of the newest versions, and of the latest champions, stay"})
def prune(c: Any, keep: str = "5") -> None:
    """Remove old versions, stale candidates and what crashes left."""
    from service import config
    from workshop import pruning, reports
    from workshop.server import whole

    registry, folder = _registry(), config.read().reports
    removed = 0
    for what in pruning.prune(registry, folder, whole("--keep", keep, 1_000_000)):
        print(f"removed {what}")
        removed += 1
    print(f"All versions: {reports.write_index(folder, registry)}" if removed else "There is nothing to remove.")


@command()
def reproduce(c: Any) -> None:
    """Put published numbers beside ours."""
    from workshop.progress import Progress
    from workshop.reproduce import reproduce

    page, tables = reproduce(Progress())
    print("\n\n".join([*tables, f"The page: {page}"]))


@command(help={"fast": "only the tests that start no kernel and take no seconds"})
def test(c: Any, fast: bool = False) -> None:
    """Run every test."""
    from workshop import programs

    words = ["-m", "not kernel and not clients and not slow", "--dist", "worksteal"] if fast else []
    programs.run("pytest", *words)


@command(help={"examples": "requests for each operation, beside those that its schema's limits give"})
def fuzz(c: Any, examples: str = "1000") -> None:
    """Look for requests that are not answered as /openapi.json says."""
    from workshop import programs
    from workshop.server import whole

    count = whole("--examples", examples, 1_000_000)
    programs.run("pytest", "tests/test_fuzz.py", "-n", "0", "-rs", "--examples", str(count))


@command(positional=["name"], help={"name": "what to measure, a file or folder of bench/; words after -- are its own"})
def bench(c: Any, name: str) -> None:
    """Measure something and print the figures."""
    from workshop import programs

    programs.become(programs.measurement(name), c.remainder)


@command()
def chaos(c: Any) -> None:
    """Disturb the service on purpose and see what holds."""
    from workshop import programs

    programs.become("chaos", c.remainder)


@command()
def lint(c: Any) -> None:
    """Check style and types."""
    from workshop import programs

    programs.run("ruff", "check", ".")
    programs.run("ruff", "format", "--check", ".")
    programs.run("mypy")


@command()
def format(c: Any) -> None:
    """Put the code into the common style."""
    from workshop import programs

    programs.run("ruff", "check", "--fix", ".")
    programs.run("ruff", "format", ".")


@command()
def lock(c: Any) -> None:
    """Derive each requirements.lock from its requirements.in."""
    from workshop.locking import write_locks

    for path in write_locks():
        print(path.relative_to(ROOT))


@command(help={"everything": "also the published models and their reports"})
def clean(c: Any, everything: bool = False) -> None:
    """Remove caches; with --everything also models and reports."""
    from workshop import cleaning

    cleaning.clean(everything)


def _run_notebooks(**options: Any) -> None:
    from workshop.running import run_notebooks

    if not run_notebooks(**options):
        sys.exit(1)


def _registry() -> Any:
    from service import config
    from service.registry import Registry

    return Registry(config.read().artifacts)


if __name__ == "__main__":
    menu = Collection.from_module(sys.modules[__name__])
    Program(namespace=menu, binary=program(), name="Cellar").run(["inv", *sys.argv[1:]])
