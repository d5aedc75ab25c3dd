"""The models that this process answers with: each one's champion, verified before its first answer."""

from __future__ import annotations

import logging
import threading

from service.errors import BundleError, NoModelError, NotFoundError
from service.model import Model, load
from service.registry import Registry

log = logging.getLogger("cellar")

KEPT = 8
"""How many versions other than champions stay loaded once someone asked for them by number."""


class Live:
    """Champions by model name, versions asked for by number, and what was refused and why."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.champions: dict[str, Model] = {}
        self.refused: dict[str, str] = {}
        self._others: dict[tuple[str, int], Model] = {}
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load every model's champion; where that is refused, the latest earlier champion that is sound."""
        for name in self.registry.names():
            for version in self.registry.candidates_to_serve(name):
                model = self._try(name, version)
                if model:
                    self.champions[name] = model
                    self._tell_fallback(name, version)
                    break

    def _tell_fallback(self, name: str, version: int) -> None:
        if name in self.refused:
            self.refused[name] += f"; version {version} is served instead"

    def check_ready(self) -> None:
        """Raise NoModelError, with what was refused, unless a verified model can answer."""
        if not self.champions:
            told = "; ".join(self.refused.values()) or "run the pipeline, then start the service again"
            raise NoModelError(f"no model can be served: {told}")

    def get(self, name: str, version: int | None = None) -> Model:
        """Return a model, by version or its champion; raise NotFoundError or, if none is sound, NoModelError."""
        champion = self.champions.get(name)
        if version is None or (champion and champion.version == version):
            return champion or self._none(name)
        return self._by_number(name, version)

    def _by_number(self, name: str, version: int) -> Model:
        with self._lock:
            if (name, version) not in self._others:
                if version not in self.registry.versions(name):
                    raise NotFoundError(f"{name} has no published version {version}; see /models/{name}/versions")
                if len(self._others) >= KEPT:
                    self._others.pop(next(iter(self._others)))
                self._others[name, version] = load(self.registry.place(name, version))
            return self._others[name, version]

    def _none(self, name: str) -> Model:
        if self.registry.versions(name):
            why = self.refused.get(name, "none of its versions was promoted")
            raise NoModelError(f"{name} has no version that can be served: {why}")
        if not self.champions:
            raise NoModelError("no model can be served yet: run the pipeline, then start the service again")
        raise NotFoundError(f"no model is called {name[:80]!r} (models: {', '.join(self.champions)})")

    def _try(self, name: str, version: int) -> Model | None:
        try:
            model = load(self.registry.place(name, version))
            if model.bundle.metrics is None:
                raise BundleError(f"{name}/{version} was never evaluated: run 03_evaluate")
            return model
        except BundleError as error:
            told = f"version {version} was refused: {error}"
            self.refused[name] = f"{self.refused[name]}; {told}" if name in self.refused else told
            log.error("%s %s", name, told)
            return None
