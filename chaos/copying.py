"""Experiment 2: a bundle copied into place file by file, in every order, while somebody tries to load it."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

from bench.serve.trained import train
from chaos.experiment import Experiment, Outcome
from service import bundle
from service.errors import BundleError
from service.live import Live
from service.model import load
from service.registry import CHAMPION, Registry

MODEL = "wine"
FILES = (*bundle.CANDIDATE_FILES, bundle.METRICS, bundle.SUMS)
PIECE = 4096


class Poll:
    """A reader that asks, again and again, which version would be served; `whole` says when it may be the new one."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.whole = False
        self.looking = threading.Lock()
        """Held by each look, and by who takes away what was whole."""
        self.old = self.new = self.early = 0
        self.ended = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Poll:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        try:
            while not self._over.is_set():
                with self.looking:
                    version = served(self.registry)
                    self.old += version == 1
                    self.new += version == 2
                    self.early += version != 1 and not self.whole
        except Exception as error:
            self.ended = repr(error)

    def faults(self) -> list[str]:
        """Return what was wrong with what it was given, or with itself."""
        wrong = [f"the reader beside was given what was not whole, {self.early} times"] if self.early else []
        wrong += [f"the reader beside ended: {self.ended}"] if self.ended else []
        return wrong + ["the reader beside never looked"] * (not self.old)


def run(folder: Path, scale: float) -> Outcome:
    """Copy version 1 as version 2, which the pointer names already, in each order; look after each piece."""
    registry = Registry(train(folder, "logistic_regression", 1).artifacts)
    (registry.home(MODEL) / CHAMPION).write_text("2\n")
    orders = list(permutations(FILES))[:: max(1, round(1 / scale))]
    logging.disable(logging.ERROR)  # each refusal is told, thousands of times
    try:
        with Poll(registry) as poll:
            tried = [_copy(registry, poll, order) for order in orders]
    finally:
        logging.disable(logging.NOTSET)
    looks, wrong = sum(looks for looks, _ in tried), [each for _, found in tried for each in found]
    return Outcome(
        f"{len(orders)} orders of {len(FILES)} files, {looks} looks at unfinished ones, {poll.old + poll.new} beside",
        f"{looks - len(wrong)} refused, {len(orders)} loaded once whole; beside {poll.old} old, {poll.new} new",
        wrong + poll.faults(),
    )


def _copy(registry: Registry, poll: Poll, order: tuple[str, ...]) -> tuple[int, list[str]]:
    """Copy in one order; return how often an unfinished bundle was tried, and which of these were loaded."""
    source, place = registry.place(MODEL, 1), registry.place(MODEL, 2)
    with poll.looking:
        poll.whole = False
        shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    pieces = list(_pieces(source, order))
    wrong = []
    for name, piece in pieces[:-1]:
        _append(place / name, piece)
        if _is_loaded(place) or served(registry) != 1:
            wrong.append(f"loaded before it was whole, at {name} of {', '.join(order)}")
    poll.whole = True
    _append(place / pieces[-1][0], pieces[-1][1])
    if not _is_loaded(place) or served(registry) != 2:
        wrong.append(f"not loaded when it was whole, by {', '.join(order)}")
    return len(pieces) - 1, wrong


def _pieces(source: Path, order: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield each file in its turn, cut into pieces: at least an empty one, one without its last byte, and that byte."""
    for name in order:
        content = (source / name).read_bytes()
        yield name, b""
        yield from ((name, content[at : min(at + PIECE, len(content) - 1)]) for at in range(0, len(content) - 1, PIECE))
        yield name, content[-1:]


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)


def _is_loaded(place: Path) -> bool:
    try:
        return load(place).bundle.metrics is not None
    except BundleError:
        return False


def served(registry: Registry) -> int:
    """Return the version that a service which starts now would answer with."""
    live = Live(registry)
    live.look()
    return live.get(MODEL).version


EXPERIMENTS = (Experiment(2, "a bundle copied into place, file by file", run),)
