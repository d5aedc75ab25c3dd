"""The models that this process answers with: each one's champion, verified before its first answer, and its successors.

A promotion is noticed by looking. The new version is tried in another process, loaded beside the old one and put into
its place between two requests; who was given the old one keeps it to the end of its request. What cannot be served is
refused, once in the log, and tried again ever more rarely, in a thread of its own, while the last good version answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable

from service.errors import BundleError, LoadingError, NoModelError, NotFoundError
from service.loading import Loader, Trial, Version, Waiting, untried
from service.model import Model
from service.registry import Registry

log = logging.getLogger("cellar")

KEPT = 8
"""How many versions other than champions stay loaded once someone asked for them by number."""

LOOK = 30.0
"""Seconds after which a look, the one at the start too, leaves what is still to be tried to the next."""


class Live:
    """Champions by model name, versions asked for by number, and what was refused and why."""

    def __init__(self, registry: Registry, trial: Trial = untried) -> None:
        self.registry = registry
        self.champions: dict[str, Model] = {}
        """Replaced and never changed, so that whoever goes through it does so undisturbed."""
        self.refused: dict[str, str] = {}
        self.on_new_model: Callable[[], None] = lambda: None
        self._loader = Loader(registry, trial)
        self.reloads = self._loader.reloads
        self._others: dict[Version, Model] = {}
        """Those asked for by number, the one whose use was longest ago first."""
        self._looking, self._keeping = threading.Lock(), threading.Lock()
        self._locks: defaultdict[Version, threading.Lock] = defaultdict(threading.Lock)
        self._asked, self._due = Waiting(), Waiting()
        self._watched = False

    def watch(self, poll: float) -> None:
        """Look for promotions from now on, every `poll` seconds, in a thread that also tries what is asked for.

        What was refused is tried again in another, for as long as that takes.
        """
        self._watched = True

        def look() -> None:
            self._asked.next(self._loader.attempt, poll)
            self.look()

        for what, step in {"promotions": look, "retries": lambda: self._due.next(self._loader.attempt)}.items():
            threading.Thread(target=_repeat, args=(step, what), name=what, daemon=True).start()

    def look(self) -> None:
        """Serve each model's champion; where that is refused, what was served, or the latest earlier one that is sound.

        Whatever goes wrong with a model, the others are looked at all the same.
        """
        with self._looking:
            began = time.monotonic()
            until, orders = began + LOOK, self._orders()
            self._try_at_once([(name, order[0]) for name, order in orders.items() if order], until)
            for name, order in orders.items():
                try:
                    self._settle(name, order, began, until)
                except Exception as error:
                    self._tell_fault(name, error)

    def _orders(self) -> dict[str, list[int]]:
        """Return which versions of each model are to be served, best first; where one is served, the champion alone."""
        orders = {}
        try:
            names = self.registry.names()
        except BundleError as error:
            self._tell_fault(f"{self.registry.folder.name}/", error)
            return {}
        self.refused = {name: why for name, why in self.refused.items() if name in names}
        for name in names:
            try:
                orders[name] = self._order(name)
            except Exception as error:
                self._tell_fault(name, error)
        return orders

    def _order(self, name: str) -> list[int]:
        if name not in self.champions:
            return self.registry.candidates_to_serve(name)
        champion = self.registry.champion(name)
        return [] if champion is None else [champion]

    def _try_at_once(self, versions: list[Version], until: float) -> None:
        """Try what is new, of models of which nothing is served, in as few processes as can be."""
        new = [version for version in versions if version[0] not in self.champions and self._loader.is_new(version)]
        while new and time.monotonic() < until:
            self._loader.attempt(new)
            new = [version for version in new if self._loader.is_new(version)]

    def _settle(self, name: str, order: list[int], began: float, until: float) -> None:
        """Serve the first version of an order that is sound, unless it is served; tell of those before it."""
        told = list(filter(None, [self.registry.lost_champion(name)]))
        for number in order:
            served, version = self.champions.get(name), (name, number)
            if served and served.version == number:
                break
            if time.monotonic() < until:
                self._try(version, began)
            try:
                self._serve(name, self._loader.load(version))
                break
            except BundleError as error:
                told.append(f"version {number} was refused: {error}")
            except LoadingError as error:
                told.append(str(error))
        self._tell(name, told)

    def _try(self, version: Version, began: float) -> None:
        """Try a version that is new now, and one that was due when the look began beside it if there is a thread."""
        if self._watched and self._loader.is_due(version, began):
            self._due.put(version)
        elif self._loader.is_new(version) or self._loader.is_due(version, began):
            self._loader.attempt([version])

    def check_ready(self) -> None:
        """Raise NoModelError, with what was refused, unless a verified model can answer."""
        if not self.champions:
            told = "; ".join(self.refused.values()) or "run the pipeline, what it promotes is served at once"
            raise NoModelError(f"no model can be served: {told}")

    def get(self, name: str, version: int | None = None) -> Model:
        """Return a model, by version or its champion; raise NotFoundError or, if none is sound, NoModelError.

        A version by its number that was refused is BundleError; one that is still to be tried, LoadingError.
        """
        champion = self.champions.get(name)
        if version is None or (champion and champion.version == version):
            return champion or self._none(name)
        return self._loaded((name, version)) or self._by_number(name, version)

    def check_published(self, name: str, number: int) -> None:
        """Raise NotFoundError unless a model has this version and it is published."""
        self.registry.check_model(name)
        if number not in self.registry.versions(name):
            raise NotFoundError(f"{name} has no published version {number}; see /models/{name}/versions")

    def _by_number(self, name: str, number: int) -> Model:
        self.check_published(name, number)
        version = name, number
        with self._locks[version]:  # one loads it, whoever else asks meanwhile waits
            model = self._loaded(version)
            if not model:
                self._have_tried(version)
                model = self._loader.load(version)
                self._keep(version, model)
            return model

    def _loaded(self, version: Version) -> Model | None:
        """Return a version that was asked for by number before, if it is still loaded; now it is used, too."""
        with self._keeping:
            model = self._others.pop(version, None)
            if model:
                self._others[version] = model
            return model

    def _keep(self, version: Version, model: Model) -> None:
        with self._keeping:
            self._others[version] = model
            if len(self._others) > KEPT:
                del self._others[next(iter(self._others))]

    def _have_tried(self, version: Version) -> None:
        """Try a version that is new or due, or have that done: no request waits for a trial where there is a thread."""
        if not self._watched:
            self._loader.attempt([version])
        elif self._loader.is_new(version):
            self._asked.put(version)
        elif self._loader.is_due(version):
            self._due.put(version)

    def _none(self, name: str) -> Model:
        if self.registry.versions(name):
            why = self.refused.get(name, "none of its versions was promoted")
            raise NoModelError(f"{name} has no version that can be served: {why}")
        if not self.champions:
            raise NoModelError("no model can be served yet: run the pipeline")
        raise self.registry.unknown(name)

    def _serve(self, name: str, model: Model) -> None:
        served = self.champions.get(name)
        self.champions = {**self.champions, name: model}
        self.reloads[name, "loaded"] += 1
        if served:
            log.warning("%s version %s is served now, in place of version %s", name, model.version, served.version)
        else:
            self.on_new_model()

    def _tell(self, name: str, told: list[str]) -> None:
        if told:
            served = self.champions.get(name)
            beside = [f"version {served.version} is served instead"] if served else []
            self.refused = {**self.refused, name: "; ".join([*told, *beside])}
        elif name in self.refused:
            self.refused = {other: why for other, why in self.refused.items() if other != name}

    def _tell_fault(self, name: str, error: Exception) -> None:
        before, known = self.refused.get(name), isinstance(error, BundleError)
        self._tell(name, [str(error) if known else f"{name} cannot be served ({type(error).__name__})"])
        if self.refused[name] != before:
            log.error("%s", self.refused[name], exc_info=None if known else error)


def _repeat(step: Callable[[], None], what: str) -> None:
    """Do a step again and again; whatever goes wrong, the models that are served are served on."""
    failed = ""
    while True:
        try:
            step()
            failed = ""
        except Exception as error:
            if repr(error) != failed:
                log.exception("looking for %s failed", what)
            failed = repr(error)
