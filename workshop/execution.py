"""Executing the notebooks of one table, by papermill, in one warm kernel, and putting what they made into reports."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from service import config
from service.config import ROOT
from service.errors import CellarError
from service.files import staged
from workshop import kernel, parameters, record

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
        from modeling.tables.dataset import slug

        return self.given.get("model") or slug(self.data.stem)

    @property
    def notebooks(self) -> list[Path]:
        """Its notebooks, in their order."""
        return [NOTEBOOKS / f"{step}.ipynb" for step in self.steps]


class Outcome(msgspec.Struct, frozen=True):
    """How a job ended: `error` is one sentence, "" where all went well; `ran` is false where nothing had changed."""

    name: str
    model: str = ""
    version: int = 0
    error: str = ""
    report: Path | None = None
    seconds: dict[str, float] = {}
    ran: bool = True


def run(job: Job, tell: Tell) -> Outcome:
    """Run the notebooks of one job in this process and put what they made into `reports/`."""
    settings = config.read()
    settings.reports.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    model, version, error = job.model, job.given.get("version", 0), ""
    with staged(settings.reports / "run") as folder:
        with kernel.started(job.notebooks) as warm, Pages(folder, job.steps) as pages:
            inputs = record.read_inputs(job.data, job.notebooks, job.given)
            for step in job.steps:
                started = time.perf_counter()
                made, error = execute(warm, job, step, folder, {"version": version} if version else {}, tell)
                model, version = made or (model, version)
                seconds[step] = round(time.perf_counter() - started, 2)
                if error:
                    break
                if version or len(job.steps) == 1:
                    pages.begin(settings.reports / model / str(version or "explored"))
            place = settings.reports / model / ("failed" if error else str(version or "explored"))
            started = time.perf_counter()
            pages.finish(place)
            seconds["html"] = round(time.perf_counter() - started, 2)
        _move(folder, place)
        if job.steps == STEPS and not error:
            record.write(place, inputs, settings.artifacts / model / str(version))
    return Outcome(job.name, model, version, error, place / f"{list(seconds)[-2]}.html", seconds)


def execute(
    warm: kernel.Kernel, job: Job, step: str, folder: Path, made: dict[str, Any], tell: Tell
) -> tuple[tuple[str, int] | None, str]:
    """Execute one notebook; return the bundle that it names, if any, and an error's one sentence, if any."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    from workshop import engine

    notebook = NOTEBOOKS / f"{step}.ipynb"
    given = parameters.choose(notebook, {**job.given, **made, "data": _from_notebooks(job.data)})
    cells = [cell["cell_type"] for cell in msgspec.json.decode(notebook.read_bytes())["cells"]]
    tell(("start", job.name, step, cells.count("code") + bool(given)))
    good = False
    try:
        warm.forget()
        document = engine.execute(
            notebook,
            folder / f"{step}.ipynb",
            given,
            warm,
            on_cell=lambda **_: tell(("cell", job.name, step)),
            on_part=lambda part: tell(("part", job.name, step, part["done"], part["total"], part["what"])),
        )
        good = True
    except PapermillExecutionError as error:
        return None, _sentence(error)
    except DeadKernelError:
        return None, f"{step}: the kernel died; it may have run out of memory"
    finally:
        tell(("end", job.name, step, good))
    return _named_bundle(document), ""


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


class Pages:
    """Makes the pages of executed notebooks in a thread, while the next notebook runs in its kernel."""

    def __init__(self, folder: Path, steps: Sequence[str]) -> None:
        self.folder, self.steps = folder, steps
        self.rendered: dict[Path, Path] = {}
        self.futures: list[Future[None]] = []

    def __enter__(self) -> Pages:
        """Start the thread; it imports first."""
        self.thread = ThreadPoolExecutor(1)
        self.thread.submit(self._import)
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread, without what it has not begun."""
        self.thread.shutdown(cancel_futures=True)

    def begin(self, place: Path) -> None:
        """Begin the pages of what is executed by now, as they are to stand in `place`."""
        from workshop import reports

        version = f"version {place.name}" if place.name.isdigit() else place.name
        names = {*self.steps, *(path.stem for path in place.glob("*.ipynb"))}
        if place.name == "failed":
            names = {path.stem for path in self.folder.glob("*.ipynb")}
        for notebook in sorted(self.folder.glob("*.ipynb")):
            if self.rendered.get(notebook) != place:
                self.rendered[notebook] = place
                caption = f"{place.parent.name}, {version}"
                self.futures.append(self.thread.submit(reports.render_page, notebook, names, caption))

    def finish(self, place: Path) -> None:
        """Make the pages that are missing, or were begun for another place, and wait for all."""
        self.begin(place)
        for future in self.futures:
            future.result()

    @staticmethod
    def _import() -> None:
        from workshop import reports

        reports.exporter()


def _move(folder: Path, place: Path) -> None:
    """Move the executed notebooks and their pages to `place`, each file whole."""
    place.mkdir(parents=True, exist_ok=True)
    if place.name == "failed":
        for old in place.glob("0*"):
            old.unlink()
    for path in sorted(folder.iterdir()):
        path.replace(place / path.name)
