"""Running the pipeline: which tables, with which parameters, each in a process of its own, side by side."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.context import SpawnContext
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import msgspec

from modeling.choices import check_choices
from modeling.tables.dataset import read_card
from service import bundle, config
from service.errors import BundleError, DataError, meant
from service.registry import Registry
from workshop import parameters, record
from workshop.execution import STEPS, Job, Outcome, Tell, run

PATIENCE = 5
"""Seconds that a worker has to tidy up once it is told to stop, or the process that started it is gone."""


def find_tables(data: str = "") -> list[Path]:
    """Return the table called or at `data`, or every table of the house; raise DataError if there is none."""
    folder = config.read().data
    if data:
        for path in (folder / f"{data}.csv", Path(os.path.expanduser(data))):
            if os.path.isfile(path):
                return [path.resolve()]
        near = meant(data, [path.stem for path in folder.glob("*.csv")], f"name a file in {folder} or give a path")
        raise DataError(f"there is no table {data[:200]!r}: {near}")
    if not folder.is_dir():
        raise DataError(f"the folder of tables {folder} is missing: make it, or set CELLAR_DATA")
    tables = sorted(folder.glob("*.csv"))
    if not tables:
        raise DataError(f"the folder {folder} holds no CSV: put a table there, or set CELLAR_DATA")
    return tables


def check(job: Job) -> None:
    """Raise DataError if a parameter of the job is unknown or cannot be right, before anything starts."""
    if "data" in job.given:
        raise DataError("the parameter `data` is the table that the pipeline runs for: name it with --data")
    parameters.check_known(job.notebooks, job.given)
    for notebook in job.notebooks:
        given = parameters.choose(notebook, job.given)
        check_choices(**given)
        if "estimator" in given:
            _check_estimator(job, given)
    try:
        bundle.model_name(job.given.get("model") or "unnamed")  # it also names a folder below `reports/`
    except BundleError as error:
        raise DataError(f"the parameter `model`: {error}") from error


def _check_estimator(job: Job, given: dict[str, Any]) -> None:
    """Raise DataError at an estimator that is none, or not for the table's task as far as somebody has said it."""
    from modeling.learning import estimators  # scikit-learn, which only who names an estimator waits for

    card = read_card(job.data)
    by_card = card.task if given.get("target", "") in ("", card.target) else ""
    try:
        estimators.check_name(given["estimator"], given.get("task") or by_card)
    except DataError as error:
        raise DataError(f"{job.name}: {error}") from error


def run_all(jobs: Sequence[Job], tell: Tell, force: bool = False) -> list[Outcome]:
    """Run the jobs side by side, as many as there are processors, telling `tell` of every cell.

    A whole pipeline of which nothing has changed since it ran is not run again, unless by `force`.
    """
    for job in jobs:
        check(job)
    names = [job.model for job in jobs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"{len(twice)} tables would become one model, {twice[0]!r}: name one of the tables")
    done = [None if force else _done_before(job) for job in jobs]
    waiting = [job for job, outcome in zip(jobs, done, strict=True) if not outcome]
    ran = iter(_run_side_by_side(share_processors(waiting), tell))
    return [outcome or next(ran) for outcome in done]


def share_processors(jobs: Sequence[Job], processors: int = os.cpu_count() or 1) -> list[Job]:
    """Give each of several jobs its share of the processors as `n_jobs`, where it has that and none is given."""
    running = min(len(jobs), processors)
    if running < 2:
        return list(jobs)
    share = {"n_jobs": processors // running}
    return [
        msgspec.structs.replace(job, given={**share, **job.given})
        if any("n_jobs" in parameters.read(notebook) for notebook in job.notebooks)
        else job
        for job in jobs
    ]


def _done_before(job: Job) -> Outcome | None:
    if job.steps != STEPS:
        return None
    settings = config.read()
    version = record.find(Registry(settings.artifacts), settings.reports, job.model, job.data, job.notebooks, job.given)
    if not version:
        return None
    page = settings.reports / job.model / str(version) / f"{STEPS[-1]}.html"
    return Outcome(job.name, job.model, version, report=page, ran=False)


def _run_side_by_side(jobs: Sequence[Job], tell: Tell) -> list[Outcome]:
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        futures = [threads.submit(_run_alone, job, context, queue) for job in jobs]
        try:
            while not all(future.done() for future in futures) or not queue.empty():
                if queue.empty():
                    time.sleep(0.02)
                else:
                    tell(queue.get())
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)  # before its threads are free to begin what waits
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    return [future.result() for future in futures]


def _run_alone(job: Job, context: SpawnContext, queue: SimpleQueue[Any]) -> Outcome:
    """Run a job in a process of its own, so that whatever ends it ends no other."""
    try:
        with ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(queue,)) as pool:
            return pool.submit(_run_in_worker, job).result()
    except Exception as error:
        return Outcome(job.name, error=f"{type(error).__name__}: {error}")


_queue: SimpleQueue[Any]


def _begin(queue: SimpleQueue[Any]) -> None:
    """Prepare a worker: it tidies up when it is told to stop, and when the process that started it is gone."""
    global _queue  # noqa: PLW0603  a pool's initialiser has no other place to leave what it was given
    _queue = queue
    parent = multiprocessing.parent_process()
    assert parent

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the tidying
        threading.Thread(target=give_up, daemon=True).start()
        sys.exit(128 + number)

    def give_up() -> None:
        time.sleep(PATIENCE)
        os._exit(1)  # the pool's own loop survives SystemExit, and sockets left open would be waited for

    def follow() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent tells this one
    threading.Thread(target=follow, daemon=True).start()


def _run_in_worker(job: Job) -> Outcome:
    return run(job, _queue.put)
