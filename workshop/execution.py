"""Executing the notebooks of one table, by papermill, in one warm kernel, and putting what they made into reports."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from service import config
from service.config import ROOT
from service.errors import CellarError
from workshop import parameters

NOTEBOOKS = ROOT / "notebooks"
STEPS = ("01_explore", "02_train", "03_evaluate")
BUNDLE_MIME = "application/vnd.cellar+json"

Tell = Callable[[tuple[Any, ...]], None]


class Job(msgspec.Struct, frozen=True):
    """Notebooks to run for one table, with what was asked of them."""

    data: Path
    given: dict[str, Any] = {}
    steps: tuple[str, ...] = STEPS

    @property
    def name(self) -> str:
        """What the job is called on the screen and in `reports/` until a version is known."""
        return self.given.get("model") or self.data.stem

    @property
    def model(self) -> str:
        """What it publishes under; DataError if the table's name can be no model's."""
        from modeling.dataset import slug

        return self.given.get("model") or slug(self.data.stem)


class Outcome(msgspec.Struct, frozen=True):
    """How a job ended: `error` is one sentence, "" where all went well."""

    name: str
    model: str = ""
    version: int = 0
    error: str = ""
    report: Path | None = None
    seconds: dict[str, float] = {}


def run(job: Job, tell: Tell) -> Outcome:
    """Run the notebooks of one job in this process and put what they made into `reports/`."""
    reports = config.read().reports
    reports.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    model, version, error = job.model, job.given.get("version", 0), ""
    folder = Path(tempfile.mkdtemp(prefix=".run-", dir=reports))
    try:
        folder.chmod(0o755)
        with warm_kernel() as execute:
            for step in job.steps:
                started = time.perf_counter()
                made, error = execute(job, step, folder, {"version": version} if version else {}, tell)
                model, version = made or (model, version)
                seconds[step] = round(time.perf_counter() - started, 2)
                if error:
                    break
        place = reports / model / ("failed" if error else str(version or "explored"))
        started = time.perf_counter()
        _render_into(folder, place)
        seconds["html"] = round(time.perf_counter() - started, 2)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(job.name, model, version, error, place / f"{list(seconds)[-2]}.html", seconds)


@contextmanager
def warm_kernel() -> Iterator[Callable[..., tuple[tuple[str, int] | None, str]]]:
    """Start one kernel and yield what executes a notebook in it; a notebook finds it as if it were new."""
    from jupyter_client.manager import KernelManager

    with tempfile.TemporaryDirectory(prefix="cellar-") as runtime:
        kernel = KernelManager(
            kernel_name="python3",
            # Sockets in a folder of our own: two kernels that start at once can pick the same port.
            transport="ipc",
            connection_file=f"{runtime}/kernel.json",
            client_class="jupyter_client.asynchronous.AsyncKernelClient",
        )
        # nbclient asks for its own interpreter's kernel; a `python3` of somebody's home folder must not take its place.
        assert kernel.kernel_spec
        kernel.kernel_spec.argv[0] = sys.executable
        kernel.start_kernel()
        try:
            yield lambda *words: _execute(kernel, *words)
        finally:
            kernel.shutdown_kernel(now=True)


def _execute(
    kernel: Any, job: Job, step: str, folder: Path, made: dict[str, Any], tell: Tell
) -> tuple[tuple[str, int] | None, str]:
    """Execute one notebook; return the bundle that it names, if any, and an error's one sentence, if any."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    notebook = NOTEBOOKS / f"{step}.ipynb"
    given = parameters.choose(notebook, {**job.given, **made, "data": _from_notebooks(job.data)})
    cells = [cell["cell_type"] for cell in msgspec.json.decode(notebook.read_bytes())["cells"]]
    tell(("start", job.name, step, cells.count("code") + bool(given)))
    _forget(kernel)
    good = False
    try:
        document = papermill.execute_notebook(
            notebook,
            str(folder / f"{step}.ipynb").replace("{", "{{").replace("}", "}}"),  # papermill formats its paths
            given,
            cwd=NOTEBOOKS,
            progress_bar=False,
            km=kernel,
            on_cell_complete=lambda cell, cell_index: tell(("cell", job.name, step)),
        )
        good = True
    except PapermillExecutionError as error:
        return None, _sentence(error)
    except DeadKernelError:
        return None, f"{step}: the kernel died; it may have run out of memory"
    finally:
        tell(("end", job.name, step, good))
    return _named_bundle(document), ""


def _forget(kernel: Any) -> None:
    """Empty the kernel's namespace and history; what it has imported stays imported."""
    client = kernel.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute("get_ipython().reset(new_session=True)", silent=True, reply=True, timeout=60)
    finally:
        client.stop_channels()


def _named_bundle(document: Any) -> tuple[str, int] | None:
    for cell in document.cells:
        for output in cell.get("outputs", []):
            named = output.get("data", {}).get(BUNDLE_MIME)
            if named:
                return named["model"], named["version"]
    return None


def _sentence(error: Any) -> str:
    known = error.ename in {kind.__name__ for kind in (*CellarError.__subclasses__(), CellarError)}
    text = " ".join(str(error.evalue).split())
    return text if known or error.ename == "AssertionError" else f"{error.ename}: {text}"


def _from_notebooks(data: Path) -> str:
    """Return a table's path as the notebooks write it, so that reports name no folder of this machine."""
    inside = data.is_relative_to(ROOT)
    return os.path.relpath(data, NOTEBOOKS) if inside else str(data)


def _render_into(folder: Path, place: Path) -> None:
    """Move the executed notebooks and their pages to `place`, each file whole."""
    from workshop import reports

    place.mkdir(parents=True, exist_ok=True)
    if place.name == "failed":
        for old in place.glob("0*"):
            old.unlink()
    version = f"version {place.name}" if place.name.isdigit() else place.name
    reports.render(folder, [*folder.glob("*.ipynb"), *place.glob("*.ipynb")], f"{place.parent.name}, {version}")
    for path in sorted(folder.iterdir()):
        path.replace(place / path.name)
