"""Loading versions that passed their trial, and remembering why the others did not.

A version is known by the hash of its sums, which bind every byte of it. What is loaded is read once, and refused unless
it is what was tried, whatever was put into its place in between.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from service import bundle
from service.errors import BundleError, LoadingError
from service.model import Model
from service.registry import Registry
from service.trial import PATIENCE, Tried

log = logging.getLogger("cellar")

BRIEF = 5.0
"""Seconds that a version is given at first, so that one that hangs keeps the others waiting for no longer."""

SHORTEST, LONGEST = 1.0, 300.0
"""Seconds between two attempts at a version that was refused: they double from one to the other."""

Version = tuple[str, int]
"""A model and the number of one of its versions."""

Key = tuple[str, int, str]
"""A version and the hash of its sums: what was found out holds for this content only."""


class Trial(Protocol):
    """What loads bundles where it harms nobody, and tells what became of the first of them, or of all."""

    def __call__(self, folders: Sequence[Path], *, patience: float) -> dict[Path, Tried]:
        """Give each bundle `patience` seconds."""


class Refusal(NamedTuple):
    """Why a version cannot be served, how long to wait, and until when."""

    why: str
    wait: float
    until: float


class Loader:
    """What is known of versions: which are sound, and which were refused and why."""

    def __init__(self, registry: Registry, trial: Trial) -> None:
        self.registry = registry
        self.reloads: Counter[tuple[str, str]] = Counter()
        """How often each model was (name, "loaded") or (name, "refused")."""
        self._trial = trial
        self._trying, self._retrying = threading.Lock(), threading.Lock()
        self._sound: set[Key] = set()
        self._refusals: dict[Key, Refusal] = {}

    def is_new(self, version: Version) -> bool:
        """Whether nothing is known of a version as it is now."""
        key = self._key(version)
        return key not in self._sound and key not in self._refusals

    def is_due(self, version: Version, by: float | None = None) -> bool:
        """Whether a version was refused long enough ago to be tried again, now or by a time of the monotonic clock."""
        key, now = self._key(version), time.monotonic() if by is None else by
        refusal = self._refusals.get(key)
        return key not in self._sound and refusal is not None and now >= refusal.until

    def attempt(self, versions: Sequence[Version]) -> None:
        """Try versions that are new, or else those that are due, up to one that crashes or hangs.

        There is one process at a time for what is new, which is given little time, and one for what is tried again.
        """
        again = any(map(self.is_due, versions))
        patience, is_its_turn = (PATIENCE, self.is_due) if again else (BRIEF, self.is_new)
        with self._retrying if again else self._trying:
            keys = [self._key(version) for version in versions if is_its_turn(version)]
            places = {self.registry.place(name, number): (name, number, sums) for name, number, sums in keys}
            for folder, tried in self._try(list(places), patience).items():
                name, number, _ = key = places[folder]
                if tried.why:
                    self._refuse(key, tried.why)
                else:
                    self._sound.add((name, number, tried.fingerprint))

    def _try(self, folders: list[Path], patience: float) -> dict[Path, Tried]:
        try:
            return self._trial(folders, patience=patience) if folders else {}
        except OSError as error:
            return dict.fromkeys(folders, Tried(f"no process can be started to try it in ({error.strerror})"))

    def load(self, version: Version) -> Model:
        """Return a version that passed its trial; BundleError if it did not, LoadingError if it had none yet."""
        name, number, _ = key = self._key(version)
        if key not in self._sound:
            if refusal := self._refusals.get(key):
                raise BundleError(refusal.why)
            raise LoadingError(f"{name} version {number} is to be tried first: ask again in a moment")
        try:
            model = Model(self._read_tried(version))
        except BundleError as error:
            self._refuse(key, str(error))
            raise
        except (MemoryError, OSError) as error:  # the trial had what is missing here
            self._refuse(key, f"{name}/{number} cannot be loaded beside the others ({type(error).__name__})")
            raise BundleError(self._refusals[key].why) from error
        self._refusals.pop(key, None)
        return model

    def _read_tried(self, version: Version) -> bundle.Bundle:
        name, number = version
        read = bundle.read(self.registry.place(name, number))
        if (name, number, read.fingerprint) not in self._sound:
            raise BundleError(f"{name}/{number} is another than was tried a moment ago: it is tried again")
        if read.metrics is None:
            raise BundleError(f"{name}/{number} was never evaluated: run 03_evaluate")
        return read

    def _refuse(self, key: Key, why: str) -> None:
        name, number, _ = key
        known = self._refusals.get(key)
        if not known or known.why != why:
            log.error("%s version %s was refused: %s", name, number, why)
        wait = min(2 * known.wait, LONGEST) if known else SHORTEST
        self._refusals[key] = Refusal(why, wait, time.monotonic() + wait)
        self._sound.discard(key)
        self.reloads[name, "refused"] += 1

    def _key(self, version: Version) -> Key:
        return *version, bundle.fingerprint(self.registry.place(*version))


class Waiting:
    """Versions that wait for a thread to try them, each once."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Version] = queue.SimpleQueue()
        self._there: set[Version] = set()

    def put(self, version: Version) -> None:
        """Have a version tried, unless it waits for that or is under way."""
        if version not in self._there:
            self._there.add(version)
            self._queue.put(version)

    def next(self, attempt: Callable[[Sequence[Version]], None], wait: float | None = None) -> None:
        """Try the one that came first, if there is one within `wait` seconds."""
        with suppress(queue.Empty):
            version = self._queue.get(timeout=wait)
            try:
                attempt([version])
            finally:
                self._there.discard(version)


def untried(folders: Sequence[Path], *, patience: float) -> dict[Path, Tried]:
    """Take bundles for sound as they are: a trial where this process may come to harm."""
    return {folder: Tried("", bundle.fingerprint(folder)) for folder in folders}
