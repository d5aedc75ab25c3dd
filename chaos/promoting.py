"""Experiment 6: eight processes that promote at the same moment, each another version over the same champion."""

from __future__ import annotations

import multiprocessing
import shutil
from collections import Counter
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

from chaos.experiment import Experiment, Outcome
from service.errors import PromotionError, StorageError
from service.registry import Registry

MODEL = "wine"
PROMOTERS, ROUNDS = 8, 1000
WON, LOST = "won", "lost"
PATIENCE = 60
"""Seconds that one promoter waits for the others."""


def run(folder: Path, scale: float) -> Outcome:
    """Let all promote, round after round, and compare what each was told with the history."""
    from bench.serve.trained import train  # here, since each promoter imports this module and needs no scikit-learn

    rounds = max(1, round(ROUNDS * scale))
    registry = Registry(train(folder, "logistic_regression", 1).artifacts)
    for version in range(2, PROMOTERS + 2):
        shutil.copytree(registry.place(MODEL, 1), registry.place(MODEL, version))
    told = _contend(registry, rounds)
    rows = list(zip(*told, strict=True))
    winners = [[version for version, what in row if what == WON] for row in rows]
    counts = Counter(what for row in rows for _, what in row)
    odd = [f"{count} times a promoter was told {what}" for what, count in counts.items() if what not in (WON, LOST)]
    return Outcome(
        f"{PROMOTERS} processes, {rounds} rounds: {counts[LOST]} of {PROMOTERS * rounds} came too late",
        f"{sum(map(len, winners))} won, {len(registry.history(MODEL))} lines of history",
        odd + _judge(registry, winners),
    )


def _judge(registry: Registry, winners: list[list[int]]) -> list[str]:
    """Return what is wrong: another number of winners than one, or a history that tells something else."""
    crowded = [f"round {at} had the winners {each}" for at, each in enumerate(winners) if len(each) != 1]
    events = registry.history(MODEL)
    if [event.version for event in events] != [1, *(version for each in winners for version in each)]:
        crowded.append("the history does not tell who won")
    if any(after.previous != before.version for before, after in pairwise(events)):
        crowded.append("a line of the history does not follow from the one before")
    if registry.champion(MODEL) != events[-1].version:
        crowded.append("the champion is not the last one of the history")
    return crowded


def _contend(registry: Registry, rounds: int) -> list[list[tuple[int, str]]]:
    """Return for each promoter what it promoted in each round, and what it was told."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(PROMOTERS)
    ends = [spawn.Pipe(duplex=False) for _ in range(PROMOTERS)]
    promoters = [
        spawn.Process(target=_promote, args=(registry.folder, number, rounds, barrier, end), daemon=True)
        for number, (_, end) in enumerate(ends)
    ]
    for promoter, (_, end) in zip(promoters, ends, strict=True):
        promoter.start()
        end.close()
    try:
        return [heard.recv() for heard, _ in ends]
    finally:
        for promoter in promoters:
            promoter.kill()
            promoter.join()


def _promote(folder: Path, number: int, rounds: int, barrier: Barrier, end: Connection) -> None:
    """Be one of the promoters: look who is champion, wait until all have looked, and promote another version."""
    registry, told = Registry(folder), []
    for _ in range(rounds):
        champion = registry.champion(MODEL)
        assert champion
        version = (champion + number) % (PROMOTERS + 1) + 1
        barrier.wait(PATIENCE)
        told.append((version, _told(registry, version, champion)))
        barrier.wait(PATIENCE)
    end.send(told)


def _told(registry: Registry, version: int, over: int) -> str:
    """Promote and return what the promoter was told."""
    try:
        registry.promote(MODEL, version, "one of many", over=over)
        return WON
    except PromotionError:
        return LOST
    except (OSError, StorageError) as error:
        return type(error).__name__


EXPERIMENTS = (Experiment(6, "eight processes promoting at once", run),)
