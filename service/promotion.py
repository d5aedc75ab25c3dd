"""Promotion and rollback as somebody asks for them by hand: the gate's word stands unless it is overruled by force."""

from __future__ import annotations

import math
import re
from typing import Annotated

import msgspec

from service import bundle
from service.contents import Metrics
from service.errors import BundleError, PromotionError
from service.registry import Event, Registry

Reason = Annotated[str, msgspec.Meta(max_length=1000, description="Why, for the record.")]
# To JSON Schema 2.0 is a whole number, to msgspec it is none.
Version = Annotated[float, msgspec.Meta(ge=1, le=999_999_999, multiple_of=1, description="A published version.")]
Force = Annotated[bool, msgspec.Meta(description="Promote what the gate held back; needs a reason.")]


DETAIL = re.compile(r"failed: | \([^()]*\)|, on \d+ held-out rows")


class Promotion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request to promote holds."""

    version: Version
    reason: Reason = ""
    force: Force = False

    @classmethod
    def example(cls) -> Promotion:
        """Return one as somebody could send it."""
        return cls(3, "fewer misses among the rare class")


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request to roll back holds."""

    reason: Reason = ""

    @classmethod
    def example(cls) -> Rollback:
        """Return one as somebody could send it."""
        return cls("it misses the rare class")


def promote(
    registry: Registry,
    model: str,
    version: int,
    reason: str = "",
    force: bool = False,
    by: str = "",
    until: float = math.inf,
) -> Event | None:
    """Make a published version champion and return the event in its history, None where it is the champion already.

    What the gate held back needs `force` and a reason, which then stands on record with the gate's own words, and `by`
    whom. Raise NotFoundError if there is no such model, PromotionError if the version is not published, damaged, or
    held back, or if another became champion meanwhile, BusyError if it could not be written `until` a time of the
    monotonic clock.
    """
    registry.check_model(model)
    champion = registry.champion(model)
    objection = held_back(registry, model, version) if version in registry.versions(model) else ""
    if _is_done(registry, model, version):
        return None
    told = reason.strip()
    if objection and not (force and told):
        raise PromotionError(
            f"the gate held {model} version {version} back ({objection}): "
            'to promote it in spite of that, give both --force and --reason "…", in JSON "force" and "reason"'
        )
    told = told or "promoted by hand"
    reason = f"{told} (by force; the gate: {objection})" if objection else told
    registry.promote(model, version, reason, over=champion, by=by, until=until)
    return _recorded(registry, model, version)


def rollback(registry: Registry, model: str, reason: str = "", by: str = "", until: float = math.inf) -> Event:
    """Make the latest sound champion before champion again and return the event.

    Raise PromotionError if there is none, BusyError if it could not be written `until` a time of the monotonic clock.
    """
    registry.check_model(model)
    version = registry.rollback(
        model, reason.strip() or "rolled back by hand", lambda version: _is_sound(registry, model, version), by, until
    )
    return _recorded(registry, model, version)


def _is_sound(registry: Registry, model: str, version: int) -> bool:
    try:
        bundle.read(registry.place(model, version))
    except BundleError:
        return False
    return True


def held_back(registry: Registry, model: str, version: int) -> str:
    """Return why the gate does not let a published version become champion, "" if it does.

    A verdict without reasons, on no rows, or on a figure that is none lets nothing pass. Raise PromotionError if the
    version is damaged.
    """
    try:
        metrics = bundle.read(registry.place(model, version)).metrics
    except BundleError as error:
        raise PromotionError(f"{model} version {version} cannot be promoted: {error}") from error
    return objection(metrics)


def objection(metrics: Metrics | None) -> str:
    """Return what the gate says against a version of such metrics, "" if it lets it pass."""
    if metrics is None or not metrics.verdict.reasons:
        return "it has no verdict"
    if metrics.rows < 1 or metrics.headline_metric.value is None:
        return f"its verdict rests on {metrics.rows} rows and no {metrics.headline}"
    return "" if metrics.verdict.promote else metrics.verdict.objection


def verdict(objection: str) -> str:
    """Return in few words what the gate said: of its reasons what stands in brackets is left to the report."""
    return f"held back: {DETAIL.sub('', objection)}" if objection else "passed"


def _is_done(registry: Registry, model: str, version: int) -> bool:
    """Whether a version is champion and the history says so: what it does not say, a promotion puts on record."""
    history = registry.history(model)
    return registry.champion(model) == version and bool(history) and history[-1].version == version


def _recorded(registry: Registry, model: str, version: int) -> Event:
    return next(event for event in reversed(registry.history(model)) if event.version == version)
