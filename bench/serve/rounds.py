"""The rounds: each starts every set-up in turn, judges its answers, warms it, loads it, weighs it and ends it.

One at a time, because two processors are all there is: a server that idles beside the one that is measured still has
timers and memory. Starting anew also gives a cold start a round, and spreads the luck of one process over several.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from bench.serve import load, servers
from bench.serve.figures import IN_PROCESS, Run
from bench.serve.load import Load
from bench.serve.places import Place, prepare
from bench.serve.setups import BULK, JSON_CASES, ONE, Case, Setup
from bench.serve.trained import Trained
from service.errors import DataError

WARMING = 1
"""Seconds of load before the first that counts; the second worker of a slow starter is up by then."""
STARTING = 4
"""Seconds to start and to end a set-up, as many of them take; told, not counted on."""


def measure(setups: Sequence[Setup], trained: Trained, folder: Path, rounds: int, seconds: int) -> dict[str, list[Run]]:
    """Return the runs of every set-up that answers rightly, and of onnxruntime in process, the same rounds for all."""
    ready = [place for place in (_proved(setup, trained, folder) for setup in setups) if place]
    tell(f"{len(ready)} set-ups, {rounds} rounds: about {_minutes(ready, rounds, seconds):.0f} minutes")
    found: dict[str, list[Run]] = {name: [] for name in [*(place.setup.name for place in ready), IN_PROCESS]}
    for number in range(rounds):
        turn = number % len(ready)
        for place in [*ready[turn:], *ready[:turn]]:
            if place.setup.name in found:
                _add(found, place, seconds)
        found[IN_PROCESS].append(in_process(trained, seconds))
        tell(f"round {number + 1} of {rounds} done")
    return found


def _minutes(ready: Sequence[Place], rounds: int, seconds: int) -> float:
    return rounds * sum(WARMING + STARTING + seconds * len(place.requests) for place in ready) / 60


def _proved(setup: Setup, trained: Trained, folder: Path) -> Place | None:
    """Return a set-up ready to be measured, with the cases that it answers rightly; None, told, if it does not run."""
    try:
        place = prepare(setup, trained, folder)
        with servers.running(place) as server:
            for case in list(place.requests):
                fault = servers.fault(place, case, server.port)
                if fault and case not in setup.more:
                    raise DataError(f"{case.name}: {fault}")
                if fault:
                    tell(f"{setup.name} without {case.name}: {fault}")
                    del place.requests[case]
        return place
    except DataError as error:
        return _without(setup, error)


def _without(setup: Setup, error: DataError) -> None:
    if setup.role == "ours":
        raise DataError(f"{setup.name}: {error}") from error
    tell(f"{setup.name} is left out: {error}")


def _add(found: dict[str, list[Run]], place: Place, seconds: int) -> None:
    """Add a run of one set-up; a request that fails or a wrong answer voids all of its figures."""
    try:
        found[place.setup.name].append(_run(place, seconds))
    except DataError as error:
        del found[place.setup.name]
        _without(place.setup, error)


def _run(place: Place, seconds: int) -> Run:
    with servers.running(place) as server:
        for case in place.requests:
            if fault := servers.fault(place, case, server.port):
                raise DataError(f"{case.name}: {fault}")
        load.run(place.target(ONE, server.port), ONE.connections, WARMING)
        memory = 0.0
        loads: dict[Case, Load] = {}
        for case in place.requests:
            loads[case] = load.run(place.target(case, server.port), case.connections, seconds)
            if case in JSON_CASES:  # all set-ups are weighed after the same work
                memory = servers.memory(server.process)
        return Run(server.cold, memory, loads)


def in_process(trained: Trained, seconds: float) -> Run:
    """Return how often a second onnxruntime answers the bulk in this process, on one thread as a worker has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession((trained.files / "model.onnx").read_bytes(), options)
    numbers, took = trained.rows[: BULK.rows].astype(np.float32), []
    started = time.perf_counter()
    while not took or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        session.run(None, {"numbers": numbers})
        took.append(time.perf_counter() - before)
    p50, p99 = np.quantile(took, [0.5, 0.99])
    return Run(0, 0, {BULK: Load(len(took) / sum(took), p50 * 1e3, p99 * 1e3)})


def tell(line: str) -> None:
    """Tell the person in front of the terminal what is happening."""
    print(line, file=sys.stderr, flush=True)
