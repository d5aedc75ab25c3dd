"""Every command of Cellar: `inv NAME`, or `python3 tasks.py NAME` on a machine that has only Python."""

from __future__ import annotations

from workshop import environment

if __name__ == "__main__":
    environment.enter()  # makes .venv where it is missing and goes on inside it

# What a command needs is imported in its body, so that the menu appears at once.
import functools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import invoke.program
from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.program import Program
from invoke.tasks import Task, task

if TYPE_CHECKING:
    from workshop.execution import Outcome

ROOT = Path(__file__).resolve().parent

# invoke lists commands by the alphabet; a menu has an order, the one in which they stand here.
vars(invoke.program)["sorted"] = list


def command(**options: Any) -> Callable[[Callable[..., Any]], Task[Any]]:
    """Make a function a command; a mistake of the user's, or of the disk's, ends it in one sentence and exit code 1."""

    def register(body: Callable[..., Any]) -> Task[Any]:
        @functools.wraps(body)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            from service.errors import CellarError

            try:
                return body(*args, **kwargs)
            except CellarError as error:
                raise Exit(str(error), code=1) from None
            except OSError as error:
                if not error.filename:
                    raise
                raise Exit(f"{error.filename}: {error.strerror}", code=1) from None
            except KeyboardInterrupt:
                raise Exit("stopped", code=130) from None

        made: Task[Any] = task(**options)(guarded)
        return made

    return register


ALL = ""
"""In place of one notebook's name: every notebook of the pipeline, in its order."""
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

    bad = _tell_checks(examine())
    if bad:
        raise Exit(f"{bad} of these checks failed", code=1)


@command()
def data(c: Any) -> None:
    """Write the sample tables in data/ again."""
    from workshop.samples import write

    for path in write(ROOT / "data"):
        print(path.relative_to(ROOT))


@command()
def lab(c: Any) -> None:
    """Open the notebooks in JupyterLab."""
    root = ["--allow-root"] if os.geteuid() == 0 else []
    _python("jupyter", "lab", f"--notebook-dir={ROOT / 'notebooks'}", *root)


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

    taken = take_in(name, path, config.read().data, target, overwrite)
    rows, columns = taken.table.table.shape
    found = "" if taken.fault else f"; a {taken.task} of {taken.table.target!r}"
    print(f"{rows} rows, {columns} columns, read as {taken.table.form.told()}{found}")
    if taken.fault:
        print(f"Its target cannot be learned yet: {taken.fault}")
    print(f"Correct what was inferred in {taken.card}, then: inv pipeline --data {name}")


@command(help={name: OPTIONS[name] for name in ("data", "target", "parameter")}, iterable=["parameter"])
def explore(c: Any, data: str = "", target: str = "", parameter: Sequence[str] | None = None) -> None:
    """Run 01_explore: what is in a table?"""
    _run_notebooks("01_explore", data, parameter, target=target)


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
    _run_notebooks("02_train", data, parameter, target=target, model=model, estimator=estimator, seed=seed)


@command(
    help={
        "version": "the candidate; without it, the newest",
        **{k: OPTIONS[k] for k in ("data", "model", "parameter")},
    },
    iterable=["parameter"],
)
def evaluate(c: Any, data: str = "", model: str = "", version: int = 0, parameter: Sequence[str] | None = None) -> None:
    """Run 03_evaluate: measure, publish, promote if better."""
    _run_notebooks("03_evaluate", data, parameter, model=model, version=version)


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
    _run_notebooks(ALL, data, parameter, force=force, target=target, model=model, estimator=estimator, seed=seed)


@command(help={"host": "address to listen on", "port": "port to listen on", "workers": "processes that answer"})
def serve(c: Any, host: str = "127.0.0.1", port: str = "5000", workers: str = "2") -> None:
    """Serve the champions; run the pipeline first if it never ran."""
    from service.files import locked
    from workshop import server

    registry = _registry()
    number, count = server.whole("--port", port, 65535), server.whole("--workers", workers, 64)
    with server.claimed(host, number, registry.folder):
        with locked(registry.folder):  # of services that start at once, one runs the pipeline
            if not registry.models():
                _run_notebooks(ALL, go_on=True)
        sys.exit(server.run(host, number, count, registry))


@command(
    positional=[],
    help={
        "model": "which model",
        "input": "CSV with a header",
        "output": "CSV to write",
        "version": "without it, the champion",
    },
)
def predict(c: Any, input: str = "", output: str = "", model: str = "wine", version: int = 0) -> None:
    """Send a CSV of rows through a model into another CSV."""
    from service.errors import DataError
    from service.live import Live
    from workshop.batch import predict_file

    for name, path, cure in (("--input", input, "data/wine.csv"), ("--output", output, "predictions.csv")):
        if not path:
            raise DataError(f"{name} is missing: name a file, such as {name} {cure}")
    live = Live(_registry())
    live.look()
    answering = live.get(model, version or None)
    count, warned = predict_file(answering, Path(input), Path(output))
    print(f"{count} predictions of {model} version {answering.version} written to {output}")
    if warned:
        print(f"{len(warned)} values or more are new to the model, first: {warned[0]}", file=sys.stderr)


@command()
def models(c: Any) -> None:
    """List versions and champions, with metric, time and reason."""
    from workshop.listing import table

    print(table(_registry()))


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

    if not version.isdecimal():
        raise Exit(f"a version is a whole number, got {version!r}; inv models lists them", code=1)
    promotion.promote(_registry(), model, int(version), reason, force)
    print(f"{model} version {version} is champion now; {FOLLOWS}")


@command(positional=["model"], help={"model": "which model", "reason": "why, for the record"})
def rollback(c: Any, model: str, reason: str = "") -> None:
    """Go back to the champion before."""
    from service import promotion

    print(f"{model} version {promotion.rollback(_registry(), model, reason).version} is champion again; {FOLLOWS}")


@command()
def verify(c: Any) -> None:
    """Check every bundle, champion and history."""
    from workshop.verification import verify_all

    bad = _tell_checks(verify_all(_registry()))
    if bad:
        raise Exit(f"{bad} of these checks failed; each says what to do", code=1)


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
    words = ["-m", "not kernel and not clients and not slow", "--dist", "worksteal"] if fast else []
    _python("pytest", *words)


@command(help={"examples": "requests for each operation, beside those that its schema's limits give"})
def fuzz(c: Any, examples: str = "1000") -> None:
    """Look for requests that are not answered as /openapi.json says."""
    from workshop.server import whole

    count = whole("--examples", examples, 1_000_000)
    _python("pytest", "tests/test_fuzz.py", "-n", "0", "-rs", "--examples", str(count))


@command(positional=["name"], help={"name": "what to measure, a file or folder of bench/; words after -- are its own"})
def bench(c: Any, name: str) -> None:
    """Measure something and print the figures."""
    from service.errors import DataError

    folders = (path.parent for path in (ROOT / "bench").glob("*/__main__.py"))
    known = sorted(path.stem for path in [*(ROOT / "bench").glob("*.py"), *folders])
    if name not in known:
        raise DataError(f"nothing measures {name[:40]!r}: bench/ has {', '.join(known)}")
    os.chdir(ROOT)
    # In place of this process, so that Ctrl-C reaches the measurement alone and it can end what it started.
    os.execv(sys.executable, [sys.executable, "-m", f"bench.{name}", *shlex.split(c.remainder)])


@command()
def chaos(c: Any) -> None:
    """Disturb the service on purpose and see what holds."""
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "chaos", *shlex.split(c.remainder)])


@command()
def lint(c: Any) -> None:
    """Check style and types."""
    _python("ruff", "check", ".")
    _python("ruff", "format", "--check", ".")
    _python("mypy")


@command()
def format(c: Any) -> None:
    """Put the code into the common style."""
    _python("ruff", "check", "--fix", ".")
    _python("ruff", "format", ".")


@command()
def lock(c: Any) -> None:
    """Derive each requirements.lock from its requirements.in."""
    from workshop.locking import write_locks

    for path in write_locks():
        print(path.relative_to(ROOT))


@command(help={"everything": "also the published models and their reports"})
def clean(c: Any, everything: bool = False) -> None:
    """Remove caches; with --everything also models and reports."""
    for name in (".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    if everything:
        from service import config

        settings = config.read()
        shutil.rmtree(settings.artifacts, ignore_errors=True)
        for path in settings.reports.glob("*"):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "README.md":
                path.unlink()


def _tell_checks(checks: Iterable[tuple[bool, str]]) -> int:
    bad = 0
    for good, what in checks:
        print(f"{'ok  ' if good else 'BAD '} {what}")
        bad += not good
    return bad


def _run_notebooks(
    step: str,
    data: str = "",
    parameter: Sequence[str] | None = None,
    go_on: bool = False,
    force: bool = False,
    **named: Any,
) -> None:
    from service.errors import DataError
    from workshop import parameters
    from workshop.execution import STEPS, Job
    from workshop.pipeline import find_tables, run_all
    from workshop.progress import Progress

    given = {
        **parameters.parse(list(parameter or [])),
        **{name: value for name, value in named.items() if value != ""},
    }
    if not data and named.get("target"):
        raise DataError("--target names a column of one table: name the table with --data")
    jobs = [Job(table, given, (step,) if step else STEPS) for table in find_tables(data)]
    outcomes = run_all(jobs, Progress(), force)
    _tell(outcomes)
    if any(outcome.error for outcome in outcomes) and not (go_on and _registry().models()):
        sys.exit(1)


def _tell(outcomes: list[Outcome]) -> None:
    from service import config
    from workshop.listing import verdict
    from workshop.reports import write_index

    registry = _registry()
    for outcome in outcomes:
        if not outcome.ran:
            since = f"{outcome.model}: nothing changed since version {outcome.version}"
            print(f"{since} ({outcome.report}); --force runs it again")
        elif not outcome.error:
            print(f"{verdict(registry, outcome.model, outcome.version)}\n  {outcome.report}")
    print(f"All versions: {write_index(config.read().reports, registry)}")
    for outcome in outcomes:
        if outcome.error:
            page = f" (see {outcome.report})" if outcome.report else ""
            print(f"{outcome.name}: {outcome.error}{page}", file=sys.stderr)


def _registry() -> Any:
    from service import config
    from service.registry import Registry

    return Registry(config.read().artifacts)


def _python(module: str, *words: str) -> None:
    code = subprocess.call([sys.executable, "-m", module, *words], cwd=ROOT)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    menu = Collection.from_module(sys.modules[__name__])
    Program(namespace=menu, binary="inv", name="Cellar").run(["inv", *sys.argv[1:]])
