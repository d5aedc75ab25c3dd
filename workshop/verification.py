"""Checking what is published: every bundle, the champion and the history, each fault with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from service import bundle, config, promotion
from service.errors import BundleError, CellarError
from service.files import half_written
from service.registry import CHAMPION, HISTORY, Registry
from service.trial import trial
from workshop.leftovers import half_removed, homes, is_old
from workshop.menu import typed

Check = tuple[bool, str]
"""Whether something is as it should be, and what was found."""


def tell(checks: Iterable[Check], more: str = "") -> None:
    """Print each check in a line; raise CellarError with how many failed, if any did."""
    bad = 0
    for good, what in checks:
        print(f"{'ok  ' if good else 'BAD '} {what}")
        bad += not good
    if bad:
        raise CellarError(f"{bad} of these checks failed{more}")


def verify_all(registry: Registry) -> Iterator[Check]:
    """Yield what was found of every model: its versions, its champion, its history, and what crashes left."""
    if not registry.names():
        yield True, f"nothing is published yet: {typed('pipeline')} publishes"
    for name in sorted({*homes(registry), *registry.names()}):
        try:
            yield from _verify(registry, name)
        except BundleError as error:
            yield False, str(error)
        except OSError as error:
            yield False, f"{name}: {error.filename} cannot be read ({error.strerror}): mend that and try again"


def _verify(registry: Registry, name: str) -> Iterator[Check]:
    sound = []
    for version in bundle.versions(registry.home(name)):
        check = _version(registry, name, version)
        sound += [version] if check[0] else []
        yield check
    yield from _champion(registry, name, sound)
    yield from _history(registry, name)
    yield from _leftovers(registry, name)


def _version(registry: Registry, name: str, version: int) -> Check:
    place = registry.place(name, version)
    try:
        if why := trial([place], config.read().max_memory)[place].why:  # it may crash what loads it
            raise BundleError(why)
        metrics = bundle.read(place).metrics
    except BundleError as error:
        cure = "" if version == registry.champion(name) else "; nobody is served by it: its folder may be moved away"
        return False, f"{name} version {version}: {error}{cure}"
    return True, f"{name} version {version}{'' if metrics else ', a candidate'}"


def _champion(registry: Registry, name: str, sound: list[int]) -> Iterator[Check]:
    """Yield what is wrong with the file that names the champion, by itself and against the history."""
    champion, history = registry.champion(name), registry.history(name)
    if champion is None and not history and not (registry.home(name) / CHAMPION).exists():
        if registry.versions(name):
            yield True, f"{name} has no champion: no version was promoted"
    elif champion is None:
        yield False, f"{name}: the file {CHAMPION} is missing or names no version: {_cure(registry, name, sound)}"
    elif champion not in registry.versions(name):
        told = f"{name}: the champion, {champion}, is not a published version"
        yield False, f"{told}: {_cure(registry, name, sound)}"
    elif champion not in sound:
        yield False, f"{name}: the champion, {champion}, is damaged: {_cure(registry, name, sound)}"
    elif not history or history[-1].version != champion:
        ends = f"{HISTORY} ends with version {history[-1].version}" if history else f"{HISTORY} says nothing"
        stays = f"{promoting(registry, name, champion)} puts it on record, or promote another"
        yield False, f"{name}: the champion is {champion}, and {ends}: {stays}"


def _cure(registry: Registry, name: str, sound: list[int]) -> str:
    """Return what makes a sound version champion: the latest that was, else the newest."""
    known = [*registry.candidates_to_serve(name), *reversed(registry.versions(name))]
    best = [version for version in known if version in sound and version in registry.versions(name)]
    return f"{promoting(registry, name, best[0])} makes a sound one champion" if best else "train it again"


def promoting(registry: Registry, name: str, version: int) -> str:
    """Return the command that makes a sound version champion, by force and with a reason if the gate held it back."""
    held_back = promotion.held_back(registry, name, version)
    return typed(f"promote {name} {version}" + ' --force --reason "no better one can be served"' * bool(held_back))


def _history(registry: Registry, name: str) -> Iterator[Check]:
    lines = registry.unreadable_lines(name)
    if lines:
        which, what, them = ("lines", "they say", "them") if len(lines) > 1 else ("line", "it says", "it")
        where = f"{which} {', '.join(map(str, lines))} of {registry.home(name) / HISTORY}"
        yield False, f"{name}: {where} cannot be read, and what {what} does not count: take {them} out by hand"


def _leftovers(registry: Registry, name: str) -> Iterator[Check]:
    home = registry.home(name)
    for path, version in half_removed(home).items():
        yield (
            False,
            f"{name}: {path.name} is left of version {version}: {typed('prune')} removes it and its reports",
        )
    for path in half_written(home):
        told = f"{name}: {path.relative_to(home)}"
        if is_old(path):
            yield False, f"{told} is what a crash left: {typed('prune')} removes it"
        else:
            yield True, f"{told} is being written, or is what a crash left: the next to write there removes it"
