"""The models that this process answers with: each one's champion, verified before its first answer, and its successors.

A promotion is noticed by looking. The new version is tried in another process, loaded beside the old one and put into
its place between two requests; who was given the old one keeps it to the end of its request. What cannot be served is
refused, once in the log, and tried again ever more rarely, while the last good version answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from service import bundle
from service.errors import BundleError, NoModelError, NotFoundError
from service.model import Model, load
from service.registry import Registry

log = logging.getLogger("cellar")

KEPT = 8
"""How many versions other than champions stay loaded once someone asked for them by number."""

SHORTEST, LONGEST = 1.0, 300.0
"""Seconds between two attempts at a version that was refused: they double from one to the other."""

Trial = Callable[[Sequence[Path]], dict[Path, str]]
"""What loads bundles where it harms nobody, and tells what is wrong with each, "" where nothing is."""

Key = tuple[str, int, str]
"""A version of a model, and the hash of its sums: what was found out holds for this content only."""


class Refusal(NamedTuple):
    """Why a version cannot be served, how long to wait, and until when."""

    why: str
    wait: float
    until: float


class Live:
    """Champions by model name, versions asked for by number, and what was refused and why."""

    def __init__(self, registry: Registry, trial: Trial = lambda folders: dict.fromkeys(folders, "")) -> None:
        self.registry = registry
        self.champions: dict[str, Model] = {}
        """Replaced and never changed, so that whoever goes through it does so undisturbed."""
        self.refused: dict[str, str] = {}
        self.reloads: Counter[tuple[str, str]] = Counter()
        """How often each model was (name, "loaded") or (name, "refused")."""
        self.on_new_model: Callable[[], None] = lambda: None
        self._trial = trial
        self._sound: set[Key] = set()
        self._refusals: dict[Key, Refusal] = {}
        self._others: dict[tuple[str, int], Model] = {}
        self._looking, self._keeping = threading.Lock(), threading.Lock()
        self._locks: defaultdict[tuple[str, int], threading.Lock] = defaultdict(threading.Lock)

    def load(self) -> None:
        """Load every model's champion; where that is refused, the latest earlier champion that is sound."""
        orders = {name: self._order(name) for name in self.registry.names()}
        self._try([self._key(name, order[0]) for name, order in orders.items() if order])
        for name, order in orders.items():
            told: list[str] = []
            for version in order:
                try:
                    self._serve(name, self._load(name, version))
                except BundleError as error:
                    told.append(f"version {version} was refused: {error}")
                else:
                    break
            if told:
                self._tell(name, told)

    def watch(self, poll: float) -> None:
        """Look for promotions from now on, every `poll` seconds, in a thread of its own."""
        threading.Thread(target=self._watch, args=(poll,), name="promotions", daemon=True).start()

    def _watch(self, poll: float) -> None:
        failed = ""
        while True:
            time.sleep(poll)
            try:
                self.look()
                failed = ""
            except Exception as error:  # whatever it is, the models that are served are served on
                if str(error) != failed:
                    log.exception("looking for promotions failed")
                failed = str(error)

    def look(self) -> None:
        """Load the champions that were promoted since; what is refused leaves the version that is served."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        for name in self.registry.names():
            served = self.champions.get(name)
            try:
                version = self.registry.champion(name)
                if version is None:
                    continue
                if not served or served.version != version:
                    self._serve(name, self._load(name, version))
                self.refused = {other: why for other, why in self.refused.items() if other != name}
            except BundleError as error:
                self._tell(name, [f"version {version} was refused: {error}"])
            except OSError as error:
                self._tell_unreadable(name, error)

    def _order(self, name: str) -> list[int]:
        try:
            return self.registry.candidates_to_serve(name)
        except OSError as error:  # the other models are served all the same
            self._tell_unreadable(name, error)
            return []

    def check_ready(self) -> None:
        """Raise NoModelError, with what was refused, unless a verified model can answer."""
        if not self.champions:
            told = "; ".join(self.refused.values()) or "run the pipeline, what it promotes is served at once"
            raise NoModelError(f"no model can be served: {told}")

    def get(self, name: str, version: int | None = None) -> Model:
        """Return a model, by version or its champion; raise NotFoundError or, if none is sound, NoModelError."""
        champion = self.champions.get(name)
        if version is None or (champion and champion.version == version):
            return champion or self._none(name)
        return self._others.get((name, version)) or self._by_number(name, version)

    def _by_number(self, name: str, version: int) -> Model:
        if version not in self.registry.versions(name):
            raise NotFoundError(f"{name} has no published version {version}; see /models/{name}/versions")
        with self._locks[name, version]:  # one loads it, whoever else asks meanwhile waits
            model = self._others.get((name, version))
            if not model:
                model = self._load(name, version)
                with self._keeping:
                    self._others = dict([*self._others.items(), ((name, version), model)][-KEPT:])
            return model

    def _none(self, name: str) -> Model:
        if self.registry.versions(name):
            why = self.refused.get(name, "none of its versions was promoted")
            raise NoModelError(f"{name} has no version that can be served: {why}")
        if not self.champions:
            raise NoModelError("no model can be served yet: run the pipeline")
        raise NotFoundError(f"no model is called {name[:80]!r} (models: {', '.join(self.champions)})")

    def _serve(self, name: str, model: Model) -> None:
        served = self.champions.get(name)
        self.champions = {**self.champions, name: model}
        self.reloads[name, "loaded"] += 1
        if served:
            log.warning("%s version %s is served now, in place of version %s", name, model.version, served.version)
        else:
            self.on_new_model()

    def _tell(self, name: str, told: list[str]) -> None:
        served = self.champions.get(name)
        beside = [f"version {served.version} is served instead"] if served else []
        self.refused = {**self.refused, name: "; ".join([*told, *beside])}

    def _tell_unreadable(self, name: str, error: OSError) -> None:
        before = self.refused.get(name)
        self._tell(name, [f"{bundle.told(Path(error.filename or name), 2)} cannot be read ({error.strerror})"])
        if self.refused[name] != before:
            log.error("%s", self.refused[name])

    def _load(self, name: str, version: int) -> Model:
        """Return a version that passes its trial; raise BundleError, without trying again too soon, if it does not."""
        key = self._key(name, version)
        refusal = self._refusals.get(key)
        if key not in self._sound and not (refusal and time.monotonic() < refusal.until):
            self._try([key])
        if key not in self._sound:
            raise BundleError(self._refusals[key].why)
        try:
            model = load(self.registry.place(name, version))
            if model.bundle.metrics is None:
                raise BundleError(f"{name}/{version} was never evaluated: run 03_evaluate")
        except BundleError as error:
            self._refuse(key, str(error))
            raise
        self._refusals.pop(key, None)
        return model

    def _try(self, keys: Sequence[Key]) -> None:
        places = {self.registry.place(name, version): (name, version, sums) for name, version, sums in keys}
        try:
            found = self._trial(list(places))
        except OSError as error:
            found = dict.fromkeys(places, f"no process can be started to try it in ({error.strerror})")
        for folder, why in found.items():
            if why:
                self._refuse(places[folder], why)
            else:
                self._sound.add(places[folder])

    def _refuse(self, key: Key, why: str) -> None:
        name, version, _ = key
        known = self._refusals.get(key)
        if not known or known.why != why:
            log.error("%s version %s was refused: %s", name, version, why)
        wait = min(2 * known.wait, LONGEST) if known else SHORTEST
        self._refusals[key] = Refusal(why, wait, time.monotonic() + wait)
        self._sound.discard(key)
        self.reloads[name, "refused"] += 1

    def _key(self, name: str, version: int) -> Key:
        return name, version, bundle.fingerprint(self.registry.place(name, version))
